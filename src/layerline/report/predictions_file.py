"""predictions.npz: only the arrays that a run writes, looked at by their headers before any value is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline import figures
from layerline.data import archive
from layerline.errors import DataError, UserError
from layerline.measure.predictions import LARGEST
from layerline.network.memory import free_bytes
from layerline.report.judged import Judged
from layerline.report.run_text import AGAIN

if TYPE_CHECKING:
    import zipfile
    from pathlib import Path

    from numpy.typing import NDArray

_SPLITS: Final = (("test", ""), ("validation", "validation_"))
"""Each with what its arrays begin with."""
_KINDS: Final = {
    "truth": "i",
    "prediction": "i",
    "probabilities": "f",
    "largest": "i",
    "of_truth": "f",
    "index": "i",
    "names": "U",
}
"""Array → its type's letter in NumPy."""
_OF_MANY: Final = ("largest", "of_truth")
"""Both are there, where there are more than MOST_DENSE classes; else none is looked at."""
_LARGEST_SHARE: Final = 1.001
"""The sum of exponentials that a probability is a share of is rounded: it may come out a little above 1."""
_NEEDED: Final = ("truth", "prediction", "probabilities")


def read(path: Path, K: int) -> dict[str, Judged]:
    """Return what is known of the images of each split, of K classes. Raises UserError."""
    try:
        with archive.open_archive(path) as (opened, members):
            found = {split: _arrays(path, opened, members, prefix, K) for split, prefix in _SPLITS}
    except DataError as error:
        raise UserError(error.message, AGAIN) from None
    return {split: _judged(path, split, arrays, K) for split, arrays in found.items() if len(arrays.get("truth", ()))}


def _arrays(
    path: Path, opened: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], prefix: str, K: int
) -> dict[str, NDArray[Any]]:
    """Return the arrays of a split; none where it has no images."""
    if prefix + "truth" not in members:
        return {}
    for name in _NEEDED:
        if prefix + name not in members:
            raise UserError(f"{path}: has no array {prefix + name}", AGAIN)
    many = all(prefix + name in members for name in _OF_MANY)
    wanted = [name for name in _KINDS if many or name not in _OF_MANY]
    known = {name: members[prefix + name] for name in wanted if prefix + name in members}
    _check_sizes(path, opened, known, K)
    return {name: archive.read(opened, info, f"{path}: {prefix + name}") for name, info in known.items()}


def _check_sizes(path: Path, opened: zipfile.ZipFile, known: dict[str, zipfile.ZipInfo], K: int) -> None:
    """Raise UserError where the headers do not agree with each other and with K classes, or tell of too much."""
    headers = {name: archive.header_of(opened, info, f"{path}: {info.filename}") for name, info in known.items()}
    M, most = next(iter(headers["truth"].shape), 0), LARGEST if "largest" in headers else K
    for name, header in headers.items():
        shape = (M, most) if name in ("probabilities", "largest") else (M,)
        if header.shape != shape or header.dtype.kind != _KINDS[name] or (header.fortran_order and len(shape) > 1):
            raise UserError(
                f"{path}: {known[name].filename} is {header.dtype} {header.shape}: its arrays do not agree with each "
                f"other and with {K} classes",
                AGAIN,
            )
    needed, free = sum(header.size for header in headers.values()), free_bytes()
    if needed > free:
        raise UserError(f"{path}: takes {figures.size(needed)}, and {figures.size(free)} are free", "free some memory")


def _judged(path: Path, split: str, arrays: dict[str, NDArray[Any]], K: int) -> Judged:
    truth, prediction = (arrays[name].astype(np.int64) for name in ("truth", "prediction"))
    largest, own = (arrays.get(name) for name in _OF_MANY)
    for labels in (truth, prediction, *([] if largest is None else [largest])):
        if labels.min() < 0 or labels.max() >= K:
            raise UserError(f"{path}: its labels do not agree with {K} classes", AGAIN)
    for values in (arrays["probabilities"], *([] if own is None else [own])):
        if not ((values >= 0) & (values <= _LARGEST_SHARE)).all():
            raise UserError(f"{path}: its probabilities are not all between 0 and 1", AGAIN)
    index, names = arrays.get("index"), arrays.get("names")
    return Judged(
        split,
        truth,
        prediction,
        arrays["probabilities"].astype(np.float32, copy=False),
        None if index is None else index.astype(np.int64),
        None if names is None else tuple(names.tolist()),
        None if largest is None else largest.astype(np.int64),
        None if own is None else own.astype(np.float32),
    )
