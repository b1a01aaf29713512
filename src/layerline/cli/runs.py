"""`layerline runs`."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from layerline.cli.commands import Command
from layerline.cli.option import GroupedOption
from layerline.cli.terminal import COLUMNS
from layerline.errors import UserError, spelling
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layerline.comparison.listing import Listing, RunRow

_ALIASES: Final = {
    "loss": "validation_loss",
    "accuracy": "test_accuracy",
    "macro_f1": "test_macro_f1",
    "f1": "test_macro_f1",
    "time": "seconds",
}
_HEADS: Final = {
    "name": ("", "name"),
    "network": ("", "network"),
    "data": ("", "data"),
    "images": ("", "images"),
    "epochs": ("", "epochs"),
    "validation_loss": ("validation", "loss"),
    "test_accuracy": ("test", "accuracy"),
    "test_macro_f1": ("test", "macro F1"),
    "seconds": ("", "time"),
    "when": ("", "start time"),
}
"""The columns of the table, each with its two header lines."""
_LEFT: Final = ("name", "network", "data")
_DROPPED: Final = ("images", "when", "seconds", "data", "network")
"""Columns dropped if the terminal is too narrow, first to last; --json has them all."""
_GAP: Final = "  "
_NARROWEST_NAME: Final = 12
_STATES: Final = {"finished": "no test"}
"""What to print instead of a missing accuracy; for other states, the state itself."""


@click.command(cls=Command)
@click.argument("dirs", nargs=-1, metavar="[DIR]...")
@click.option(
    *("--sort", "sort"),
    cls=GroupedOption,
    group="Output",
    metavar="COLUMN",
    help="sort by test-accuracy, macro-f1 (highest first), validation-loss, epochs, seconds, name, … [start time]",
)
@click.option(*("--reverse", "reverse"), cls=GroupedOption, group="Output", is_flag=True, help="reverse the order")
@click.option(*("--json", "as_json"), cls=GroupedOption, group="Output", is_flag=True, help="print all numbers as JSON")
def runs(dirs: tuple[str, ...], sort: str | None, reverse: bool, as_json: bool) -> None:
    """List the runs in DIR: a run or a folder of runs [runs].

    On a terminal it prints a table; to a pipe or file, all columns with full precision, separated by tabs.
    """
    from layerline.comparison.listing import listing, ordered
    from layerline.runs.names import RUNS

    column = _column(sort or "when")
    if not dirs and not RUNS.is_dir():
        raise UserError(f"{RUNS}: no such folder here", "layerline train creates it; or specify a folder of runs")
    found = listing([Path(given) for given in dirs] or [RUNS])
    rows = ordered(found.runs, column, backwards=reverse)
    notes = _notes(found, ", ".join(dirs) or str(RUNS))
    if as_json:
        click.echo(json.dumps([row.as_dict() for row in rows], indent=2, ensure_ascii=False))
    elif sys.stdout.isatty():
        lines = table(rows, min(200, shutil.get_terminal_size().columns)) if rows else []
        for line in (*lines, *([""] if lines and notes else ()), *notes):
            click.echo(line)
        return
    else:
        for line in tabs(rows):
            click.echo(line)
    for note in notes:
        click.echo(note, err=True)


def table(runs: Sequence[RunRow], columns: int = COLUMNS) -> list[str]:
    """Return the runs as a table at most `columns` wide; columns omitted for that are listed below it."""
    cells = {key: [_CELLS[key](run) for run in runs] for key in _HEADS}
    keys = [key for key in _HEADS if key not in ("network", "data") or not _names_tell(runs)]
    same = [key for key in ("network", "data") if key in keys and len(set(cells[key])) == 1]
    if same and _width(keys, cells) > columns:
        keys = [key for key in keys if key not in same]
    if _width(keys, cells) > columns:
        cells["when"] = [when[:10] for when in cells["when"]]
    omitted = []
    for key in _DROPPED:
        if _width(keys, cells) > columns and key in keys:
            keys.remove(key)
            omitted.append(key)
    too_wide = _width(keys, cells) - columns
    if too_wide > 0:
        longest = max(_NARROWEST_NAME, max(map(len, cells["name"])) - too_wide)
        cells["name"] = [display.name(name, longest) for name in cells["name"]]
    lines = [*_head(keys, cells), *(_line(keys, cells, k) for k in range(len(runs)))]
    common = [f"{key} {cells[key][0]}" for key in same if key not in keys]
    lines += ["", f"all runs: {', '.join(common)}"] if common else []
    if omitted:
        names = ", ".join(_HEADS[key][1] for key in _HEADS if key in omitted)
        lines += [
            *([] if common else [""]),
            *textwrap.wrap(f"omitted: {names} (use a wider terminal or --json)", max(columns, 30)),
        ]
    return lines


def tabs(runs: Sequence[RunRow]) -> list[str]:
    """Return a line with the column names and one line per run, separated by tabs; missing values are empty."""
    from layerline.comparison.listing import COLUMNS as KEYS

    lines = ["\t".join(KEYS)]
    for run in runs:
        values = run.as_dict()
        lines.append("\t".join("" if values[key] is None else _one_line(str(values[key])) for key in KEYS))
    return lines


def _column(requested: str) -> str:
    key = requested.strip().lower().replace("-", "_")
    key = _ALIASES.get(key, key)
    if key not in _HEADS:
        names = [name.replace("_", "-") for name in _HEADS]
        near = spelling.nearest(requested, [*names, *_ALIASES])
        hint = "one of: " + ", ".join(names) if near is None else f"did you mean {near}?"
        raise UserError(f"--sort {display.name(requested)}: unknown column", hint)
    return key


def _notes(found: Listing, where: str) -> list[str]:
    notes = [] if found.runs else [f"{where}: no runs"]
    notes += [f"damaged: {display.name(run.damage, 400)}" for run in found.runs if run.damage is not None]
    if found.others:
        notes.append("1 folder is not a run" if found.others == 1 else f"{found.others} folders are not runs")
    return notes


_CELLS: Final[dict[str, Callable[[RunRow], str]]] = {
    "name": lambda run: display.name(run.name),
    "network": lambda run: display.name(run.network or display.NOTHING, 24),
    "data": lambda run: display.name(run.data or display.NOTHING, 24),
    "images": lambda run: display.NOTHING if run.images is None else display.count(run.images),
    "epochs": lambda run: _epochs(run),
    "validation_loss": lambda run: display.loss(run.validation_loss),
    "test_accuracy": lambda run: _accuracy(run),
    "test_macro_f1": lambda run: display.fraction(run.test_macro_f1),
    "seconds": lambda run: display.short_seconds(run.seconds),
    "when": lambda run: _when(run),
}


def _epochs(run: RunRow) -> str:
    """Return the epochs of a run and its best one, `10 ★8`; for an unfinished run, `3/10 ★2`."""
    if run.state == "damaged":
        return display.NOTHING
    whole = run.state == "finished" or run.epochs_planned is None
    done = str(run.epochs) if whole else f"{run.epochs}/{run.epochs_planned}"
    return done if run.best_epoch is None else f"{done} ★{run.best_epoch}"


def _accuracy(run: RunRow) -> str:
    if run.test_accuracy is not None:
        return display.fraction(run.test_accuracy)
    return _STATES.get(run.state, run.state)


def _when(run: RunRow) -> str:
    """Return `2026-11-23 15:42`, in the local time zone."""
    from layerline.comparison.listing import written

    return written(run.when)[:16].replace("T", " ")


def _names_tell(runs: Sequence[RunRow]) -> bool:
    """Return whether every name starts with the network and the data, which then need no columns."""
    return all(run.state == "damaged" or f"{run.network}-{run.data}-" in f"{run.name}-" for run in runs)


def _width(keys: Sequence[str], cells: dict[str, list[str]]) -> int:
    return sum(_widths(keys, cells)) + len(_GAP) * (len(keys) - 1)


def _widths(keys: Sequence[str], cells: dict[str, list[str]]) -> list[int]:
    """Return the width of each column; its upper header may extend over an empty one on its left."""
    return [
        max(len(cell) for cell in (*cells[key], _HEADS[key][1], _HEADS[key][0] * (key != "validation_loss")))
        for key in keys
    ]


def _head(keys: Sequence[str], cells: dict[str, list[str]]) -> list[str]:
    """Return the two header lines."""
    upper, lower = "", ""
    for key, width in zip(keys, _widths(keys, cells), strict=True):
        first, second = _HEADS[key]
        end = len(lower) + len(_GAP) * bool(lower) + width
        lower += _GAP * bool(lower) + (f"{second:<{width}}" if key in _LEFT else f"{second:>{width}}")
        upper = upper.rstrip() + " " * (end - len(upper.rstrip()) - len(first)) + first if first else upper
    return [upper.rstrip(), lower.rstrip()]


def _line(keys: Sequence[str], cells: dict[str, list[str]], k: int) -> str:
    parts = [
        f"{cells[key][k]:<{width}}" if key in _LEFT else f"{cells[key][k]:>{width}}"
        for key, width in zip(keys, _widths(keys, cells), strict=True)
    ]
    return _GAP.join(parts).rstrip()


def _one_line(text: str) -> str:
    """Return a value that fits in a line of tab-separated values."""
    return display.name(text, 10_000)
