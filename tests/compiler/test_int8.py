"""Networks on 8-bit values: the bits of whole Programs, what their integers prove, and how near they are to float32."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import pytest
from checked_kernels import check
from forward_runner import run
from int8_networks import (
    EVERY_LAYER,
    Int8Network,
    at_random,
    of_text,
    scores_of_code,
    scores_of_floats,
    scores_of_numpy,
)
from kernel_runner import aligned, image
from kernel_runner import run as run_kernel

from layerline.compiler.int8.equalizing import equalized
from layerline.compiler.int8.int8_steps import steps_of
from layerline.compiler.int8.scales import Scale, TooLargeError, effective_biases, factor_of, filters_of, scale_of
from layerline.compiler.kernels.int8_pointwise import Int8Table
from layerline.compiler.lifetimes import shared
from layerline.compiler.machine import host, named
from layerline.compiler.plane import Plane, capacity
from layerline.compiler.schedule import schedule
from layerline.errors import NetworkError
from layerline.export.int8 import observing
from layerline.export.int8.observing import observed

MACHINES: Final = {"host": host(), "4 lanes": named(lanes=4), "1 lane": named(lanes=1)}


def compared(of: Int8Network, machine: str) -> None:
    """Raise AssertionError where the bits of machine code are not those of the definitions."""
    wanted = scores_of_numpy(of, named(lanes=1))
    np.testing.assert_array_equal(scores_of_code(of, MACHINES[machine]), wanted)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("seed", [0, 1])
def test_every_layer_has_the_bits_of_its_definition(machine: str, seed: int) -> None:
    """In vectors of any width, from zero points that are not zero, through borders."""
    compared(of_text(EVERY_LAYER, seed), machine)


@pytest.mark.parametrize("seed", range(16))
def test_networks_at_random_have_the_bits_of_their_definition(seed: int) -> None:
    """The same for networks at random, at one width each."""
    compared(at_random(seed), list(MACHINES)[seed % len(MACHINES)])


def test_the_order_of_an_image_s_bytes_makes_no_difference() -> None:
    """Images in H, W, C order have the results of the same in C, H, W order."""
    for seed in (0, 1):
        of = of_text(EVERY_LAYER, seed)
        np.testing.assert_array_equal(
            scores_of_code(of, host(), channels_last=True), scores_of_code(of, host(), channels_last=False)
        )


@pytest.mark.parametrize("seed", range(20, 28))
def test_int8_is_near_float32(seed: int) -> None:
    """The scores of networks at random differ from those of the float engine by less than a twentieth of what the
    scores of images and classes are apart."""
    of = at_random(seed)
    exact, found = scores_of_floats(of), scores_of_code(of, host())
    assert np.sqrt(((found - exact) ** 2).mean()) < exact.std() / 20


RANGES: Final = ((0.0, 3.0), (-1.5, 2.0), (-4.0, 0.0), (0.2, 0.3), (0.0, 0.0), (-1e-30, 1e30))


@pytest.mark.parametrize(("low", "high"), RANGES)
def test_a_scale_covers_its_range_and_has_zero(low: float, high: float) -> None:
    """0 is one of the values, and the ends are not cut off by more than one step."""
    scale = scale_of(low, high)
    assert scale.numbers(scale.values(np.zeros(1)))[0] == 0
    ends = np.array([low, high])
    assert (np.abs(scale.numbers(scale.values(ends)) - ends) <= scale.scale).all()


def test_factors_have_32_bits() -> None:
    """The largest ratio is below a half; a scale that is made larger for it has a factor that fits."""
    assert factor_of(np.array([0.25, 2.0**-40])).tolist() == [2**30, 0]
    with pytest.raises(ValueError, match="does not fit"):
        factor_of(0.5)
    assert factor_of(3.0 / scale_of(0.0, 1.0, least=2 * 3.0).scale) <= 2**31 - 1


def test_sums_never_overflow() -> None:
    """With as many products as fit, the worst values reach almost 2³¹; with more, the filter is refused."""
    x, most = Scale(1.0, -128.0), (2**31 - 1) // (127 * 256)
    filters = filters_of(np.ones((1, most)), np.zeros(1), x, None, np.zeros((1, 1)))
    assert np.abs(filters.biases).max() + 128 * np.abs(filters.weights.astype(np.int64)).sum() < 2**31
    with pytest.raises(TooLargeError, match=r"sums of 66,0\d\d products"):
        filters_of(np.ones((1, most + 10)), np.zeros(1), x, None, np.zeros((1, 1)))


def test_biases_of_weights_that_are_zero_fit() -> None:
    """Also where every weight is zero, of the last layer or of one before."""
    for y in (None, 0.5):
        filters = filters_of(np.zeros((2, 4)), np.array([3.0, -2e6]), Scale(0.01, -5.0), y, np.zeros((1, 1)))
        np.testing.assert_allclose(filters.biases * filters.scales * 0.01, [3.0, -2e6], rtol=1e-3)


@pytest.mark.parametrize("factor", [1.0, 1e-3, 1e-6, 1e-12])
@pytest.mark.parametrize("filters", [[0, 1, 2, 3], [2]], ids=["all", "one"])
def test_a_layer_that_is_switched_off_stays_so(filters: list[int], factor: float) -> None:
    """Biases far below what the weights can add, as weight decay leaves them: no factor needs more than 32 bits."""
    of = of_text("Input 1 8 8\nConv 4 3\nReLU\nConv 4 3\nReLU\nFlat\nFC 5\n")
    of.weights["2.weight"] = of.weights["2.weight"] * np.float32(factor)
    of.weights["2.bias"] = np.where(np.isin(np.arange(4), filters), -1e9, 0).astype(np.float32)
    of.weights["5.bias"] = np.arange(5, dtype=np.float32) / 4
    compared(of, "host")
    exact, found = scores_of_floats(of), scores_of_code(of, host())
    assert np.abs(found - exact).max() < 0.02


def test_biases_beyond_every_input_change_no_value() -> None:
    """The values of the worst inputs are those of the biases as they were."""
    numbers, x, y = np.random.default_rng(6), Scale(0.02, -100.0), 0.3
    weights, biases = numbers.normal(size=(6, 20)), np.array([-1e9, 1e9, -3e3, 3e3, 0.4, -0.4])
    found = effective_biases(weights, biases, x, y)
    assert (found[4:] == biases[4:]).all()
    inputs = x.numbers(numbers.choice(np.array([-128, 127], np.int8), (500, 20)))
    for each in (found, biases):
        values = Scale(y, 3.0).values(inputs @ weights.T + each)
        assert (values[:, :4] == [-128, 127, -128, 127]).all()


def test_images_that_do_not_fit_in_memory_are_observed_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much a single one needs, and with the same result."""
    of = of_text("Input 1 6 6\nConv 4 3\nReLU\nFlat\nFC 3\n")
    whole = observed(of.network, of.scaling, of.weights, of.split)
    monkeypatch.setattr(observing, "MEMORY", 1)
    for value, seen in observed(of.network, of.scaling, of.weights, of.split).items():
        np.testing.assert_array_equal(seen.low, whole[value].low)
        np.testing.assert_array_equal(seen.high, whole[value].high)
        np.testing.assert_allclose(seen.mean, whole[value].mean, rtol=1e-6)


