"""`layerline rerun`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from layerline.cli.commands import Command, given, options
from layerline.cli.data_progress import cache_folder
from layerline.cli.option import GroupedOption
from layerline.cli.running import code, reported, watchers
from layerline.numbers import display

if TYPE_CHECKING:
    from layerline.cli.screen import Screen
    from layerline.runs.folder import RunFolder
    from layerline.runs.saved import SavedRun
    from layerline.training import Run
    from layerline.training.prepared import Prepared

DIFFERENT: Final = 1
"""The exit code if the results are not bit-identical."""


@click.command(cls=Command)
@click.argument("run")
@click.option(
    *("--check", "check"),
    cls=GroupedOption,
    group="Run",
    is_flag=True,
    help="write nothing, and verify that the results are bit-identical",
)
@options(("threads",), "Run")
@options(("data", "data_dir", "start_from"), "If they have moved")
@click.option(
    *("--out", "out"),
    cls=GroupedOption,
    group="Output",
    metavar="DIR",
    help="output folder (must not exist) [runs/NETWORK-DATA-NUMBER]",
)
@click.option(*("--quiet", "quiet"), cls=GroupedOption, group="Output", is_flag=True, help="print only the result")
def rerun(run: str, check: bool, out: str | None, quiet: bool, **values: Any) -> int:
    """Repeat the training of RUN, a run's folder, from the files in it.

    With --check, nothing is written: weights, history and test results are compared with those of RUN. It exits with 0
    if they are bit-identical, with 1 if not. The number of threads makes no difference.
    """
    from layerline.training.rerunning import finished, stopping_with
    from layerline.training.resuming import rebuilt
    from layerline.training.session import run as trained

    if check and out is not None:
        raise click.UsageError("--check: writes nothing, so it cannot be combined with --out")
    path = Path(run)
    before = finished(path) if check else None
    screen, interrupt, reading = watchers(quiet=quiet)
    prepared = rebuilt(path, given(values), load=lambda experiment: experiment.load(reading, cache_folder()))
    folder = None if check else _folder(out, prepared)
    where = f"none; the results are compared with {run}" if folder is None else str(folder.given)
    screen.assumed(prepared, where, named=check or out is not None)
    watcher = screen if before is None else stopping_with(before, prepared.recipe, screen)
    ended = reported(screen, folder, lambda: trained(prepared, folder, watcher, interrupt))
    if before is None or ended.stopped is not None:
        return code(ended)
    return _compared(path, before, ended, screen)


def _folder(out: str | None, prepared: Prepared) -> RunFolder:
    from layerline.runs.folder import RunFolder

    return RunFolder.numbered(prepared.network.name, prepared.data.name) if out is None else RunFolder.named(Path(out))


def _compared(path: Path, before: SavedRun, ended: Run, screen: Screen) -> int:
    """Report whether the results are the same, and return the exit code."""
    from layerline.training.rerunning import differences

    found = differences(before, ended)
    if not found:
        screen.verdict(
            [f"bit-identical to {path}: weights, history ({display.counted(len(ended.history), 'epoch')}), test"]
        )
        return 0
    screen.verdict([f"not bit-identical to {path}:", *(f"    {sentence}" for sentence in found)])
    return DIFFERENT
