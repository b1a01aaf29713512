"""A picture as Python gets it: a notebook displays it, and anywhere else it can be saved."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

import numpy as np

from layerline.errors import UserError
from layerline.files import whole
from layerline.numbers import display
from layerline.recipe import words
from layerline.report import curves, samples
from layerline.report.plotted_metrics import PLOTTED

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from layerline.data import Dataset
    from layerline.data.augment.augmentation import Augmentation
    from layerline.runs.history import EpochRow
    from layerline.runs.result import Result

_DOTS: Final = 150
"""Pixels per inch of the curves."""


@final
@dataclass(frozen=True, eq=False, repr=False)
class Figure:
    """A picture as PNG."""

    title: str
    png: bytes

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture as a PNG file. Raises UserError if that fails."""
        whole.write(Path(path), (self.png,))

    def __repr__(self) -> str:
        """Return the title, and how to see the picture outside a notebook."""
        return f'{self.title}: figure.save("figure.png") writes it, a notebook displays it'

    def _repr_png_(self) -> bytes:
        return self.png


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
