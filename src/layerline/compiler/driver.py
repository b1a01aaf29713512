"""Schedule → LLVM IR: each kernel once, and the driver function that runs many steps or predicts many images.

    train(memory…, first, total, thread, threads)   one thread's share of steps `first`, first + 1, … up to control's
                                                    `end`, in an epoch of `total` images
    predict(memory…, first, last)                   the images at positions first … last−1 of `order`

compiler/tickets.py has the work sharing between threads, compiler/calls.py the kernel calls.
"""

from __future__ import annotations

import functools
import itertools
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from layerline.compiler.calls import PLACES, PREDICT_SCALARS, TRAIN_SCALARS, Calls, predict_pointers, train_pointers
from layerline.compiler.dtype import DType
from layerline.compiler.equal_phases import kinds
from layerline.compiler.kernel import Over
from layerline.compiler.llvm_pen import LlvmPen
from layerline.compiler.pen import TrainingPen
from layerline.compiler.program import Per
from layerline.compiler.schedule import item_bytes
from layerline.compiler.tickets import MEMORY, word, write_share
from layerline.compiler.values import STEP_SCALARS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layerline.compiler.kernel import Kernel
    from layerline.compiler.machine import Machine
    from layerline.compiler.pen import Function, ProgramPen
    from layerline.compiler.program import Buffer, Op, Phase, Program, Schedule
    from layerline.compiler.values import Index, Pointer, Value

T = TypeVar("T")

TICKET: Final = ("total", "step", "ticket")
"""The scalar arguments of a phase function, after the memory."""

GROUP: Final = ("place", "count")
"""The further ones of its part that processes a group of images: the first one and how many."""

PIECE: Final = 64
"""Maximum calls per function."""


def write_module(schedule: Schedule, machine: Machine, pens: type[ProgramPen] = LlvmPen) -> str:
    """Return the whole Program as text in the pens' language (LLVM IR, C99)."""
    return str(module_of(schedule, machine, pens))


def module_of(schedule: Schedule, machine: Machine, pens: type[ProgramPen] = LlvmPen) -> Any:
    """Return the pens' module with the whole Program."""
    new = partial(pens.begin, pens.module(machine), machine)
    kernels: dict[Kernel, Function] = {}
    for op in schedule.program.ops:
        if op.kernel not in kernels:
            kernels[op.kernel] = _write_kernel(new, op.kernel)
    if schedule.program.training:
        if not issubclass(pens, TrainingPen):
            raise TypeError(f"a {pens.__name__} cannot write a Program that trains")
        _Train(partial(pens.begin, new.args[0], machine), schedule, kernels).write()
    else:
        _write_predict(new, schedule, kernels)
    return new.args[0]


def _write_kernel(new: Callable[..., ProgramPen], kernel: Kernel) -> Function:
    pen = new(kernel.symbol, kernel.pointers, kernel.scalars)
    pen.make_internal()
    kernel.write(pen)
    pen.end()
    return pen.function


def _write_predict(new: Callable[..., ProgramPen], schedule: Schedule, kernels: dict[Kernel, Function]) -> None:
    """Write `predict`, which calls all kernels, or, if there are many, functions that call a PIECE of them each."""
    ops, pointers = schedule.program.ops, predict_pointers(schedule.program)
    pieces = []
    for first in range(0, len(ops), PIECE) if len(ops) > PIECE else ():
        pen = new(f"predict{first}", pointers, ("place", "count"), alone=False)
        pen.make_internal()
        _write_way(pen, schedule, kernels, ops[first : first + PIECE], (pen.count("place"), pen.count("count")))
        pen.end()
        pieces.append(pen.function)
    pen = new("predict", pointers, PREDICT_SCALARS, alone=False)
    with pen.loop("group", pen.count("last"), pen.count("first"), schedule.program.group) as place:
        count = pen.smaller(pen.count("last") - place, schedule.program.group)
        for piece in pieces:
            pen.call(piece, [*(pen.pointer(name) for name in pointers), place, count])
        if not pieces:
            _write_way(pen, schedule, kernels, ops, (place, count))
    pen.end()


def _write_way(
    pen: ProgramPen, schedule: Schedule, kernels: dict[Kernel, Function], ops: Sequence[Op], group: tuple[Index, Index]
) -> None:
    """Write the kernel calls for a group of images, given as its first position and its size."""
    calls = Calls(pen, schedule, kernels)
    for op in ops:
        calls.images(op, *group, {})


