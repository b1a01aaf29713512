"""What a training says of itself while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from layerline.runs.history import EpochRow
    from layerline.runs.metrics import Scores


class Stage(StrEnum):
    """What a training is doing."""

    COMPILING = "compiling"
    TRAINING = "training"
    VALIDATION = "validation"
    TEST = "test"
    JUDGING = "judging"
    COMPARING = "comparing"
    DRAWING = "drawing"

    @property
    def sentence(self) -> str:
        """Return how it is told wherever it is told."""
        return _SENTENCES.get(self, self.value)

    @property
    def in_epoch(self) -> bool:
        """Whether it is a part of an epoch, so that there is a speed and a share that is done."""
        return self in (Stage.TRAINING, Stage.VALIDATION)


_SENTENCES: Final = {
    Stage.TEST: "evaluating the test set",
    Stage.JUDGING: "evaluating the validation set with the best weights",
    Stage.COMPARING: "computing the baselines",
    Stage.DRAWING: "drawing the graphs",
}


@dataclass(frozen=True)
class Progress:
    """How far a training is, some ten times a second."""

    phase: Stage
    epoch: int
    """From 1; 0 while compiling."""
    epochs: int
    step: int
    """Steps done in this epoch."""
    steps: int
    """Steps of an epoch."""
    images: int
    """Training images seen in this epoch."""
    train_seconds: float
    """Since this epoch's first step; it stands still during the validation."""
    seconds: float
    """Since the first step of the run."""

    @property
    def done(self) -> float:
        """Return the share of the run's steps that is done."""
        return ((self.epoch - 1) * self.steps + self.step) / (self.epochs * self.steps) if self.epoch else 0.0

    @property
    def images_per_second(self) -> float | None:
        """Return the speed of this epoch's training pass; None before it has one."""
        return self.images / self.train_seconds if self.images and self.train_seconds > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """Return how long the rest will take if it goes on as it did; None before that can be told."""
        return self.seconds * (1 - self.done) / self.done if self.done > 0 else None


class Watcher:
    """Who is told; does nothing by itself. Not final: the screen is one."""

    def progress(self, progress: Progress) -> None:
        """Take how far it is."""

    def note(self, text: str) -> None:
        """Take a sentence about the training, such as why it ends early."""

    def epoch(self, row: EpochRow, train: Scores, validation: Scores | None) -> None:
        """Take a finished epoch."""
