"""`layerline rerun`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from layerline.cli.commands import Command, GroupedOption, given, options
from layerline.cli.data_progress import cache_folder
from layerline.cli.running import beginning, code, shown
from layerline.numbers import display

if TYPE_CHECKING:
    from layerline.cli.screen import Screen
    from layerline.runs.folder import RunFolder
    from layerline.runs.saved import SavedRun
    from layerline.training import Run
    from layerline.training.prepared import Prepared

UNLIKE: Final = 1
"""The exit code where other bits came out."""


@click.command(cls=Command)
@click.argument("run")
@click.option(
    *("--check", "check"),
    cls=GroupedOption,
    group="Run",
    is_flag=True,
    help="write nothing, and say whether the same bits come out",
)
@options(("threads",), "Run")
@options(("data", "data_dir"), "Data, where it is not where it was")
@click.option(
    *("--out", "out"),
    cls=GroupedOption,
    group="Output",
    metavar="DIR",
    help="folder to write to, which must not exist [runs/NETWORK-DATA-NUMBER]",
)
@click.option(*("--quiet", "quiet"), cls=GroupedOption, group="Output", is_flag=True, help="print nothing else")
def rerun(run: str, check: bool, out: str | None, quiet: bool, **values: Any) -> int:
    """Train RUN, the folder of a training, again from its own files.

    With --check nothing is written, and the weights, the history and the test are compared with those of RUN: exit 0
    where every bit is the same, 1 where not. The number of threads makes no difference.
    """
    from layerline.training.rerunning import finished
    from layerline.training.resuming import rebuilt
    from layerline.training.session import run as trained

    if check and out is not None:
        raise click.UsageError("--check: writes nothing, and does not go with --out")
    path = Path(run)
    before = finished(path) if check else None
    screen, interrupt, reading = beginning(quiet=quiet)
    prepared = rebuilt(path, given(values), load=lambda experiment: experiment.load(reading, cache_folder()))
    folder = None if check else _folder(out, prepared)
    where = f"{run} again, compared with it" if folder is None else str(folder.given)
    screen.assumed(prepared, where, named=check or out is not None)
    ended = shown(screen, folder, lambda: trained(prepared, folder, screen, interrupt))
    if before is None or ended.stopped is not None:
        return code(ended)
    return _compared(path, before, ended, screen)


def _folder(out: str | None, prepared: Prepared) -> RunFolder:
    from layerline.runs.folder import RunFolder

    return RunFolder.numbered(prepared.network.name, prepared.data.name) if out is None else RunFolder.named(Path(out))


def _compared(path: Path, before: SavedRun, ended: Run, screen: Screen) -> int:
    """Say whether the same came out, and return the exit code."""
    from layerline.training.rerunning import differences

    unlike = differences(before, ended)
    if not unlike:
        screen.verdict(
            [f"the same bits as {path}: weights, {display.counted(len(ended.history), 'epoch')} of history, test"]
        )
        return 0
    screen.verdict([f"not the same bits as {path}:", *(f"    {sentence}" for sentence in unlike)])
    return UNLIKE
