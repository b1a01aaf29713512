"""The compiler's stages: what is fused, how phases are cut, that how changes no bit, and its elementary functions."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import pairwise
from math import log
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_runner import aligned, planes, run

from layerline.compiler.build import LOWER, build
from layerline.compiler.compilation import CACHE_SIZE, compile_network, plan
from layerline.compiler.driver import PIECE, write_module
from layerline.compiler.dtype import DType
from layerline.compiler.kernel import Kernel, KernelArgument, Over, reads, sets
from layerline.compiler.kernels import functions
from layerline.compiler.kernels.conv import ConvForward, ConvTile, conv_tile
from layerline.compiler.kernels.conv_formula import Convolution, ConvShape
from layerline.compiler.kernels.conv_gradients import ConvFilters, ConvInput, FiltersTile, InputTile
from layerline.compiler.kernels.optimizers import Sgd
from layerline.compiler.layout import Columns, Matrix, Rows
from layerline.compiler.machine import Machine, host, named
from layerline.compiler.passes import CACHE_BYTES, GROUP_BYTES, PASSES
from layerline.compiler.plane import Plane, capacity
from layerline.compiler.program import Per
from layerline.compiler.shards import shard_size
from layerline.compiler.spec import check
from layerline.compiler.task import Task
from layerline.compiler.tile import balanced, filter_blocks
from layerline.errors import UserError
from layerline.layers import LAYERS
from layerline.network import parse

if TYPE_CHECKING:
    from layerline.compiler.pen import Pen

SIX_LAYER = "Input 1 28 28\nConv 6 5 1 2\nReLU\nPool 2 2\nFlat\nFC 10\nSoftmax\n"
TWO_CONVS = "Input 1 12 12\nConv 6 3\nPool 2\nReLU\nConv 8 3 1 1\nReLU\nFlat\nFC 10\n"
ONE_TAP = "Input 1 12 12\nConv 6 3\nReLU\nConv 8 1\nReLU\nPool 2\nFlat\nFC 10\n"
SGD = Sgd(momentum=True, decay=False)


def test_a_convolution_takes_relu_and_pool_into_its_kernel() -> None:
    """conv, ReLU and pool are one kernel in either order, and the filters' gradient runs over the pooled places."""
    for middle in ("ReLU\nPool 2 2", "Pool 2 2\nReLU"):
        text = SIX_LAYER.replace("ReLU\nPool 2 2", middle)
        names = [op.kernel.symbol for op in plan(parse(text, name="n"), host(), Task(50, SGD)).program.ops]
        assert sum(name.startswith("conv_b_pool2_2_relu_at_fwd") for name in names) == 1
        assert sum(name.startswith(("conv_at_filters", "conv_filters_across")) for name in names) == 1
        assert not any(name.startswith(("pool", "relu_fwd", "unpool")) for name in names)


def test_gradients_behind_a_pool_skip_what_has_none() -> None:
    """A convolution without a pool has a dense input gradient, one with a pool a sparse one; with a single tap and few
    channels it is unpooled first, because that is faster. The first convolution has none."""
    deeper = TWO_CONVS.replace("ReLU\nFlat", "ReLU\nPool 2\nFlat")
    for text, wanted in ((TWO_CONVS, (1, 0, 0)), (deeper, (0, 1, 0)), (ONE_TAP, (1, 0, 1))):
        names = [op.kernel.symbol for op in plan(parse(text, name="n"), host(), Task(50, SGD)).program.ops]
        found = [sum(name.startswith(what) for name in names) for what in ("conv_input", "conv_pooled_input", "unpool")]
        assert tuple(found) == wanted, text


@pytest.mark.parametrize("machine", [host(), named(lanes=4)], ids=lambda m: f"{m.lanes} lanes")
def test_every_pool_of_a_network_is_fused(machine: Machine) -> None:
    """Also after a convolution whose filters were laid out anew for its own pool."""
    text = "Input 1 28 28\n" + "Conv 32 3 padding=1\nReLU\nPool 2\n" * 3 + "Flat\nFC 10\n"
    names = [op.kernel.symbol for op in plan(parse(text, name="n"), machine, Task(50, SGD)).program.ops]
    assert sum("conv_b_pool2_2_relu_at_fwd" in name for name in names) == 3
    assert not any(name.startswith("pool") for name in names)


