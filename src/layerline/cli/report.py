"""`layerline report`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from layerline.cli.commands import Command, given, options
from layerline.cli.data_progress import Reading, cache_folder
from layerline.cli.option import GroupedOption
from layerline.cli.out_file import free
from layerline.cli.terminal import Terminal
from layerline.errors import UserError

if TYPE_CHECKING:
    from layerline.data import Dataset

_YES, _NO = "yes", "no"
_OMITTED: Final = "they were omitted (--with-images no)"
_OMITTED_MODEL: Final = "it was omitted (--with-model no)"
_NOT_FOUND: Final = "the data was not found, or could not be read, when the report was written"
"""The reason on the page; the screen reports which file, and why."""


@click.command(cls=Command)
@click.argument("run")
@click.option(
    *("--with-images", "with_images"),
    cls=GroupedOption,
    group="Report",
    metavar="HOW",
    help="yes: fail if the images are not found; no: omit them [if they are found]",
)
@click.option(
    *("--with-model", "with_model"),
    cls=GroupedOption,
    group="Report",
    metavar="HOW",
    help="yes: fail if the page cannot run the model; no: omit it [if it takes at most 2 MB]",
)
@click.option(*("--out", "out"), cls=GroupedOption, group="Report", metavar="FILE", help="the report [RUN/report.html]")
@click.option(*("--force", "force"), cls=GroupedOption, group="Report", is_flag=True, help="replace the file")
@options(("data", "data_dir"), "Data, if it has moved")
def report(
    run: str, with_images: str | None, with_model: str | None, out: str | None, force: bool, **values: Any
) -> None:
    """Write the report of RUN, the folder of a run or of --folds, as one HTML file of at most 3 MB.

    The file is self-contained, images and model included, and opens in any browser without a network connection.
    """
    from layerline.numbers import display
    from layerline.report import live_model, page, thumbnails
    from layerline.report.live_model import LiveModel
    from layerline.runs import saved
    from layerline.runs.names import REPORT

    folder = Path(run)
    for option, how in (("--with-images", with_images), ("--with-model", with_model)):
        if how not in (None, _YES, _NO):
            raise UserError(f"{option} {display.name(how)}: must be yes or no")
    files = saved.read(folder)
    path = folder / REPORT if out is None else free(Path(out), "a report", REPORT, force=force)
    data, why = None, _OMITTED
    if with_images != _NO:
        first = folder if files.folds is None else folder / files.folds.runs[0]
        data, why = _found(first, files.record.about.data.fingerprint, values)
    if data is None and with_images == _YES:
        raise UserError(f"--with-images yes: {why}", "specify the data with --data or --data-dir")
    if out is None and not force:
        _check_ours(path, lost=data is None and with_images is None, why=why)
    live = LiveModel(why=_OMITTED_MODEL) if with_model == _NO else live_model.of_run(folder)
    if with_model == _YES and live.why:
        raise UserError(
            f"--with-model yes: {live.why}", f"for a page of its own: layerline export {run} --to web -o model.html"
        )
    reason = _OMITTED if with_images == _NO else _NOT_FOUND
    page.write(folder, pixels=None if data is None else thumbnails.of(data), out=path, why=reason, live=live.html)
    size = display.size(path.stat().st_size)
    missing = f", without images: {why}" if data is None else ""
    click.echo(f"{path}: {size}{missing}" + (f", without the model: {live.why}" if live.why else ""))


def _found(folder: Path, fingerprint: str | None, values: dict[str, Any]) -> tuple[Dataset | None, str]:
    """Return the data of the run, read again, or None and the reason why that failed."""
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
        return None, f"the data there is not that of the run (its fingerprint is {data.fingerprint[:12]}…)"
    return data, ""


def _check_ours(path: Path, *, lost: bool, why: str) -> None:
    """Raise UserError if the existing page is not a report of ours, or has images that the new one would lack."""
    from layerline.files import regular
    from layerline.report import page

    if not path.exists():
        return
    try:
        content = regular.content(path, page.LARGEST) or b""
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    if page.MARK.encode() not in content[:200]:
        raise UserError(f"{path} exists and is not a Layerline report", "replace it with --force, or use --out FILE")
    if lost and page.HAS_IMAGES.encode() in content:
        raise UserError(
            f"{path} has images, but a new report would have none: {why}",
            "specify the data with --data, or omit the images with --with-images no",
        )
