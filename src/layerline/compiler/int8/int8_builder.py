"""Collects the ops of a Program on 8-bit values, their parameters and the scales of the values; it knows no layers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.compiler.dtype import DType
from layerline.compiler.int8.scales import scale_of
from layerline.compiler.kernels.int8_ends import Int8Flatten
from layerline.compiler.kernels.int8_values import HIGHEST, LOWEST
from layerline.compiler.layout import Vector
from layerline.compiler.plane import Plane, capacity
from layerline.compiler.program import Buffer, Op, Per, Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from layerline.compiler.int8.int8_steps import Int8Step
    from layerline.compiler.int8.scales import Scale
    from layerline.compiler.kernel import Kernel
    from layerline.compiler.layout import Layout
    from layerline.compiler.machine import Machine
    from layerline.compiler.program import Program, Schedule
    from layerline.network import Network, Node

_TYPES: Final = {DType.I8: np.int8, DType.I32: np.int32, DType.F32: np.float32}


@dataclass(frozen=True, eq=False)
class Observation:
    """The smallest, the largest and the mean number of each element of a value, from training images; in its shape."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    mean: NDArray[np.float64]

    def divided(self, factors: NDArray[np.float64]) -> Observation:
        """Return it with each channel divided by a positive number."""
        by = factors.reshape(-1, *[1] * (self.mean.ndim - 1))
        return Observation(self.low / by, self.high / by, self.mean / by)


@dataclass(frozen=True, eq=False)
class Int8Value:
    """A step's values in memory."""

    buffer: Buffer
    plane: Plane
    scale: Scale
    mean: NDArray[np.float64]
    """(C, H, W)."""


@dataclass(frozen=True, eq=False)
class Int8Program:
    """A Program on 8-bit values, with the contents of its parameters."""

    program: Program
    constants: Mapping[Buffer, NDArray[Any]]
    """Of each buffer that exists once."""

    def arena(self, planned: Schedule) -> NDArray[np.uint8]:
        """Return the contents of its constant memory."""
        arena = np.zeros(planned.arena_bytes, np.uint8)
        for buffer, content in self.constants.items():
            if buffer in planned.in_arena:
                at, data = planned.in_arena[buffer], np.frombuffer(content.tobytes(), np.uint8)
                arena[at : at + len(data)] = data
        return arena


@dataclass(eq=False)
class Int8Builder:
    """Collects ops while steps are lowered."""

    network: Network
    machine: Machine
    weights: Mapping[str, NDArray[Any]]
    """Folded (folding.py) and equalized."""
    observed: Mapping[int, Observation]
    """By the numbers of values: those that steps make."""
    borders: Mapping[int, tuple[int, int, int, int]]
    """The border that a value's readers need: (top, left, bottom, right)."""
    function: Callable[[Node, NDArray[np.float32]], NDArray[np.float32]]
    """Computes an activation."""
    values: dict[int, Int8Value] = field(default_factory=dict)
    ops: list[Op] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)
    constants: dict[Buffer, NDArray[Any]] = field(default_factory=dict)
    _flat: dict[str, Int8Value] = field(default_factory=dict)

    def op(self, kernel: Kernel, *buffers: Buffer) -> None:
        """Add an op."""
        self.ops.append(Op(kernel, buffers))

    def output(self, step: Int8Step) -> tuple[Buffer, Plane]:
        """Return the memory of the value that a step makes, with the border that its readers need."""
        shape = self.network.nodes[step.value - 1].shape
        C, H, W = shape if len(shape) == 3 else (shape[0], 1, 1)
        plane = Plane(C, H, W, *self.borders.get(step.value, (0, 0, 0, 0)))
        return Buffer(f"q{step.value}", capacity(plane.size), Per.IMAGE, DType.I8, plane), plane

    def made(self, step: Int8Step, memory: tuple[Buffer, Plane], scale: Scale) -> None:
        """Store the value that a step has made."""
        buffer, plane = memory
        mean = self.observed[step.value].mean.reshape(plane.channels, plane.height, plane.width)
        self.values[step.value] = Int8Value(buffer, plane, scale, mean)

    def scale(self, step: Int8Step, least: float) -> Scale:
        """Return the scale of the value that a step makes, from what was observed."""
        seen = self.observed[step.value]
        return scale_of(float(seen.low.min()), float(seen.high.max()), least)

    def limits(self, step: Int8Step, scale: Scale) -> tuple[int, int, int]:
        """Return the head of t: the zero point, and the limits of the values."""
        zero = scale.border
        if step.limit is None:
            return zero, LOWEST, HIGHEST
        return zero, zero, HIGHEST if step.limit == math.inf else min(round(step.limit / scale.scale) + zero, HIGHEST)

    def parameter(self, name: str, content: NDArray[Any], dtype: DType, layout: Layout | None = None) -> Buffer:
        """Create a buffer that exists once, with its content; layout: of filters, else it is a list."""
        layout = layout or Vector(content.size, content.size)
        buffer = Buffer(name, capacity(layout.size), Per.ONCE, dtype)
        packed = content if isinstance(layout, Vector) else layout.pack(content.astype(np.float32))
        self.constants[buffer] = packed.astype(_TYPES[dtype])
        if not np.array_equal(self.constants[buffer], packed.astype(self.constants[buffer].dtype)):
            raise ValueError(f"{name} does not fit in {dtype.value}")
        self.tensors.append(Tensor(name, ((buffer, layout),)))
        return buffer

    def read(self, step: Int8Step, number: int = 0) -> Int8Value:
        """Return what a step reads; after a Flat as a list, in the order in which the network counts."""
        value, shape = self.values[step.inputs[number]], step.node.input_shapes[number]
        if len(shape) == 3 or value.plane.height == value.plane.width == 1:
            return value
        size = shape[0]
        name = f"{value.buffer.name}_flat"
        if name not in self._flat:
            plane = Plane(size, 1, 1)
            buffer = Buffer(name, capacity(size), Per.IMAGE, DType.I8, plane)
            self.op(Int8Flatten(value.plane), value.buffer, buffer)
            self._flat[name] = Int8Value(buffer, plane, value.scale, value.mean.reshape(size, 1, 1))
        return self._flat[name]

    def integers(self, step: Int8Step, *numbers: int) -> Buffer:
        """Create the parameter t of a step."""
        return self.parameter(f"t{step.value}", np.array(numbers, np.int64), DType.I32)
