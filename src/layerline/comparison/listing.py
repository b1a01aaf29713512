"""The runs below some folders, each as a row: what was trained on what, how well, for how long, when."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from layerline.errors import UserError
from layerline.runs import history
from layerline.runs.ending import Ending
from layerline.runs.names import ENDING, EXPERIMENT, HISTORY, RESULT, SEEDS
from layerline.runs.record import Record
from layerline.runs.result import Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

State = Literal["finished", "stopped", "diverged", "unfinished", "damaged"]
"""unfinished: it is running, or its process was ended from outside."""

BEST_FIRST: Final = ("test_accuracy", "test_macro_f1")
"""Columns that are sorted from the highest; all others from the lowest."""


@dataclass(frozen=True)
class RunRow:
    """A run; what its files do not say is None."""

    name: str
    """The folder, as seen from the one it was looked for in."""
    folder: Path
    state: State
    network: str | None = None
    parameters: int | None = None
    data: str | None = None
    images: int | None = None
    """For training."""
    epochs: int = 0
    """Finished."""
    epochs_planned: int | None = None
    best_epoch: int | None = None
    """Of which the model is."""
    validation_loss: float | None = None
    """Of the best epoch."""
    test_loss: float | None = None
    test_accuracy: float | None = None
    test_macro_f1: float | None = None
    seconds: float | None = None
    """All epochs with their validation."""
    when: float = 0.0
    """When the training began, in seconds since 1970: the date of experiment.toml."""
    damage: str | None = None
    """What is wrong with which file."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values by their names; the folder as text, `when` as ISO 8601 with the offset of here."""
        values = dataclasses.asdict(self) | {"folder": self.folder.as_posix(), "when": written(self.when)}
        return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in values.items()}


@dataclass(frozen=True)
class Listing:
    """What was found below some folders."""

    runs: tuple[RunRow, ...]
    others: int
    """Folders that are no runs."""


COLUMNS: Final = tuple(field.name for field in dataclasses.fields(RunRow))


def listing(folders: Sequence[Path]) -> Listing:
    """Return the runs in `folders`, oldest first: each is a run itself, or holds runs, or folders with seeds.json.

    Raises UserError where one of them is not there, or may not be read.
    """
    found: dict[Path, RunRow] = {}
    others: set[Path] = set()
    for folder in folders:
        if not folder.is_dir():
            what = "is a file" if folder.exists() else "there is no such folder"
            raise UserError(f"{folder}: {what}", "name folders of runs, or a folder that holds some, such as runs")
        runs = [folder] if _is_run(folder) else _inside(folder, others)
        above = folder if len(folders) == 1 and runs != [folder] else None
        for path in runs:
            found.setdefault(path.resolve(), _row(path, (path.relative_to(above) if above else path).as_posix()))
    return Listing(tuple(ordered(found.values(), "when")), len(others - set(found)))


def ordered(runs: Iterable[RunRow], column: str, *, backwards: bool = False) -> list[RunRow]:
    """Return the runs sorted by a column, the lowest first (figures of the test: the highest); None comes last.

    Equal ones are sorted by their name, numbers in it by their value.
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
    """Return a time as ISO 8601, to the second, in the zone of here."""
    from datetime import datetime

    return datetime.fromtimestamp(when).astimezone().isoformat(timespec="seconds")


def _is_run(folder: Path) -> bool:
    return (folder / HISTORY).is_file()


def _inside(folder: Path, others: set[Path]) -> list[Path]:
    """Return the runs in a folder that is none, and add to `others` the folders that are no runs."""
    try:
        below = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise UserError(f"{folder}: cannot be read: {error.strerror or error}") from error
    runs: list[Path] = []
    for path in below:
        if _is_run(path):
            runs.append(path)
        elif (path / SEEDS).is_file():
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
        raise UserError(f"{path}: is missing")
    said = Record.read(path)
    rows = history.read(folder / HISTORY)
    tested = Result.read(folder / RESULT) if (folder / RESULT).exists() else None
    best = history.best(rows)
    return RunRow(
        name,
        folder,
        _state(folder / ENDING) if tested is None else "finished",
        network=said.about.network.name,
        parameters=said.about.network.parameters,
        data=said.about.data.name,
        images=said.about.data.images.get("train"),
        epochs=len(rows),
        epochs_planned=said.epochs,
        best_epoch=None if best is None else best.epoch,
        validation_loss=None if best is None else best.validation_loss,
        test_loss=None if tested is None else tested.test_loss,
        test_accuracy=None if tested is None else tested.test_accuracy,
        test_macro_f1=None if tested is None else tested.test_macro_f1,
        seconds=math.fsum(row.seconds for row in rows) if rows else None,
        when=_changed(path) or 0.0,
    )


def _state(path: Path) -> State:
    """Return how a training without a result ended, by ending.json; none is written by one that is still running."""
    return Ending.read(path).ended if path.exists() else "unfinished"


def _changed(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _lacks(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _natural(text: str) -> list[tuple[int, float, str]]:
    """Return what sorts `run-9` before `run-10`."""
    import re

    parts = re.split(r"([0-9]+)", text)
    return [(0, float(part[:300]), "") if k % 2 else (1, 0.0, part.casefold()) for k, part in enumerate(parts)]
