"""`layerline report`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from layerline.cli.commands import Command, GroupedOption, given, options
from layerline.cli.data_progress import Reading, cache_folder
from layerline.cli.out_file import free
from layerline.cli.terminal import Terminal
from layerline.errors import UserError

if TYPE_CHECKING:
    from layerline.data import Dataset

_YES, _NO = "yes", "no"
_LEFT_OUT: Final = "they were left out (--with-images no)"
_NOT_FOUND: Final = "the data was not found, or could not be read, when the report was written"
"""What the page says; the screen says which file, and why."""


@click.command(cls=Command)
@click.argument("run")
@click.option(
    *("--with-images", "with_images"),
    cls=GroupedOption,
    group="Report",
    metavar="HOW",
    help="yes: the images must be found; no: leave them out [where they are found]",
)
@click.option(*("--out", "out"), cls=GroupedOption, group="Report", metavar="FILE", help="the report [RUN/report.html]")
@click.option(*("--force", "force"), cls=GroupedOption, group="Report", is_flag=True, help="replace the file")
@options(("data", "data_dir"), "Data, where it is not where it was")
def report(run: str, with_images: str | None, out: str | None, force: bool, **values: Any) -> None:
    """Write the report of RUN, the folder of a training, as one HTML file of at most 3 MB.

    The file holds everything itself, images too, and opens in any browser, without network.
    """
    from layerline.numbers import display
    from layerline.report import page, thumbnails
    from layerline.runs import saved
    from layerline.runs.names import REPORT

    folder = Path(run)
    if with_images not in (None, _YES, _NO):
        raise UserError(f"--with-images {display.name(with_images)}: must be yes or no")
    files = saved.read(folder)
    path = folder / REPORT if out is None else free(Path(out), "a report", REPORT, force=force)
    data, why = None, _LEFT_OUT
    if with_images != _NO:
        data, why = _found(folder, files.record.about.data.fingerprint, values)
    if data is None and with_images == _YES:
        raise UserError(f"--with-images yes: {why}", "say where the data is with --data or --data-dir")
    if out is None and not force:
        _check_ours(path, lost=data is None and with_images is None, why=why)
    said = _LEFT_OUT if with_images == _NO else _NOT_FOUND
    page.write(folder, pixels=None if data is None else thumbnails.of(data), out=path, why=said)
    size = display.size(path.stat().st_size)
    click.echo(f"{path}: {size}" + (f", without images: {why}" if data is None else ""))


def _found(folder: Path, fingerprint: str | None, values: dict[str, Any]) -> tuple[Dataset | None, str]:
    """Return the data of the run, read again, or None and why it cannot be had."""
    from layerline.experiment.experiment import settle
    from layerline.runs.names import EXPERIMENT

    terminal = Terminal(sys.stdout, os.environ)
    try:
        data = settle(str(folder / EXPERIMENT), given(values)).load(Reading(terminal), cache_folder())
    except UserError as error:
        return None, error.message.splitlines()[0]
    finally:
        terminal.clear()
    if fingerprint is not None and data.fingerprint != fingerprint:
        return None, f"the data there is another than that of the run (its fingerprint is {data.fingerprint[:12]}…)"
    return data, ""


def _check_ours(path: Path, *, lost: bool, why: str) -> None:
    """Raise UserError where the page that is there is not ours, or has images that the new one would not have."""
    from layerline.files import regular
    from layerline.report import page

    if not path.exists():
        return
    try:
        content = regular.content(path, page.LARGEST) or b""
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    if page.MARK.encode() not in content[:200]:
        raise UserError(f"{path}: exists, and is no report of layerline", "replace it with --force, or use --out FILE")
    if lost and page.HAS_IMAGES.encode() in content:
        raise UserError(
            f"{path}: has images, and a new one would have none: {why}",
            "say where the data is with --data; or leave them out with --with-images no",
        )
