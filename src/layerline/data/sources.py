"""Where data comes from: a known name, or a path."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from layerline.data import source_refusal
from layerline.data.formats import (
    array_files,
    cifar,
    cifar100,
    idx,
    idx_folder,
    mat_file,
    matlab,
    named_cifar,
    named_idx,
    npz,
    pixel_table,
    pixel_texts,
    recognize,
    stl10,
    tar,
    zipped,
)
from layerline.data.formats.recognize import shown
from layerline.data.formats.stream import open_stream
from layerline.data.part import FoundArray, SourceArrays, SplitArrays
from layerline.data.photos import image_archive, image_folder, image_format, parquet, parquet_file
from layerline.errors import DataError
from layerline.numbers import display

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from layerline.data.photos.decoding import Progress
    from layerline.data.photos.image_options import ImageOptions

_DIGITS: Final = Path(__file__).parent / "digits"
_DIGITS_TEST: Final = 360
_PUBLISHED: Final[tuple[tuple[Callable[[Path], Path | None], Callable[[Path], SourceArrays]], ...]] = (
    (cifar.place_of, cifar.read_folder),
    (cifar100.place_of, cifar100.read_folder),
    (stl10.place_of, stl10.read_folder),
    (matlab.place_of, matlab.read),
)
"""Of published sets that are known by the names of their files: where they are in a folder, and the reader."""
_TEN: Final = tuple("0123456789")


NAMES: Final = ("digits", *named_idx.NAMED, named_cifar.NAME)


def read(
    source: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None,
    options: ImageOptions,
    progress: Progress | None = None,
) -> SourceArrays:
    """Return the arrays of `source`: a set known by name, or the data at a path. Raises DataError."""
    options.source.check_columns()
    parts = _read(source, data_dir, options, progress)
    if not parts.of_files:
        options.check_arrays(str(source))
    return parts


def _read(
    source: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None,
    options: ImageOptions,
    progress: Progress | None,
) -> SourceArrays:
    if isinstance(source, str):
        if source == "digits":
            return _digits()
        if source in named_idx.NAMED:
            return named_idx.read(named_idx.NAMED[source], None if data_dir is None else Path(data_dir))
        if source == named_cifar.NAME:
            return named_cifar.read(None if data_dir is None else Path(data_dir), options, progress)
        if source.lower() in named_cifar.NAMES_100 and not Path(source).exists():
            return named_cifar.read_100(None if data_dir is None else Path(data_dir))
        if not source.strip():
            raise source_refusal.blank()
    path = Path(source)
    try:
        if path.is_dir():
            return _folder(path, options, progress)
        if path.exists():
            return _file(path, options, progress)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise DataError(f"--data {display.name(str(source))}: cannot be read: {reason}", "check the path") from error
    raise source_refusal.unknown(str(source), NAMES)


def place_of(name: str, data_dir: Path) -> Path | None:
    """Return the folder with all files of a named set, in a data folder; None if any is missing."""
    if name in named_idx.NAMED:
        return named_idx.place_of(named_idx.NAMED[name], data_dir)
    return named_cifar.place_of(data_dir)


def _digits() -> SourceArrays:
    images = _DIGITS / "digits-images-idx3-ubyte.gz"
    labels = _DIGITS / "digits-labels-idx1-ubyte.gz"
    part = SplitArrays(
        FoundArray(idx.read(images, "images"), "digits"), FoundArray(idx.read(labels, "labels"), "digits")
    )
    return SourceArrays("digits", {"train": part}, _TEN, maximum=16.0, last_for_test=_DIGITS_TEST)


def _folder(path: Path, options: ImageOptions, progress: Progress | None) -> SourceArrays:
    if options.source.options and (labeled := image_folder.read_folder(path, options, progress)) is not None:
        return labeled  # images are meant, whatever else is there
    if idx_folder.is_one(path):
        return idx_folder.read(path)
    published = _published(path)
    if published is not None:
        return published
    parts = None if parquet.is_one(path) else image_folder.read_folder(path, options, progress)
    parts = parts or parquet.read_folder(path, options, progress)
    if parts is not None:
        return parts
    arrays = array_files.read_folder(path) or pixel_table.read_folder(path) or pixel_texts.read_folder(path)
    if arrays is not None:
        return arrays
    raise source_refusal.nothing_in(path)


def _published(path: Path) -> SourceArrays | None:
    """Return the published set in a folder that is known by its file names; None if there is none.

    Raises DataError if there are several.
    """
    here = [(place, read) for place_of, read in _PUBLISHED if (place := place_of(path)) is not None]
    if len(here) > 1:
        each = ", or ".join(f"--data {shown(place)}" for place, _ in here)
        raise DataError(f"{shown(path)}: found several data sets, expected one", f"pass one of them, such as {each}")
    return next((read(place) for place, read in here), None)


def _file(path: Path, options: ImageOptions, progress: Progress | None) -> SourceArrays:
    if not path.is_file():
        raise DataError(f"{shown(path)}: neither a file nor a folder", "check the path")
    with open_stream(path) as stream:
        start = stream.take(tar.BLOCK)
    if tar.begins(start):
        return image_archive.read(path, options, progress)
    if path.suffix.lower() == ".npz" or (start.startswith(recognize.ZIP) and _has_arrays(path)):
        return array_files.read_file(path) if array_files.is_part(path) else npz.read(path)
    if start.startswith(recognize.ZIP):
        return image_archive.read(path, options, progress)
    if start.startswith(parquet_file.START):
        return parquet.read_file(path, options, progress)
    if start.startswith(mat_file.START) or path.suffix.lower() == ".mat":
        return matlab.read(path)
    if start.startswith(array_files.NPY):
        return array_files.read_file(path)
    what = recognize.kind(start[:300])
    if what == "plain text" and pixel_texts.is_one(path):
        return pixel_texts.read(path)
    if what in (None, "plain text") and (".csv" in path.name.lower() or (what and pixel_table.is_one(path))):
        if not pixel_table.is_one(path) and (table := source_refusal.of_table(path)) is not None:
            raise table
        return pixel_table.read(path)
    if what and stream.packed is None and "idx" not in path.name.lower():
        raise source_refusal.unreadable_file(path, what)
    return idx_folder.read_file(path)


def _has_arrays(path: Path) -> bool:
    """Return whether a zip archive is an .npz file by another name: it has arrays, and no images."""
    with zipped.open_zip(path) as archive:
        return archive.has_arrays and not any(name.lower().endswith(image_format.EXPECTED) for name in archive.names)
