"""`layerline export`."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from layerline.cli.commands import Command, given, options, typed
from layerline.cli.model_data import data_of
from layerline.cli.option import GroupedOption, fraction
from layerline.cli.out_file import free
from layerline.errors import UserError
from layerline.numbers import display

if TYPE_CHECKING:
    from layerline.cli.terminal import Terminal
    from layerline.data.dataset import Dataset
    from layerline.export.export_options import ExportOptions
    from layerline.export.formats import Exported, Format
    from layerline.training import Model

_C, _ONNX, _WHAT = "C", "ONNX", "What"
_OPTIONS: Final = ("name", "int8", "max_loss", "lanes", "pixels", "layout")
"""Those that are passed on as they are, or as numbers."""
_TIME: Final = "time"


@click.command(cls=Command)
@click.argument("model")
@click.option(
    *("--to", "to"), cls=GroupedOption, group=_WHAT, metavar="FORMAT", help="onnx, c, web or wasm [by FILE's suffix]"
)
@click.option(*("--out", "-o", "out"), cls=GroupedOption, group=_WHAT, metavar="FILE", help="file to write")
@click.option(*("--force", "force"), cls=GroupedOption, group=_WHAT, is_flag=True, help="replace existing files")
@click.option(
    *("--dry-run", "dry_run"), cls=GroupedOption, group=_WHAT, is_flag=True, help="print the sizes, write nothing"
)
@click.option(
    *("--name", "name"), cls=GroupedOption, group=_C, metavar="NAME", help="name of the function [the network's]"
)
@click.option(
    *("--lanes", "lanes"),
    cls=GroupedOption,
    group=_C,
    metavar="N",
    help="float32 values per vector: 1, or 4 with the vector extensions of GCC and Clang [1]",
)
@click.option(*("--int8", "int8"), cls=GroupedOption, group=_C, is_flag=True, help="8-bit integer weights and values")
@click.option(
    *("--max-loss", "max_loss"),
    cls=GroupedOption,
    group=_C,
    metavar="FRACTION",
    help="largest accepted loss of validation accuracy by --int8 [0.01]",
)
@options(("data", "data_dir"), _C)
@click.option(
    *("--pixels", "pixels"), cls=GroupedOption, group=_ONNX, metavar="TYPE", help="input type: uint8 or float32 [uint8]"
)
@click.option(
    *("--layout", "layout"), cls=GroupedOption, group=_ONNX, metavar="AXES", help="input axes: NCHW or NHWC [NCHW]"
)
def export(model: str, to: str | None, out: str | None, force: bool, dry_run: bool, **values: Any) -> None:
    """Export MODEL for other programs; MODEL is a model.safetensors or a run's folder.

    \b
    onnx  pixels in, probabilities out, for onnxruntime and other libraries
    c     a C99 file without dependencies, for microcontrollers and programs
    web   a web page that classifies images in any browser, offline
    wasm  a WebAssembly module with its JavaScript, for your own page
    """
    from layerline.cli.terminal import Terminal
    from layerline.export import formats
    from layerline.export.int8.quantizing import LossError
    from layerline.training.stored import stored

    found = stored(Path(model))
    path, chosen = _target(to, out, dry_run=dry_run, model=model)
    chosen_options = _options(values)
    paths = () if path is None else formats.paths_of(path, chosen)
    for each in () if dry_run else paths:
        free(each, "an export", _example(model, chosen), force=force)
    terminal = Terminal(sys.stdout, os.environ)
    if found.note is not None:
        terminal.say(f"note: {found.note}")
    data = _data(model, found.model, values, terminal) if chosen_options.int8 else None
    try:
        exported = found.model.exported(chosen, dataclasses.replace(chosen_options, data=data), Path(model))
    except LossError as error:
        again = typed().with_option("--max-loss", f"{error.accepted:g}")
        raise UserError(error.message, f"to accept this loss: {again}") from error
    terminal.clear()
    _report(terminal, found.model, exported)
    if dry_run:
        return
    formats.write(paths, exported)
    for each in paths:
        terminal.fact("written", f"{each}: {display.size(each.stat().st_size)}")


def _example(model: str, chosen: Format) -> str:
    """Return a file name for a model: that of its file, or of its run's folder."""
    path = Path(model)
    return f"{path.stem if path.suffix == '.safetensors' else path.resolve().name or 'model'}{chosen.suffix}"


def _target(to: str | None, out: str | None, *, dry_run: bool, model: str) -> tuple[Path | None, Format]:
    """Return the file and its format. Raises UserError."""
    from layerline.export import formats

    if out is None:
        if to is None:
            raise UserError("--to: missing", f"one of: {', '.join(formats.FORMATS)}")
        if not dry_run:
            suffix = formats.format_of(to).suffix
            raise UserError("--out: missing", f"name the file, such as --out model{suffix}, or use --dry-run")
        return None, formats.format_of(to)
    if out == "-":
        raise UserError("--out -: an export is not printed", "name a file, such as --out model.onnx")
    path = Path(out)
    if to is None and (out.endswith(("/", os.sep)) or path.is_dir()):
        names = ", ".join(str(path / _example(model, each)) for each in formats.FORMATS.values())
        raise UserError(f"--out {out} is a folder", f"name the file: {names}")
    chosen = formats.format_for(path) if to is None else formats.format_of(to)
    if out.endswith(("/", os.sep)) and not path.is_dir():
        raise UserError(f"--out {out}: no such folder", f"use --out {path / _example(model, chosen)}")
    return path, chosen


def _options(values: dict[str, Any]) -> ExportOptions:
    """Return the options as values. Raises UserError for one that is invalid."""
    from layerline.export.export_options import ExportOptions

    chosen = {key: values[key] for key in _OPTIONS if values[key] is not None}
    if "lanes" in chosen and chosen["lanes"].isdecimal():
        chosen["lanes"] = int(chosen["lanes"])
    if "max_loss" in chosen:
        chosen["max_loss"] = fraction("--max-loss", chosen["max_loss"])
    if values["data"] is not None and not chosen["int8"]:
        raise UserError("--data: only with --int8", "omit it, or add --int8")
    return ExportOptions(**chosen)


def _data(model: str, loaded: Model, values: dict[str, Any], terminal: Terminal) -> Dataset:
    """Return the data of the model's run, read again and split as in its training."""
    from layerline.experiment.options import BY_KEY
    from layerline.training import run_of_model

    flags = {key: BY_KEY[key].value(value) for key, value in given(values).items()}
    return data_of(loaded, run_of_model.find(Path(model)), flags, "validation", terminal)


def _report(terminal: Terminal, model: Model, exported: Exported) -> None:
    """Print the sizes and notes."""
    for what, size in exported.sizes:
        terminal.fact(what, size)
    if _TIME not in dict(exported.sizes):
        terminal.fact(
            _TIME, f"{display.count(_microseconds(model))} µs per image in Layerline on this CPU (one thread)"
        )
    terminal.fact("work", f"{display.count(model.network.multiply_adds)} multiply-adds per image")
    for note in exported.notes:
        terminal.fact("note", note)


def _microseconds(model: Model) -> int:
    """Return how long the prediction of one image takes with one thread."""
    import numpy as np

    from layerline.export.on_host import fastest

    alone, image = dataclasses.replace(model, threads=1), np.zeros((1, *model.network.input_shape), np.uint8)
    alone.probabilities(image)
    return round(1e6 * fastest(lambda: alone.probabilities(image)))
