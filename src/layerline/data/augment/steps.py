"""The changes that augmentation makes to each image of an epoch, as tables, and their reference implementation.

For output pixel (h, w) of an image, with stored values v (float32):

1. Source position. Whole pixels: (h − down, w − right), or W − 1 − that column if the image is flipped.
   Warped: (y, x) = ((a·h + b·w) + c, (d·h + e·w) + f), and with y₀ = ⌊y⌋, x₀ = ⌊x⌋, s = y − y₀, t = x − x₀
       v = (v[y₀, x₀]·(1 − t) + v[y₀, x₀ + 1]·t)·(1 − s) + (v[y₀ + 1, x₀]·(1 − t) + v[y₀ + 1, x₀ + 1]·t)·s
   Outside the image v is 0, or the value at the position reflected at the outermost pixels, which are not repeated.
2. v = 0 in the cut-out rows top … bottom − 1 and columns left … end − 1.
3. v = v·gain + offset.
4. Scaling: v·scale + shift.

All in float32, in this order, every product and sum rounded separately: engines' loaders match `apply` bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.data.dataset import Scaling

MOVES: Final = ("down", "right", "flip", "top", "left", "bottom", "end")
"""The columns of `Drawn.moves`, in pixels; flip is 0 or 1."""
NUMBERS: Final = ("gain", "offset", "a", "b", "c", "d", "e", "f")
"""The columns of `Drawn.numbers`."""
STILL: Final = (1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
"""The numbers that leave an image unchanged."""


@dataclass(frozen=True)
class Steps:
    """Which steps are used at all; a loader's code depends on it."""

    warp: bool = False
    """Whether images are rotated or scaled, instead of moved by whole pixels."""
    mirrored: bool = False
    """Whether the area outside an image is its reflection, instead of 0."""
    cutout: bool = False
    light: bool = False

    @property
    def label(self) -> str:
        """Return the steps as they appear in symbol names."""
        names = {"warp": self.warp, "mirrored": self.mirrored, "cutout": self.cutout, "light": self.light}
        return "_".join(["moved" * (not self.warp), *(name for name, there in names.items() if there)]).strip("_")


@dataclass(frozen=True, eq=False)
class Drawn:
    """The changes to each image of an epoch, by its position in the epoch's order."""

    steps: Steps
    moves: NDArray[np.int32]
    """(M, len(MOVES))"""
    numbers: NDArray[np.float32]
    """(M, len(NUMBERS))"""

    @property
    def tables(self) -> tuple[tuple[NDArray[Any], int, type], ...]:
        """Return each table with its number of columns and its type."""
        return (self.moves, len(MOVES), np.int32), (self.numbers, len(NUMBERS), np.float32)

    def at(self, places: slice | NDArray[np.int64]) -> Drawn:
        """Return the changes to the images at some positions."""
        return Drawn(self.steps, self.moves[places], self.numbers[places])


def apply(values: NDArray[Any], drawn: Drawn, rows: slice | NDArray[Any], scaling: Scaling) -> NDArray[np.float32]:
    """Return images augmented and scaled, float32 (n, C, H, W).

    values: stored values (n, C, H, W), uint8 or float32, of the images at positions `rows` of the epoch.
    """
    moves = {name: drawn.moves[rows, k].astype(np.int64) for k, name in enumerate(MOVES)}
    numbers = {name: drawn.numbers[rows, k][:, None, None, None] for k, name in enumerate(NUMBERS)}
    take = _warped if drawn.steps.warp else _moved
    v = take(values, moves, numbers, drawn.steps.mirrored)
    if drawn.steps.cutout:
        v = np.where(_inside_cutout(moves, *v.shape[2:]), np.float32(0), v)
    if drawn.steps.light:
        v = v * numbers["gain"] + numbers["offset"]
    return scaling.apply(v)


def _moved(
    values: NDArray[Any], moves: dict[str, NDArray[np.int64]], _: dict[str, NDArray[np.float32]], mirrored: bool
) -> NDArray[np.float32]:
    """Return the images moved by whole pixels and flipped."""
    H, W = values.shape[2:]
    h = np.arange(H) - moves["down"][:, None]
    w = np.arange(W) - moves["right"][:, None]
    w = np.where(moves["flip"][:, None] == 1, W - 1 - w, w)
    return _taken(values, h[:, :, None], w[:, None, :], mirrored)


def _warped(
    values: NDArray[Any], _: dict[str, NDArray[np.int64]], numbers: dict[str, NDArray[np.float32]], mirrored: bool
) -> NDArray[np.float32]:
    """Return the images under the affine map, interpolated between the four pixels around a position."""
    H, W = values.shape[2:]
    a, b, c, d, e, f = (numbers[name][:, 0] for name in "abcdef")
    h, w = np.arange(H, dtype=np.float32)[:, None], np.arange(W, dtype=np.float32)
    y, x = (a * h + b * w) + c, (d * h + e * w) + f
    y0, x0 = np.floor(y), np.floor(x)
    row, column = y0.astype(np.int64), x0.astype(np.int64)
    s, t = (y - y0)[:, None], (x - x0)[:, None]
    one = np.float32(1)
    upper, lower = (
        _taken(values, row + below, column, mirrored) * (one - t)
        + _taken(values, row + below, column + 1, mirrored) * t
        for below in (0, 1)
    )
    return np.asarray(upper * (one - s) + lower * s)


def _taken(
    values: NDArray[Any], row: NDArray[np.int64], column: NDArray[np.int64], mirrored: bool
) -> NDArray[np.float32]:
    """Return the values at positions (n, H, W), which may be outside the image, float32 (n, C, H, W)."""
    n, _, H, W = values.shape
    image = np.arange(n)[:, None, None]
    if mirrored:
        found = values[image, :, _mirrored(row, H), _mirrored(column, W)]
        return np.moveaxis(found, -1, 1).astype(np.float32)
    inside = (row >= 0) & (row < H) & (column >= 0) & (column < W)
    found = values[image, :, np.clip(row, 0, H - 1), np.clip(column, 0, W - 1)]
    return np.where(inside[:, None], np.moveaxis(found, -1, 1).astype(np.float32), np.float32(0))


def _mirrored(place: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Return the position inside the image that an outside one is reflected to: … 2 1 [0 1 2 … size−1] size−2 …"""
    if size == 1:
        return np.zeros_like(place)
    place = place % (2 * size - 2)
    return np.minimum(place, 2 * size - 2 - place)


def _inside_cutout(moves: dict[str, NDArray[np.int64]], H: int, W: int) -> NDArray[np.bool_]:
    """Return which pixels are cut out, bool (n, 1, H, W)."""
    h, w = np.arange(H)[:, None], np.arange(W)
    top, left, bottom, end = (moves[name][:, None, None, None] for name in ("top", "left", "bottom", "end"))
    return (h >= top) & (h < bottom) & (w >= left) & (w < end)
