"""Winograd's convolution, forward, and the gradient of its input.

The math.  kernels/winograd_formula.py; what is computed is that of kernels/conv_formula.py, up to rounding. The
gradient of the input is the convolution of dy with turned filters, r − 1 − padding zeros around it. The sum over
channels starts with zero, and the bias is added to the transformed outputs.

The schedule.  kernels/winograd_tiles.py. A tile of outputs holds whole pool windows: the maximum and its position are
taken between registers, as in kernels/conv.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.compiler.kernel import Kernel, adds, owns, reads, sets
from layerline.compiler.kernels.loops import vectors
from layerline.compiler.kernels.winograd_formula import WrittenLinear, both_ways
from layerline.compiler.kernels.winograd_tiles import (
    Domain,
    Windows,
    at_once,
    each_strip,
    tiling,
    whole_vectors,
    write_products,
    write_transform,
)
from layerline.compiler.kernels.winograd_weights import TransformedFilters, output_blocks

if TYPE_CHECKING:
    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.kernels.conv_formula import Convolution, ConvShape
    from layerline.compiler.kernels.winograd_formula import Winograd
    from layerline.compiler.kernels.winograd_tiles import Strip, Tiling
    from layerline.compiler.machine import Machine
    from layerline.compiler.pen import Pen
    from layerline.compiler.plane import Plane
    from layerline.compiler.values import Index, Pointer, Value


VECTORS: Final = 2
"""Most vectors of outputs per block."""

Place = tuple["Index", "Index", "Index", "Index"]
"""(image, row of tiles, column of tiles, first output)"""
Finish = Callable[["Pen", Place, "list[list[Value]]", int], None]
"""Writes the code for a tile's rows of outputs; of each vector, so many lanes are meant."""


