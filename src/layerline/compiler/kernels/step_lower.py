"""How the optimisers' steps, clipping and Muon become kernels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from layerline.compiler.dtype import DType
from layerline.compiler.kernels.clip import ClipFactor, Squares
from layerline.compiler.kernels.muon import MuonDirection
from layerline.compiler.kernels.optimizers import Follow
from layerline.compiler.kernels.update import Grid, Step, pieces
from layerline.compiler.plane import room
from layerline.compiler.program import Buffer, Kind, Op, Per

if TYPE_CHECKING:
    from layerline.compiler.build import Builder
    from layerline.compiler.kernels.muon import Filters
    from layerline.compiler.program import Tensor
    from layerline.compiler.task import Task
    from layerline.network import Network, Node

HYPER: Final = Buffer("hyper", 0, Per.GIVEN)
FACTOR: Final = Buffer("factor", room(1), Per.ONCE)
"""By what every gradient is scaled down."""

KINDS: Final = {"conv": Kind.FILTERS, "depthwise": Kind.FILTERS, "fc": Kind.MATRIX}
"""The kind of a layer → the kind of its `weight`."""

MATCH_ADAM: Final = 0.2
"""Liu et al. 2025, arXiv:2502.16982, eq. 4: so Muon's steps are as long as AdamW's, and take its rate and decay."""


def kept_beside(task: Task, kind: Kind) -> tuple[str, ...]:
    """Return the names of what is kept beside a parameter of a kind."""
    optimizer = task.stepped_by(kind)
    if task.muon and kind is Kind.FILTERS:
        return ("momentum", *(("ema",) if optimizer.ema else ()))
    return tuple(optimizer.kept)


def kind_of(node: Node, weight: str) -> Kind:
    """Return what kind of parameter a layer's weight is."""
    return KINDS.get(node.layer.kind, Kind.PLAIN) if weight == "weight" else Kind.PLAIN


def slots_of(network: Network, task: Task) -> dict[str, tuple[str, ...]]:
    """Return each trained parameter's name → what is kept beside it."""
    return {
        f"{node.path}.{weight.name}": kept_beside(task, kind_of(node, weight.name))
        for node in network.nodes
        for weight in node.layer.weights(*node.input_shapes)
        if weight.trained
    }


def step(b: Builder, tensor: Tensor, kind: Kind, kernel: Step, filters: Filters | None) -> None:
    """Add a parameter's step, from its whole gradient."""
    assert tensor.gradient is not None  # noqa: S101 - only called when training
    homes, slots, gradient = [buffer for buffer, _ in tensor.homes], dict(tensor.slots), tensor.gradient
    if b.task.muon and kind is Kind.FILTERS and filters is not None:
        u = _direction(b, tensor, filters)
        length = MATCH_ADAM * math.sqrt(max(filters.lines, filters.runs * filters.length))
        old = kernel.optimizer
        kernel = Step(kernel.grid, Follow(old.decay, clip=False, ema=old.ema, length=length), columns=kernel.columns)
        gradient = u
    given = [slots[name] for name in kernel.optimizer.kept]
    factor = [FACTOR] if kernel.optimizer.clip else []
    b.steps.append(Op(kernel, (gradient, homes[0], *given, HYPER, *factor, *homes[1:])))


def _direction(b: Builder, tensor: Tensor, filters: Filters) -> Buffer:
    """Add Muon's direction of a convolution's filters; returns where it is."""
    assert tensor.gradient is not None  # noqa: S101 - only called when training
    name, (wide, square) = tensor.gradient.name, filters.room(b.machine)
    X, Y = (Buffer(f"{letter}_{name}", room(wide), Per.ONCE) for letter in "XY")
    A, B = (Buffer(f"{letter}_{name}", room(square), Per.ONCE) for letter in "AB")
    u = Buffer(f"u_{name}", tensor.gradient.size, Per.ONCE)
    clip = b.task.optimizer.clip
    factor = [FACTOR] if clip else []
    kernel = MuonDirection(filters, clip)
    b.steps.append(Op(kernel, (tensor.gradient, dict(tensor.slots)["momentum"], HYPER, *factor, X, Y, A, B, u)))
    return u


def clipping(b: Builder) -> list[Op]:
    """Return the ops that find by how much all gradients are scaled down, if they are."""
    if not (b.training and b.task.optimizer.clip):
        return []
    grids: dict[Buffer, Grid] = b.grids
    squares = [
        (Buffer("squares_" + g.name, room(pieces(grid)), Per.ONCE, DType.F64), g, grid) for g, grid in grids.items()
    ]
    ops = [Op(Squares(grid), (g, buffer)) for buffer, g, grid in squares]
    factor = ClipFactor(tuple(pieces(grid) for *_, grid in squares))
    return [*ops, Op(factor, (*(buffer for buffer, *_ in squares), HYPER, FACTOR))]
