"""`layerline import`."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from layerline.cli.commands import Command
from layerline.cli.option import GroupedOption
from layerline.cli.out_file import free
from layerline.errors import UserError
from layerline.numbers import display

if TYPE_CHECKING:
    from layerline.cli.terminal import Terminal
    from layerline.training import Model

_IMAGES, _OUTPUT = "Images", "Output"
_NETWORK, _MODEL = ".cnn", ".safetensors"


@click.command("import", cls=Command)
@click.argument("file")
@click.option(
    *("--out", "-o", "out"), cls=GroupedOption, group=_OUTPUT, metavar="NAME", help="name of the files [FILE's]"
)
@click.option(*("--force", "force"), cls=GroupedOption, group=_OUTPUT, is_flag=True, help="replace existing files")
@click.option(
    *("--input", "size"),
    cls=GroupedOption,
    group=_IMAGES,
    metavar="SIZE",
    help="channels × height × width, as in 3x224x224, if FILE leaves them free",
)
@click.option(
    *("--mean", "mean"),
    cls=GroupedOption,
    group=_IMAGES,
    metavar="NUMBERS",
    help="mean of normalized images per channel, of pixels from 0 to 1: 0.485,0.456,0.406",
)
@click.option(
    *("--std", "std"), cls=GroupedOption, group=_IMAGES, metavar="NUMBERS", help="their standard deviation, likewise"
)
def import_(file: str, out: str | None, force: bool, size: str | None, mean: str | None, std: str | None) -> None:
    """Import the classifier in FILE, an ONNX file.

    Its layers become the network file NAME.cnn, and network and weights the model NAME.safetensors, which predict,
    evaluate and train --start-from use. Every operation that a network file cannot express is listed. FILE is read as
    data; if onnxruntime is installed, it checks the result.
    """
    from layerline.cli.terminal import Terminal
    from layerline.export.onnx.importing import ImportOptions, imported
    from layerline.export.onnx.onnx_graph import content_of
    from layerline.files import whole
    from layerline.training.from_onnx import model_of

    options = ImportOptions(_size(size), _numbers("mean", mean), _numbers("std", std))
    paths = _paths(file, out)
    content_of(Path(file))  # another kind of file is named before anything that is in its way
    for path in paths:
        free(path, "an imported model", "net", force=force)
    found = imported(Path(file), options)
    model = model_of(found)
    terminal = Terminal(sys.stdout, os.environ)
    _report(terminal, model)
    for note in found.notes:
        terminal.fact("note", note)
    model.save(paths[1])  # first, because it may not fit on the disk
    whole.write(paths[0], [found.network.text.encode()])
    for path in paths:
        terminal.fact("written", f"{path}: {display.size(path.stat().st_size)}")
    terminal.fact("next", f"layerline predict {shlex.quote(str(paths[1]))} IMAGE")


def _paths(file: str, out: str | None) -> tuple[Path, Path]:
    """Return the paths of the network file and the model, from a name with or without a suffix. Raises UserError."""
    path = Path((Path(file).stem or "net") if out is None else out)
    if out is not None and (out.endswith(("/", os.sep)) or path.is_dir()):
        raise UserError(f"--out {out or path} is a folder", f"use --out {path / (Path(file).stem or 'net')}")
    named = path.suffix.lower() in (_NETWORK, _MODEL, ".onnx") and out is not None
    stem = path.stem if named else path.name
    return path.with_name(f"{stem}{_NETWORK}"), path.with_name(f"{stem}{_MODEL}")


def _report(terminal: Terminal, model: Model) -> None:
    """Print what was imported."""
    from layerline.layers.grammar import times

    network = model.network
    layers, parameters = display.counted(len(network.nodes), "layer"), display.count(network.parameter_count)
    work = f"{display.count(network.multiply_adds)} multiply-adds per image"
    terminal.fact("network", f"{times(network.input_shape)} images, {layers}, {network.classes} classes")
    terminal.fact("size", f"{parameters} parameters, {work}")


def _size(text: str | None) -> tuple[int, int, int] | None:
    """Return channels, height and width. Raises UserError."""
    if text is None:
        return None
    parts = text.replace("×", "x").replace(",", "x").lower().split("x")
    if len(parts) != 3 or not all(part.isdecimal() and part.isascii() and 0 < int(part) < 2**20 for part in parts):
        raise UserError(f"--input {display.name(text)}: must be channels × height × width, as in --input 3x224x224")
    C, H, W = map(int, parts)
    return C, H, W


def _numbers(name: str, text: str | None) -> tuple[float, ...] | None:
    """Return numbers separated by commas. Raises UserError."""
    if text is None:
        return None
    try:
        return tuple(map(float, text.split(",")))
    except ValueError:
        raise UserError(
            f"--{name} {display.name(text)}: must be numbers separated by commas", "such as 0.485,0.456,0.406"
        ) from None
