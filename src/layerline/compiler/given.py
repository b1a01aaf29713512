"""What the caller hands in, and what it gets back in memory of its own.

What is `given` is there as a whole; what is per `position` has an element, or a row, for each image of the batch, in
its order.
"""

from __future__ import annotations

from typing import Final

from layerline.compiler.dtype import DType
from layerline.compiler.program import Buffer, Per
from layerline.data.augment import steps as augmented


def images(source: DType) -> Buffer:
    """Return the images, of stored values of a type."""
    return Buffer("images", 0, Per.GIVEN, source)


LABELS: Final = Buffer("labels", 0, Per.GIVEN, DType.I32)
ORDER: Final = Buffer("order", 1, Per.POSITION, DType.I64)
"""Which images the batch has."""
SCALE: Final = Buffer("scale", 0, Per.GIVEN)
SHIFT: Final = Buffer("shift", 0, Per.GIVEN)
HYPER: Final = Buffer("hyper", 0, Per.GIVEN)
"""The recipe's numbers, as kernels/optimizers.py has them in order."""
DICE: Final = Buffer("dice", 0, Per.GIVEN, DType.I32)
"""The seed's low and high word, and the number of the epoch."""
CLASS_WEIGHTS: Final = Buffer("class_weights", 0, Per.GIVEN)
"""One a class, then their sum."""
MOVES: Final = Buffer("moves", len(augmented.MOVES), Per.POSITION, DType.I32)
NUMBERS: Final = Buffer("numbers", len(augmented.NUMBERS), Per.POSITION)
LOSSES: Final = Buffer("losses", 1, Per.POSITION, DType.F64)


def values(size: int) -> Buffer:
    """Return where the values of the last layer go, `size` for each image."""
    return Buffer("values", size, Per.POSITION)


def probabilities(classes: int) -> Buffer:
    """Return where the probabilities of each image's classes go."""
    return Buffer("probabilities", classes, Per.POSITION)
