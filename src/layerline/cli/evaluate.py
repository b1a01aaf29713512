"""`layerline evaluate`."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from layerline.cli.commands import Command, GroupedOption, given, options
from layerline.cli.data_progress import Reading, cache_folder
from layerline.errors import DataError, RecipeError, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layerline.cli.terminal import Terminal
    from layerline.data.dataset import Dataset, Split
    from layerline.runs.result import Result
    from layerline.training import Model
    from layerline.training.run_of_model import RunOfModel

OF_THE_MODEL: Final = ("size", "fit", "gray", "normalize")
"""Options of a training's data that the model says here."""
_OF: Final = {"validation": " of the validation set", "train": " of the training set"}


@click.command(cls=Command)
@click.argument("model")
@options(("data", "data_dir"), "Data")
@click.option(
    *("--split", "split"),
    cls=GroupedOption,
    group="Data",
    metavar="SET",
    help="test, validation, train, or all: every image of the data [test]",
)
@options(("classes", "test", "validation"), "Data")
@click.option(
    *("--seed", "seed"),
    cls=GroupedOption,
    group="Data",
    metavar="N",
    help="of the cuts and the intervals [the run's, or 0]",
)
@options(("allow",), "Data")
@options(("labels", "group_by", "exclude", "skip_bad", "cache"), "Image files")
@options(OF_THE_MODEL, "Image files", hidden=True)
@options(("threads",), "Machine")
@click.option(*("--json", "as_json"), cls=GroupedOption, group="Output", is_flag=True, help="print JSON, every figure")
def evaluate(model: str, split: str | None, seed: str | None, as_json: bool, **values: Any) -> None:
    """Test MODEL on images whose classes are known, and print what a training prints at its end.

    MODEL is a model.safetensors or the folder of a run. Without --data, it is tested on the run's own. Images are
    turned upright, sized and scaled as in the training, and classes go by their names. Where the data brings no test
    set, the images are those that the training held back; --split all takes every image.
    """
    from layerline.cli.running import hush
    from layerline.cli.terminal import Terminal
    from layerline.experiment.options import BY_KEY
    from layerline.training import evaluation, load, run_of_model

    hush()
    flags = {key: BY_KEY[key].value(value) for key, value in given({**values, "seed": seed}).items()}
    which = evaluation.which_of(split or "test")
    threads = _threads(flags.pop("threads", None))
    _check_left_to_the_model(flags)
    loaded = load(model, threads=threads)
    run = run_of_model.find(Path(model))
    terminal = Terminal(None if as_json else sys.stdout, os.environ)
    data = _data(loaded, run, flags, which, terminal)
    looked_at = evaluation.parts(data, which)
    drawn = int(flags.get("seed", 0 if run is None else run.seed))
    result = loaded.evaluate(data, which, seed=drawn, progress=lambda done, of: _show(terminal, done, of))
    said = run_of_model.remark(run, data, looked_at)
    if said is not None:
        result = dataclasses.replace(result, remarks=(said, *result.remarks))
    if as_json:
        click.echo(_json(data, which, result))
        return
    terminal.clear()
    held = run_of_model.seen(run, data, looked_at) == 0
    for label, text in _facts(model, loaded, data, looked_at, held=held):
        terminal.fact(label, text)
    for line in _report(which, result):
        terminal.say(line)


def _check_left_to_the_model(flags: Mapping[str, Any]) -> None:
    """Raise RecipeError where something is asked for that the model says."""
    for key in OF_THE_MODEL:
        if key in flags:
            flag = f"--{key}"
            raise RecipeError(
                f"{flag}: images become what they were in the training, as the model says", f"leave {flag} out"
            )


def _threads(count: Any) -> int | None:
    """Return how many threads predict. Raises RecipeError where it is no number of threads."""
    from layerline import engines

    engines.check("compiled", count)
    return None if count is None else int(count)


def _data(loaded: Model, run: RunOfModel | None, flags: dict[str, Any], which: str, terminal: Terminal) -> Dataset:
    """Return the data, read as the model takes it and cut as its training cut it. Raises DataError."""
    from layerline.data import sources
    from layerline.experiment.options import DATA_KEYS

    asked = _cuts(run, flags, which)
    seed = flags.get("seed", asked.get("split_seed", asked.get("seed", 0)))
    left = (*OF_THE_MODEL, "data", "allow", "split_seed")
    cuts = {key: value for key, value in asked.items() if key in DATA_KEYS and key not in left}
    try:
        return loaded.load_data(
            asked["data"],
            allow=asked.get("allow", ()),
            seed=seed,
            progress=Reading(terminal),
            **{"cache": cache_folder(), **cuts},
        )
    except DataError as error:
        there = "data" in flags or asked["data"] in sources.NAMES or Path(str(asked["data"])).exists()
        if not there:
            help_line = "if the data lies elsewhere now, add --data PATH or --data-dir DIR"
        elif error.message.startswith(f"--{which} ") and which not in flags:
            help_line = "--split all looks at every image, and cuts none off"
        else:
            raise
        raise DataError(error.message, help_line) from error


