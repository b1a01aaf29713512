"""LOAD: data that a program already has: arrays, tables of image files, and batches that are read once."""

from __future__ import annotations

import itertools
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.data import pixel_frame, pixels
from layerline.data.formats import rows
from layerline.data.part import SPLITS, FoundArray, SourceArrays, SplitArrays
from layerline.data.photos.file_table import FileTable
from layerline.errors import CallError, DataError
from layerline.network.memory import free_bytes
from layerline.numbers import display

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.data.part import SplitName
    from layerline.data.photos.decoding import Progress
    from layerline.data.photos.image_options import ImageOptions

USAGE: Final = 'load_data((x, y)), or load_data("photos/")'
_PAIR: Final = "pass images and labels together: load_data((x, y))"
_X: Final = ("image", "images", "img", "pixel_values", "x")
_Y: Final = ("label", "labels", "y", "target", "targets", "class", "fine_label")
"""Usual keys of batches that are dictionaries."""
_SPLITS: Final = ("split", "isvalid", "isval", "isvalidation", "istest", "usage")
_SIGNS: Final = re.compile(r"[\W_]+")
_COPIES: Final = 2
"""While batches are joined, they are in memory twice."""


@dataclass(frozen=True, eq=False)
class _Pair:
    """Images and labels as arrays, with a note on where they are from."""

    x: NDArray[Any]
    y: NDArray[Any]
    note: str = ""


def is_data(value: Any) -> bool:
    """Return whether it is data in memory: neither a name or path, nor a number, nor something to be refused later."""
    if isinstance(value, str | bytes | os.PathLike | type) or getattr(value, "shape", None) == ():  # a single number
        return False
    listed = hasattr(value, "__getitem__") and hasattr(value, "__len__")  # such as a data set of PyTorch
    return listed or _is_table(value) or isinstance(value, Iterable)


def check_source(source: Any, others: Mapping[SplitName, Any]) -> None:
    """Raise CallError if `source` is nothing that can be loaded, or a path with other splits in memory."""
    if isinstance(source, str | os.PathLike):
        if others:
            which = next(iter(others))
            raise CallError(
                f"{which}=: found data in memory, but the training images at {display.name(os.fspath(source), 100)}",
                f"pass both the same way: load_data((x, y), {which}=(xt, yt)), or a folder of train and {which}",
            )
    elif not is_data(source):
        raise CallError(
            f"load_data(): found {type(source).__name__}, expected a name, a path or arrays", f"for example {USAGE}"
        )


def read(
    source: Any,
    others: dict[SplitName, Any],
    data_dir: str | os.PathLike[str] | None,
    options: ImageOptions,
    progress: Progress | None,
) -> SourceArrays:
    """Return the arrays of `source`, training images, and of the data of other splits. Raises DataError.

    Each is a pair (x, y), a table of image files, or an iterable of batches (x, y), which is read once. `source` may
    also be two pairs, as Keras's load_data() returns them: training and test. data_dir: contains the files of a table.
    """
    if _are_two_pairs(source):
        if "test" in others:
            raise DataError("found a training and a test pair, and also test=", "pass the test images only once")
        source, others = source[0], {**others, "test": source[1]}
    tables: dict[SplitName, FileTable] = {}
    pairs: dict[SplitName, _Pair] = {}
    given: dict[SplitName, Any] = {"train": source, **others}
    for split, value in ((split, given[split]) for split in SPLITS if split in given):  # in the fingerprint's order
        where = "" if split == "train" else f"{split} "  # as messages name it
        found = _table(value, where, options.source.columns) or _pair(value, where)
        if isinstance(found, FileTable):
            tables[split] = found
        else:
            pairs[split] = found
    if tables and pairs:
        raise DataError(
            f"found image files for {' and '.join(tables)} and arrays for {' and '.join(pairs)}",
            "pass both the same way",
        )
    if tables:
        return tables.pop("train").joined(tables).read(data_dir, options, progress)
    if all(_is_table(given[split]) for split in pairs):  # which have used the options for columns
        options = replace(options, flags=tuple(flag for flag in options.flags if not flag.endswith("-column")))
    options.check_arrays("the data")
    splits = {split: _split(pair, "" if split == "train" else f"{split} ") for split, pair in pairs.items()}
    splits, flat = rows.reshaped(splits)  # of a DataFrame of pixels; arrays of rows have been refused
    notes = tuple(pair.note for pair in pairs.values() if pair.note)
    return SourceArrays("arrays", splits, notes=(*notes, *flat))


