"""A trained network in memory: it predicts, and can be evaluated, saved and loaded."""

from __future__ import annotations

import functools
import html
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Unpack, final

import numpy as np

from layerline import engines
from layerline.data import load_data, pixels
from layerline.data.checking import brightness, doctor
from layerline.data.checking.brightness import Look
from layerline.data.dataset import Dataset, Split
from layerline.engines.interface import State
from layerline.errors import CallError, DataError, ImagesWarning, UserError, other_calls
from layerline.errors.at_caller import warn
from layerline.errors.wrong_calls import answered, unknown
from layerline.export import formats
from layerline.export.export_options import ExportOptions
from layerline.export.subject import Subject, origin_of
from layerline.files.versions import versions
from layerline.network.pytorch.to_torch import with_weights
from layerline.network.table import headline, parameters
from layerline.numbers import display
from layerline.recipe import Recipe
from layerline.runs import model_file
from layerline.runs.model_file import BYTE, Card, Preprocessing
from layerline.training import arrays, evaluation, photos, scale
from layerline.training.image_predictor import ImagePredictor
from layerline.training.scale import NUMERIC

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Mapping

    from numpy.typing import NDArray
    from torch import nn

    from layerline.data.data_options import ModelDataOptions
    from layerline.data.dataset import Fit, Scaling
    from layerline.engines.interface import Engine
    from layerline.engines.placement import Placement
    from layerline.export.export_options import ExportArguments
    from layerline.export.formats import Exported, Format
    from layerline.export.subject import Origin
    from layerline.layers import Weight
    from layerline.network import Network
    from layerline.runs.result import Result
    from layerline.training.evaluation import Which

_MOST_NAMES: Final = 8
_WHOLE: Final = re.compile(r"0|-?[1-9][0-9]{0,17}")
"""An integer in Python's notation, within the range of int64."""
_TABLE: Final = Preprocessing(maximum=float("inf"))
"""For images of 1×1, whose values may have any scale."""
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
"""Suffixes of other programs' files."""