def _cuts(run: RunOfModel | None, flags: dict[str, Any], which: str) -> dict[str, Any]:
    """Return which data is read, and how it is cut: as is asked for, else as the run's was, else as by default.

    Of data that is not the run's no validation set is cut off for a test, which few images may not allow. For all
    images none is cut off.
    """
    from layerline.data.splitting import Own

    asked: dict[str, Any] = {} if run is None else run.reading(flags.get("data"))
    if which == "all":
        asked = {key: value for key, value in asked.items() if key != "limit"} | {"test": Own(), "validation": Own()}
    elif which == "test":
        asked.setdefault("validation", Own())
    asked |= flags
    if "data" not in asked:
        raise UserError("--data: missing", "name images whose classes are known; the folder of a run knows its own")
    return asked


def _show(terminal: Terminal, done: int, of: int) -> None:
    """Show how many images are done; behind the last come the baselines, which take as long."""
    from layerline.numbers import display
    from layerline.training.watch import Stage

    images = f"testing  {display.count(done)}/{display.count(of)} images"
    terminal.draw(images if done < of else f"{Stage.COMPARING.sentence} …")


def _facts(
    model: str, loaded: Model, data: Dataset, looked_at: Sequence[tuple[str, Split]], *, held: bool
) -> list[tuple[str, str]]:
    """Return label and text of what is tested, and on what; held: whether all was held back from the training."""
    from layerline.numbers import display

    names = ", ".join(display.name(name, 20) for name in loaded.classes[:6]) + ", …" * (len(loaded.classes) > 6)
    shape = "×".join(map(str, loaded.network.input_shape))
    network = f"{display.name(loaded.network.name)}, images {shape}, {len(loaded.classes)} classes ({names})"
    count = sum(len(split) for split in (data.train, data.validation, data.test) if split is not None)
    facts = [("model", f"{display.name(model, 200)}: {network}")]
    facts += [("data", f"{display.name(data.name)}: {display.count(count)} images{_brought(loaded, data)}")]
    facts += [("split", _split(data, looked_at, count, held=held))]
    return facts + [("", note) for note in data.notes if "--normalize" not in note]


def _brought(loaded: Model, data: Dataset) -> str:
    """Return what becomes of the images before the network sees them, where that is not what they are."""
    from layerline.data.dataset import FITTED
    from layerline.numbers import display
    from layerline.training.evaluation import largest

    resized, has, needs = data.resized, data.train.source, loaded.preprocessing.maximum
    parts = []
    if resized is not None:
        sizes = f"{display.count(resized.sizes)} sizes" if resized.sizes > 1 else display.picture(*resized.smallest)
        parts.append(f"{sizes} brought to {display.picture(*resized.size)}, {FITTED[resized.fit]}")
    if largest(has, needs) != needs:
        parts.append(f"values up to {has.maximum:g} brought to {needs:g}")
    return "".join(f", {part}" for part in parts) + (" as in the training" if parts else "")


def _split(data: Dataset, looked_at: Sequence[tuple[str, Split]], count: int, *, held: bool) -> str:
    """Return which images are looked at."""
    from layerline.numbers import display

    some = sum(len(split) for _, split in looked_at)
    if len(looked_at) > 1 or some == count:
        return f"all {display.count(some)} images"
    ((name, _),) = looked_at
    how = "" if name == "train" else f" (--{name} {data.cuts[name]})" if name in data.cuts else " (the data's own)"
    held_back = ", held back from the training" if held and name in data.cuts else ""
    return f"{name}, {display.count(some)} of {display.count(count)} images{how}{held_back}"


def _report(which: str, result: Result) -> list[str]:
    """Return the lines of the test."""
    from layerline.cli import test_results
    from layerline.numbers import display

    assert result.confusion is not None  # noqa: S101 - it was tested
    count = display.count(int(result.confusion.sum()))
    images = f"all {count} images" if which == "all" else f"{count} images"
    head = f"test of {images}{_OF.get(which, '')}: loss {display.loss(result.test_loss)}"
    return ["", *test_results.lines(result, head, more="--json")]


def _json(data: Dataset, which: str, result: Result) -> str:
    """Return what result.json of a run has, behind what was looked at."""
    from layerline.runs.texts import as_text

    assert result.confusion is not None  # noqa: S101 - it was tested
    looked_at = {
        "data": data.name,
        "fingerprint": data.fingerprint,
        "split": which,
        "images": int(result.confusion.sum()),
    }
    return as_text({**looked_at, **result.as_dict()})
