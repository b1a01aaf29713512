"""What is exported: a model, and what is known about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from layerline.compiler.dtype import DType
from layerline.errors import UserError
from layerline.numbers import display
from layerline.runs import saved
from layerline.runs.folder import is_run
from layerline.runs.model_file import BYTE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from layerline.network import Network
    from layerline.runs.model_file import Card
    from layerline.runs.result import Result


@dataclass(frozen=True, eq=False)
class Origin:
    """What is known about a model's training, for the people who use an export."""

    data: str | None
    """The name of the data set that it was trained on."""
    images: int | None
    """The number of training images."""
    result: Result | None
    """The test results with intervals."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A model to be exported."""

    network: Network
    card: Card
    """Its classes, the scaling of pixel values and the preprocessing of image files."""
    weights: Mapping[str, NDArray[Any]]
    """With the names, layouts and order of `to_torch().state_dict()`."""
    origin: Origin | None = None
    """None if the model does not belong to a run."""

    def check_finite(self) -> None:
        """Raise UserError if a weight is not a finite number."""
        for name, value in self.weights.items():
            if not np.isfinite(value).all():
                count = display.count(int((~np.isfinite(value)).sum()))
                raise UserError(f"{name} has {count} NaN or infinite values", "train again with a lower learning rate")


def pixel_type(card: Card) -> DType:
    """Return the type of the input of an export: bytes if the training images were, else float32 on their scale.

    Images of 1×1 are rows of a table, whose values may be any numbers, also if none is above 255.
    """
    preprocessing, table = card.preprocessing, card.input_shape[1:] == (1, 1)
    return DType.U8 if preprocessing.maximum == BYTE and not preprocessing.deep and not table else DType.F32


def origin_of(model: Path) -> Origin | None:
    """Return what the run of a model file or a run folder records; None for a file that is not in a run.

    Raises UserError if the run's files are damaged.
    """
    folder = model if model.is_dir() else model.parent
    if not is_run(folder):
        return None
    run = saved.read(folder)
    data = run.record.about.data
    return Origin(data.name, data.images.get("train"), run.result)
