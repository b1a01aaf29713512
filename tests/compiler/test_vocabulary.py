"""The compiled engine's layers beside their gradients: functions, statistics, dropout, folding, the same bits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from kernel_runner import aligned, run
from oracle import Verdicts, engine_for, random_case

from layerline.compiler.folding import folds
from layerline.compiler.kernel import Kernel, KernelArgument, reads, sets
from layerline.compiler.kernels import functions
from layerline.compiler.kernels.activations import (
    ActivationForward,
    GELUFunction,
    LeakyReLUFunction,
    SigmoidFunction,
    SiLUFunction,
    TanhFunction,
)
from layerline.compiler.kernels.dropout import DropoutMask, MaskedChannels, mask_size
from layerline.compiler.kernels.exponential_activations import ELUFunction, MishFunction
from layerline.compiler.kernels.piecewise_activations import HardSigmoidFunction, HardSwishFunction, ReLU6Function
from layerline.compiler.machine import host, named
from layerline.compiler.plane import Plane, capacity
from layerline.data.dataset import ImageSet, Scaling, Split
from layerline.engines.compiled import CompiledEngine
from layerline.engines.epoch import Epoch
from layerline.engines.interface import State
from layerline.layers import LAYERS
from layerline.network import initial_weights, parse
from layerline.numbers.randomness import dropout_keep
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from layerline.compiler.pen import Pen

X86 = host().triple.startswith("x86_64")
WIDTHS = {"host": (None, None), **({"8": ("haswell", None), "4": ("x86-64", None), "1": ("x86-64", 1)} if X86 else {})}
CHUNK = 1024


@dataclass(frozen=True)
class _Function(Kernel):
    """y = f(x) for CHUNK numbers."""

    name: str

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {"x": reads(CHUNK), "y": sets(CHUNK)}

    @property
    def symbol(self) -> str:
        return f"test_{self.name}"

    def write(self, pen: Pen) -> None:
        lanes = pen.machine.lanes
        with pen.loop("n", pen.count("images")) as n:
            place = n * lanes
            x = pen.load(pen.pointer("x"), place, lanes)
            y = functions.normal(pen, x)[0] if self.name == "normal" else getattr(functions, self.name)(pen, x)
            pen.store(y, pen.pointer("y"), place)


def _ours(name: str, x: np.ndarray, width: str) -> np.ndarray:
    machine = named(*WIDTHS[width])
    arrays = {"x": aligned(len(x)), "y": aligned(len(x))}
    arrays["x"][:] = x
    run(_Function(name), machine, arrays, images=len(x) // machine.lanes)
    return arrays["y"]


def _units(ours: np.ndarray, truth: np.ndarray) -> float:
    """Return the largest error in units in the last place of the truth."""
    return float(np.max(np.abs(ours - truth) / np.spacing(np.abs(truth).astype(np.float32)).astype(np.float64)))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    ("name", "truth", "reach", "units"),
    [
        ("exp", np.exp, (-87.0, 0.0), 1.5),
        ("less_one", np.expm1, (-87.0, 0.0), 4.0),
        ("decay", lambda x: np.exp(-np.abs(x)), (-87.0, 87.0), 1.5),
        ("tanh", np.tanh, (-12.0, 12.0), 4.0),
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x)), (-80.0, 80.0), 4.0),
    ],
)
def test_functions_err_by_no_more_than_they_say(
    name: str, truth: object, reach: tuple[float, float], units: float, width: str
) -> None:
    """On a million numbers of the range, small ones included: the error that kernels/functions.py states."""
    x = np.linspace(*reach, 2**20).astype(np.float32)
    x[: 2**10] = np.sign(reach[0]) * np.logspace(-30, 0, 2**10)
    assert _units(_ours(name, x, width), truth(x.astype(np.float64))) <= units  # type: ignore[operator]


@pytest.mark.parametrize("width", WIDTHS)
def test_the_normal_distribution_errs_by_no_more_than_it_says(width: str) -> None:
    """Φ within 2⁻²³ of the truth (by math.erfc) everywhere."""
    x = np.linspace(-15, 15, 2**16).astype(np.float32)
    truth = np.array([math.erfc(-float(v) / math.sqrt(2)) / 2 for v in x])
    assert np.abs(_ours("normal", x, width) - truth).max() <= 2.0**-23


@pytest.mark.parametrize("name", ["exp", "less_one", "tanh", "sigmoid", "normal"])
def test_functions_of_what_is_no_number(name: str) -> None:
    """NaN stays NaN; the limits are those of the function."""
    x = np.full(CHUNK, np.nan, np.float32)
    assert np.isnan(_ours(name, x, "host")).all()
    if name not in ("exp", "less_one"):
        x[::2], x[1::2] = np.inf, -np.inf
        low = -1.0 if name == "tanh" else 0.0
        y = _ours(name, x, "host")
        np.testing.assert_allclose(y[::2], 1.0, atol=1e-37)
        np.testing.assert_allclose(y[1::2], low, atol=1e-37)


SPECIAL = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-30, -1e-30, 1e-40, 5.0, -5.0, 14.0, -14.0, 88.0, -88.0, 1e30, -1e30)
PYTORCHS = {
    "leaky": (LeakyReLUFunction(0.1), lambda x: torch.nn.functional.leaky_relu(x, 0.1)),
    "flat leaky": (LeakyReLUFunction(0.0), lambda x: torch.nn.functional.leaky_relu(x, 0.0)),
    "sigmoid": (SigmoidFunction(), torch.sigmoid),
    "tanh": (TanhFunction(), torch.tanh),
    "silu": (SiLUFunction(), torch.nn.functional.silu),
    "relu6": (ReLU6Function(), torch.nn.functional.relu6),
    "hard swish": (HardSwishFunction(), torch.nn.functional.hardswish),
    "hard sigmoid": (HardSigmoidFunction(), torch.nn.functional.hardsigmoid),
    "elu": (ELUFunction(0.7), lambda x: torch.nn.functional.elu(x, 0.7)),
    "mish": (MishFunction(), torch.nn.functional.mish),
    "gelu": (GELUFunction(), torch.nn.functional.gelu),
}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PYTORCHS)
def test_activations_at_the_corners_are_pytorchs(name: str, width: str) -> None:
    """NaN, infinities, zeros, denormal, tiny and huge numbers: y is PyTorch's in float64 within 4 units and 1e-36.

    In float32 PyTorch's GELU loses its tail (−1.19e-6 for −1.43e-6 at −5) and the infinity.
    """
    function, theirs = PYTORCHS[name]
    plane = Plane(len(SPECIAL), 1, 1)
    arrays = {"x": aligned(capacity(plane.size)), "y": aligned(capacity(plane.size))}
    arrays["x"][: plane.size] = SPECIAL
    run(ActivationForward(function, plane, plane), named(*WIDTHS[width]), arrays, images=1)
    truth = theirs(torch.tensor(SPECIAL, dtype=torch.float32).double()).numpy()
    np.testing.assert_allclose(arrays["y"][: plane.size], truth, rtol=4 * 2.0**-23, atol=1e-36)


POOLS = (
    *("AvgPool 3 2 1", "AvgPool 2x4 1 1x2", "AvgPool 5 3", "AvgPool 4x3 3x2 same", "AvgPool 3 1 same"),
    *("GlobalPool", "GlobalMaxPool", "Pool 3 1 1", "Pool 4x3 3x2 same", "Pool 3 1 same"),
    "Conv 3 1\nReLU\nPool 2 padding=same",
)


@pytest.mark.parametrize("text", POOLS)
def test_pools_at_the_corners_are_pytorchs(text: str) -> None:
    """Windows over the edge, sizes rounded down, infinities and NaN: the probabilities are PyTorch's, NaN for NaN."""
    network = parse(f"Input 2 7 6\n{text}\nFlat\nFC 3\n", name="pool")
    numbers = np.random.default_rng(1)
    images = numbers.standard_normal((5, 2, 7, 6)).astype(np.float32)
    images[1, 0, 3, 2], images[2, 1, 6, 5], images[3, 0, 0, 0] = np.nan, np.inf, -np.inf
    engine = CompiledEngine(network, Scaling((1.0,) * 2, (0.0,) * 2), Recipe(), 1)
    ours = engine.evaluate(Split(ImageSet(images, np.zeros(5, np.int32)), np.arange(5))).probabilities
    module = network.to_torch(probabilities=True)
    module.load_state_dict({name: torch.tensor(value) for name, value in engine.state().weights.items()})
    with torch.no_grad():
        theirs = module(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("size", "p"), [(1, 0.5), (63, 0.1), (64, 0.9), (200, 0.0), (1000, 0.25)])
