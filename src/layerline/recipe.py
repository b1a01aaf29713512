"""How a network is trained: every number that is not in the network or the data, checked once."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.errors import RecipeError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OPTIMIZERS: Final = ("sgd",)
SCHEDULES: Final = ("linear", "constant")
INITS: Final = ("torch", "he", "xavier")


@dataclass(frozen=True)
class Recipe:
    """The training recipe. Raises RecipeError where a value is out of range, naming its option.

    An update is PyTorch's SGD: g += weight_decay · w;  v = momentum · v + g;  w −= learning_rate(step) · v
    (without momentum: w −= learning_rate · g).
    """

    epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 0.05
    optimizer: str = "sgd"
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: str = "linear"
    init: str = "torch"
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every value."""
        _whole("epochs", self.epochs, 1, 1_000_000)
        _whole("batch-size", self.batch_size, 1, 2**31 - 1)
        _whole("seed", self.seed, 0, 2**64 - 1)
        _number("learning-rate", self.learning_rate, low=0.0, high=1e6, open_low=True)
        _number("momentum", self.momentum, low=0.0, high=1.0, open_high=True)
        _number("weight-decay", self.weight_decay, low=0.0, high=1e6)
        _one_of("optimizer", self.optimizer, OPTIMIZERS)
        _one_of("schedule", self.schedule, SCHEDULES)
        _one_of("init", self.init, INITS)

    def steps(self, images: int) -> int:
        """Return the number of steps in an epoch of `images` images: ceil(images / batch_size)."""
        return -(-images // self.batch_size)

    def learning_rates(self, images: int, epoch: int | None = None) -> NDArray[np.float64]:
        """Return the learning rate of every step of the run, or of one epoch (from 1), float64 (steps,).

        constant: lr;  linear: lr · (1 − t / T) at step t of T, so that the step after the last would have 0.
        """
        import numpy as np

        steps = self.steps(images)
        T = self.epochs * steps
        t = np.arange(T) if epoch is None else np.arange((epoch - 1) * steps, epoch * steps)
        if self.schedule == "constant":
            return np.full(len(t), self.learning_rate)
        return self.learning_rate * (1.0 - t / T)

    def as_dict(self) -> dict[str, int | float | str]:
        """Return every value by its name in experiment.toml."""
        return dataclasses.asdict(self)


def _whole(option: str, value: int, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise RecipeError(f"--{option} {value}: must be a whole number from {low:,d} to {high:,d}")


def _number(
    option: str, value: float, *, low: float, high: float, open_low: bool = False, open_high: bool = False
) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = number and math.isfinite(value) and low <= value <= high
    if not fits or (open_low and value == low) or (open_high and value == high):
        left = f"above {low:g}" if open_low else f"at least {low:g}"
        right = f"below {high:,.0f}" if open_high else f"at most {high:,.0f}"
        raise RecipeError(f"--{option} {value}: must be a number {left} and {right}")


def _one_of(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        import difflib

        near = difflib.get_close_matches(str(value), known, n=1)
        hint = f"did you mean {near[0]}?" if near else "one of: " + ", ".join(known)
        raise RecipeError(f"--{option} {value}: not known", hint)
