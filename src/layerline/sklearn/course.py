"""A training that can be stored and continued, in its state between two epochs."""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

import numpy as np

from layerline.data.dataset import Dataset
from layerline.engines.agreement import checked
from layerline.engines.epoch import plan_epoch
from layerline.errors import DivergedError
from layerline.network import initial_weights
from layerline.recipe import Recipe
from layerline.runs.history import EpochRow
from layerline.training import Interrupt, Model, Watcher
from layerline.training.divergence import likely_cause
from layerline.training.prepared import prepare
from layerline.training.session import run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from layerline.data.dataset import Scaling, Split
    from layerline.engines.epoch import Epoch
    from layerline.engines.interface import Engine, State
    from layerline.network import Network
    from layerline.runs.model_file import Preprocessing


@final
@dataclass(frozen=True, eq=False)
class Course:
    """A network with its recipe and the state of its training. It is immutable: further training returns a new Course.

    So if training fails or is interrupted, the previous Course is unchanged; copies can share it; and a pickled one
    continues bit-identically.
    """

    network: Network
    classes: tuple[str, ...]
    scaling: Scaling
    recipe: Recipe
    engine: str
    threads: int | None
    preprocessing: Preprocessing
    """Determined by the first images, like the scaling."""
    history: tuple[EpochRow, ...] = ()
    steps: int = 0
    """Optimizer steps so far."""
    state: State | None = None
    """Everything that training changes; None at the start, where the recipe determines it."""
    _spare: deque[Engine] = field(default_factory=deque)
    """An engine in this state, for the first caller that continues from here."""

    def fitted(self, train: Split, validation: Split | None) -> Course:
        """Return the Course after the complete recipe; the weights are those of the best epoch.

        Raises UserError, DivergedError, and KeyboardInterrupt if Ctrl-C stopped it.
        """
        data = self._data(train, validation)
        prepared = prepare(self.network, data, self.recipe, engine=self.engine, threads=self.threads)
        ended = run(prepared, None, Watcher())
        if ended.stopped is not None:
            raise KeyboardInterrupt
        return self._after(prepared.engine, ended.history, len(ended.history) * self.recipe.steps(len(train)))

    def continued(self, train: Split, learning_rate: float) -> Course:
        """Return the Course after one more epoch on these images, at a constant rate.

        Raises UserError, DivergedError, and KeyboardInterrupt if Ctrl-C stopped it.
        """
        recipe = dataclasses.replace(self._plain, learning_rate=learning_rate)
        data, K = self._data(train, None), len(self.classes)
        checked(self.network, data, recipe)
        plan = dataclasses.replace(plan_epoch(recipe, train, len(self.history) + 1, K), first_step=self.steps)
        engine = self._ready(data, recipe)
        row = self._epoch(engine, plan, data, recipe)
        return self._after(engine, (*self.history, row), self.steps + recipe.steps(len(train)))

    def model(self) -> Model:
        """Return the model in its current state."""
        weights: Mapping[str, NDArray[Any]]
        if self.state is None:
            weights = initial_weights(self.network, self.recipe.seed, self.recipe.init)
        else:
            weights = self.state.averaged
        return Model(
            *(self.network, self.classes, self.scaling, weights),
            engine=self.engine,
            threads=self.threads,
            preprocessing=self.preprocessing,
        )

    def _after(self, engine: Engine, history: tuple[EpochRow, ...], steps: int) -> Course:
        """Return the Course with this history and the engine's state."""
        return dataclasses.replace(
            self,
            history=history,
            steps=steps,
            state=engine.state(),
            _spare=deque((engine,)),
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
        return EpochRow.of(plan, engine.running(), (seconds, seconds), best=True)

    @property
    def _plain(self) -> Recipe:
        """Return the recipe of a single epoch, without settings that depend on the number of epochs."""
        return dataclasses.replace(
            self.recipe,
            within=None,
            patience=None,
            schedule="constant",
            warmup=0.0,
            step_epochs=None,
            step_factor=Recipe.step_factor,
        )

    def _data(self, train: Split, validation: Split | None) -> Dataset:
        return Dataset("X", self.classes, train, validation, None, self.scaling, fingerprint="")

    def _ready(self, data: Dataset, recipe: Recipe) -> Engine:
        """Return an engine in this state, and drop it from this Course: the caller will change its state.

        Raises UserError if there is none yet and memory is too small.
        """
        try:
            return self._spare.pop()
        except IndexError:
            engine = prepare(self.network, data, recipe, engine=self.engine, threads=self.threads).engine
        if self.state is not None:
            engine.set_state(self.state)
        return engine

    def __getstate__(self) -> dict[str, Any]:
        """Return everything except the engine, which is machine code."""
        return {**self.__dict__, "_spare": deque()}
