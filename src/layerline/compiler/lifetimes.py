"""Memory for one image at a time, as small as possible: buffers that are not alive together share it.

`schedule.schedule` gives every buffer its own place in memory that starts as zeros, so the borders of images stay zero.
Shared memory holds whatever was there before. So a ClearBorder follows the writer of each image that has a border, and
of each that an FC layer reads beyond its end (there it multiplies by zero weights, but NaN · 0 is NaN).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from layerline.compiler.kernels.border import ClearBorder
from layerline.compiler.kernels.fc import FCForward, one_image_tile
from layerline.compiler.plane import Plane
from layerline.compiler.program import Op, Program, Schedule
from layerline.compiler.schedule import schedule
from layerline.compiler.spec import check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from layerline.compiler.machine import Machine
    from layerline.compiler.program import Buffer

TRIES: Final = 300
"""Orders of placement that are tried if the simple ones need more than the least memory."""


@dataclass(frozen=True)
class Life:
    """A buffer's bytes, and the ops by number from the first that writes it to the last that reads it."""

    buffer: Buffer
    size: int
    first: int
    last: int

    def meets(self, other: Life) -> bool:
        """Return whether some op needs both."""
        return self.first <= other.last and other.first <= self.last


def shared(program: Program, machine: Machine) -> Schedule:
    """Return the Schedule of a forward-only Program for one image at a time.

    Places are aligned to the machine's vectors, and hold no more than what its kernels access.
    """
    program = with_borders(_of_one_image(program, machine), machine)
    check(program, "lifetimes")
    planned = schedule(program)
    sizes = needed(planned, machine)
    in_scratch, scratch_bytes = placed(lives(planned, sizes))
    in_arena, at = {}, 0
    for buffer in planned.in_arena:
        in_arena[buffer] = at
        at += sizes[buffer]
    return replace(planned, in_arena=in_arena, arena_bytes=at, in_scratch=in_scratch, scratch_bytes=scratch_bytes)


def _of_one_image(program: Program, machine: Machine) -> Program:
    ops = []
    for op in program.ops:
        kernel = op.kernel
        if isinstance(kernel, FCForward):
            kernel = replace(kernel, tile=one_image_tile(kernel.shape, machine))
        ops.append(Op(kernel, op.buffers))
    return replace(program, ops=tuple(ops), group=1)


def with_borders(program: Program, machine: Machine) -> Program:
    """conv(x → y)  →  conv(x → y); clear_border(y), if y has a border, or its reader sums up the elements after it."""
    tails = {op["x"]: machine.lanes for op in program.ops if _overruns(op)}
    last = {buffer: op for op in program.ops for buffer in op.written}
    ops: list[Op] = []
    for op in program.ops:
        ops.append(op)
        for buffer in op.written:
            tail, plane = tails.get(buffer, 0), buffer.plane
            if last[buffer] is op and (tail or (plane and not plane.bare)):
                listed = plane or Plane(_elements(program)[buffer], 1, 1)
                ops.append(Op(ClearBorder(listed, tail), (buffer,)))
    return replace(program, ops=tuple(ops))


def _overruns(op: Op) -> bool:
    return isinstance(op.kernel, FCForward) and op.kernel.shape.padded > op.kernel.shape.inputs


def _elements(program: Program) -> dict[Buffer, int]:
    """Return how many elements of each buffer are used."""
    found = {home: layout.size for tensor in program.tensors for home, layout in tensor.homes}
    for op in program.ops:
        for argument, buffer in op.uses:
            found[buffer] = max(found.get(buffer, 0), argument.elements)
    return found


def needed(planned: Schedule, machine: Machine) -> dict[Buffer, int]:
    """Return the bytes of each buffer of a Schedule for one image, a multiple of the machine's vectors.

    Loads and stores may overrun a buffer by one vector, unless a vector is one value.
    """
    found, overrun = _elements(planned.program), machine.lanes if machine.lanes > 1 else 0
    return {
        buffer: -(-(found[buffer] + overrun) * buffer.dtype.bytes // machine.alignment) * machine.alignment
        for buffer in (*planned.in_arena, *planned.in_scratch)
    }


def lives(planned: Schedule, sizes: dict[Buffer, int]) -> list[Life]:
    """Return the lives of the buffers in scratch memory, in the order of their first use."""
    used: dict[Buffer, list[int]] = {}
    for number, op in enumerate(planned.program.ops):
        for buffer in op.buffers:
            if buffer in planned.in_scratch:
                used.setdefault(buffer, []).append(number)
    return [Life(buffer, sizes[buffer], numbers[0], numbers[-1]) for buffer, numbers in used.items()]


def least(alive: Iterable[Life]) -> int:
    """Return the largest sum of bytes that an op needs at once: no placement takes less."""
    alive = list(alive)
    return max((sum(each.size for each in alive if each.first <= op <= each.last) for op in _ops(alive)), default=0)


def _ops(alive: Iterable[Life]) -> set[int]:
    return {each.first for each in alive}


def placed(alive: Sequence[Life]) -> tuple[dict[Buffer, int], int]:
    """Return the offset of each buffer, and the end of the last: the least memory that is found.

    Each buffer goes, in some order, to the lowest place that is free throughout its life. Largest first rarely takes
    more than the least; if all simple orders do, the buffer that ends highest moves halfway to the front, repeatedly.
    """
    bound = least(alive)
    best, best_end = min((_in_order(sorted(alive, key=order)) for order in _ORDERS), key=lambda found: found[1])
    current = sorted(alive, key=_ORDERS[0])
    for _ in range(TRIES if best_end > bound else 0):
        found, end = _in_order(current)
        best, best_end = min((best, best_end), (found, end), key=lambda one: one[1])
        place = next(k for k, each in enumerate(current) if found[each.buffer] + each.size == end)
        current.insert(place // 2, current.pop(place))
    return best, best_end


_ORDERS: Final[tuple[Callable[[Life], tuple[int, ...]], ...]] = (
    lambda each: (-each.size, each.first),
    lambda each: (-each.size * (1 + each.last - each.first), each.first),
    lambda each: (each.first - each.last, -each.size, each.first),
    lambda each: (each.first, -each.size),
)
"""Simple orders of placement."""


def _in_order(order: Iterable[Life]) -> tuple[dict[Buffer, int], int]:
    """Return the offsets if buffers are placed in an order, and the end of the last."""
    found: dict[Buffer, int] = {}
    before: list[Life] = []
    for each in order:
        at = 0
        for other in sorted((other for other in before if other.meets(each)), key=lambda other: found[other.buffer]):
            if at + each.size <= found[other.buffer]:
                break
            at = max(at, found[other.buffer] + other.size)
        found[each.buffer] = at
        before.append(each)
    return found, max((found[each.buffer] + each.size for each in before), default=0)
