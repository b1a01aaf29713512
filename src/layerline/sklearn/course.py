"""A training that can be gone on with, and kept: an engine between two epochs."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any, final

import numpy as np

from layerline import engines, metrics
from layerline.data.dataset import Dataset
from layerline.engines.agreement import checked
from layerline.engines.epoch import plan_epoch
from layerline.errors import DivergedError
from layerline.model_file import Preprocessing
from layerline.recipe import Recipe
from layerline.run_folder import EpochRow
from layerline.training import Interrupt, Model, Watcher
from layerline.training.divergence import likely_cause
from layerline.training.session import run

if TYPE_CHECKING:
    from layerline.data.dataset import Scaling, Split
    from layerline.engines.engine import Engine, State
    from layerline.engines.epoch import Epoch
    from layerline.network import Network


@final
class Course:
    """A network with its recipe, on the way. A pickled one goes on with the same bits."""

    def __init__(
        self,
        network: Network,
        classes: tuple[str, ...],
        scaling: Scaling,
        recipe: Recipe,
        engine: str,
        threads: int | None,
    ) -> None:
        """Keep what all epochs share; the weights are those that the recipe begins with. Raises UserError."""
        self.network, self.scaling = network, scaling
        self.history: tuple[EpochRow, ...] = ()
        self._classes, self._recipe, self._steps = classes, recipe, 0
        self._engine_name, self._threads = engine, threads
        self._preprocessing = Preprocessing()
        self._engine: Engine | None = self._made()
        self._kept: State | None = None

    def fit(self, train: Split, validation: Split | None) -> None:
        """Run the recipe from its start to its end; the weights are then those of the best epoch.

        Raises UserError, DivergedError, and KeyboardInterrupt where Ctrl-C stopped it.
        """
        data, recipe, engine = self._data(train, validation), self._recipe, self._ready()
        checked(self.network, data, recipe)
        ended = run(self.network, data, recipe, engine, folder=None, watcher=Watcher(), threads=self._threads)
        if ended.stopped is not None:
            raise KeyboardInterrupt
        self.history = ended.history
        self._preprocessing = Preprocessing(maximum=train.source.maximum)
        self._steps = len(ended.history) * recipe.steps(len(train))

    def go_on(self, train: Split, learning_rate: float) -> None:
        """Run one more epoch, over these images, at one rate. Where it fails, everything is as it was before.

        Raises UserError, DivergedError, and KeyboardInterrupt where Ctrl-C stopped it.
        """
        recipe = dataclasses.replace(self._plain, learning_rate=learning_rate)
        data, engine, K = self._data(train, None), self._ready(), len(self._classes)
        checked(self.network, data, recipe)
        plan = dataclasses.replace(plan_epoch(recipe, train, len(self.history) + 1, K), first_step=self._steps)
        before = engine.state()
        try:
            row = self._epoch(engine, plan, data, recipe)
        except BaseException:
            engine.set_state(before)
            raise
        self.history += (row,)
        self._preprocessing = Preprocessing(maximum=train.source.maximum)
        self._steps += recipe.steps(len(train))

    def model(self) -> Model:
        """Return the model as it is now."""
        weights = self._ready().state().averaged
        return Model(
            *(self.network, self._classes, self.scaling, weights),
            engine=self._engine_name,
            threads=self._threads,
            preprocessing=self._preprocessing,
        )

    def _epoch(self, engine: Engine, plan: Epoch, data: Dataset, recipe: Recipe) -> EpochRow:
        engine.reset_running()
        began = time.perf_counter()
        with Interrupt() as interrupt:
            interrupt.ask = engine.stop
            engine.train(plan, 0)
        seconds = time.perf_counter() - began
        if interrupt.signal is not None:
            raise KeyboardInterrupt
        step = engine.diverged_step
        if step is not None or not all(np.isfinite(weight).all() for weight in engine.state().weights.values()):
            place = "" if step is None else f" at step {step + 1:,d} of epoch {plan.number}"
            raise DivergedError(f"diverged: the loss is no longer a finite number{place}", likely_cause(recipe, data))
        running = engine.running()
        scores = metrics.measure(running.confusion)
        return EpochRow(
            epoch=plan.number,
            train_loss=running.loss / (running.images if plan.weights is None else float(plan.weights.sum())),
            train_accuracy=scores.accuracy,
            train_macro_f1=scores.macro_f1,
            validation_loss=None,
            validation_accuracy=None,
            validation_macro_f1=None,
            learning_rate=recipe.learning_rate,
            train_seconds=seconds,
            seconds=seconds,
            images_per_second=running.images / seconds,
            best=True,
        )

    @property
    def _plain(self) -> Recipe:
        """Return the recipe of an epoch after which nobody knows how many more there will be."""
        return dataclasses.replace(
            self._recipe,
            within="none",
            patience="none",
            schedule="constant",
            warmup=0.0,
            step_epochs="none",
            step_factor=Recipe.step_factor,
        )

    def _data(self, train: Split, validation: Split | None) -> Dataset:
        return Dataset("X", self._classes, train, validation, None, self.scaling, fingerprint="")

    def _ready(self) -> Engine:
        """Return the engine; one that was pickled is made anew, and takes over where the other was."""
        if self._engine is None:
            self._engine = self._made()
            assert self._kept is not None  # noqa: S101 - an engine is only left out for its state
            self._engine.set_state(self._kept)
            self._kept = None
        return self._engine

    def _made(self) -> Engine:
        return engines.make(self._engine_name, self.network, self.scaling, self._recipe, self._threads)

    def __getstate__(self) -> dict[str, Any]:
        """Return everything but the engine, which is machine code, with the engine's state instead."""
        kept = self._kept if self._engine is None else self._engine.state()
        return {**self.__dict__, "_engine": None, "_kept": kept}
