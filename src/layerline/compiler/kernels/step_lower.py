"""How the optimizers' steps, clipping and Muon become kernels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from layerline.compiler.dtype import DType
from layerline.compiler.given import HYPER
from layerline.compiler.kernels.clip import ClipFactor, Squares
from layerline.compiler.kernels.muon import MuonDirection
from layerline.compiler.kernels.optimizers import Follow
from layerline.compiler.kernels.update import Step, ToColumns, pieces
from layerline.compiler.layout import Columns
from layerline.compiler.plane import room
from layerline.compiler.program import Buffer, Kind, Op, Per

if TYPE_CHECKING:
    from layerline.compiler.builder import Builder, Stepped, Trained
    from layerline.compiler.kernels.muon import Filters
    from layerline.compiler.task import Task
    from layerline.network import Network, Node

FACTOR: Final = Buffer("factor", room(1), Per.ONCE)
"""By what every gradient is scaled down."""

MATCH_ADAM: Final = 0.2
"""Liu et al. 2025, arXiv:2502.16982, eq. 4: so Muon's steps are as long as AdamW's, and take its rate and decay."""


def kind_of(node: Node, weight: str) -> Kind:
    """Return what kind of parameter a layer's weight is."""
    dimensions = len(node.weights[f"{node.path}.{weight}"].shape)
    return {4: Kind.FILTERS, 2: Kind.MATRIX}.get(dimensions, Kind.PLAIN)


def slots_of(network: Network, task: Task) -> dict[str, tuple[str, ...]]:
    """Return each trained parameter's name → what is kept beside it."""
    return {
        f"{node.path}.{weight.name}": task.kept_beside(kind_of(node, weight.name))
        for node in network.nodes
        for weight in node.layer.weights(*node.input_shapes)
        if weight.trained
    }


def steps(b: Builder) -> list[Op]:
    """Return the ops that step all parameters."""
    return [op for step in b.steps for op in _step(b, step)]


def _step(b: Builder, step: Stepped) -> list[Op]:
    """Return a parameter's step, from its whole gradient, and its copies in other homes; where Muon steps it the
    direction is an op of its own."""
    of, filters, ((w, _), *others) = step.of, step.filters, step.of.tensor.homes
    optimizer, slots, gradient = b.task.stepped_by(of.kind), dict(of.tensor.slots), of.gradient
    before = []
    if b.task.muon and of.kind is Kind.FILTERS and filters is not None:
        before.append(_direction(b, of, filters))
        length = MATCH_ADAM * math.sqrt(max(filters.lines, filters.runs * filters.length))
        optimizer, gradient = Follow(optimizer.decay, ema=optimizer.ema, length=length), before[0]["u"]
    kept = [slots[name] for name in optimizer.kept]
    factor = [FACTOR] if optimizer.clip else []
    stepped = Op(Step(of.grid, optimizer), (gradient, w, *kept, HYPER, *factor))
    copies = [Op(ToColumns(of.grid, layout), (w, copy)) for copy, layout in others if isinstance(layout, Columns)]
    return [*before, stepped, *copies]


def _direction(b: Builder, of: Trained, filters: Filters) -> Op:
    """Return the op that works out Muon's direction of a convolution's filters."""
    name, (wide, square), clip = of.gradient.name, filters.room(b.machine), b.task.optimizer.clip
    X, Y = (Buffer(f"{letter}_{name}", room(wide), Per.ONCE) for letter in "XY")
    A, B = (Buffer(f"{letter}_{name}", room(square), Per.ONCE) for letter in "AB")
    u, v = Buffer(f"u_{name}", of.gradient.size, Per.ONCE), dict(of.tensor.slots)["momentum"]
    factor = [FACTOR] if clip else []
    return Op(MuonDirection(filters, clip), (of.gradient, v, HYPER, *factor, X, Y, A, B, u))


def clipping(b: Builder) -> list[Op]:
    """Return the ops that find by how much all gradients are scaled down, if they are."""
    if not (b.training and b.task.optimizer.clip):
        return []
    ops, counts = [], []
    for of in b.trained.values():
        counts.append(pieces(of.grid))
        squares = Buffer("squares_" + of.gradient.name, room(counts[-1]), Per.ONCE, DType.F64)
        ops.append(Op(Squares(of.grid), (of.gradient, squares)))
    return [*ops, Op(ClipFactor(tuple(counts)), (*(op["squares"] for op in ops), HYPER, FACTOR))]
