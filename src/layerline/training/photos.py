"""TRAIN: image files and Pillow images that a model is asked about, decoded exactly as in its training."""

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
"""Images that are held at a time."""


def listed(images: Any) -> list[Any] | None:
    """Return the paths and Pillow images that are given, alone or in a list; None where it is something else.

    Raises DataError where a list has others beside them.
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
                f"the images: found a {type(each).__name__} at {number}, expected a path or a Pillow image like others "
                "of the list",
                "ask about arrays and files one after the other",
            )
    return list(images)


def decoded(
    photos: Iterable[Any], shape: tuple[int, int, int], preprocessing: Preprocessing
) -> Iterator[tuple[list[Decoded], NDArray[Any]]]:
    """Yield what becomes of files (also paths) and Pillow images, some at a time, in order.

    With the images of those that can be read, (n, H, W, C), on the scale of the training. Raises DataError where the
    network's input is no image of files, where a path is that of a folder, or of nothing.
    """
    C, H, W = shape
    if C not in (1, 3):
        raise DataError(
            f"the model takes images of {C} channels, image files have 1 or 3",
            "give it arrays in Python: layerline.load(path).predict(images)",
        )
    sizing = preprocessing.sizing(shape)
    decoder = Decoder(sizing)
    waiting = iter(photos)
    while batch := list(itertools.islice(waiting, BATCH)):
        files = decoder(_file(each) for each in batch if not _is_made(each))
        found = aside(  # as the decoder: what a signal raises in this thread is not taken for a damaged image
            lambda batch=batch, files=files: [  # type: ignore[misc]  # defaults, to bind them now
                of_pillow(each, sizing) if _is_made(each) else next(files) for each in batch
            ]
        )
        pixels = [item.picture.pixels.reshape(H, W, C) for item in found if item.picture is not None]
        images = np.stack(pixels) if pixels else np.empty((0, H, W, C), np.uint8)
        yield found, preprocessing.scaled(images)


def check_read(found: Iterable[Decoded]) -> None:
    """Raise DataError where an image could not be read, with all of them."""
    bad = [item for item in found if item.picture is None]
    if bad:
        raise DataError(
            f"{display.counted(len(bad), 'image')} cannot be read:\n"
            + "\n".join(f"    {display.name(item.file.path, 200)}: found {item.reason}" for item in bad),
            "leave them out",
        )


def _is_photo(given: Any) -> bool:
    return isinstance(given, str | os.PathLike) or _is_pillow(given)


def _is_pillow(given: Any) -> bool:
    """Return whether it is a Pillow image: only where a program has imported Pillow can it have one."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(given, pillow.Image)


def _is_made(given: Any) -> bool:
    """Return whether it is a Pillow image that its file no longer tells: read and changed, or of a later page."""
    if not _is_pillow(given):
        return False
    file = getattr(given, "fp", None)
    if getattr(given, "tile", None) and file is not None and not file.closed:
        return bool(given.tell())
    return not _is_as_its_file(given)


def _is_as_its_file(image: Any) -> bool:
    """Return whether a JPEG that was read still has its file's pixels: of a large one the decoder gives a part only."""
    name = os.fsdecode(getattr(image, "filename", ""))
    if image.format != "JPEG" or not Path(name).is_file():
        return False
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(name) as again:
            return again.format == "JPEG" and again.size == image.size and again.tobytes() == image.tobytes()
    except (OSError, ValueError, UnidentifiedImageError):  # the file is another by now: the image itself is asked about
        return False


def _file(given: Any) -> File:
    """Return the file of a path, or of a Pillow image that has not been read yet. Raises DataError."""
    if isinstance(given, File):
        return given
    if _is_pillow(given):
        if not given.tile:
            return File((), str(given.filename), Path(os.fsdecode(given.filename)))
        place = given.fp.tell()  # it is left as it was found
        given.fp.seek(0)
        content = given.fp.read()
        given.fp.seek(place)
        return File((), str(getattr(given, "filename", "") or "a Pillow image"), content)
    path = Path(os.fsdecode(given))
    if path.is_dir():
        raise DataError(
            f"{path}: is a folder, expected an image file",
            f"name its files in order: sorted(Path({str(path)!r}).rglob('*.jpg'))",
        )
    if not path.exists():
        raise DataError(f"{path}: there is no such file", "check the path")
    return File((), str(path), path)