@dataclass(frozen=True, eq=False)
class _Step:
    """A step of an epoch, in a function that has `total` and `step_scalars`."""

    number: Index
    start: Index
    """The position in `order` of its first image."""
    images: Index
    shards: Index

    @classmethod
    def written(cls, pen: TrainingPen, program: Program, number: Index) -> _Step:
        """Write the code that derives a step's fields from its number."""
        start = number * program.batch_size
        images = pen.smaller(pen.count("total") - start, program.batch_size)
        shards, _ = divmod(images + (program.shard_size - 1), program.shard_size)
        if program.exchanges:  # a process without images in this batch adds zeros, which its first shard clears
            shards = pen.larger(shards, pen.index(1))
        return cls(number, start, images, shards)

    def scalars(self, pen: TrainingPen, ops: Sequence[Op]) -> dict[str, Index | Value]:
        """Return the scalars that the ops' kernels need: start, images and shards of the step, and its step scalars."""
        requested = {name for op in ops for name in op.kernel.scalars}
        places = {name: self.number * len(STEP_SCALARS) + k for k, name in enumerate(STEP_SCALARS) if name in requested}
        step_scalars = {
            name: pen.convert(pen.load(pen.pointer("step_scalars"), place), DType.F32) for name, place in places.items()
        }
        return {"start": self.start, "images": self.images, "shards": self.shards, **step_scalars}


class _Ticket:
    """Writes a phase's function: the work for one ticket, which is a shard or a slice.

    Each phase has its own function, and a long phase has one for each PIECE, because LLVM's compile time is superlinear
    in function size. As a single function, the 41 phases of resnet20 took 0.75 s of 1.3 s.
    """

    def __init__(self, name: str, driver: _Train, moving: Sequence[Buffer], more: Sequence[str] = ()) -> None:
        self.name, self.driver, self.schedule, self.program = name, driver, driver.schedule, driver.program
        self.moving = moving
        self.pen = driver.begin(name, {MEMORY: DType.U8, PLACES: DType.I64}, (*TICKET, *more))
        self.pen.open_table(self.pen.pointer(MEMORY), driver.pointers)
        self.calls = Calls(self.pen, driver.schedule, driver.kernels, moving)

    @functools.cached_property
    def step(self) -> _Step:
        """The step's fields; first used, and so computed, before the first branch."""
        return _Step.written(self.pen, self.program, self.pen.count("step"))

    def write(self, phase: Phase) -> Function:
        """Write the function and return it."""
        if phase.over is Over.IMAGES:
            self._shard(phase.ops)
        else:
            ends = itertools.accumulate(op.kernel.slices or 0 for op in phase.ops)
            firsts = list(zip(phase.ops, [0, *ends], strict=False))
            self._in_pieces("slices", firsts, {}, lambda piece, some, _: piece._slices(some))
        self.pen.end()
        return self.pen.function

    def _in_pieces(
        self,
        what: str,
        items: Sequence[T],
        at: dict[str, Index],
        write: Callable[[_Ticket, Sequence[T], dict[str, Index]], None],
    ) -> None:
        """Write the items' code inline, or, if there are many, in functions called from here.

        at: further arguments by name, besides those of this function.
        """
        if len(items) <= PIECE:
            write(self, items, at)
            return
        for first in range(0, len(items), PIECE):
            piece = _Ticket(f"{self.name}_{what}{first}", self.driver, self.moving, tuple(at))
            write(piece, items[first : first + PIECE], {name: piece.pen.count(name) for name in at})
            piece.pen.end()
            self.pen.call(piece.pen.function, [*self._own, *at.values()])

    @property
    def _own(self) -> list[Pointer | Value]:
        """Return the arguments that every function of a phase has."""
        return [self.pen.pointer(MEMORY), self.pen.pointer(PLACES), *map(self.pen.scalar, TICKET)]

    def _shard(self, ops: Sequence[Op]) -> None:
        """Write one shard's work in the phase: clear its sums, then process its images group by group."""
        sums = list(dict.fromkeys(b for op in ops for b in op.written if b.per == Per.SHARD))
        self._in_pieces("clear", sums, {}, lambda piece, some, _: piece._clear(some))
        way = _Ticket(f"{self.name}_way", self.driver, self.moving, GROUP)
        way._in_pieces("part", ops, {name: way.pen.count(name) for name in GROUP}, _Ticket._way)
        way.pen.end()
        memory, places, *scalars = self._own
        groups = self.driver.groups(way.pen.function)
        self.pen.call(groups, [memory, places, self.pen.address_of(way.pen.function), *scalars])

    def _clear(self, sums: Sequence[Buffer]) -> None:
        """Zero a shard's sums."""
        for buffer in sums:
            size = item_bytes(buffer)
            place = self.calls.offset(buffer) + self.pen.count("ticket") * size
            self.pen.call(self.driver.clear, [self.pen.at(self.pen.pointer("arena"), place), self.pen.index(size)])

    def _way(self, ops: Sequence[Op], at: dict[str, Index]) -> None:
        """Write the calls for a group of `count` images, starting at `place`."""
        where = {**self.step.scalars(self.pen, ops), "shard": self.pen.count("ticket")}
        del where["images"]
        for op in ops:
            self.calls.images(op, at["place"], at["count"], where)

    def _slices(self, ops: Sequence[tuple[Op, int]]) -> None:
        """Write the calls for a ticket's slice; each op comes with its first ticket."""
        where, ticket = self.step.scalars(self.pen, [op for op, _ in ops]), self.pen.count("ticket")
        for op, first in ops:
            all_tickets = first == 0 and len(ops) == 1  # of a phase with this op alone, so none need be excluded
            mine = nullcontext() if all_tickets else self.pen.when((ticket - first).within(op.kernel.slices or 0))
            with mine:
                self.calls.slice(op, ticket - first, where)
                if any(b.name == "total" for b in op.written):
                    self._decide(self.step.number)

    def _decide(self, step: Index) -> None:
        """Write the end of a step, once its loss is known: count the step, and stop after it if requested or if the
        loss is not finite."""
        pen = self.pen
        total = next(b for b in self.program.buffers if b.name == "total")
        place = self.schedule.in_arena[total] + DType.F64.bytes
        loss = pen.load(pen.cast_pointer(pen.at(pen.pointer("arena"), place), DType.F64))
        diverged = pen.negation(pen.equal(pen.sub(loss, loss), pen.constant(0.0, 1, DType.F64)))
        following = pen.as_value(step + 1)
        pen.atomic_store(following, word(pen, "done"))
        with pen.when(diverged):
            pen.atomic_store(following, word(pen, "diverged"))
        stopped = pen.negation(pen.as_index(pen.atomic_load(word(pen, "stop"))).is_(0))
        with pen.when(pen.either(stopped, diverged)):
            pen.atomic_store(following, word(pen, "end"))


