"""Program → Schedule: phases separated by barriers, and a memory offset for each buffer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from layerline.compiler.kernel import Over
from layerline.compiler.program import Per, Phase, Program, Schedule

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerline.compiler.program import Buffer, Op

LINE: Final = 64
"""Cache line size in bytes; each item of each buffer is aligned to it."""


def schedule(program: Program) -> Schedule:
    """Return the Program's phases and the offsets of its buffers."""
    phases = split_phases(program)
    live = live_across_phases(phases)
    arena, arena_bytes = _place(
        (b, _items(b, program)) for b in program.buffers if b.per in (Per.ONCE, Per.SHARD) or b in live
    )
    scratch, scratch_bytes = _place(
        (b, program.group if b.per == Per.IMAGE else 1)
        for b in program.buffers
        if (b.per == Per.IMAGE and b not in live) or b.per == Per.THREAD
    )
    return Schedule(program, phases, arena, scratch, arena_bytes, scratch_bytes)


def split_phases(program: Program) -> tuple[Phase, ...]:
    """Split the ops into phases: over images, or over slices that do not touch what another op of the phase writes."""
    phases: list[tuple[Over, list[Op]]] = []
    touched: set[Buffer] = set()
    written: set[Buffer] = set()
    for op in program.ops:
        over = op.over
        conflict = over is Over.SLICES and (touched.intersection(op.written) or written.intersection(op.buffers))
        if not phases or phases[-1][0] != over or conflict:
            phases.append((over, []))
            touched, written = set(), set()
        phases[-1][1].append(op)
        touched.update(op.buffers)
        written.update(op.written)
    return tuple(Phase(tuple(ops), over) for over, ops in phases)


def live_across_phases(phases: tuple[Phase, ...]) -> frozenset[Buffer]:
    """Return the per-image buffers that a later phase reads: they are allocated for the whole batch."""
    written: dict[Buffer, int] = {}
    live: set[Buffer] = set()
    for number, phase in enumerate(phases):
        for op in phase.ops:
            live.update(b for b in op.buffers if b.per == Per.IMAGE and written.get(b, number) != number)
            written.update({b: number for b in op.written if b not in written})
    return frozenset(live)


def item_bytes(buffer: Buffer) -> int:
    """Return the size of one item of a buffer in bytes, including its padding."""
    return buffer.size * buffer.dtype.bytes


def _items(buffer: Buffer, program: Program) -> int:
    return {Per.ONCE: 1, Per.SHARD: program.shards, Per.IMAGE: program.batch_size}[buffer.per]


def _place(buffers: Iterable[tuple[Buffer, int]]) -> tuple[dict[Buffer, int], int]:
    offsets, at = {}, 0
    for buffer, items in buffers:
        offsets[buffer] = at
        at += -(-(item_bytes(buffer) * items) // LINE) * LINE
    return offsets, at + LINE
