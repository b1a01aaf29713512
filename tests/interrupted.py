"""Random trainings, run whole or cut anywhere, in a folder: what going on is compared with."""

from __future__ import annotations

import dataclasses
import hashlib
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from random_networks import draw

from layerline.data.dataset import Dataset, ImageSet, Scaling, Split
from layerline.engines import make
from layerline.engines.agreement import checked
from layerline.errors import DivergedError, NetworkError, RecipeError
from layerline.files import tensors
from layerline.network import initial_weights, parse
from layerline.network.start import Start
from layerline.network.start import digest as weights_digest
from layerline.recipe import OPTIMIZERS, SCHEDULES, Recipe
from layerline.runs.folder import RunFolder
from layerline.training import Interrupt, Watcher
from layerline.training.prepared import Prepared
from layerline.training.resuming import reopen
from layerline.training.session import run

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from layerline.engines.epoch import Epoch
    from layerline.engines.interface import Engine
    from layerline.network import Network
    from layerline.training import Run

TIMES = ("train_seconds", "seconds", "images_per_second")
"""What differs between two runs of the same."""


@dataclass(frozen=True)
class Training:
    """A network, data and a recipe."""

    network: Network
    data: Dataset
    recipe: Recipe

    @property
    def steps(self) -> int:
        """Return the steps of an epoch."""
        return self.recipe.steps(len(self.data.train))


def training(rng: Random) -> Training:
    """Return a training at random that is legal: any layers, any optimizer, augmentation or none."""
    while True:
        text = draw(rng, max_input=9, max_layers=4, max_values=2_000, max_multiply_adds=100_000)
        network = parse(text, name="drawn")
        data = _data(rng, network)
        try:
            return Training(checked(network, data, recipe := _recipe(rng, network)), data, recipe)
        except (NetworkError, RecipeError):
            continue


def _data(rng: Random, network: Network) -> Dataset:
    C, K = network.input_shape[0], network.classes
    sizes = (rng.randint(max(K, 20), 60), rng.choice([0, 9]), rng.choice([0, 7]))
    numbers = np.random.default_rng(rng.getrandbits(32))
    images = numbers.integers(0, 256, (sum(sizes), *network.input_shape), dtype=np.uint8)
    source = ImageSet(images, (np.arange(sum(sizes)) % K).astype(np.int32))
    ends = np.cumsum(sizes).tolist()
    train, validation, test = (
        Split(source, np.arange(end - size, end, dtype=np.int64)) if size else None
        for size, end in zip(sizes, ends, strict=True)
    )
    assert train is not None
    names = tuple(f"class {k}" for k in range(K))
    fingerprint = hashlib.sha256(images.tobytes()).hexdigest()
    return Dataset("drawn", names, train, validation, test, Scaling((1 / 255,) * C, (0.0,) * C), fingerprint)


def _recipe(rng: Random, network: Network) -> Recipe:
    _, H, W = network.input_shape
    optimizer = rng.choice(OPTIMIZERS)
    schedule = rng.choice(SCHEDULES)
    options: dict[str, Any] = {"step_epochs": 1.0} if schedule == "step" else {}
    if optimizer != "adamw":
        options["momentum"] = rng.choice([0.5, 0.9]) if optimizer == "muon" else rng.choice([0.0, 0.9])
    augment = rng.choice(["none", "flip", "flip,cutout=2", "shift=1"]) if min(H, W) > 4 else "none"
    return Recipe(
        epochs=rng.randint(2, 4),
        batch_size=rng.choice([3, 7, 16]),
        learning_rate=rng.choice([0.001, 0.01]),
        optimizer=optimizer,
        schedule=schedule,
        weight_decay=rng.choice([0.0, 0.01]),
        ema=rng.choice(["none", 0.9]),
        label_smoothing=rng.choice([0.0, 0.1]),
        clip_norm=rng.choice(["none", 1.0]),
        augment=augment,
        seed=rng.getrandbits(20),
        **options,
    )


class Cut:
    """An engine that is stopped, as by Ctrl-C, after so many steps of an epoch."""

    def __init__(self, engine: Engine, interrupt: Interrupt, epoch: int, step: int) -> None:
        self._engine, self._interrupt, self._at = engine, interrupt, (epoch, step)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def train(self, epoch: Epoch, first: int) -> int:
        number, step = self._at
        if epoch.number != number:
            return self._engine.train(epoch, first)
        self._interrupt.signal = signal.SIGINT
        return self._engine.train(epoch.first(step * self._engine._recipe.batch_size), first)  # type: ignore[attr-defined]


def trained(drawn: Training, out: Path, cut: tuple[int, int] | None = None, threads: int = 1, **options: Any) -> Run:
    """Return the run of a training in the folder `out`: whole, or cut after `cut` = (epoch, step of it)."""
    interrupt = Interrupt()
    start = drawn.network.start
    if start is None and any(node.frozen for node in drawn.network.nodes):
        weights = initial_weights(drawn.network, 99)
        start = Start(weights_digest(weights), weights)
    network = drawn.network if start is None else drawn.network.with_backbone(start.backbone(drawn.network))
    engine: Any = make("compiled", network, drawn.data.scaling, drawn.recipe, threads, start=start)
    if cut is not None:
        engine = Cut(engine, interrupt, *cut)
    prepared = Prepared(network, drawn.data, drawn.recipe, engine, start, threads=threads)
    return run(prepared, RunFolder.named(out), Watcher(), interrupt, **options)


def gone_on(drawn: Training, out: Path, threads: int = 1, **options: Any) -> Run:
    """Return the run in `out`, gone on with to its end."""
    return reopen(out, {"threads": threads}, load=lambda _: drawn.data).go_on(Watcher(), **options)


def traces(out: Path) -> dict[str, Any]:
    """Return all that must be the same, of a run's folder: digests of weights and optimizer, history, result."""
    from layerline.runs.checkpoint import Checkpoints

    found = Checkpoints(out / "checkpoints").latest()
    assert found is not None
    rows = [{k: v for k, v in dataclasses.asdict(row).items() if k not in TIMES} for row in found.snapshot.history]
    state = found.snapshot.state
    result = out / "result.json"
    return {
        "weights": digest(state.weights),
        "optimizer": digest(state.optimizer),
        "history": rows,
        "model": digest(tensors.read(out / "model.safetensors").arrays),
        "result": result.read_text() if result.exists() else None,
    }


def digest(arrays: dict[str, Any]) -> str:
    """Return the SHA-256 of arrays, names and all."""
    found = hashlib.sha256()
    for name in sorted(arrays):
        found.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        found.update(np.ascontiguousarray(arrays[name]).tobytes())
    return found.hexdigest()


__all__ = ["Cut", "DivergedError", "Training", "digest", "gone_on", "traces", "trained", "training"]
