"""Runs one kernel of machine code on arrays."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import numpy as np

from layerline.compiler import jit
from layerline.compiler.llvm_pen import LlvmPen
from layerline.compiler.pen import FLOATS
from layerline.compiler.plane import capacity

if TYPE_CHECKING:
    from layerline.compiler.kernel import Kernel
    from layerline.compiler.machine import Machine


def aligned(n: int, dtype: type = np.float32, fill: float = np.nan) -> np.ndarray:
    """Return n elements that begin on a cache line; floats start as NaN, so that an unwritten one shows."""
    memory = np.empty(n * np.dtype(dtype).itemsize + 64, np.uint8)
    start = -memory.ctypes.data % 64
    array = memory[start : start + n * np.dtype(dtype).itemsize].view(dtype)
    array[:] = fill if np.issubdtype(dtype, np.floating) else 0
    return array


def run(kernel: Kernel, machine: Machine, arrays: dict[str, np.ndarray], **scalars: float) -> None:
    """Compile a kernel and call it once."""
    module = LlvmPen.module(machine)
    pen = LlvmPen.begin(module, machine, kernel.symbol, kernel.pointers, kernel.scalars)
    kernel.write(pen)
    pen.end()
    code = jit.compile_text(str(module), machine)
    types = [ctypes.c_float if name in FLOATS else ctypes.c_int64 for name in kernel.scalars]
    function = code.function(kernel.symbol, [ctypes.c_void_p] * len(kernel.pointers) + types)
    function(*(arrays[name].ctypes.data for name in kernel.pointers), *(scalars[name] for name in kernel.scalars))


def planes(images: np.ndarray, border: tuple[int, int, int, int] = (0, 0, 0, 0)) -> np.ndarray:
    """Return float32 (N, C, H, W) as the engine holds it: H, W, C inside a border of zeros, an item after the other."""
    top, left, bottom, right = border
    padded = np.pad(images, ((0, 0), (0, 0), (top, bottom), (left, right))).transpose(0, 2, 3, 1)
    size = padded[0].size
    memory = aligned(len(images) * capacity(size), fill=0.0)
    memory.reshape(len(images), capacity(size))[:, :size] = padded.reshape(len(images), size)
    return memory
