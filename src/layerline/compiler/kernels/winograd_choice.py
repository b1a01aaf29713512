"""Where Winograd's convolution pays: from sizes alone, because it changes the bits of the results.

A transformed value costs as much as TRANSFORM multiply-adds of a product. By that count a layer with 32 channels takes
2.3 times less than by the definition, one with 128 channels 3.4 times less, which is what was measured
(docs/decisions/0013-winograd.md).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from layerline.compiler.dtype import DType
from layerline.compiler.kernels.winograd_formula import Winograd

if TYPE_CHECKING:
    from layerline.compiler.kernels.conv_formula import ConvShape
    from layerline.compiler.plane import Plane

TRANSFORM: Final = 12
POOLED: Final = 2.4
"""What each pooled output with a gradient costs, in multiply-adds, where only those are visited, at under half of the
peak;"""
POOLED_FAR: Final = 4.4
"""and if the filters take more than FAR_BYTES, so that they come from beyond the L2 cache for every output."""
ACTIVE: Final = 0.5
"""The part of the pooled outputs that have a gradient after an activation; without one all of them do."""
FAR_BYTES: Final = 1024 * 1024
GAIN: Final = 1.2
"""What it must gain, by this count, to be used."""
CHOICES: Final = (Winograd(4, 3), Winograd(2, 3), Winograd(2, 5))
Sides = tuple[int, int, int, int]
"""(top, left, bottom, right)"""


def forward_choice(shape: ConvShape) -> Winograd | None:
    """Return the tiles for the outputs of a convolution, and for its filters' gradient; None if it doesn't pay."""
    return _choice(shape, shape.out)


def input_choice(shape: ConvShape) -> Winograd | None:
    """Return the tiles for the gradient of a convolution's input; None if it doesn't pay."""
    return _choice(shape, (shape.x.height, shape.x.width))


def dense_filters_pay(shape: ConvShape, window: tuple[int, int], *, activated: bool) -> bool:
    """Whether after a pool the gradient of the filters costs less by tiles of all outputs than by the pooled ones.

    activated: an activation follows the pool.
    """
    cost = _cost(forward_choice(shape), shape, shape.out)
    return cost < _pooled_cost(shape, window, activated=activated)


def dense_input_pays(shape: ConvShape, window: tuple[int, int], *, activated: bool) -> bool:
    """Whether after a pool the gradient of the input costs less by tiles than by the pooled outputs."""
    cost = _cost(input_choice(shape), shape, (shape.x.height, shape.x.width))
    return cost < _pooled_cost(shape, window, activated=activated)


def _pooled_cost(shape: ConvShape, window: tuple[int, int], *, activated: bool) -> float:
    products = shape.x.channels * shape.filters * shape.kernel[0] * shape.kernel[1]
    pooled = (shape.out[0] // window[0]) * (shape.out[1] // window[1]) * (ACTIVE if activated else 1)
    return products * pooled * (POOLED_FAR if products * DType.F32.bytes > FAR_BYTES else POOLED)


def _cost(winograd: Winograd | None, shape: ConvShape, outputs: tuple[int, int]) -> float:
    """Return the multiply-adds for an image, transforms included; without tiles it is infinite."""
    if winograd is None:
        return math.inf
    (rows, columns), C, K = (-(-n // winograd.outputs) for n in outputs), shape.x.channels, shape.filters
    return rows * columns * winograd.products * (C * K + TRANSFORM * (C + K))


def _choice(shape: ConvShape, outputs: tuple[int, int]) -> Winograd | None:
    C, K = shape.x.channels, shape.filters
    best, cost = None, shape.kernel[0] * shape.kernel[1] * outputs[0] * outputs[1] * C * K / GAIN
    if (shape.stride, shape.dilation, shape.groups) != ((1, 1), (1, 1), 1):
        return None
    for winograd in CHOICES:
        if shape.kernel == (winograd.taps, winograd.taps):
            there = _cost(winograd, shape, outputs)
            if there < cost:
                best, cost = winograd, there
    return best


def input_border(shape: ConvShape) -> Sides:
    """Return the border that the tiles of the outputs reach around a convolution's input; nothing if there are none."""
    winograd = forward_choice(shape)
    if winograd is None:
        return 0, 0, 0, 0
    (top, left), (H, W) = shape.padding, (shape.x.height, shape.x.width)
    bottom, right = (
        _covered(n, winograd) + winograd.taps - 1 - side - before
        for n, side, before in zip(shape.out, (H, W), (top, left), strict=True)
    )
    return top, left, max(0, bottom), max(0, right)


def tiles_border(shape: ConvShape) -> Sides:
    """Return the border of zeros around the gradient of a convolution's output that fills the last tiles."""
    winograd = forward_choice(shape)
    if winograd is None:
        return 0, 0, 0, 0
    bottom, right = (_covered(n, winograd) - n for n in shape.out)
    return 0, 0, bottom, right


def gradient_border(shape: ConvShape) -> Sides:
    """Return the border of zeros around the gradient of a convolution's output that its convolution with turned filters
    reads; nothing if there is none."""
    winograd = input_choice(shape)
    if winograd is None:
        return 0, 0, 0, 0
    top, left = (winograd.taps - 1 - n for n in shape.padding)
    bottom, right = (
        _covered(n, winograd) + winograd.taps - 1 - first - size
        for n, first, size in zip((shape.x.height, shape.x.width), (top, left), shape.out, strict=True)
    )
    return max(0, top), max(0, left), max(0, bottom), max(0, right)


def wider(one: Sides, other: Sides) -> Sides:
    """Return the border that holds both."""
    top, left, bottom, right = (max(pair) for pair in zip(one, other, strict=True))
    return top, left, bottom, right


def _covered(n: int, winograd: Winograd) -> int:
    """Return n, rounded up to whole tiles."""
    return -(-n // winograd.outputs) * winograd.outputs


def reaches(plane: Plane, sides: Sides) -> bool:
    """Whether a plane has at least that border."""
    return all(
        have >= need for have, need in zip((plane.top, plane.left, plane.bottom, plane.right), sides, strict=True)
    )
