"""`layerline data`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from layerline.cli import data_report, data_sets
from layerline.cli.commands import Command, GroupedOption, Words, given, options
from layerline.cli.reading import IMAGE_OPTIONS, Reading, cache_folder
from layerline.cli.terminal import Terminal
from layerline.errors import UserError


@click.group(cls=Words)
def data() -> None:
    """Fetch data sets, look at their images, and check them."""


data.add_command(data_sets.list_)
data.add_command(data_sets.fetch)
data.add_command(data_report.info)
data.add_command(data_report.check)


@data.command(cls=Command)
@click.argument("data")
@options(("augment", "seed"), "Augmentation")
@options(("data_dir", "classes", "test", "validation", "limit"), "Data")
@options(IMAGE_OPTIONS, "Image files")
@click.option(*("--out", "out"), cls=GroupedOption, group="Output", metavar="FILE", help="the sheet, a PNG [DATA.png]")
@click.option(*("--force", "force"), cls=GroupedOption, group="Output", is_flag=True, help="replace the file")
def show(out: str | None, force: bool, **values: Any) -> None:
    """Draw images of each class of DATA on a sheet.

    DATA is what train takes as --data. With --augment each image is followed by what the first epochs of a training
    with this --seed make of it.
    """
    from layerline.data import load_data
    from layerline.experiment.options import BY_KEY
    from layerline.files import whole
    from layerline.recipe import words
    from layerline.report import samples

    flags = {key: BY_KEY[key].value(value) for key, value in given(values).items()}
    augmentation = words.augmentation(flags.pop("augment", None))
    path = None if out is None else _free(Path(out), force=force)
    terminal = Terminal(sys.stdout, os.environ)
    loaded = load_data(flags.pop("data"), progress=Reading(terminal), **{"cache": cache_folder(), **flags})
    path = path or _free(Path(f"{_plain(loaded.name)}.png"), force=force)
    chosen = samples.choose(loaded, augmentation, flags.get("seed", 0))
    whole.write(path, (samples.picture(chosen),))
    terminal.clear()
    click.echo(f"{path}: {chosen.title}")


def _free(path: Path, *, force: bool) -> Path:
    """Return a path that a PNG can be written to. Raises UserError, before any work is done."""
    try:
        if path.is_dir():
            raise UserError(f"--out {path}: is a folder", f"use --out {path / 'sheet.png'}")
        if path.suffix.lower() != ".png":
            raise UserError(f"--out {path}: the sheet is a PNG", f"use --out {path.with_suffix('.png')}")
        if not path.parent.is_dir():
            raise UserError(f"--out {path}: there is no folder {path.parent}", f"make it: mkdir -p {path.parent}")
        if path.exists() and not force:
            raise UserError(f"{path}: exists already", "choose another name with --out, or replace it with --force")
    except OSError as error:  # a name too long for the disk, a folder that may not be looked into
        raise UserError(f"--out {path}: {error.strerror or error}", "choose another name") from error
    return path


def _plain(name: str) -> str:
    """Return a name as a file's: no separators, nothing that hides it."""
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name).lstrip(".") or "data"
