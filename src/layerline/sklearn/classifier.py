"""The estimator: it takes parameters, X and y, and wraps a layerline.Model."""

from __future__ import annotations

import dataclasses
import math
import unicodedata
from typing import TYPE_CHECKING, Any, Final, Self, final

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_is_fitted, check_X_y, validate_data

from layerline.data import pixels
from layerline.data import scaling as scalings
from layerline.data.checking import brightness
from layerline.data.splitting import Remaining, SplitOptions, take
from layerline.errors import NetworkError
from layerline.network import find, parse
from layerline.numbers import display
from layerline.numbers.randomness import Purpose
from layerline.numbers.scalars import plain
from layerline.recipe import Recipe
from layerline.runs.model_file import Preprocessing
from layerline.sklearn.course import Course
from layerline.sklearn.images import as_images, as_split, layout_of, shape_of
from layerline.sklearn.rewording import all_or_nothing, in_turn, translated

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

    from layerline.data.dataset import Split
    from layerline.network import Network
    from layerline.sklearn.images import Shape
    from layerline.training import Model

DEFAULT_NETWORK: Final = "Flat\nFC 32\nReLU\nFC classes\nSoftmax\n"
"""The network if none is specified."""
DTYPES: Final = (np.float32, np.uint8)
"""The types kept as they are; everything else is converted to the first."""
RECIPE: Final = tuple(field.name for field in dataclasses.fields(Recipe) if field.name not in ("seed", "backbone_rate"))
"""The parameters passed to the recipe; its seed is `random_state`. No estimator starts with trained weights."""