def test_dropout_keeps_what_the_reference_keeps(size: int, p: float, width: str) -> None:
    """Every element of every image, at every width: 0 or 1 / (1 − p), as `dropout_keep` says."""
    seed, epoch, layer, images = 2**40 + 7, 3, 5, np.array([4, 0, 70_000, 4])
    arrays = {
        "order": images,
        "rng_key": np.array([seed & 0xFFFFFFFF, seed >> 32, epoch], np.uint32),
        "m": aligned(len(images) * capacity(mask_size(size))),
    }
    run(DropoutMask(size, p, layer), named(*WIDTHS[width]), arrays, images=len(images))
    ours = arrays["m"].reshape(len(images), -1)[:, :size]
    keep = dropout_keep(seed, epoch, images, layer, (size, 1, 1), p).reshape(len(images), size)
    np.testing.assert_array_equal(ours, np.where(keep, np.float32(1 / (1 - p)), np.float32(0)))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("channels", [1, 3, 16, 37])
def test_dropout2d_drops_whole_channels(channels: int, width: str) -> None:
    """Each channel of each image is all 0 or all x / (1 − p), as `dropout_keep` says for a number a channel; a sum
    grows by the same."""
    images, p, layer = np.array([4, 0, 70_000]), 0.4, 5
    x, y = Plane(channels, 3, 5, 1, 0, 2, 1), Plane(channels, 3, 5, 0, 2, 1, 0)
    m, machine = capacity(mask_size(channels)), named(*WIDTHS[width])
    arrays = {"order": images, "rng_key": np.array([7, 0, 2], np.uint32), "m": aligned(len(images) * m)}
    run(DropoutMask(channels, p, layer), machine, arrays, images=len(images))
    numbers = np.random.default_rng(3).standard_normal((len(images), 3, 5, channels)).astype(np.float32)
    arrays |= {"x": aligned(len(images) * capacity(x.size)), "y": aligned(len(images) * capacity(y.size))}
    inside(arrays["x"], x, len(images))[:] = numbers
    kept = dropout_keep(7, 2, images, layer, (channels, 1, 1), p).reshape(len(images), 1, 1, channels)
    expected = numbers * (kept * np.float32(1 / (1 - p)))
    run(MaskedChannels(x, y), machine, arrays, images=len(images))
    np.testing.assert_array_equal(inside(arrays["y"], y, len(images)), expected)
    run(MaskedChannels(x, y, add=True), machine, arrays, images=len(images))
    np.testing.assert_array_equal(inside(arrays["y"], y, len(images)), 2 * expected)


