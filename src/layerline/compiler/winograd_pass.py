"""The pass that replaces convolutions by Winograd's, where that pays and the borders are there.

conv(x, c → y)            →  winograd(x, u → y)
conv_filters(x, dy → dw)  →  winograd_filters(x, dy → dw)
conv_input(dy, w → dx)    →  winograd_input(dy, t → dx)

u and t are the transformed filters: copies of the parameter, written at the end of each step that changes it. All
kernels of a thread share one workspace.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from layerline.compiler.kernels.conv import ConvForward
from layerline.compiler.kernels.conv_gradients import ConvFilters, ConvInput
from layerline.compiler.kernels.conv_pooled import ConvPooledFilters, ConvPooledInput
from layerline.compiler.kernels.pool import Unpool
from layerline.compiler.kernels.update import ToColumns
from layerline.compiler.kernels.winograd import winograd_forward, winograd_input
from layerline.compiler.kernels.winograd_choice import (
    dense_filters_pay,
    dense_input_pays,
    forward_choice,
    gradient_border,
    input_border,
    input_choice,
    reaches,
    tiles_border,
    wider,
)
from layerline.compiler.kernels.winograd_filters import winograd_filters
from layerline.compiler.kernels.winograd_weights import TransformFilters
from layerline.compiler.plane import Plane, capacity
from layerline.compiler.program import Buffer, Op, Per

if TYPE_CHECKING:
    from layerline.compiler.kernels.conv_formula import ConvShape
    from layerline.compiler.kernels.winograd import WinogradForward, WinogradInput
    from layerline.compiler.kernels.winograd_filters import WinogradFilters
    from layerline.compiler.layout import Columns, Layout
    from layerline.compiler.machine import Machine
    from layerline.compiler.program import Program, Tensor

WORK: Final = Buffer("work", 0, Per.THREAD)
"""Stands for the workspace until its size is known."""


def winograd(program: Program, machine: Machine) -> Program:
    """Return the Program with Winograd's convolutions."""
    written = {buffer for op in program.ops for buffer in op.written}
    conversion = _Conversion(machine, {home: tensor for tensor in program.tensors for home, _ in tensor.homes}, written)
    ops = [new for op in program.ops for new in conversion.replaced(op)]
    if not conversion.elements:
        return program
    buffers = {**conversion.columns, WORK: replace(WORK, size=capacity(conversion.elements))}
    ops = [Op(op.kernel, tuple(buffers.get(b, b) for b in op.buffers)) for op in (*ops, *conversion.copies)]
    return replace(program, ops=tuple(ops), tensors=tuple(map(conversion.with_copies, program.tensors)))


