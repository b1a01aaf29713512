"""What `layerline engine bench` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerline.cli.columns import folded, table
from layerline.engines.bench import COMPARED, spread
from layerline.network.table import headline
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layerline.data.dataset import Dataset
    from layerline.engines.bench import Bench
    from layerline.network import Network
    from layerline.recipe import Recipe


def lines(network: Network, data: Dataset, recipe: Recipe, found: Bench) -> Iterator[str]:
    """Yield the lines: what was measured, a line per side and setting, the comparison."""
    threads = display.counted(found.threads, "thread")
    yield headline(network)
    yield f"epoch: {display.counted(found.images, 'image')} of {display.name(data.name)}, seed {recipe.seed}, {threads}"
    rate = display.rate(recipe.learning_rate)
    yield f"step: batch size {recipe.batch_size}, SGD, learning rate {rate}, momentum {recipe.momentum:g}"
    yield f"compiling: {display.seconds(found.compiling)}"
    if found.held:
        yield f"instructions: those of {found.held}, PyTorch's too"
    yield ""
    rows = [_row("layerline", [pair.ours for pair in found.pairs], found, found.loss)]
    for name, loss in (found.losses or {}).items():
        rows.append(_row(f"torch {name}", [pair.pytorch[name] for pair in found.pairs], found, loss))
    yield from table(("", "seconds", "fastest", "µs per image", "GFLOP/s", "of peak", "loss"), rows)
    yield ""
    yield from _comparison(found)
    yield folded(
        f"seconds: median of {display.counted(len(found.pairs), 'epoch')}. GFLOP/s: of all threads, two per "
        f"multiply-add of the formula; the measured peak is {found.peak / 1e9:,.1f} per thread. loss: after the "
        f"epoch, on its first {display.counted(min(COMPARED, found.images), 'image')}.{_weights(found)}"
    )


def _weights(found: Bench) -> str:
    """Return a sentence about how far the weights of both sides are apart after the first step, if it was compared."""
    if not found.distances:
        return ""
    far = max(found.distances.values())
    return f" Weights after the first step: the sides differ by {far:.0e} of how far they have moved, at most."


def _row(name: str, seconds: Sequence[float], found: Bench, loss: float) -> tuple[str, ...]:
    taken = spread(seconds)
    flops = 2 * found.multiply_adds / taken["median"]
    speed = (f"{flops / 1e9:,.1f}", display.percent(flops / (found.threads * found.peak)))
    return (
        name,
        f"{taken['median']:.3f}",
        f"{taken['min']:.3f}",
        f"{taken['median'] / found.images * 1e6:,.2f}",
        *speed,
        display.loss(loss),
    )


def _comparison(found: Bench) -> Iterator[str]:
    if not found.losses:
        return
    ratio = spread([pair.ratio for pair in found.pairs])
    yield folded(
        f"ratio: {ratio['median']:.1f} times as fast as PyTorch {found.version} at its best in each pair "
        f"({ratio['min']:.1f} to {ratio['max']:.1f})"
    )
    for name, reason in (found.failed or {}).items():
        yield folded(f"not measured: torch {name}: {reason}")
    for name, far in found.astray.items():
        yield folded(
            f"! After the first step, weights of torch {name} differ from ours by {display.percent(far)} of how far "
            "ours have moved: one of them has computed something else. This is a bug: see layerline engine check."
        )
    for name, loss in found.differing.items():
        yield folded(
            f"! The loss of torch {name} is {display.loss(loss)}, ours is {display.loss(found.loss)}: one of them has "
            "computed something else. Unless the network has Dropout, whose masks differ, this is a bug: see "
            "layerline engine check."
        )
