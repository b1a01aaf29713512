"""How threads share a phase: by tickets for its shards or slices, numbered through since the call began.

Threads share `control`, a row of 64-bit integers each on a cache line of its own (CONTROL names the first; behind them
each thread has two). A thread first draws tickets of its own part of a phase, in which its cache still has what it did
a step ago, then those that are left of others'. A phase is over when every ticket in it is finished, whoever did the
work: a thread that the system keeps off its core between two tickets holds up nobody, and catches up by finding phase
after phase done. A late thread cannot draw a ticket of a later phase. Sums never depend on who drew what.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from layerline.compiler.calls import TRAIN_POINTERS
from layerline.compiler.dtype import DType

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerline.compiler.pen import Function, ProgramPen
    from layerline.compiler.values import Index, Pointer

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


def control_words(threads: int) -> int:
    """Return the 64-bit integers of `control`."""
    return (len(CONTROL) + len(OF_A_THREAD) * threads) * WORDS_A_LINE


def write_share(new: Callable[..., ProgramPen], like: Function) -> Function:
    """Write the function in which a thread does its share of a phase; `like` is one of the functions that it calls."""
    scalars = ("total", "step", "first_ticket", "end_ticket", "thread", "threads")
    pen = new("share", {**TRAIN_POINTERS, "work": DType.U8}, scalars, alone=False)
    pen.keep_inside()
    thread, threads = pen.count("thread"), pen.count("threads")
    with pen.loop("part", threads) as other:
        beyond = thread + other
        part = pen.chosen(beyond >= threads, beyond - threads, beyond)
        _draws(pen, like, part)
    _wait(pen)
    pen.end()
    return pen.function


def _draws(pen: ProgramPen, like: Function, part: Index) -> None:
    """Write the loop in which a thread draws tickets of a thread's part until there are none."""
    first, threads = pen.count("first_ticket"), pen.count("threads")
    tickets = pen.count("end_ticket") - first
    start, stop = (first + tickets * place // threads for place in (part, part + 1))
    memory = [pen.pointer(name) for name in TRAIN_POINTERS]
    with pen.repeat("draw") as (_, leave):
        drawn = pen.atomic_load(_word_of(pen, "drawn", part))
        ticket = pen.larger(pen.as_index(drawn), start)
        leave(ticket >= stop)
        with pen.when(pen.atomic_claim(_word_of(pen, "drawn", part), drawn, pen.as_value(ticket + 1))):
            told = (pen.scalar("total"), pen.scalar("step"), ticket - first)
            pen.call_like(like, pen.pointer("work"), [*memory, *told])
            pen.atomic_add(_word_of(pen, "finished", pen.count("thread")), 1)


def _wait(pen: ProgramPen) -> None:
    """Write the wait until all tickets before the phase's end are finished.

    Spin, then offer the core, then nap: a core that falls idle is given the thread that still works, if that one waits
    behind another process.
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


def word(pen: ProgramPen, name: str) -> Pointer:
    """Return where threads share a number of CONTROL."""
    return pen.at(pen.pointer("control"), CONTROL.index(name) * WORDS_A_LINE)


def _word_of(pen: ProgramPen, name: str, thread: Index) -> Pointer:
    """Return where a thread has a number of OF_A_THREAD."""
    place = len(CONTROL) + OF_A_THREAD.index(name)
    return pen.at(pen.pointer("control"), thread * (len(OF_A_THREAD) * WORDS_A_LINE) + place * WORDS_A_LINE)
