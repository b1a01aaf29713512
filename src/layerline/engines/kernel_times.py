"""RUN: the time that each kernel takes in training steps, measured by the machine code itself.

The steps are those of a training: all threads, real images, and every kernel finds the caches as the one before has
left them. Its speed is compared with the measured peak of a core.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline import engines
from layerline.compiler.kernels.timed import TICKS, Timed
from layerline.compiler.machine import host
from layerline.compiler.task import storage_of, task_of
from layerline.compiler.timed_program import compile_timed
from layerline.engines.epoch import plan_epoch
from layerline.engines.epoch_tables import constants, tables
from layerline.engines.interface import Running
from layerline.engines.peak_speed import peak_speed
from layerline.engines.trainer import Control, Trainer
from layerline.errors import DivergedError
from layerline.system.cores import cores

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from layerline.compiler.machine import Machine
    from layerline.compiler.program import Schedule
    from layerline.data.dataset import Dataset
    from layerline.engines.epoch import Epoch
    from layerline.engines.peak_speed import PeakSpeed
    from layerline.network import Network
    from layerline.recipe import Recipe

_WARM_ROUNDS: Final = 10
_ROUNDS: Final = 40
_SECONDS: Final = 0.03
"""Duration of a round, at least. For each kernel its fastest round counts: it was interrupted least."""


@dataclass(frozen=True)
class KernelTime:
    """A kernel of the training step."""

    kernel: str
    phase: int
    seconds: float
    """Per step, all threads together."""
    multiply_adds: int
    """Per step, of its formula; 0 if it is not a sum of products."""

    @property
    def flops(self) -> float | None:
        """Return its floating-point operations per second of one thread; None if it has no multiply-adds."""
        return 2 * self.multiply_adds / self.seconds if self.multiply_adds and self.seconds else None


@dataclass(frozen=True)
class KernelTimes:
    """The training step, kernel by kernel."""

    kernels: tuple[KernelTime, ...]
    machine: Machine
    threads: int
    images: int
    """In a step."""
    steps: int
    """In a round."""
    outside: float
    """Seconds of all threads per step outside of kernels: they wait for each other, or get work."""
    peak: PeakSpeed

    @property
    def seconds(self) -> float:
        """Return the seconds per step."""
        return (sum(each.seconds for each in self.kernels) + self.outside) / self.threads

    @property
    def flops(self) -> float:
        """Return the floating-point operations per second of one thread over the whole step."""
        return 2 * sum(each.multiply_adds for each in self.kernels) / (self.threads * self.seconds)

    def as_dict(self) -> dict[str, Any]:
        """Return all numbers as plain values."""
        return {
            "cpu": self.machine.cpu,
            "lanes": self.machine.lanes,
            "threads": self.threads,
            "batch_size": self.images,
            "peak_flops": self.peak.flops,
            "seconds": self.seconds,
            "seconds_outside_kernels": self.outside,
            "flops": self.flops,
            "kernels": [{**asdict(each), "flops": each.flops} for each in self.kernels],
        }


def kernel_times(network: Network, data: Dataset, recipe: Recipe, threads: int | None = None) -> KernelTimes:
    """Return the time of each kernel in whole batches of the training images.

    Raises DivergedError if the loss is not finite after some steps, because kernels may then take another time.
    """
    threads, machine = threads or cores(), host()
    recipe = replace(recipe, batch_size=min(recipe.batch_size, len(data.train)))
    task = task_of(recipe, training=True, **storage_of(data.train.source.images, data.scaling))
    code = compile_timed(network, machine, task)
    trainer = Trainer(code, network.classes, threads, constants(recipe, data.scaling))
    trainer.memory.put_state(network, engines.make("compiled", network, data.scaling, recipe, threads).state())
    trainer.set_running(Running(0.0, np.zeros((3, network.classes), np.int64)))
    epoch = plan_epoch(recipe, data.train, 1, network.classes)
    steps = 1
    for _ in range(_WARM_ROUNDS):  # then caches are warm, and gradients sparse
        steps = math.ceil(steps * _SECONDS / _run(trainer, _of_steps(epoch, recipe, steps), recipe))
    rounds = [_round(trainer, _of_steps(epoch, recipe, steps), recipe) for _ in range(_ROUNDS)]
    peak = peak_speed(machine, threads)
    ticks = np.min([each[1] for each in rounds], axis=0) / (steps * peak.ticks)
    outside = min(threads * seconds - float(ticks.sum()) / peak.ticks for seconds, ticks in rounds) / steps
    kernels = tuple(_kernels(code.schedule, ticks))
    return KernelTimes(kernels, machine, threads, recipe.batch_size, steps, max(0.0, outside), peak)


def _of_steps(epoch: Epoch, recipe: Recipe, steps: int) -> Epoch:
    """Return an epoch of this many whole batches, with images repeated if there are not enough."""
    whole = len(epoch.order) // recipe.batch_size
    images, rates = np.resize(np.arange(whole * recipe.batch_size), steps * recipe.batch_size), epoch.learning_rates
    drawn = None if epoch.drawn is None else epoch.drawn.at(images)
    return replace(epoch, order=epoch.order[images], learning_rates=np.resize(rates[:whole], steps), drawn=drawn)


def _round(trainer: Trainer, epoch: Epoch, recipe: Recipe) -> tuple[float, NDArray[np.int64]]:
    """Return the seconds that an epoch takes, and the ticks of each op."""
    before = _ticks(trainer)
    return _run(trainer, epoch, recipe), _ticks(trainer) - before


def _run(trainer: Trainer, epoch: Epoch, recipe: Recipe) -> float:
    """Run an epoch and return its time in seconds."""
    control = Control(trainer.threads)
    control.begin(0, len(epoch.learning_rates), stop=False)
    start = time.perf_counter()
    trainer.run(epoch, tables(epoch, recipe), 0, control)
    seconds = time.perf_counter() - start
    if control["diverged"]:
        raise DivergedError.at(control["diverged"], recipe.learning_rate)
    return seconds


def _ticks(trainer: Trainer) -> NDArray[np.int64]:
    """Return the ticks of each op so far, all threads together."""
    planned = trainer.compiled.schedule
    places = [planned.in_scratch[op[TICKS]] // 8 for op in planned.program.ops]
    words = [scratch[: len(scratch) // 8 * 8].view(np.int64) for scratch in trainer.scratches]
    total: NDArray[np.int64] = np.sum([scratch[places] for scratch in words], axis=0)
    return total


def _kernels(schedule: Schedule, seconds: NDArray[np.float64]) -> Iterator[KernelTime]:
    """Yield the kernels. seconds: of each op, in the Program's order."""
    of_op = dict(zip(schedule.program.ops, seconds.tolist(), strict=True))
    for number, phase in enumerate(schedule.phases, 1):
        for op in phase.ops:
            assert isinstance(op.kernel, Timed)  # noqa: S101 - all are
            kernel = op.kernel.kernel
            yield KernelTime(kernel.symbol, number, of_op[op], kernel.multiply_adds(schedule.program.batch_size))
