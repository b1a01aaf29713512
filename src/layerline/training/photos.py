"""TRAIN: image files and Pillow images to predict, decoded exactly as in training."""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.data.photos.decoding import Decoded, Decoder, File, of_pillow
from layerline.errors import DataError
from layerline.numbers import display
from layerline.system.workers import aside

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from layerline.runs.model_file import Preprocessing

BATCH: Final = 256
"""Images in memory at a time."""


def listed(images: Any) -> list[Any] | None:
    """Return paths and Pillow images, alone or in a list, as a list; None for anything else.

    Raises DataError if a list mixes them with something else.
    """
    if _is_photo(images):
        return [images]
    if isinstance(images, np.ndarray) and images.dtype.kind in "OU":
        images = images.reshape(-1).tolist()
    if not isinstance(images, list | tuple) or not images or not any(map(_is_photo, images)):
        return None
    for number, each in enumerate(images):
        if not _is_photo(each):
            raise DataError(
                f"the images: item {number} is a {type(each).__name__}, expected a path or a Pillow image like other "
                "items of the list",
                "predict arrays and files in separate calls",
            )
    return list(images)


def decoded(
    photos: Iterable[Any], shape: tuple[int, int, int], preprocessing: Preprocessing
) -> Iterator[tuple[list[Decoded], NDArray[Any]]]:
    """Yield decoded files (also paths) and Pillow images in order, in batches.

    Each comes with the pixels of the readable ones, (n, H, W, C), on the training scale. Raises DataError if the
    network's input cannot come from image files, or if a path is a folder or does not exist.
    """
    C, H, W = shape
    if C not in (1, 3):
        raise DataError(
            f"the model expects images with {C} channels, but image files have 1 or 3",
            "pass arrays in Python: layerline.load(path).predict(images)",
        )
    sizing = preprocessing.sizing(shape)
    decoder = Decoder(sizing)
    waiting = iter(photos)
    while batch := list(itertools.islice(waiting, BATCH)):
        files = decoder(_file(each) for each in batch if not _is_made(each))
        found = aside(  # like the decoder: an exception from a signal must not look like a damaged image
            lambda batch=batch, files=files: [  # type: ignore[misc]  # defaults, to bind them now
                of_pillow(each, sizing) if _is_made(each) else next(files) for each in batch
            ]
        )
        pixels = [item.picture.pixels.reshape(H, W, C) for item in found if item.picture is not None]
        images = np.stack(pixels) if pixels else np.empty((0, H, W, C), np.uint8)
        yield found, preprocessing.scaled(images)


def check_read(found: Iterable[Decoded]) -> None:
    """Raise DataError listing all images that could not be read, if any."""
    bad = [item for item in found if item.picture is None]
    if bad:
        raise DataError(
            f"{display.counted(len(bad), 'image')} cannot be read:\n"
            + "\n".join(f"    {display.name(item.file.path, 200)}: found {item.reason}" for item in bad),
            "predict takes arrays, Pillow images, and paths of image files: omit the others",
        )


def _is_photo(given: Any) -> bool:
    return isinstance(given, str | os.PathLike) or _is_pillow(given)


def _is_pillow(given: Any) -> bool:
    """Return whether it is a Pillow image, without importing Pillow: a program with such an image has imported it."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(given, pillow.Image)


def _is_made(given: Any) -> bool:
    """Return whether it is a Pillow image that differs from its file: loaded and changed, or a later page."""
    if not _is_pillow(given):
        return False
    file = getattr(given, "fp", None)
    if getattr(given, "tile", None) and file is not None and not file.closed:
        return bool(given.tell())
    return not _is_as_its_file(given)


def _is_as_its_file(image: Any) -> bool:
    """Return whether a loaded JPEG still has its file's pixels (our decoder reads large JPEGs at reduced size)."""
    name = os.fsdecode(getattr(image, "filename", ""))
    if image.format != "JPEG" or not Path(name).is_file():
        return False
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(name) as again:
            return again.format == "JPEG" and again.size == image.size and again.tobytes() == image.tobytes()
    except (OSError, ValueError, UnidentifiedImageError):  # the file has changed meanwhile: the image in memory counts
        return False


def _file(given: Any) -> File:
    """Return the file of a path, or of a Pillow image that has not been loaded yet. Raises DataError."""
    if isinstance(given, File):
        return given
    if _is_pillow(given):
        if not given.tile:
            return File((), str(given.filename), Path(os.fsdecode(given.filename)))
        place = given.fp.tell()  # restored below
        given.fp.seek(0)
        content = given.fp.read()
        given.fp.seek(place)
        return File((), str(getattr(given, "filename", "") or "a Pillow image"), content)
    path = Path(os.fsdecode(given))
    if path.is_dir():
        raise DataError(
            f"{path} is a folder, not an image file",
            f"list its files in order: sorted(Path({str(path)!r}).rglob('*.jpg'))",
        )
    if not path.exists():
        raise DataError(f"{path}: no such file", "check the path")
    return File((), str(path), path)
