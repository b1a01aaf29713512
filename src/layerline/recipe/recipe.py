"""The recipe: its values, their ranges, and the learning rate of every step."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from layerline.errors import RecipeError
from layerline.errors.wrong_calls import answered
from layerline.numbers.scalars import plain
from layerline.recipe import checks, words
from layerline.recipe.words import Worded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from layerline.data.augment.augmentation import Augmentation

OPTIMIZERS: Final = ("sgd", "adamw", "muon")
SCHEDULES: Final = ("linear", "constant", "cosine", "one-cycle", "step")
INITS: Final = ("torch", "he", "xavier")
BESTS: Final = ("accuracy", "loss", "macro_f1")
DECAYS: Final = ("all", "weights")


@dataclass(frozen=True)
class Recipe:
    """The training recipe. Raises RecipeError, naming the option, if a value is out of range.

    docs/recipes.md has all formulas. `check_together` checks combinations of values. Values that may be passed as text,
    as on the command line ("none", "5m", "flip,shift=4"), are stored parsed.
    """

    epochs: int = 10
    within: Worded[float] = Worded(words.within)
    """The time limit in seconds, also written as 5m, that determines the number of epochs."""
    best: str = "accuracy"
    """The validation score that selects the best epoch: accuracy (the last epoch within one standard error of the
    highest), loss (the lowest), or macro_f1 (the highest)."""
    patience: Worded[int] = Worded(words.or_none)
    """Early stopping: stop after this many epochs without a better one."""
    batch_size: int = 64
    learning_rate: float = 0.05
    backbone_rate: float = 1.0
    """Factor of the learning rate for trained layers that start with trained weights, before the head."""
    schedule: str = "linear"
    warmup: float = 0.0
    """Epochs of linear warmup of the learning rate."""
    step_epochs: Worded[float] = Worded(words.or_none)
    step_factor: float = 0.1
    optimizer: str = "sgd"
    momentum: float = 0.9
    nesterov: bool = False
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0
    decay: str = "all"
    """Which parameters decay: all, or weights (no biases or norm parameters)."""
    clip_norm: Worded[float] = Worded(words.or_none)
    ema: Worded[float] = Worded(words.or_none)
    label_smoothing: float = 0.0
    class_weights: Worded[str | tuple[float, ...]] = Worded(words.class_weights)
    """balanced, sqrt, or one number per class."""
    augment: Worded[Augmentation] = Worded(words.augmentation)
    """Random changes to the training images."""
    init: str = "torch"
    seed: int = 0
    exact: bool = False
    """Whether convolutions are computed by their definition everywhere, never by transformed tiles."""

    def __post_init__(self) -> None:
        """Check every value, and convert NumPy's numbers to Python's."""
        self.__dict__.update({name: plain(value) for name, value in self.__dict__.items()})
        if str(self.optimizer).lower() == "adam":
            if self.weight_decay != 0:
                advice = "use adamw, which applies the weight decay to the weights themselves"
                raise RecipeError(f"--optimizer {self.optimizer}: not available with a weight decay", advice)
            self.__dict__["optimizer"] = "adamw"  # they are the same without weight decay
        checks.whole("epochs", self.epochs, 1, 1_000_000)
        if self.patience is not None:
            checks.whole("patience", self.patience, 1, 1_000_000)
        checks.whole("batch-size", self.batch_size, 1, 2**31 - 1)
        checks.whole("seed", self.seed, 0, 2**64 - 1)
        checks.number("learning-rate", self.learning_rate, low=0.0, high=1e6, open_low=True)
        checks.number("backbone-rate", self.backbone_rate, low=0.0, high=1.0, open_low=True)
        checks.number("warmup", self.warmup, low=0.0, high=1e6)
        checks.number("step-epochs", self.step_epochs, low=0.0, high=1e6, open_low=True, none=True)
        checks.number("step-factor", self.step_factor, low=0.0, high=1.0, open_low=True)
        self._check_optimizer()
        checks.switch("exact", self.exact)
        checks.number("label-smoothing", self.label_smoothing, low=0.0, high=1.0, open_high=True)
        for option, value, known in (
            ("best", self.best, BESTS),
            ("schedule", self.schedule, SCHEDULES),
            ("decay", self.decay, DECAYS),
            ("init", self.init, INITS),
        ):
            checks.one_of(option, value, known)

    def _check_optimizer(self) -> None:
        checks.one_of("optimizer", self.optimizer, OPTIMIZERS)
        checks.number("momentum", self.momentum, low=0.0, high=1.0, open_high=True)
        checks.switch("nesterov", self.nesterov)
        checks.number("beta1", self.beta1, low=0.0, high=1.0, open_high=True)
        checks.number("beta2", self.beta2, low=0.0, high=1.0, open_high=True)
        checks.number("eps", self.eps, low=0.0, high=1.0, open_low=True)
        checks.number("weight-decay", self.weight_decay, low=0.0, high=1e6)
        checks.number("clip-norm", self.clip_norm, low=0.0, high=1e9, open_low=True, none=True)
        checks.number("ema", self.ema, low=0.0, high=1.0, open_low=True, open_high=True, none=True)

    def steps(self, images: int) -> int:
        """Return the number of steps in an epoch of `images` images: ceil(images / batch_size)."""
        return -(-images // self.batch_size)

    def learning_rates(self, images: int, epoch: int | None = None) -> NDArray[np.float64]:
        """Return the learning rate of every step of the run, or of one epoch (counted from 1), float64 (steps,).

        It is learning_rate times the schedule's factor (schedules.py) and, during W steps of warmup, times (t + 1) / W.
        """
        import numpy as np

        from layerline.recipe.schedules import CURVES, stairs

        steps = self.steps(images)
        T = self.epochs * steps
        first, last = (0, T) if epoch is None else ((epoch - 1) * steps, epoch * steps)
        t = np.arange(first, last, dtype=np.float64)
        if self.schedule in CURVES:
            share = CURVES[self.schedule](t, T)
        else:
            assert self.step_epochs is not None  # noqa: S101 - check_together
            share = stairs(t, self.step_epochs * steps, self.step_factor)
        if self.warmup:
            share = share * np.minimum(1.0, (t + 1) / max(1.0, round(self.warmup * steps)))
        return np.asarray(self.learning_rate * share)

    def weights_of(self, counts: NDArray[np.int64]) -> NDArray[np.float64] | None:
        """Return the weight of each class, float64 (K,), from its number of training images; None if all are equal.

        balanced: n / (K · n_k), so that all classes have the same total weight; sqrt: its square root, scaled so that
        the mean over the images is 1. A class without images has weight 0.
        """
        import numpy as np

        if self.class_weights is None:
            return None
        if isinstance(self.class_weights, tuple):
            return np.array(self.class_weights)
        with np.errstate(divide="ignore"):
            weights = np.where(counts > 0, counts.sum() / (np.count_nonzero(counts) * counts.astype(float)), 0.0)
        if self.class_weights == "sqrt":
            weights = np.sqrt(weights)
            weights *= counts.sum() / (weights * counts).sum()
        return np.asarray(weights)

    def as_dict(self) -> dict[str, Any]:
        """Return every value under its name in experiment.toml, as written there."""
        names = (field.name for field in dataclasses.fields(self))
        return {name: words.written(name, getattr(self, name)) for name in names}


Recipe.__init__ = answered("Recipe(epochs=10)")(Recipe.__init__)  # type: ignore[method-assign]  # made by dataclass
