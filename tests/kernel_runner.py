"""Runs one kernel of machine code on arrays, and says where in them the values of its arguments lie."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from layerline.compiler import jit
from layerline.compiler.llvm_pen import LlvmPen
from layerline.compiler.pen import FLOATS
from layerline.compiler.plane import capacity

if TYPE_CHECKING:
    from layerline.compiler.kernel import Kernel
    from layerline.compiler.layout import Layout
    from layerline.compiler.machine import Machine
    from layerline.compiler.plane import Plane


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
    code = jit.linked(jit.object_code(str(module), machine), machine, [kernel.symbol])
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


@dataclass(frozen=True)
class Strided:
    """Where the values of an argument lie: an array of some shape, so many elements from one to the next."""

    shape: tuple[int, ...]
    steps: tuple[int, ...]
    elements: int
    first: int = 0
    border: int = 0
    """Elements of an item that are an image and its border."""

    def values(self, memory: np.ndarray) -> np.ndarray:
        """Return the values: a view of the memory."""
        steps = [step * memory.itemsize for step in self.steps]
        return np.lib.stride_tricks.as_strided(memory[self.first :], self.shape, steps)

    def read(self, memory: np.ndarray) -> np.ndarray:
        """Return the values."""
        return self.values(memory)

    def write(self, memory: np.ndarray, values: np.ndarray) -> None:
        """Put values in place."""
        self.values(memory)[...] = values


@dataclass(frozen=True)
class Packed:
    """A parameter's values, as a layout has them."""

    layout: Layout
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Return the elements of the buffer."""
        return capacity(self.layout.size)

    def read(self, memory: np.ndarray) -> np.ndarray:
        """Return PyTorch's tensor."""
        return self.layout.unpack(memory[: self.layout.size])

    def write(self, memory: np.ndarray, values: np.ndarray) -> None:
        """Put a tensor in place."""
        memory[: self.layout.size] = self.layout.pack(values)


def image(plane: Plane, items: int) -> Strided:
    """Return how images lie."""
    shape, steps = (
        (items, plane.channels, plane.height, plane.width),
        (capacity(plane.size), 1, plane.pitch, plane.channels),
    )
    return Strided(shape, steps, items * capacity(plane.size), plane.origin, plane.size)


def listed(*shape: int, padded: int | None = None, apart: int | None = None) -> Strided:
    """Return how rows of numbers lie: `padded` elements from a row to the next, `apart` from an item of rows to the
    next."""
    steps = [1]
    for k, n in enumerate(reversed(shape[1:])):
        given = (padded, apart)[k] if k < 2 else None
        steps.append(n * steps[-1] if given is None else given)
    steps.reverse()
    return Strided(shape, tuple(steps), capacity(shape[0] * steps[0]))
