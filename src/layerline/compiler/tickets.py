"""Work sharing in a phase: threads draw tickets for its shards or slices, numbered consecutively within a call.

Threads share `control`, an array of 64-bit integers, each on its own cache line (CONTROL names the first ones; after
them each thread has two). A thread first draws tickets from its own part of a phase, whose data is still in its cache
from the previous step, then steals those left in other parts. A phase ends when all its tickets are finished,
regardless of which thread did the work: a thread that is preempted between two tickets delays no other, and catches up
by finding the intervening phases done. A late thread cannot draw a ticket of a later phase. Sums never depend on which
thread drew what.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from layerline.compiler.calls import PLACES
from layerline.compiler.dtype import DType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from layerline.compiler.pen import Function, TrainingPen
    from layerline.compiler.values import Index, Pointer

CONTROL: Final = ("stop", "done", "diverged", "end")
"""stop: whether a stop is requested; done: steps completed; diverged: step + 1; end: the step to stop before."""
PER_THREAD: Final = ("drawn", "finished")
"""drawn: the next ticket of the thread's part, or one of an earlier phase; finished: tickets that it has completed."""

WORDS_PER_LINE: Final = 8

MEMORY: Final = "memory"
"""The argument of the functions inside `train`: the table of its pointers. As arguments of 100 functions, which most of
them only pass on, they took LLVM a fifth of the time for resnet20."""

SPINS: Final = 2000
"""Polls of the counters before a waiting thread starts to yield its core."""
YIELDS: Final = 50
"""Yields before it also sleeps for NAP_MICROSECONDS after each poll."""
NAP_MICROSECONDS: Final = 50


def control_words(threads: int) -> int:
    """Return the number of 64-bit integers in `control`."""
    return (len(CONTROL) + len(PER_THREAD) * threads) * WORDS_PER_LINE


def write_share(new: Callable[..., TrainingPen], like: Function, pointers: Mapping[str, DType]) -> Function:
    """Write the function that does a thread's share of a phase; `like` is one of the functions that it calls.

    pointers: those of the table that it is given.
    """
    scalars = ("total", "step", "first_ticket", "end_ticket", "thread", "threads")
    pen = new("share", {MEMORY: DType.U8, PLACES: DType.I64, "work": DType.U8}, scalars, alone=False)
    pen.make_internal()
    pen.open_table(pen.pointer(MEMORY), pointers)
    thread, threads = pen.count("thread"), pen.count("threads")
    with pen.loop("part", threads) as other:
        beyond = thread + other
        part = pen.chosen(beyond >= threads, beyond - threads, beyond)
        _draw_tickets(pen, like, part)
    _wait(pen)
    pen.end()
    return pen.function


def _draw_tickets(pen: TrainingPen, like: Function, part: Index) -> None:
    """Write the loop that draws tickets from one thread's part until none are left."""
    first, threads = pen.count("first_ticket"), pen.count("threads")
    tickets = pen.count("end_ticket") - first
    start, stop = (first + tickets * place // threads for place in (part, part + 1))
    with pen.repeat("draw") as (_, leave):
        last_drawn = pen.atomic_load(_word_of(pen, "drawn", part))
        ticket = pen.larger(pen.as_index(last_drawn), start)
        leave(ticket >= stop)
        with pen.when(pen.atomic_claim(_word_of(pen, "drawn", part), last_drawn, pen.as_value(ticket + 1))):
            pointers = (pen.pointer(MEMORY), pen.pointer(PLACES))
            arguments = (*pointers, pen.scalar("total"), pen.scalar("step"), ticket - first)
            pen.call_like(like, pen.pointer("work"), arguments)
            pen.atomic_add(_word_of(pen, "finished", pen.count("thread")), 1)


def _wait(pen: TrainingPen) -> None:
    """Write the barrier: wait until all tickets of the phase are finished.

    Spin, then yield, then sleep: the idle core can then run the thread that is still working, if that one is waiting
    for a core.
    """
    with pen.repeat("look") as (look, leave):
        finished = pen.variable(pen.constant(0, 1, DType.I64))
        with pen.loop("of", pen.count("threads")) as thread:
            number = pen.atomic_load(_word_of(pen, "finished", thread))
            pen.write(finished, pen.add(pen.read(finished), number))
        leave(pen.as_index(pen.read(finished)) >= pen.count("end_ticket"))
        pen.pause()
        with pen.when(look >= SPINS):
            pen.call_address(pen.pointer("yield_core"))
        with pen.when(look >= SPINS + YIELDS):
            pen.call_address(pen.pointer("nap"), NAP_MICROSECONDS)


def word(pen: TrainingPen, name: str) -> Pointer:
    """Return the address of a shared CONTROL word."""
    return pen.at(pen.pointer("control"), CONTROL.index(name) * WORDS_PER_LINE)


def _word_of(pen: TrainingPen, name: str, thread: Index) -> Pointer:
    """Return the address of a thread's PER_THREAD word."""
    place = len(CONTROL) + PER_THREAD.index(name)
    return pen.at(pen.pointer("control"), thread * (len(PER_THREAD) * WORDS_PER_LINE) + place * WORDS_PER_LINE)
