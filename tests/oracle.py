"""PyTorch in float64 as the oracle of the compiled engine: one step's gradients, and how far each is from the truth."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from random_networks import KINDS, draw, draw_wide
from torch import nn

from layerline.data.dataset import ImageSet, Scaling
from layerline.engines.compiled import CompiledEngine
from layerline.engines.epoch import Epoch
from layerline.engines.interface import State
from layerline.network import parse
from layerline.numbers.randomness import dropout_keep
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from layerline.compiler.machine import Machine
    from layerline.network import Network

MARGIN = 1e-5
"""Below it, float32 and float64 may disagree on the side of a ReLU or on the winner of a pool."""
FUNCTIONS = (nn.Tanh, nn.Sigmoid, nn.SiLU, nn.GELU, nn.ELU, nn.Mish)
KINKS = {nn.ReLU: (0.0,), nn.LeakyReLU: (0.0,), nn.ELU: (0.0,), nn.ReLU6: (0.0, 6.0), nn.Hardswish: (-3.0, 3.0),
         nn.Hardsigmoid: (-3.0, 3.0)}  # fmt: skip
"""Where the derivative of a function jumps."""
FUNCTION_UNITS = 4
"""The error that elementary functions state, in units in the last place."""


@dataclass(frozen=True)
class Case:
    """A network, a batch for it, and weights."""

    network: Network
    images: np.ndarray
    labels: np.ndarray
    weights: dict[str, np.ndarray]
    scaling: Scaling


@dataclass
class Verdicts:
    """What was found over many networks."""

    ratios: list[float] = field(default_factory=list)
    """Our error over PyTorch float32's, for every parameter tensor in which PyTorch errs at all."""
    drawn_again: int = 0
    worst: tuple[float, str] = (0.0, "")
    """Our error over what is allowed, and the network's text."""
    ill: int = 0
    """Networks in which rounding alone, at every layer and on the way back, does more than PyTorch happened to err."""

    @property
    def geometric_mean(self) -> float:
        return math.exp(sum(map(math.log, self.ratios)) / len(self.ratios))


def random_case(rng: Random, verdicts: Verdicts, kinds: tuple[str, ...] = KINDS, **sizes: int) -> Case:
    """Draw a network and a batch in which no ReLU input or pool margin is within MARGIN of the edge."""
    return first_clear(lambda: _drawn(rng, draw(rng, kinds, **sizes)), verdicts)


def case_of(rng: Random, text: str, verdicts: Verdicts) -> Case:
    """Draw a batch and weights for a network."""
    return first_clear(lambda: _drawn(rng, text), verdicts)


def wide_case(rng: Random, verdicts: Verdicts) -> Case:
    """Draw such a network with wide convolutions of 3 × 3 and 5 × 5."""
    return first_clear(lambda: _drawn(rng, draw_wide(rng)), verdicts)


def first_clear(drawn: Callable[[], Case], verdicts: Verdicts) -> Case:
    """Draw until no ReLU input or pool margin is within MARGIN of the edge."""
    while True:
        case = drawn()
        if not case.weights or _without_variance(case):
            continue
        if _margin(case) >= MARGIN:
            return case
        verdicts.drawn_again += 1


