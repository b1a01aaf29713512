"""Figures as Python gets them: sample images of a data set, learning curves, mistakes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from layerline.errors import UserError
from layerline.files.png import Figure
from layerline.numbers import display
from layerline.recipe import words
from layerline.report import curves, samples
from layerline.report.plotted_metrics import PLOTTED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerline.data import Dataset
    from layerline.data.augment.augmentation import Augmentation
    from layerline.runs.history import EpochRow
    from layerline.runs.result import Result

_DOTS: Final = 150
"""Pixels per inch of the curves."""


def samples_figure(data: Dataset, augment: str | Augmentation | None = None, seed: int = 0) -> Figure:
    """Return sample images of each class, as `layerline data show` writes them. Raises RecipeError."""
    chosen = samples.choose(data, words.augmentation(augment), seed)
    return Figure(chosen.title, samples.picture(chosen))


def history_figure(history: Sequence[EpochRow], result: Result) -> Figure:
    """Return the learning curves next to each other: loss, accuracy, macro F1. Raises UserError without an epoch."""
    import io

    from PIL import Image

    sheets = [curves.curve(metric, history, result) for metric in PLOTTED] if history else []
    pictures = [Image.open(io.BytesIO(sheet.png(_DOTS))) for sheet in sheets if sheet is not None]
    if not pictures:
        raise UserError("no epoch was finished, so there is nothing to plot")
    joined = np.concatenate([np.asarray(picture) for picture in pictures], axis=1)
    buffer = io.BytesIO()
    Image.fromarray(joined).save(buffer, "PNG")
    return Figure(f"learning curves of {display.counted(len(history), 'epoch')}", buffer.getvalue())
