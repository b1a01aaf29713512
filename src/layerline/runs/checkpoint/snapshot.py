"""The whole state of a training run between two steps, and its conversion to the tensors and texts of a file."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from layerline.engines.interface import Running, State
from layerline.runs.history import EpochRow, best

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

Weights = dict[str, "NDArray[Any]"]
Arrays = dict[str, "NDArray[Any]"]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A training between two steps. The rest depends only on this, the network, the data and the recipe."""

    history: tuple[EpochRow, ...]
    """The finished epochs."""
    step: int
    """Steps done of the next epoch; 0 if it has not started."""
    state: State
    best: Weights | None
    """The weights of the best epoch, as evaluated; None before one is finished."""
    last: Weights | None
    """Likewise those of the last finished epoch."""
    running: Running
    """What the steps of the unfinished epoch have accumulated."""
    train_seconds: float = 0.0
    """Time spent on these steps."""

    @property
    def position(self) -> tuple[int, int]:
        """Return (finished epochs, steps of the next), by which snapshots are ordered."""
        return len(self.history), self.step

    @property
    def best_epoch(self) -> int:
        """Return the number of the best epoch; 0 before one is finished."""
        row = best(self.history)
        return 0 if row is None else row.epoch

    def arrays(self) -> Arrays:
        """Return the tensors, prefixed with their part: `weights/0.weight`, `optimizer/momentum.0.weight`, ….

        Weights equal to the state's own, as the best weights are at the end of the best epoch, are omitted.
        """
        parts = {"weights": self.state.weights, "optimizer": self.state.optimizer}
        if self.best is not None and not self._state_is(self.best_epoch):
            parts["best"] = self.best
        if self.last is not None and not self._state_is(len(self.history)):
            parts["last"] = self.last
        found: Arrays = {f"{part}/{name}": value for part, values in parts.items() for name, value in values.items()}
        if self.step:
            found["running/loss"] = np.array([self.running.loss])
            found["running/tallies"] = self.running.tallies
        return found

    def texts(self) -> dict[str, str]:
        """Return everything that is not a tensor, as JSON that preserves every number exactly (NaN included)."""
        rows = [dataclasses.asdict(row) for row in self.history]
        return {
            "history": json.dumps(rows),
            "position": json.dumps({"step": self.step, "train_seconds": self.train_seconds}),
        }

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], texts: Mapping[str, str], classes: int) -> Snapshot:
        """Return the snapshot from its `arrays` and `texts`. Raises KeyError, TypeError or ValueError."""
        history = tuple(EpochRow.read(row) for row in json.loads(texts["history"]))
        if [row.epoch for row in history] != list(range(1, len(history) + 1)):
            raise ValueError("its epochs are not numbered 1, 2, …")
        position = json.loads(texts["position"])
        step, seconds = position["step"], float(position["train_seconds"])
        if type(step) is not int or step < 0 or not 0 <= seconds < math.inf:
            raise ValueError("its position must be a number of steps and of seconds")
        parts: dict[str, Arrays] = {}
        for key, value in arrays.items():
            part, _, name = key.partition("/")
            parts.setdefault(part, {})[name] = value
        state = State(parts["weights"], parts.get("optimizer", {}))
        running = Running(0.0, np.zeros((3, classes), np.int64))
        if step:
            running = _running(parts["running"], classes)
        same = state.averaged if history else None
        best, last = parts.get("best", same), parts.get("last", same)
        return cls(history, step, state, best, last, running, seconds)

    def _state_is(self, epoch: int) -> bool:
        """Return whether the state is that at the end of this epoch."""
        return self.step == 0 and epoch == len(self.history)


def _running(parts: Mapping[str, NDArray[Any]], classes: int) -> Running:
    """Return what an unfinished epoch has accumulated. Raises KeyError or ValueError."""
    loss, tallies = parts["loss"], parts["tallies"]
    if loss.shape != (1,) or tallies.shape != (3, classes) or tallies.dtype != np.int64:
        raise ValueError("the metrics of its unfinished epoch do not match these classes")
    if tallies.min() < 0:
        raise ValueError("the metrics of its unfinished epoch have negative counts")
    return Running(float(loss[0]), tallies)
