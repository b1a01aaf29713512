"""Wide layers: sums that fit in the registers, tiles after a pool, how many images go together, Muon's directions."""

from __future__ import annotations

import numpy as np
import pytest

from layerline.compiler.compilation import plan
from layerline.compiler.kernels.muon import MuonDirection
from layerline.compiler.kernels.optimizers import AdamW, Sgd
from layerline.compiler.kernels.pool import Unpool
from layerline.compiler.kernels.winograd import WinogradForward, WinogradInput
from layerline.compiler.kernels.winograd_filters import WinogradFilters
from layerline.compiler.machine import Machine, host, named, target
from layerline.compiler.shards import MAX_SHARDS, shard_size, wide_shard_size
from layerline.compiler.task import Task
from layerline.data.dataset import ImageSet, Scaling
from layerline.engines.compiled import CompiledEngine
from layerline.engines.epoch import Epoch
from layerline.network import Network, parse
from layerline.recipe import Recipe

SGD = Sgd(momentum=True, decay=False)
NARROW = "Input 3 32 32\nConv 32 3 padding=1\nReLU\nConv 32 3 padding=1\n{}Flat\nFC 10\n"
WIDE = "Input 64 8 8\nConv 128 3 padding=1\nReLU\nConv 128 3 padding=1\n{}Flat\nFC 10\n"
MACHINES = {machine.lanes: machine for machine in (named(lanes=4), named("x86-64-v3"), named("x86-64-v4"))}


def network_of(text: str, end: str = "") -> Network:
    """Return a network with some lines in its place for them."""
    return parse(text.format(end), name="n")


@pytest.mark.parametrize(
    "machine", [*MACHINES.values(), target("aarch64")], ids=lambda m: f"{m.cpu}, {m.registers} registers"
)
def test_the_sums_of_tiles_fit_in_the_registers(machine: Machine) -> None:
    """They would be written to memory and read back for every multiply-add: 2.5 times the time, to the same bits."""
    ops = plan(network_of(WIDE), machine, Task(64, SGD)).program.ops
    tiles = [
        op.kernel.filters * op.kernel.vectors
        if isinstance(op.kernel, WinogradFilters)
        else op.kernel.passage.together * max(block.vectors for block in op.kernel.passage.layout.blocks)
        for op in ops
        if isinstance(op.kernel, WinogradForward | WinogradInput | WinogradFilters)
    ]
    assert len(tiles) == 5
    assert all(machine.accumulators - 2 < n or n == 16 for n in tiles), "registers stay idle"
    assert all(n <= machine.accumulators for n in tiles)


@pytest.mark.parametrize(("end", "dense"), [("Pool 2\nReLU\n", False), ("Pool 2\nBatchNorm\nReLU\n", True)])
def test_after_a_pool_tiles_are_for_gradients_without_zeros(end: str, dense: bool) -> None:
    """An activation in the convolution leaves half of the pooled outputs without a gradient, BatchNorm none of them."""
    kernels = [op.kernel for op in plan(network_of(NARROW, end), host(), Task(64, SGD)).program.ops]
    assert any(isinstance(kernel, Unpool) for kernel in kernels) is dense
    assert sum(isinstance(kernel, WinogradFilters | WinogradInput) for kernel in kernels) == (2 if dense else 0)


def test_more_images_go_together_where_filters_are_larger_than_images() -> None:
    """Each group goes through all transformed filters; a wide network has no small shards either."""
    for batch, wide, narrow in ((32, (8, 4), (16, 2)), (64, (8, 8), (16, 4)), (256, (16, 16), (16, 8))):
        for text, expected in ((WIDE, wide), (NARROW, narrow)):
            program = plan(network_of(text), host(), Task(batch, SGD)).program
            assert (program.shards, program.group) == expected, (batch, text)


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 16, 50, 64, 100, 128, 1000, 2**20])
def test_shards_of_wide_networks(batch: int) -> None:
    """Eight images or more, if that leaves eight shards; in large batches they are as in any network."""
    size = wide_shard_size(batch)
    shards = -(-batch // size)
    assert 1 <= shards <= MAX_SHARDS
    assert (shards - 1) * size < batch
    if batch >= 8 * MAX_SHARDS:
        assert size == shard_size(batch)
    else:
        assert shards <= max(8, batch // 8)


def test_directions_of_all_tensors_are_one_phase() -> None:
    """Each is an item, so that threads share them; the longest begins first."""
    network = network_of(WIDE, "Conv 16 3\nReLU\nConv 256 3\nPool 2\n")
    phases = plan(network, host(), Task(64, AdamW(decay=True), muon=True)).phases
    found = [[op.kernel for op in phase.ops if isinstance(op.kernel, MuonDirection)] for phase in phases]
    (directions,) = [kernels for kernels in found if kernels]
    work = [kernel.multiply_adds(1) for kernel in directions]
    assert len(work) == 4
    assert work == sorted(work, reverse=True)


@pytest.mark.parametrize("optimizer", ["sgd", "muon"])
def test_wide_networks_train_to_the_same_bits_on_any_number_of_threads(optimizer: str) -> None:
    """With shards and groups of other sizes than usual, and a batch that does not fill them."""
    rng = np.random.default_rng(0)
    images = ImageSet(rng.integers(0, 256, (40, 64, 8, 8), dtype=np.uint8), (np.arange(40) % 10).astype(np.int32))
    network, recipe = network_of(WIDE, "Pool 2\nBatchNorm\nReLU\n"), Recipe(optimizer=optimizer, batch_size=28)
    weights = []
    for threads in (1, 2, 3, 5):
        engine = CompiledEngine(network, Scaling((1 / 255,) * 64, (0.0,) * 64), recipe, threads)
        assert engine.train(Epoch(images, np.arange(40), np.full(2, 0.01)), 0) == 2
        weights.append(b"".join(array.tobytes() for array in engine.state().weights.values()))
    assert len(set(weights)) == 1