class _Train:
    """Writes `train`."""

    def __init__(self, new: Callable[..., TrainingPen], schedule: Schedule, kernels: dict[Kernel, Function]) -> None:
        self.new, self.kernels = new, kernels
        self.schedule, self.program = schedule, schedule.program
        self.pointers = train_pointers(schedule.program)
        self.pen = new("train", self.pointers, TRAIN_SCALARS, alone=False)
        self._groups: Function | None = None

    def begin(self, name: str, pointers: dict[str, DType], scalars: Sequence[str]) -> TrainingPen:
        """Begin one of the functions that `train` consists of."""
        pen = self.new(name, pointers, scalars, alone=False)
        pen.make_internal()
        return pen

    @functools.cached_property
    def clear(self) -> Function:
        """The function that zeroes some bytes, a multiple of the cache line."""
        pen = self.begin("clear", {"sum": DType.F32}, ("bytes",))
        floats, _ = divmod(pen.count("bytes"), DType.F32.bytes)
        with pen.loop("zero", floats, step=pen.machine.lanes) as i:
            pen.store(pen.constant(0.0, pen.machine.lanes), pen.pointer("sum"), i)
        pen.end()
        return pen.function

    def groups(self, like: Function) -> Function:
        """Return the function that processes a shard group by group, by a function with the signature of `like`.

        Outside of the loop, LLVM has no addresses to reduce in the 44 functions of resnet20 that it calls.
        """
        if self._groups is None:
            pointers, program = {MEMORY: DType.U8, PLACES: DType.I64, "work": DType.U8}, self.program
            pen = self.begin("groups", pointers, TICKET)
            first = pen.count("ticket") * program.shard_size
            images = _Step.written(pen, program, pen.count("step")).images
            last = pen.smaller(first + program.shard_size, images)
            with pen.loop("group", last, first, program.group) as place:
                count = pen.smaller(last - place, program.group)
                own, ticket = map(pen.pointer, (MEMORY, PLACES)), map(pen.scalar, TICKET)
                pen.call_like(like, pen.pointer("work"), [*own, *ticket, place, count])
            pen.end()
            self._groups = pen.function
        return self._groups

    def write(self) -> None:
        """Write the phase functions and the loop over steps."""
        pen, end = self.pen, self.pen.variable(self.pen.constant(0, 1, self.pen.index_type))
        memory, works = pen.table(), self._works()
        share = write_share(self.new, works[0][0], self.pointers)
        with pen.repeat("step", pen.count("first")) as (number, leave):
            leave(number >= pen.as_index(pen.atomic_load(word(pen, "end"))))
            step = _Step.written(pen, self.program, number)
            for phase, (work, places) in zip(self.schedule.phases, works, strict=True):
                slices = sum(op.kernel.slices or 0 for op in phase.ops)
                first, tickets = pen.read(end), step.shards if phase.over is Over.IMAGES else pen.index(slices)
                pen.write(end, pen.as_value(pen.as_index(first) + tickets, pen.index_type))
                scalars = (pen.scalar("total"), step.number, first, pen.read(end))
                pen.call(
                    share,
                    [
                        memory,
                        places or memory,
                        pen.address_of(work),
                        *scalars,
                        pen.scalar("thread"),
                        pen.scalar("threads"),
                    ],
                )
        pen.end()

    def _works(self) -> list[tuple[Function, Pointer | None]]:
        """Write the functions of the phases; return each phase's, and the places that it is for, if it has several."""
        works: dict[int, tuple[Function, Pointer | None]] = {}
        for kind in kinds(self.schedule):
            function = _Ticket(f"phase{min(kind.places)}", self, kind.moving).write(kind.model)
            for number, places in kind.places.items():
                works[number] = function, self.pen.numbers(places) if places else None
        return [work for _, work in sorted(works.items())]