@final
class ConvNetClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A convolutional network, written one layer per line and compiled for this CPU, as a scikit-learn classifier.

    Parameters
    ----------
    network : text of a network (with line breaks), name of a preset, or path of a `.cnn` file.
        None is `Flat`, `FC 32`, `ReLU`, `FC classes`, `Softmax`.
    input_shape : (C, H, W) of an image, for X of shape (N, C·H·W). If it is None, an X of shape (N, d) is N images with
        d channels of 1×1; the shape of the images follows from an X of more dimensions.
    layout : "NCHW", or "NHWC" if channels come last, also in flat X. None infers it from the shape of X,
        (N, 28, 28, 3) or (N, 3, 28, 28), and refuses ambiguous shapes; flat X is then in the order C, H, W.
    normalize : "standard" (each channel to mean 0 and standard deviation 1) or "max" (divide by the largest possible
        pixel value). The scaling is computed from the images of `fit`, or of the first `partial_fit`, and stored.
    validation_fraction : fraction or number of images held out to select the best epoch; None trains on all images.
    epochs, batch_size, learning_rate, … : values of the recipe (docs/recipes.md), under the same names.
    random_state : seed of the initial weights, shuffling, dropout, augmentation and validation split: an integer below
        2⁶⁴, or as usual in scikit-learn None or a RandomState, from which a seed is drawn.
    engine : "compiled" or "torch".
    threads : number of threads; None uses every core. The results are bit-identical for every number.

    Attributes
    ----------
    classes_ : the labels, sorted.
    n_features_in_ : C·H·W, the number of values in an image.
    feature_names_in_ : names of X's columns, if it has any.
    layout_ : the layout in `fit`, or in the first `partial_fit`; X must have it in `predict`, even if `layout` changes.
    network_ : the layerline.Network that was trained; `print(est.network_.describe())`.
    history_ : one row per epoch (layerline.Run.history), of `fit` and all later calls of `partial_fit`.
    """

    _course: Course
    _model: Model

    def __init__(
        self,
        network: str | os.PathLike[str] | None = None,
        input_shape: Shape | None = None,
        *,
        layout: str | None = None,
        normalize: str = "standard",
        validation_fraction: float | None = None,
        epochs: int = 30,
        within: str = "none",
        best: str = "accuracy",
        patience: int | str = "none",
        batch_size: int = 32,
        learning_rate: float = 0.01,
        schedule: str = "linear",
        warmup: float = 0.0,
        step_epochs: float | str = "none",
        step_factor: float = 0.1,
        optimizer: str = "adamw",
        momentum: float = 0.9,
        nesterov: bool = False,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decay: str = "all",
        clip_norm: float | str = "none",
        ema: float | str = "none",
        label_smoothing: float = 0.0,
        class_weights: str | tuple[float, ...] = "none",
        augment: str = "none",
        init: str = "torch",
        exact: bool = False,
        random_state: int | np.random.RandomState | None = 0,
        engine: str = "compiled",
        threads: int | None = None,
    ) -> None:
        """Store the parameters unchanged; `fit` checks them."""
        self.__dict__.update({name: value for name, value in locals().items() if name != "self"})

    @in_turn
    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train from scratch, and return self. X is (N, d), (N, H, W), (N, C, H, W) or (N, H, W, C); y has N labels.

        uint8 is kept, without a copy if it is contiguous; everything else is converted to float32. Raises ValueError
        and TypeError as scikit-learn does, DivergedError if the loss stops being finite, and KeyboardInterrupt; the
        estimator then keeps its previous state.
        """
        with all_or_nothing(self), translated():
            images, y = self._checked(X, y, reset=True)
            classes, recipe = _classes(y), self._recipe()
            train, held = self._cut(as_split(images, _codes(y, classes)), classes, recipe.seed)
            return self._take(self._begun(train, classes, recipe).fitted(train, held), classes)

    @in_turn
    def partial_fit(self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None) -> Self:
        """Train one more epoch on these images at `learning_rate`, after the last call or `fit`; return self.

        Weights and optimizer state continue, at a constant rate: for a schedule, set `learning_rate` between calls.
        All other parameters are those of the first call, which needs `classes`, the list of all possible labels.
        Raises the same exceptions as `fit`.
        """
        first = not self.__sklearn_is_fitted__()
        if first and classes is None:
            raise ValueError("classes, the list of all labels, must be passed to the first call of partial_fit")
        known = self.classes_ if classes is None else _classes(classes)
        if not first and not np.array_equal(known, self.classes_):
            raise ValueError(f"classes= is {_listed(known)}, but was {_listed(self.classes_)} before: omit it")
        with all_or_nothing(self), translated():
            images, y = self._checked(X, y, reset=first)
            train = as_split(images, _codes(y, known))
            course = self._begun(train, known, self._recipe()) if first else self._course
            return self._take(course.continued(train, self.learning_rate), known)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return the probability of each class for each image, float32 (N, K), in the order of `classes_`.

        They are bit-identical to those of `to_model().predict_proba`, including its ImagesWarning if X has another
        scale or is far from the training images. Raises ValueError, TypeError and NotFittedError.
        """
        check_is_fitted(self)
        with translated():
            return self._model.predict_proba(self._images(X), "NCHW")

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the most probable label of each image, (N,), the first of ties. Raises as predict_proba does."""
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def to_model(self) -> Model:
        """Return the layerline.Model; its classes are the labels as text. Raises NotFittedError."""
        check_is_fitted(self)
        return self._model

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model file, for `layerline.load` and the command line. Raises ValueError and NotFittedError."""
        with translated():
            self.to_model().save(path)

    def __sklearn_is_fitted__(self) -> bool:
        """Return whether there is a model."""
        return hasattr(self, "_course")

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags: besides (N, d), the estimator accepts images."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Return the state to pickle: everything except the model, which is rebuilt from the course."""
        return {name: value for name, value in super().__getstate__().items() if name != "_model"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the state, and rebuild the model."""
        super().__setstate__(state)
        if self.__sklearn_is_fitted__():
            self._model = self._course.model()

    def _recipe(self) -> Recipe:
        """Return the recipe of the parameters. Raises RecipeError."""
        seed = self.random_state
        if seed is None or isinstance(seed, np.random.RandomState):
            seed = int(check_random_state(seed).randint(2**32, dtype=np.uint64))
        return Recipe(seed=seed, **{name: getattr(self, name) for name in RECIPE})

    def _begun(self, train: Split, classes: NDArray[Any], recipe: Recipe) -> Course:
        """Return a course at its start, with network and scaling determined by its first images."""
        shape = train.source.images.shape[1:]
        network = self._read(shape, len(classes))
        scaling = scalings.scaling(train, train.source.maximum, scalings.check(self.normalize))
        seen = None if shape[1:] == (1, 1) else brightness.of(train)  # a table has no brightness
        preprocessing = Preprocessing(maximum=train.source.maximum, seen=seen)
        return Course(network, _names(classes), scaling, recipe, self.engine, self.threads, preprocessing)

    def _read(self, shape: Shape, K: int) -> Network:
        """Return the network for images of a shape and K classes. Raises NetworkError."""
        given = DEFAULT_NETWORK if self.network is None else self.network
        written = isinstance(given, str) and "\n" in given
        name, text = ("network", str(given)) if written else find(given)
        try:
            return parse(text, name=name, input_shape=shape, classes=K)
        except NetworkError as error:
            if self.input_shape is not None or shape[1:] != (1, 1) or "input" not in error.message:
                raise
            flat = (
                f"flat X is read as {shape[0]:,d} channels of size 1×1: set the shape of its images, "
                "input_shape=(C, H, W)"
            )
            raise NetworkError(error.with_flags, flat) from None

    def _cut(self, split: Split, classes: NDArray[Any], seed: int) -> tuple[Split, Split | None]:
        """Return the training and the validation images, split as by `layerline train`."""
        wanted = SplitOptions(validation=self.validation_fraction)  # checked, and a plain number
        if wanted.validation in (None, "none"):
            return split, None
        pool = Remaining(split.source, split.indices, _names(classes))
        held, left = take(pool, wanted.validation, Purpose.VALIDATION_SPLIT, "validation", seed)
        return left.split(), held.split()

    def _checked(self, X: ArrayLike, y: ArrayLike, *, reset: bool) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return images (N, C, H, W) and labels (N,); reset: whether they determine the shape of X from now on.

        Raises DataError, and the exceptions of scikit-learn.
        """
        X, y = pixels.unmasked(X, "X"), pixels.unmasked(y, "y")
        if reset or _dimensions(X) <= 2:
            values, labels = validate_data(self, X, y, reset=reset, dtype=DTYPES, allow_nd=True)
        else:
            values, labels = check_X_y(X, y, dtype=DTYPES, allow_nd=True, estimator=self)
        check_classification_targets(labels)
        if reset:
            self.layout_: str = layout_of(values, plain(self.layout), self.input_shape)
        shape = shape_of(values, self.layout_, self.input_shape) if reset else self.network_.input_shape
        images = as_images(values, self.layout_, shape)
        self.n_features_in_ = math.prod(shape)
        return images, labels

    def _images(self, X: ArrayLike) -> NDArray[Any]:
        """Return images (N, C, H, W) to predict, in the layout of the first fit. Raises as `_checked` does."""
        X = pixels.unmasked(X, "X")
        if _dimensions(X) <= 2:
            values = validate_data(self, X, reset=False, dtype=DTYPES)
        else:
            values = check_array(X, dtype=DTYPES, allow_nd=True, estimator=self, input_name="X")
        return as_images(values, self.layout_, self.network_.input_shape)

    def _take(self, course: Course, classes: NDArray[Any]) -> Self:
        self.__dict__.update(
            classes_=classes, network_=course.network, history_=course.history, _course=course, _model=course.model()
        )  # in one step: an interrupt may come at any time, and other threads may predict
        return self


def _dimensions(X: Any) -> int:
    """Return the number of dimensions of X, which may be a list."""
    return int(X.ndim if hasattr(X, "ndim") else np.asarray(X).ndim)


def _classes(labels: ArrayLike) -> NDArray[Any]:
    """Return the distinct labels, sorted. Raises ValueError if there are fewer than two, or two look the same."""
    classes = np.unique(np.asarray(labels))
    if len(classes) < 2:
        raise ValueError(f"found only 1 class ({_listed(classes)}); expected at least 2")
    _check_alike(classes.tolist())
    return classes


def _codes(y: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.int32]:
    """Return the position of each label in `classes`, int32 (N,). Raises ValueError for an unknown label."""
    position = {label: k for k, label in enumerate(classes.tolist())}
    labels, inverse = np.unique(y, return_inverse=True)
    unknown = [label for label in labels.tolist() if label not in position]
    if unknown:
        _check_alike([*position, *unknown])
        raise ValueError(
            f"y has {_listed(unknown)}, but the classes are {_listed(classes)}: pass all classes in the first call"
        )
    return np.array([position[label] for label in labels.tolist()], np.int32)[inverse]


def _names(classes: NDArray[Any]) -> tuple[str, ...]:
    """Return the labels as text, as the model stores them, with composed accents as in all class names."""
    return tuple(_name(label) for label in classes.tolist())


def _name(label: Any) -> str:
    return unicodedata.normalize("NFC", str(label))


def _check_alike(labels: Iterable[Any]) -> None:
    """Raise ValueError if two labels are the same name: é as one character, and as e followed by an accent."""
    known: dict[str, Any] = {}
    for label in labels:
        other = known.setdefault(_name(label), label)
        if other is not label:
            raise ValueError(
                f"found two labels that look the same, {other!a} and {label!a}: normalize them, for example with "
                "unicodedata.normalize('NFC', label)"
            )


def _listed(labels: Iterable[Any]) -> str:
    names = [display.name(str(label), 30) for label in labels]
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
