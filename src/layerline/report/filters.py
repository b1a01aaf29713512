"""The filters of the first layer as a grid of small images, in color if the input is RGB."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.numbers import display
from layerline.report import sheet
from layerline.report.sheet import Frame, Sheet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from layerline.network import Network

_MOST: Final = 144
"""Maximum number of tiles in an image."""
_MOST_CHANNELS: Final = 16
_TALLEST: Final = 4.5
_POSITIVE: Final = (178, 24, 43)
_NEGATIVE: Final = (33, 102, 172)


@dataclass(frozen=True, eq=False)
class FirstFilters:
    """The weights of one layer as images, (O, C, R, S), with a title."""

    title: str
    weights: NDArray[Any]


def first_filters(network: Network, weights: Mapping[str, NDArray[Any]]) -> FirstFilters | None:
    """Return the first convolution's filters, else the weights of an FC layer directly on the input, else None."""
    for node in network.nodes:
        if node.layer.has_filters:
            found = weights[f"{node.path}.weight"]
            units, _, R, S = found.shape
            return FirstFilters(f"First convolution: {display.counted(units, 'filter')} of {R}×{S}", found)
    flat_inputs = {node.index + 1 for node in network.nodes if node.layer.kind == "flat" and node.inputs == (0,)}
    for node in network.nodes:
        if node.layer.kind == "fc" and node.inputs[0] in flat_inputs:
            found = weights[f"{node.path}.weight"]
            units = len(found)
            title = f"First FC layer: weights of {display.counted(units, 'unit')}"
            return FirstFilters(title, found.reshape(units, *network.input_shape))
    return None


def picture(filters: FirstFilters) -> Sheet:
    """Return the sheet: one color scale for all tiles, centered at zero (white, or gray if the filters are in color).

    One channel: a tile per filter. Three: a tile per filter, in color. Otherwise a column per filter and a row per
    channel.
    """
    weights = np.asarray(filters.weights, np.float64)
    largest = float(np.abs(weights).max()) or 1.0
    C = weights.shape[1]
    tiles, columns, note = _arranged(weights)
    mosaic = _mosaic(tiles, columns) / largest / 2 + 0.5
    paper, frame = _paper(mosaic.shape, bar=C != 3)
    if C == 3:
        opaque = ~np.isnan(mosaic[:, :, :1])
        values = np.concatenate([np.nan_to_num(mosaic).clip(0.0, 1.0), opaque], axis=2)
        paper.pixels(frame, (values * 255).round().astype(np.uint8))
    else:
        paper.pixels(frame, sheet.shaded(mosaic[:, :, 0], sheet.RED_BLUE))
        scale = Frame(frame.right + 0.08, frame.bottom, 0.08, frame.height, y=(-largest, largest))
        marks = ((-largest, f"−{largest:.2g}"), (0.0, "0"), (largest, f"{largest:.2g}"))
        paper.bar(scale, sheet.RED_BLUE, marks)
    paper.text(0.12, 0.06, note, up="bottom", color=sheet.FAINT)
    paper.text(0.12, paper.height - 0.1, filters.title, up="top", size=sheet.TITLE, bold=True)
    return paper


def pixels(filters: FirstFilters) -> tuple[NDArray[np.uint8], str]:
    """Return the same image without its frame, uint8 (rows, columns, 4), one pixel per weight, and a note about it.

    Gaps are transparent. Red is positive, blue negative, white zero; in color gray is zero.
    """
    weights = np.asarray(filters.weights, np.float64)
    largest = float(np.abs(weights).max()) or 1.0
    tiles, columns, note = _arranged(weights)
    mosaic = _mosaic(tiles, columns) / largest
    opaque = ~np.isnan(mosaic[:, :, :1])
    mosaic = np.nan_to_num(mosaic)
    if weights.shape[1] == 3:
        colors = mosaic * 127.5 + 127.5
    else:
        full = np.where(mosaic > 0, _POSITIVE, _NEGATIVE)
        colors = 255 + np.abs(mosaic) * (full - 255)
        note = "; ".join(part for part in ("red: positive, blue: negative, white: zero", note) if part)
    return np.concatenate([colors, opaque * 255.0], axis=2).round().clip(0, 255).astype(np.uint8), note


def _arranged(weights: NDArray[np.float64]) -> tuple[list[NDArray[np.float64]], int, str]:
    """Return the tiles (R, S, 1 or 3) of (O, C, R, S) in order, the number of columns, and a note."""
    C = weights.shape[1]
    if C in (1, 3):
        first = weights[:_MOST]
        part = f"first {len(first)} of {len(weights)}" if len(first) < len(weights) else ""
        note = f"gray: zero; {part or 'colors as the network sees them'}" if C == 3 else part
        return [np.moveaxis(tile, 0, -1) for tile in first], _columns(first), note
    first = weights[:_MOST_CHANNELS, :_MOST_CHANNELS]
    part = f" (first {len(first)} × {first.shape[1]})" if first.size < weights.size else ""
    tiles = [tile[:, :, None] for channel in first.swapaxes(0, 1) for tile in channel]
    return tiles, len(first), f"columns: filters, rows: channels{part}"


def _columns(tiles: NDArray[np.float64]) -> int:
    """Return the number of columns: the mosaic has an aspect ratio of about 3:2, with full rows if possible."""
    count, _, R, S = tiles.shape
    wish = math.sqrt(1.5 * count * (R + 1) / (S + 1))
    full = [c for c in range(1, count + 1) if count % c == 0 and wish / 1.4 <= c <= wish * 1.4]
    return min(full, key=lambda c: abs(c - wish), default=min(count, max(1, round(wish))))


def _mosaic(tiles: list[NDArray[np.float64]], columns: int) -> NDArray[np.float64]:
    """Return the tiles (R, S, 1 or 3) as one image, `columns` per row, with gaps of NaN between them."""
    R, S, D = tiles[0].shape
    gap = 1 if max(R, S) < 20 else 2
    rows = -(-len(tiles) // columns)
    whole = np.full((rows * (R + gap) - gap, columns * (S + gap) - gap, D), np.nan)
    for k, tile in enumerate(tiles):
        j, i = divmod(k, columns)
        whole[j * (R + gap) : j * (R + gap) + R, i * (S + gap) : i * (S + gap) + S] = tile
    return whole


def _paper(shape: tuple[int, ...], bar: bool) -> tuple[Sheet, Frame]:
    """Return a sheet one column wide, and the frame on it that exactly fits an image of (rows, columns, …)."""
    left, right, bottom, top = 0.12, 0.62 if bar else 0.12, 0.25, 0.34
    width = sheet.COLUMN - left - right
    height = width * shape[0] / shape[1]
    if height > _TALLEST:
        width, height = width * _TALLEST / height, _TALLEST
    return Sheet(sheet.COLUMN, height + bottom + top), Frame(left, bottom, width, height)