def test_a_group_fits_in_the_cache_unless_fc_has_more_to_read() -> None:
    """A few images whose values stay in the cache; where FC's weights are larger than they are, a whole shard; but
    never more than the limit."""
    convs = "Conv 32 3\nReLU\nConv 64 3\nReLU\nPool 2\nFlat\nFC {}\nFC 10\n"
    for text, batch, wanted in (
        ("Input 1 28 28\nConv 32 3\nReLU\nPool 2\nFlat\nFC 10\n", 160, CACHE_BYTES),
        ("Input 1 28 28\n" + convs.format(128), 64, 0),
        ("Input 1 28 28\n" + convs.format(128), 4096, GROUP_BYTES),
    ):
        program = plan(parse(text, name="n"), host(), Task(batch, SGD)).program
        image = sum(b.size * b.dtype.bytes for b in program.buffers if b.per is Per.IMAGE)
        assert program.group == (wanted // image if wanted else program.shard_size), text
        assert 1 < program.group <= program.shard_size


def test_overlapping_and_padded_pools_stand_alone() -> None:
    """Only windows side by side are taken in registers."""
    for pool in ("Pool 3 2", "Pool 2 2 1", "Pool 8"):
        text = SIX_LAYER.replace("Pool 2 2", pool)
        names = [op.kernel.symbol for op in plan(parse(text, name="n"), host(), Task(50, SGD)).program.ops]
        assert sum(name.startswith("pool_at_fwd") for name in names) == 1, pool


def test_six_layers_train_in_two_phases() -> None:
    """All images, then all slices of all weights; what the weights' gradient reads is kept for the whole batch."""
    schedule = plan(parse(SIX_LAYER, name="n"), host(), Task(50, SGD))
    assert [phase.over for phase in schedule.phases] == [Over.IMAGES, Over.SLICES]
    kept = {b.name for b in schedule.in_arena if b.per is Per.IMAGE}
    assert kept == {"y2", "dy4"}


def test_whole_gradients_need_a_phase_of_their_own() -> None:
    """Without fused updates the steps wait until every gradient is whole."""
    schedule = plan(parse(SIX_LAYER, name="n"), host(), Task(50, SGD, fuse_updates=False))
    assert [phase.over for phase in schedule.phases] == [Over.IMAGES, Over.SLICES, Over.SLICES]
    assert all(tensor.gradient in schedule.in_arena for tensor in schedule.program.tensors)


def test_prediction_has_one_phase_and_no_places() -> None:
    """The forward-only Program keeps nothing that training would need."""
    schedule = plan(parse(SIX_LAYER, name="n"), host(), Task(1, SGD, training=False))
    assert len(schedule.phases) == 1
    assert not any(
        b.per in (Per.SHARD, Per.THREAD) or b.dtype is DType.I32
        for b in schedule.program.buffers
        if b.per is not Per.GIVEN
    )


def test_buffers_do_not_overlap() -> None:
    """Every buffer of the arena ends before the next begins, on lines of 64 bytes."""
    schedule = plan(parse(TWO_CONVS, name="n"), host(), Task(50, SGD))
    items = {Per.ONCE: 1, Per.SHARD: schedule.program.shards, Per.IMAGE: 50}
    spans = sorted(
        (at, at + b.size * {DType.F32: 4, DType.I32: 4, DType.F64: 8, DType.I64: 8}[b.dtype] * items[b.per])
        for b, at in schedule.in_arena.items()
    )
    assert all(at % 64 == 0 for at, _ in spans)
    assert all(end <= following for (_, end), (following, _) in pairwise(spans))
    assert spans[-1][1] <= schedule.arena_bytes


EVERY_LAYER = """Input 3 16 16
Conv 6 3 padding=1
BatchNorm
ReLU
Residual
Depthwise 3 padding=1
LeakyReLU
Conv 6 1
SiLU
End
Pool 2
Concat
Conv 5 1
Branch
Branch
AvgPool 3 1 1
End
Gate
GlobalPool
HardSigmoid
End
Gate
Conv 17 1
End
GELU
AvgPool 2
Tanh
Dropout 0.5
Depthwise 3 padding=same multiplier=2 bias=no
ReLU6
Conv 7 3
Pool 3 stride=2 padding=same
HardSwish
AvgPool 2 padding=same
ELU
Dropout2d 0.5
Residual
GlobalPool
Mish
Shortcut
GlobalMaxPool
End
Flat
FC 8
Sigmoid
FC 10
Softmax
"""


def test_every_pass_leaves_a_program_that_is_right() -> None:
    """The passes one by one on a network with every layer, to train and to predict."""
    network = parse(EVERY_LAYER, name="n")
    assert {type(node.layer) for node in network.nodes} == set(LAYERS)
    assert set(LOWER) == {layer.kind for layer in LAYERS}
    for training in (True, False):
        program = build(network, host(), Task(50, SGD, training=training))
        for run_pass in PASSES:
            program = run_pass(program, host())
            check(program, run_pass.__name__)


INVERTED = """Input 3 16 16
Conv 16 3 stride=2 padding=1 bias=no
BatchNorm
ReLU6
Residual
Conv 48 1 bias=no
BatchNorm
ReLU6
Depthwise 3 padding=1 bias=no
BatchNorm
ReLU6
Conv 16 1 bias=no
BatchNorm
End
GlobalPool
Flat
FC 10
"""


def symbols_of(text: str, *, training: bool) -> list[str]:
    task = Task(50, SGD, training=training)
    return [op.kernel.symbol for op in plan(parse(text, name="n"), host(), task).program.ops]


def test_relu6_and_hard_swish_are_in_the_convolutions() -> None:
    """In direct and depthwise ones, or in the BatchNorm between them, to train; without one y alone has the slope.
    HardSwish is fused to predict, but never before a pool, because it also decreases."""
    for name, line in (("relu6", "ReLU6"), ("hard_swish", "HardSwish")):
        for training in (False, True):
            symbols = symbols_of(INVERTED.replace("ReLU6", line), training=training)
            assert not any(symbol.startswith(f"{name}_") for symbol in symbols)
            assert sum(f"_{name}_fwd" in symbol for symbol in symbols) == 3
            assert sum(f"batch_norm_{name}_fwd" in symbol for symbol in symbols) == 3 * training
    symbols = symbols_of("Input 3 8 8\nConv 16 3\nHardSwish\nPool 2\nFlat\nFC 3\n", training=False)
    assert any("_hard_swish_fwd" in symbol for symbol in symbols)
    assert not any("_pool2_2" in symbol for symbol in symbols)
    symbols = symbols_of(INVERTED.replace("BatchNorm\n", ""), training=True)
    assert sum("_relu6_fwd" in symbol for symbol in symbols) == sum("relu6_bwd" in symbol for symbol in symbols) == 3
    assert not any(symbol.startswith("relu6_fwd") for symbol in symbols)


def test_a_batch_norm_does_what_follows_it() -> None:
    """A sum, then an activation, forward; the activation alone backward, because a sum's gradient has two readers. An
    activation with another reader, one that takes long, and a sum of equal values stay by themselves."""
    block = "Residual\nConv 8 3 padding=1\nBatchNorm\nEnd\nReLU\n"
    text = f"Input 8 9 7\nConv 8 1\nBatchNorm\nHardSwish\n{block}GlobalPool\nFlat\nFC 3\n"
    symbols = symbols_of(text, training=True)
    for part in ("hard_swish_fwd", "hard_swish_gradient_sums", "hard_swish_bwd", "sum_relu_fwd", "gradient_sums"):
        assert sum(symbol.startswith(f"batch_norm_{part}_c8") for symbol in symbols) == 1, part
    assert sum(symbol.startswith("relu_bwd_c8") for symbol in symbols) == 1
    assert not any(symbol.startswith(("sum_", "relu_fwd", "hard_swish")) for symbol in symbols)
    symbols = symbols_of(text.replace("HardSwish", "SiLU").replace("End\nReLU", "End\nTanh"), training=True)
    assert sum(symbol.startswith(("silu_", "tanh_")) for symbol in symbols) == 4
    assert sum(symbol.startswith("batch_norm_sum_fwd") for symbol in symbols) == 1


@given(st.integers(1, 500), st.integers(1, 40))
def test_balanced_pieces_cover_everything_once(n: int, most: int) -> None:
    """Pieces follow each other, none is larger than asked, sizes differ by one at most."""
    cuts, at = balanced(n, most), 0
    for first, size, count in cuts:
        assert first == at
        assert 1 <= size <= most
        at += size * count
    assert at == n
    assert max(size for _, size, _ in cuts) - min(size for _, size, _ in cuts) <= 1


@given(st.integers(1, 300), st.sampled_from([1, 4, 8, 16]), st.integers(1, 4))
def test_filter_blocks_cover_every_filter_once(filters: int, lanes: int, most: int) -> None:
    """Blocks follow each other and only the last may hold more lanes than filters."""
    machine, at = Machine("x", "x", "", lanes, 32, fma=True), 0
    for block in filter_blocks(filters, machine, most):
        assert block.first == at
        assert block.vectors <= most
        at += block.width * block.count
    assert at >= filters
    assert at - filters < lanes


@given(st.integers(1, 5000))
def test_shards_cover_the_batch(batch: int) -> None:
    """At most 16 shards, none of them empty."""
    size = shard_size(batch)
    shards = -(-batch // size)
    assert shards <= 16
    assert (shards - 1) * size < batch


def test_layouts_are_one_to_one() -> None:
    """What is packed is unpacked unchanged."""
    numbers = np.random.default_rng(0)
    machine = host()
    shape = ConvShape(Plane(3, 9, 9), 22, (3, 2), (1, 1), (1, 1), (0, 0), (7, 8))
    filters = numbers.standard_normal((22, 3, 3, 2)).astype(np.float32)
    rows = shape.rows(machine)
    for layout in (
        rows,
        Columns(rows.shape, rows.runs, rows.length, filter_blocks(22, machine, 4)),
        Rows((22, 3, 3, 2), 6, 3, 4),
    ):
        np.testing.assert_array_equal(layout.unpack(layout.pack(filters)), filters)
        assert layout.pack(filters).shape == (layout.size,)
    weights = numbers.standard_normal((7, 30)).astype(np.float32)
    np.testing.assert_array_equal((m := Matrix(7, (2, 5, 3), 32)).unpack(m.pack(weights)), weights)


@dataclass(frozen=True)
class _Exp(Kernel):
    symbol: ClassVar[str] = "exp"

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {"x": reads(1), "y": sets(1)}

    def write(self, pen: Pen) -> None:
        lanes = pen.machine.lanes
        with pen.loop("i", pen.count("images"), step=lanes) as i:
            pen.store(functions.exp(pen, pen.load(pen.pointer("x"), i, lanes)), pen.pointer("y"), i)


@dataclass(frozen=True)
class _Log(Kernel):
    symbol: ClassVar[str] = "log"

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {"x": reads(1, DType.F64), "y": sets(1, DType.F64)}

    def write(self, pen: Pen) -> None:
        with pen.loop("i", pen.count("images")) as i:
            pen.store(functions.log(pen, pen.load(pen.pointer("x"), i)), pen.pointer("y"), i)


@pytest.mark.parametrize("machine", [host(), named(lanes=1), named("x86-64")], ids=lambda m: f"{m.cpu}-{m.lanes}")
def test_exp_errs_by_less_than_one_and_a_half_units(machine: Machine) -> None:
    """e^x for 200,000 numbers from −87 to 0, against float64; NaN stays NaN, what is lower counts as −87."""
    n = 200_000
    x, y = aligned(n), aligned(n)
    x[:] = np.linspace(-87, 0, n, dtype=np.float32)
    run(_Exp(), machine, {"x": x, "y": y}, images=n)
    exact = np.exp(x.astype(np.float64))
    assert np.abs(y - exact).max() > 0
    assert (np.abs(y - exact) / np.spacing(exact.astype(np.float32))).max() <= 1.5
    x[:4] = (np.nan, -200, -np.inf, 0)
    run(_Exp(), machine, {"x": x, "y": y}, images=n)
    assert np.isnan(y[0])
    assert 0 < y[1] == y[2] < 2e-38
    assert y[3] == 1


def test_log_errs_by_at_most_four_units() -> None:
    """ln x for numbers from 1 to 10⁶, against NumPy's float64; NaN stays NaN."""
    n = 50_000
    x, y = aligned(n, np.float64), aligned(n, np.float64)
    x[:] = np.exp(np.linspace(0, log(1e6), n))
    x[0], x[1] = 1.0, np.nan
    run(_Log(), host(), {"x": x, "y": y}, images=n)
    assert y[0] == 0
    assert np.isnan(y[1])
    exact = np.log(x[2:])
    assert (np.abs(y[2:] - exact) / np.spacing(exact)).max() <= 4


def conv_arrays(shape: ConvShape, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    numbers = np.random.default_rng(1)
    x = shape.x
    images = numbers.standard_normal((n, x.channels, x.height, x.width)).astype(np.float32)
    filters = numbers.standard_normal((shape.filters, x.channels, *shape.kernel)).astype(np.float32)
    bias = numbers.standard_normal(shape.filters).astype(np.float32)
    dy = numbers.standard_normal((n, shape.filters, *shape.out)).astype(np.float32)
    return images, filters, bias, dy


SHAPE = ConvShape(Plane(3, 10, 11, 1, 1, 1, 1), 22, (3, 3), (1, 1), (1, 1), (1, 1), (10, 11))


@pytest.mark.parametrize("machine", [host(), named(lanes=4)], ids=lambda m: f"{m.lanes} lanes")
def test_tiles_change_no_bit_forward(machine: Machine) -> None:
    """Whatever the tile, the same sums in the same order."""
    images, filters, bias, _ = conv_arrays(SHAPE, 2)
    y_plane, results = Plane(22, 10, 11), []
    best = conv_tile(SHAPE, machine)
    assert best is not None
    for blocks in (best.blocks, filter_blocks(22, machine, 1)):
        for rows, columns in ((1, 1), (1, 5), (3, 2), (best.rows, best.columns)):
            kernel = ConvForward(Convolution(SHAPE, y_plane), ConvTile(blocks, rows, columns))
            w = aligned(capacity(kernel.columns.size))
            w[: kernel.columns.size] = kernel.columns.pack(filters)
            b = aligned(capacity(22))
            b[:22] = bias
            y = aligned(2 * capacity(y_plane.size))
            run(kernel, machine, {"x": planes(images, (1, 1, 1, 1)), "w": w, "b": b, "y": y}, images=2)
            results.append(y.reshape(2, -1)[:, : y_plane.size].reshape(2, 10, 11, 22).transpose(0, 3, 1, 2))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize("machine", [host(), named(lanes=4)], ids=lambda m: f"{m.lanes} lanes")
def test_tiles_change_no_bit_backward(machine: Machine) -> None:
    """The same for the gradients by the filters and by the input."""
    images, filters, _, dy = conv_arrays(SHAPE, 2)
    rows = SHAPE.rows(machine)
    x, g, dy_plane = planes(images, (1, 1, 1, 1)), planes(dy), Plane(22, 10, 11)
    w = aligned(capacity(rows.size))
    w[: rows.size] = rows.pack(filters)
    by_filters, by_input = [], []
    for tile in (FiltersTile(1, 1, 1), FiltersTile(5, 2, 1), FiltersTile(3, 3, 1)):
        dw = aligned(capacity(rows.size), fill=0.0)
        run(ConvFilters(SHAPE, dy_plane, tile), machine, {"x": x, "dy": g, "dw": dw}, images=2)
        by_filters.append(rows.unpack(dw))
    for tile in (InputTile(1, 1), InputTile(4, 1), InputTile(11, 1)):
        dx = aligned(2 * capacity(SHAPE.x.size))
        run(ConvInput(SHAPE, dy_plane, tile), machine, {"dy": g, "w": w, "dx": dx}, images=2)
        by_input.append(dx.reshape(2, -1)[:, : SHAPE.x.size].copy())
    for results in (by_filters, by_input):
        for result in results[1:]:
            np.testing.assert_array_equal(result, results[0])


def test_time_grows_with_the_layers_and_not_faster() -> None:
    """400 layers in a row: no function calls more than its piece, each phase is in order, and training goes well."""
    network = parse("Input 1 6 6\nRepeat 400\nConv 1 3 padding=1\nEnd\nFlat\nFC 3\n", name="deep")
    schedule = plan(network, host(), Task(8, SGD))
    assert [phase.over for phase in schedule.phases] == [Over.IMAGES, Over.SLICES]
    functions = re.split(r"(?m)^define ", write_module(schedule, host()))[1:]
    calls = {text.partition("(")[0]: len(re.findall(r"(?m)^  call ", text)) for text in functions}
    assert max(calls.values()) <= PIECE
    assert sum(name.startswith('internal void @"phase0_way_part') for name in calls) == -(
        -len(schedule.phases[0].ops) // PIECE
    )


def test_symbols_of_different_kernels_differ() -> None:
    """A kernel's name tells what and how: no two kernels of a Program share one."""
    for text in (SIX_LAYER, TWO_CONVS):
        kernels = {op.kernel for op in plan(parse(text, name="n"), host(), Task(50, SGD)).program.ops}
        assert len({kernel.symbol for kernel in kernels}) == len(kernels)


def test_an_unknown_cpu_or_width_is_refused() -> None:
    """With what is known."""
    with pytest.raises(UserError, match="--cpu pentium: unknown CPU"):
        named("pentium")
    with pytest.raises(UserError, match="lanes=5"):
        named(lanes=5)


def test_the_last_codes_are_kept() -> None:
    """Who asks for equal code gets the same; another network, task or machine has its own; only so many are kept."""
    network, task = parse(TWO_CONVS, name="n"), Task(8, SGD)
    first = compile_network(network, host(), task)
    assert compile_network(parse(TWO_CONVS, name="n"), host(), Task(8, Sgd(momentum=True, decay=False))) is first
    others = (
        compile_network(parse(TWO_CONVS.replace("FC 10", "FC 9"), name="n"), host(), task),
        compile_network(network, host(), replace(task, training=False)),
        compile_network(network, named(lanes=4), task),
    )
    assert len({id(found.code) for found in (first, *others)}) == 4
    for classes in range(2, 2 + CACHE_SIZE):
        compile_network(parse(f"Input 1 2 2\nFlat\nFC {classes}\n", name="n"), host(), task)
    assert compile_network(network, host(), task) is not first


def looked_at_one_by_one(batch: int) -> int:
    """Return the size of a shard by trying all sizes, as it was once done."""

    def longest(size: int, threads: int) -> int:
        loads = [0] * threads
        for first in range(0, batch, size):
            loads[loads.index(min(loads))] += min(size, batch - first)
        return max(loads)

    sizes = range(-(-batch // 16), -(-batch // 8) + 1)
    return min(sizes, key=lambda size: (longest(size, 2), 4 * longest(size, 4) + 8 * longest(size, 8)))


def test_shards_are_those_of_all_sizes_tried() -> None:
    """The few sizes that are looked at have the best among them, for every batch up to 1,500 and some larger ones."""
    for batch in (*range(1, 1500), 4096, 8191, 10_000, 65_537):
        assert shard_size(batch) == looked_at_one_by_one(batch), batch


def test_the_largest_batch_has_a_shard_size() -> None:
    """A batch of 2³¹ images is cut at once, not after looking at a hundred million sizes."""
    assert shard_size(2**31) == 2**27