def _split(pair: _Pair, where: str) -> SplitArrays:
    return SplitArrays(FoundArray(pair.x, f"{where}x"), FoundArray(pair.y, f"{where}y"))


def _are_two_pairs(source: Any) -> bool:
    if not isinstance(source, tuple) or len(source) != 2:
        return False
    return all(isinstance(each, tuple) and len(each) == 2 for each in source)


def _table(value: Any, where: str, columns: tuple[str | None, str | None]) -> FileTable | _Pair | None:
    """Return a DataFrame, or a pair of paths and labels, as a table; None if it is neither.

    A DataFrame whose images are arrays, or whose columns are pixels, is a pair. columns: of images and labels, if they
    are named.
    """
    if _is_table(value):
        names = list(getattr(value, "column_names", value.columns))  # pyarrow has the names elsewhere
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise DataError(f"{where}DataFrame: the column {twice} appears twice", "rename one of them")
        place = f"{where}DataFrame"
        if pixel_frame.is_one(value):
            return _pixel_columns(value, place, columns)
        return _frame({str(name): list(value[name]) for name in names}, place, columns)
    if isinstance(value, tuple | list) and len(value) == 2 and _are_paths(value[0]):
        paths, labels = list(value[0]), list(value[1])
        if len(paths) != len(labels):
            raise DataError(
                f"{where}paths: found {display.count(len(paths))}, but {display.counted(len(labels), 'label')}",
                "pass one label per path",
            )
        return FileTable.of(f"{where}paths", ("file", "label"), zip(paths, labels, strict=True))
    return None


def _pixel_columns(frame: Any, place: str, columns: tuple[str | None, str | None]) -> _Pair:
    """Return the rows of pixels and the labels of a DataFrame with a column per pixel. Raises DataError."""
    if columns[0] is not None:
        raise DataError(
            f"--file-column {display.name(columns[0], 30)}: {place} has pixels, not files", "omit --file-column"
        )
    _check_no_split(list(map(str, frame.columns)), place)
    x, y, note = pixel_frame.pixels_and_label(frame, place, columns[1])
    return _Pair(x, _labels(_array(y, f"{place} label")), note)


def _frame(cells: dict[str, list[Any]], place: str, columns: tuple[str | None, str | None]) -> FileTable | _Pair:
    """Return a table of paths or encoded images, or the pair of its columns of arrays and labels. Raises DataError."""
    names = list(cells)
    images = [name for name in names if _holds_images(cells[name])]
    image = columns[0] if columns[0] in images else images[0] if len(images) == 1 else None
    if len(images) > 1 and image is None:
        listed = " and ".join(display.name(name, 30) for name in images)
        raise DataError(
            f"{place}: the columns {listed} contain images", f"choose one: {_option('--file-column', images[0])}"
        )
    if image is None:
        return FileTable.of(place, names, zip(*cells.values(), strict=True))
    if isinstance(_first(cells[image]), bytes | bytearray | Mapping):
        return FileTable.of_images(place, names, list(zip(*cells.values(), strict=True)), names.index(image))
    label = _label_of(cells, image, place, columns[1])
    missing = next((row for row, cell in enumerate(cells[image]) if not _is_image(cell)), None)
    if missing is not None:
        raise DataError(f"{place}, row {missing}: found no image in {display.name(image, 30)}", "remove the row")
    rest = [display.name(name, 30) for name in names if name not in (image, label)]
    ignored = f"; ignored: the column{'s' * (len(rest) > 1)} {', '.join(rest)}" if rest else ""
    note = (
        f"{place}: the column {display.name(image, 30)} has the images, {display.name(label, 30)} the labels{ignored}"
    )
    return _Pair(_array(cells[image], f"{place} {image}"), _array(cells[label], f"{place} {label}"), note)


