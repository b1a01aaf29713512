"""Runs the Program of an export on this CPU: for the bits of its self-test, its speed, and its accuracy."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final, final

from layerline.compiler.compilation import compile_schedule
from layerline.compiler.machine import host
from layerline.compiler.task import task_of
from layerline.engines.arena import Memory
from layerline.engines.epoch_tables import constants
from layerline.engines.predictor import Predictor
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from layerline.compiler.machine import Machine
    from layerline.data.dataset import Scaling, Split
    from layerline.export.forward import Forward
    from layerline.network import Network

_MEASURED: Final = 0.02
"""Seconds that a measurement may take, or one call."""


def plain_host(machine: Machine) -> Machine:
    """Return this CPU with the vectors of another machine and without FMA: then it has the bits of C."""
    return replace(host(), lanes=machine.lanes, registers=machine.registers, fma=False)


@final
class HostProgram:
    """The Program of an export as machine code of this CPU."""

    def __init__(self, made: Forward, network: Network, scaling: Scaling, machine: Machine, threads: int = 1) -> None:
        """Compile. machine: this CPU, with the lanes and registers that the Program was made for."""
        compiled = compile_schedule(made.schedule, machine, task_of(Recipe(), training=False))
        self._predictor = Predictor(compiled, network, threads, constants(Recipe(), scaling))
        self._memory = Memory(compiled)
        self._memory.arena[:] = made.constants
        self._memory.arena.flags.writeable = False

    def probabilities(self, split: Split) -> NDArray[np.float32]:
        """Return the probabilities of images, float32 (N, K); they are stored as the Program expects."""
        return self._predictor.run(self._memory, split.source, split.indices).probabilities

    def seconds(self, split: Split) -> float:
        """Return the seconds that one image takes."""
        return fastest(lambda: self.probabilities(split)) / len(split)


def fastest(call: Callable[[], object]) -> float:
    """Return the seconds of a call: of a few the fastest."""
    times: list[float] = []
    while sum(times) < _MEASURED:
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return min(times)
