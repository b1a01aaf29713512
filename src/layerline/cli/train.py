"""`layerline train`."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from layerline.cli.commands import LongCommand, given, options
from layerline.cli.data_progress import IMAGE_OPTIONS, cache_folder
from layerline.cli.drawing_process import drawing_process
from layerline.cli.option import GroupedOption
from layerline.cli.running import code, hush, reported, signals, watchers
from layerline.cli.several import check_alone, resumable, together

if TYPE_CHECKING:
    from collections.abc import Mapping

    from layerline.data.dataset import Dataset
    from layerline.engines.ranks import Ranks
    from layerline.experiment.experiment import Experiment
    from layerline.runs.folder import RunFolder
    from layerline.training import Run


@click.command(
    cls=LongCommand,
    first=("data", "epochs", "learning_rate", "batch_size", "augment", "seed", "out", "resume"),
    examples=(
        "layerline train digits --data digits",
        "layerline train --data photos --epochs 30 --out runs/photos",
        "layerline train runs/photos --epochs 20",
    ),
)
@click.argument("net", required=False)
@options(
    ("data", "data_dir", "classes", "test", "validation", "limit", "normalize", "augment", "allow", "split_seed"),
    "Data",
)
@options(IMAGE_OPTIONS, "Image files")
@options(
    ("epochs", "within", "best", "patience", "batch_size", "from", "unfreeze", "start_from", "seed", "init"), "Training"
)
@click.option(
    *("--seeds", "seeds"),
    cls=GroupedOption,
    group="Training",
    metavar="N",
    help="train N times with consecutive seeds: means and 95% confidence intervals",
)
@click.option(
    *("--folds", "folds"),
    cls=GroupedOption,
    group="Training",
    metavar="N",
    help="train N times, each time testing on another fold: cross-validation for some hundreds of images",
)
@options(("learning_rate", "backbone_rate", "schedule", "warmup", "step_epochs", "step_factor"), "Learning rate")
@options(
    ("optimizer", "momentum", "nesterov", "beta1", "beta2", "eps", "weight_decay", "decay", "clip_norm", "ema"),
    "Optimizer",
)
@options(("label_smoothing", "class_weights"), "Loss")
@options(("engine", "device", "precision", "threads", "exact"), "Machine")
@click.option(
    *("--out", "out"),
    cls=GroupedOption,
    group="Output",
    metavar="DIR",
    help="output folder (must not exist) [runs/NETWORK-DATA-NUMBER]",
)
@click.option(
    *("--resume", "resume"),
    cls=GroupedOption,
    group="Output",
    metavar="RUN",
    help="resume a stopped or killed run; the result is bit-identical",
)
@click.option(
    *("--checkpoint-every", "every"),
    cls=GroupedOption,
    group="Output",
    metavar="TIME",
    help="time between checkpoints within an epoch, or none; the end of each epoch is always saved [5m]",
)
@click.option(*("--force", "force"), cls=GroupedOption, group="Output", is_flag=True, help="replace the run in --out")
@click.option(
    *("--quiet", "quiet"), cls=GroupedOption, group="Output", is_flag=True, help="print only the run's folder"
)
def train(
    net: str | None,
    seeds: str | None,
    folds: str | None,
    out: str | None,
    resume: str | None,
    every: str | None,
    force: bool,
    quiet: bool,
    **values: Any,
) -> int:
    """Train NET on images, and write the results to a folder.

    NET is a network file, a preset (such as lenet5), an experiment.toml (options override its values), or the folder of
    a finished run to train for more epochs. Without NET, a preset that suits the images is used. Anything you don't
    set is chosen automatically and printed. Ctrl-C stops after the current step and keeps the best weights; --resume
    continues from there.
    """
    if force and out is None:
        raise click.UsageError("--force replaces the folder in --out, but --out is missing")
    if resume is not None:
        others = {"--seeds": seeds, "--folds": folds, "--out": out}
        other = next((flag for flag, value in others.items() if value is not None), None)
        if other is not None:
            raise click.UsageError(f"--resume continues in the run's own folder, so it cannot be combined with {other}")
        if values["start_from"] is not None:
            raise click.UsageError(
                "--resume continues with the run's weights, so it cannot be combined with --start-from"
            )
        with drawing_process() as drawing, together() as ranks:
            options = {"every": _seconds(every), "drawing": drawing}
            return code(_resumed(Path(resume), net, given(values), options, ranks, quiet=quiet))
    if seeds is not None or folds is not None:
        _seconds(every)
        return _train_series(net, given(values), seeds, folds, {"out": out, "force": force, "quiet": quiet})
    with drawing_process() as drawing, together() as ranks:
        options = {"every": _seconds(every), "drawing": drawing}
        experiment = _experiment(net, given(values))
        folder = None if out is None or ranks.rank else _named(Path(out), force)
        return code(_train(experiment, folder, options, ranks, quiet=quiet))


def _experiment(net: str | None, flags: Mapping[str, Any]) -> Experiment:
    """Return the experiment of the command line; NET may be a finished run to train further. Raises UserError."""
    from layerline.experiment.experiment import settle
    from layerline.runs.folder import is_run

    if net is None or not is_run(Path(net)):
        return settle(net, flags)
    from layerline.training.warm_start import further

    return further(Path(net), flags)


def _seconds(every: str | None) -> float:
    """Return the seconds between checkpoints. Raises RecipeError if the text is not a time."""
    from layerline.recipe import words
    from layerline.runs.checkpoint.writer import EVERY

    if every is None:
        return EVERY
    seconds = words.seconds("checkpoint-every", every)
    return math.inf if seconds is None else seconds


def _named(out: Path, force: bool) -> RunFolder:
    from layerline.runs.folder import RunFolder

    return RunFolder.named(out, force=force)


def _train_series(
    net: str | None, flags: Mapping[str, Any], seeds: str | None, folds: str | None, options: Mapping[str, Any]
) -> int:
    """Train with several seeds, or on several folds; return the exit code. Raises UserError."""
    from layerline.cli import series_trainings

    if seeds is not None and folds is not None:
        raise click.UsageError("--seeds and --folds each make several trainings: use one of them")
    if folds is not None and "test" in flags:
        raise click.UsageError("--folds makes the test sets, so it cannot be combined with --test")
    check_alone("--folds" if seeds is None else "--seeds")
    hush()
    output = series_trainings.Output(signals(), **options)
    experiment = _experiment(net, flags)
    if folds is not None:
        return series_trainings.train_folds(experiment, folds, output)
    return series_trainings.train_seeds(experiment, seeds or "", output)


def _train(
    experiment: Experiment, folder: RunFolder | None, options: Mapping[str, Any], ranks: Ranks, *, quiet: bool
) -> Run:
    """Run an experiment; only rank 0 prints and writes."""
    from layerline.cli.tried_networks import prepared_of
    from layerline.runs.folder import RunFolder
    from layerline.training import Watcher
    from layerline.training.prepared import prepare_experiment
    from layerline.training.session import run

    began = time.perf_counter()
    screen, interrupt, reading = watchers(quiet=quiet or ranks.rank > 0)
    data = experiment.load(reading, cache_folder())
    if ranks.size > 1:
        prepared = prepare_experiment(experiment, experiment.network(data), data, screen.waiting, ranks=ranks)
    else:
        prepared = prepared_of(experiment, data, lambda other: other.load(reading, cache_folder()), screen, interrupt)
    if ranks.rank > 0:
        return run(prepared, None, Watcher(), interrupt, began=began)
    where = folder or RunFolder.numbered(prepared.network.name, data.name)
    screen.assumed(prepared, f"{where.given}", named=folder is not None)
    screen.replayed(() if prepared.tried is None else prepared.tried.history)
    with resumable(where):
        return reported(screen, where, lambda: run(prepared, where, screen, interrupt, began=began, **options))


def _resumed(
    path: Path, net: str | None, flags: Mapping[str, Any], options: Mapping[str, Any], ranks: Ranks, *, quiet: bool
) -> Run:
    """Resume the run in the folder `path`; only rank 0 prints and writes."""
    from layerline.training import Watcher
    from layerline.training.resuming import followed, reopen
    from layerline.training.session import run

    screen, interrupt, reading = watchers(quiet=quiet or ranks.rank > 0)

    def load(experiment: Experiment) -> Dataset:
        return experiment.load(reading, cache_folder())

    if ranks.rank > 0:
        return run(followed(path, flags, net, load, ranks), None, Watcher(), interrupt)
    found = reopen(path, flags, net, load, ranks)
    screen.assumed(found.prepared, str(path), named=True)
    screen.resumed(found)
    with resumable(found.folder):
        return reported(screen, found.folder, lambda: found.go_on(screen, interrupt, **options))
