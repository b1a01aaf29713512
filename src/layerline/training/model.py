"""A trained network in memory: it predicts, and it can be saved and loaded."""

from __future__ import annotations

import functools
import re
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from layerline import engines
from layerline.data import load_data, pixels
from layerline.data.checking import brightness
from layerline.data.checking.brightness import Look
from layerline.data.checking.doctor import examined
from layerline.data.dataset import ImageSet, Split
from layerline.engines.interface import State
from layerline.errors import DataError, ImagesWarning, UserError
from layerline.files.tensors import FileError
from layerline.files.versions import versions
from layerline.recipe import Recipe
from layerline.runs import model_file
from layerline.runs.model_file import BYTE, Card, Preprocessing
from layerline.runs.names import MODEL
from layerline.training import arrays, evaluation, photos, scale

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Mapping

    from numpy.typing import NDArray

    from layerline.data.dataset import Dataset, Fit, Scaling
    from layerline.engines.interface import Engine
    from layerline.layers import Weight
    from layerline.network import Network
    from layerline.runs.result import Result
    from layerline.training.evaluation import Which

_WHOLE: Final = re.compile(r"0|-?[1-9][0-9]{0,17}")
"""A whole number as Python writes it, of those that int64 has."""
_TABLE: Final = Preprocessing(maximum=float("inf"))
"""Of images of 1×1, whose values are on whatever scale they are."""
_OTHERS: Final = {
    **dict.fromkeys((".pt", ".pth", ".ckpt"), "PyTorch"),
    **dict.fromkeys((".h5", ".hdf5", ".keras"), "Keras"),
    **dict.fromkeys((".pkl", ".pickle", ".joblib"), "pickle"),
    **dict.fromkeys((".npz", ".npy"), "NumPy"),
    ".onnx": "ONNX",
    ".tflite": "TensorFlow Lite",
    ".pb": "TensorFlow",
    ".mlmodel": "Core ML",
    ".gguf": "GGUF",
}
"""Suffixes that promise a file of another program."""


