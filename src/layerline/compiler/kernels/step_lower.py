"""Lowering of optimizer steps, clipping and Muon."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from layerline.compiler.dtype import DType
from layerline.compiler.given import HYPER
from layerline.compiler.kernels.clip import ClipFactor, Squares
from layerline.compiler.kernels.muon import MuonDirection
from layerline.compiler.kernels.optimizers import Follow
from layerline.compiler.kernels.update import Step, ToColumns, row_chunks
from layerline.compiler.layout import Columns
from layerline.compiler.plane import capacity
from layerline.compiler.program import Buffer, Kind, Op, Per

if TYPE_CHECKING:
    from layerline.compiler.builder import Builder, PendingStep
    from layerline.compiler.task import Task
    from layerline.layers import Weight
    from layerline.network import Network

FACTOR: Final = Buffer("factor", capacity(1), Per.ONCE)
"""The factor that all gradients are multiplied by when clipped."""

MATCH_ADAM: Final = 0.2
"""Liu et al. 2025, arXiv:2502.16982, eq. 4: scales Muon's steps to AdamW's length, so its rate and decay apply."""


def kind_of(weight: Weight) -> Kind:
    """Return the parameter kind of a layer's weight."""
    return {4: Kind.FILTERS, 2: Kind.MATRIX}.get(len(weight.shape), Kind.PLAIN)


def slots_of(network: Network, task: Task) -> dict[str, tuple[str, ...]]:
    """Return the name of each trained parameter → the names of its optimizer slots."""
    return {name: task.slot_names(kind_of(weight)) for name, weight in network.weights.items() if weight.trained}


def steps(b: Builder) -> list[Op]:
    """Return the optimizer steps of all parameters, after all of Muon's directions: they are a phase of their own, in
    which each is one item, and begins with those that take longest."""
    directions = {step: op for step in b.steps if (op := _direction(b, step)) is not None}
    longest_first = sorted(directions.values(), key=lambda op: op.kernel.multiply_adds(1), reverse=True)
    return [*longest_first, *(op for step in b.steps for op in _step(b, step, directions.get(step)))]


def _step(b: Builder, step: PendingStep, direction: Op | None) -> list[Op]:
    """Return the ops that step a parameter, from its whole gradient or along a direction, and update its copies."""
    of, filters, ((w, _), *others) = step.of, step.filters, step.of.tensor.homes
    optimizer = b.task.optimizer_for(of.kind, backbone=of.backbone)
    slots, gradient = dict(of.tensor.slots), of.gradient
    if direction is not None and filters is not None:
        length = MATCH_ADAM * math.sqrt(max(filters.lines, filters.runs * filters.length))
        optimizer = Follow(optimizer.decay, ema=optimizer.ema, rate_factor=optimizer.rate_factor, length=length)
        gradient = direction["u"]
    state = [slots[name] for name in optimizer.all_slots]
    factor = [FACTOR] if optimizer.clip else []
    stepped = Op(Step(of.grid, optimizer), (gradient, w, *state, HYPER, *factor))
    copies = [Op(ToColumns(of.grid, layout), (w, copy)) for copy, layout in others if isinstance(layout, Columns)]
    return [stepped, *copies]


def _direction(b: Builder, step: PendingStep) -> Op | None:
    """Return the op that computes Muon's direction for a convolution's filters, if this is such a step."""
    of, filters = step.of, step.filters
    if not (b.task.muon and of.kind is Kind.FILTERS and filters is not None):
        return None
    name, clip = of.gradient.name, b.task.optimizer.clip
    work = [
        Buffer(f"{letter}_{name}", capacity(size), Per.ONCE) for letter, size in filters.workspace(b.machine).items()
    ]
    u, v = Buffer(f"u_{name}", of.gradient.size, Per.ONCE), dict(of.tensor.slots)["momentum"]
    factor = [FACTOR] if clip else []
    return Op(MuonDirection(filters, clip), (of.gradient, v, HYPER, *factor, *work, u))


def clipping(b: Builder) -> list[Op]:
    """Return the ops that compute the clipping factor, if gradients are clipped."""
    if not (b.training and b.task.optimizer.clip):
        return []
    ops, counts = [], []
    for of in b.trained.values():
        counts.append(row_chunks(of.grid))
        squares = Buffer("squares_" + of.gradient.name, capacity(counts[-1]), Per.ONCE, DType.F64)
        ops.append(Op(Squares(of.grid), (of.gradient, squares)))
    return [*ops, Op(ClipFactor(tuple(counts)), (*(op["squares"] for op in ops), HYPER, FACTOR))]
