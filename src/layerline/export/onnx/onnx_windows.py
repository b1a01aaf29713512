"""ONNX's pools and paddings as layers, and what they share with convolutions: `auto_pad`, `pads`, `ceil_mode`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.export.onnx.constant_folding import axes_of
from layerline.export.onnx.held import computed, constant
from layerline.layers import AvgPool
from layerline.layers.grammar import times
from layerline.layers.windows import Window
from layerline.network.pytorch import windows_of_torch as windows
from layerline.network.pytorch.torch_operation import NO_PADS, At, Part
from layerline.network.pytorch.unsupported import NotCarriedError

if TYPE_CHECKING:
    from layerline.export.onnx.graph_walk import GraphWalk
    from layerline.export.onnx.held import Held
    from layerline.export.onnx.onnx_graph import Operation
    from layerline.layers import Shape
    from layerline.layers.windows import Pads


_POSITIVE: Final = frozenset({"relu", "relu6", "sigmoid", "hard_sigmoid"})
"""Layers that output no negative numbers."""


def window_of(operation: Operation, kernel: tuple[int, ...] | None = None) -> Window:
    """Return the window of a convolution or a pool, without padding. Raises NotCarriedError if it is not 2-d."""
    extent = tuple(operation.wholes("kernel_shape") or kernel or ())
    if len(extent) != 2:
        raise NotCarriedError(f"its kernel has {len(extent)} dimensions; images have two")
    stride, dilation = (tuple(operation.wholes(name) or (1, 1)) for name in ("strides", "dilations"))
    if len(stride) != 2 or len(dilation) != 2 or min(*extent, *stride, *dilation) < 1:
        raise NotCarriedError("its kernel, strides or dilations are not pairs of positive numbers")
    return Window((extent[0], extent[1]), (stride[0], stride[1]), None, (dilation[0], dilation[1]))


def pads_of(operation: Operation, window: Window, shape: Shape) -> Pads:
    """Return the padding around an image (C, H, W): (top, left, bottom, right)."""
    top, left, bottom, right = window.around(*shape[1:])
    match operation.text("auto_pad", "NOTSET"):
        case "VALID":
            return NO_PADS
        case "SAME_UPPER":
            return top, left, bottom, right
        case "SAME_LOWER":
            return bottom, right, top, left
    pads = tuple(operation.wholes("pads") or NO_PADS)
    if len(pads) != 4 or min(pads) < 0:
        raise NotCarriedError(f"pads={[*pads][:8]}: only rows and columns can be added")
    return pads[0], pads[1], pads[2], pads[3]


def padded(held: Held, pads: Pads, fill: float) -> Held:
    """Return a value with more padding around it."""
    if pads == NO_PADS:
        return held
    traced = held.traced
    if traced.pads != NO_PADS and traced.fill != fill:
        raise NotCarriedError("its input is padded before with another value")
    return dataclasses.replace(held, traced=dataclasses.replace(traced, pads=_sum(traced.pads, pads), fill=fill))


def _places(operation: Operation, window: Window, shape: Shape, pads: Pads) -> Shape:
    """Return the shape that a pool outputs: with ceil_mode, also windows that reach beyond the image count."""
    found = [shape[0]]
    for axis in (0, 1):
        size, stride, span = shape[1 + axis], window.stride[axis], window.span[axis]
        space = size + pads[axis] + pads[2 + axis] - span
        if space < 0:
            raise NotCarriedError(f"its {times(window.extent)} window is larger than its padded image")
        count = space // stride + 1
        if operation.whole("ceil_mode", 0) and space % stride and count * stride < size + pads[axis]:
            count += 1
        found.append(count)
    return tuple(found)


def max_pool(walk: GraphWalk, operation: Operation, inputs: tuple[Any, ...]) -> Held:
    """Return a Pool."""
    held, window = walk.settled(computed(inputs)).planar("a pool"), window_of(operation)
    if len(operation.outputs) > 1 and any(map(walk.uses, operation.outputs[1:])):
        raise NotCarriedError("the places of its maxima are not available")
    pads = pads_of(operation, window, held.shape)
    output = _places(operation, window, held.shape, _sum(held.traced.pads, pads))
    if held.traced.pads != NO_PADS and _never_wins(walk, held):
        held = dataclasses.replace(held, traced=dataclasses.replace(held.traced, fill=-np.inf))
    traced = _around(held, pads, -np.inf)
    sizes = (window.extent, window.stride, 0, window.dilation, False)
    return _layers(walk, operation, held, windows.max_pool2d(At(output), traced, *sizes))


def _never_wins(walk: GraphWalk, held: Held) -> bool:
    """Return whether the padding of a value is no larger than its values: Keras pads with zeros after a ReLU."""
    step = walk.steps.get(held.traced.node)
    positive = step is not None and bool(step.parts) and step.parts[-1].layer.kind in _POSITIVE
    return held.traced.fill <= float(np.finfo(np.float32).min) or (positive and held.traced.fill <= 0)


def average_pool(walk: GraphWalk, operation: Operation, inputs: tuple[Any, ...]) -> Held:
    """Return an AvgPool."""
    held, window = walk.settled(computed(inputs)).planar("a pool"), window_of(operation)
    if window.dilation != (1, 1):
        raise NotCarriedError("its dilation: pools have none here")
    pads, counts = pads_of(operation, window, held.shape), bool(operation.whole("count_include_pad", 0))
    output = _places(operation, window, held.shape, _sum(held.traced.pads, pads))
    if not counts and pads != NO_PADS and held.traced.pads == NO_PADS and pads == window.around(*held.shape[1:]):
        return _layers(walk, operation, held, (Part(AvgPool(window.extent, window.stride, "same")),))
    symmetric = pads[:2] == pads[2:]
    traced = held.traced if symmetric else _around(held, pads, 0.0)
    if not symmetric and not counts:
        raise NotCarriedError(f"its padding {', '.join(map(str, pads))} does not count, which only padding=same does")
    inside = pads[:2] if symmetric else 0
    found = windows.avg_pool2d(At(output), traced, window.extent, window.stride, inside, False, counts)
    return _layers(walk, operation, held, found)


def _sum(a: Pads, b: Pads) -> Pads:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]


def _around(held: Held, pads: Pads, fill: float) -> Any:
    return padded(held, pads, fill).traced


def _layers(walk: GraphWalk, operation: Operation, held: Held, found: Any) -> Held:
    """Return what the layers of a rule compute of a value, whose padding they have."""
    plain = dataclasses.replace(held, traced=dataclasses.replace(held.traced, pads=NO_PADS, fill=0.0))
    return walk.layers(operation, plain, found)


layers_of_padded = _layers


def pad(walk: GraphWalk, operation: Operation, inputs: tuple[Any, ...]) -> Held:
    """Return padding that the next layer must take."""
    held = walk.settled(computed(inputs))
    if not held.is_image or operation.text("mode", "constant") != "constant":
        raise NotCarriedError("only an image can be padded, with a constant")
    listed, given = operation.wholes("pads"), constant(inputs, 1)
    pads = [int(each) for each in (listed or (() if given is None else given.reshape(-1)[:32]))]
    axes = axes_of(operation, (None, *inputs[3:]), 4) or (0, 1, 2, 3)
    if len(pads) != 2 * len(axes):
        raise NotCarriedError(f"it has {len(pads)} pads for {len(axes)} dimensions")
    sides = {axis: (pads[k], pads[k + len(axes)]) for k, axis in enumerate(axes)}
    first = 1 if held.last else 2
    down, across = (sides.pop(first + k, (0, 0)) for k in (0, 1))
    if any(map(any, sides.values())) or min(*down, *across) < 0:
        raise NotCarriedError(f"pads={pads}: only rows and columns can be added")
    fill = operation.real("value", 0.0)
    value = constant(inputs, 2)
    if value is not None and value.size:
        fill = float(value.reshape(-1)[0])
    return padded(held, (down[0], across[0], down[1], across[1]), fill).named(operation.output)