def _label_of(cells: Mapping[str, list[Any]], image: str, place: str, named: str | None) -> str:
    """Return the column of the labels of images in a table. Raises DataError unless exactly one can be that."""
    free = [name for name in cells if name != image]
    _check_no_split(free, place)
    found = [named] if named in free else [name for name in free if name.lower() in _Y] or free
    if len(found) != 1 or (named is not None and named not in free):
        listed = ", ".join(display.name(name, 30) for name in free) or "no other column"
        raise DataError(
            f"{place}: found images in {display.name(image, 30)}, and {listed}: which one has the labels?",
            f"choose one: {_option('--label-column', free[0])}" if free else "add a column of labels",
        )
    return found[0]


def _check_no_split(names: Iterable[str], place: str) -> None:
    """Raise DataError if a column of a table of images divides them."""
    split = next((name for name in names if _SIGNS.sub("", name.lower()) in _SPLITS), None)
    if split is not None:
        raise DataError(
            f"{place}: found the column {display.name(split, 30)}, but images in memory are split by test= and "
            "validation=",
            f"pass a DataFrame of each split: load_data(train, validation=valid), and drop {display.name(split, 30)}",
        )


def _option(flag: str, column: str) -> str:
    """Return an option with a column, quoted, so that Python's terms can be found for it."""
    return f"{flag} '{display.name(column, 30)}'"


def _holds_images(cells: list[Any]) -> bool:
    first = _first(cells)
    encoded = isinstance(first, bytes | bytearray) or (isinstance(first, Mapping) and "bytes" in first)
    return encoded or _is_image(first)


def _first(cells: list[Any]) -> Any:
    """Return the first cell that is not empty."""
    return next((cell for cell in cells if cell is not None and not isinstance(cell, float)), None)


def _is_image(cell: Any) -> bool:
    return _is_pillow(cell) or (_is_array(cell) and len(cell.shape) in (2, 3))


def _is_table(value: Any) -> bool:
    """Return whether it is a DataFrame, of pandas or another library, none of which is imported here."""
    return hasattr(value, "columns") and hasattr(value, "__getitem__") and hasattr(value, "shape")


def _are_paths(value: Any) -> bool:
    if isinstance(value, str | bytes) or not hasattr(value, "__len__") or not hasattr(value, "__iter__"):
        return False
    if _is_table(value):  # whose items are the names of its columns
        return False
    return len(value) > 0 and isinstance(next(iter(value)), str | os.PathLike)


def _pair(value: Any, where: str) -> _Pair:
    """Return a pair of images and labels, or batches of them, as arrays. Raises DataError."""
    if _is_array(value):
        raise CallError(f"{where}data: found an array without labels", _PAIR)
    if isinstance(value, Mapping):
        raise CallError(
            f"{where}data: found a dictionary with {', '.join(map(repr, list(value)[:4]))}",
            f'{_PAIR}, such as (data["x"], data["y"])',
        )
    if isinstance(value, tuple) or (isinstance(value, list) and len(value) == 2 and not _is_example(value[0])):
        if len(value) != 2:
            raise CallError(f"{where}data: found {display.counted(len(value), 'item')}, expected a pair (x, y)", _PAIR)
        if any(item is None for item in value):
            raise CallError(f"{where}data: {'y' if value[1] is None else 'x'} is None", _PAIR)
        if _is_table(value[0]) and pixel_frame.is_one(value[0]):
            x = pixel_frame.pixels_of(value[0], f"{where}x")
            return _Pair(x, _labels(_array(value[1], f"{where}y")))
        x, y = (_array(item, f"{where}{name}") for item, name in zip(value, "xy", strict=True))
        if x.ndim <= 2 and y.ndim >= 3:
            raise CallError(f"{where}(x, y): found labels first, then images", "swap them: (images, labels)")
        _check_flat(x, where)
        return _Pair(x, _labels(y))
    return _batches(value, where)


def _is_example(item: Any) -> bool:
    """Return whether the item of a list is itself an image or a batch with labels."""
    return isinstance(item, tuple | Mapping) and len(item) == 2


def _is_array(value: Any) -> bool:
    return hasattr(value, "__array__") and hasattr(value, "shape")


