"""The estimator: parameters in, X and y in, and a layerline Model behind it."""

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
"""What is trained where no network is given."""
DTYPES: Final = (np.float32, np.uint8)
"""What stays as it is; everything else becomes the first."""
RECIPE: Final = tuple(field.name for field in dataclasses.fields(Recipe) if field.name != "seed")
"""The parameters that are values of the recipe; its seed is `random_state`."""


@final
class ConvNetClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A convolutional network, written one layer a line and compiled for this CPU, as a scikit-learn classifier.

    Parameters
    ----------
    network : text of a network (it has line breaks), name of a preset, or path of a `.cnn` file.
        None is `Flat`, `FC 32`, `ReLU`, `FC classes`, `Softmax`.
    input_shape : (C, H, W) of an image, for X of shape (N, C·H·W). Where it is None, an X of shape (N, d) is N images
        of d channels of 1×1; X of more dimensions shows its shape itself.
    layout : "NCHW", or "NHWC" where channels come last, also in flat X. None tells by the shape of X, (N, 28, 28, 3) or
        (N, 3, 28, 28), and refuses what may be both; flat X is then in the order C, H, W.
    normalize : "standard", every channel to mean 0 and deviation 1, or "max", divided by the largest value that pixels
        can have. What it comes to is worked out from the images of `fit`, or of the first `partial_fit`, and kept.
    validation_fraction : a share of the images, or a number of them, to tell the best epoch by; None trains on all.
    epochs, batch_size, learning_rate, … : values of the recipe (docs/recipes.md), under the same names.
    random_state : of first weights, order, dropout, augmentation and validation: a whole number below 2⁶⁴, or
        scikit-learn's other two, None and a RandomState, which draw one.
    engine : "compiled" or "torch".
    threads : of the engine; None uses every core. The bits are the same for every number.

    Attributes
    ----------
    classes_ : the labels, sorted.
    n_features_in_ : C·H·W, the number of values in an image.
    feature_names_in_ : names of X's columns, where it has names.
    layout_ : the layout of `fit`, or of the first `partial_fit`: what X has to predict, whatever is set afterwards.
    network_ : the layerline.Network that was trained; `print(est.network_.describe())`.
    history_ : a row an epoch (layerline.Run.history), over `fit` and all calls of `partial_fit` behind it.
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
        random_state: int | np.random.RandomState | None = 0,
        engine: str = "compiled",
        threads: int | None = None,
    ) -> None:
        """Keep the parameters as they are; `fit` checks them."""
        self.__dict__.update({name: value for name, value in locals().items() if name != "self"})

    @in_turn
    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train from the start, and return self. X is (N, d), (N, H, W), (N, C, H, W) or (N, H, W, C); y has N labels.

        uint8 stays as it is, without a copy where it is contiguous; all else becomes float32. Raises ValueError and
        TypeError as scikit-learn does, DivergedError where the loss stops being finite, KeyboardInterrupt; the
        estimator is then what it was before.
        """
        with all_or_nothing(self), translated():
            images, y = self._checked(X, y, reset=True)
            classes, recipe = _classes(y), self._recipe()
            train, held = self._cut(as_split(images, _codes(y, classes)), classes, recipe.seed)
            return self._take(self._begun(train, classes, recipe).fitted(train, held), classes)

    @in_turn
    def partial_fit(self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None) -> Self:
        """Run one epoch over these images at `learning_rate`, from where the last call or `fit` ended; return self.

        Weights and the optimizer's state go on, at a constant rate: whoever wants a schedule sets `learning_rate`
        between calls. All other parameters are those of the first call, which needs `classes`, all labels there will
        ever be. Raises as `fit` does.
        """
        first = not self.__sklearn_is_fitted__()
        if first and classes is None:
            raise ValueError("classes must be given to the first call of partial_fit: all labels there will be")
        known = self.classes_ if classes is None else _classes(classes)
        if not first and not np.array_equal(known, self.classes_):
            raise ValueError(f"classes are {_listed(known)}, and were {_listed(self.classes_)} before: leave them out")
        with all_or_nothing(self), translated():
            images, y = self._checked(X, y, reset=first)
            train = as_split(images, _codes(y, known))
            course = self._begun(train, known, self._recipe()) if first else self._course
            return self._take(course.gone_on(train, self.learning_rate), known)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return the probability of each class for each image, float32 (N, K), in the order of `classes_`.

        They are those of `to_model().predict_proba`, bit for bit, with its ImagesWarning where X is on another scale,
        or far from what was trained on. Raises ValueError, TypeError and NotFittedError.
        """
        check_is_fitted(self)
        with translated():
            return self._model.predict_proba(self._images(X), "NCHW")

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the likeliest label of each image, (N,), of equals the first. Raises as predict_proba does."""
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def to_model(self) -> Model:
        """Return the layerline.Model: its classes are the labels as text. Raises NotFittedError."""
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
        """Return what scikit-learn asks of every estimator: besides (N, d), it takes images."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: all but the model, which the course makes again."""
        return {name: value for name, value in super().__getstate__().items() if name != "_model"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take it over."""
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
        """Return a course at its start: network and scaling follow from the images it begins with."""
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
            flat = f"flat X is taken as {shape[0]:,d} channels of 1×1: say what images it has by input_shape=(C, H, W)"
            raise NetworkError(str(error), flat) from None

    def _cut(self, split: Split, classes: NDArray[Any], seed: int) -> tuple[Split, Split | None]:
        """Return the images to train on and those to tell the best epoch by, as `layerline train` cuts them."""
        wanted = SplitOptions(validation=self.validation_fraction)  # checked, and a plain number
        if wanted.validation in (None, "none"):
            return split, None
        pool = Remaining(split.source, split.indices, _names(classes))
        held, left = take(pool, wanted.validation, Purpose.VALIDATION_SPLIT, "validation", seed)
        return left.split(), held.split()

    def _checked(self, X: ArrayLike, y: ArrayLike, *, reset: bool) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return images (N, C, H, W) and labels (N,); reset: whether they say what X has to be from now on.

        Raises DataError beside what scikit-learn raises.
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
        )  # at one stroke, for an interrupt may come at any time, and other threads predict
        return self


def _dimensions(X: Any) -> int:
    """Return how many X has: lists, and what is not quite an array, do not say."""
    return int(X.ndim if hasattr(X, "ndim") else np.asarray(X).ndim)


def _classes(labels: ArrayLike) -> NDArray[Any]:
    """Return the different labels, sorted. Raises ValueError where there are fewer than two, or two look alike."""
    classes = np.unique(np.asarray(labels))
    if len(classes) < 2:
        raise ValueError(f"found 1 class, {_listed(classes)}, expected at least 2: there is nothing to tell apart")
    _check_alike(classes.tolist())
    return classes


def _codes(y: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.int32]:
    """Return the position of each label in `classes`, int32 (N,). Raises ValueError for a label that is not there."""
    position = {label: k for k, label in enumerate(classes.tolist())}
    labels, inverse = np.unique(y, return_inverse=True)
    unknown = [label for label in labels.tolist() if label not in position]
    if unknown:
        _check_alike([*position, *unknown])
        raise ValueError(
            f"y has {_listed(unknown)}, and the classes are {_listed(classes)}: give all in the first call"
        )
    return np.array([position[label] for label in labels.tolist()], np.int32)[inverse]


def _names(classes: NDArray[Any]) -> tuple[str, ...]:
    """Return the labels as text, as the model keeps them: accents composed, as in all names of classes."""
    return tuple(_name(label) for label in classes.tolist())


def _name(label: Any) -> str:
    return unicodedata.normalize("NFC", str(label))


def _check_alike(labels: Iterable[Any]) -> None:
    """Raise ValueError where two labels are one name: é as one letter, and as e with an accent behind it."""
    known: dict[str, Any] = {}
    for label in labels:
        other = known.setdefault(_name(label), label)
        if other is not label:
            raise ValueError(
                f"found two labels that look alike, {other!a} and {label!a}: write both in one way, such as "
                "unicodedata.normalize('NFC', label)"
            )


def _listed(labels: Iterable[Any]) -> str:
    shown = [display.name(str(label), 30) for label in labels]
    return ", ".join(shown[:8]) + (", …" if len(shown) > 8 else "")