@dataclass(frozen=True)
class Passage:
    """How a plane becomes another: its windows, the filters, and the tiles that are multiplied at once."""

    windows: Windows
    layout: TransformedFilters
    tiling: Tiling
    together: int

    @property
    def label(self) -> str:
        """Return it as it appears in symbols."""
        return f"{self.windows.label}_{self.layout.label}_{self.tiling.label}__{self.tiling.strip}x{self.together}"

    def domains(self, machine: Machine) -> tuple[Domain, Domain]:
        """Return how the transformed inputs and outputs of a strip are stored."""
        tiles = -(-self.tiling.tiles // self.together) * self.together
        inputs = whole_vectors(self.windows.plane.channels, machine)
        products = self.tiling.winograd.products
        return Domain(products, tiles, inputs), Domain(products, tiles, self.layout.outputs)

    def workspace(self, machine: Machine) -> int:
        """Return the elements of both."""
        return sum(domain.size for domain in self.domains(machine))

    def write(self, pen: Pen, source: str, valid: tuple[int, int], finish: Finish) -> None:
        """Write the code, for `valid` rows and columns of outputs."""
        inputs, outputs = self.domains(pen.machine)
        v = pen.pointer("work")
        sums = pen.at(v, inputs.size)
        for strip in each_strip(pen, self.tiling):
            write_transform(
                pen, strip, (self.windows, pen.pointer(source)), self.tiling.winograd.from_inputs, (inputs, v)
            )
            write_products(pen, strip, (inputs, v), (self.layout, pen.pointer("w")), (outputs, sums), self.together)
            self._outputs(pen, strip, (outputs, sums), valid, finish)

    def _outputs(
        self, pen: Pen, strip: Strip, values: tuple[Domain, Pointer], valid: tuple[int, int], finish: Finish
    ) -> None:
        """Write the outputs of a strip; those of the last row and column of tiles may be fewer."""
        m = self.tiling.winograd.outputs
        (rows, more_rows), (columns, more_columns) = divmod(valid[0], m), divmod(valid[1], m)
        across = [(0, m, columns)] * (columns > 0) + [(columns, more_columns, 1)] * (more_columns > 0)
        for n, i, t in strip.each_row(pen):
            for whole, height in ((True, m), (False, more_rows)):
                if not height or (whole and not rows):
                    continue
                with pen.when((pen.index(rows) > i) if whole else i.is_(rows)):
                    for first, width, count in across:
                        with pen.loop("j", count) as j:
                            self._tiles(pen, (n, i, j + first, t + j + first), (height, width), values, finish)

    def _tiles(
        self,
        pen: Pen,
        place: Place,
        size: tuple[int, int],
        values: tuple[Domain, Pointer],
        finish: Finish,
    ) -> None:
        (n, i, j, t), (domain, memory), (height, width) = place, values, size
        winograd, lanes = self.tiling.winograd, pen.machine.lanes_for(self.layout.real_outputs)
        memory, side = pen.at(memory, t * domain.row), range(winograd.size)
        for o, count in vectors(pen, self.layout.real_outputs, lanes):
            m = [[pen.load(memory, o + (a * winograd.size + b) * domain.step, lanes) for b in side] for a in side]
            found = both_ways(WrittenLinear(pen), winograd.from_outputs, m, gathered=True)
            finish(pen, (n, i, j, o), [row[:width] for row in found[:height]], count)


@dataclass(frozen=True)
class WinogradForward(Kernel):
    """Computes `conv` by transformed tiles."""

    conv: Convolution
    passage: Passage
    work: int
    """The elements of its workspace."""

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {**self.conv.arguments(self.conv.shape.x, self.passage.layout), "work": owns(self.work)}

    @property
    def symbol(self) -> str:
        return f"winograd_{self.conv.label}_{self.passage.label}"

    def multiply_adds(self, images: int) -> int:
        return self.conv.shape.multiply_adds(images)

    def write(self, pen: Pen) -> None:
        (P, Q), (ph, pw) = self.conv.units, self.conv.pool
        self.passage.write(pen, "x", (P * ph, Q * pw), self._finish)

    def _finish(self, pen: Pen, place: Place, values: list[list[Value]], count: int) -> None:
        """Add the bias, pool, apply the activation and store one vector of a tile's outputs."""
        (n, i, j, o), (ph, pw), m = place, self.conv.pool, self.passage.tiling.winograd.outputs
        y, at = self.conv.written(pen, n)
        if self.conv.bias:
            bias = pen.load(pen.pointer("b"), o, values[0][0].lanes)
            values = [[pen.add(value, bias) for value in row] for row in values]
        for a in range(0, len(values), ph):
            for b in range(0, len(values[0]), pw):
                window = [values[a + k][b + l] for k in range(ph) for l in range(pw)]
                largest, where = self.conv.finished(pen, window)
                row, column = i * (m // ph) + a // ph, j * (m // pw) + b // pw
                pen.store(largest, y, self.conv.y.step(row, column, o), count)
                if at is not None:
                    pen.store(where, at, self.conv.y.rank(row, column, o), count)


@dataclass(frozen=True)
class WinogradInput(Kernel):
    """dx = (set) or dx += (add) the gradient of a convolution's input, by transformed tiles of dy."""

    shape: ConvShape
    passage: Passage
    work: int
    add: bool = False

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        dx, dy = (adds if self.add else sets)(self.shape.x), reads(self.passage.windows.plane)
        return {"dy": dy, "w": reads(self.passage.layout), "dx": dx, "work": owns(self.work)}

    @property
    def symbol(self) -> str:
        return f"winograd_input{'_add' * self.add}_{self.passage.label}_{self.shape.x.label}"

    def multiply_adds(self, images: int) -> int:
        return self.shape.multiply_adds(images)

    def write(self, pen: Pen) -> None:
        self.passage.write(pen, "dy", (self.shape.x.height, self.shape.x.width), self._finish)

    def _finish(self, pen: Pen, place: Place, values: list[list[Value]], count: int) -> None:
        (n, i, j, c), m, plane = place, self.passage.tiling.winograd.outputs, self.shape.x
        dx = pen.at(pen.pointer("dx"), plane.at(n))
        for a, row in enumerate(values):
            for b, value in enumerate(row):
                where = plane.step(i * m + a, j * m + b, c)
                pen.store(pen.add(pen.load(dx, where, value.lanes), value) if self.add else value, dx, where, count)


def passage(windows: Windows, outputs: tuple[int, int], layout: TransformedFilters, machine: Machine) -> Passage:
    """Return the passage to outputs of that many rows and columns."""
    together = at_once(max(block.vectors for block in layout.blocks), machine)
    channels = whole_vectors(windows.plane.channels, machine) + layout.outputs
    return Passage(windows, layout, tiling(layout.winograd, outputs, channels, together), together)


def winograd_forward(conv: Convolution, winograd: Winograd, machine: Machine) -> WinogradForward:
    """Return the kernel that computes a convolution by such tiles."""
    shape, (P, Q), (a, b) = conv.shape, conv.units, conv.pool
    layout = TransformedFilters(shape.weights, winograd, output_blocks(shape.filters, machine, VECTORS))
    way = passage(Windows(shape.x, shape.first), (P * a, Q * b), layout, machine)
    return WinogradForward(conv, way, way.workspace(machine))


def winograd_input(shape: ConvShape, dy: Plane, winograd: Winograd, machine: Machine, *, add: bool) -> WinogradInput:
    """Return the kernel that computes the gradient of a convolution's input by such tiles."""
    blocks = output_blocks(shape.x.channels, machine, VECTORS)
    layout = TransformedFilters(shape.weights, winograd, blocks, turned=True)
    above, left = (winograd.taps - 1 - side for side in shape.padding)
    way = passage(Windows(dy, dy.inner(-above, -left)), (shape.x.height, shape.x.width), layout, machine)
    return WinogradInput(shape, way, way.workspace(machine), add)
