"""A classifier in an ONNX file as a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from layerline.errors.wrong_calls import answered
from layerline.export.onnx.importing import ImportOptions, imported
from layerline.training.model import Model

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from layerline.export.onnx.importing import Imported


@answered('from_onnx("net.onnx")')
def from_onnx(
    path: str | os.PathLike[str],
    input_shape: tuple[int, int, int] | None = None,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Model:
    """Return the classifier in an ONNX file as a model, which predicts, and whose network can be trained further.

    path: a file as PyTorch, Keras (tf2onnx) or Layerline export it; it is read as data, and no other file is opened.
    input_shape: channels, height and width, if the file leaves them free.
    mean, std: one number per channel, if the file is for images normalized as (pixel − mean) / std, with pixels from 0
        to 1, as in torchvision. Image files and arrays of pixels are then normalized by the model.
    Class names and preprocessing come from a file that Layerline exported; otherwise the classes are called "0", "1", …
    Raises UnsupportedError with every operation that a network file cannot express; UserError if the file is damaged,
    or if onnxruntime is installed and computes other probabilities.
    """
    options = ImportOptions(input_shape, None if mean is None else tuple(mean), None if std is None else tuple(std))
    return model_of(imported(Path(path), options))


def model_of(found: Imported) -> Model:
    """Return an imported file as a model."""
    return Model(found.network, found.classes, found.scaling, found.weights, preprocessing=found.preprocessing)
