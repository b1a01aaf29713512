"""Network → Program on 8-bit values: each step by the function of its layer's kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from layerline.compiler.dtype import DType
from layerline.compiler.given import ORDER, images, probabilities
from layerline.compiler.int8 import lower_filters, lower_pointwise
from layerline.compiler.int8.equalizing import equalized
from layerline.compiler.int8.int8_builder import Int8Builder, Int8Program, Int8Value
from layerline.compiler.int8.int8_steps import steps_of
from layerline.compiler.int8.scales import Scale, scale_of
from layerline.compiler.kernels.activations_lower import FUNCTIONS
from layerline.compiler.kernels.int8_ends import Int8Load, Int8Values
from layerline.compiler.kernels.int8_values import HIGHEST, LOWEST
from layerline.compiler.kernels.loss import Probabilities
from layerline.compiler.plane import Plane, capacity
from layerline.compiler.program import Buffer, Per, Program
from layerline.compiler.spec import check

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from layerline.compiler.int8.int8_builder import Observation
    from layerline.compiler.int8.int8_steps import Int8Steps
    from layerline.compiler.machine import Machine
    from layerline.data.dataset import Scaling
    from layerline.layers import Conv
    from layerline.network import Network, Node

LOWER: Final = {
    "conv": lower_filters.lower_conv,
    "depthwise": lower_filters.lower_conv,
    "fc": lower_filters.lower_fc,
    "batch_norm": lower_filters.lower_norm,
    "add": lower_pointwise.lower_sum,
    "concat": lower_pointwise.lower_concat,
    "gate": lower_pointwise.lower_gate,
    "pool": lower_pointwise.lower_pool,
    "global_max_pool": lower_pointwise.lower_global_max,
    "avg_pool": lower_pointwise.lower_average,
    "global_pool": lower_pointwise.lower_global_average,
    "relu": lower_pointwise.lower_table,
    **dict.fromkeys(FUNCTIONS, lower_pointwise.lower_table),
}


def int8_program(
    network: Network,
    machine: Machine,
    weights: Mapping[str, NDArray[Any]],
    observed: Mapping[int, Observation],
    scaling: Scaling,
    function: Callable[[Node, NDArray[np.float32]], NDArray[np.float32]],
    *,
    channels_last: bool = True,
) -> Int8Program:
    """Return the Program that computes the probabilities of images, uint8 in H, W, C order (or C, H, W).

    network: without frozen layers; weights: folded; observed: of the input (0) and of the value of each step; function:
    computes an activation. Raises NetworkError for a network that 8-bit values cannot compute.
    """
    steps = steps_of(network)
    weights, observed = equalized(steps, weights, observed)
    b = Int8Builder(network, machine, weights, observed, _borders(steps), function)
    _load(b, scaling, channels_last=channels_last and network.input_shape[0] > 1)
    last, scores = steps.steps[-1] if steps.steps else None, None
    for step in steps.steps:
        if step is last and step.node.layer.kind == "fc" and step.limit is None:
            scores = lower_filters.lower_scores(b, step)
        else:
            LOWER[step.node.layer.kind](b, step)
    K = network.classes
    if scores is None:
        x = b.values[steps.made_by[len(network.nodes)]]
        scores = Buffer("z", capacity(K), Per.IMAGE)
        numbers = b.parameter("s", np.array([x.scale.zero, x.scale.scale], np.float32), DType.F32)
        b.op(Int8Values(x.plane), x.buffer, numbers, scores)
    b.op(Probabilities(K, losses=False), scores, probabilities(K))
    program = Program(tuple(b.ops), tuple(b.tensors), training=False, batch_size=1, shard_size=1, group=1)
    check(program, "int8")
    return Int8Program(program, b.constants)


def _borders(steps: Int8Steps) -> dict[int, tuple[int, int, int, int]]:
    """Return the border that the readers of each value need."""
    found: dict[int, tuple[int, int, int, int]] = {}
    for step in steps.steps:
        if step.node.layer.has_filters:
            around = cast("Conv", step.node.layer).window.around(*step.node.input_shapes[0][1:])
            before = found.get(step.inputs[0], (0, 0, 0, 0))
            found[step.inputs[0]] = tuple(map(max, before, around))  # type: ignore[assignment]  # four of them
    return found


def _load(b: Int8Builder, scaling: Scaling, *, channels_last: bool) -> None:
    """Add the kernel that reads the images. If all channels have one scale, a byte is a value, and nothing is rounded:
    the zero point lies where it lies; only a border has to be one of the 256 values."""
    C, H, W = b.network.input_shape
    plane = Plane(C, H, W, *b.borders.get(0, (0, 0, 0, 0)))
    buffer = Buffer("q0", capacity(plane.size), Per.IMAGE, DType.I8, plane)
    scale, shift = np.array(scaling.scale, np.float64), np.array(scaling.shift, np.float64)
    first = (buffer, plane)
    zeros = LOWEST - shift / scale
    if len({*zip(scaling.scale, scaling.shift, strict=True)}) == 1 and scale[0] > 0 and LOWEST <= zeros[0] <= HIGHEST:
        of_input = Scale(float(scale[0]), float(zeros[0]))
        t = b.parameter("t0", np.array([of_input.border]), DType.I32)
        b.op(Int8Load(plane, channels_last), images(DType.U8), ORDER, t, buffer)
    else:
        numbers = scale[:, None] * np.arange(256) + shift[:, None]
        of_input = scale_of(float(numbers.min()), float(numbers.max()))
        t = b.parameter("t0", np.array([of_input.border]), DType.I32)
        table = b.parameter("table0", of_input.values(numbers).reshape(-1), DType.I8)
        b.op(Int8Load(plane, channels_last, table=True), images(DType.U8), ORDER, t, table, buffer)
    b.values[0] = Int8Value(*first, of_input, b.observed[0].mean)
