"""Schedule → LLVM IR: every kernel once, and around them the function that runs many steps, or predicts many images.

    train(memory…, first, total, thread, threads)   what one of the threads does of steps `first`, first + 1, … up to
                                                    control's `end`, of an epoch of `total` images
    predict(memory…, first, last)                   the images at places first … last−1 of `order`

Threads share `control`, a row of 64-bit integers each on a cache line of its own (CONTROL names the first; behind them
each thread has two). In a phase they draw tickets for shards or slices, each first those of its own part, in which its
cache still has what it did a step ago, then those that are left of others'. A phase is over when every ticket in it is
finished, whoever did the work: a thread that the system keeps off its core between two tickets holds up nobody, and
catches up by finding phase after phase done. Tickets are numbered through, so that a late thread cannot draw one of a
later phase. Sums never depend on who drew what.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from llvmlite import ir

from layerline.compiler.pen import Pen
from layerline.compiler.schedule import item_bytes
from layerline.compiler.values import BYTES, PACE, Pointer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from layerline.compiler.machine import Machine
    from layerline.compiler.program import Buffer, Kernel, Op, Phase, Program, Schedule
    from layerline.compiler.values import Index, Value

T = TypeVar("T")

CONTROL: Final = ("stop", "done", "diverged", "end")
"""stop: asked to; done: steps; diverged: step + 1; end: the step before which to end."""
OF_A_THREAD: Final = ("drawn", "finished")
"""drawn: the ticket of its part that is next, or one of an earlier phase; finished: tickets that it has done."""

WORDS_A_LINE: Final = 8

SPINS: Final = 2000
"""Looks at a counter before a waiting thread offers its core to others, and between naps of NAP_MICROSECONDS after
that."""
YIELDS: Final = 50
NAP_MICROSECONDS: Final = 50

TRAIN_POINTERS: Final = {
    "arena": "u8",
    "scratch": "u8",
    "control": "i64",
    "images": "u8",
    "labels": "i32",
    "order": "i64",
    "pace": "f64",
    "scale": "f32",
    "shift": "f32",
    "hyper": "f32",
    "dice": "i32",
    "class_weights": "f32",
    "moves": "i32",
    "numbers": "f32",
    "yield_core": "u8",
    "nap": "u8",
}
TRAIN_SCALARS: Final = ("first", "total", "thread", "threads")
TICKET: Final = ("total", "step", "ticket")
"""What the function of a phase is told beside the memory."""

PIECE: Final = 64
"""Calls in a function at most."""
PREDICT_POINTERS: Final = {
    "arena": "u8",
    "scratch": "u8",
    "images": "u8",
    "labels": "i32",
    "order": "i64",
    "scale": "f32",
    "shift": "f32",
    "probabilities": "f32",
    "losses": "f64",
}
PREDICT_SCALARS: Final = ("first", "last")


def control_words(threads: int) -> int:
    """Return the 64-bit integers of `control`."""
    return (len(CONTROL) + len(OF_A_THREAD) * threads) * WORDS_A_LINE


def write_module(schedule: Schedule, machine: Machine) -> str:
    """Return the LLVM IR of the whole Program."""
    with _no_collecting():
        return str(_module(schedule, machine))


def _module(schedule: Schedule, machine: Machine) -> ir.Module:
    module = ir.Module("layerline")
    module.triple = machine.triple
    kernels: dict[Kernel, Value] = {}
    for op in schedule.program.ops:
        if op.kernel not in kernels:
            kernels[op.kernel] = _write_kernel(module, machine, op.kernel)
    if schedule.program.training:
        _Train(module, machine, schedule, kernels).write()
    else:
        _write_predict(module, machine, schedule, kernels)
    return module


@contextlib.contextmanager
def _no_collecting() -> Iterator[None]:
    """Keep Python from looking for garbage among the module's 100,000 objects, all of which live until it is text.

    resnet20: 0.20 s instead of 0.26 s to write its module (Xeon at 2.6 GHz, Python 3.11, 2026-11-28).
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _write_kernel(module: ir.Module, machine: Machine, kernel: Kernel) -> Value:
    pen = Pen(module, machine, kernel.symbol, kernel.pointers, kernel.scalars)
    pen.function.linkage = "internal"
    pen.function.attributes.add("noinline")
    kernel.write(pen)
    pen.end()
    return pen.function


