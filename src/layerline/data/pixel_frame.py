"""LOAD: a DataFrame with an image per row and a column per pixel, as `pandas.read_csv` returns MNIST."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.data.formats import pixel_table, rows
from layerline.data.formats.pixel_table import FEWEST, IDS, LABELS, narrowest, ordinal
from layerline.data.photos.image_format import EXPECTED
from layerline.data.photos.label_columns import names_files
from layerline.errors import DataError, spelling
from layerline.numbers import display

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BYTE: Final = 255
_CALL: Final = "load_data((pixels.reshape(-1, H, W), labels))"


def is_one(frame: Any) -> bool:
    """Return whether a DataFrame is not a table of files: many columns of numbers, and at most a text for the label."""
    names = list(frame.columns)
    if len(names) < FEWEST or len(set(names)) < len(names):
        return False
    texts = [name for name in names if not _is_numeric(frame, name)]
    return not texts or (len(texts) == 1 and _holds_labels(frame, texts[0]))


def _holds_labels(frame: Any, name: Any) -> bool:
    """Return whether a column without numbers may be the label: neither names of files nor images."""
    cell = next((cell for cell in frame[name] if isinstance(cell, str | int)), None)
    return cell is not None and not (names_files(str(name)) or str(cell).lower().endswith(EXPECTED))


def pixels_and_label(frame: Any, place: str, named: str | None = None) -> tuple[NDArray[Any], Any, str]:
    """Return the rows of pixels (N, pixels), the column of the labels, and a note. Raises DataError.

    named: the column of the labels, if it was passed.
    """
    names = _names(frame)
    label = _label(frame, names, place) if named is None else _column(frame, named, place)
    found = _pixels(frame, [name for name in names if name != label], place)
    every = list(frame.columns)
    rest = [display.name(str(name), 30) for name in every if name not in names and name != label]
    ignored = f"; ignored: {', '.join(rest)}" if rest else ""
    called = "" if isinstance(label, int) or str(label).lower() in LABELS else f" ({display.name(str(label), 30)})"
    where = ordinal(every.index(label), len(every))
    return found, frame[label], f"{place}: one image per row; the {where} column{called} is the label{ignored}"


def pixels_of(frame: Any, place: str) -> NDArray[Any]:
    """Return the rows of pixels (N, pixels) of a DataFrame that is passed with its labels. Raises DataError."""
    return _pixels(frame, _names(frame), place)


def _names(frame: Any) -> list[Any]:
    """Return the columns without those that number the images."""
    return [name for name in frame.columns if str(name).strip().lower() not in IDS]


def _pixels(frame: Any, names: list[Any], place: str) -> NDArray[Any]:
    """Return columns as rows of pixels (N, pixels), bytes as uint8. Raises DataError if they are no square images."""
    wrong = next((name for name in names if not _is_numeric(frame, name)), None)
    if wrong is not None:
        raise DataError(
            f"{place}: found text in the column {display.name(str(wrong), 30)} among {display.count(len(names))} "
            "columns of pixels, expected numbers",
            "pass pixels and labels: load_data((pixels, labels))",
        )
    if rows.side(len(names)) is None:
        raise DataError(
            f"{place}: found {display.count(len(names))} columns of numbers, which are not the pixels of square "
            f"images (gray or RGB, at least {rows.SMALLEST}×{rows.SMALLEST})",
            f"pass arrays: {_CALL}",
        )
    found = np.stack([np.asarray(frame[name]) for name in names], axis=1)
    if found.dtype.kind in "iu" and found.size and found.min() >= 0 and found.max() <= _BYTE:
        return found.astype(np.uint8)
    return narrowest(found) if found.size else found


def _column(frame: Any, named: str, place: str) -> Any:
    """Return the column with a name, of whatever type. Raises DataError if there is none."""
    found = {str(name): name for name in frame.columns}
    if named not in found:
        raise DataError(
            f"--label-column {display.name(named, 30)}: {place} has no such column",
            spelling.hint(named, list(found), "its columns: "),
        )
    return found[named]


def _label(frame: Any, names: list[Any], place: str) -> Any:
    """Return the column of the labels, by the rules for a file: called like one, text, not named like the pixels.

    Without names, it is the first or last.
    """
    lower = [str(name).strip().lower() for name in names]
    called = [name for name, text in zip(names, lower, strict=True) if text in LABELS]
    texts = [name for name in names if not _is_numeric(frame, name)]
    found = called if len(called) == 1 else texts
    if len(found) == 1:
        return found[0]
    if rows.side(len(names)) is not None:
        raise DataError(
            f"{place}: found {display.count(len(names))} columns of pixels and no label",
            "pass the labels too: load_data((frame, labels)), or add a column named label",
        )
    if rows.side(len(names) - 1) is None:
        raise DataError(
            f"{place}: found {display.count(len(names))} columns of numbers, which are not a label and the pixels of "
            f"square images (gray or RGB, at least {rows.SMALLEST}×{rows.SMALLEST})",
            f"pass arrays: {_CALL}",
        )
    if not all(isinstance(name, str) for name in names):
        ends = np.stack([np.asarray(frame[names[k]]) for k in (0, -1)], axis=1)
        return names[-1] if pixel_table.label_column(ends, place, "name the column of the labels label") else names[0]
    if pixel_table.are_renamed(names):
        raise DataError(
            f"{place}: found the columns 0, 0.1, 0.2 and so on: pandas made column names of an image",
            "read the file again with pandas.read_csv(FILE, header=None)",
        )
    column = pixel_table.apart(lower, ())
    if column is None:
        choice = f"choose one: --label-column '{display.name(names[0], 30)}'"
        raise pixel_table.unclear(place, names[0], names[-1], choice)
    return names[column]


def _is_numeric(frame: Any, name: Any) -> bool:
    return np.asarray(frame[name]).dtype.kind in "buif"
