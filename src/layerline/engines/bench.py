"""RUN: the time of a training epoch, alone or in turn with PyTorch on the same images, from the same weights.

Each side trains from the same weights, on the same images in the same order, with plain SGD. Then weights agree after
the first step, and losses after the epoch, up to rounding and dropout: if they do not, one of the two has computed
something else, and its time means nothing. (Losses alone would not tell: wide networks hardly learn in an epoch of a
few steps. Later weights would not either: with BatchNorm, rounding grows several times from step to step.)
"""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from layerline.compiler.compilation import plan
from layerline.compiler.machine import check_runs_here, host
from layerline.compiler.task import storage_of, task_of
from layerline.data.dataset import Split
from layerline.engines.compiled import CompiledEngine
from layerline.engines.epoch import Epoch
from layerline.engines.interface import State
from layerline.engines.peak_speed import peak_speed
from layerline.engines.peers import SETTINGS, Assignment, peers
from layerline.errors import DivergedError
from layerline.network import initial_weights
from layerline.network.pytorch import check_installed
from layerline.numbers.randomness import epoch_order
from layerline.system.cores import cores
from layerline.system.steal import steal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from layerline.compiler.machine import Machine
    from layerline.data.dataset import Dataset
    from layerline.engines.peers import Peer, Setting
    from layerline.network import Network
    from layerline.recipe import Recipe

COMPARED: Final = 2000
"""Images whose loss is compared, at most."""
REST: Final = 0.3
"""Seconds before each epoch: threads of PyTorch's pool spin for up to 0.2 s after their work."""
_TOLERANCE: Final = 0.05
"""Of the larger loss; 0.02 at least. Rounding grows in an epoch, by chance: mostly to less than a hundredth of this.
Also of the distance that weights have moved: see `distance`, which is up to 0.004 for the presets."""
_SMALL: Final = 0.01
"""The share of the distance of all weights below which a tensor's own is rounding: a bias before BatchNorm does not
move, but for rounding."""


@dataclass(frozen=True)
class EpochPair:
    """An epoch of ours, and one of PyTorch with each setting."""

    ours: float
    """Seconds."""
    pytorch: dict[str, float]
    steal: tuple[float, float]
    """Seconds that the host took away from this machine's cores, during PyTorch's epochs and during ours."""

    @property
    def best(self) -> float:
        """Return PyTorch's fastest."""
        return min(self.pytorch.values())

    @property
    def ratio(self) -> float:
        """Return how many times as fast as PyTorch's fastest ours is."""
        return self.best / self.ours