def test_rounded_weights_keep_the_mean() -> None:
    """What rounding adds to the output of a mean input is in the bias: within half a unit of the sum."""
    numbers = np.random.default_rng(3)
    weights, mean = numbers.normal(size=(5, 40)), numbers.random((1, 40))
    x = Scale(0.02, -100.0)
    filters = filters_of(weights, np.zeros(5), x, 0.1, mean)
    values = mean / x.scale + x.zero
    sums = (filters.weights * values).sum(1) + filters.biases
    np.testing.assert_allclose(sums * filters.scales * x.scale, (weights * mean).sum(1), atol=filters.unit * x.scale)


def test_layers_without_a_kernel_are_computed_with_the_one_before() -> None:
    """BatchNorm, ReLU, a pool and Dropout are no steps of their own after a convolution, in any order that there is."""
    of = of_text("Input 1 12 12\nConv 4 3\nBatchNorm\nReLU\nPool 2\nDropout 0.5\nReLU6\nFlat\nFC 6\nReLU\nFC 3\n")
    steps = steps_of(of.network).steps
    assert [(step.node.layer.kind, step.pool, step.limit, step.value) for step in steps] == [
        ("conv", (2, 2), 6.0, 6), ("fc", (1, 1), float("inf"), 9), ("fc", (1, 1), None, 10)
    ]  # fmt: skip


