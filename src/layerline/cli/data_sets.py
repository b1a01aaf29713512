"""`layerline data list` and `layerline data fetch`: the named data sets."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from layerline.cli.commands import Command, options
from layerline.cli.option import GroupedOption
from layerline.cli.terminal import Terminal
from layerline.files.user_folder import shown
from layerline.numbers import display

if TYPE_CHECKING:
    from layerline.data.fetching.catalog import Published

_COLORS: Final = {1: "gray", 3: "RGB"}


@click.command("list", cls=Command)
@options(("data_dir",), "Data")
def list_(data_dir: str | None) -> None:
    """List the named data sets and where they are."""
    from layerline.cli.columns import folded, table
    from layerline.data.fetching import catalog

    folder = Path(data_dir) if data_dir is not None else catalog.default_folder()
    rows = [_row(known, folder, copied=data_dir is None) for known in catalog.KNOWN.values()]
    for line in table(("name", "images", "size", "classes", "location"), rows, left=(0, 2, 4)):
        click.echo(line)
    click.echo()
    for known in catalog.KNOWN.values():
        size = f" Download: {display.size(known.download)}." if known.archives else ""
        click.echo(folded(f"{known.name}: {known.title}.{size} {known.source}. License: {known.license}."))
    click.echo()
    where = "no folder, because this user has no home" if folder is None else shown(folder)
    click.echo(folded(f"folder of the named data sets: {where} (--data-dir, or LAYERLINE_DATA)"))


def _row(known: Published, folder: Path | None, *, copied: bool) -> tuple[str, ...]:
    C, H, W = known.shape
    return (
        known.name,
        display.count(known.images),
        f"{display.picture(H, W)} {_COLORS[C]}",
        str(known.classes),
        _place(known, folder, copied=copied),
    )


def _place(known: Published, folder: Path | None, *, copied: bool) -> str:
    """Return a set's location in the folder of named sets, `/` for the folder itself; else the command to fetch it.

    copied: whether copies of other libraries are used, which `train` checks when it reads them.
    """
    from layerline.data import sources
    from layerline.data.fetching import library_copies

    if not known.archives:
        return "included in the package"
    place = None if folder is None or not folder.is_dir() else sources.place_of(known.name, folder)
    if place is None or folder is None:
        for copy in library_copies.of(known.name) if copied else ():
            return f"{shown(copy.path)} ({copy.by})"
        return f"layerline data fetch {known.name}"
    below = "" if place == folder else display.name(place.relative_to(folder).as_posix())
    return below + "/" * place.is_dir()


@click.command(cls=Command)
@click.argument("name")
@options(("data_dir",), "Data")
@click.option(
    *("--force", "force"),
    cls=GroupedOption,
    group="Output",
    is_flag=True,
    help="replace existing files that differ",
)
def fetch(name: str, data_dir: str | None, force: bool) -> None:
    """Download the data set NAME from its publisher.

    NAME is mnist, fashion-mnist or cifar10. The files go to --data-dir, or by default to a folder in your home, where
    --data NAME finds them. Each file is checked by size and SHA-256; mirrors are tried in turn.
    """
    from layerline.cli.columns import folded
    from layerline.cli.download_screen import DownloadScreen
    from layerline.data.fetching import catalog, fetch

    terminal = Terminal(sys.stdout, os.environ)
    screen = DownloadScreen(terminal)
    try:
        folder = fetch.fetch(name, None if data_dir is None else Path(data_dir), watcher=screen, force=force)
    finally:
        terminal.clear()
    known = catalog.KNOWN[name]
    terminal.say(f"{name} is in {shown(folder)}")
    terminal.say(folded(f"{known.source}. License: {known.license}."))
    terminal.say(f"train on it: layerline train --data {name}" + (f" --data-dir {data_dir}" if data_dir else ""))
