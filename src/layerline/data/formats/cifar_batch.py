"""Read one batch of CIFAR-10: 3,073 bytes per image (a label, then 32×32 red, green and blue), or a Python pickle.

A batch of CIFAR-100 has two labels per image: first the coarse one, of 20 classes, then the fine one, of 100.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.data.formats import pickled, recognize
from layerline.data.formats.stream import FETCH
from layerline.errors import DataError
from layerline.numbers import display

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHAPE: Final = (3, 32, 32)
CLASSES: Final = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_MOST: Final = 100
"""Number of fine classes of CIFAR-100; a part of it may have fewer."""
_PIXELS: Final = 3 * 32 * 32
_RECORD: Final = 1 + _PIXELS
_RECORD_100: Final = 2 + _PIXELS
_IS_100: Final = "for CIFAR-100, pass cifar-100-python.tar.gz or the folder inside it"


@dataclass(frozen=True, eq=False)
class Batch:
    """A batch of images, uint8 (n, 3072), each as C, H, W, and their labels, uint8 (n,)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]


def binary(content: bytes, place: str) -> Batch:
    """Return the images of a binary batch. Raises DataError."""
    return _records(content, place, _RECORD, len(CLASSES))


def binary_100(content: bytes, place: str, classes: int) -> Batch:
    """Return the images of a binary file of CIFAR-100, with their fine labels. Raises DataError."""
    return _records(content, place, _RECORD_100, classes)


def _records(content: bytes, place: str, size: int, classes: int) -> Batch:
    if not content or len(content) % size:
        raise _wrong_size(content, place, size)
    records = np.frombuffer(content, np.uint8).reshape(-1, size)
    labels = size - _PIXELS
    batch = Batch(records[:, labels:], records[:, labels - 1])
    wrong = batch.labels >= classes
    if wrong.any():
        first = int(np.argmax(wrong))
        raise DataError(
            f"{place}:{first * size}: found label {batch.labels[first]} in record {first}, expected 0 to {classes - 1}",
            FETCH,
        )
    return batch


def _wrong_size(content: bytes, place: str, record: int) -> DataError:
    size, what = len(content), recognize.kind(content[:300])
    if what is not None:
        return DataError(f"{place}:0: found {what}, expected a binary batch", recognize.remedy(what))
    if record == _RECORD and size % _RECORD_100 == 0:
        return DataError(
            f"{place}: found {display.count(size)} bytes, a multiple of {_RECORD_100}, so this is CIFAR-100; "
            f"expected records of {_RECORD} bytes",
            _IS_100,
        )
    return DataError(
        f"{place}: found {display.count(size)} bytes ({display.counted(size // record, 'record')} and "
        f"{size % record} bytes), expected complete records of {record} bytes",
        FETCH,
    )


def python(content: bytes, place: str) -> Batch:
    """Return the images of a Python batch. Raises DataError; nothing in it is executed."""
    held = _dictionary(content, place)
    if "data" not in held:
        raise _lacks(held, place, "data")
    images = _images(held["data"], place)
    if "labels" not in held:
        if "fine_labels" in held:
            raise DataError(f"{place}: found fine_labels, so this is CIFAR-100; expected labels", _IS_100)
        raise _lacks(held, place, "labels")
    return Batch(images, _labels(held["labels"], len(images), place, len(CLASSES)))


def python_100(content: bytes, place: str, classes: int) -> Batch:
    """Return the images and fine labels of a Python file of CIFAR-100. Raises DataError; nothing is executed."""
    held = _dictionary(content, place)
    for key in ("data", "fine_labels"):
        if key not in held:
            raise _lacks(held, place, key)
    images = _images(held["data"], place)
    return Batch(images, _labels(held["fine_labels"], len(images), place, classes))


def names_of_text(content: bytes, place: str) -> tuple[str, ...]:
    """Return the classes in batches.meta.txt, one name per line. Raises DataError."""
    return _names([line.strip() for line in content.splitlines() if line.strip()], place)


def names_of_python(content: bytes, place: str) -> tuple[str, ...]:
    """Return the classes in batches.meta. Raises DataError."""
    return _names(_listed(content, "label_names", place), place)


def names_of_python_100(content: bytes, place: str) -> tuple[str, ...]:
    """Return the fine classes in CIFAR-100's meta. Raises DataError."""
    return _names(_listed(content, "fine_label_names", place), place, None)