def test_a_value_with_two_readers_stays() -> None:
    """A convolution whose result a Residual reads too is not limited by the ReLU of one reader."""
    of = of_text("Input 2 6 6\nConv 2 3 padding=1\nResidual\nReLU\nConv 2 1\nEnd\nGlobalPool\nFlat\nFC 3\n")
    assert [step.node.layer.kind for step in steps_of(of.network).steps] == [
        "conv", "relu", "conv", "add", "global_pool", "fc"
    ]  # fmt: skip


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("seed", range(6))
def test_kernels_stay_inside_their_buffers(seed: int, machine: str) -> None:
    """Of a network that has every layer, and of networks at random; images in either order."""
    of = of_text(EVERY_LAYER, seed) if seed < 2 else at_random(seed)
    for op in of.program(MACHINES[machine], channels_last=seed % 2 > 0).program.ops:
        assert check(op, MACHINES[machine]) > 0


@pytest.mark.parametrize("seed", range(8))
def test_shared_memory_full_of_garbage_has_the_same_bits(seed: int) -> None:
    """Kernels write the borders themselves, and each image finds what the last one left."""
    of = of_text(EVERY_LAYER, seed) if seed < 2 else at_random(seed)
    machine = named("x86-64", 1)
    program = of.program(machine)
    apart, planned = schedule(program.program), shared(program.program, machine)
    images = of.split.source.images[:3]
    expected = run(apart, program.arena(apart), machine, of.scaling, images, 0.0)
    found = run(planned, program.arena(planned), machine, of.scaling, images, np.nan)
    np.testing.assert_array_equal(found.view(np.int32), expected.view(np.int32))
    assert planned.scratch_bytes < apart.scratch_bytes


@pytest.mark.parametrize("lanes", [1, 4])
@pytest.mark.parametrize("plane", [Plane(5, 4, 7, 1, 2, 0, 1), Plane(3, 1, 1, 1, 1, 1, 1), Plane(2, 3, 2, 0, 1, 2, 0)])
def test_a_kernel_writes_the_border_of_its_result(plane: Plane, lanes: int) -> None:
    """Its zero point, everywhere around the image, and nothing after it."""
    x, size = Plane(plane.channels, plane.height, plane.width), capacity(plane.size)
    memory, source = aligned(2 * size, np.int8), aligned(2 * capacity(x.size), np.int8)
    memory[:] = 77
    table, t = aligned(capacity(256), np.int8), np.array([-9], np.int32)
    run_kernel(Int8Table(x, plane), named(lanes=lanes), {"x8": source, "table": table, "t": t, "y8": memory}, images=2)
    expected = np.full((2, size), 77, np.int8)
    expected[:, : plane.size] = -9
    image(plane, 2).values(expected.reshape(-1))[...] = 0
    np.testing.assert_array_equal(memory, expected.reshape(-1))


REFUSED: Final = {
    "many": ("Input 1 400 400\nConv 1 390\nFlat\nFC 2\n", "sums of 152,100 products"),
    "mean": ("Input 1 725 725\nGlobalPool\nFlat\nFC 2\n", "a mean of 525,625 values"),
}


@pytest.mark.parametrize("which", REFUSED)
def test_what_32_bits_cannot_sum_is_refused(which: str) -> None:
    """By the line in the network file, with the number of products or of values."""
    text, message = REFUSED[which]
    of = of_text(text)
    for name in of.weights:
        of.weights[name] = np.copysign(np.float32(0.5), of.weights[name])
    with pytest.raises(NetworkError, match=message):
        of.program(named(lanes=1))


CHAIN: Final = """Input 2 12 12
Conv 6 3 padding=1
ReLU
Pool 2
Depthwise 3 padding=1
Conv 8 3 groups=2
ReLU
AvgPool 2
Depthwise 2 multiplier=2
ReLU
Flat
FC 12
ReLU
FC 5
"""
"""Every pair of layers with weights between which channels may be divided."""


