"""RUN: one training step on both engines, each compared with the same step in float64.

All start from the same weights. After one step of SGD with momentum from rest, the momentum is the gradient, exactly;
so gradients and updated weights are those of the code that trains.

The rule, which the tests of the compiled engine also apply to random networks: for every parameter,

    ‖g − g64‖ ≤ max(2 · ‖g32 − g64‖, 10⁻⁶ · the largest ‖g64‖)

where g is the compiled engine's gradient, g32 that of PyTorch in float32, g64 in float64. Rounding that tips a ReLU or
a max-pool to the other side may break it by chance, in either engine; so a parameter is only out of tolerance if it is
in each of several batches.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from layerline import engines
from layerline.engines.epoch import Epoch, plan_epoch
from layerline.engines.features import features
from layerline.network import initial_weights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from layerline.data.dataset import Dataset, ImageSet
    from layerline.engines.interface import Engine
    from layerline.network import Network
    from layerline.network.graph import Node
    from layerline.recipe import Recipe

BATCHES: Final = 3
"""Batches in each of which a parameter must break the rule."""
FLOOR: Final = 1e-6
"""Of the largest norm of a gradient: smaller differences are within tolerance."""
FACTOR: Final = 2.0
_NOT_COMPUTED: Final = ("dropout", "dropout2d", "flat", "softmax")
"""Layers that compute nothing when predicting, or, for softmax, nothing that PyTorch's module computes."""


@final
@dataclass(frozen=True)
class Deviation:
    """Largest differences from float64, relative to the largest value there; None if that is zero, up to rounding."""

    compiled: float | None
    torch: float | None


@final
@dataclass(frozen=True)
class LayerCheck:
    """A layer's output when predicting."""

    node: Node
    output: Deviation


@final
@dataclass(frozen=True)
class ParameterCheck:
    """A parameter's gradient, and the parameter after a step."""

    name: str
    node: Node
    gradient: Deviation
    weight: Deviation


@final
@dataclass(frozen=True)
class EngineCheck:
    """What was compared: layers, and parameters in the first batch."""

    images: int
    """In a batch."""
    layers: tuple[LayerCheck, ...]
    parameters: tuple[ParameterCheck, ...]
    out: tuple[tuple[str, ...], ...]
    """For each batch tried, the parameters that break the rule; another batch is tried while some do."""
    facts: tuple[dict[str, Any], dict[str, Any]]
    """Of the compiled and of the torch engine."""

    @property
    def failed(self) -> tuple[str, ...]:
        """Return the parameters that break the rule in every batch."""
        return tuple(name for name in self.out[0] if all(name in batch for batch in self.out))


@dataclass(frozen=True)
class _Taken:
    """The gradients and the weights after a step, float64, of one engine."""

    gradients: dict[str, NDArray[np.float64]]
    weights: dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class _SameStep:
    """The same step on all three engines."""

    compiled: _Taken
    torch: _Taken
    truth: _Taken

    @property
    def out(self) -> tuple[str, ...]:
        """Return the parameters that break the rule; a gradient that is not finite does."""
        truth = self.truth.gradients
        norms = [float(np.linalg.norm(g)) for g in truth.values()]
        allowed = FLOOR * max(norms, default=0.0)

        def error(of: _Taken, name: str) -> float:
            return float(np.linalg.norm(of.gradients[name] - truth[name]))

        return tuple(
            name for name in truth if not error(self.compiled, name) <= max(FACTOR * error(self.torch, name), allowed)
        )


def cross_checked(network: Network, data: Dataset, recipe: Recipe, threads: int | None = None) -> EngineCheck:
    """Return how far both engines are from float64 on a batch of the training images.

    recipe: SGD with momentum, without decay of the weights. Raises UserError if PyTorch is not installed.
    """
    recipe = replace(recipe, batch_size=min(recipe.batch_size, len(data.train)))
    trio = _trio(network, data, recipe, threads)
    start = [engine.state() for engine in trio]
    out: list[tuple[str, ...]] = []
    first: _SameStep | None = None
    for batch in itertools.islice(_batches(data, recipe, network.classes), BATCHES):
        for engine, state in zip(trio, start, strict=True):
            engine.set_state(state)
        steps = _SameStep(*(_step(engine, batch) for engine in trio))
        first = first or steps
        out.append(steps.out)
        if not steps.out:
            break
    assert first is not None  # noqa: S101 - a data set has training images
    source, indices = data.train.source, plan_epoch(recipe, data.train, 1, network.classes).order[: recipe.batch_size]
    facts = (trio[0].facts(), trio[1].facts())
    layers = _layers(network, data, recipe, source, indices, trio[0].facts()["threads"])
    return EngineCheck(recipe.batch_size, tuple(layers), tuple(_parameters(network, first)), tuple(out), facts)