@dataclass(eq=False)
class _Conversion:
    """What changes besides the ops: copies of parameters, the layout of columns, the size of the workspace."""

    machine: Machine
    tensors: dict[Buffer, Tensor]
    written: set[Buffer]
    elements: int = 0
    """Of the workspace."""
    copies: list[Op] = field(default_factory=list)
    added: dict[str, list[tuple[Buffer, Layout]]] = field(default_factory=dict)
    """A parameter's name → its transformed copies."""
    layouts: dict[Buffer, Columns] = field(default_factory=dict)
    columns: dict[Buffer, Buffer] = field(default_factory=dict)
    """The columns of filters → the same with the blocks of the transformed ones."""
    spilled: set[Buffer] = field(default_factory=set)
    """Gradients whose border holds other values than zero."""
    activated: set[Buffer] = field(default_factory=set)
    """The places of pooled outputs that an activation follows."""
    unpooled: dict[Buffer, Buffer] = field(default_factory=dict)
    """Gradients of pooled values → the same in their places among all outputs."""

    def replaced(self, op: Op) -> tuple[Op, ...]:
        """Return an op, or those in its place."""
        kernel, new = op.kernel, None
        if isinstance(kernel, ConvForward):
            if kernel.conv.places and kernel.conv.activation:
                self.activated.add(op["at"])
            new = self._forward(op, kernel)
        elif isinstance(kernel, ConvPooledFilters | ConvPooledInput):
            new = self._pooled(op, kernel)
        elif isinstance(kernel, ConvFilters) and op["dy"] not in self.spilled and not (kernel.places or kernel.owned):
            new = self._filters(kernel.shape, (op["x"], op["dy"], op["dw"]))
        elif isinstance(kernel, ConvInput) and op["dy"] not in self.spilled:
            new = self._input(kernel.shape, (op["dy"], op["w"], op["dx"]), add=kernel.add)
        elif isinstance(kernel, ToColumns) and op["w_columns"] in self.layouts:
            new = (Op(replace(kernel, columns=self.layouts[op["w_columns"]]), op.buffers),)
        if new is None and isinstance(kernel, ConvInput | ConvPooledInput):
            self.spilled.add(op["dx"])
        return new or (op,)

    def _forward(self, op: Op, kernel: ConvForward) -> tuple[Op, ...] | None:
        conv, shape = kernel.conv, kernel.conv.shape
        choice = forward_choice(shape)
        if choice is None or not reaches(shape.x, input_border(shape)) or any(choice.outputs % n for n in conv.pool):
            return None
        new = winograd_forward(conv, choice, self.machine)
        w, u = op["w"], self._copy(op["w"], "u", new.passage.layout)
        if w in self.written:
            self.layouts[w] = replace(kernel.columns, blocks=new.passage.layout.blocks)
            self.columns[w] = replace(w, size=capacity(self.layouts[w].size))
            self.copies.append(Op(TransformFilters(new.passage.layout, self.layouts[w]), (w, u)))
        return self._working(new, (*(u if buffer == w else buffer for buffer in op.buffers), WORK))

    def _pooled(self, op: Op, kernel: ConvPooledFilters | ConvPooledInput) -> tuple[Op, ...] | None:
        """Return the ops for a gradient after a pool, if tiles of all outputs cost less than the pooled ones."""
        shape, g = kernel.shape, op["dy"]
        owned = isinstance(kernel, ConvPooledFilters) and kernel.owned
        pays = dense_filters_pay if isinstance(kernel, ConvPooledFilters) else dense_input_pays
        if owned or not pays(shape, kernel.window, activated=op["at"] in self.activated):
            return None
        plane = Plane(shape.filters, *shape.out, *wider(tiles_border(shape), gradient_border(shape)))
        dy = Buffer(g.name + "_unpooled", capacity(plane.size), Per.IMAGE, plane=plane)
        unpool = (
            () if g in self.unpooled else (Op(Unpool(kernel.dy, plane, kernel.window, shape.steps), (g, op["at"], dy)),)
        )
        if isinstance(kernel, ConvPooledFilters):
            new = self._filters(shape, (op["x"], dy, op["dw"]))
        else:
            new = self._input(shape, (dy, op["w"], op["dx"]), add=kernel.add)
        if new is None:
            return None
        self.unpooled[g] = dy
        return *unpool, *new

    def _input(self, shape: ConvShape, buffers: tuple[Buffer, Buffer, Buffer], *, add: bool) -> tuple[Op, ...] | None:
        (dy, w, dx), choice = buffers, input_choice(shape)
        if choice is None or dy.plane is None or not reaches(dy.plane, gradient_border(shape)):
            return None
        new = winograd_input(shape, dy.plane, choice, self.machine, add=add)
        t = self._copy(w, "t", new.passage.layout)
        self.copies.append(Op(TransformFilters(new.passage.layout, shape.rows(self.machine)), (w, t)))
        return self._working(new, (dy, t, dx, WORK))

    def _filters(self, shape: ConvShape, buffers: tuple[Buffer, Buffer, Buffer]) -> tuple[Op, ...] | None:
        (x, dy, dw), choice = buffers, forward_choice(shape)
        if choice is None or dy.plane is None:
            return None
        if not (reaches(shape.x, input_border(shape)) and reaches(dy.plane, tiles_border(shape))):
            return None
        return self._working(winograd_filters(shape, dy.plane, choice, self.machine), (x, dy, dw, WORK))

    def _working(
        self, kernel: WinogradForward | WinogradInput | WinogradFilters, buffers: tuple[Buffer, ...]
    ) -> tuple[Op]:
        """Return an op, after making the workspace large enough for it."""
        self.elements = max(self.elements, kernel.work)
        return (Op(kernel, buffers),)

    def _copy(self, w: Buffer, letter: str, layout: Layout) -> Buffer:
        """Add a copy of the parameter of which a buffer is a home."""
        buffer = Buffer(w.name + letter, capacity(layout.size), Per.ONCE)
        self.added.setdefault(self.tensors[w].name, []).append((buffer, layout))
        return buffer

    def with_copies(self, tensor: Tensor) -> Tensor:
        """Return a parameter with its copies, and its columns in their new layout."""
        homes = [
            (self.columns.get(buffer, buffer), self.layouts.get(buffer, layout)) for buffer, layout in tensor.homes
        ]
        return replace(tensor, homes=(*homes, *self.added.get(tensor.name, ())))
