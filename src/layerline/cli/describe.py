"""`layerline describe`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from layerline.cli.commands import Command, given, options
from layerline.cli.data_progress import IMAGE_OPTIONS, cache_folder
from layerline.cli.terminal import Terminal

if TYPE_CHECKING:
    from layerline.network import Network
    from layerline.runs.model_file import Card, ModelFile

SUFFIX: Final = ".safetensors"
MOST_CLASSES: Final = 50
"""The maximum number of class names listed."""
LONGEST_NAME: Final = 30
_BATCH: Final = "64"


@click.command(cls=Command)
@click.argument("net")
@options(("data", "data_dir", "classes", *IMAGE_OPTIONS), "Data")
@options(("batch_size",), "Memory", default=_BATCH)
def describe(net: str, **values: Any) -> None:
    """Print the layers of NET with output shapes, parameters and multiply-adds, and the memory of a training step.

    NET is a network file, a preset, a model file (.safetensors) or a run's folder. For a model, its classes, input
    images and software versions are also printed. A network without an Input line, or one that ends in FC classes,
    needs --data.
    """
    flags = given(values)
    batch_size = _size(flags.pop("batch_size", _BATCH))
    if Path(net).is_dir() or net.endswith(SUFFIX):
        stored, unfinished = _stored(net)
        terminal = Terminal(sys.stdout, os.environ)
        for label, text in _facts(stored, unfinished):
            terminal.fact(label, text)
        terminal.say()
        described = stored.network
    else:
        described = network(net, flags)
    click.echo(described.describe(batch_size, _memory(described, batch_size)))


def network(net: str, flags: dict[str, Any]) -> Network:
    """Return the network that NET names, for the data that the flags name. Raises UserError."""
    from layerline.experiment.options import BY_KEY
    from layerline.network import find, parse, read
    from layerline.network_file import Mistakes, read_tree

    if Path(net).is_dir() or net.endswith(SUFFIX):
        return _stored(net)[0].network
    if "data" not in flags:
        return read(net)
    from layerline.data import load_data

    cuts = {key: BY_KEY[key].value(value) for key, value in flags.items() if key != "data"}
    file, text = find(net)
    shape = read_tree(Mistakes(file, text)).input_shape
    data = load_data(flags["data"], **{"cache": cache_folder(), "input_shape": shape, **cuts})
    return parse(text, name=file, input_shape=data.shape, classes=len(data.classes))


def _memory(network: Network, batch_size: int) -> int | None:
    """Return the memory that the compiled engine needs for training, in bytes; None if it is not installed."""
    from importlib.util import find_spec

    from layerline.recipe import Recipe

    if find_spec("llvmlite") is None:
        return None
    from layerline.engines.need import training_bytes
    from layerline.system.cores import cores

    return training_bytes(network, Recipe(batch_size=batch_size), cores())


def _stored(net: str) -> tuple[ModelFile, int | None]:
    """Return the model in a file or a run's folder, and for an unfinished run the epoch. Raises UserError."""
    from layerline.training.stored import read

    return read(Path(net), not_finite=True)


def _facts(stored: ModelFile, unfinished: int | None) -> list[tuple[str, str]]:
    """Return the facts in a model file other than its layers, as label and text of each line."""
    import numpy as np

    from layerline.numbers import display
    from layerline.runs.model_file import FORMAT_VERSION
    from layerline.training.stored import note

    card = stored.card
    names = ", ".join(display.name(name, LONGEST_NAME) for name in card.classes[:MOST_CLASSES])
    more = len(card.classes) - MOST_CLASSES
    versions = {"layerline": card.versions.get("layerline", "?"), **card.versions}
    bad = sum(int((~np.isfinite(array)).sum()) for array in stored.weights.values())
    facts = [
        ("classes", f"{len(card.classes)}: {names}" + (f" and {display.count(more)} more" if more > 0 else "")),
        ("images", _images(card)),
        ("scaling", _scaling(card)),
        ("versions", ", ".join(f"{display.name(name, 30)} {display.name(v, 30)}" for name, v in versions.items())),
        ("file", note(unfinished) or f"version {FORMAT_VERSION} of the file format, SHA-256 {stored.digest}"),
    ]
    return facts + ([("weights", f"{display.count(bad)} numbers are NaN or infinite")] if bad else [])


def _images(card: Card) -> str:
    """Return which images the model takes, and how image files are resized."""
    from layerline.data.dataset import FITTED
    from layerline.numbers import display

    C, H, W = card.input_shape
    fitted = FITTED[card.preprocessing.fit]
    files = f"image files are resized to this size ({fitted})" if C in (1, 3) else "arrays only"
    return f"{display.colors(C)}, {display.picture(H, W)} (width × height); {files}"


def _scaling(card: Card) -> str:
    """Return the range to which stored values are scaled, for each channel if they differ."""
    maximum = card.preprocessing.maximum
    ranges = [
        f"[{shift:.4g}, {maximum * scale + shift:.4g}]"
        for scale, shift in zip(card.scaling.scale, card.scaling.shift, strict=True)
    ]
    same = len(set(ranges)) == 1
    return f"values in [0, {maximum:g}] are mapped to {ranges[0] if same else ', '.join(ranges) + ' by channel'}"


def _size(given_size: str) -> int:
    from layerline.experiment.options import BY_KEY
    from layerline.recipe import Recipe

    return Recipe(batch_size=BY_KEY["batch_size"].value(given_size)).batch_size