def _trio(network: Network, data: Dataset, recipe: Recipe, threads: int | None) -> list[Engine]:
    """Return the compiled engine, the torch engine, and the torch engine in float64."""
    parts = (network, data.scaling, recipe, threads)
    compiled, torch = (engines.make(name, *parts, placement=engines.Placement("cpu")) for name in ("compiled", "torch"))
    from layerline.engines.torch_engine import TorchEngine

    return [compiled, torch, TorchEngine(*parts, dtype="float64")]


def _batches(data: Dataset, recipe: Recipe, classes: int) -> Iterator[Epoch]:
    """Yield epochs of one whole batch each."""
    order, B = plan_epoch(recipe, data.train, 1, classes).order, recipe.batch_size
    for at in range(0, len(order) - B + 1, B):
        yield Epoch(data.train.source, order[at : at + B].copy(), np.array([recipe.learning_rate]))


def _step(engine: Engine, batch: Epoch) -> _Taken:
    engine.train(batch, 0)
    state = engine.state()
    momenta = {name.removeprefix("momentum."): value.astype(np.float64) for name, value in state.optimizer.items()}
    return _Taken(momenta, {name: state.weights[name].astype(np.float64) for name in momenta})


def _parameters(network: Network, steps: _SameStep) -> Iterator[ParameterCheck]:
    owners = {name: node for node in network.nodes for name in node.weights}
    largest = max((float(np.abs(g).max()) for g in steps.truth.gradients.values()), default=0.0)
    compiled, torch, truth = steps.compiled, steps.torch, steps.truth
    for name in truth.gradients:
        gradients = (compiled.gradients[name], torch.gradients[name], truth.gradients[name])
        weights = (compiled.weights[name], torch.weights[name], truth.weights[name])
        yield ParameterCheck(name, owners[name], _deviation(*gradients, nothing=FLOOR * largest), _deviation(*weights))


def _deviation(compiled: NDArray[Any], torch: NDArray[Any], truth: NDArray[Any], nothing: float = 0.0) -> Deviation:
    """Return the largest differences; values of at most `nothing` count as zero."""
    scale = float(np.abs(truth).max())
    if scale <= nothing:
        return Deviation(None, None)
    return Deviation(*(float(np.abs(found - truth).max()) / scale for found in (compiled, torch)))


def _layers(
    network: Network, data: Dataset, recipe: Recipe, images: ImageSet, indices: NDArray[np.int64], threads: int
) -> Iterator[LayerCheck]:
    """Yield the layers outside of branches; the compiled engine runs a network that ends with the layer."""
    weights = initial_weights(network, recipe.seed, recipe.init)
    values = [_torch_values(network, weights, data.scaling.apply(images.images[indices]), dtype) for dtype in _DTYPES]
    for node in network.nodes:
        if "." not in node.path and node.layer.kind not in _NOT_COMPUTED:
            part = network.until(node.index + 1)
            found = features(part, data.scaling, recipe, weights, images, indices, threads)
            torch, truth = (each[node.path] for each in values)
            yield LayerCheck(node, _deviation(found.astype(np.float64).reshape(truth.shape), torch, truth))


_DTYPES: Final = ("float32", "float64")


def _torch_values(
    network: Network, weights: dict[str, NDArray[Any]], x: NDArray[np.float32], dtype: str
) -> dict[str, NDArray[np.float64]]:
    """Return the output of every module by its path, when predicting."""
    import torch

    kind = {"float32": torch.float32, "float64": torch.float64}[dtype]
    module = network.to_torch().eval()
    module.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
    found: dict[str, NDArray[np.float64]] = {}

    def keep(path: str) -> Any:
        return lambda _module, _inputs, y: found.update({path: y.double().numpy()})

    for path, child in module.to(kind).named_modules():
        child.register_forward_hook(keep(path))
    with torch.no_grad():
        module(torch.tensor(x, dtype=kind))
    return found
