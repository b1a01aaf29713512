"""`layerline new`."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from layerline.cli.commands import Command, given, options
from layerline.cli.data_progress import IMAGE_OPTIONS, Reading, cache_folder
from layerline.cli.option import GroupedOption
from layerline.cli.out_file import free
from layerline.errors import UserError, spelling
from layerline.experiment.options import BY_KEY
from layerline.numbers import display

if TYPE_CHECKING:
    from layerline.data.dataset import Dataset

_SUFFIX: Final = ".cnn"
_STDOUT: Final = "-"
_CUTS: Final = ("test", "validation", "limit")
_DESCRIBED: Final = ("data", "data_dir", "classes", *IMAGE_OPTIONS)
"""The options that describe has too."""


@click.command(cls=Command)
@click.argument("preset", required=False)
@options((*_DESCRIBED[:3], *_CUTS, *IMAGE_OPTIONS), "Data")
@click.option(
    *("--out", "out"),
    cls=GroupedOption,
    group="Output",
    metavar="FILE",
    help="file to write (must not exist), or - to print it [PRESET.cnn or DATA.cnn]",
)
@click.option(*("--force", "force"), cls=GroupedOption, group="Output", is_flag=True, help="replace the file")
def new(preset: str | None, out: str | None, force: bool, **values: Any) -> None:
    """Create a commented network file to start from.

    With PRESET, copy that preset; if --data is added, with the output shape of each line. With --data alone, create a
    network that suits these images, with every line explained. With neither, list the presets.
    """
    flags = given(values)
    if "data" not in flags:
        _refuse_without_data(preset, out, force, flags)
    if preset is None and "data" not in flags:
        click.echo("\n".join(_listed()))
        return
    if preset is not None:
        _check_preset(preset)
    path = _path(out, force)
    if path is None and out is None and preset is not None:
        path = _path(f"{preset}{_SUFFIX}", force)
    data = _load(flags) if "data" in flags else None
    if path is None and out is None and data is not None:
        from layerline.runs.folder import plain

        path = _path(f"{plain(data.name, 'network')}{_SUFFIX}", force)
    text = _text(preset, data)
    if path is None:
        click.echo(text, nl=False)
        return
    from layerline.files import whole

    whole.write(path, (text.encode(),))
    click.echo("\n".join(_next_steps(path, text, data, flags)))


def _text(preset: str | None, data: Dataset | None) -> str:
    """Return the text of the file. Raises NetworkError if the preset does not fit the data."""
    from layerline import network
    from layerline.layers.grammar import times
    from layerline.network.commented import with_shapes
    from layerline.network.fitted import fitted

    if preset is None and data is not None:
        return fitted(data.shape, len(data.classes), len(data.train))
    head = f"# The preset {preset}. Change it as you like, then check it with `layerline describe`.\n"
    if data is None:
        return head + "\n" + network.preset(str(preset))
    read = network.read(str(preset), input_shape=data.shape, classes=len(data.classes))
    note = (
        f"# After → is the output shape of a line, for {times(data.shape)} images; other sizes are the preset's own.\n"
    )
    return head + note + "\n" + with_shapes(read)


def _load(flags: dict[str, Any]) -> Dataset:
    from layerline.cli.terminal import Terminal
    from layerline.data import load_data

    values = {"cache": cache_folder(), **{key: BY_KEY[key].value(value) for key, value in flags.items()}}
    terminal = Terminal(sys.stderr, os.environ)
    try:
        return load_data(values.pop("data"), progress=Reading(terminal), **values)
    finally:
        terminal.clear()


def _refuse_without_data(preset: str | None, out: str | None, force: bool, flags: dict[str, Any]) -> None:
    """Raise UsageError for options that make no sense without data, or without a file to write."""
    for key in flags:
        raise click.UsageError(f"{BY_KEY[key].flag} needs --data")
    if preset is None:
        for flag in ["--out"] * (out is not None) + ["--force"] * force:
            raise click.UsageError(f"{flag}: nothing to write without PRESET or --data")


def _check_preset(name: str) -> None:
    from layerline.network import presets
    from layerline.network.pretrained.backbones import BACKBONES

    if name not in presets() and name not in BACKBONES:
        hint = spelling.hint(name.removesuffix(_SUFFIX), presets(), "the presets are: ")
        raise UserError(f"{display.name(name)}: no preset of this name", hint)


def _path(out: str | None, force: bool) -> Path | None:
    """Return the file to write, None for standard output or if it is not known yet. Raises UserError."""
    if out is None or out == _STDOUT:
        return None
    return free(Path(out), "a network file", f"network{_SUFFIX}", force=force, suffix=_SUFFIX)


def _listed() -> list[str]:
    """Return the presets with the first line of each, and the commands that use them."""
    from layerline.cli.columns import table
    from layerline.network import preset, presets

    rows = [(name, preset(name).splitlines()[0].lstrip("# ").partition(": ")[0].rstrip(".:")) for name in presets()]
    return [
        *table(("preset", ""), rows, left=(0, 1)),
        "",
        "layerline new PRESET               copy it to a file that you can edit",
        "layerline new PRESET --data DATA   the same, with the output shape of each line",
        "layerline new --data DATA          a network for the data, every line explained",
    ]


def _next_steps(path: Path, text: str, data: Dataset | None, flags: dict[str, Any]) -> list[str]:
    from layerline.network import parse

    if data is None:
        flags, size = {"data": "DATA"}, ""
    else:
        network = parse(text, name=str(path), input_shape=data.shape, classes=len(data.classes))
        parameters, work = display.count(network.parameter_count), display.count(network.multiply_adds)
        size = f": {parameters} parameters, {work} multiply-adds per image"
    file = shlex.quote(str(path))
    described = {key: value for key, value in flags.items() if key in _DESCRIBED}
    return [
        f"{path}{size}",
        f"    layerline describe {file} {_words(described)}",
        f"    layerline train {file} {_words(flags)}",
    ]


def _words(flags: dict[str, Any]) -> str:
    return " ".join(f"{BY_KEY[key].flag} {shlex.quote(str(value))}" for key, value in flags.items())