def _write_predict(module: ir.Module, machine: Machine, schedule: Schedule, kernels: dict[Kernel, Value]) -> None:
    """Write `predict`, which calls all kernels, or where they are many functions that call a PIECE of them each."""
    ops = schedule.program.ops
    pieces = []
    for first in range(0, len(ops), PIECE) if len(ops) > PIECE else ():
        pen = Pen(module, machine, f"predict{first}", PREDICT_POINTERS, ("place", "count"), alone=False)
        pen.function.linkage = "internal"
        pen.function.attributes.add("noinline")
        _write_way(pen, schedule, kernels, ops[first : first + PIECE], (pen.count("place"), pen.count("count")))
        pen.end()
        pieces.append(pen.function)
    pen = Pen(module, machine, "predict", PREDICT_POINTERS, PREDICT_SCALARS, alone=False)
    with pen.loop("group", pen.count("last"), pen.count("first"), schedule.program.group) as place:
        count = pen.smaller(pen.rest(pen.count("last"), place), schedule.program.group)
        for piece in pieces:
            pen.call(piece, [*(pen.pointer(name).value for name in PREDICT_POINTERS), place.whole, count.whole])
        if not pieces:
            _write_way(pen, schedule, kernels, ops, (place, count))
    pen.end()


def _write_way(
    pen: Pen, schedule: Schedule, kernels: dict[Kernel, Value], ops: Sequence[Op], group: tuple[Index, Index]
) -> None:
    """Write the calls of kernels on a group of images: its first place, and how many they are."""
    calls = _Calls(pen, schedule, kernels)
    for op in ops:
        calls.images(op, *group, {})


class _Calls:
    """Calls kernels: works out where each buffer lies."""

    def __init__(self, pen: Pen, schedule: Schedule, kernels: dict[Kernel, Value]) -> None:
        self.pen, self.schedule, self.kernels = pen, schedule, kernels

    def images(self, op: Op, place: Index, count: Index, where: dict[str, Index | Value]) -> None:
        """Call a kernel on `count` images; the first is at `place` of the batch (or of `order`)."""
        addresses = [self._address(b, place, where) for b in op.buffers]
        self._call(op.kernel, addresses, {"images": count.whole, **where})

    def slice(self, op: Op, item: Index, where: dict[str, Index | Value]) -> None:
        """Call a kernel on one of its slices."""
        addresses = [self._address(b, None, where) for b in op.buffers]
        self._call(op.kernel, addresses, {"item": item.whole, **where})

    def _call(self, kernel: Kernel, addresses: list[Value], scalars: dict[str, Index | Value]) -> None:
        values = [scalars[name] for name in kernel.scalars]
        self.pen.call(self.kernels[kernel], addresses + [getattr(v, "whole", v) for v in values])

    def _address(self, buffer: Buffer, place: Index | None, where: dict[str, Index | Value]) -> Value:
        pen, size = self.pen, item_bytes(buffer)
        if buffer.per == "given":
            return pen.pointer(buffer.name).value
        if buffer.per == "position":
            pointer = pen.pointer(buffer.name)
            if place is None:
                raise ValueError(f"{buffer.name} has no meaning for a slice")
            start = where.get("start")
            place = place if start is None else place + start
            return pen.at(pointer, place * buffer.size).value
        if buffer in self.schedule.in_arena:
            at = pen.index(self.schedule.in_arena[buffer])
            if buffer.per == "image" and place is not None:
                at = at + place * size
            if buffer.per == "shard" and place is not None:
                at = at + where["shard"] * size
            return pen.at(pen.pointer("arena"), at).value
        return pen.at(pen.pointer("scratch"), self.schedule.in_scratch[buffer]).value


@dataclass(frozen=True, eq=False)
class _Step:
    """A step of an epoch, in a function that knows `total` and `pace`."""

    number: Index
    start: Index
    """The place in `order` of its first image."""
    images: Index
    shards: Index

    @classmethod
    def written(cls, pen: Pen, program: Program, number: Index) -> _Step:
        """Write what is worked out of a step's number."""
        start = number * program.batch_size
        images = pen.smaller(pen.rest(pen.count("total"), start), program.batch_size)
        shards, _ = pen.divided(images + (program.shard_size - 1), program.shard_size)
        return cls(number, start, images, shards)

    def scalars(self, pen: Pen, ops: Sequence[Op]) -> dict[str, Index | Value]:
        """Return what the kernels of ops ask for: where the step starts, its images, its shards, and its pace."""
        asked = {name for op in ops for name in op.kernel.scalars}
        places = {name: self.number * len(PACE) + k for k, name in enumerate(PACE) if name in asked}
        pace = {name: pen.convert(pen.load(pen.pointer("pace"), place), "f32") for name, place in places.items()}
        return {"start": self.start, "images": self.images, "shards": self.shards, **pace}


