"""TRAIN: the epochs. Every engine is driven by this loop and by nothing else."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar, final

import numpy as np

from layerline import metrics
from layerline.engines.epoch import plan_epoch
from layerline.errors import DivergedError
from layerline.run_folder import EpochRow
from layerline.training.divergence import likely_cause
from layerline.training.watch import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from layerline.data.dataset import Dataset, Split
    from layerline.engines.engine import Engine, State
    from layerline.engines.epoch import Epoch
    from layerline.metrics import Scores
    from layerline.recipe import Recipe
    from layerline.training.interrupt import Interrupt
    from layerline.training.watch import Watcher

T = TypeVar("T")

TICK: Final = 0.1
"""Seconds between two looks at a running engine."""


@dataclass(frozen=True, eq=False)
class Measured:
    """A split as the network sees it."""

    loss: float
    """Mean cross-entropy (nats), added in float64."""
    confusion: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    truth: NDArray[np.int32]


@final
class Loop:
    """Runs the epochs of one training; holds what it has reached when it ends, in whatever way."""

    def __init__(
        self,
        engine: Engine,
        data: Dataset,
        recipe: Recipe,
        watcher: Watcher,
        interrupt: Interrupt,
        keep: Callable[[EpochRow], None],
        clock: Callable[[], float],
    ) -> None:
        """Prepare; `keep` is called with the row of every finished epoch, before the watcher is."""
        self.history: list[EpochRow] = []
        self.best: State | None = None
        """The weights of the best epoch; None before one is finished."""
        self.last: State | None = None
        """The weights of the last finished epoch."""
        self._engine, self._data, self._recipe = engine, data, recipe
        self._watcher, self._interrupt, self._keep, self._clock = watcher, interrupt, keep, clock
        self._steps = recipe.steps(len(data.train))
        self._epoch = 0
        self._began = self._epoch_began = clock()
        interrupt.ask = engine.stop

    @property
    def steps_done(self) -> int:
        """Return the steps done in the epoch that is running or was stopped."""
        return self._engine.progress()

    @property
    def epoch(self) -> int:
        """Return the number of the epoch that is running or was the last, from 1; 0 before the first."""
        return self._epoch

    def run(self) -> bool:
        """Run the epochs; return whether the training came to its end, and was not stopped. Raises DivergedError."""
        if not self._stopped():
            self._aside(lambda: self._engine.prepare(self._data.train.source), "compiling")
        self._began = self._clock()
        for epoch in range(1, self._recipe.epochs + 1):
            if not self._run_epoch(epoch):
                return False
            if self._gives_up() and epoch < self._recipe.epochs:
                self._watcher.note(f"no better epoch for {self._recipe.patience}: ends here (--patience)")
                break
        return True

    def _gives_up(self) -> bool:
        """Return whether so many epochs went by without a better one that the recipe ends the training."""
        best = max(row.epoch for row in self.history if row.best)
        return isinstance(self._recipe.patience, int) and len(self.history) - best >= self._recipe.patience

    def measure(self, split: Split, phase: str) -> Measured:
        """Return what the network, as it is now, says of `split`."""
        outputs = self._aside(lambda: self._engine.evaluate(split), phase)
        K = len(self._data.classes)
        truth = split.labels
        confusion = metrics.confusion(truth, outputs.probabilities.argmax(axis=1), K)
        return Measured(float(outputs.losses.mean()), confusion, outputs.probabilities, truth)

    def announce(self, phase: str) -> None:
        """Tell the watcher what is done next, in this thread."""
        self._watcher.progress(self._progress(phase, self._clock()))

    def _run_epoch(self, epoch: int) -> bool:
        """Run one epoch and keep its row; return False where it was stopped before its end."""
        if self._stopped():
            return False
        self._epoch, self._epoch_began = epoch, self._clock()
        plan = plan_epoch(self._recipe, self._data.train, epoch, len(self._data.classes))
        self._engine.reset_running()
        done = self._aside(lambda: self._engine.train(plan, 0), "training")
        train_seconds = self._clock() - self._epoch_began
        if self._engine.diverged_step is not None:
            raise self._diverged(self._engine.diverged_step)
        if done < self._steps:
            return False
        validation = self.measure(self._data.validation, "validation") if self._data.validation else None
        state = self._engine.state()
        if not _finite(state, validation):
            raise self._diverged(self._steps - 1)
        self._finish_epoch(state, validation, plan, train_seconds)
        return True

    def _finish_epoch(self, state: State, validation: Measured | None, plan: Epoch, train_seconds: float) -> None:
        running = self._engine.running()
        train = metrics.measure(running.confusion)
        held: Scores | None = metrics.measure(validation.confusion) if validation else None
        row = EpochRow(
            epoch=self._epoch,
            train_loss=running.loss / (running.images if plan.weights is None else float(plan.weights.sum())),
            train_accuracy=train.accuracy,
            train_macro_f1=train.macro_f1,
            validation_loss=validation.loss if validation else None,
            validation_accuracy=held.accuracy if held else None,
            validation_macro_f1=held.macro_f1 if held else None,
            learning_rate=float(plan.learning_rates[-1]),
            train_seconds=train_seconds,
            seconds=self._clock() - self._epoch_began,
            images_per_second=running.images / train_seconds,
            best=self._is_best(validation, held),
        )
        self.last = state
        if row.best:
            self.best = state
        self.history.append(row)
        self._keep(row)
        self._watcher.epoch(row, train, held)

    def _is_best(self, validation: Measured | None, scores: Scores | None) -> bool:
        """Return whether an epoch is better than all before it; without a validation set, every epoch is."""
        if validation is None or scores is None:
            return True
        if self._recipe.best == "macro_f1":
            known = [row.validation_macro_f1 for row in self.history if row.validation_macro_f1 is not None]
            return all(scores.macro_f1 > before for before in known)
        losses = [row.validation_loss for row in self.history if row.validation_loss is not None]
        return all(validation.loss < before for before in losses)

    def _diverged(self, step: int) -> DivergedError:
        """Return the error for step `step` (from 0) of the running epoch."""
        total = (self._epoch - 1) * self._steps + step + 1
        place = f"step {step + 1:,d} of epoch {self._epoch}"
        if self._epoch > 1:
            place += f" (step {total:,d} of the run)"
        return DivergedError(
            f"diverged: the loss is no longer a finite number at {place}", likely_cause(self._recipe, self._data)
        )

    def _stopped(self) -> bool:
        return self._interrupt.signal is not None

    def _aside(self, work: Callable[[], T], phase: str) -> T:
        """Do `work` in a thread of its own and return its result; this thread reports and takes signals meanwhile."""
        results: list[T] = []
        errors: list[BaseException] = []

        def target() -> None:
            try:
                results.append(work())
            except BaseException as error:  # raised again below, in the thread that waits
                errors.append(error)

        thread = threading.Thread(target=target, name=f"layerline-{phase}", daemon=True)
        start = self._clock()
        thread.start()
        thread.join(TICK)
        while thread.is_alive():
            self._watcher.progress(self._progress(phase, start))
            thread.join(TICK)
        if errors:
            raise errors[0]
        return results[0]

    def _progress(self, phase: str, start: float) -> Progress:
        now = self._clock()
        step = self._engine.progress() if phase == "training" else self._steps if self._epoch else 0
        train_seconds = (now if phase == "training" else start) - self._epoch_began
        images = min(step * self._recipe.batch_size, len(self._data.train))
        epochs = self._recipe.epochs
        return Progress(phase, self._epoch, epochs, step, self._steps, images, train_seconds, now - self._began)


def _finite(state: State, validation: Measured | None) -> bool:
    """Return whether what an epoch has left is all finite: its last step may have ruined the weights unseen."""
    weights = all(np.isfinite(weight).all() for weight in state.weights.values())
    return weights and (validation is None or bool(np.isfinite(validation.loss)))
