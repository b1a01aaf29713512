"""predictions.npz: the predictions for the images of each split, written and read.

Only the arrays that a run writes are read, after their headers have been checked.
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
"""Probabilities stored per image if there are more than MOST_DENSE classes."""

_SPLITS: Final = (("test", ""), ("validation", "validation_"))
"""Each with the prefix of its arrays."""
_KINDS: Final = {
    "truth": "i",
    "prediction": "i",
    "probabilities": "f",
    "largest": "i",
    "of_truth": "f",
    "index": "i",
    "names": "U",
}
"""Array → NumPy's kind letter of its type."""
_OF_MANY: Final = ("largest", "of_truth")
"""Both exist if there are more than MOST_DENSE classes; otherwise neither is read."""
_LARGEST_PROBABILITY: Final = 1.001
"""Rounding in the softmax may make a probability slightly larger than 1."""
_NEEDED: Final = ("truth", "prediction", "probabilities")


@dataclass(frozen=True)
class Mistake:
    """An image that the model misclassifies."""

    position: int
    """Its position in the split: `data.test.images[position]`."""
    name: str | None
    """The path of its file; None if there is none."""
    truth: str
    prediction: str
    probability: float
    """That of the predicted class."""
    of_truth: float
    """The probability of the true class."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """The model's predictions for the images of a split; all arrays are in the order of the split."""

    split: str
    """test or validation."""
    truth: NDArray[np.int64]
    """(M,): the true class."""
    prediction: NDArray[np.int64]
    """(M,): the most probable class."""
    probabilities: NDArray[np.float32]
    """(M, K); with many classes (if `largest` is given), only the largest of each image."""
    index: NDArray[np.int64] | None
    """(M,): the image's index in the loaded data; None in a run of an older version."""
    names: tuple[str, ...] | None = None
    """(M,): the paths of the image files; None if there are no files."""
    largest: NDArray[np.int64] | None = None
    """The class of each of the probabilities, same shape; None: all classes, in order."""
    own: NDArray[np.float32] | None = None
    """(M,): the probability of the true class, stored along with `largest`."""

    @classmethod
    def of(
        cls,
        split: str,
        truth: NDArray[np.integer[Any]],
        probabilities: NDArray[np.float32],
        index: NDArray[np.int64],
        names: Sequence[str] | None = None,
    ) -> Self:
        """Return the predictions from all probabilities (M, K); the lower class wins ties.

        With more than metrics.MOST_DENSE classes, only an image's LARGEST probabilities and that of its true class are
        stored.
        """
        p, labels = np.asarray(probabilities, np.float32), np.asarray(truth, np.int64)
        prediction, named = p.argmax(axis=1), None if names is None else tuple(names)
        if p.shape[1] <= metrics.MOST_DENSE:
            return cls(split, labels, prediction, p, index, named)
        largest = np.array([_largest(row) for row in p], np.int64).reshape(len(p), LARGEST)
        top, own = np.take_along_axis(p, largest, axis=1), p[np.arange(len(p)), labels]
        return cls(split, labels, prediction, top, index, named, largest, own)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.truth)

    def of_truth(self) -> NDArray[np.float64]:
        """Return the probability of the true class, float64 (M,)."""
        found = self.probabilities[np.arange(len(self)), self.truth] if self.own is None else self.own
        return found.astype(np.float64)

    def probability(self, place: int, k: int) -> float:
        """Return the probability of class k for an image; 0 if it was too small to be stored."""
        if self.largest is None:
            return float(self.probabilities[place, k])
        if self.own is not None and k == self.truth[place]:
            return float(self.own[place])
        return float(self.probabilities[place][self.largest[place] == k].sum())

    def worst(self, most: int) -> NDArray[np.int64]:
        """Return the positions of the `most` mistakes with the highest loss −ln p(truth), highest first."""
        wrong = np.flatnonzero(self.prediction != self.truth)
        return wrong[np.argsort(self.of_truth()[wrong], kind="stable")][:most]


def mistakes(found: Predictions, classes: Sequence[str]) -> tuple[Mistake, ...]:
    """Return the misclassified images, those with the highest loss first."""
    own = found.of_truth()
    return tuple(
        Mistake(
            k,
            None if found.names is None else found.names[k],
            classes[found.truth[k]],
            classes[found.prediction[k]],
            found.probability(k, int(found.prediction[k])),
            float(own[k]),
        )
        for k in found.worst(len(found)).tolist()
    )


def _largest(row: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the classes of the LARGEST probabilities, largest first; the lower class wins ties."""
    among = np.flatnonzero(row >= np.partition(row, -LARGEST)[-LARGEST])
    return np.asarray(among[np.argsort(-row[among], kind="stable")][:LARGEST], np.int64)


def write(path: Path, predictions: Iterable[Predictions]) -> None:
    """Write the predictions of some splits; docs/run-folder.md lists the arrays. Raises UserError if it cannot."""
    arrays: dict[str, Any] = {}
    for each in predictions:
        prefix = dict(_SPLITS)[each.split]
        arrays |= {prefix + name: array for name, array in _arrays(each).items()}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    whole.write(path, (buffer.getbuffer(),))


def _arrays(predictions: Predictions) -> dict[str, NDArray[Any]]:
    """Return the known arrays of a split by their names in the file."""
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
    """Return the arrays of a split; none if it has no images."""
    if prefix + "truth" not in members:
        return {}
    for name in _NEEDED:
        if prefix + name not in members:
            raise UserError(f"{path} has no array {prefix + name}", AGAIN)
    many = all(prefix + name in members for name in _OF_MANY)
    wanted = [name for name in _KINDS if many or name not in _OF_MANY]
    known = {name: members[prefix + name] for name in wanted if prefix + name in members}
    _check_sizes(path, opened, known, K)
    return {name: archive.read(opened, info, f"{path}: {prefix + name}") for name, info in known.items()}


def _check_sizes(path: Path, opened: zipfile.ZipFile, known: dict[str, zipfile.ZipInfo], K: int) -> None:
    """Raise UserError if the headers are inconsistent, do not match K classes, or need too much memory."""
    headers = {name: archive.header_of(opened, info, f"{path}: {info.filename}") for name, info in known.items()}
    M, most = next(iter(headers["truth"].shape), 0), LARGEST if "largest" in headers else K
    for name, header in headers.items():
        shape = (M, most) if name in ("probabilities", "largest") else (M,)
        if header.shape != shape or header.dtype.kind != _KINDS[name] or (header.fortran_order and len(shape) > 1):
            raise UserError(
                f"{path}: {known[name].filename} is {header.dtype} {header.shape}, inconsistent with the other arrays "
                f"or with {K} classes",
                AGAIN,
            )
    needed, free = sum(header.size for header in headers.values()), free_bytes()
    if needed > free:
        raise UserError(
            f"{path} needs {display.size(needed)} of memory, but only {display.size(free)} are free", "free some memory"
        )


def _predictions(path: Path, split: str, arrays: dict[str, NDArray[Any]], K: int) -> Predictions:
    truth, prediction = (arrays[name].astype(np.int64) for name in ("truth", "prediction"))
    largest, own = (arrays.get(name) for name in _OF_MANY)
    for labels in (truth, prediction, *([] if largest is None else [largest])):
        if labels.min() < 0 or labels.max() >= K:
            raise UserError(f"{path}: its labels do not match {K} classes", AGAIN)
    for values in (arrays["probabilities"], *([] if own is None else [own])):
        if not ((values >= 0) & (values <= _LARGEST_PROBABILITY)).all():
            raise UserError(f"{path}: its probabilities must all be between 0 and 1", AGAIN)
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
