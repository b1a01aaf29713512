"""What a model says of image files: decoded exactly as in its training, in batches, on all cores."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from layerline.data.decoding import Decoder, File
from layerline.data.image_names import is_junk
from layerline.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from layerline.training import Model

BATCH: Final = 256
"""Images that are held at a time."""
SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says of a file, or why it can say nothing."""

    name: str
    probabilities: NDArray[np.float32] | None
    """(K,)"""
    reason: str = ""


def predictions(model: Model, files: Iterable[File]) -> Iterator[Prediction]:
    """Yield what `model` says of each file, in order. Raises DataError where its input is no image of files."""
    C, H, W = model.network.input_shape
    if C not in (1, 3):
        raise DataError(
            f"the model takes images of {C} channels, image files have 1 or 3",
            "give it arrays in Python: layerline.load(path).predict(images)",
        )
    decoder = Decoder(model.preprocessing.sizing(model.network.input_shape))
    decoded = iter(decoder(files))
    while batch := list(itertools.islice(decoded, BATCH)):
        pixels = [item.picture.pixels.reshape(H, W, C) for item in batch if item.picture is not None]
        rows = iter(model.predict_proba(model.preprocessing.scaled(np.stack(pixels)), "NHWC") if pixels else ())
        for item in batch:
            yield Prediction(item.file.path, None if item.picture is None else next(rows), item.reason)


def files_of(paths: Sequence[Path]) -> list[File]:
    """Return the image files that `paths` name: files as they are, folders with all that is below them, by name.

    Raises DataError where there is no such path, or no image in a folder.
    """
    found: list[File] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(each for each in path.rglob("*") if _is_image_file(each))
            if not inside:
                raise DataError(f"{path}: found no image in this folder", f"images end in {', '.join(SUFFIXES)}")
            found += [File((), str(each), each) for each in inside]
        elif path.exists():
            found.append(File((), str(path), path))
        else:
            raise DataError(f"{path}: there is no such file or folder", "check the path")
    return found


def _is_image_file(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not is_junk(path.name) and path.is_file()