def uneven(of: Int8Network, spread: float) -> Int8Network:
    """Return a network of which some channels are so many times as large as others."""
    numbers, weights = np.random.default_rng(2), dict(of.weights)
    for name, weight in weights.items():
        if name.endswith("weight") and name != "12.weight":
            factors = np.exp(numbers.uniform(-1, 1, len(weight)) * np.log(spread) / 2).astype(np.float32)
            weights[name] = weight * factors.reshape(-1, *[1] * (weight.ndim - 1))
    return replace(of, weights=weights)


def test_equalized_channels_compute_the_same() -> None:
    """The float engine finds the same scores, and every value in between has channels of about one range."""
    of = uneven(of_text(CHAIN), 200.0)
    steps, seen = steps_of(of.network), observed(of.network, of.scaling, of.weights, of.split)
    weights, after = equalized(steps, of.weights, seen)
    made = replace(of, weights={name: np.asarray(weight, np.float32) for name, weight in weights.items()})
    exact = scores_of_floats(of)
    np.testing.assert_allclose(scores_of_floats(made), exact, atol=1e-4 * np.abs(exact).max())
    again = observed(made.network, made.scaling, made.weights, made.split)
    for step in steps.steps[:-1]:
        np.testing.assert_allclose(again[step.value].high, after[step.value].high, rtol=1e-3, atol=1e-6)
    before, ranges = (found[1 + 2].high.reshape(6, -1).max(1) for found in (seen, after))
    assert before.max() / before.min() > 20
    assert ranges.max() / ranges.min() < 1.001


def test_uneven_channels_are_as_near_to_float32_as_even_ones() -> None:
    """Channels 500 times as large as others cost nothing; without equalizing, the scores would be noise."""
    of = uneven(of_text(CHAIN), 500.0)
    exact, found = scores_of_floats(of), scores_of_code(of, host())
    assert np.sqrt(((found - exact) ** 2).mean()) < exact.std() / 20


def test_channels_that_something_else_reads_stay() -> None:
    """Nothing is divided through a SiLU, or into the sum of a Residual."""
    text = "Input 1 6 6\nConv 4 3\nSiLU\nConv 4 1\nResidual\nConv 4 1\nEnd\nFlat\nFC 3\n"
    of = uneven(of_text(text), 100.0)
    weights, _ = equalized(steps_of(of.network), of.weights, observed(of.network, of.scaling, of.weights, of.split))
    assert all(weights[name] is weight for name, weight in of.weights.items())


def test_a_network_without_a_layer_that_computes_is_possible() -> None:
    """Its scores are its pixels."""
    of = of_text("Input 3 1 2\nFlat\nDropout 0.5\n")
    np.testing.assert_allclose(scores_of_code(of, host()), scores_of_floats(of), atol=1e-6)


def test_channels_below_the_limit_of_a_relu6_are_enlarged() -> None:
    """Those that reach 6 keep their weights, others come near it; for the images seen, the scores are the same."""
    of = of_text("Input 2 8 8\nConv 8 3\nReLU6\nDepthwise 3\nFlat\nFC 3\n")
    factors = np.array([50, 50, 1, 0.1, 1, 0.01, 3, 0.5], np.float32)
    of = replace(of, weights={**of.weights, "0.weight": of.weights["0.weight"] * factors[:, None, None, None]})
    seen = observed(of.network, of.scaling, of.weights, of.split)
    weights, after = equalized(steps_of(of.network), of.weights, seen)
    reached = seen[2].high.reshape(8, -1).max(1) == 6
    assert 0 < reached.sum() < 8
    np.testing.assert_array_equal(weights["0.weight"][reached], of.weights["0.weight"][reached])
    ranges = after[2].high.reshape(8, -1).max(1)
    assert (ranges[~reached] > 5.3).all()
    assert ranges.max() <= 6
    made = replace(of, weights={name: np.asarray(weight, np.float32) for name, weight in weights.items()})
    exact = scores_of_floats(of)
    np.testing.assert_allclose(scores_of_floats(made), exact, atol=1e-4 * np.abs(exact).max())
