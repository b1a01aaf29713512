"""What `layerline engine profile` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerline.cli.columns import folded, table
from layerline.network.table import headline
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerline.data.dataset import Dataset
    from layerline.engines.kernel_times import KernelTimes
    from layerline.network import Network


def lines(network: Network, data: Dataset, found: KernelTimes) -> Iterator[str]:
    """Yield the lines: what was measured, a line per kernel, the whole step."""
    step = found.seconds * 1e6
    threads = display.counted(found.threads, "thread")
    yield headline(network)
    yield f"batch: {display.counted(found.images, 'image')} of {display.name(data.name)}, {threads}"
    yield f"step: {step:,.1f} µs, {step / found.images:,.2f} µs per image"
    yield f"peak: {found.peak.flops / 1e9:,.1f} GFLOP/s per thread, measured ({found.machine.lanes} lanes)"
    yield ""
    total = found.threads * found.seconds
    rows = [
        (str(each.phase), *_cells(each.seconds, total), *_speed(each.flops, found), each.kernel)
        for each in found.kernels
    ]
    rows.append(("", *_cells(found.outside, total), *_speed(None, found), "outside of kernels"))
    rows.append(("", *_cells(total, total), *_speed(found.flops, found), "all"))
    yield from table(("phase", "µs", "share", "GFLOP/s", "of peak", "kernel"), rows, left=(5,))
    yield ""
    yield folded(
        "µs: per step, all threads together, each in the fastest of several rounds; outside of kernels, threads wait "
        "for each other or get work. GFLOP/s: of one thread, two per multiply-add of the formula; kernels that skip "
        "zeros, or multiply less than their formula (winograd), may exceed the peak."
    )


def _cells(seconds: float, total: float) -> tuple[str, str]:
    return f"{seconds * 1e6:,.1f}", display.percent(seconds / total, 1)


def _speed(flops: float | None, found: KernelTimes) -> tuple[str, str]:
    if flops is None:
        return display.NOTHING, display.NOTHING
    return f"{flops / 1e9:,.1f}", display.percent(flops / found.peak.flops)
