"""The runs below some folders, one row each: network, data, scores, duration and date."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from layerline.errors import UserError
from layerline.runs import history
from layerline.runs.ending import Ending
from layerline.runs.names import ENDING, EXPERIMENT, FOLDS, HISTORY, RESULT, SEEDS
from layerline.runs.record import Record
from layerline.runs.result import Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

State = Literal["finished", "stopped", "diverged", "unfinished", "damaged"]
"""unfinished: still running, or its process was killed."""

BEST_FIRST: Final = ("test_accuracy", "test_macro_f1")
"""Columns sorted in descending order; all others are ascending."""


@dataclass(frozen=True)
class RunRow:
    """A run; values missing from its files are None."""

    name: str
    """The folder's path relative to the folder that was searched."""
    folder: Path
    state: State
    network: str | None = None
    parameters: int | None = None
    data: str | None = None
    images: int | None = None
    """Training images."""
    epochs: int = 0
    """Finished epochs."""
    epochs_planned: int | None = None
    best_epoch: int | None = None
    """The epoch whose weights the model has."""
    validation_loss: float | None = None
    """The validation loss of the best epoch."""
    test_loss: float | None = None
    test_accuracy: float | None = None
    test_macro_f1: float | None = None
    seconds: float | None = None
    """The duration of all epochs, validation included."""
    when: float = 0.0
    """When the training started, in seconds since 1970: the date of experiment.toml."""
    damage: str | None = None
    """Which file is damaged, and how."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values by name; the folder as text, `when` as ISO 8601 with the local offset."""
        values = dataclasses.asdict(self) | {"folder": self.folder.as_posix(), "when": written(self.when)}
        return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in values.items()}


@dataclass(frozen=True)
class Listing:
    """The runs found below some folders."""

    runs: tuple[RunRow, ...]
    others: int
    """The number of folders that are not runs."""


COLUMNS: Final = tuple(field.name for field in dataclasses.fields(RunRow))


def listing(folders: Sequence[Path]) -> Listing:
    """Return the runs in `folders`, oldest first: each is a run, or holds runs or series of them.

    Raises UserError if one of them does not exist or cannot be read.
    """
    found: dict[Path, RunRow] = {}
    others: set[Path] = set()
    for folder in folders:
        if not folder.is_dir():
            what = " is a file, not a folder" if folder.exists() else ": no such folder"
            raise UserError(f"{folder}{what}", "specify runs, or a folder of runs such as runs")
        runs = [folder] if _is_run(folder) else _inside(folder, others)
        above = folder if len(folders) == 1 and runs != [folder] else None
        for path in runs:
            found.setdefault(path.resolve(), _row(path, (path.relative_to(above) if above else path).as_posix()))
    return Listing(tuple(ordered(found.values(), "when")), len(others - set(found)))


def ordered(runs: Iterable[RunRow], column: str, *, backwards: bool = False) -> list[RunRow]:
    """Return the runs sorted by a column, lowest first (test scores: highest first); None comes last.

    Ties are sorted by name, with numbers in it by value.
    """
    by_name = sorted(runs, key=lambda run: _natural(run.name))
    having = [run for run in by_name if not _lacks(getattr(run, column))]
    lacking = [run for run in by_name if _lacks(getattr(run, column))]
    having.sort(
        key=lambda run: _natural(value) if isinstance(value := getattr(run, column), str) else [(0, value, "")],
        reverse=(column in BEST_FIRST) != backwards,
    )
    return having + lacking


def written(when: float) -> str:
    """Return a time as ISO 8601, to the second, in the local time zone."""
    from datetime import datetime

    return datetime.fromtimestamp(when).astimezone().isoformat(timespec="seconds")


def _is_run(folder: Path) -> bool:
    return (folder / HISTORY).is_file()


def _inside(folder: Path, others: set[Path]) -> list[Path]:
    """Return the runs in a folder, and add to `others` the folders in it that are not runs."""
    try:
        below = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise UserError(f"{folder}: cannot be read: {error.strerror or error}") from error
    runs: list[Path] = []
    for path in below:
        if _is_run(path):
            runs.append(path)
        elif any((path / name).is_file() for name in (SEEDS, FOLDS)):
            runs += _inside(path, others)
        else:
            others.add(path.resolve())
    return runs


def _row(folder: Path, name: str) -> RunRow:
    try:
        return _read(folder, name)
    except UserError as error:
        when = _changed(folder / EXPERIMENT) or _changed(folder / HISTORY) or 0.0
        return RunRow(name, folder, "damaged", when=when, damage=error.message.splitlines()[0])


def _read(folder: Path, name: str) -> RunRow:
    path = folder / EXPERIMENT
    if not path.is_file():
        raise UserError(f"{path} is missing")
    record = Record.read(path)
    rows = history.read(folder / HISTORY)
    tested = Result.read(folder / RESULT) if (folder / RESULT).exists() else None
    best = history.best(rows)
    return RunRow(
        name,
        folder,
        _state(folder / ENDING) if tested is None else "finished",
        network=record.about.network.name,
        parameters=record.about.network.parameters,
        data=record.about.data.name,
        images=record.about.data.images.get("train"),
        epochs=len(rows),
        epochs_planned=record.epochs,
        best_epoch=None if best is None else best.epoch,
        validation_loss=None if best is None else best.validation_loss,
        test_loss=None if tested is None else tested.test_loss,
        test_accuracy=None if tested is None else tested.test_accuracy,
        test_macro_f1=None if tested is None else tested.test_macro_f1,
        seconds=math.fsum(row.seconds for row in rows) if rows else None,
        when=_changed(path) or 0.0,
    )


def _state(path: Path) -> State:
    """Return how a training run without a result ended, from ending.json, which a running one has not written yet."""
    return Ending.read(path).ended if path.exists() else "unfinished"


def _changed(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _lacks(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _natural(text: str) -> list[tuple[int, float, str]]:
    """Return a sort key that puts `run-9` before `run-10`."""
    import re

    parts = re.split(r"([0-9]+)", text)
    return [(0, float(part[:300]), "") if k % 2 else (1, 0.0, part.casefold()) for k, part in enumerate(parts)]
