"""`layerline predict`."""

from __future__ import annotations

import csv
import io
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from layerline.cli.commands import Command
from layerline.cli.option import GroupedOption, fraction
from layerline.errors import RecipeError, UserError
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layerline.training.prediction import Prediction

FORMATS: Final = ("table", "csv", "jsonl")
UNSURE: Final = "unsure"


@click.command(cls=Command)
@click.argument("model")
@click.argument("images", nargs=-1, required=True)
@click.option(
    *("--format", "format_"),
    cls=GroupedOption,
    group="Output",
    metavar="HOW",
    help="output format: table, csv or jsonl [table]",
)
@click.option(
    *("--top", "top"), cls=GroupedOption, group="Output", metavar="K", help="print the K most probable classes [1]"
)
@click.option(
    *("--unsure", "unsure"),
    cls=GroupedOption,
    group="Output",
    metavar="THRESHOLD",
    help="print `unsure` if the highest probability is below this [0]",
)
def predict(model: str, images: Sequence[str], format_: str | None, top: str | None, unsure: str | None) -> None:
    """Classify IMAGES: files, folders (with all images below them), or - for one image from standard input.

    MODEL is a model.safetensors or a run's folder. Images are rotated upright, resized and scaled as in training.
    Unreadable images are listed at the end, and the exit code is then 2.
    """
    from layerline.data.checking.brightness import Look
    from layerline.data.photos.decoding import File
    from layerline.training.prediction import files_of, predictions
    from layerline.training.stored import stored

    way = format_ or FORMATS[0]
    if way not in FORMATS:
        raise RecipeError(f"--format {way}: unknown", f"one of: {', '.join(FORMATS)}")
    found_model = stored(Path(model))
    loaded = found_model.model
    if found_model.note is not None:
        click.echo(f"note: {found_model.note}", err=True)
    count = _whole(top, len(loaded.classes))
    write = _Lines(way, loaded.classes, count, 0.0 if unsure is None else fraction("--unsure", unsure))
    given = [Path(image) for image in images if image != "-"]
    piped = [File((), "-", sys.stdin.buffer.read())] if "-" in images else []
    files, runs = files_of(given)
    if runs:
        some = f"({display.count(len(runs))}), such as {display.name(str(runs[0]), 100)}"
        click.echo(f"note: skipped folders of runs {some}", err=True)
    bad: list[Prediction] = []
    written = 0
    look = Look(loaded.preprocessing.seen)
    for found in predictions(loaded, [*piped, *files], look):
        if found.probabilities is None:
            bad.append(found)
        else:
            write(found.name, found.probabilities)
            written += 1
    remark = look.remark()
    if remark is not None:
        click.echo(f"! {remark}", err=True)  # not among the lines, which a program may read
    if bad:
        raise UserError(
            f"{display.counted(len(bad), 'image')} cannot be read:\n"
            + "\n".join(f"    {display.name(each.name, 200)}: found {each.reason}" for each in bad),
            _advice(model, [each.name for each in bad], written),
        )


def _advice(model: str, bad: Sequence[str], written: int) -> str:
    """Return the help for files that are not images: which were predicted, and the command for a data set."""
    from layerline.experiment.experiment import DATA_FILES

    others = f"the other {'one was' if written == 1 else f'{display.count(written)} were'} predicted"
    found = [others if written else "predict takes image files, and folders of images"]
    sets = [name for name in bad if name.lower().endswith(DATA_FILES)]
    if sets:
        run, data = shlex.quote(model), shlex.quote(display.name(sets[0], 200))
        found.append(f"to evaluate it on labeled data: layerline evaluate {run} --data {data} --split all")
        found.append(f"to predict arrays, in Python: layerline.load({display.name(model, 200)!r}).predict(x)")
    return "; ".join(found)


def _whole(top: str | None, classes: int) -> int:
    if top is None:
        return 1
    if not (top.isascii() and top.isdecimal() and 1 <= int(top[:9]) <= classes):
        raise RecipeError(
            f"--top {display.name(top)}: must be a whole number from 1 to {classes}, the number of classes"
        )
    return int(top)


class _Lines:
    """Writes one line per image, in one of the formats."""

    def __init__(self, way: str, classes: Sequence[str], top: int, unsure: float) -> None:
        self._classes, self._top, self._unsure = classes, top, unsure
        self._width = max(len(display.name(name, 40)) for name in (*classes, UNSURE))
        ways: dict[str, Callable[..., None]] = {"table": self._row, "csv": self._csv, "jsonl": self._json}
        self._write = ways[way]
        if way == "csv":
            numbered = [f"{key}_{k}" for k in range(2, top + 1) for key in ("class", "probability")]
            self._csv_row(["file", "class", "probability", UNSURE, *numbered])

    def __call__(self, name: str, probabilities: Any) -> None:
        """Write the prediction for a file."""
        best = (-probabilities).argsort(kind="stable")[: self._top]
        likely = [(self._classes[k], float(probabilities[k])) for k in best.tolist()]
        self._write(name, likely, likely[0][1] < self._unsure)

    def _row(self, name: str, likely: list[tuple[str, float]], unsure: bool) -> None:
        cells = [f"{display.fraction(share)}  {display.name(label, 40):<{self._width}}" for label, share in likely]
        if unsure:
            cells.insert(0, f"{UNSURE:<{self._width}}")
        click.echo("  ".join([*cells, display.name(name, 500)]))

    def _csv(self, name: str, likely: list[tuple[str, float]], unsure: bool) -> None:
        rest = [value for pair in likely[1:] for value in pair]
        self._csv_row([name, *likely[0], "yes" if unsure else "no", *rest])

    def _json(self, name: str, likely: list[tuple[str, float]], unsure: bool) -> None:
        top = [{"class": label, "probability": share} for label, share in likely]
        click.echo(json.dumps({"file": name, **top[0], UNSURE: unsure, "top": top}))

    def _csv_row(self, values: list[Any]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="").writerow(values)
        click.echo(text.getvalue(), color=not sys.stdout.isatty())  # unless on a terminal, names stay as they are
