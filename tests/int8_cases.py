"""The sizes at which each kernel on 8-bit values is held against its definition (int8_definitions.py), as in
`kernel_cases`, which takes them in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import int8_definitions as define
import numpy as np
from kernel_cases import (
    BARE,
    BYTES,
    CENTERED,
    DEEP,
    EDGED,
    GROUPED,
    IMAGES,
    ONE_PIXEL,
    STRIDED,
    UNEVEN,
    Case,
    X,
    pixels,
)
from kernel_runner import listed

from layerline.compiler.kernels.conv_formula import ConvShape
from layerline.compiler.kernels.depthwise import padded_channels
from layerline.compiler.kernels.int8_conv import Int8Conv, Int8Scores, int8_tile
from layerline.compiler.kernels.int8_depthwise import Int8Depthwise
from layerline.compiler.kernels.int8_ends import Int8Flatten, Int8Load, Int8Values
from layerline.compiler.kernels.int8_pointwise import (
    Int8Concatenate,
    Int8Product,
    Int8ScaledChannels,
    Int8Sum,
    Int8Table,
)
from layerline.compiler.kernels.int8_pool import Int8Average, Int8Pool
from layerline.compiler.kernels.pool import PoolShape
from layerline.compiler.layout import Taps
from layerline.compiler.plane import Plane

if TYPE_CHECKING:
    from kernel_cases import Lies

    from layerline.compiler.kernel import Kernel
    from layerline.compiler.machine import Machine

NUMBERS: Final = np.random.default_rng(8)
POOL: Final = PoolShape(EDGED, (3, 2), (2, 2), (1, 0), (2, 3))
INSIDE: Final = PoolShape(EDGED, (2, 3), (2, 2), (0, 0), (2, 3))
MANY_TAPS: Final = ConvShape(Plane(5, 8, 7, 2, 2, 2, 2), 5, (5, 4), (1, 2), (1, 1), (2, 2), (8, 4), groups=5)
WHOLE: Final = ConvShape(Plane(5, 3, 4, 1, 0, 0, 1), 7, (3, 4), (1, 1), (1, 1), (0, 0), (1, 1))
"""A fully connected layer on an image with a border."""
HEAD: Final = (-3, -100, 90)
"""A zero point and limits, so that all three are seen."""


def some(*shape: int) -> np.ndarray:
    """Return values at random, the outermost among them."""
    found = NUMBERS.integers(-128, 128, shape)
    found.flat[:2] = (-128, 127)
    return found


def drawn(shape: ConvShape) -> dict[str, Any]:
    """Return values of an image and of filters."""
    x = shape.x
    return {"x8": some(IMAGES, x.channels, x.height, x.width), "w8": some(*shape.weights).clip(-127)}


def numbers(filters: int, taps: int) -> list[int]:
    """Return the head, biases, and factors for which the results reach over both limits."""
    largest = 128 * 60 * int(taps**0.5)
    factors = NUMBERS.integers(2**32 // largest * 50, 2**32 // largest * 300, filters)
    return [*HEAD, *NUMBERS.integers(-largest, largest, filters).tolist(), *factors.tolist()]


def convolution(shape: ConvShape, y: Plane, pool: tuple[int, int] = (1, 1)) -> Case:
    """Return the case of a convolution."""

    def kernel(machine: Machine) -> Kernel:
        return Int8Conv(shape, shape.rows(machine), y, int8_tile(machine), pool)

    t = numbers(shape.filters, shape.taps)
    return Case(kernel, define.conv, 0, lambda _, __: {"t": listed(len(t))}, {**drawn(shape), "t": t})


def per_channel(shape: ConvShape, y: Plane) -> Case:
    """Return the case of a depthwise convolution."""

    def kernel(machine: Machine) -> Kernel:
        return Int8Depthwise(shape, Taps(shape.weights, padded_channels(shape.filters, machine)), y)

    t = numbers(shape.filters, shape.taps)
    return Case(kernel, define.depthwise, 0, lambda _, __: {"t": listed(len(t))}, {**drawn(shape), "t": t})


def averaged(shape: PoolShape) -> Case:
    """Return the case of an average pool."""
    points = [shape.window[0] * shape.window[1]] if shape.inside else range(1, 7)
    t = [*HEAD, *(16 * 3 * n for n in points), *(int(2**28 * 1.2 / n) for n in points)]
    return Case(lambda _: Int8Average(shape, Plane(5, 2, 3, 1, 1, 1, 1)), define.average, 0,
                lambda _, __: {"t": listed(len(t))}, {"x8": some(IMAGES, 5, 4, 7), "t": t})  # fmt: skip


def listed_t(k: Any, _: Machine) -> dict[str, Lies]:
    """Return where parameters lie, which exist once."""
    found = {name: k.arguments[name].layout for name in ("t", "s", "table") if name in k.arguments}
    return {name: listed(size) for name, size in found.items()}


def loaded(plane: Plane, *, last: bool, table: bool) -> Case:
    """Return the case of loading images."""
    return Case(
        lambda _: Int8Load(plane, last, table), define.load, 0,
        lambda k, m: {**listed_t(k, m), "images": pixels(k, last=last)},
        {"images": BYTES if plane is X else BYTES[:, :1], "t": [0], "table": some(256 * plane.channels)},
    )  # fmt: skip


def scored(machine: Machine) -> Kernel:
    """Return the last layer."""
    return Int8Scores(WHOLE, WHOLE.rows(machine), int8_tile(machine))


IMAGE: Final = {"x8": some(IMAGES, 5, 4, 7), "a8": some(IMAGES, 5, 4, 7), "b8": some(IMAGES, 5, 4, 7),
                "g8": some(IMAGES, 5, 1, 1)}  # fmt: skip
XS: Final = (BARE, Plane(19, 4, 7, 0, 1, 2, 0), EDGED)

INT8: Final[dict[type[Kernel], tuple[Case, ...]]] = {
    Int8Load: tuple(
        loaded(plane, last=last, table=table)
        for plane, last, table in ((X, False, False), (X, True, False), (X, True, True), (X, False, True),
                                   (Plane(1, 7, 6, 1, 1, 1, 1), False, False))
    ),
    Int8Conv: (
        convolution(STRIDED, Plane(22, 4, 6, 1, 1, 1, 1)),
        convolution(GROUPED, Plane(8, 6, 5, 0, 2, 1, 0)),
        convolution(UNEVEN, Plane(21, 3, 4), (2, 2)),
        convolution(GROUPED, Plane(8, 2, 1), (3, 5)),
        convolution(WHOLE, Plane(7, 1, 1)),
    ),
    Int8Scores: (
        Case(scored, define.scores, 0, listed_t, {**drawn(WHOLE), "t": some(7) * 1000, "s": NUMBERS.random(7)}),
    ),
    Int8Depthwise: (
        per_channel(DEEP, Plane(5, 3, 7, 1, 0, 0, 1)),
        per_channel(MANY_TAPS, Plane(5, 8, 4)),
    ),
    Int8Pool: (
        Case(lambda _: Int8Pool(POOL, Plane(5, 2, 3, 1, 1, 1, 1)), define.pool, 0, listed_t, {**IMAGE, "t": [0]}),
    ),
    Int8Average: (averaged(POOL), averaged(INSIDE)),
    Int8Table: (
        Case(lambda _: Int8Table(EDGED, CENTERED), define.table, 0, listed_t, {**IMAGE, "t": [0], "table": some(256)}),
    ),
    Int8Sum: (
        Case(lambda _: Int8Sum(BARE, EDGED, CENTERED), define.total, 0, listed_t,
             {**IMAGE, "t": [*HEAD, 700_000, 1_100_000, 12_345_678]}),
    ),
    Int8Product: (
        Case(lambda _: Int8Product(BARE, EDGED, CENTERED), define.product, 0, listed_t,
             {**IMAGE, "t": [*HEAD, 11, -128, 2**31 // 80]}),
    ),
    Int8ScaledChannels: (
        Case(lambda _: Int8ScaledChannels(ONE_PIXEL, BARE, EDGED), define.scaled_channels, 0, listed_t,
             {**IMAGE, "t": [*HEAD, 11, -128, 2**31 // 80]}),
    ),
    Int8Concatenate: (
        Case(lambda _: Int8Concatenate(XS, Plane(29, 4, 7, 1, 1, 1, 1)), define.concatenate, 0, listed_t,
             {"x8_0": some(IMAGES, 5, 4, 7), "x8_1": some(IMAGES, 19, 4, 7), "x8_2": some(IMAGES, 5, 4, 7),
              "t": [*HEAD, 1 << 20, 0, 700_000, 5, 1_300_000, -7_000_000]}),
    ),
    Int8Flatten: (Case(lambda _: Int8Flatten(EDGED), define.flatten, 0, listed_t, IMAGE),),
    Int8Values: (
        Case(lambda _: Int8Values(EDGED), define.values, 0, listed_t, {**IMAGE, "s": [-7.25, 0.3]}),
    ),
}  # fmt: skip
