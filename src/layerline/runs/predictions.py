"""predictions.npz: what a network predicts for the images of a split, written and read.

Only the arrays that a run writes are read, after a look at their headers.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from layerline.data.formats import archive
from layerline.errors import DataError, UserError
from layerline.files import whole
from layerline.network.memory import free_bytes
from layerline.numbers import display
from layerline.runs import metrics
from layerline.runs.texts import AGAIN

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

LARGEST: Final = 10
"""Probabilities of an image that are kept where there are more than MOST_DENSE classes."""

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


@dataclass(frozen=True, eq=False)
class Predictions:
    """The images of a split with what the model predicts for each; all arrays are in the order of the split."""

    split: str
    """test or validation."""
    truth: NDArray[np.int64]
    """(M,): the class by the label."""
    prediction: NDArray[np.int64]
    """(M,): the most probable class."""
    probabilities: NDArray[np.float32]
    """(M, K); or of many classes, where `largest` is given, the largest of each image."""
    index: NDArray[np.int64] | None
    """(M,): which image of the loaded data it is; None in a run of an older version."""
    names: tuple[str, ...] | None = None
    """(M,): the paths of the images' files; None where there are none."""
    largest: NDArray[np.int64] | None = None
    """Of which classes the probabilities are, as many for each image; None: of all, in order."""
    own: NDArray[np.float32] | None = None
    """(M,): beside `largest`, the probability of the true class."""

    @classmethod
    def of(
        cls,
        split: str,
        truth: NDArray[np.integer[Any]],
        probabilities: NDArray[np.float32],
        index: NDArray[np.int64],
        names: Sequence[str] | None = None,
    ) -> Self:
        """Return the predictions that all probabilities (M, K) give: the first of the most probable classes.

        Of more than metrics.MOST_DENSE classes an image's LARGEST probabilities are kept, with that of its own class.
        """
        p, labels = np.asarray(probabilities, np.float32), np.asarray(truth, np.int64)
        prediction, named = p.argmax(axis=1), None if names is None else tuple(names)
        if p.shape[1] <= metrics.MOST_DENSE:
            return cls(split, labels, prediction, p, index, named)
        largest = np.array([_largest(row) for row in p], np.int64).reshape(len(p), LARGEST)
        kept, own = np.take_along_axis(p, largest, axis=1), p[np.arange(len(p)), labels]
        return cls(split, labels, prediction, kept, index, named, largest, own)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.truth)

    def of_truth(self) -> NDArray[np.float64]:
        """Return the probability of the true class, float64 (M,)."""
        found = self.probabilities[np.arange(len(self)), self.truth] if self.own is None else self.own
        return found.astype(np.float64)

    def probability(self, place: int, k: int) -> float:
        """Return the probability of class k for an image; 0 where it was too small to be kept."""
        if self.largest is None:
            return float(self.probabilities[place, k])
        if self.own is not None and k == self.truth[place]:
            return float(self.own[place])
        return float(self.probabilities[place][self.largest[place] == k].sum())

    def worst(self, most: int) -> NDArray[np.int64]:
        """Return the places of the mistakes with the highest loss −ln p(truth), highest first, `most` of them."""
        wrong = np.flatnonzero(self.prediction != self.truth)
        return wrong[np.argsort(self.of_truth()[wrong], kind="stable")][:most]


def _largest(row: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the classes of the LARGEST probabilities, the largest first, of equal ones the lower class."""
    among = np.flatnonzero(row >= np.partition(row, -LARGEST)[-LARGEST])
    return np.asarray(among[np.argsort(-row[among], kind="stable")][:LARGEST], np.int64)


def write(path: Path, predictions: Iterable[Predictions]) -> None:
    """Write the predictions of some splits; docs/run-folder.md lists the arrays. Raises UserError where it cannot."""
    arrays: dict[str, Any] = {}
    for each in predictions:
        prefix = dict(_SPLITS)[each.split]
        arrays |= {prefix + name: array for name, array in _arrays(each).items()}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    whole.write(path, (buffer.getbuffer(),))


def _arrays(predictions: Predictions) -> dict[str, NDArray[Any]]:
    """Return the arrays of a split by their names in the file, without what is not known."""
    p = predictions
    arrays = {
        "truth": p.truth.astype(np.int32),
        "prediction": p.prediction.astype(np.int32),
        "largest": None if p.largest is None else p.largest.astype(np.int32),
        "probabilities": p.probabilities,
        "of_truth": p.own,
        "index": p.index,
        "names": None if p.names is None else np.array(p.names, dtype=np.str_),
    }
    return {name: array for name, array in arrays.items() if array is not None}


def read(path: Path, K: int) -> dict[str, Predictions]:
    """Return the predictions of each split, of K classes. Raises UserError."""
    try:
        with archive.open_archive(path) as (opened, members):
            found = {split: _members(path, opened, members, prefix, K) for split, prefix in _SPLITS}
    except DataError as error:
        raise UserError(error.message, AGAIN) from None
    return {
        split: _predictions(path, split, arrays, K) for split, arrays in found.items() if len(arrays.get("truth", ()))
    }


def _members(
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
        raise UserError(f"{path}: takes {display.size(needed)}, and {display.size(free)} are free", "free some memory")


def _predictions(path: Path, split: str, arrays: dict[str, NDArray[Any]], K: int) -> Predictions:
    truth, prediction = (arrays[name].astype(np.int64) for name in ("truth", "prediction"))
    largest, own = (arrays.get(name) for name in _OF_MANY)
    for labels in (truth, prediction, *([] if largest is None else [largest])):
        if labels.min() < 0 or labels.max() >= K:
            raise UserError(f"{path}: its labels do not agree with {K} classes", AGAIN)
    for values in (arrays["probabilities"], *([] if own is None else [own])):
        if not ((values >= 0) & (values <= _LARGEST_SHARE)).all():
            raise UserError(f"{path}: its probabilities are not all between 0 and 1", AGAIN)
    index, names = arrays.get("index"), arrays.get("names")
    return Predictions(
        split,
        truth,
        prediction,
        arrays["probabilities"].astype(np.float32, copy=False),
        None if index is None else index.astype(np.int64),
        None if names is None else tuple(names.tolist()),
        None if largest is None else largest.astype(np.int64),
        None if own is None else own.astype(np.float32),
    )
