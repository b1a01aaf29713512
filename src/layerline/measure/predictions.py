"""What a network says of the images of a split, as predictions.npz keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline import metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


LARGEST: Final = 10
"""Probabilities of an image that are kept where there are more than MOST_DENSE classes."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """The images of a split, in its order."""

    truth: NDArray[np.int32]
    """(M,): the class by the label."""
    probabilities: NDArray[np.float32]
    """(M, K)."""
    index: NDArray[np.int64]
    """(M,): which image of the loaded data it is."""
    names: Sequence[str] | None = None
    """(M,): the paths of the images' files; None where they have none."""

    def arrays(self, prefix: str = "") -> dict[str, NDArray[Any]]:
        """Return the arrays by their names in the file; the prediction is the first of the most probable classes.

        Of more than metrics.MOST_DENSE classes an image's LARGEST probabilities are kept, with that of its own class.
        """
        arrays: dict[str, NDArray[Any]] = {
            "truth": np.asarray(self.truth, np.int32),
            "prediction": self.probabilities.argmax(axis=1).astype(np.int32),
            **self._probabilities(),
            "index": np.asarray(self.index, np.int64),
        }
        if self.names is not None:
            arrays["names"] = np.array(list(self.names), dtype=np.str_)
        return {f"{prefix}{name}": array for name, array in arrays.items()}

    def _probabilities(self) -> dict[str, NDArray[Any]]:
        p = np.asarray(self.probabilities, np.float32)
        if p.shape[1] <= metrics.MOST_DENSE:
            return {"probabilities": p}
        classes = np.array([_largest(row) for row in p], np.int32).reshape(len(p), LARGEST)
        return {
            "largest": classes,
            "probabilities": np.take_along_axis(p, classes, axis=1),
            "of_truth": p[np.arange(len(p)), self.truth],
        }


def _largest(row: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the classes of the LARGEST probabilities, the largest first, of equal ones the lower class."""
    among = np.flatnonzero(row >= np.partition(row, -LARGEST)[-LARGEST])
    return np.asarray(among[np.argsort(-row[among], kind="stable")][:LARGEST], np.int64)
