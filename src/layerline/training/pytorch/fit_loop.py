"""The epochs of a fit. It is not the loop of a run (training/loop.py): that one ends with the weights of the best epoch
and with files, this one changes the user's objects after every epoch and asks them for the next learning rates."""

from __future__ import annotations

import dataclasses
import functools
import time
from typing import TYPE_CHECKING, Final, final

import numpy as np

from layerline.engines.epoch import plan_epoch
from layerline.engines.interface import State
from layerline.errors import DivergedError
from layerline.numbers import display
from layerline.numbers.scalars import is_true
from layerline.runs.history import EpochRow
from layerline.system.workers import aside
from layerline.training.best import is_best
from layerline.training.divergence import LARGEST_INPUT, lower_rate
from layerline.training.loop import Measured, finite

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from layerline.data.dataset import Dataset, Split
    from layerline.engines.epoch import Epoch
    from layerline.engines.interface import Engine
    from layerline.recipe import Recipe
    from layerline.training.interrupt import Interrupt
    from layerline.training.pytorch.optimization import Optimization
    from layerline.training.pytorch.torch_weights import TorchWeights

_BEST: Final = "accuracy"


@final
class FitLoop:
    """Trains epochs, each of which ends with everything written back. Between epochs, the module has the last word."""

    def __init__(
        self,
        engine: Engine,
        data: Dataset,
        recipe: Recipe,
        images: int,
        weights: TorchWeights,
        optimization: Optimization,
        before: int,
        *,
        shuffle: bool,
    ) -> None:
        """Take the module's weights and the optimizer's state.

        recipe: that of the engine. images: how many are trained on per epoch. before: epochs of earlier fits.
        """
        self.history: list[EpochRow] = []
        self._engine, self._data, self._recipe = engine, data, recipe
        self._weights, self._optimization, self._before = weights, optimization, before
        self._images, self._shuffle = images, shuffle
        tensors, self._taken = optimization.start()
        if not tensors:
            tensors = {name: np.zeros_like(value) for name, value in engine.state().optimizer.items()}
        self._known = weights.read()
        engine.set_state(State(dict(self._known), tensors))

    @property
    def epochs(self) -> int:
        """Return the number of finished epochs, with those of earlier fits."""
        return self._before + len(self.history)

    def run(self, epochs: int, interrupt: Interrupt, on_epoch: Callable[[EpochRow], object] | None) -> None:
        """Run the epochs until they are done, `on_epoch` returns True, or a signal comes. Raises DivergedError."""
        interrupt.ask = self._engine.stop
        aside(lambda: self._engine.prepare(self._data.train.source))
        while len(self.history) < epochs and interrupt.signal is None:
            row = self._run_epoch(interrupt)
            if row is None:
                return
            enough = on_epoch is not None and is_true(on_epoch(row))
            self._look_at_module()
            if enough:
                return

    def measure(self, split: Split) -> Measured:
        """Return the results on a split with the current weights."""
        outputs = aside(lambda: self._engine.evaluate(split), ask=self._engine.stop)
        return Measured.of(outputs, split.labels, len(self._data.classes))

    def _run_epoch(self, interrupt: Interrupt) -> EpochRow | None:
        """Run an epoch and write everything back; return its row, or None if it was stopped before its end."""
        plan, began = self._plan(), time.perf_counter()
        steps, done = len(plan.learning_rates), 0
        self._engine.reset_running()
        while done < steps:
            first = done
            done += aside(functools.partial(self._engine.train, plan, first), ask=self._engine.stop)
            if self._engine.diverged_step is not None:
                raise self._diverged(plan, self._engine.diverged_step)
            if done < steps and interrupt.signal is not None:
                return None
        train_seconds, running = time.perf_counter() - began, self._engine.running()
        held = None if self._data.validation is None else self.measure(self._data.validation)
        state = self._engine.state()
        if not finite(state, held):
            raise self._diverged(plan, steps - 1)
        seconds = (train_seconds, time.perf_counter() - began)
        row = EpochRow.of(plan, running, seconds, None if held is None else (held.loss, held.scores))
        row = dataclasses.replace(row, best=is_best(_BEST, (*self.history, row), len(self._data.validation or ())))
        self._taken += steps
        self._weights.write(state.weights)
        self._known = state.weights
        self._optimization.epoch_done(state, self._taken)
        self.history.append(row)
        return row

    def _plan(self) -> Epoch:
        """Return the next epoch, with the learning rates of the optimization."""
        number, K = self.epochs + 1, len(self._data.classes)
        plan = plan_epoch(self._recipe, self._data.train, number, K, shuffle=self._shuffle).first(self._images)
        rates = self._optimization.rates(len(self.history))
        weights = None if plan.weights is None else plan.weights[: len(rates)]
        return dataclasses.replace(plan, learning_rates=rates, weights=weights, first_step=self._taken)

    def _look_at_module(self) -> None:
        """Take over weights that the module was given since they were written, such as by `on_epoch`."""
        now = self._weights.read()
        if not all(np.array_equal(now[name], value) for name, value in self._known.items()):
            self._known = now
            self._engine.set_state(State(dict(now), self._engine.state().optimizer))

    def _diverged(self, plan: Epoch, step: int) -> DivergedError:
        largest = _largest(plan.images.images[plan.order[: self._recipe.batch_size]], self._data)
        if largest > LARGEST_INPUT:
            advice = f"the images have values up to {largest:.4g}: scale them, such as x / 255"
        else:
            rate = float(plan.learning_rates[step])
            lower = display.rate(lower_rate(rate, self._recipe))
            advice = f"the learning rate {display.rate(rate)} is probably too high: try {lower}"
        kept = f"the weights from epoch {self.epochs}" if self.history else "its weights from before"
        return DivergedError(
            f"diverged: the loss became NaN or infinite at step {step + 1:,d} of epoch {plan.number}; the module has "
            f"{kept}",
            advice,
        )


def _largest(images: NDArray[np.float32], data: Dataset) -> float:
    return float(np.abs(data.scaling.apply(images)).max())
