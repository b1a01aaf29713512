"""LOAD: a DataFrame with an image per row and a column per pixel, as `pandas.read_csv` returns MNIST."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.data.formats import rows
from layerline.data.formats.pixel_table import FEWEST, IDS, LABELS, ordinal
from layerline.data.photos.image_format import EXPECTED
from layerline.data.photos.label_columns import names_files
from layerline.errors import DataError
from layerline.numbers import display

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BYTE: Final = 255


def is_one(frame: Any) -> bool:
    """Return whether a DataFrame is not a table of files: many columns of numbers, and at most a text for the label."""
    names = list(frame.columns)
    if len(names) < FEWEST or len(set(names)) < len(names):
        return False
    texts = [name for name in names if not _is_numeric(frame, name)]
    return not texts or (len(texts) == 1 and not _names_files(frame, texts[0]))


def _names_files(frame: Any, name: Any) -> bool:
    cell = next(iter(frame[name]), None)
    return names_files(str(name)) or str(cell).lower().endswith(EXPECTED)


def pixels_and_label(frame: Any, place: str, *, labeled: bool) -> tuple[NDArray[Any], Any | None, str]:
    """Return the rows of pixels (N, pixels), the column of the labels, and a note. Raises DataError.

    labeled: whether the frame should have a label; otherwise it is passed with labels, and None is returned for them.
    """
    names = [name for name in frame.columns if str(name).strip().lower() not in IDS]
    label = _label(frame, names, place) if labeled else None
    pixels = [name for name in names if label is None or name is not label[0]]
    wrong = next((name for name in pixels if not _is_numeric(frame, name)), None)
    if wrong is not None:
        raise DataError(
            f"{place}: found text in the column {display.name(str(wrong), 30)} among {display.count(len(pixels))} "
            "columns of pixels, expected numbers",
            "pass pixels and labels: load_data((pixels, labels))",
        )
    if rows.side(len(pixels)) is None:
        raise DataError(
            f"{place}: found {display.count(len(pixels))} columns of numbers, which are not the pixels of square "
            f"images (gray or RGB, at least {rows.SMALLEST}×{rows.SMALLEST})",
            "pass arrays: load_data((frame[columns].to_numpy().reshape(-1, H, W), labels))",
        )
    found = np.stack([np.asarray(frame[name]) for name in pixels], axis=1)
    if found.dtype.kind in "iu" and found.size and found.min() >= 0 and found.max() <= _BYTE:
        found = found.astype(np.uint8)
    if label is None:
        return found, None, ""
    name, where = label
    rest = [display.name(str(each), 30) for each in frame.columns if each not in names]
    ignored = f"; ignored: {', '.join(rest)}" if rest else ""
    return found, frame[name], f"{place}: one image per row; the {where} column is the label{ignored}"


def _label(frame: Any, names: list[Any], place: str) -> tuple[Any, str]:
    """Return the column of the labels and its position: called like one, not a number, or the first or last."""
    called = [name for name in names if str(name).strip().lower() in LABELS]
    text = [name for name in names if not _is_numeric(frame, name)]
    found = called if len(called) == 1 else text if len(text) == 1 else []
    if not found and rows.side(len(names)) is not None:
        raise DataError(
            f"{place}: found {display.count(len(names))} columns of pixels and no label",
            "pass the labels too: load_data((frame, labels)), or add a column named label",
        )
    if not found and rows.side(len(names) - 1) is not None:
        first, last = (len(np.unique(np.asarray(frame[names[k]]))) for k in (0, -1))
        if 2 <= last < first:
            raise DataError(
                f"{place}: found {first} different values in the first column and {last} in the last: either could be "
                "the label",
                "name the column of the labels label",
            )
        found = [names[-1] if first < 2 <= last else names[0]]
    if not found:
        raise DataError(
            f"{place}: found {display.count(len(names))} columns of numbers, which are not a label and the pixels of "
            f"square images (gray or RGB, at least {rows.SMALLEST}×{rows.SMALLEST})",
            "pass arrays: load_data((pixels.reshape(-1, H, W), labels))",
        )
    every = list(frame.columns)
    return found[0], ordinal(every.index(found[0]), len(every))


def _is_numeric(frame: Any, name: Any) -> bool:
    return np.asarray(frame[name]).dtype.kind in "buif"