@final
@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """Weights with all that prediction needs: the network, the class names, the scaling of the images.

    Nothing in it changes, so what it predicts is what it saves; any number of threads may ask it at once. It pickles,
    without its machine code, which is made when it is first asked to predict.
    """

    network: Network
    classes: tuple[str, ...]
    scaling: Scaling
    weights: Mapping[str, NDArray[Any]]
    """Copies of those that are given, in the network's types; read-only."""
    engine: str = field(default="compiled", kw_only=True)
    threads: int | None = field(default=None, kw_only=True)
    """That predict; every core if not given."""
    preprocessing: Preprocessing = field(default_factory=Preprocessing, kw_only=True)
    """What becomes of an image file; cropped, of values up to 255, if not given."""
    _labels: NDArray[np.str_] | NDArray[np.int64] = field(init=False)
    """What `predict` calls the classes."""
    _made: Engine | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Copy the weights. Raises ValueError where they are not the network's, by name and shape."""
        self._keep("weights", MappingProxyType(_read_only(self.weights, self.network.weights)))
        whole = all(_WHOLE.fullmatch(name) for name in self.classes)
        self._keep("_labels", np.array([int(name) for name in self.classes] if whole else self.classes))

    def predict(self, images: Any, layout: str | None = None) -> NDArray[np.str_] | NDArray[np.int64]:
        """Return the most probable class of each image, (N,); images as for `predict_proba`.

        As int64 where every class is a whole number written plainly ("0", "1", "10"), so that they compare with labels;
        else by name.

        >>> import layerline
        >>> data = layerline.load_data("digits")
        >>> run = layerline.train(layerline.read("digits", data), data, epochs=20, learning_rate=0.05, batch_size=64)
        >>> run.model.predict(data.test.source.images[data.test.indices[:4]])
        array([2, 3, 4, 5])
        """
        best: NDArray[np.str_] | NDArray[np.int64] = self._labels[self.predict_proba(images, layout).argmax(axis=1)]
        return best

    def predict_proba(self, images: Any, layout: str | None = None) -> NDArray[np.float32]:
        """Return the probability of each class for each image, float32 (N, K); column k is of `classes[k]`.

        images: an array of numbers, (N, C, H, W) or (N, H, W, C), with one channel (N, H, W), or one image without N:
        told apart by the network's shape, or by `layout`, NCHW, NHWC or NHW. Or paths of image files and Pillow images,
        one or a list, which become what they would have become in the training, as for `layerline predict`.
        Values of another scale are brought to the training's where their type and range leave no doubt, with an
        ImagesWarning; another tells of images far from those of the training (docs/predicting.md).
        Raises DataError where the shape fits no order or two, where the scale cannot be told, where a value is NaN,
        infinite or masked, and where files cannot be read.
        """
        look = Look(self.preprocessing.seen)
        listed = None if type(images) is np.ndarray and images.dtype == np.uint8 else photos.listed(images)
        if listed is None:
            found = self._of_array(images, layout, look)
        else:
            if layout is not None:
                raise DataError(f"layout={layout!r}: image files say it themselves", "leave it out")
            found = self._of_photos(listed, look)
        remark = look.remark()
        if remark is not None:
            warned(remark)
        return found

    def probabilities(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Return `predict_proba` of images (N, C, H, W) that are as in the training; nothing of them is checked."""
        labels = np.zeros(len(batch), np.int32)
        split = Split(ImageSet(batch, labels), np.arange(len(batch), dtype=np.int64))
        return self._ready().evaluate(split).probabilities

    def _of_array(self, images: Any, layout: str | None, look: Look) -> NDArray[np.float32]:
        shape = self.network.input_shape
        array = arrays.as_array(pixels.unmasked(images, scale.PLACE))
        axes = arrays.order_of(array, layout, shape)
        table = shape[1:] == (1, 1)
        scaled, note = scale.brought(np.ascontiguousarray(array), _TABLE if table else self.preprocessing)
        if note is not None:
            warned(note)
        batch = arrays.batch(scaled, axes, shape)
        look.add(batch, self.preprocessing.maximum)
        return self.probabilities(batch)

    def _of_photos(self, listed: list[Any], look: Look) -> NDArray[np.float32]:
        parts = []
        for found, images in photos.decoded(listed, self.network.input_shape, self.preprocessing):
            photos.check_read(found)
            look.add(images, self.preprocessing.maximum)
            parts.append(self.probabilities(images.transpose(0, 3, 1, 2)))
        return np.concatenate(parts)

    def evaluate(
        self,
        data: Dataset,
        split: Which = "test",
        *,
        seed: int = 0,
        baselines: bool = True,
        progress: Callable[[int, int], None] | None = None,
    ) -> Result:
        """Return the test of this model on images whose classes are known, as a training's `run.result` has it.

        With M images, p[m, k] the probability of class k and t[m] the true class of image m:
        test_loss = −(1/M) Σₘ ln p[m, t[m]] in nats, added in float64; confusion[t, k] counts the images of class t of
        which k is the most probable, int64 (K, K); accuracy, and macro F1 over the classes that occur, follow from it
        (see `metrics.Scores`), and so do the 95 % intervals, whose bootstrap is drawn by `seed`.

        data: of images (C, H, W) as the network takes them; classes go by their names, in whatever order. Pixels whose
        largest value is another than in the training are scaled to it.
        split: "test", "validation", "train", or "all" that the data has.
        baselines: fit what can be had without a network to the training images of `data` (seconds; not for "train" and
        "all").
        progress: called now and then with how many images are done, and of how many.
        Raises DataError where the images are of another shape or were fitted otherwise, where one is not finite, where
        the classes are others, with the difference, and where there is no such set; RecipeError where `seed` is none.
        `load_data` of this model reads data as it takes it.

        >>> import layerline
        >>> data = layerline.load_data("digits")
        >>> run = layerline.train(layerline.read("digits", data), data, epochs=20, learning_rate=0.05, batch_size=64)
        >>> tested = run.model.evaluate(data)
        >>> tested.confusion.shape, int(tested.confusion.sum())
        ((10, 10), 360)
        >>> tested.test_loss == run.result.test_loss and tested.intervals == run.result.intervals
        True
        """
        evaluation.check(data, self.network.input_shape, self.classes, self.preprocessing)
        return evaluation.evaluated(
            *(self._ready(), data, split, self.classes, self.preprocessing),
            seed=seed,
            with_baselines=baselines,
            progress=progress,
        )

    def load_data(self, source: str | os.PathLike[str], *, allow: Collection[str] = (), **options: Any) -> Dataset:
        """Return a data set as this model takes it: image files in its size and colors, by its fit.

        options: those of `layerline.load_data`, but for size, fit, gray and input_shape: the model says them.
        allow: kinds of findings about the data that are no reason to refuse (docs/data-check.md). Raises DataError
        where the data is not for this model, as `evaluate` does, or would give wrong figures.
        """
        for name in ("size", "fit", "gray", "input_shape", "sizing"):
            if name in options:
                raise DataError(f"{name}: the model says it, and it cannot be another", "leave it out")
        sizing = self.preprocessing.sizing(self.network.input_shape)
        data = load_data(source, sizing=sizing, **options)
        evaluation.check(data, self.network.input_shape, self.classes, self.preprocessing)
        return examined(data, allow)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model file (safetensors).

        Raises UserError where it cannot be written, and where its suffix is that of another format (.pt, .onnx, .pkl).
        """
        _check_name(Path(path))
        card = Card(
            self.network.name,
            self.network.text,
            self.network.input_shape,
            self.classes,
            self.scaling,
            versions(),
            self.preprocessing,
        )
        model_file.write(Path(path), self.weights, card)

    def _ready(self) -> Engine:
        """Return the engine; who is first makes it, and others see it when it has its weights."""
        made = self._made
        if made is None:
            made = engines.make(self.engine, self.network, self.scaling, Recipe(momentum=0.0), self.threads)
            made.set_state(State(dict(self.weights), {}))
            self._keep("_made", made)
        return made

    def _keep(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what makes an equal model again."""
        make = functools.partial(Model, engine=self.engine, threads=self.threads, preprocessing=self.preprocessing)
        return make, (self.network, self.classes, self.scaling, dict(self.weights))


def _read_only(weights: Mapping[str, NDArray[Any]], like: Mapping[str, Weight]) -> dict[str, NDArray[Any]]:
    """Return copies of weights in the network's order and types that nobody can write to. Raises ValueError."""
    shapes = {name: tuple(weight.shape) for name, weight in like.items()}
    if {name: np.shape(weight) for name, weight in weights.items()} != shapes:
        raise ValueError("the weights are not this network's: their names or shapes are others")
    copies = {name: np.array(weights[name], weight.dtype) for name, weight in like.items()}
    for copy in copies.values():
        copy.flags.writeable = False
    return copies


def load(path: str | os.PathLike[str], *, threads: int | None = None, not_finite: bool = False) -> Model:
    """Return the model in a model file, or in the folder of a run.

    threads: that predict; all cores if not given. not_finite: take weights that are NaN or infinite too. Raises
    FileError (a UserError) where it is another kind of file, cut short, changed, or of a newer format; nothing in a
    file is ever run.
    """
    held = model_file.read(file_of(Path(path)), not_finite=not_finite)
    card = held.card
    return Model(
        *(held.network, card.classes, card.scaling, held.weights), threads=threads, preprocessing=card.preprocessing
    )


def file_of(path: Path) -> Path:
    """Return the model file that a path names, or that is in the run it names. Raises FileError where none is there."""
    try:
        file = path / MODEL if path.is_dir() else path
        there = file.exists()
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise FileError(f"{path}: cannot be read: {reason}", "check the path") from error
    if not there:
        what = f"is a folder without a {MODEL}" if path.is_dir() else "there is no such file"
        raise FileError(f"{path}: {what}", "name a model file, or the folder of a run")
    return file


def preprocessing_of(data: Dataset) -> Preprocessing:
    """Return what became of the image files of a data set, and how bright those are that are trained on."""
    fit: Fit = "crop" if data.resized is None else data.resized.fit
    source = data.train.source
    seen = None if data.shape[1:] == (1, 1) else brightness.of(data.train)
    return Preprocessing(fit, source.maximum, seen, deep=source.deep or source.maximum > BYTE)


def warned(text: str) -> None:
    """Warn of images, at the line that asked about them: the nearest that is neither ours nor scikit-learn's."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in (
        "layerline",
        "sklearn",
    ):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, ImagesWarning, stacklevel=level)


def _check_name(path: Path) -> None:
    """Raise UserError where a name promises a file of another program."""
    kind = _OTHERS.get(path.suffix.lower())
    if kind is not None:
        to_torch = "; for PyTorch: model.network.to_torch() takes safetensors.torch.load_file of it as its state dict"
        raise UserError(
            f"{path}: {path.suffix} is a name of {kind} files, and a model is a safetensors file",
            f"call it {path.with_suffix('.safetensors').name}" + (to_torch if kind == "PyTorch" else ""),
        )
