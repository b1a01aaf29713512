"""`layerline describe`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from layerline.cli.commands import Command, given, options
from layerline.cli.reading import IMAGE_OPTIONS, cache_folder
from layerline.errors import UserError

if TYPE_CHECKING:
    from layerline.network import Network


@click.command(cls=Command)
@click.argument("net")
@options(("data", "data_dir", "classes", *IMAGE_OPTIONS), "Data")
@options(("batch_size",), "Memory")
def describe(net: str, **values: Any) -> None:
    """Print the layers of NET: their output shapes, parameters, multiply-adds, and the memory of a training step.

    NET is a network file, a preset, a model file (.safetensors) or the folder of a run. A network that has no line
    Input, or ends in FC classes, needs --data.
    """
    flags = given(values)
    batch_size = flags.pop("batch_size", None)
    click.echo(network(net, flags).describe(**({} if batch_size is None else {"batch_size": _size(batch_size)})))


def network(net: str, flags: dict[str, Any]) -> Network:
    """Return the network that NET names, for the data that the flags name. Raises UserError."""
    from layerline.experiment.options import BY_KEY
    from layerline.network import find, parse, read
    from layerline.network_file import Mistakes, read_tree

    if Path(net).is_dir():
        return _of_model(Path(net) / "model.safetensors", f"{net}: is a folder without a model.safetensors")
    if net.endswith(".safetensors"):
        return _of_model(Path(net), f"{net}: there is no such file")
    if "data" not in flags:
        return read(net)
    from layerline.data import load_data

    cuts = {key: BY_KEY[key].value(value) for key, value in flags.items() if key != "data"}
    file, text = find(net)
    shape = read_tree(Mistakes(file, text)).input_shape
    data = load_data(flags["data"], **{"cache": cache_folder(), "input_shape": shape, **cuts})
    return parse(text, name=file, input_shape=data.shape, classes=len(data.classes))


def _of_model(path: Path, missing: str) -> Network:
    from layerline import model_file

    if not path.is_file():
        raise UserError(missing)
    return model_file.read(path, not_finite=True).network


def _size(given_size: str) -> int:
    from layerline.experiment.options import BY_KEY
    from layerline.recipe import Recipe

    return Recipe(batch_size=BY_KEY["batch_size"].value(given_size)).batch_size