def _drawn(rng: Random, text: str) -> Case:
    network = parse(text, name="drawn")
    numbers = np.random.default_rng(rng.getrandbits(64))
    batch = rng.choice((1, 2, 3, 5, 8, 17, 20))
    C, H, W = network.input_shape
    if rng.random() < 0.5:
        images = numbers.integers(0, 256, (batch, C, H, W), dtype=np.uint8)
        scaling = Scaling((1 / 255,) * C, (0.0,) * C)
    else:
        images = numbers.standard_normal((batch, C, H, W)).astype(np.float32)
        scaling = Scaling(tuple(numbers.uniform(0.5, 2, C)), tuple(numbers.uniform(-1, 1, C)))
    if rng.random() < 0.3:  # an image lies in memory as H, W, C
        images = np.ascontiguousarray(images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    labels = numbers.integers(0, network.classes, batch).astype(np.int32)
    torch.manual_seed(rng.getrandbits(63))
    weights = {name: value.numpy().copy() for name, value in network.to_torch().state_dict().items()}
    for name in [name for node in network.nodes if node.frozen for name in node.weights]:
        if name.endswith("running_mean"):
            weights[name] = numbers.normal(0, 0.1, weights[name].shape).astype(np.float32)
        elif name.endswith("running_var"):
            weights[name] = numbers.uniform(0.2, 1, weights[name].shape).astype(np.float32)
    return Case(network, images, labels, weights, scaling)


def _without_variance(case: Case) -> bool:
    """Whether a BatchNorm sees a single value of a channel, which PyTorch and we refuse to normalize."""
    norms = [node for node in case.network.nodes if node.layer.kind == "batch_norm" and not node.frozen]
    return any(len(case.images) * math.prod(node.shape[1:]) == 1 for node in norms)


def _margin(case: Case) -> float:
    """Return the smallest distance from a kink of any activation's input, and between the two largest values of any
    pool window."""
    model, smallest = _model(case, torch.float64), [math.inf]

    def before_kink(module: nn.Module, inputs: tuple[torch.Tensor], _: torch.Tensor) -> None:
        for kink in KINKS[type(module)]:
            smallest[0] = min(smallest[0], _nearest((inputs[0] - kink).abs()))

    def before_pool(module: nn.Module, inputs: tuple[torch.Tensor], _: torch.Tensor) -> None:
        smallest[0] = min(smallest[0], _nearest(_lead(module, inputs[0])))

    for module in model.modules():
        if type(module) in KINKS:
            module.register_forward_hook(before_kink)
        elif isinstance(module, nn.MaxPool2d | nn.AdaptiveMaxPool2d):
            module.register_forward_hook(before_pool)
    with torch.no_grad():
        model(_inputs(case, torch.float64))
    return smallest[0]


def _nearest(distances: torch.Tensor) -> float:
    """Return the smallest distance that is not zero: an exact tie is one in float32 as well."""
    positive = distances[distances > 0]
    return float(positive.min()) if positive.numel() else math.inf


def _lead(pool: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Return by how much the largest value of each window leads the second largest."""
    if isinstance(pool, nn.AdaptiveMaxPool2d):
        return _between_best(x.flatten(-2))
    h, w = pool.kernel_size
    ph, pw = pool.padding if isinstance(pool.padding, tuple) else (pool.padding,) * 2
    top, left, bottom, right = getattr(pool, "pads", (ph, pw, ph, pw))
    padded = nn.functional.pad(x, (left, right, top, bottom), value=-math.inf)
    windows = padded.unfold(2, h, pool.stride[0]).unfold(3, w, pool.stride[1]).flatten(-2)
    return _between_best(windows)


def _between_best(windows: torch.Tensor) -> torch.Tensor:
    """Return the difference of the two largest values along the last axis."""
    if windows.shape[-1] == 1:
        return torch.full((1,), math.inf)
    best = windows.topk(2, dim=-1).values
    return (best[..., 0] - best[..., 1]).nan_to_num(posinf=1.0)


def _model(case: Case, dtype: torch.dtype, order: np.ndarray | None = None) -> nn.Module:
    model = case.network.to_torch()
    model.load_state_dict({name: torch.from_numpy(value) for name, value in case.weights.items()})
    for node in case.network.nodes:
        if node.layer.kind in ("dropout", "dropout2d") and not node.frozen:
            images = np.arange(len(case.images)) if order is None else order
            shape = (node.shape[0], 1, 1) if node.layer.kind == "dropout2d" else node.shape
            keep = dropout_keep(0, 1, images, node.index, shape, node.layer.p)
            parent, _, child = node.path.rpartition(".")
            setattr(model.get_submodule(parent), child, _Masked(keep / (1 - node.layer.p)))
    return model.to(dtype)


class _Masked(nn.Module):
    """Dropout whose choice is made."""

    def __init__(self, mask: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("mask", torch.from_numpy(mask), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.mask


def _inputs(case: Case, dtype: torch.dtype) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(case.scaling.apply(case.images))).to(dtype)


def torch_gradients(case: Case, dtype: torch.dtype, order: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Return PyTorch's gradients of the mean cross-entropy of the batch, its images taken in some order."""
    model = _model(case, dtype, order)
    images, labels = _inputs(case, dtype), torch.from_numpy(case.labels.astype(np.int64))
    if order is not None:
        images, labels = images[order], labels[order]
    loss = nn.functional.cross_entropy(model(images), labels)
    loss.backward()
    return {name: p.grad.double().numpy() for name, p in model.named_parameters() if p.grad is not None}


def engine_for(case: Case, recipe: Recipe, machine: Machine | None = None, **options: object) -> CompiledEngine:
    """Return a compiled engine that starts with the case's weights."""
    engine = CompiledEngine(case.network, case.scaling, recipe, machine=machine, **options)
    momenta = engine.state().optimizer
    engine.set_state(State(case.weights, momenta))
    return engine


def our_gradients(
    case: Case, machine: Machine | None = None, threads: int = 2, *, exact: bool = True
) -> dict[str, np.ndarray]:
    """Return the engine's gradients: after one step from rest the momentum is the gradient, exactly."""
    batch = len(case.images)
    recipe = Recipe(batch_size=batch, momentum=0.9, exact=exact)
    engine = engine_for(case, recipe, machine, threads=threads)
    steps = engine.train(Epoch(ImageSet(case.images, case.labels), np.arange(batch), np.zeros(1)), 0)
    assert steps == 1
    return {name.removeprefix("momentum."): value for name, value in engine.state().optimizer.items()}


def rounding(case: Case, truth: dict[str, np.ndarray]) -> dict[str, float]:
    """Return what float32 costs at least: how far the gradients move in float64 where every image and weight, every
    output of a layer and every gradient by one is changed by up to half a unit in the last place, and what an
    elementary function puts out by up to the error that it states; the largest of three draws.

    BatchNorm over a few values makes gradients that cancel. PyTorch's error is then a matter of luck: its own, with the
    images in another order, breaks "twice PyTorch's" as often as ours (2 of 300 networks each).
    """
    moved = dict.fromkeys(truth, 0.0)
    for seed in range(3):
        noise, model = _Noise(seed), _model(case, torch.float64)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(noise(parameter))
        for module in model.modules():
            if not list(module.children()):
                module.register_forward_hook(noise.after)
        labels = torch.from_numpy(case.labels.astype(np.int64))
        nn.functional.cross_entropy(model(noise(_inputs(case, torch.float64))), labels).backward()
        for name, parameter in model.named_parameters():
            if name not in truth:
                continue
            assert parameter.grad is not None
            moved[name] = max(moved[name], float(np.linalg.norm(parameter.grad.numpy() - truth[name])))
    return moved


class _Noise:
    """Rounding made at random: up to so many float32 units in the last place."""

    def __init__(self, seed: int) -> None:
        self._numbers = torch.Generator().manual_seed(seed)

    def __call__(self, value: torch.Tensor, units: float = 0.5) -> torch.Tensor:
        random = 2 * torch.rand(value.shape, generator=self._numbers, dtype=value.dtype) - 1
        return value * (1 + units * 2.0**-23 * random)

    def after(self, module: nn.Module, _: object, y: torch.Tensor) -> torch.Tensor:
        """Return a layer's output, rounded; the gradient by it will be, too."""
        return _NoisyBack.apply(self(y, FUNCTION_UNITS if isinstance(module, FUNCTIONS) else 0.5), self)


class _NoisyBack(torch.autograd.Function):
    """y = x; dx = dy with rounding."""

    @staticmethod
    def forward(context: Any, x: torch.Tensor, noise: _Noise) -> torch.Tensor:
        context.noise = noise
        return x.clone()

    @staticmethod
    def backward(context: Any, dy: torch.Tensor) -> tuple[torch.Tensor, None]:
        return context.noise(dy), None


@dataclass(frozen=True)
class Rule:
    """‖g − g64‖ ≤ max(times × PyTorch float32's error, share × the largest ‖g64‖) for every tensor."""

    times: float
    share: float
    exact: bool


DIRECT: Final = Rule(2, 1e-6, exact=True)
TRANSFORMED: Final = Rule(20, 1e-5, exact=False)
"""With Winograd's convolutions where they pay."""


def judge(case: Case, verdicts: Verdicts, machine: Machine | None = None, rule: Rule = DIRECT) -> None:
    """Assert the rule.

    Where it fails, half as much again of what one rounding an output makes is allowed as well, for a sum rounds at
    every term, and as much of PyTorch's error with the images in two other orders; such networks are counted.
    """
    truth, theirs = torch_gradients(case, torch.float64), torch_gradients(case, torch.float32)
    ours = our_gradients(case, machine, exact=rule.exact)
    assert ours.keys() == truth.keys()
    largest = max(float(np.linalg.norm(g)) for g in truth.values())
    errors, their_errors = (
        {name: float(np.linalg.norm(g[name] - truth[name])) for name in truth} for g in (ours, theirs)
    )
    least, otherwise = dict.fromkeys(truth, 0.0), dict.fromkeys(truth, 0.0)
    times, floor = rule.times, rule.share * largest
    if any(errors[name] > max(times * their_errors[name], floor) for name in truth):
        verdicts.ill += 1
        least, otherwise = rounding(case, truth), _in_other_orders(case, truth)
    for name in truth:
        error, their_error = errors[name], their_errors[name]
        allowed = max(times * their_error, times * otherwise[name], 1.5 * times * least[name], floor)
        assert np.isfinite(ours[name]).all(), f"{name} is not finite in\n{case.network.text}"
        if allowed:
            verdicts.worst = max(verdicts.worst, (error / allowed, case.network.text))
        assert error <= allowed, f"{name}: {error:.2e} > {allowed:.2e} (batch {len(case.images)})\n{case.network.text}"
        if error and their_error:
            verdicts.ratios.append(error / their_error)


def _in_other_orders(case: Case, truth: dict[str, np.ndarray]) -> dict[str, float]:
    """Return the larger error of PyTorch's float32 gradients where it takes the images of the batch in other orders."""
    last_first = np.arange(len(case.images))[::-1].copy()
    found = [torch_gradients(case, torch.float32, order) for order in (last_first, np.roll(last_first, 1))]
    return {name: max(float(np.linalg.norm(g[name] - truth[name])) for g in found) for name in truth}
