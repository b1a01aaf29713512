"""`layerline engine`."""

from __future__ import annotations

from typing import Any

import click

from layerline.cli.commands import Command, Words, given, options
from layerline.cli.option import GroupedOption
from layerline.errors import UserError


@click.group(cls=Words)
def engine() -> None:
    """Inspect the compiled engine."""


@engine.command(cls=Command)
@click.argument("net")
@click.option(
    *("--stage", "stage"),
    cls=GroupedOption,
    group="What",
    metavar="STAGE",
    default="plan",
    help="stage to print: plan, program, llvm or asm [plan]",
)
@click.option(
    *("--predict", "predict"),
    cls=GroupedOption,
    group="What",
    is_flag=True,
    help="show the prediction program instead of the training program",
)
@click.option(
    *("--cpu", "cpu"),
    cls=GroupedOption,
    group="What",
    metavar="CPU",
    help="compile for another CPU, by name [this one]",
)
@click.option(
    *("--lanes", "lanes"),
    cls=GroupedOption,
    group="What",
    metavar="N",
    help="float32 values per vector: 1, 4, 8 or 16 [the CPU's]",
)
@options(("data", "data_dir", "classes"), "Data")
@options(("batch_size", "momentum", "weight_decay"), "Recipe")
def show(net: str, stage: str, predict: bool, cpu: str | None, lanes: str | None, **values: Any) -> None:
    """Print NET at a stage of its compilation.

    A network without an Input line, or one that ends in FC classes, needs --data.
    """
    from layerline.cli.describe import network
    from layerline.compiler.show import show as text_of
    from layerline.experiment.options import BY_KEY, RECIPE_KEYS
    from layerline.recipe import Recipe

    flags = given(values)
    recipe = Recipe(**{key: BY_KEY[key].value(flags.pop(key)) for key in RECIPE_KEYS if key in flags})
    if lanes is not None and not (lanes.isascii() and lanes.isdecimal()):
        raise UserError(f"--lanes {lanes}: must be 1, 4, 8 or 16")
    width = None if lanes is None else int(lanes)
    text = text_of(network(net, flags), recipe, stage, cpu=cpu, lanes=width, training=not predict)
    click.echo(text, nl=not text.endswith("\n"))