class _Ticket:
    """Writes the function of a phase: what a thread does with one ticket, a shard or a slice.

    A function of its own for each phase, and for each PIECE of a long one: LLVM's time grows faster than a function
    does. As one function, the 41 phases of resnet20 took 0.75 s of 1.3 s.
    """

    def __init__(self, name: str, driver: _Train, more: Sequence[str] = ()) -> None:
        self.name, self.driver, self.schedule, self.program = name, driver, driver.schedule, driver.program
        self.pen = Pen(driver.module, driver.machine, name, TRAIN_POINTERS, (*TICKET, *more), alone=False)
        self.pen.function.linkage = "internal"
        self.pen.function.attributes.add("noinline")
        self.calls = _Calls(self.pen, driver.schedule, driver.kernels)
        self.step = _Step.written(self.pen, self.program, self.pen.count("step"))

    def write(self, phase: Phase) -> Value:
        """Write the function and return it."""
        if phase.over == "images":
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
        """Write what `write` writes of the items: here, or where they are many in functions that are called from here.

        at: what it is told by name beside what this function is.
        """
        if len(items) <= PIECE:
            write(self, items, at)
            return
        own = [self.pen.pointer(name).value for name in TRAIN_POINTERS]
        own += [self.pen.scalar(name) for name in TICKET]
        for first in range(0, len(items), PIECE):
            piece = _Ticket(f"{self.name}_{what}{first}", self.driver, tuple(at))
            write(piece, items[first : first + PIECE], {name: piece.pen.count(name) for name in at})
            piece.pen.end()
            self.pen.call(piece.pen.function, [*own, *(value.whole for value in at.values())])

    def _shard(self, ops: Sequence[Op]) -> None:
        """Write one shard's way through the phase: clear its sums, then group after group of its images."""
        pen, program = self.pen, self.program
        sums = list(dict.fromkeys(b for op in ops for b in op.written if b.per == "shard"))
        self._in_pieces("clear", sums, {}, lambda piece, some, _: piece._clear(some))
        first = pen.count("ticket") * program.shard_size
        last = pen.smaller(first + program.shard_size, self.step.images)
        with pen.loop("group", last, first, program.group) as place:
            at = {"place": place, "count": pen.smaller(pen.rest(last, place), program.group)}
            self._in_pieces("way", ops, at, _Ticket._way)

    def _clear(self, sums: Sequence[Buffer]) -> None:
        """Write zeros over a shard's sums."""
        for buffer in sums:
            place = self.schedule.in_arena[buffer] + self.pen.count("ticket") * item_bytes(buffer)
            self.pen.fill_zero(self.pen.at(self.pen.pointer("arena"), place), item_bytes(buffer))

    def _way(self, ops: Sequence[Op], at: dict[str, Index]) -> None:
        """Write the calls for a group of images, `count` from `place` on."""
        where = {**self.step.scalars(self.pen, ops), "shard": self.pen.count("ticket")}
        del where["images"]
        for op in ops:
            self.calls.images(op, at["place"], at["count"], where)

    def _slices(self, ops: Sequence[tuple[Op, int]]) -> None:
        """Write the calls for the slice of a ticket; with each op, the ticket that is its first."""
        where, ticket = self.step.scalars(self.pen, [op for op, _ in ops]), self.pen.count("ticket")
        for op, first in ops:
            with self.pen.when(self.pen.within(ticket - first, op.kernel.slices or 0)):
                self.calls.slice(op, ticket - first, where)
                if any(b.name == "total" for b in op.written):
                    self._decide(self.step.number)

    def _decide(self, step: Index) -> None:
        """Write what follows a step's loss: count the step, and end after it if asked to or if the loss is not
        finite."""
        pen = self.pen
        total = next(b for b in self.program.buffers if b.name == "total")
        place = self.schedule.in_arena[total] + BYTES["f64"]
        loss = pen.load(Pointer(pen.at(pen.pointer("arena"), place).value, "f64"))
        diverged = pen.negation(pen.equal(pen.sub(loss, loss), pen.constant(0.0, 1, "f64")))
        following = (step + 1).whole
        pen.atomic_store(following, _word(pen, "done"))
        with pen.when(diverged):
            pen.atomic_store(following, _word(pen, "diverged"))
        asked = pen.negation(pen.is_zero(pen.as_index(pen.atomic_load(_word(pen, "stop")))))
        with pen.when(pen.either(asked, diverged)):
            pen.atomic_store(following, _word(pen, "end"))


