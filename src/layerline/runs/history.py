"""history.jsonl: one line per epoch, written when the epoch is finished; and its reader."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.errors import UserError
from layerline.runs import metrics, schema, texts
from layerline.runs.texts import AGAIN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from layerline.engines.epoch import Epoch
    from layerline.engines.interface import Running
    from layerline.runs.metrics import Scores


@dataclass(frozen=True)
class EpochRow:
    """An epoch, as stored in history.jsonl. The validation metrics are None without a validation set.

    A field added later needs a default, which is what older runs get; its type here is what both readers check.
    """

    epoch: int
    """From 1."""
    train_loss: float
    train_accuracy: float
    train_macro_f1: float
    validation_loss: float | None
    validation_accuracy: float | None
    validation_macro_f1: float | None
    learning_rate: float
    """Of the epoch's last step."""
    train_seconds: float
    """The training pass alone."""
    seconds: float
    """Including the validation."""
    images_per_second: float
    """In the training pass."""
    best: bool
    """Whether this epoch was the best so far; the last row with true is the best of the run."""

    @classmethod
    def of(
        cls,
        plan: Epoch,
        running: Running,
        seconds: tuple[float, float],
        validation: tuple[float, Scores] | None = None,
        *,
        best: bool = False,
    ) -> EpochRow:
        """Return the row of a finished epoch.

        running: what its steps have accumulated. seconds: of training, and in total. validation: loss and scores.
        """
        train = metrics.of_tallies(running.tallies)
        loss, held_out = validation or (None, None)
        return cls(
            epoch=plan.number,
            train_loss=running.loss / (running.images if plan.weights is None else float(plan.weights.sum())),
            train_accuracy=train.accuracy,
            train_macro_f1=train.macro_f1,
            validation_loss=loss,
            validation_accuracy=held_out.accuracy if held_out else None,
            validation_macro_f1=held_out.macro_f1 if held_out else None,
            learning_rate=float(plan.learning_rates[-1]),
            train_seconds=seconds[0],
            seconds=seconds[1],
            images_per_second=running.images / seconds[0],
            best=best,
        )

    @classmethod
    def read(cls, found: object) -> EpochRow:
        """Return the epoch in an object of JSON; unknown keys are ignored. Raises ValueError if it is not one."""
        if not isinstance(found, dict):
            raise ValueError("an epoch in it is not an object")
        values = {name: found[name] for name in _TYPES if name in found}
        if missing := [name for name in _REQUIRED if name not in values]:
            raise ValueError(f"an epoch in it has no {missing[0]}")
        for name, value in values.items():
            if type(value) not in _TYPES[name]:
                raise ValueError(f"{name} of an epoch in it has the wrong type")
        return cls(**values)


_FIELDS: Final = dataclasses.fields(EpochRow)
_REQUIRED: Final = tuple(field.name for field in _FIELDS if field.default is dataclasses.MISSING)
_JSON: Final = {"int": (int,), "bool": (bool,), "float": (float, int), "float | None": (float, int, type(None))}
"""The annotation of a field → the types that its JSON may have."""
_TYPES: Final = {field.name: _JSON[str(field.type)] for field in _FIELDS}
_SCHEMAS: Final = {"int": schema.COUNT, "bool": schema.SWITCH}
_SCHEMA: Final = {field.name: _SCHEMAS.get(str(field.type), schema.NUMBER) for field in _FIELDS}


def best(history: Sequence[EpochRow]) -> EpochRow | None:
    """Return the best epoch, or None if none was finished."""
    return next((row for row in reversed(history) if row.best), None)


def lines(history: Iterable[EpochRow]) -> bytes:
    """Return epochs as lines of history.jsonl."""
    return b"".join(texts.json_line(dataclasses.asdict(row)).encode() + b"\n" for row in history)


def read(path: Path) -> tuple[EpochRow, ...]:
    """Return the epochs; an incomplete last line, as a crash leaves it, is skipped. Raises UserError."""
    found = texts.content(path, texts.LARGEST_HISTORY).splitlines()
    rows: list[EpochRow] = []
    for number, text in enumerate(found, 1):
        try:
            rows.append(_epoch(path, text))
        except (ValueError, UserError):
            if number < len(found):
                raise UserError(f"{path}:{number}: not a valid epoch", AGAIN) from None
    return tuple(rows)


def _epoch(path: Path, text: bytes) -> EpochRow:
    """Return an epoch; null is NaN, or None for validation metrics. Raises ValueError or UserError."""
    found = texts.parsed(text)
    schema.check(path, found, _SCHEMA, AGAIN)
    if isinstance(found, dict):
        not_none = (key for key, value in found.items() if value is None and _TYPES.get(key) == _JSON["float"])
        found |= dict.fromkeys(list(not_none), math.nan)
    return EpochRow.read(found)
