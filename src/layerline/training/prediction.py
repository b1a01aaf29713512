"""Predictions for image files, decoded exactly as in training, in batches, on all cores."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from layerline.data.photos.decoding import File
from layerline.data.photos.image_format import EXPECTED, SUFFIXES
from layerline.data.photos.image_names import is_junk, is_run
from layerline.errors import DataError
from layerline.training import photos

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from layerline.data.checking.brightness import Look
    from layerline.training import Model


@dataclass(frozen=True, eq=False)
class Prediction:
    """The prediction for a file, or why there is none."""

    name: str
    probabilities: NDArray[np.float32] | None
    """(K,)"""
    reason: str = ""


def predictions(model: Model, files: Iterable[File], look: Look | None = None) -> Iterator[Prediction]:
    """Yield the prediction of `model` for each file, in order. Raises DataError if it cannot take image files.

    look: collects brightness statistics, to report afterwards whether the images are unlike the training images.
    """
    for found, images in photos.decoded(files, model.network.input_shape, model.preprocessing):
        if look is not None:
            look.add(images, model.preprocessing.maximum)
        rows = iter(model.probabilities(images.transpose(0, 3, 1, 2)))
        for item in found:
            yield Prediction(item.file.path, None if item.picture is None else next(rows), item.reason)


def files_of(paths: Sequence[Path]) -> tuple[list[File], list[Path]]:
    """Return the image files of `paths`: files as they are, folders with all files below them, sorted by name.

    Run folders below these are skipped, and returned too. Links are followed, as in training.
    Raises DataError if a path does not exist, or a folder has no images.
    """
    found: list[File] = []
    runs: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = _below(path, runs)
            if not inside:
                raise DataError(f"{path}: no images in this folder", f"image files end in {', '.join(SUFFIXES)}")
            found += [File((), str(each), each) for each in inside]
        elif path.exists():
            found.append(File((), str(path), path))
        else:
            raise DataError(f"{path}: no such file or folder", "check the path")
    return found, runs


def _below(folder: Path, runs: list[Path]) -> list[Path]:
    """Return the image files below a folder, sorted; run folders are skipped and appended to `runs`."""
    found: list[Path] = []
    seen: set[str] = set()
    for where, folders, names in os.walk(folder, followlinks=True):
        path, real = Path(where), os.path.realpath(where)
        if real in seen or (path != folder and is_run(names)):
            if real not in seen:  # otherwise it is a link to a folder already visited
                runs.append(path)
            folders.clear()
            continue
        seen.add(real)
        found += [each for each in map(path.joinpath, names) if _is_image_file(each)]
    return sorted(found)


def _is_image_file(path: Path) -> bool:
    return path.suffix.lower() in EXPECTED and not is_junk(path.name) and path.is_file()
