"""The progress of a training run while it runs, and the interface of its watchers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from layerline.runs.history import EpochRow
    from layerline.runs.metrics import Scores


class Stage(StrEnum):
    """A stage of a training run."""

    COMPILING = "compiling"
    TRAINING = "training"
    VALIDATION = "validation"
    TEST = "test"
    PREDICTING = "predicting"
    COMPARING = "comparing"
    DRAWING = "drawing"

    @property
    def sentence(self) -> str:
        """Return the description that is displayed."""
        return _SENTENCES.get(self, self.value)

    @property
    def in_epoch(self) -> bool:
        """Whether it is part of an epoch, so that a speed and a percentage are known."""
        return self in (Stage.TRAINING, Stage.VALIDATION)


_SENTENCES: Final = {
    Stage.TEST: "evaluating the test set",
    Stage.PREDICTING: "evaluating the validation set with the best weights",
    Stage.COMPARING: "computing the baselines",
    Stage.DRAWING: "drawing the graphs",
}


@dataclass(frozen=True)
class Progress:
    """The progress of a training run, reported about ten times per second."""

    phase: Stage
    epoch: int
    """From 1; 0 while compiling."""
    epochs: int
    step: int
    """Steps done in this epoch."""
    steps: int
    """Steps per epoch."""
    images: int
    """Training images seen in this epoch."""
    train_seconds: float
    """Time since this epoch's first step, without the validation."""
    seconds: float
    """Time since the first step of the run."""

    @property
    def done(self) -> float:
        """Return the fraction of the run's steps that are done."""
        return ((self.epoch - 1) * self.steps + self.step) / (self.epochs * self.steps) if self.epoch else 0.0

    @property
    def images_per_second(self) -> float | None:
        """Return the speed of this epoch's training pass; None before it is known."""
        return self.images / self.train_seconds if self.images and self.train_seconds > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """Return the estimated remaining time; None before it is known."""
        return self.seconds * (1 - self.done) / self.done if self.done > 0 else None


class Watcher:
    """Receives the events of a training run; does nothing by default. Not final: the screen is a subclass."""

    def progress(self, progress: Progress) -> None:
        """Called about ten times per second."""

    def note(self, text: str) -> None:
        """Called with a sentence about the training, such as why it stops early."""

    def epoch(self, row: EpochRow, train: Scores, validation: Scores | None) -> bool:
        """Called after each epoch; returns True if the training should finish with it."""
        del row, train, validation
        return False
