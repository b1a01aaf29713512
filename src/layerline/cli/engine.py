"""`layerline engine`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import click

from layerline.cli.commands import Command, Words, given, options
from layerline.cli.data_progress import IMAGE_OPTIONS
from layerline.cli.option import GroupedOption
from layerline.errors import UserError
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from layerline.data.dataset import Dataset
    from layerline.network import Network

_PLAIN: Final = Recipe()
_RATE: Final = "0.01"
"""With which an epoch of plain SGD does not diverge."""


@click.group(cls=Words)
def engine() -> None:
    """Inspect, check and measure the engines."""


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
    *("--target", "target"),
    cls=GroupedOption,
    group="What",
    metavar="NAME",
    help="compile for another kind of machine: x86-64, aarch64, cortex-m4 or wasm32",
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
def show(
    net: str, stage: str, predict: bool, cpu: str | None, target: str | None, lanes: str | None, **values: Any
) -> None:
    """Print NET at a stage of its compilation.

    A network without an Input line, or one that ends in FC classes, needs --data. Targets that cannot train (cortex-m4
    and wasm32) show the program of an export.
    """
    from layerline.cli.describe import network
    from layerline.compiler.show import show as text_of
    from layerline.experiment.options import BY_KEY, RECIPE_KEYS

    flags = given(values)
    recipe = Recipe(**{key: BY_KEY[key].value(flags.pop(key)) for key in RECIPE_KEYS if key in flags})
    if lanes is not None and not (lanes.isascii() and lanes.isdecimal()):
        raise UserError(f"--lanes {lanes}: must be 1, 4, 8 or 16")
    width = None if lanes is None else int(lanes)
    text = text_of(network(net, flags), recipe, stage, cpu=cpu, to=target, lanes=width, training=not predict)
    click.echo(text, nl=not text.endswith("\n"))


@engine.command(cls=Command)
@click.argument("net")
@options(("data", "data_dir", "classes", *IMAGE_OPTIONS), "Data")
@options(("batch_size",), "Step", default=str(_PLAIN.batch_size))
@options(("learning_rate",), "Step", default=str(_PLAIN.learning_rate))
@options(("optimizer",), "Step", default=_PLAIN.optimizer)
@options(("momentum",), "Step")
@options(("augment",), "Step", default="none")
@options(("threads", "exact"), "Machine")
@click.option(*("--json", "as_json"), cls=GroupedOption, group="Output", is_flag=True, help="print all numbers as JSON")
def profile(net: str, as_json: bool, **values: Any) -> None:
    """Measure the time of each kernel in training steps of NET.

    The compiled engine trains for a few seconds on the training images, with machine code that reads the clock before
    and after every kernel. It prints time, GFLOP/s, and the fraction of the CPU's peak, which is measured too, on as
    many threads.
    """
    from layerline.cli.engine_profile import lines
    from layerline.engines.kernel_times import kernel_times

    network, data, recipe, threads = _subject(net, given(values))
    found = kernel_times(network, data, recipe, threads)
    facts = {"network": network.name, "data": data.name, **found.as_dict()}
    click.echo(json.dumps(facts, indent=2) if as_json else "\n".join(lines(network, data, found)))


@engine.command(cls=Command)
@click.argument("net")
@click.option(
    *("--against", "against"),
    cls=GroupedOption,
    group="What",
    metavar="NAME",
    help="torch: alternate with PyTorch, on the same images",
)
@click.option(
    *("--pairs", "pairs"), cls=GroupedOption, group="What", metavar="N", default="7", help="epochs of each [7]"
)
@click.option(*("--images", "images"), cls=GroupedOption, group="What", metavar="N", help="images per epoch [all]")
@click.option(
    *("--cpu", "cpu"),
    cls=GroupedOption,
    group="What",
    metavar="CPU",
    help="hold both sides to another CPU's instructions, such as x86-64-v3 (AVX2) [this CPU's]",
)
@options(("data", "data_dir", "classes", *IMAGE_OPTIONS), "Data")
@options(("batch_size",), "Step", default=str(_PLAIN.batch_size))
@options(("learning_rate",), "Step", default=_RATE)
@options(("momentum",), "Step", default="0")
@options(("seed",), "Step")
@options(("threads", "exact"), "Machine")
@click.option(*("--json", "as_json"), cls=GroupedOption, group="Output", is_flag=True, help="print all numbers as JSON")
def bench(
    net: str, against: str | None, pairs: str, images: str | None, cpu: str | None, as_json: bool, **values: Any
) -> None:
    """Measure the time of a training epoch of NET.

    With --against torch, PyTorch trains on the same images, in the same order and from the same weights, in separate
    processes: with channels first and last, with and without keeping freed memory, and with torch.compile. The fastest
    counts in each pair, and the losses after the epoch are compared. Only training is timed; the optimizer is SGD.
    """
    from layerline.cli.engine_bench import lines
    from layerline.compiler.machine import named as machine
    from layerline.engines.bench import bench as measured

    if against not in (None, "torch"):
        raise UserError(f"--against {against}: unknown", "the only one is torch")
    flags = {"learning_rate": _RATE, "momentum": "0", **given(values)}
    network, data, recipe, threads = _subject(net, flags)
    found = measured(
        *(network, data, recipe, threads),
        images=None if images is None else _positive("--images", images),
        pairs=_positive("--pairs", pairs),
        against_torch=against is not None,
        machine=None if cpu is None else machine(cpu),
        say=lambda text: click.echo(text, err=True),
    )
    facts = {"network": network.name, "data": data.name, **found.as_dict()}
    click.echo(json.dumps(facts, indent=2) if as_json else "\n".join(lines(network, data, recipe, found)))


def _positive(option: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise UserError(f"{option} {text}: must be a whole number of at least 1")
    return int(text)


def _subject(net: str, flags: dict[str, Any]) -> tuple[Network, Dataset, Recipe, int | None]:
    """Return the network, the data, the recipe and the threads that the flags name. Raises UserError."""
    from layerline.cli.describe import network_and_data
    from layerline.engines import check as check_engine
    from layerline.engines.agreement import check_trained
    from layerline.experiment.experiment import NO_DATA
    from layerline.experiment.options import BY_KEY, RECIPE_KEYS

    if "data" not in flags:
        raise UserError(*NO_DATA)
    recipe = Recipe(**{key: BY_KEY[key].value(flags.pop(key)) for key in RECIPE_KEYS if key in flags})
    threads = BY_KEY["threads"].value(flags.pop("threads", None))
    check_engine("compiled", threads)
    network, data = network_and_data(net, flags)
    check_trained(network)
    return network, data, recipe, threads


@engine.command(cls=Command)
@click.argument("net")
@options(("data", "data_dir", "classes", *IMAGE_OPTIONS), "Data")
@options(("batch_size",), "Step", default=str(_PLAIN.batch_size))
@options(("learning_rate",), "Step", default=str(_PLAIN.learning_rate))
@options(("init", "seed"), "Step")
@options(("threads",), "Machine")
def check(net: str, **values: Any) -> int:
    """Compare both engines with float64 on a training step of NET.

    A batch of the training images goes forward, backward and through one step of SGD with momentum: on the compiled
    engine, on PyTorch in float32 and on PyTorch in float64, from the same weights. It prints the largest differences
    from float64 for every layer and parameter. It exits with 0 if the compiled engine's gradients are within tolerance,
    with 1 if not. Needs PyTorch.
    """
    from layerline.cli.engine_check import lines
    from layerline.engines.cross_check import cross_checked

    network, data, recipe, threads = _subject(net, given(values))
    found = cross_checked(network, data, recipe, threads)
    click.echo("\n".join(lines(network, data, recipe, found)))
    return int(bool(found.failed))