def inside(memory: np.ndarray, plane: Plane, images: int) -> np.ndarray:
    """Return the images in a buffer without their borders: (N, H, W, C)."""
    rows = memory.reshape(images, -1)[:, : plane.size].reshape(
        images, -1, plane.pitch // plane.channels, plane.channels
    )
    return rows[:, plane.top : plane.top + plane.height, plane.left : plane.left + plane.width]


NORMS = "Input 3 6 5\nConv 7 3 1 1\nBatchNorm momentum=0.3\nReLU\nFlat\nBatchNorm eps=0.001\nFC 9\nBatchNorm\nFC 4\n"


def test_running_statistics_are_pytorchs() -> None:
    """After an epoch with a ragged last batch, running means and variances are PyTorch's within rounding."""
    network = parse(NORMS, name="norms")
    numbers = np.random.default_rng(5)
    images = ImageSet(
        numbers.standard_normal((50, 3, 6, 5)).astype(np.float32) * 3 + 1, numbers.integers(0, 4, 50).astype(np.int32)
    )
    engine = CompiledEngine(network, Scaling((1.0,) * 3, (0.0,) * 3), Recipe(batch_size=16), 2)
    engine.train(Epoch(images, np.arange(50), np.zeros(4)), 0)  # a rate of 0: the weights stay
    module = network.to_torch().double()
    first = initial_weights(network, 0, "torch")
    module.load_state_dict({name: torch.tensor(value) for name, value in first.items()})
    for start in range(0, 50, 16):
        module(torch.from_numpy(images.images[start : start + 16]).double())
    for name, value in module.named_buffers():
        ours = engine.state().weights[name]
        assert ours.shape == tuple(value.shape)
        np.testing.assert_allclose(ours, value.numpy(), rtol=2e-6, atol=2e-6, err_msg=name)
    assert int(engine.state().weights["1.num_batches_tracked"]) == 4