def _check_flat(x: NDArray[Any], where: str) -> None:
    """Raise DataError if images are rows of a table, with the shape that they probably have."""
    if x.ndim != 2:
        return
    side = round(x.shape[1] ** 0.5)
    shape = f"-1, {side}, {side}" if side**2 == x.shape[1] else "-1, C, H, W"
    raise DataError(
        f"{where}x: found 2 dimensions ({x.shape[0]}×{x.shape[1]}), expected images (N, H, W), (N, C, H, W) or "
        "(N, H, W, C)",
        f"if each row is an image: x.reshape({shape})",
    )


def _array(value: Any, place: str) -> NDArray[Any]:
    """Return anything that holds numbers or names as an array, without a copy if it has the memory of one."""
    value = pixels.unmasked(value, place)
    if isinstance(value, np.ndarray):
        return np.asarray(value, order="C")
    if hasattr(value, "detach") and hasattr(value, "cpu"):  # a PyTorch tensor
        value = value.detach().cpu()
    try:
        if isinstance(value, list | tuple) and value and (_is_array(value[0]) or _is_pillow(value[0])):
            return np.stack([np.asarray(_array(item, place)) for item in value])
        found = np.asarray(value)
        return np.asarray(np.array(found.tolist()) if found.dtype.kind == "O" else found, order="C")
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(
            f"{place}: cannot be converted to one array: {str(error).splitlines()[0][:200]}",
            "images must have the same size and type; image files may differ: load_data((paths, labels))",
        ) from error


def _is_pillow(value: Any) -> bool:
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(value, pillow.Image)


def _labels(y: NDArray[Any]) -> NDArray[Any]:
    return y.reshape(-1) if y.ndim == 0 else y


def _batches(value: Any, where: str) -> _Pair:
    """Return the batches (x, y) of an iterable, or its single images with labels, joined. Raises DataError."""
    most = len(value) if hasattr(value, "__len__") else None
    images: list[NDArray[Any]] = []
    labels: list[NDArray[Any]] = []
    free, size = free_bytes(), 0
    place = f"{where}batches"
    for number, batch in enumerate(itertools.islice(iter(value), most)):  # some repeat forever, but have a length
        x, y = _of_batch(batch, f"{place}: item {number}", images)
        images.append(x)
        labels.append(y)
        size += x.nbytes
        if _COPIES * size > free:
            raise DataError(
                f"{place}: the first {display.count(sum(map(len, images)))} images take {display.size(size)}, "
                f"too much to join in {display.size(free)} of free memory",
                "pass fewer batches, for example itertools.islice(batches, 100), or smaller images",
            )
    if not images:
        raise DataError(f"{place}: no batches found", "an iterator can be read only once: create it again")
    x, y = np.concatenate(images), np.concatenate(labels)
    shape = "×".join(map(str, x.shape[1:]))
    batches = "1 batch" if len(images) == 1 else f"{display.count(len(images))} batches"
    way = "one by one" if len(images) == len(x) else f"in {batches}"
    note = f"{where}data: read {way}: {display.count(len(x))} images ({shape}, {x.dtype})"
    return _Pair(x, y, f"{note}, {display.size(x.nbytes)} of memory")


def _of_batch(batch: Any, place: str, before: list[NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return images (n, …) and labels (n,) of a batch, or of a single image with its label."""
    if isinstance(batch, Mapping):
        batch = tuple(next((batch[key] for key in keys if key in batch), None) for keys in (_X, _Y))
    if not isinstance(batch, tuple | list) or len(batch) != 2 or any(item is None for item in batch):
        raise DataError(f"{place}: found {type(batch).__name__}, expected (images, labels)", _PAIR)
    x, y = _array(batch[0], f"{place}: x"), _array(batch[1], f"{place}: y")
    if y.ndim == 0:
        x, y = x[None], y[None]
    if x.ndim < 3 or len(x) != len(y):
        raise DataError(
            f"{place}: found shape {_times(x.shape)} for x and {_times(y.shape)} for y; expected one label per image",
            _PAIR,
        )
    if before and (x.shape[1:], x.dtype) != (before[0].shape[1:], before[0].dtype):
        raise DataError(
            f"{place}: found {_times(x.shape[1:])} images of type {x.dtype}, expected "
            f"{_times(before[0].shape[1:])} and {before[0].dtype} as in the first batch",
            "resize and convert all images the same way",
        )
    return x, y


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) if shape else "a single value"
