"""`layerline train`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from layerline.cli.commands import Command, GroupedOption, given, options
from layerline.errors import DivergedError

if TYPE_CHECKING:
    from layerline.experiment.experiment import Experiment
    from layerline.run_folder import RunFolder
    from layerline.training import Run


@click.command(cls=Command)
@click.argument("net")
@options(("data", "data_dir", "classes", "test", "validation", "limit", "normalize", "augment"), "Data")
@options(("epochs", "within", "patience", "batch_size", "seed", "init"), "Run")
@options(("learning_rate", "schedule", "warmup", "step_epochs", "step_factor"), "Learning rate")
@options(
    ("optimizer", "momentum", "nesterov", "beta1", "beta2", "eps", "weight_decay", "decay", "clip_norm", "ema"),
    "Optimizer",
)
@options(("label_smoothing", "class_weights"), "Loss")
@options(("engine", "threads"), "Machine")
@click.option(
    *("--out", "out"),
    cls=GroupedOption,
    group="Output",
    metavar="DIR",
    help="folder to write to, which must not exist [runs/NETWORK-DATA-NUMBER]",
)
@click.option(*("--force", "force"), cls=GroupedOption, group="Output", is_flag=True, help="replace the run in --out")
@click.option(
    *("--quiet", "quiet"), cls=GroupedOption, group="Output", is_flag=True, help="print nothing but the run's folder"
)
def train(net: str, out: str | None, force: bool, quiet: bool, **values: Any) -> int:
    """Train NET on images, and write what came out of it to a folder.

    NET is a network file, the name of a preset (such as lenet5), or an experiment.toml, whose values the options
    override. What is not given is assumed, and said. Ctrl-C ends after the running step and keeps the best weights.
    """
    from layerline.experiment.experiment import settle

    if force and out is None:
        raise click.UsageError("--force: replaces the folder that --out names, and there is no --out")
    experiment = settle(net, given(values))
    folder = None if out is None else _named(Path(out), force)
    run = _train(experiment, folder, quiet=quiet)
    return 0 if run.stopped is None else 128 + run.stopped


def _named(out: Path, force: bool) -> RunFolder:
    from layerline.run_folder import RunFolder

    return RunFolder.named(out, force=force)


def _train(experiment: Experiment, folder: RunFolder | None, *, quiet: bool) -> Run:
    import logging

    from layerline import engines, training
    from layerline.cli.screen import Screen
    from layerline.cli.terminal import Terminal
    from layerline.run_folder import RunFolder
    from layerline.training.session import checked, run

    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # where it keeps its cache is nothing a user asked for
    signals = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    interrupt = training.Interrupt(signals)
    screen = Screen(Terminal(sys.stdout, os.environ), interrupt, quiet=quiet)
    screen.waiting("reading the data")
    data = experiment.load()
    network = checked(experiment.network(data), data, experiment.recipe)
    engine = engines.make(experiment.engine, network, data.scaling, experiment.recipe, experiment.threads)
    where = folder or RunFolder.numbered(network.name, data.name)
    screen.assumed(experiment, data, network, engine, f"{where.path}", named=folder is not None)
    try:
        ended = run(
            network,
            data,
            experiment.recipe,
            engine,
            folder=where,
            watcher=screen,
            experiment=experiment,
            interrupt=interrupt,
            threads=experiment.threads,
        )
    except DivergedError as error:
        if isinstance(error.run, training.Run):
            screen.diverged(error.run)
        raise
    screen.ended(ended)
    return ended
