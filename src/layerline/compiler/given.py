"""The caller's buffers: inputs, and outputs that are written to the caller's memory.

A `given` buffer is one whole array; a buffer per `position` has an element or a row for each image of the batch, in
batch order.
"""

from __future__ import annotations

from typing import Final

from layerline.compiler import program
from layerline.compiler.dtype import DType
from layerline.compiler.program import Buffer, Per
from layerline.data.augment import steps as augmented


def images(source: DType) -> Buffer:
    """Return the images, with stored values of a type."""
    return Buffer("images", 0, Per.GIVEN, source)


LABELS: Final = Buffer("labels", 0, Per.GIVEN, DType.I32)
ORDER: Final = Buffer("order", 1, Per.POSITION, DType.I64)
"""The indices of the batch's images."""
SCALE: Final = Buffer("scale", 0, Per.GIVEN)
SHIFT: Final = Buffer("shift", 0, Per.GIVEN)
HYPER: Final = Buffer("hyper", 0, Per.GIVEN)
"""The recipe's hyperparameters, in the order of HYPER_NAMES in kernels/optimizers.py."""
RNG_KEY: Final = Buffer("rng_key", 0, Per.GIVEN, DType.I32)
"""The low and high word of the seed, and the epoch number."""
CLASS_WEIGHTS: Final = Buffer("class_weights", 0, Per.GIVEN)
"""One per class, then their sum."""
MOVES: Final = Buffer("moves", len(augmented.MOVES), Per.POSITION, DType.I32)
NUMBERS: Final = Buffer("numbers", len(augmented.NUMBERS), Per.POSITION)
LOSSES: Final = Buffer("losses", 1, Per.POSITION, DType.F64)


EXCHANGE: Final = Buffer(program.EXCHANGE, 0, Per.GIVEN, DType.U8)
"""The engine's function that adds up sums over several processes."""


def values(size: int) -> Buffer:
    """Return where the values of the last layer go, `size` for each image."""
    return Buffer("values", size, Per.POSITION)


def probabilities(classes: int) -> Buffer:
    """Return the output buffer for each image's class probabilities."""
    return Buffer("probabilities", classes, Per.POSITION)
