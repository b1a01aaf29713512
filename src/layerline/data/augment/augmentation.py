"""Augmentation: random changes to the images of an epoch, which depend on (seed, epoch, image) only.

`--augment shift=4,padding=reflect,flip,cutout=8,brightness=0.2,contrast=0.2,rotate=10,scale=0.1`: any of them, in any
order. docs/augmentation.md describes what each word does, and which random number decides it.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.data.augment.augment_words import check, check_padding, read
from layerline.data.augment.steps import MOVES, NUMBERS, STILL, Drawn, Steps, apply
from layerline.errors import RecipeError
from layerline.numbers import display
from layerline.numbers.randomness import Purpose, uint64, uniform
from layerline.numbers.scalars import plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Draw = Callable[[str], NDArray[np.float64]]

__all__ = ["Augmentation", "Drawn", "Steps", "apply"]

ELEMENTS: Final = ("down", "right", "flip", "top", "left", "brightness", "contrast", "rotate", "scale")
"""The random numbers of an image; the element of each is its position here, which never changes."""


@dataclass(frozen=True)
class Augmentation:
    """Random changes to training images. Raises RecipeError if a value is out of range, or has no effect alone."""

    flip: str = "none"
    """Horizontal flip: none, random, or alternate (every other epoch)."""
    shift: int = 0
    """Maximum shift in each direction, in pixels."""
    padding: str = "zero"
    """What fills the area outside an image: zero or reflect."""
    cutout: int = 0
    """The side of a square that is set to 0, in pixels."""
    brightness: float = 0.0
    """Maximum change, as a fraction of the largest value a pixel can have."""
    contrast: float = 0.0
    """The differences from half the largest value are multiplied by up to 1 ± this."""
    rotate: float = 0.0
    """Maximum angle in either direction, in degrees."""
    scale: float = 0.0
    """The image is enlarged by a factor of up to 1 ± this."""

    @classmethod
    def parse(cls, text: str) -> Augmentation | None:
        """Return the augmentation that --augment describes: `word=value,…`; None for `none`. Raises RecipeError."""
        values = read(text)
        return cls(**values) if values else None

    def __post_init__(self) -> None:
        """Reject values out of range, as `parse` does, and padding if nothing moves the image.

        NumPy numbers are converted to Python ones first.
        """
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, plain(getattr(self, field.name)))
        for name, value in self._given.items():
            check(name, value)
        check_padding(self._given)

    @property
    def _given(self) -> dict[str, Any]:
        """Return the values that have an effect, in the order of the fields."""
        values = ((field, getattr(self, field.name)) for field in dataclasses.fields(self))
        return {field.name: value for field, value in values if not _equal(value, field.default)}

    @property
    def text(self) -> str:
        """Return a text that `parse` reads as this augmentation: the words with an effect, in a fixed order."""
        parts = []
        for name, value in self._given.items():
            shown = repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
            parts.append(name if (name, value) == ("flip", "random") else f"{name}={shown}")
        return ",".join(parts) or "none"

    @property
    def steps(self) -> Steps:
        """Return which steps a loader takes."""
        return Steps(
            warp=bool(self.rotate or self.scale),
            mirrored=self.padding == "reflect",
            cutout=bool(self.cutout),
            light=bool(self.brightness or self.contrast),
        )

    @property
    def only_flips(self) -> bool:
        """Whether an image is at most flipped, so that there are two versions of it."""
        return self._given.keys() <= {"flip"}

    def check(self, shape: tuple[int, int, int]) -> None:
        """Raise RecipeError if images of shape (C, H, W) are too small for this."""
        _, H, W = shape
        limits = (("shift", min(H, W) - 1, "shifted out of view"), ("cutout", max(H, W) - 1, "cut out entirely"))
        for name, most, what in limits:
            value = getattr(self, name)
            if value > most:
                raise RecipeError(
                    f"--augment {name}={value}: {display.picture(H, W)} images could be {what}",
                    f"use at most {name}={most}" if most else f"omit {name}",
                )

    def draw(
        self,
        seed: int,
        epoch: int,
        images: NDArray[np.int64],
        shape: tuple[int, int, int],
        maximum: float = 255.0,
    ) -> Drawn:
        """Return the changes in an epoch (from 1) to the images with these indices, by position.

        shape: (C, H, W) of an image; maximum: the largest value a pixel can have. Raises RecipeError as `check` does.
        """
        self.check(shape)

        def numbers(name: str) -> NDArray[np.float64]:
            return uniform(seed, Purpose.AUGMENT, epoch=epoch, image=images, element=ELEMENTS.index(name))

        tables = np.zeros((len(images), len(MOVES)), np.int32), np.empty((len(images), len(NUMBERS)), np.float32)
        tables[1][:] = STILL
        drawn = Drawn(self.steps, *tables)
        moves = {name: drawn.moves[:, k] for k, name in enumerate(MOVES)}
        self._draw_moves(moves, numbers, shape)
        if self.flip != "none":
            moves["flip"][:] = self._flips(seed, epoch, images)
        if self.steps.light:
            self._draw_light(drawn.numbers, numbers, maximum)
        if self.steps.warp:
            self._draw_warp(drawn.numbers, moves, numbers, shape)
        return drawn

    def _draw_moves(self, moves: dict[str, NDArray[np.int32]], numbers: Draw, shape: tuple[int, int, int]) -> None:
        """Write the shifts and the cut-out squares; any pixel may be their center, so the edge may clip them."""
        _, H, W = shape
        if self.shift:
            for name in ("down", "right"):
                moves[name][:] = np.floor(numbers(name) * (2 * self.shift + 1)) - self.shift
        if self.cutout:
            for first, last, size in (("top", "bottom", H), ("left", "end", W)):
                start = np.floor(numbers(first) * size).astype(np.int64) - self.cutout // 2
                moves[first][:] = np.maximum(start, 0)
                moves[last][:] = np.minimum(start + self.cutout, size)

    def _flips(self, seed: int, epoch: int, images: NDArray[np.int64]) -> NDArray[Any]:
        """Return 1 for the images to flip: each with probability ½, or those that the previous epoch did not flip."""
        element = ELEMENTS.index("flip")
        if self.flip == "random":
            return uniform(seed, Purpose.AUGMENT, epoch=epoch, image=images, element=element) < 0.5
        first = uint64(seed, Purpose.AUGMENT, image=images, element=element) >> np.uint64(63)
        return first ^ np.uint64((epoch - 1) % 2)

    def _draw_light(self, table: NDArray[np.float32], numbers: Draw, maximum: float) -> None:
        """Write gain and offset: v → (v − maximum/2)·gain + maximum/2 + brighter·maximum."""
        gain = 1 + self.contrast * (2 * numbers("contrast") - 1) if self.contrast else np.ones(len(table))
        brighter = self.brightness * (2 * numbers("brightness") - 1) if self.brightness else np.zeros(len(table))
        table[:, 0] = gain
        table[:, 1] = maximum * ((1 - gain) / 2 + brighter)

    def _draw_warp(
        self,
        table: NDArray[np.float32],
        moves: dict[str, NDArray[np.int32]],
        numbers: Draw,
        shape: tuple[int, int, int],
    ) -> None:
        """Write the map from positions in the result to positions in the image: shifted back, rotated and scaled back
        around the center, flipped back."""
        _, H, W = shape
        n = len(table)
        angle = self.rotate * (2 * numbers("rotate") - 1) * (math.pi / 180) if self.rotate else np.zeros(n)
        size = 1 + self.scale * (2 * numbers("scale") - 1) if self.scale else np.ones(n)
        mid_h, mid_w = (H - 1) / 2, (W - 1) / 2
        h, w = moves["down"] + mid_h, moves["right"] + mid_w
        cos, sin = np.cos(angle) / size, np.sin(angle) / size
        side = np.where(moves["flip"] == 1, -1.0, 1.0)
        table[:, 2], table[:, 3], table[:, 4] = cos, sin, mid_h - (cos * h + sin * w)
        table[:, 5], table[:, 6], table[:, 7] = -side * sin, side * cos, mid_w - side * (cos * w - sin * h)


def _equal(value: object, default: object) -> bool:
    """Return whether a value is the default, however it is written: 0 equals 0.0, and False and arrays are neither."""
    return type(value) in (int, float, str) and value == default
