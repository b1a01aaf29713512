"""Conversion of labels of any kind to class numbers and class names."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.errors import DataError
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from layerline.data.part import SplitArrays, SplitName

Labels = dict["SplitName", "NDArray[np.int32]"]

_MOST_CLASSES: Final = 10_000
_LONGEST_NAME: Final = 200


def settle(parts: Mapping[SplitName, SplitArrays], classes: tuple[str, ...] | None) -> tuple[Labels, tuple[str, ...]]:
    """Return the labels of each split as int32 (N,), and the names of the classes.

    Integers from 0 (also as floats, booleans, (N, 1), or one-hot) and text are labels; text that differs only in how
    accents are composed is one label. The classes are those that occur in training, sorted; the name of a number is its
    decimal form. classes: the names, if they are known; labels are then indices into them. Raises DataError for
    anything else, and for splits whose classes differ.
    """
    values = {split: _plain(part) for split, part in parts.items()}
    if classes is not None:
        for split, array in values.items():
            _check_known(array, parts[split].labels.place, classes)
        return {split: array.astype(np.int32) for split, array in values.items()}, classes
    known = np.unique(values["train"])
    if len(known) > _MOST_CLASSES:
        raise DataError(
            f"{parts['train'].labels.place}: found {display.count(len(known))} different labels, "
            f"expected at most {display.count(_MOST_CLASSES)} classes",
            "a label is the class of an image: group the values into classes",
        )
    for split, array in values.items():
        _check_same_kind(array, values["train"], parts, split)
        _check_classes(array, known, parts, split)
    labels: Labels = {split: np.searchsorted(known, array).astype(np.int32) for split, array in values.items()}
    return labels, tuple(_name(value, parts["train"].labels.place) for value in known.tolist())


def similar(classes: Sequence[str]) -> tuple[str, ...]:
    """Return a note for each class whose name differs from an earlier one only in case: it may be a slip."""
    seen: dict[str, str] = {}
    notes = []
    for name in classes:
        before = seen.setdefault(name.casefold(), name)
        if before != name:
            notes.append(f"{display.name(before)} and {display.name(name)} are separate classes")
    return tuple(notes)


def _plain(part: SplitArrays) -> NDArray[Any]:
    """Return labels as int64 or text (N,), one per image."""
    labels, place = part.labels.array, part.labels.place
    if labels.dtype.kind not in "buifUS":
        raise DataError(f"{place}: found type {labels.dtype}, expected numbers or names", "save one class per image")
    count = len(part.images.array)
    if labels.ndim not in (1, 2) or 0 in labels.shape:
        raise DataError(
            f"{place}: found {_shape(labels.shape)}, expected {count} labels, one per image",
            "save labels with the shape (N,)",
        )
    if len(labels) != count:
        raise DataError(
            f"{place}: found {display.counted(len(labels), 'label')}, "
            f"expected {display.count(count)}, one per image in {part.images.place}",
            "images and labels must be from the same set, in the same order",
        )
    if labels.ndim == 2:
        labels = labels[:, 0] if labels.shape[1] == 1 else _one_hot(labels, place)
    if labels.dtype.kind == "f":
        labels = _whole(labels, place)
    return _composed(labels, place) if labels.dtype.kind in "US" else _integers(labels, place)


def _composed(labels: NDArray[Any], place: str) -> NDArray[np.str_]:
    """Return names as text with composed accents, like those of folders: é is one character, never two."""
    known, places = np.unique(labels, return_inverse=True)
    return np.array([_name(value, place) for value in known.tolist()], np.str_)[places]


def _one_hot(labels: NDArray[Any], place: str) -> NDArray[Any]:
    if labels.dtype.kind in "US":
        raise DataError(
            f"{place}: found text of shape {_times(labels.shape)}, expected one name per image",
            "save it with the shape (N,)",
        )
    right = ((labels == 0) | (labels == 1)).all(axis=1) & (np.count_nonzero(labels, axis=1) == 1)
    if not right.all():
        first = int(np.argmin(right))
        raise DataError(
            f"{place}: the {_times(labels.shape)} labels are not one-hot (first: row {first}); "
            "expected one label per image, or a single 1 in each row",
            "save class numbers; if each row contains probabilities, use labels.argmax(1)",
        )
    return np.asarray(labels.argmax(axis=1))


def _whole(labels: NDArray[Any], place: str) -> NDArray[np.int64]:
    right = np.isfinite(labels) & (labels == np.trunc(labels)) & (np.abs(labels) < 2**31)
    if not right.all():
        first = int(np.argmin(right))
        raise DataError(
            f"{place}: found label {float(labels[first]):g} at image {first}, expected a whole number",
            "labels are class numbers, starting at 0",
        )
    return labels.astype(np.int64)


def _integers(labels: NDArray[Any], place: str) -> NDArray[np.int64]:
    wrong = (labels < 0) | (labels >= 2**31) if labels.dtype.kind != "b" else np.zeros(labels.shape, bool)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise DataError(
            f"{place}: found label {int(labels[first])} at image {first}, expected 0 to 2,147,483,647",
            "number the classes from 0",
        )
    return labels.astype(np.int64)


def _check_known(labels: NDArray[Any], place: str, classes: tuple[str, ...]) -> None:
    K = len(classes)
    if labels.dtype.kind in "US":
        raise DataError(
            f"{place}: found names, expected numbers from 0 to {K - 1}", "check that this is the right file"
        )
    wrong = labels >= K
    if wrong.any():
        first = int(np.argmax(wrong))
        raise DataError(
            f"{place}: found label {labels[first]} at image {first} ({display.counted(int(wrong.sum()), 'label')} "
            f"out of range), expected 0 to {K - 1} for {K} classes",
            "check that images and labels are from this data set",
        )


def _check_same_kind(
    labels: NDArray[Any], train: NDArray[Any], parts: Mapping[SplitName, SplitArrays], split: SplitName
) -> None:
    if labels.dtype.kind != train.dtype.kind:
        words = {True: "numbers", False: "names"}
        raise DataError(
            f"{parts[split].labels.place}: found {words[labels.dtype.kind == 'i']}, "
            f"expected {words[train.dtype.kind == 'i']} as in {parts['train'].labels.place}",
            "save both the same way",
        )


def _check_classes(
    labels: NDArray[Any], known: NDArray[Any], parts: Mapping[SplitName, SplitArrays], split: SplitName
) -> None:
    """Raise DataError if a split has a class that training does not have."""
    wrong = ~np.isin(labels, known)
    if not wrong.any():
        return
    first = int(np.argmax(wrong))
    extra = [_name(value, parts[split].labels.place) for value in np.unique(labels[wrong]).tolist()]
    lacking = [_name(value, "") for value in known[~np.isin(known, labels)].tolist()]
    also = f" but not {_listed(lacking)}" if lacking else ""
    times = display.counted(int(wrong.sum()), "time")
    found = f"label{'s' * (len(extra) > 1)} {_listed(extra)}"
    raise DataError(
        f"{parts[split].labels.place}: found {found} ({times}, first at image {first}){also}; "
        f"expected the {len(known)} classes of {parts['train'].labels.place}: {_listed(_names(known))}",
        "training and test labels must use the same class names",
    )


def _names(known: NDArray[Any]) -> list[str]:
    return [_name(value, "") for value in known.tolist()]


def _name(value: Any, place: str) -> str:
    """Return the name of a class, with composed accents."""
    try:
        name = unicodedata.normalize("NFC", value.decode("utf-8") if isinstance(value, bytes) else str(value))
        name.encode("utf-8")
    except UnicodeError:
        raise DataError(f"{place}: found a class name that is not UTF-8, expected text", "rename the class") from None
    if not name.strip() or len(name) > _LONGEST_NAME:
        found = f"a class name of {display.count(len(name))} characters" if name.strip() else "an empty class name"
        help_ = "shorten it" if name.strip() else "give every class a name"
        raise DataError(f"{place}: found {found}, expected 1 to {_LONGEST_NAME} characters", help_)
    return name


def _listed(names: list[str]) -> str:
    shown = [display.name(name, 30) for name in names[:8]]
    return ", ".join(shown) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _shape(shape: tuple[int, ...]) -> str:
    return f"shape {_times(shape)}" if shape else "a single value"
