"""Training in several processes, each with its part of every batch: where their sums are added up.

    loss per shard → loss_total                     loss per shard → shard_sums → exchange → loss_total
    reduce / fc_weights → gradient → step           reduce / fc_weights → gradient → exchange → gradient → step
    batch_norm sums per shard → statistics          sums per shard → shard_sums → exchange → statistics

Clipping, Muon and the optimizer then run in every process on the same whole gradients, so all have the same weights. A
BatchNorm's own gradients follow from its exchanged sums. Gradients and the loss are exchanged together, at the end of a
step.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from layerline.compiler.dtype import DType
from layerline.compiler.given import EXCHANGE
from layerline.compiler.kernels.batch_norm import BatchNormGradients, BatchNormStatistics
from layerline.compiler.kernels.exchange import Exchange, ShardSums
from layerline.compiler.kernels.loss import LossTotal
from layerline.compiler.plane import capacity
from layerline.compiler.program import Buffer, Op, Per, Program

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Sums:
    """What one exchange adds up: a buffer of this process, and the one with the sum over all."""

    size: int
    here: Buffer
    everywhere: Buffer


def exchanging(program: Program) -> Program:
    """Return the Program for one of several processes. `program` is as it was built: no update is fused."""
    rewriting = _Rewriting(program)
    for op in program.ops:
        rewriting.put(op)
    return replace(program, ops=tuple(rewriting.ops))


@dataclass(eq=False)
class _Rewriting:
    """Rewrites the ops of a Program in their order."""

    program: Program
    ops: list[Op] = field(default_factory=list)
    pending: list[Sums] = field(default_factory=list)
    """What is exchanged at the end of the step."""
    after: list[Op] = field(default_factory=list)
    """The ops that wait for that exchange."""
    exchanges: int = 0

    def __post_init__(self) -> None:
        """Find the gradients, and the last op that computes one of them, or the loss."""
        self._gradients = {tensor.gradient for tensor in self.program.tensors}
        self._last = [op for op in self.program.ops if self._ends(op)][-1]

    def put(self, op: Op) -> None:
        """Add an op, or the ops that take its place."""
        original = op
        if isinstance(op.kernel, BatchNormStatistics | BatchNormGradients):
            sums = self._shard_sums(op["sums"])
            self._exchange([sums])
            self.ops.append(_with(Op(replace(op.kernel, whole=True), op.buffers), op["sums"], sums.everywhere))
        elif isinstance(op.kernel, LossTotal):
            sums = self._shard_sums(op["loss"])
            self.pending.append(sums)
            self.after.append(Op(replace(op.kernel, whole=True), (sums.everywhere, op["total"])))
        else:
            for gradient in self._gradients_of(op):
                size = next(argument.layout for argument, buffer in op.uses if buffer == gradient)
                assert isinstance(size, int)  # noqa: S101 - gradients are lists of numbers
                here = replace(gradient, name=f"{gradient.name}_here")
                self.pending.append(Sums(size, here, gradient))
                op = _with(op, gradient, here)
            self.ops.append(op)
        if original is self._last:
            self._exchange(self.pending)
            self.ops += self.after

    def _ends(self, op: Op) -> bool:
        return isinstance(op.kernel, LossTotal) or bool(self._gradients_of(op))

    def _gradients_of(self, op: Op) -> list[Buffer]:
        """Return the whole gradients that an op computes from this process's images alone."""
        if isinstance(op.kernel, BatchNormGradients):
            return []
        return [buffer for buffer in op.written if buffer in self._gradients]

    def _shard_sums(self, partial: Buffer) -> Sums:
        """Add the op that sums the shards, and return what is to be exchanged."""
        size = next(a.layout for op in self.program.ops for a, b in op.uses if b == partial)
        assert isinstance(size, int)  # noqa: S101 - sums are lists of numbers
        here, everywhere = (
            Buffer(f"{partial.name}_{where}", capacity(size + 1), Per.ONCE, DType.F64)
            for where in ("here", "everywhere")
        )
        self.ops.append(Op(ShardSums(size), (partial, here)))
        return Sums(size + 1, here, everywhere)

    def _exchange(self, sums: Sequence[Sums]) -> None:
        """Add an exchange."""
        kernel = Exchange(self.exchanges, tuple((each.size, each.here.dtype) for each in sums))
        self.ops.append(Op(kernel, (EXCHANGE, *(each.here for each in sums), *(each.everywhere for each in sums))))
        self.exchanges += 1


def _with(op: Op, old: Buffer, new: Buffer) -> Op:
    """Return the op with another buffer in place of one."""
    return Op(op.kernel, tuple(new if buffer == old else buffer for buffer in op.buffers))