class _Train:
    """Writes `train`."""

    def __init__(self, module: ir.Module, machine: Machine, schedule: Schedule, kernels: dict[Kernel, Value]) -> None:
        self.module, self.machine, self.kernels = module, machine, kernels
        self.schedule, self.program = schedule, schedule.program
        self.pen = Pen(module, machine, "train", TRAIN_POINTERS, TRAIN_SCALARS, alone=False)

    def write(self) -> None:
        """Write the phases' functions, and the loop over steps."""
        pen, end = self.pen, self.pen.variable(self.pen.constant(0, 1, "i64"))
        works = [_Ticket(f"phase{number}", self).write(phase) for number, phase in enumerate(self.schedule.phases)]
        share = _write_share(self.module, self.machine, works[0])
        memory = [pen.pointer(name).value for name in TRAIN_POINTERS]
        with pen.repeat("step", pen.count("first")) as (number, leave):
            leave(pen.at_least(number, pen.as_index(pen.atomic_load(_word(pen, "end")))))
            step = _Step.written(pen, self.program, number)
            for phase, work in zip(self.schedule.phases, works, strict=True):
                slices = sum(op.kernel.slices or 0 for op in phase.ops)
                first, tickets = pen.read(end), step.shards if phase.over == "images" else pen.index(slices)
                pen.write(end, pen.sum(pen.as_index(first), tickets).whole)
                scalars = [pen.scalar("total"), step.number.whole, first, pen.read(end)]
                pen.call(share, [*memory, work, *scalars, pen.scalar("thread"), pen.scalar("threads")])
        pen.end()


def _write_share(module: ir.Module, machine: Machine, like: Value) -> Value:
    """Write the function in which a thread does its share of a phase; `like` is one of the functions that it calls."""
    scalars = ("total", "step", "first_ticket", "end_ticket", "thread", "threads")
    pen = Pen(module, machine, "share", {**TRAIN_POINTERS, "work": "u8"}, scalars, alone=False)
    pen.function.linkage = "internal"
    pen.function.attributes.add("noinline")
    thread, threads = pen.count("thread"), pen.count("threads")
    with pen.loop("part", threads) as other:
        beyond = pen.sum(thread, other)
        part = pen.chosen(pen.at_least(beyond, threads), pen.rest(beyond, threads), beyond)
        _write_draws(pen, like, part)
    _wait(pen)
    pen.end()
    return pen.function


def _write_draws(pen: Pen, like: Value, part: Index) -> None:
    """Write the loop in which a thread draws tickets of a thread's part until there are none."""
    first, threads = pen.count("first_ticket"), pen.count("threads")
    tickets = pen.rest(pen.count("end_ticket"), first)
    start, stop = (pen.sum(first, pen.quotient(pen.product(tickets, place), threads)) for place in (part, part + 1))
    memory = [pen.pointer(name).value for name in TRAIN_POINTERS]
    with pen.repeat("draw") as (_, leave):
        drawn = pen.atomic_load(_word_of(pen, "drawn", part))
        ticket = pen.larger(pen.as_index(drawn), start)
        leave(pen.at_least(ticket, stop))
        with pen.when(pen.atomic_claim(_word_of(pen, "drawn", part), drawn, (ticket + 1).whole)):
            told = [pen.scalar("total"), pen.scalar("step"), pen.rest(ticket, first).whole]
            pen.call_like(like, pen.pointer("work"), [*memory, *told])
            pen.atomic_add(_word_of(pen, "finished", pen.count("thread")), 1)


def _wait(pen: Pen) -> None:
    """Write the wait until all tickets before the phase's end are finished.

    Spin, then offer the core, then nap: a core that falls idle is given the thread that still works, if that one waits
    behind another process.
    """
    with pen.repeat("look") as (look, leave):
        finished = pen.variable(pen.constant(0, 1, "i64"))
        with pen.loop("of", pen.count("threads")) as thread:
            number = pen.atomic_load(_word_of(pen, "finished", thread))
            pen.write(finished, pen.add(pen.read(finished), number))
        leave(pen.at_least(pen.as_index(pen.read(finished)), pen.count("end_ticket")))
        pen.pause()
        with pen.when(pen.at_least(look, SPINS)):
            pen.call_address(pen.pointer("yield_core"))
        with pen.when(pen.at_least(look, SPINS + YIELDS)):
            pen.call_address(pen.pointer("nap"), NAP_MICROSECONDS)


def _word(pen: Pen, name: str) -> Pointer:
    """Return where threads share a number of CONTROL."""
    return pen.at(pen.pointer("control"), CONTROL.index(name) * WORDS_A_LINE)


def _word_of(pen: Pen, name: str, thread: Index) -> Pointer:
    """Return where a thread has a number of OF_A_THREAD."""
    place = len(CONTROL) + OF_A_THREAD.index(name)
    return pen.at(pen.pointer("control"), thread * (len(OF_A_THREAD) * WORDS_A_LINE) + place * WORDS_A_LINE)