def test_folded_prediction_is_pytorchs_evaluation() -> None:
    """On 60 random networks with BatchNorm: folded probabilities are within 1e-5 of PyTorch's unfolded ones in float64.

    Folding rounds each weight once more (2⁻²⁴ of it); the bound is ten times the largest difference found, 8e-7.
    """
    rng, found, worst = Random("fold"), 0, 0.0
    while found < 60:
        case = random_case(rng, Verdicts())
        if not any(node.layer.kind == "batch_norm" for node in case.network.nodes):
            continue
        found += len(folds(case.network)) > 0 or rng.random() < 0.3
        numbers = np.random.default_rng(found)
        weights = {
            name: (numbers.uniform(0.5, 2, value.shape) if "running" in name else value).astype(value.dtype)
            for name, value in case.weights.items()
        }
        engine = engine_for(case, Recipe(batch_size=4))
        engine.set_state(State(weights, engine.state().optimizer))
        ours = engine.evaluate(Split(ImageSet(case.images, case.labels), np.arange(len(case.images)))).probabilities
        module = case.network.to_torch(probabilities=True).double().eval()
        module.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
        with torch.no_grad():
            theirs = module(torch.from_numpy(np.ascontiguousarray(case.scaling.apply(case.images))).double()).numpy()
        worst = max(worst, float(np.abs(ours - theirs).max()))
        assert worst <= 1e-5, case.network.text


EVERYTHING = """
    Input 3 9 9
    Conv 8 3 padding=1 bias=no
    BatchNorm
    LeakyReLU 0.1
    Residual
      Depthwise 3 padding=1
      BatchNorm
      GELU
      Conv 8 3 padding=1 groups=4
    End
    Residual
      Conv 12 3 2 1 dilation=1
      SiLU
      Dropout 0.2
    Shortcut
      AvgPool 1 2
      Conv 12 1
    End
    Pool 3 2 1
    Tanh
    Repeat 2
      Conv 12 3 padding=1
      Sigmoid
    End
    Residual
      Depthwise 3 padding=same multiplier=2 bias=no
      ELU 0.5
      Conv 12 1
      Dropout2d 0.2
    Shortcut
      SeparableConv 12 3 padding=same
      HardSwish
      AvgPool 3 1 same
    End
    Pool 3 2 same
    Mish
    Concat
    Branch
      Conv 5 3 padding=same
      HardSigmoid
    Branch
      AvgPool 3 1 same
    End
    Gate
      GlobalPool
      Conv 29 1
      Sigmoid
    End
    Gate
      Conv 29 1
    End
    Conv 20 3 padding=same
    ReLU6
    Residual
      GlobalPool
    Shortcut
      GlobalMaxPool
    End
    Flat
    Dropout 0.3
    FC 11
    BatchNorm
    ReLU
    FC 5
    Softmax
"""


@pytest.mark.parametrize(
    "recipe",
    [
        {"momentum": 0.0},
        {"nesterov": True, "weight_decay": 1e-3, "decay": "weights", "ema": 0.9},
        {"optimizer": "adamw", "learning_rate": 0.01, "clip_norm": 0.5, "label_smoothing": 0.1},
        {"optimizer": "muon", "learning_rate": 0.01, "clip_norm": 0.5, "ema": 0.9, "class_weights": (1, 2, 3, 1, 1)},
    ],
    ids=lambda values: values.get("optimizer", "sgd") + "_" + "_".join(values),
)
def test_every_layer_keeps_its_bits_for_every_number_of_threads(recipe: dict[str, object]) -> None:
    """Weights, everything beside them, loss and predictions are the same for 1, 2, 3 and 4 threads, and run twice."""
    network = parse(EVERYTHING, name="everything")
    assert {type(node.layer) for node in network.nodes} == set(LAYERS)
    numbers = np.random.default_rng(3)
    images = ImageSet(
        numbers.integers(0, 256, (70, 3, 9, 9), dtype=np.uint8), numbers.integers(0, 5, 70).astype(np.int32)
    )
    settled = Recipe(batch_size=16, **recipe)
    weights = None if settled.class_weights is None else np.array(settled.class_weights)
    totals = None if weights is None else np.add.reduceat(weights[images.labels], np.arange(0, 70, 16))
    first: dict[str, np.ndarray] = {}
    for threads in (1, 2, 3, 4, 2):
        engine = CompiledEngine(network, Scaling((1 / 255,) * 3, (0.0,) * 3), settled, threads)
        epoch = Epoch(images, np.arange(70), np.linspace(0.02, 0.01, 5), 2, 5, class_weights=weights, weights=totals)
        assert engine.train(epoch, 0) == 5
        state = engine.state()
        found = {**state.weights, **state.optimizer, "loss": np.array(engine.running().loss)}
        found["seen"] = engine.evaluate(Split(images, np.arange(70))).probabilities
        first = first or found
        assert found.keys() == first.keys()
        for name, value in found.items():
            np.testing.assert_array_equal(value, first[name], err_msg=f"{name}, {threads} threads")
