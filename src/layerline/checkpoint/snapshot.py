"""All that a training is between two steps, and the same as the tensors and texts of a file."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from layerline.engines.engine import Running, State
from layerline.run_folder import EpochRow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

Weights = dict[str, "NDArray[Any]"]
Arrays = dict[str, "NDArray[Any]"]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A training between two steps. What follows depends on this, the network, the data and the recipe, and no more."""

    history: tuple[EpochRow, ...]
    """The finished epochs."""
    step: int
    """Steps done of the epoch after them; 0 where none has begun."""
    state: State
    best: Weights | None
    """The weights of the best epoch, as they are evaluated; None before one is finished."""
    last: Weights | None
    """Likewise of the last finished epoch."""
    running: Running
    """What the steps of the unfinished epoch have gathered."""
    train_seconds: float = 0.0
    """That these steps have taken."""

    @property
    def position(self) -> tuple[int, int]:
        """Return (finished epochs, steps of the next): the order of snapshots."""
        return len(self.history), self.step

    @property
    def best_epoch(self) -> int:
        """Return the number of the best epoch; 0 before one is finished."""
        return max((row.epoch for row in self.history if row.best), default=0)

    def arrays(self) -> Arrays:
        """Return the tensors, each under its part's name: `weights/0.weight`, `optimizer/momentum.0.weight`, ….

        What equals the state's own weights, as the best weights do at the end of the best epoch, is left out.
        """
        parts = {"weights": self.state.weights, "optimizer": self.state.optimizer}
        if self.best is not None and not self._state_is(self.best_epoch):
            parts["best"] = self.best
        if self.last is not None and not self._state_is(len(self.history)):
            parts["last"] = self.last
        found: Arrays = {f"{part}/{name}": value for part, values in parts.items() for name, value in values.items()}
        if self.step:
            found["running/loss"] = np.array([self.running.loss])
            found["running/confusion"] = self.running.confusion
        return found

    def texts(self) -> dict[str, str]:
        """Return what is not a tensor: numbers as JSON with all their digits (and NaN), so that they come back."""
        rows = [dataclasses.asdict(row) for row in self.history]
        return {
            "history": json.dumps(rows),
            "position": json.dumps({"step": self.step, "train_seconds": self.train_seconds}),
        }

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], texts: Mapping[str, str], classes: int) -> Snapshot:
        """Return the snapshot that `arrays` and `texts` tell of. Raises KeyError, TypeError or ValueError."""
        history = tuple(EpochRow(**row) for row in json.loads(texts["history"]))
        position = json.loads(texts["position"])
        parts: dict[str, Arrays] = {}
        for key, value in arrays.items():
            part, _, name = key.partition("/")
            parts.setdefault(part, {})[name] = value
        state = State(parts["weights"], parts.get("optimizer", {}))
        running = Running(0.0, np.zeros((classes, classes), np.int64))
        if position["step"]:
            running = Running(float(parts["running"]["loss"][0]), parts["running"]["confusion"])
        same = state.averaged if history else None
        best, last = parts.get("best", same), parts.get("last", same)
        return cls(history, position["step"], state, best, last, running, position["train_seconds"])

    def _state_is(self, epoch: int) -> bool:
        """Return whether the state is what it was at the end of that epoch."""
        return self.step == 0 and epoch == len(self.history)
