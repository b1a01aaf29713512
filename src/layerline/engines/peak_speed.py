"""The speed that the speed of kernels is compared with: multiply-adds per second of one core, measured."""

from __future__ import annotations

import ctypes
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from layerline.compiler import jit
from layerline.compiler.kernels.peak import Peak
from layerline.compiler.llvm_pen import LlvmPen
from layerline.system.workers import Workers

if TYPE_CHECKING:
    from layerline.compiler.machine import Machine

_TRIES: Final = 24
_SECONDS: Final = 0.005
"""Duration of a try: some of them are not interrupted by other programs."""


@dataclass(frozen=True)
class PeakSpeed:
    """What a core does at most, and the rate of its clock."""

    flops: float
    """Floating-point operations per second, two per multiply-add."""
    ticks: float
    """Ticks per second of the clock that machine code reads."""


def peak_speed(machine: Machine, threads: int) -> PeakSpeed:
    """Return the largest speed of a thread in several tries, while as many threads are at work."""
    kernel = Peak(machine.lanes, machine.accumulators)
    module = LlvmPen.module(machine)
    pen = LlvmPen.begin(module, machine, kernel.symbol, kernel.pointers, kernel.scalars)
    kernel.write(pen)
    pen.end()
    code = jit.linked(jit.object_code(str(module), machine), machine, [kernel.symbol])
    function = code.function(kernel.symbol, [ctypes.c_void_p] * len(kernel.pointers) + [ctypes.c_int64])
    rates: list[float] = []
    speeds: list[float] = []
    """Multiply-adds per tick."""

    def work(thread: int) -> None:
        del thread
        arrays = {"a": np.full(kernel.lanes, 0.5, np.float32), "b": np.ones(kernel.lanes, np.float32)}
        arrays |= {"s": np.zeros(kernel.lanes * kernel.sums, np.float32), "ticks": np.zeros(2, np.int64)}
        pointers, rounds = [arrays[name].ctypes.data for name in kernel.pointers], 10_000
        for _ in range(_TRIES):
            start = time.perf_counter()
            function(*pointers, rounds)
            seconds = time.perf_counter() - start
            ticks = int(arrays["ticks"][1] - arrays["ticks"][0])
            rates.append(ticks / seconds)
            speeds.append(kernel.multiply_adds(rounds) / ticks)
            rounds = max(rounds, int(rounds * _SECONDS / seconds))

    Workers(work, threads).run()
    ticks = max(rates)  # the less happens before and after the ticks, the closer
    return PeakSpeed(2 * max(speeds) * ticks, ticks)