@final
@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """Weights with everything needed to predict: the network, the class names, the scaling of the images.

    A model is immutable and thread-safe. It can be pickled, without its machine code, which is generated on the first
    prediction.
    """

    network: Network
    classes: tuple[str, ...]
    scaling: Scaling
    weights: Mapping[str, NDArray[Any]]
    """Copies of the arrays passed in, with the network's dtypes; read-only."""
    engine: str = field(default="compiled", kw_only=True)
    threads: int | None = field(default=None, kw_only=True)
    """Number of threads to predict with; default: all cores."""
    placement: Placement | None = field(default=None, kw_only=True)
    """The device and precision of the torch engine; default: automatic."""
    preprocessing: Preprocessing = field(default_factory=Preprocessing, kw_only=True)
    """How image files are preprocessed; default: cropped, values up to 255."""
    origin: Origin | None = field(default=None, kw_only=True)
    """The training that it is from, if known: exports state its data and its scores."""
    _labels: NDArray[np.str_] | NDArray[np.int64] = field(init=False)
    """The class labels that `predict` returns."""
    _scale: Preprocessing = field(init=False)
    """How arrays are brought to the training scale."""
    _made: Engine | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Copy the weights. Raises ValueError if they are not the network's, by name and shape."""
        self._keep("weights", MappingProxyType(_read_only(self.weights, self.network.weights)))
        self._keep("_scale", _TABLE if self.network.input_shape[1:] == (1, 1) else self.preprocessing)
        whole = all(_WHOLE.fullmatch(name) for name in self.classes)
        self._keep("_labels", np.array([int(name) for name in self.classes] if whole else self.classes))

    @answered("model.predict(images)", others=other_calls.PREDICT)
    def predict(self, images: Any, layout: str | None = None) -> NDArray[np.str_] | NDArray[np.int64]:
        """Return the most probable class of each image, (N,); images as for `predict_proba`.

        If every class name is an integer in plain notation ("0", "1", "10"), the classes are int64, so that they can be
        compared with labels; otherwise they are names.

        >>> import layerline
        >>> data = layerline.load_data("digits")
        >>> run = layerline.train(layerline.read("digits", data), data, epochs=20, learning_rate=0.05, batch_size=64)
        >>> run.model.predict(data.test.source.images[data.test.indices[:4]])
        array([2, 3, 4, 5])
        """
        return self.most_probable(self.predict_proba(images, layout))

    def most_probable(self, probabilities: NDArray[np.float32]) -> NDArray[np.str_] | NDArray[np.int64]:
        """Return the class with the largest probability in each row, the first of ties."""
        best: NDArray[np.str_] | NDArray[np.int64] = self._labels[probabilities.argmax(axis=1)]
        return best

    @answered("model.predict_proba(images)", others=other_calls.PREDICT)
    def predict_proba(self, images: Any, layout: str | None = None) -> NDArray[np.float32]:
        """Return the probability of each class for each image, float32 (N, K); column k belongs to `classes[k]`.

        images: a numeric array, (N, C, H, W) or (N, H, W, C), with one channel also (N, H, W), or a single image
        without N; the axis order is inferred from the network's input shape unless `layout` is given (NCHW, NHWC or
        NHW). Or a path of an image file, a Pillow image, or a list of these, preprocessed like the training images.
        Values on another scale are converted to the training scale if their type and range are unambiguous, with an
        ImagesWarning; another warns of images unlike the training images (docs/predicting.md).
        Raises DataError if no axis order fits or two do, if the scale is ambiguous, if a value is NaN, infinite or
        masked, or if a file cannot be read.
        """
        if type(images) is np.ndarray and images.dtype.kind in NUMERIC:
            return self._of_array(images, layout)
        if isinstance(images, Dataset | Split):
            raise CallError(
                f"predict(): found {type(images).__name__}, expected images",
                "pass the images of a split: model.predict(data.test.images)",
            )
        listed = photos.listed(images)
        if listed is None:
            return self._of_array(arrays.as_array(pixels.unmasked(images, scale.PLACE)), layout)
        if layout is not None:
            raise DataError(f"layout={layout!r}: only for arrays, not for image files", "omit layout")
        return self._of_photos(listed)

    def predictor(self) -> ImagePredictor:
        """Return an object that predicts like this model with less overhead per call, for a loop over single images.

        >>> import layerline
        >>> data = layerline.load_data("digits")
        >>> run = layerline.train(layerline.read("digits", data), data, epochs=20, learning_rate=0.05, batch_size=64)
        >>> predictor = run.model.predictor()
        >>> [predictor.predict(image).item() for image in data.test.images[:4]]
        [2, 3, 4, 5]
        """
        return ImagePredictor(self)

    def probabilities(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Return `predict_proba` of images (N, C, H, W) that are exactly as in training; nothing is checked."""
        return self.engine_with_weights().probabilities(batch)

    def as_in_training(self, images: NDArray[Any]) -> NDArray[Any]:
        """Return images (N, …) on the training scale, with the same memory layout; `images` if they already are.

        Issues an ImagesWarning if values are changed, and another for images unlike the training images. Raises
        DataError if the scale is ambiguous, or a value is NaN or infinite.
        """
        scaled, note = scale.brought(images, self._scale)
        if note is not None:
            warn(note, ImagesWarning)
        look = Look(self.preprocessing.seen)
        look.add(scaled, self.preprocessing.maximum)
        _warn_of(look)
        return scaled

    def _of_array(self, array: NDArray[Any], layout: str | None) -> NDArray[np.float32]:
        shape = self.network.input_shape
        axes = arrays.order_of(array, layout, shape)
        return self.probabilities(self.as_in_training(arrays.batch(np.ascontiguousarray(array), axes, shape)))

    def _of_photos(self, listed: list[Any]) -> NDArray[np.float32]:
        parts, look = [], Look(self.preprocessing.seen)
        for found, images in photos.decoded(listed, self.network.input_shape, self.preprocessing):
            photos.check_read(found)
            look.add(images, self.preprocessing.maximum)
            parts.append(self.probabilities(images.transpose(0, 3, 1, 2)))
        _warn_of(look)
        return np.concatenate(parts)

    @answered('model.evaluate(model.load_data("photos/"))', others=other_calls.EVALUATE)
    def evaluate(
        self,
        data: Dataset,
        split: Which = "test",
        *,
        seed: int = 0,
        baselines: bool = True,
        progress: Callable[[int, int], None] | None = None,
    ) -> Result:
        """Return the result of this model on labeled images, like `run.result` of a training run.

        With M images, p[m, k] the probability of class k and t[m] the true class of image m:
        test_loss = −(1/M) Σₘ ln p[m, t[m]] in nats, summed in float64; confusion[t, k] counts the images of class t
        predicted as k, int64 (K, K); accuracy and macro F1 over the classes that occur are computed from it (see
        `metrics.Scores`), and so are the 95% intervals, a bootstrap seeded by `seed`.

        data: images with the network's input shape (C, H, W); classes are matched by name, in any order. Pixels with
        another largest value than in training are scaled.
        split: "test", "validation", "train", or "all" for every image of the data.
        baselines: also fit baselines without a network to the training images of `data` (takes seconds; not for "train"
        and "all").
        progress: called now and then with the number of images done and the total.
        Raises DataError if the images have another shape or were resized differently, if a value is not finite, if the
        classes differ (with the difference), or if there is no such split; RecipeError for an invalid `seed`.
        This model's `load_data` loads data in the right format.

        >>> import layerline
        >>> data = layerline.load_data("digits")
        >>> run = layerline.train(layerline.read("digits", data), data, epochs=20, learning_rate=0.05, batch_size=64)
        >>> tested = run.model.evaluate(data)
        >>> tested.confusion.shape, int(tested.confusion.sum())
        ((10, 10), 360)
        >>> tested.test_loss == run.result.test_loss and tested.intervals == run.result.intervals
        True
        """
        if not isinstance(data, Dataset):
            raise CallError(
                f"evaluate(): found {type(data).__name__}, expected a loaded data set",
                "pass the whole data set: model.evaluate(data)"
                if isinstance(data, Split)
                else 'load it for this model: model.evaluate(model.load_data((x, y)), "all")',
            )
        evaluation.check(data, self.network.input_shape, self.classes, self.preprocessing)
        return evaluation.evaluated(
            *(self.engine_with_weights(), data, split, self.classes, self.preprocessing),
            seed=seed,
            with_baselines=baselines,
            progress=progress,
        )

    @answered('model.load_data("photos/")')
    def load_data(
        self, source: str | os.PathLike[str] | Any, *, allow: Collection[str] = (), **options: Unpack[ModelDataOptions]
    ) -> Dataset:
        """Load a data set for this model: image files get its size and colors, with its fit.

        options: those of `layerline.load_data` except size, fit, gray and input_shape, which the model determines.
        allow: kinds of findings in the data to accept (docs/data-check.md). Raises DataError if the data does not fit
        this model, like `evaluate`, or would give misleading scores.
        """
        for name in ("size", "fit", "gray", "input_shape", "sizing"):
            if name in options:
                raise DataError(f"{name}: determined by the model", f"omit {name}")
        sizing = self.preprocessing.sizing(self.network.input_shape)
        data = load_data(source, sizing=sizing, **options)
        evaluation.check(data, self.network.input_shape, self.classes, self.preprocessing)
        return doctor.examined(data, allow, doctor.command(source, options))

    if not TYPE_CHECKING:  # where an unknown attribute is an error already
        __getattr__ = other_calls.missing("Model")

    def __repr__(self) -> str:
        """Return one line: network, size and classes."""
        names = ", ".join(display.name(name, 30) for name in self.classes[:_MOST_NAMES])
        more = ", …" if len(self.classes) > _MOST_NAMES else ""
        return f"<Model {headline(self.network)} ({names}{more}), {parameters(self.network)}>"

    def _repr_html_(self) -> str:
        """Return the model and the table of its layers as HTML for a notebook."""
        return f"<p>{html.escape(repr(self)[1:-1])}</p>{self.network._repr_html_()}"

    def to_torch(self) -> nn.Sequential:
        """Return the network as PyTorch modules with these weights, in evaluation mode: float32 (N, C, H, W) → logits.

        Its inputs are pixels after this model's scaling, which `model.scaling.apply(images)` does with an array (N, C,
        H, W) of pixels as they were in training. BatchNorm's statistics and its count of batches are included. The
        state_dict has the names of `model.weights`; `layerline.from_torch` reads the modules back.
        Raises UserError if PyTorch is not installed.

        >>> import layerline, torch
        >>> data = layerline.load_data("digits")
        >>> run = layerline.train(layerline.read("digits", data), data, epochs=20, learning_rate=0.05, batch_size=64)
        >>> images = data.test.images[:4]
        >>> with torch.no_grad():
        ...     logits = run.model.to_torch()(torch.from_numpy(run.model.scaling.apply(images)))
        >>> logits.argmax(1).tolist() == run.model.predict(images).tolist()
        True
        """
        return with_weights(self.network, self.weights)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model file (safetensors).

        Raises UserError if it cannot be written, or has the suffix of another format (.pt, .onnx, .pkl).
        """
        _check_name(Path(path))
        card = card_of(self.network, self.classes, self.scaling, self.preprocessing)
        model_file.write(Path(path), self.weights, card)

    @answered('model.export("net.onnx")')
    def export(self, path: str | os.PathLike[str], to: str | None = None, **options: Unpack[ExportArguments]) -> None:
        """Export the model for other programs, as `layerline export` does.

        path: the file to write; an existing one is replaced. to: "onnx", "c", "web" or "wasm"; default: by the suffix
        of `path`. options: see docs/exporting.md; a format refuses options that it does not have.
        Raises UserError if the model cannot be exported to this format, or the file cannot be written.
        """
        known = [each.name for each in fields(ExportOptions)]
        for option in options:
            if option not in known:
                raise CallError(*unknown("export", option, known))
        chosen = formats.format_for(Path(path)) if to is None else formats.format_of(to)
        paths = formats.paths_of(Path(path), chosen)
        formats.write(paths, self.exported(chosen, ExportOptions(**options)))

    def exported(self, chosen: Format, options: ExportOptions, stored: Path | None = None) -> Exported:
        """Return an export in memory; stored: the file or run folder that the model is from, if known."""
        card = card_of(self.network, self.classes, self.scaling, self.preprocessing)
        origin = self.origin if stored is None else origin_of(stored)
        if options.data is not None:
            evaluation.check(options.data, self.network.input_shape, self.classes, self.preprocessing)
        return chosen.export(Subject(self.network, card, self.weights, origin), options)

    def set_origin(self, origin: Origin) -> None:
        """Set the training that it is from: only for that training, whose model exists before its scores."""
        self._keep("origin", origin)

    def engine_with_weights(self) -> Engine:
        """Return the engine, creating it on the first call; other threads only see it once it has its weights."""
        made = self._made
        if made is None:
            parts = (self.network.unfrozen, self.scaling, Recipe(momentum=0.0), self.threads)
            made = engines.make(self.engine, *parts, placement=self.placement)
            made.set_state(State(dict(self.weights), {}))
            self._keep("_made", made)
        return made

    def _keep(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how to recreate an equal model, for pickle."""
        make = functools.partial(
            Model,
            engine=self.engine,
            threads=self.threads,
            placement=self.placement,
            preprocessing=self.preprocessing,
            origin=self.origin,
        )
        return make, (self.network, self.classes, self.scaling, dict(self.weights))


def _read_only(weights: Mapping[str, NDArray[Any]], like: Mapping[str, Weight]) -> dict[str, NDArray[Any]]:
    """Return read-only copies of weights in the network's order and dtypes. Raises ValueError if they do not match."""
    shapes = {name: tuple(weight.shape) for name, weight in like.items()}
    if {name: np.shape(weight) for name, weight in weights.items()} != shapes:
        raise ValueError("the weights do not match this network: their names or shapes differ")
    copies = {name: np.array(weights[name], weight.dtype) for name, weight in like.items()}
    for copy in copies.values():
        copy.flags.writeable = False
    return copies


def card_of(network: Network, classes: tuple[str, ...], scaling: Scaling, preprocessing: Preprocessing) -> Card:
    """Return everything in a model file except the weights."""
    return Card(network.name, network.text, network.input_shape, classes, scaling, versions(), preprocessing)


def preprocessing_of(data: Dataset) -> Preprocessing:
    """Return how the image files of a data set were preprocessed, with the brightness of the training images."""
    fit: Fit = "crop" if data.resized is None else data.resized.fit
    source = data.train.source
    seen = None if data.shape[1:] == (1, 1) else brightness.of(data.train)
    return Preprocessing(fit, source.maximum, seen, deep=source.deep or source.maximum > BYTE)


def _warn_of(look: Look) -> None:
    """Issue an ImagesWarning if the images are unlike the training images."""
    remark = look.remark()
    if remark is not None:
        warn(remark, ImagesWarning)


def _check_name(path: Path) -> None:
    """Raise UserError if a file name has the suffix of another program."""
    kind = _OTHERS.get(path.suffix.lower())
    if kind is not None:
        others = {
            "PyTorch": "; for PyTorch: torch.save(model.to_torch().state_dict(), …)",
            "ONNX": "; for ONNX: model.export(…)",
        }
        raise UserError(
            f"{path}: {path.suffix} is for {kind} files, but a model is a safetensors file",
            f"name it {path.with_suffix('.safetensors').name}" + others.get(kind, ""),
        )
