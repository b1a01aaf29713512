"""TRAIN: several networks tried on the same images: each is trained completely, and the validation set chooses."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from layerline.errors import DivergedError
from layerline.measure.mcnemar import mcnemar
from layerline.numbers import display
from layerline.training.loop import Loop
from layerline.training.watch import Stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerline.training.interrupt import Interrupt
    from layerline.training.loop import Measured
    from layerline.training.prepared import Prepared
    from layerline.training.watch import Watcher


@final
@dataclass(frozen=True, eq=False)
class Trial:
    """A training without a folder, complete but for its test: its end, and its results on the validation set."""

    prepared: Prepared
    """With the end of the training as `tried`, so that running it continues with the test."""
    validation: Measured
    """With weights from the best epoch."""
    seconds: float

    @property
    def name(self) -> str:
        """Return what was tried: `lite0`, `photo-small from scratch`."""
        return self.prepared.network.name + " from scratch" * (self.prepared.start is None)

    @property
    def accuracy(self) -> float:
        """Return the accuracy on the validation set."""
        return self.validation.scores.accuracy


def trial(prepared: Prepared, watcher: Watcher, interrupt: Interrupt, spent: float = 0.0) -> Trial | None:
    """Train, and return the result; None if the training was stopped or diverged, with the engine as it was before.

    The data has a validation set. spent: seconds that preparing took.
    """
    held = prepared.data.validation
    assert held is not None  # noqa: S101 - the caller has checked
    began, start = time.perf_counter(), prepared.engine.state()
    loop, complete = Loop(prepared, watcher, interrupt, None, time.perf_counter), False
    with contextlib.suppress(DivergedError):
        complete = loop.run()
    if not complete:
        prepared.engine.set_state(start)
        prepared.engine.reset_running()
        return None
    end = loop.snapshot()
    assert loop.best is not None  # noqa: S101 - at least one epoch was run
    prepared.engine.set_state(end.state.with_averaged(loop.best))
    measured = loop.measure(held, Stage.VALIDATION)
    return Trial(dataclasses.replace(prepared, tried=end), measured, spent + time.perf_counter() - began)


def best_of(trials: Sequence[Trial]) -> Prepared:
    """Return the training with the most correct validation images, the first of equals, with the reason."""
    first, *others = sorted(trials, key=lambda each: -each.accuracy)
    images = display.counted(len(first.validation.truth), "validation image")
    text = f"of {len(trials)} networks, the best on {images}: {_scored(first)}"
    for other in others:
        text += f"; {_scored(other)} ({_difference(first, other)})"
    return dataclasses.replace(first.prepared, reasons={**first.prepared.reasons, "network": text})


def _scored(one: Trial) -> str:
    return f"{one.name} {display.fraction(one.accuracy)} in {display.short_seconds(one.seconds)}"


def _difference(first: Trial, other: Trial) -> str:
    """Return the p-value of McNemar's test for the difference in accuracy."""
    a, b = (each.validation.prediction == each.validation.truth for each in (first, other))
    p = mcnemar(int((a & ~b).sum()), int((b & ~a).sum()))
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
