"""`layerline data`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from layerline.cli import data_report, data_sets
from layerline.cli.commands import Command, Words, given, options
from layerline.cli.data_progress import IMAGE_OPTIONS, Reading, cache_folder
from layerline.cli.option import GroupedOption
from layerline.cli.out_file import free
from layerline.cli.terminal import Terminal


@click.group(cls=Words)
def data() -> None:
    """Download, view and check data sets."""


data.add_command(data_sets.list_)
data.add_command(data_sets.fetch)
data.add_command(data_report.info)
data.add_command(data_report.check)


@data.command(cls=Command)
@click.argument("data")
@options(("augment", "seed"), "Augmentation")
@options(("data_dir", "classes", "test", "validation", "limit"), "Data")
@options(IMAGE_OPTIONS, "Image files")
@click.option(*("--out", "out"), cls=GroupedOption, group="Output", metavar="FILE", help="PNG file to write [DATA.png]")
@click.option(*("--force", "force"), cls=GroupedOption, group="Output", is_flag=True, help="replace the file")
def show(out: str | None, force: bool, **values: Any) -> None:
    """Draw sample images of each class of DATA in a PNG.

    DATA is anything that train accepts as --data. With --augment, each image is followed by its augmented versions, as
    in the first epochs of a training run with this --seed.
    """
    from layerline.data import load_data
    from layerline.experiment.options import BY_KEY
    from layerline.files import whole
    from layerline.recipe import words
    from layerline.report import samples
    from layerline.runs.folder import plain

    flags = {key: BY_KEY[key].value(value) for key, value in given(values).items()}
    augmentation = words.augmentation(flags.pop("augment", None))
    path = None if out is None else _sheet(Path(out), force=force)
    terminal = Terminal(sys.stdout, os.environ)
    loaded = load_data(flags.pop("data"), progress=Reading(terminal), **{"cache": cache_folder(), **flags})
    path = path or _sheet(Path(f"{plain(loaded.name, 'data')}.png"), force)
    chosen = samples.choose(loaded, augmentation, flags.get("seed", 0))
    whole.write(path, (samples.picture(chosen),))
    terminal.clear()
    click.echo(f"{path}: {chosen.title}")


def _sheet(path: Path, force: bool) -> Path:
    return free(path, "a sheet", "sheet.png", force=force, suffix=".png")
