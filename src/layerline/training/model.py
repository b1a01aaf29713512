"""A trained network in memory: it predicts, and it can be saved and loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from layerline import engines, model_file
from layerline.data.dataset import ImageSet, Split
from layerline.engines.engine import State
from layerline.errors import DataError
from layerline.model_file import Card, Preprocessing
from layerline.recipe import Recipe
from layerline.run_folder import MODEL
from layerline.versions import versions

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    from layerline.data.dataset import Dataset, Scaling
    from layerline.engines.engine import Engine
    from layerline.network import Network

LAYOUTS: Final = ("NCHW", "NHWC", "NHW")


@final
class Model:
    """Weights with all that prediction needs: the network, the class names, the scaling of the images."""

    def __init__(
        self,
        network: Network,
        classes: tuple[str, ...],
        scaling: Scaling,
        weights: Mapping[str, NDArray[Any]],
        *,
        engine: str = "compiled",
        threads: int | None = None,
        preprocessing: Preprocessing | None = None,
    ) -> None:
        """Keep them; the engine is made when it is first asked to predict.

        preprocessing: what becomes of an image file; None: cropped, of values up to 255.
        """
        self.network = network
        self.classes = classes
        self.scaling = scaling
        self.weights = dict(weights)
        self.preprocessing = preprocessing or Preprocessing()
        self._engine_name, self._threads = engine, threads
        self._engine: Engine | None = None

    def predict(self, images: ArrayLike, layout: str | None = None) -> NDArray[np.str_]:
        """Return the name of the most probable class of each image, (N,); images as for `predict_proba`.

        >>> import layerline
        >>> data = layerline.load_data("digits")
        >>> run = layerline.train(layerline.read("digits", data), data, epochs=20, learning_rate=0.05, batch_size=64)
        >>> run.model.predict(data.test.source.images[data.test.indices[:4]])
        array(['2', '3', '4', '5'], dtype='<U1')
        """
        best = self.predict_proba(images, layout).argmax(axis=1)
        names: NDArray[np.str_] = np.asarray(self.classes)[best]
        return names

    def predict_proba(self, images: ArrayLike, layout: str | None = None) -> NDArray[np.float32]:
        """Return the probability of each class for each image, float32 (N, K); column k is of `classes[k]`.

        images: uint8 or float32 on the scale of the training images, (N, C, H, W), or (N, H, W) where there is one
        channel; other orders by `layout`: NCHW, NHWC, NHW. Raises DataError where they are not of the network's shape.
        """
        batch = _as_nchw(np.asarray(images), layout, self.network.input_shape)
        labels = np.zeros(len(batch), np.int32)
        split = Split(ImageSet(batch, labels), np.arange(len(batch), dtype=np.int64))
        return self._ready().evaluate(split).probabilities

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model file (safetensors). Raises UserError where it cannot be written."""
        card = Card(
            self.network.name,
            self.network.text,
            self.network.input_shape,
            self.classes,
            self.scaling,
            versions(),
            self.preprocessing,
        )
        model_file.save(Path(path), self.weights, card)

    def _ready(self) -> Engine:
        if self._engine is None:
            self._engine = engines.make(
                self._engine_name, self.network, self.scaling, Recipe(momentum=0.0), self._threads
            )
            self._engine.set_state(State(self.weights, {}))
        return self._engine


def load(path: str | os.PathLike[str], *, threads: int | None = None, not_finite: bool = False) -> Model:
    """Return the model in a model file, or in the folder of a run.

    threads: that predict; all cores if not given. not_finite: take weights that are NaN or infinite too. Raises
    FileError (a UserError) where it is another kind of file, cut short, changed, or of a newer format; nothing in a
    file is ever run.
    """
    there = Path(path)
    held = model_file.read(there / MODEL if there.is_dir() else there, not_finite=not_finite)
    card = held.card
    return Model(
        *(held.network, card.classes, card.scaling, held.weights), threads=threads, preprocessing=card.preprocessing
    )


def preprocessing_of(data: Dataset) -> Preprocessing:
    """Return what became of the image files of a data set."""
    return Preprocessing("crop" if data.resized is None else data.resized.fit, data.train.source.maximum)


def _as_nchw(images: NDArray[Any], layout: str | None, shape: tuple[int, int, int]) -> NDArray[Any]:
    """Return the images as (N, C, H, W), a view where that is enough, contiguous as C, H, W or as H, W, C."""
    layout = layout or ("NHW" if images.ndim == 3 else "NCHW")
    if layout not in LAYOUTS:
        raise DataError(f"layout={layout!r}: not known", "one of: " + ", ".join(LAYOUTS))
    if images.dtype not in (np.uint8, np.float32):
        raise DataError(f"the images are {images.dtype}", "give uint8 or float32, on the scale of the training images")
    if images.ndim == len(layout):
        whole = np.ascontiguousarray(images)
        batch = whole[:, None] if layout == "NHW" else whole.transpose(0, 3, 1, 2) if layout == "NHWC" else whole
        if batch.shape[1:] == shape:
            return batch
    needed = dict(zip("NCHW", ("N", *map(str, shape)), strict=True))
    raise DataError(
        f"the images have shape {images.shape}, and the network takes ({', '.join(needed[axis] for axis in layout)})",
        "give them in that shape, or say how they lie by layout=: " + ", ".join(LAYOUTS),
    )
