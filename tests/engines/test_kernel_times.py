"""`layerline engine profile`: a Program that times its kernels trains to the same bits, and counts their work."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import small_data
from click.testing import CliRunner
from kernel_runner import aligned, planes, run

import layerline
from layerline.cli.entry_point import layerline as command
from layerline.compiler.compilation import plan
from layerline.compiler.kernels.muon import ROUNDS, MuonDirection
from layerline.compiler.kernels.peak import UNROLLED, Peak
from layerline.compiler.kernels.relu import ReLUForward
from layerline.compiler.kernels.timed import Timed
from layerline.compiler.machine import host
from layerline.compiler.plane import Plane
from layerline.compiler.schedule import schedule
from layerline.compiler.task import task_of
from layerline.compiler.timed_program import compile_timed, timed
from layerline.engines import make
from layerline.engines.compiled import CompiledEngine
from layerline.engines.epoch import plan_epoch
from layerline.engines.kernel_times import kernel_times
from layerline.errors import DivergedError
from layerline.network import presets
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from layerline.compiler.program import Op

TEXT = "Conv 5 3 1 1\nBatchNorm\nReLU\nPool 2\nDepthwise 3\nReLU\nFlat\nFC 7\nReLU\nFC classes\n"
DATA = small_data.dataset(64, validation=None, test=None)


def ops_of(text: str, recipe: Recipe, shape: tuple[int, int, int], *, training: bool) -> tuple[Op, ...]:
    network = layerline.read(text, input_shape=shape, classes=10) if text in presets() else layerline.parse(text, DATA)
    return plan(network, host(), task_of(recipe, training=training)).program.ops


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
def test_timing_changes_no_bit(monkeypatch: pytest.MonkeyPatch, optimizer: str) -> None:
    """With the clock read around every kernel, an epoch in three threads ends with the same weights."""
    network = layerline.parse(TEXT, DATA)
    recipe = Recipe(batch_size=16, optimizer=optimizer, learning_rate=0.01)
    found = []
    for clock in (False, True):
        with monkeypatch.context() as patch:
            if clock:
                patch.setattr(
                    CompiledEngine, "_code_for", lambda self, task: compile_timed(self._network, self._machine, task)
                )
            engine = make("compiled", network, DATA.scaling, recipe, 3)
            engine.train(plan_epoch(recipe, DATA.train, 1, 3), 0)
            found.append(engine.state())
    for name, value in found[0].weights.items():
        np.testing.assert_array_equal(found[1].weights[name], value)


@pytest.mark.parametrize("preset", presets())
def test_phases_stay(preset: str) -> None:
    """A timed Program has the phases of the one that trains."""
    shape = (1, 8, 8) if preset == "digits" else (3, 32, 32)
    network = layerline.read(preset, input_shape=shape, classes=10)
    planned = plan(network, host(), task_of(Recipe()))
    symbols = [[f"timed_{op.kernel.symbol}" for op in phase.ops] for phase in planned.phases]
    assert [[op.kernel.symbol for op in phase.ops] for phase in schedule(timed(planned.program)).phases] == symbols


@pytest.mark.parametrize("preset", presets())
def test_forward_kernels_count_what_the_layers_count(preset: str) -> None:
    """The multiply-adds of a prediction's kernels are those that `describe` prints, image by image."""
    shape = (1, 8, 8) if preset == "digits" else (3, 32, 32)
    network = layerline.read(preset, input_shape=shape, classes=10)
    ops = ops_of(preset, Recipe(), shape, training=False)
    assert sum(op.kernel.multiply_adds(7) for op in ops) == 7 * network.multiply_adds


def test_gradients_count_two_forward_passes() -> None:
    """Without pools, a training step counts three forward passes, less the input gradient of the first layer."""
    network = layerline.parse("Conv 5 3 1 1\nReLU\nDepthwise 3\nReLU\nConv 4 3\nFlat\nFC 7\nFC classes\n", DATA)
    ops = plan(network, host(), task_of(Recipe())).program.ops
    first, *_ = network.nodes
    assert sum(op.kernel.multiply_adds(7) for op in ops) == 7 * (3 * network.multiply_adds - first.multiply_adds)


def test_a_pooled_gradient_counts_a_window_once() -> None:
    """Behind a 2×2 pool, the filters' gradient has a term for one of four positions."""
    network = layerline.parse("Conv 5 3 1 1\nPool 2\nFlat\nFC classes\n", DATA)
    convolution, _, _, last = network.nodes
    ops = plan(network, host(), task_of(Recipe())).program.ops
    expected = convolution.multiply_adds + convolution.multiply_adds // 4 + 3 * last.multiply_adds
    assert sum(op.kernel.multiply_adds(1) for op in ops) == expected


