"""Network → unoptimized Program: each layer has its own kernels, each gradient is a buffer, each update is a kernel.

`passes` optimizes it. A layer's lowering is next to its kernels: LOWER maps the layer kind to that function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from layerline.compiler.builder import Builder, LayerValue
from layerline.compiler.dtype import DType
from layerline.compiler.folding import folds
from layerline.compiler.given import (
    CLASS_WEIGHTS,
    HYPER,
    LABELS,
    LOSSES,
    MOVES,
    NUMBERS,
    ORDER,
    SCALE,
    SHIFT,
    images,
    probabilities,
)
from layerline.compiler.kernels import (
    activations_lower,
    average_lower,
    batch_norm_lower,
    concatenation_lower,
    conv_lower,
    deliver_lower,
    dropout_lower,
    fc_lower,
    pool_lower,
    product_lower,
    relu_lower,
    sum_lower,
)
from layerline.compiler.kernels.augment import Augment
from layerline.compiler.kernels.copies import Reorder
from layerline.compiler.kernels.load import Load
from layerline.compiler.kernels.loss import LossTotal, Probabilities, SoftmaxLoss
from layerline.compiler.kernels.step_lower import clipping, steps
from layerline.compiler.plane import Plane, capacity
from layerline.compiler.program import Buffer, Op, Per, Program
from layerline.compiler.shards import shard_size
from layerline.compiler.task import End

if TYPE_CHECKING:
    from layerline.compiler.machine import Machine
    from layerline.compiler.task import Task
    from layerline.network import Network


LOWER = {
    "conv": conv_lower.lower,
    "relu": relu_lower.lower,
    "pool": pool_lower.lower,
    "flat": fc_lower.lower_flat,
    "fc": fc_lower.lower,
    "softmax": fc_lower.lower_softmax,
    "batch_norm": batch_norm_lower.lower,
    "add": sum_lower.lower,
    "concat": concatenation_lower.lower,
    "gate": product_lower.lower,
    "depthwise": conv_lower.lower_each_channel,
    "avg_pool": average_lower.lower,
    "global_pool": average_lower.lower_global,
    "global_max_pool": pool_lower.lower_global,
    "dropout": dropout_lower.lower,
    "dropout2d": dropout_lower.lower_channels,
    **dict.fromkeys(activations_lower.FUNCTIONS, activations_lower.lower),
}
BORDER = {"conv": conv_lower.border, "depthwise": conv_lower.border}
"""Layer kind → the zero border it needs around its input; other kinds need none."""


PREDICTION_GROUP: Final = 10
"""Maximum images that the forward-only Program processes together."""


def build(network: Network, machine: Machine, task: Task) -> Program:
    """Return the unoptimized Program."""
    b = Builder(network, machine, task, BORDER, folds=folds(network, training=task.training))
    C, H, W = network.input_shape
    plane = Plane(C, H, W, *b.border(0))
    x = LayerValue(Buffer("x", capacity(plane.size), Per.IMAGE, plane=plane), plane, (C, H, W), needs_gradient=False)
    b.values[0] = x
    layout = (plane, task.source, task.channels_last and C > 1, task.even_scaling)
    if task.augmented is None:
        b.op(Load(*layout), images(task.source), ORDER, SCALE, SHIFT, x.buffer)
    else:
        b.op(Augment(*layout, task.augmented), images(task.source), ORDER, MOVES, NUMBERS, SCALE, SHIFT, x.buffer)
    for node in network.nodes:
        LOWER[node.layer.kind](b, node)
    _finish(b, b.values[len(network.nodes)])
    for back in reversed(b.backward):
        back()
    ops = (*b.ops, *b.sums, *clipping(b), *steps(b))
    shard = shard_size(task.batch_size) if task.training else PREDICTION_GROUP
    return Program(ops, tuple(b.tensors.values()), task.training, task.batch_size, shard, group=1)


def _finish(b: Builder, logits: LayerValue) -> None:
    """Add softmax and loss, or the task's end; classes are numbered in C, H, W order, regardless of memory order."""
    if not b.training and b.task.end is End.VALUES:
        deliver_lower.deliver(b, [b.value(number) for number in b.task.observed] or [logits])
        return
    K = b.network.classes
    z, (C, H, W) = logits.buffer, logits.image
    reorder = C > 1 and H * W > 1
    if reorder:
        z = b.scratch("z", K)
        b.op(Reorder(C, H * W), logits.buffer, z)
    if not b.training:
        if b.task.end is End.LOSSES:
            b.op(Probabilities(K), z, LABELS, ORDER, probabilities(K), LOSSES)
        else:
            b.op(Probabilities(K, losses=False), z, probabilities(K))
        return
    dz = b.gradient(logits)[0]
    loss, total = Buffer("loss", capacity(1), Per.SHARD, DType.F64), Buffer("total", capacity(2), Per.ONCE, DType.F64)
    tallies = Buffer("tallies", 3 * K, Per.THREAD, DType.I64)
    dz_ordered = b.scratch("dz", K) if reorder else dz
    extra = () if b.task.objective.plain else (HYPER, CLASS_WEIGHTS)
    b.op(SoftmaxLoss(K, b.task.objective), z, LABELS, ORDER, *extra, dz_ordered, loss, tallies)
    if reorder:
        b.op(Reorder(H * W, C), dz_ordered, dz)
    b.sums.append(Op(LossTotal(), (loss, total)))
