"""Augmentation in tensors: `data.augment.steps.apply` on the device, from the same tables, bit for bit on the CPU.

Each product and sum is an operation of its own, so none is fused and every one is rounded as there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, final

import torch

from layerline.data.augment.steps import MOVES, NUMBERS

if TYPE_CHECKING:
    from layerline.data.augment.augmentation import Drawn, Steps
    from layerline.engines.torch_device import TorchDevice


@final
@dataclass(frozen=True, eq=False)
class TorchDrawn:
    """The changes to each image of an epoch, on the device."""

    steps: Steps
    moves: torch.Tensor
    """int64 (M, len(MOVES))"""
    numbers: torch.Tensor
    """float32 (M, len(NUMBERS))"""

    @classmethod
    def of(cls, drawn: Drawn, place: TorchDevice) -> Self:
        """Return the tables of an epoch on the device."""
        return cls(drawn.steps, place.put(drawn.moves).long(), place.put(drawn.numbers))

    def apply(self, values: torch.Tensor, rows: slice) -> torch.Tensor:
        """Return images augmented, not yet scaled, float32 (n, C, H, W).

        values: stored values (n, C, H, W) of the images at positions `rows` of the epoch.
        """
        moves = {name: self.moves[rows, k].view(-1, 1, 1) for k, name in enumerate(MOVES)}
        numbers = {name: self.numbers[rows, k].view(-1, 1, 1) for k, name in enumerate(NUMBERS)}
        if self.steps.warp:
            v = _warped(values, numbers, self.steps.mirrored)
        else:
            v = _moved(values, moves, self.steps.mirrored)
        if self.steps.cutout:
            v = v.masked_fill(_inside_cutout(moves, values), 0.0)
        if self.steps.light:
            v = v * numbers["gain"].unsqueeze(1) + numbers["offset"].unsqueeze(1)
        return v


def _moved(values: torch.Tensor, moves: dict[str, torch.Tensor], mirrored: bool) -> torch.Tensor:
    """Return the images moved by whole pixels and flipped."""
    h, w = _places(values)
    column = w - moves["right"]
    column = torch.where(moves["flip"] == 1, values.shape[3] - 1 - column, column)
    return _taken(values, h - moves["down"], column, mirrored)


def _warped(values: torch.Tensor, numbers: dict[str, torch.Tensor], mirrored: bool) -> torch.Tensor:
    """Return the images under the affine map, interpolated between the four pixels around a position."""
    a, b, c, d, e, f = (numbers[name] for name in "abcdef")
    h, w = (place.float() for place in _places(values))
    y, x = (a * h + b * w) + c, (d * h + e * w) + f
    y0, x0 = y.floor(), x.floor()
    row, column = y0.long(), x0.long()
    s, t = (y - y0).unsqueeze(1), (x - x0).unsqueeze(1)
    upper, lower = (
        _taken(values, row + below, column, mirrored) * (1 - t) + _taken(values, row + below, column + 1, mirrored) * t
        for below in (0, 1)
    )
    return upper * (1 - s) + lower * s


def _places(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows and columns of the result, int64 (1, H, 1) and (1, 1, W)."""
    H, W = values.shape[2:]
    h, w = (torch.arange(size, device=values.device) for size in (H, W))
    return h.view(1, -1, 1), w.view(1, 1, -1)


def _taken(values: torch.Tensor, row: torch.Tensor, column: torch.Tensor, mirrored: bool) -> torch.Tensor:
    """Return the values at positions (n, H, W), which may be outside the image, float32 (n, C, H, W)."""
    n, _, H, W = values.shape
    image = torch.arange(n, device=values.device).view(-1, 1, 1)
    if mirrored:
        return values[image, :, _mirrored(row, H), _mirrored(column, W)].movedim(-1, 1).float()
    outside = (row < 0) | (row >= H) | (column < 0) | (column >= W)
    found = values[image, :, row.clamp(0, H - 1), column.clamp(0, W - 1)]
    return found.movedim(-1, 1).float().masked_fill(outside.unsqueeze(1), 0.0)


def _mirrored(place: torch.Tensor, size: int) -> torch.Tensor:
    """Return the position inside the image that an outside one is reflected to, as `steps` does."""
    if size == 1:
        return torch.zeros_like(place)
    place = place % (2 * size - 2)
    return torch.minimum(place, 2 * size - 2 - place)


def _inside_cutout(moves: dict[str, torch.Tensor], values: torch.Tensor) -> torch.Tensor:
    """Return which pixels are cut out, bool (n, 1, H, W)."""
    h, w = _places(values)
    inside = (h >= moves["top"]) & (h < moves["bottom"]) & (w >= moves["left"]) & (w < moves["end"])
    return inside.unsqueeze(1)
