"""What a pass asks of a Program: who writes and reads a buffer; and the Program with other ops."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from layerline.compiler.program import Buffer, Op, Program


@final
class DefUse:
    """The writer and readers of each buffer of a Program, indexed."""

    def __init__(self, program: Program) -> None:
        """Index a Program."""
        self._writers: dict[Buffer, Op] = {}
        self._readers: dict[Buffer, list[Op]] = {}
        for op in program.ops:
            for buffer in op.written:
                self._writers.setdefault(buffer, op)
            for buffer in op.read:
                self._readers.setdefault(buffer, []).append(op)

    def writer(self, buffer: Buffer) -> Op | None:
        """Return the first op that writes a buffer."""
        return self._writers.get(buffer)

    def readers(self, buffer: Buffer) -> list[Op]:
        """Return the ops that read a buffer."""
        return self._readers.get(buffer, [])


def replace_ops(program: Program, changes: dict[Op, tuple[Op, ...]]) -> Program:
    """Return the Program with ops replaced by others, or removed."""
    return replace(program, ops=tuple(new for op in program.ops for new in changes.get(op, (op,))))
