"""TRAIN: the training loop over the epochs, the only one, for every engine."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, final

import numpy as np

from layerline.engines.epoch import plan_epoch
from layerline.errors import DivergedError
from layerline.numbers import display
from layerline.runs import metrics
from layerline.runs.checkpoint import Snapshot
from layerline.runs.history import EpochRow
from layerline.system.workers import aside
from layerline.training import settling
from layerline.training.best import is_best, without_a_better
from layerline.training.divergence import likely_cause
from layerline.training.watch import Progress, Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from layerline.data.dataset import Split
    from layerline.engines.epoch import Epoch
    from layerline.engines.interface import Outputs, State
    from layerline.runs.checkpoint import CheckpointWriter
    from layerline.runs.checkpoint.snapshot import Weights
    from layerline.runs.metrics import Scores
    from layerline.training.interrupt import Interrupt
    from layerline.training.prepared import Prepared
    from layerline.training.watch import Watcher

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Measured:
    """The network's results on a split."""

    loss: float
    """Mean cross-entropy (nats), summed in float64."""
    scores: Scores
    probabilities: NDArray[np.float32]
    truth: NDArray[np.int32]
    prediction: NDArray[np.int64]
    """The most probable class; the lower class wins ties."""

    @classmethod
    def of(cls, outputs: Outputs, truth: NDArray[np.int32], K: int) -> Measured:
        """Return the results from the outputs for images with these labels."""
        prediction = outputs.probabilities.argmax(axis=1)
        scores = metrics.of_tallies(metrics.tallies(truth, prediction, K))
        return cls(float(outputs.losses.mean()), scores, outputs.probabilities, truth, prediction)


