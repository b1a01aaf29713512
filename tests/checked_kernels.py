"""Checks the kernels of Programs: what memory an op has, and what the integers in it may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from checking_pen import CheckingPen, Number

from layerline.compiler.kernel import Over
from layerline.compiler.kernels.augment import Augment
from layerline.compiler.kernels.int8_ends import Int8Load
from layerline.compiler.kernels.int8_pointwise import Int8Table
from layerline.compiler.kernels.load import Load
from layerline.compiler.kernels.loss import Probabilities, SoftmaxLoss
from layerline.compiler.kernels.optimizers import HYPER_NAMES
from layerline.compiler.kernels.pool import PoolBackward
from layerline.compiler.plane import Places, capacity
from layerline.compiler.program import Per
from layerline.data.augment.steps import MOVES

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerline.compiler.kernel import Kernel
    from layerline.compiler.machine import Machine
    from layerline.compiler.program import Buffer, Op

    MayBe = dict[str, Callable[[Number], np.ndarray]]

IMAGES: Final = 7
SHARDS: Final = 3


def room_of(op: Op, buffer: Buffer) -> int:
    """Return the elements that an op finds behind a pointer."""
    if buffer.per is Per.GIVEN:
        return given_room(op.kernel, buffer.name)
    of_images = {Per.IMAGE: IMAGES, Per.POSITION: IMAGES}
    items = of_images if op.over is Over.IMAGES else {**of_images, Per.SHARD: SHARDS}
    return buffer.size * items.get(buffer.per, 1)


def given_room(kernel: Kernel, name: str) -> int:
    """Return the elements of an array of the caller's."""
    if isinstance(kernel, Load | Augment | Int8Load):
        x = kernel.x
        return {"images": IMAGES * x.inside.size, "scale": x.channels, "shift": x.channels}[name]
    if isinstance(kernel, SoftmaxLoss | Probabilities) and name != "hyper":
        return {"labels": IMAGES, "class_weights": capacity(kernel.classes + 1)}[name]
    return {"hyper": len(HYPER_NAMES), "rng_key": 3}[name]


def places(kernel: Kernel, lies: Places) -> np.ndarray:
    """Return what a place may be: of a window's outputs, or of an image's values."""
    if lies.window is not None:
        (down, right), (a, b) = lies.steps, lies.window
        return np.array([i * down + j * right for i in range(a) for j in range(b)])
    image = kernel.dx if isinstance(kernel, PoolBackward) else kernel.shape.x
    return np.array([image.inner(), image.inner(image.height - 1, image.width - 1, image.channels - 1)])


def integers(kernel: Kernel) -> MayBe:
    """Return what the integers that a kernel reads may be, by argument and place."""
    found: MayBe = {"order": lambda _: np.array([0, IMAGES - 1])}
    for name, argument in kernel.arguments.items():
        if isinstance(argument.layout, Places):
            may_be = places(kernel, argument.layout)
            found[name] = lambda _, may_be=may_be: may_be
    if isinstance(kernel, SoftmaxLoss | Probabilities):
        found["labels"] = lambda _: np.arange(kernel.classes)
    if isinstance(kernel, Int8Load):
        found["images"] = lambda _: np.arange(256)
    if isinstance(kernel, Int8Table):
        found["x8"] = lambda _: np.arange(-128, 128)
    if isinstance(kernel, Augment):
        found["moves"] = lambda place: moves(kernel, place)
    return found


def moves(kernel: Augment, place: Number) -> np.ndarray:
    """Return what a move may be: any that leaves a pixel of the image, and every rectangle."""
    H, W = kernel.x.height, kernel.x.width
    name = MOVES[int(place.rest.values) % len(MOVES)]
    size = {"down": H, "top": H, "bottom": H}.get(name, W)
    if name == "flip":
        return np.array([0, 1])
    return np.arange(1 - size, size) if name in ("down", "right") else np.array([0, 1, size - 1, size])


def check(op: Op, machine: Machine) -> int:
    """Raise AssertionError where an op's kernel leaves a buffer; returns how many accesses it writes."""
    kernel = op.kernel
    rooms = {name: room_of(op, buffer) for name, buffer in zip(kernel.arguments, op.buffers, strict=True)}
    pen = CheckingPen(machine, kernel, rooms, {"images": IMAGES, "shards": SHARDS}, integers(kernel))
    kernel.write(pen)
    return pen.accesses