def names_of_text_100(content: bytes, place: str) -> tuple[str, ...]:
    """Return the classes in fine_label_names.txt, one name per line. Raises DataError."""
    return _names([line.strip() for line in content.splitlines() if line.strip()], place, None)


def _listed(content: bytes, key: str, place: str) -> list[bytes]:
    names = _dictionary(content, place).get(key)
    if not isinstance(names, list) or not all(isinstance(name, memoryview) for name in names):
        raise DataError(f"{place}: {key} is not a list of names", FETCH)
    return [bytes(name) for name in names]


def _names(found: list[bytes], place: str, count: int | None = len(CLASSES)) -> tuple[str, ...]:
    """Return the names as text. count: how many there must be; None for 2 to 100."""
    try:
        names = tuple(unicodedata.normalize("NFC", name.decode("utf-8")) for name in found)
    except UnicodeDecodeError:
        raise DataError(f"{place}: found a class name that is not valid UTF-8", FETCH) from None
    right = len(names) == count or (count is None and 2 <= len(names) <= _MOST)
    if len(set(names)) != len(names) or not right or max(map(len, names)) > 200:
        raise DataError(
            f"{place}: found {len(names)} names ({len(set(names))} distinct), "
            f"expected {count or f'2 to {_MOST}'} distinct names of at most 200 characters",
            FETCH,
        )
    return names


def _dictionary(content: bytes, place: str) -> dict[str, Any]:
    what = recognize.kind(content[:300])
    if what is not None and "pickle" not in what:
        raise DataError(f"{place}:0: found {what}, expected a Python batch", recognize.remedy(what))
    held = pickled.load(content, place)
    if not isinstance(held, dict):
        raise DataError(f"{place}: found {_kind(held)}, expected a dictionary with data and labels", FETCH)
    return held


def _images(data: Any, place: str) -> NDArray[np.uint8]:
    expected = f"expected a uint8 array of shape (N, {_PIXELS})"
    if not isinstance(data, pickled.Array):
        raise DataError(f"{place}: found {_kind(data)} as data, {expected}", FETCH)
    if data.type != "u1" or data.content is None:
        raise DataError(f"{place}: found data of type {display.name(data.type) or 'none'}, {expected}", FETCH)
    if data.fortran_order:
        raise DataError(f"{place}: found data in Fortran order, {expected} in C order", FETCH)
    if len(data.shape) != 2 or data.shape[1] != _PIXELS or data.shape[0] < 1:
        raise DataError(f"{place}: found data of shape ({', '.join(map(str, data.shape))}), {expected}", FETCH)
    if len(data.content) != data.shape[0] * _PIXELS:
        raise DataError(
            f"{place}: found {display.count(len(data.content))} bytes of data, "
            f"expected {display.count(data.shape[0] * _PIXELS)} for {display.count(data.shape[0])} images",
            FETCH,
        )
    return np.frombuffer(data.content, np.uint8).reshape(data.shape)


def _labels(labels: Any, count: int, place: str, classes: int) -> NDArray[np.uint8]:
    expected = f"expected a list of {display.count(count)} numbers from 0 to {classes - 1}"
    if not isinstance(labels, list):
        raise DataError(f"{place}: found {_kind(labels)} as labels, {expected}", FETCH)
    if len(labels) != count:
        raise DataError(f"{place}: found {display.count(len(labels))} labels, {expected}", FETCH)
    for index, label in enumerate(labels):
        if type(label) is not int or not 0 <= label < classes:
            found = str(label) if type(label) is int else _kind(label)
            raise DataError(f"{place}: found {found} as the label of image {index}, {expected}", FETCH)
    return np.array(labels, np.uint8)


def _lacks(held: dict[str, Any], place: str, key: str) -> DataError:
    keys = ", ".join(display.name(name, 20) for name in list(held)[:8]) or "nothing"
    return DataError(f"{place}: found the keys {keys}, but no {key}", FETCH)


def _kind(value: Any) -> str:
    words: dict[type[Any], str] = {
        memoryview: "text",
        int: "a number",
        bool: "a boolean",
        list: "a list",
        tuple: "a tuple",
        dict: "a dictionary",
        pickled.Array: "an array",
    }
    return words.get(type(value), "nothing")