@final
class Loop:
    """Runs the epochs of one training, and has its history and weights when it ends, however it ends."""

    def __init__(
        self,
        prepared: Prepared,
        watcher: Watcher,
        interrupt: Interrupt,
        writer: CheckpointWriter | None,
        clock: Callable[[], float],
    ) -> None:
        """Prepare to start, or to continue from `prepared.resumed` or `prepared.tried`.

        With a writer, an epoch's row is in history.jsonl before the watcher gets it.
        """
        self.history: list[EpochRow] = []
        self.best: Weights | None = None
        """The weights of the best epoch, as evaluated; None before one is finished."""
        self.last: Weights | None = None
        """Likewise those of the last finished epoch."""
        self.steps_done = 0
        """Steps done of the unfinished epoch; 0 if none has started."""
        self._engine, self._data, self._recipe = prepared.engine, prepared.data, prepared.recipe
        self._watcher, self._interrupt, self._writer, self._clock = watcher, interrupt, writer, clock
        self._head = prepared.network.frozen_end > 0
        self._steps = self._recipe.steps(len(self._data.train))
        self._epoch, self._spent, self._jump_reported = 0, 0.0, False
        self._enough = False
        """Whether a watcher wants no further epoch."""
        self._began = self._epoch_began = clock()
        interrupt.ask = self._engine.stop
        if done := prepared.resumed or prepared.tried:
            self._resume(done)

    def _resume(self, snapshot: Snapshot) -> None:
        """Restore a training run between two steps; `run` then continues exactly as it would have."""
        self._engine.set_state(snapshot.state)
        self._engine.set_running(snapshot.running)
        self.history, self.best, self.last = list(snapshot.history), snapshot.best, snapshot.last
        self.steps_done, self._spent = snapshot.step, snapshot.train_seconds

    def run(self) -> bool:
        """Run the epochs; return whether the training finished, as opposed to stopped. Raises DivergedError."""
        if self._ends():
            return True
        if not self._stopped():
            self._aside(lambda: self._engine.prepare(self._data.train.source), Stage.COMPILING)
        self._began = self._clock() - self._spent - sum(row.seconds for row in self.history)
        while not self._ends():
            if not self._run_epoch(len(self.history) + 1):
                return False
        if self._enough:
            self._watcher.note(f"stopping after epoch {len(self.history)} (on_epoch)")
        elif len(self.history) < self._recipe.epochs:
            epochs = display.counted(self._recipe.patience or 0, "epoch")
            self._watcher.note(f"no improvement for {epochs}: stopping early (--patience)")
        return True

    def keep(self) -> None:
        """Give the writer a snapshot of the training, between two steps."""
        if self._writer is not None:
            self._writer.offer(self.snapshot())

    def settle(self) -> None:
        """Wait until everything is written, and report failures."""
        if self._writer is not None:
            self._writer.close()
        self._report_notes()

    def _ends(self) -> bool:
        """Return whether all epochs are done, a watcher wants no more, or the recipe's patience has run out."""
        if not self.history or self._enough or len(self.history) >= self._recipe.epochs:
            return bool(self.history)
        patience, rule = self._recipe.patience, self._recipe.best
        return patience is not None and without_a_better(rule, self.history) >= patience

    def measure(self, split: Split, phase: Stage) -> Measured:
        """Return the results of the network with its current weights on `split`."""
        outputs = self._aside(lambda: self._engine.evaluate(split), phase)
        return Measured.of(outputs, split.labels, len(self._data.classes))

    def announce(self, phase: Stage) -> None:
        """Report the next stage, which runs in this thread, to the watcher."""
        self._watcher.progress(self._progress(phase, self._clock()))

    def _run_epoch(self, epoch: int) -> bool:
        """Run one epoch, or the rest of it, and store its row; return False if it was stopped before its end."""
        if self._stopped():
            return False
        self._epoch, self._epoch_began = epoch, self._clock() - self._spent
        plan = plan_epoch(self._recipe, self._data.train, epoch, len(self._data.classes))
        if self.steps_done == 0:
            self._engine.reset_running()
        self._run_steps(plan)
        train_seconds, self._spent = self._clock() - self._epoch_began, 0.0
        if self._engine.diverged_step is not None:
            raise self._diverged(self._engine.diverged_step)
        if self.steps_done < self._steps:
            return False
        validation = self.measure(self._data.validation, Stage.VALIDATION) if self._data.validation else None
        state = self._engine.state()
        if not finite(state, validation):
            raise self._diverged(self._steps - 1)
        self._finish_epoch(state, validation, plan, train_seconds)
        return True

    def _run_steps(self, plan: Epoch) -> None:
        """Run the steps of an epoch until it ends or is stopped, with a snapshot every now and then."""
        while True:
            self.steps_done += self._aside(lambda: self._engine.train(plan, self.steps_done), Stage.TRAINING)
            self._spent = self._clock() - self._epoch_began
            ended = self.steps_done == self._steps or self._engine.diverged_step is not None
            if ended or self._stopped():
                return
            self.keep()

    def _finish_epoch(self, state: State, validation: Measured | None, plan: Epoch, train_seconds: float) -> None:
        running = self._engine.running()
        seconds = (train_seconds, self._clock() - self._epoch_began)
        held_out = None if validation is None else (validation.loss, validation.scores)
        row = EpochRow.of(plan, running, seconds, held_out)
        images = len(self._data.validation or ())
        best = is_best(self._recipe.best, (*self.history, row), images, features=self._head)
        row = dataclasses.replace(row, best=best)
        self.last = state.averaged
        if row.best:
            self.best = self.last
        self.history.append(row)
        self.steps_done = 0
        if self._writer is not None:
            self._writer.offer(self.snapshot(state))
        self._report_notes()
        enough = self._watcher.epoch(
            row, metrics.of_tallies(running.tallies), validation.scores if validation else None
        )
        self._enough = self._engine.ranks.any(enough)
        self._report_jump(images)

    def _report_jump(self, validation: int) -> None:
        """Report once that scores which jump will settle, if they will."""
        note = settling.note(self.history, self._recipe, len(self._data.train), validation)
        if note is not None and not self._jump_reported:
            self._jump_reported = True
            self._watcher.note(note)

    def snapshot(self, state: State | None = None) -> Snapshot:
        """Return the training between two steps; state: that of the engine, if it is known."""
        history, running, state = tuple(self.history), self._engine.running(), state or self._engine.state()
        return Snapshot(history, self.steps_done, state, self.best, self.last, running, self._spent)

    def _report_notes(self) -> None:
        """Report the writer's failures and recoveries to the watcher."""
        if self._writer is not None:
            for note in self._writer.notes():
                self._watcher.note(note)

    def _diverged(self, step: int) -> DivergedError:
        """Return the error for step `step` (from 0) of the current epoch."""
        total = (self._epoch - 1) * self._steps + step + 1
        place = f"step {step + 1:,d} of epoch {self._epoch}"
        if self._epoch > 1:
            place += f" (step {total:,d} of the run)"
        return DivergedError(
            f"diverged: the loss became NaN or infinite at {place}", likely_cause(self._recipe, self._data)
        )

    def _stopped(self) -> bool:
        """Return whether a signal was received; one that another rank received counts as received here."""
        received = int(self._engine.ranks.largest(int(self._interrupt.signal or 0)))
        self._interrupt.signal = received or None
        return received != 0

    def _aside(self, work: Callable[[], T], phase: Stage) -> T:
        """Do `work` in a separate thread and return its result; this thread reports progress and handles signals."""
        start = self._clock()

        def tick() -> None:
            if phase is Stage.TRAINING and self._writer is not None and self._writer.due():
                self._engine.stop()
            self._report_notes()
            self._watcher.progress(self._progress(phase, start))

        return aside(work, tick, ask=self._engine.stop)

    def _progress(self, phase: Stage, start: float) -> Progress:
        now = self._clock()
        step = self._engine.progress() if phase is Stage.TRAINING else self._steps if self._epoch else 0
        train_seconds = (now if phase is Stage.TRAINING else start) - self._epoch_began
        images = min(step * self._recipe.batch_size, len(self._data.train))
        epochs = self._recipe.epochs
        return Progress(phase, self._epoch, epochs, step, self._steps, images, train_seconds, now - self._began)


def finite(state: State, validation: Measured | None) -> bool:
    """Return whether weights and validation loss are finite: the last step may have ruined the weights unnoticed."""
    weights = all(np.isfinite(weight).all() for weight in state.weights.values())
    return weights and (validation is None or bool(np.isfinite(validation.loss)))
