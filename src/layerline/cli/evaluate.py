"""`layerline evaluate`."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from layerline.cli.commands import Command, given, options
from layerline.cli.data_progress import LABEL_OPTIONS
from layerline.cli.model_data import OF_THE_MODEL, data_of
from layerline.cli.option import GroupedOption
from layerline.errors import RecipeError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layerline.cli.terminal import Terminal
    from layerline.data.dataset import Dataset, Split
    from layerline.runs.result import Result
    from layerline.training import Model

_SETS: Final = {"test": "test set", "validation": "validation set", "train": "training set", "all": "all images"}


@click.command(cls=Command)
@click.argument("model")
@options(("data", "data_dir"), "Data")
@click.option(
    *("--split", "split"),
    cls=GroupedOption,
    group="Data",
    metavar="SET",
    help="test, validation, train, or all (every image) [test]",
)
@options(("classes", "test", "validation"), "Data")
@click.option(
    *("--seed", "seed"),
    cls=GroupedOption,
    group="Data",
    metavar="N",
    help="random seed for splits and intervals [the run's, or 0]",
)
@options(("allow",), "Data")
@options((*LABEL_OPTIONS, "group_by", "exclude", "skip_bad", "cache"), "Image files")
@options(OF_THE_MODEL, "Image files", hidden=True)
@options(("threads",), "Machine")
@click.option(*("--json", "as_json"), cls=GroupedOption, group="Output", is_flag=True, help="print all numbers as JSON")
def evaluate(model: str, split: str | None, seed: str | None, as_json: bool, **values: Any) -> None:
    """Evaluate MODEL on labeled images, and print the same results as at the end of a training run.

    MODEL is a model.safetensors or a run's folder. Without --data, it is evaluated on the run's own data. Images are
    rotated upright, resized and scaled as in training; classes are matched by name. If the data has no test set of its
    own, the images held out in training are used; --split all uses every image.
    """
    from layerline.cli.running import hush
    from layerline.cli.terminal import Terminal
    from layerline.experiment.options import BY_KEY
    from layerline.training import evaluation, run_of_model
    from layerline.training.stored import stored

    hush()
    flags = {key: BY_KEY[key].value(value) for key, value in given({**values, "seed": seed}).items()}
    which = evaluation.which_of(split or "test")
    threads = _threads(flags.pop("threads", None))
    _check_left_to_the_model(flags)
    found = stored(Path(model), threads=threads)
    loaded = found.model
    run = run_of_model.find(Path(model))
    terminal = Terminal(None if as_json else sys.stdout, os.environ)
    data = data_of(loaded, run, flags, which, terminal)
    evaluated = evaluation.parts(data, which)
    drawn = int(flags.get("seed", 0 if run is None else run.seed))
    result = loaded.evaluate(data, which, seed=drawn, progress=lambda done, of: _show(terminal, done, of))
    remark = run_of_model.remark(run, data, evaluated)
    if remark is not None:
        result = dataclasses.replace(result, remarks=(remark, *result.remarks))
    if as_json:
        if found.note is not None:
            click.echo(f"note: {found.note}", err=True)
        click.echo(_json(data, which, result))
        return
    terminal.clear()
    held = run_of_model.seen(run, data, evaluated) == 0
    for label, text in _facts(model, loaded, data, evaluated, held=held):
        terminal.fact(label, text)
        if label == "model" and found.note is not None:
            terminal.fact("", found.note)
    for line in _report(which, result):
        terminal.say(line)


def _check_left_to_the_model(flags: Mapping[str, Any]) -> None:
    """Raise RecipeError for an option that the model determines."""
    for key in OF_THE_MODEL:
        if key in flags:
            flag = f"--{key}"
            raise RecipeError(f"{flag}: the model determines this; images are prepared as in training", f"omit {flag}")


def _threads(count: Any) -> int | None:
    """Return the number of threads. Raises RecipeError if it is invalid."""
    from layerline import engines

    engines.check("compiled", count)
    return None if count is None else int(count)


def _show(terminal: Terminal, done: int, of: int) -> None:
    """Show how many images are done; the baselines come after the last one and take as long."""
    from layerline.numbers import display
    from layerline.training.watch import Stage

    images = f"testing  {display.count(done)}/{display.count(of)} images"
    terminal.draw(images if done < of else f"{Stage.COMPARING.sentence} …")


def _facts(
    model: str, loaded: Model, data: Dataset, evaluated: Sequence[tuple[str, Split]], *, held: bool
) -> list[tuple[str, str]]:
    """Return labels and texts on the model and its test images; held: whether all were held out of training."""
    from layerline.layers.grammar import times
    from layerline.numbers import display

    names = ", ".join(display.name(name, 20) for name in loaded.classes[:6]) + ", …" * (len(loaded.classes) > 6)
    shape = times(loaded.network.input_shape)
    network = f"{display.name(loaded.network.name)}, {shape} images, {len(loaded.classes)} classes ({names})"
    count = sum(len(split) for split in (data.train, data.validation, data.test) if split is not None)
    facts = [("model", f"{display.name(model, 200)}: {network}")]
    facts += [("data", f"{display.name(data.name)}: {display.count(count)} images{_brought(loaded, data)}")]
    facts += [("split", _split(data, evaluated, count, held=held))]
    return facts + [("", note) for note in data.notes if "--normalize" not in note]


def _brought(loaded: Model, data: Dataset) -> str:
    """Return how the images are resized or rescaled for the network, if they are."""
    from layerline.data.dataset import FITTED
    from layerline.numbers import display
    from layerline.training.evaluation import largest

    resized, has, needs = data.resized, data.train.source, loaded.preprocessing.maximum
    parts = []
    if resized is not None:
        sizes = f"{display.count(resized.sizes)} sizes" if resized.sizes > 1 else display.picture(*resized.smallest)
        parts.append(f"{sizes} resized to {display.picture(*resized.size)} ({FITTED[resized.fit]})")
    if largest(has, needs) != needs:
        parts.append(f"values up to {has.maximum:g} rescaled to {needs:g}")
    return "".join(f", {part}" for part in parts) + (" as in training" if parts else "")


def _split(data: Dataset, evaluated: Sequence[tuple[str, Split]], count: int, *, held: bool) -> str:
    """Return which images are evaluated."""
    from layerline.numbers import display

    some = sum(len(split) for _, split in evaluated)
    if len(evaluated) > 1 or some == count:
        return f"all {display.count(some)} images"
    ((name, _),) = evaluated
    how = "" if name == "train" else f" (--{name} {data.cuts[name]})" if name in data.cuts else " (the data's own)"
    held_back = ", held out from training" if held and name in data.cuts else ""
    return f"{name}, {display.count(some)} of {display.count(count)} images{how}{held_back}"


def _report(which: str, result: Result) -> list[str]:
    """Return the lines of the test results."""
    from layerline.cli import test_results
    from layerline.numbers import display

    assert result.confusion is not None  # noqa: S101 - it was tested
    images = display.counted(int(result.confusion.sum()), "image")
    head = f"{_SETS[which]}: {images}, loss {display.loss(result.test_loss)}"
    return ["", *test_results.lines(result, head, more="--json")]


def _json(data: Dataset, which: str, result: Result) -> str:
    """Return the evaluated data, followed by the content of a run's result.json."""
    from layerline.runs.texts import as_text

    assert result.confusion is not None  # noqa: S101 - it was tested
    evaluated = {
        "data": data.name,
        "fingerprint": data.fingerprint,
        "split": which,
        "images": int(result.confusion.sum()),
    }
    return as_text({**evaluated, **result.as_dict()})