@final
@dataclass(frozen=True)
class Bench:
    """Everything that was measured."""

    images: int
    batch_size: int
    threads: int
    compiling: float
    """Seconds to compile."""
    pairs: tuple[EpochPair, ...]
    loss: float
    """Ours after an epoch."""
    multiply_adds: int
    """Of an epoch's kernels, by their formulas."""
    peak: float
    """Floating-point operations per second of one thread."""
    version: str | None = None
    """PyTorch's."""
    losses: dict[str, float] | None = None
    """PyTorch's after an epoch, by setting."""
    distances: dict[str, float] | None = None
    """How far PyTorch's weights are from ours after the first step, by setting: see `distance`. None with Dropout,
    whose masks differ."""
    failed: dict[str, str] | None = None
    """The settings of PyTorch that could not be used, and why."""
    held: str | None = None
    """The CPU whose instructions both sides were held to; None if they could use all of this one's."""

    @property
    def seconds(self) -> float:
        """Return the median of our epochs."""
        return statistics.median(pair.ours for pair in self.pairs)

    @property
    def flops(self) -> float:
        """Return our floating-point operations per second, of all threads together."""
        return 2 * self.multiply_adds / self.seconds

    @property
    def differing(self) -> dict[str, float]:
        """Return the losses of PyTorch that differ from ours by more than rounding."""
        return {name: loss for name, loss in (self.losses or {}).items() if not _agree(loss, self.loss)}

    @property
    def astray(self) -> dict[str, float]:
        """Return the distances of PyTorch's weights that are more than rounding."""
        return {name: far for name, far in (self.distances or {}).items() if not far <= _TOLERANCE}

    def as_dict(self) -> dict[str, Any]:
        """Return all numbers as plain values."""
        microseconds = {"layerline": spread([pair.ours / self.images * 1e6 for pair in self.pairs])}
        facts: dict[str, Any] = {
            "images": self.images,
            "batch_size": self.batch_size,
            "threads": self.threads,
            "pytorch": self.version,
            **({"held_to": self.held} if self.held else {}),
        }
        if self.losses:
            facts["ratio"] = spread([pair.ratio for pair in self.pairs])
            microseconds["pytorch"] = spread([pair.best / self.images * 1e6 for pair in self.pairs])
        return {
            **facts,
            "microseconds_an_image": microseconds,
            "flops": self.flops,
            "peak_flops_per_thread": self.peak,
            "seconds_to_compile": self.compiling,
            "loss": {"layerline": self.loss, "pytorch": self.losses},
            "weights_distance": self.distances,
            "not_measured": self.failed,
            "pairs": [
                {"ours": p.ours, "pytorch": p.pytorch, "steal": p.steal, **({"ratio": p.ratio} if p.pytorch else {})}
                for p in self.pairs
            ],
        }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return minimum, median and maximum."""
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def _agree(a: float, b: float) -> bool:
    return abs(a - b) <= max(0.02, _TOLERANCE * max(a, b))


def distance(
    start: Mapping[str, NDArray[Any]], ours: Mapping[str, NDArray[Any]], theirs: Mapping[str, NDArray[Any]]
) -> float:
    """Return how far weights are apart that both sides have trained from `start`, 0 for equal ones.

    For each tensor ‖theirs − ours‖ / max(‖ours − start‖, 0.01 · the same norm of all tensors together): the largest of
    these. With different arithmetic it is rounding; with another gradient it is about 1 for the tensors concerned.
    """
    floats = [name for name, array in start.items() if np.issubdtype(array.dtype, np.floating)]
    moved = {name: float(np.linalg.norm(ours[name] - start[name])) for name in floats}
    least = max(_SMALL * math.hypot(*moved.values()), float(np.finfo(np.float32).tiny))
    apart = {name: float(np.linalg.norm(theirs[name] - ours[name])) for name in floats}
    return max((apart[name] / max(moved[name], least) for name in floats), key=lambda far: (math.isnan(far), far))


def bench(
    network: Network,
    data: Dataset,
    recipe: Recipe,
    threads: int | None = None,
    *,
    images: int | None = None,
    pairs: int = 7,
    against_torch: bool = False,
    settings: Sequence[Setting] = SETTINGS,
    machine: Machine | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Bench:
    """Return the times of several epochs.

    recipe: SGD with a constant learning rate. images: in an epoch, by default all. settings: PyTorch's, whose fastest
    counts. machine: the CPU whose instructions both sides may use, by default all of this one's. say: gets a line about
    the progress now and then. Raises UserError if PyTorch is needed and not installed, or if this computer cannot run
    the machine's code, DivergedError if the loss is not finite.
    """
    if machine is not None:
        check_runs_here(machine)
    if against_torch:
        check_installed("--against torch")
    order, threads = epoch_order(recipe.seed, 1, data.train.indices)[:images], threads or cores()
    weights = initial_weights(network, recipe.seed, recipe.init)
    compared = min(COMPARED, len(order))
    assignment = Assignment(network, data, recipe, order, weights, compared, threads, machine or host())
    ours, peak = _Ours(assignment), peak_speed(assignment.machine, threads).flops
    sizes, held = (len(order), recipe.batch_size, threads, ours.compiling), None if machine is None else machine.cpu
    if not against_torch:
        alone = tuple(_pair(ours, (), {}, say) for _ in range(pairs))
        return Bench(*sizes, alone, ours.loss, ours.multiply_adds(), peak, held=held)
    losses: dict[str, float] = {}
    with peers(assignment, say, settings) as others:
        drops = any(node.layer.only_in_training for node in network.nodes)
        ends = {} if drops else {peer.setting.name: peer.weights() for peer in others.ready}
        checked = ours.checked()
        distances = {name: distance(weights, checked, end) for name, end in ends.items()} or None
        done = tuple(_pair(ours, others.ready, losses, say) for _ in range(pairs))
        version, failed = others.version, dict(others.failed)
    return Bench(*sizes, done, ours.loss, ours.multiply_adds(), peak, version, losses, distances, failed, held)


@final
class _Ours:
    """The compiled engine, with the epoch that it trains."""

    def __init__(self, assignment: Assignment) -> None:
        """Compile."""
        recipe, order = assignment.recipe, assignment.order
        self._assignment, self._source = assignment, assignment.data.train.source
        parts = (assignment.network, assignment.data.scaling, recipe, assignment.threads)
        self._engine = CompiledEngine(*parts, machine=assignment.machine)
        self._state = State(assignment.weights, self._engine.state().optimizer)
        self._epoch = Epoch(self._source, order, np.full(recipe.steps(len(order)), recipe.learning_rate))
        self._compared, self.loss = Split(self._source, order[: assignment.compared].copy()), 0.0
        start = time.perf_counter()
        self._engine.prepare(self._source)
        self.compiling = time.perf_counter() - start
        self._engine.train(self._epoch.first(recipe.batch_size), 0)

    def epoch(self) -> float:
        """Return the seconds of an epoch from the initial weights."""
        self._engine.set_state(self._state)
        int(self._source.images.sum())  # like the peer: reclaim idle memory before the clock starts
        start = time.perf_counter()
        self._engine.train(self._epoch, 0)
        seconds = time.perf_counter() - start
        if self._engine.diverged_step is not None:
            raise DivergedError.at(self._engine.diverged_step + 1, self._assignment.recipe.learning_rate)
        self.loss = float(self._engine.evaluate(self._compared).losses.mean())
        return seconds

    def checked(self) -> dict[str, NDArray[Any]]:
        """Return the weights after the first step."""
        self._engine.set_state(self._state)
        self._engine.train(self._epoch.first(self._assignment.recipe.batch_size), 0)
        return self._engine.state().weights

    def multiply_adds(self) -> int:
        """Return those of an epoch's kernels."""
        network, recipe = self._assignment.network, self._assignment.recipe
        storage = storage_of(self._source.images, self._assignment.data.scaling)
        ops = plan(network, self._assignment.machine, task_of(recipe, training=True, **storage)).program.ops
        steps, rest = divmod(len(self._epoch.order), recipe.batch_size)
        sizes = [recipe.batch_size] * steps + [rest] * bool(rest)
        per_step = {size: sum(op.kernel.multiply_adds(size) for op in ops) for size in set(sizes)}
        return sum(per_step[size] for size in sizes)


def _pair(ours: _Ours, others: Sequence[Peer], losses: dict[str, float], say: Callable[[str], None]) -> EpochPair:
    """Time an epoch of each side; write PyTorch's losses."""
    before, theirs = steal(), {}
    for peer in others:
        time.sleep(REST)
        theirs[peer.setting.name], losses[peer.setting.name] = peer.epoch()
    time.sleep(REST if others else 0)
    between = steal()
    pair = EpochPair(ours.epoch(), theirs, (between - before, steal() - between))
    say(f"{pair.ours:.3f} s" + (f", PyTorch {pair.best:.3f} s, ratio {pair.ratio:.1f}" if theirs else ""))
    return pair
