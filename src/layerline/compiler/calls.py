"""Kernel calls: the arguments of the functions that make them, and the address of each buffer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from layerline.compiler import given
from layerline.compiler.dtype import DType
from layerline.compiler.program import Per
from layerline.compiler.schedule import item_bytes
from layerline.compiler.values import Index

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerline.compiler.kernel import Kernel
    from layerline.compiler.pen import Function, ProgramPen
    from layerline.compiler.program import Buffer, Op, Program, Schedule
    from layerline.compiler.values import Pointer, Value


def _types(*buffers: Buffer) -> dict[str, DType]:
    return {buffer.name: buffer.dtype for buffer in buffers}


_IMAGES: Final = given.images(DType.U8)
"""As bytes, whatever the element type: only kernels need it."""

_TRAIN: Final = {
    "arena": DType.U8,
    "scratch": DType.U8,
    "control": DType.I64,
    **_types(_IMAGES, given.LABELS, given.ORDER),
    "step_scalars": DType.F64,
    **_types(given.SCALE, given.SHIFT, given.HYPER, given.RNG_KEY, given.CLASS_WEIGHTS, given.MOVES, given.NUMBERS),
    "yield_core": DType.U8,
    "nap": DType.U8,
}
TRAIN_SCALARS: Final = ("first", "total", "thread", "threads")
_FORWARD: Final = _types(
    *(_IMAGES, given.LABELS, given.ORDER, given.SCALE, given.SHIFT, given.probabilities(0), given.LOSSES),
    given.values(0),
)
PREDICT_SCALARS: Final = ("first", "last")
PLACES: Final = "places"
"""The argument of a phase's function with the offsets of those buffers that are elsewhere in an equal phase."""


def train_pointers(program: Program) -> dict[str, DType]:
    """Return what `train` is given: its memory, the caller's arrays, and functions."""
    return {**_TRAIN, **(_types(given.EXCHANGE) if program.exchanges else {})}


def predict_pointers(program: Program) -> dict[str, DType]:
    """Return what `predict` is given: its memory, and of the caller's arrays those that this Program uses."""
    used = {b.name for op in program.ops for b in op.buffers if b.per in (Per.GIVEN, Per.POSITION)}
    memory = {"arena": DType.U8, "scratch": DType.U8}
    return {**memory, **{name: dtype for name, dtype in _FORWARD.items() if name in used}}


@final
class Calls:
    """Calls kernels with the addresses of their buffers."""

    def __init__(
        self, pen: ProgramPen, schedule: Schedule, kernels: dict[Kernel, Function], moving: Sequence[Buffer] = ()
    ) -> None:
        """Store the pen, the schedule with the buffer offsets, and the kernels' functions.

        moving: buffers whose offsets are not constants, but in the array PLACES, an argument.
        """
        self.pen, self.schedule, self.kernels = pen, schedule, kernels
        self._moving = {buffer: number for number, buffer in enumerate(moving)}

    def images(self, op: Op, place: Index, count: Index, where: dict[str, Index | Value]) -> None:
        """Call a kernel on `count` images, starting at position `place` of the batch (or of `order`)."""
        addresses = [self._address(b, place, where) for b in op.buffers]
        self._call(op.kernel, addresses, {"images": count.single, **where})

    def slice(self, op: Op, item: Index, where: dict[str, Index | Value]) -> None:
        """Call a kernel for one of its slices."""
        addresses = [self._address(b, None, where) for b in op.buffers]
        self._call(op.kernel, addresses, {"item": item.single, **where})

    def _call(self, kernel: Kernel, addresses: list[Pointer], scalars: dict[str, Index | Value]) -> None:
        self.pen.call(self.kernels[kernel], [*addresses, *(scalars[name] for name in kernel.scalars)])

    def _address(self, buffer: Buffer, place: Index | None, where: dict[str, Index | Value]) -> Pointer:
        pen, size = self.pen, item_bytes(buffer)
        if buffer.per == Per.GIVEN:
            return pen.pointer(buffer.name)
        if buffer.per == Per.POSITION:
            pointer = pen.pointer(buffer.name)
            if place is None:
                raise ValueError(f"{buffer.name} is not available to a slice")
            place = place + _known(where, "start") if "start" in where else place
            return pen.at(pointer, place * buffer.size)
        if buffer in self.schedule.in_arena:
            at = self.offset(buffer)
            if buffer.per == Per.IMAGE and place is not None:
                at = at + place * size
            if buffer.per == Per.SHARD and place is not None:
                at = at + _known(where, "shard") * size
            return pen.at(pen.pointer("arena"), at)
        return pen.at(pen.pointer("scratch"), self.offset(buffer))

    def offset(self, buffer: Buffer) -> Index:
        """Return the offset of a buffer in the arena or in the scratch memory."""
        if buffer in self._moving:
            return self.pen.as_index(self.pen.load(self.pen.pointer(PLACES), self._moving[buffer]))
        known = self.schedule.in_arena if buffer in self.schedule.in_arena else self.schedule.in_scratch
        return self.pen.index(known[buffer])


def _known(where: dict[str, Index | Value], name: str) -> Index:
    """Return a position that the caller computed."""
    place = where[name]
    assert isinstance(place, Index)  # noqa: S101 - only the step scalars are values
    return place