def test_muon_counts_its_products() -> None:
    """Five rounds of X·Xᵀ, A·A and B·X, X with at least as many columns as rows; the number of images is no matter."""
    ops = ops_of("Conv 5 3 1 1\nFlat\nFC classes\n", Recipe(optimizer="muon"), DATA.shape, training=True)
    (kernel,) = {op.kernel for op in ops if isinstance(op.kernel, MuonDirection)}
    m, n = 5, 9
    assert kernel.multiply_adds(1) == kernel.multiply_adds(64) == ROUNDS * (m * n * m + m * m * m + m * m * n)


def test_the_peak_is_computed() -> None:
    """The kernel that measures the peak does all its multiply-adds: s ← s/2 + 1 from 0, 20 times, is 2 − 2⁻¹⁹."""
    kernel = Peak(host().lanes, host().accumulators)
    size = kernel.lanes * kernel.sums
    s = aligned(size, fill=0.0)
    vectors = {"a": aligned(kernel.lanes, fill=0.5), "b": aligned(kernel.lanes, fill=1.0)}
    run(kernel, host(), {**vectors, "s": s, "ticks": aligned(2, np.int64)}, images=5)
    np.testing.assert_array_equal(s, np.float32(2 - 2.0 ** (1 - 5 * UNROLLED)))
    assert kernel.multiply_adds(5) == 5 * UNROLLED * size


def test_ticks_are_added_up() -> None:
    """A timed kernel computes what the kernel does, and adds to the ticks of the calls before."""
    n = 3
    plane = Plane(2, 5, 7)
    x = np.random.default_rng(0).standard_normal((n, 2, 5, 7)).astype(np.float32)
    kernel, y, ticks = Timed(ReLUForward(plane, plane)), aligned(planes(x).size), aligned(1, np.int64)
    ticks[0] = 10**15
    run(kernel, host(), {"x": planes(x), "y": y, "ticks": ticks}, images=n)
    assert 10**15 < ticks[0] < 2 * 10**15
    first = ticks[0]
    run(kernel, host(), {"x": planes(x), "y": y, "ticks": ticks}, images=n)
    assert ticks[0] > first
    written = ~np.isnan(y)
    assert written.sum() >= x.size
    np.testing.assert_array_equal(y[written], planes(np.maximum(x, 0))[written])


def test_every_kernel_is_timed() -> None:
    """Each kernel of the step has a time, and its speed is at most twice the peak; nothing is missing."""
    network = layerline.parse(TEXT, DATA)
    recipe = Recipe(batch_size=16, learning_rate=0.001)
    found = kernel_times(network, DATA, recipe, 2)
    program = plan(network, host(), task_of(recipe)).program
    assert sorted(each.kernel for each in found.kernels) == sorted(op.kernel.symbol for op in program.ops)
    assert all(each.seconds > 0 for each in found.kernels)
    assert 0 < found.flops < 2 * found.peak.flops
    assert found.images == 16


def test_a_small_set_is_one_batch() -> None:
    """With fewer images than a batch, a step has them all."""
    found = kernel_times(layerline.parse("Flat\nFC classes\n", DATA), DATA, Recipe(batch_size=5000), 1)
    assert found.images == len(DATA.train)


def test_a_divergence_is_reported() -> None:
    """If the loss is not finite, the times would mean nothing."""
    recipe = Recipe(batch_size=16, optimizer="sgd", learning_rate=1e6)
    with pytest.raises(DivergedError, match=r"diverged at step \d+: .*\n.*learning_rate=100000"):
        kernel_times(layerline.parse("Flat\nFC 9\nFC 9\nFC classes\n", DATA), DATA, recipe, 1)


def test_the_command() -> None:
    """A line per kernel, or all numbers as JSON; without data it says how to name some."""
    line = ["engine", "profile", "digits", "--data", "digits", "--threads", "1", "--batch-size", "32"]
    ended = CliRunner().invoke(command, line, catch_exceptions=False)
    assert ended.exit_code == 0
    assert "batch: 32 images of digits, 1 thread\n" in ended.output
    facts = json.loads(CliRunner().invoke(command, [*line, "--json"], catch_exceptions=False).output)
    for each in facts["kernels"]:
        assert f"  {each['kernel']}\n" in ended.output
    assert facts["batch_size"] == 32
    assert facts["seconds"] > 0
    assert CliRunner().invoke(command, ["engine", "profile", "digits"]).exit_code != 0
