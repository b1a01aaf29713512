"""What a network says of the images of a split, as predictions.npz keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


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
        """Return the arrays by their names in the file; the prediction is the first of the most probable classes."""
        arrays: dict[str, NDArray[Any]] = {
            "truth": np.asarray(self.truth, np.int32),
            "prediction": self.probabilities.argmax(axis=1).astype(np.int32),
            "probabilities": np.asarray(self.probabilities, np.float32),
            "index": np.asarray(self.index, np.int64),
        }
        if self.names is not None:
            arrays["names"] = np.array(list(self.names), dtype=np.str_)
        return {f"{prefix}{name}": array for name, array in arrays.items()}
