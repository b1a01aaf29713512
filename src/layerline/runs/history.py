"""history.jsonl: one line per epoch, written when the epoch is finished; and its reader."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from layerline.errors import UserError
from layerline.runs import schema, texts
from layerline.runs.texts import AGAIN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class EpochRow:
    """An epoch, as stored in history.jsonl. The validation metrics are None without a validation set."""

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


_KEYS: Final = tuple(field.name for field in dataclasses.fields(EpochRow))
_KINDS: Final = dict.fromkeys(_KEYS, schema.NUMBER) | {"epoch": schema.COUNT, "best": schema.SWITCH}


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
    schema.check(path, found, _KINDS, AGAIN)
    if not isinstance(found, dict) or not found.keys() >= set(_KEYS) or None in (found["epoch"], found["best"]):
        raise ValueError("not an epoch")
    values: dict[str, Any] = {key: found[key] for key in _KEYS}
    nothing = {key: math.nan for key, value in values.items() if value is None and not key.startswith("validation_")}
    return EpochRow(**(values | nothing))
