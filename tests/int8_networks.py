"""Networks on 8-bit values for tests: a network with weights, what is observed of it, and its Program in NumPy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Any, Final

import int8_definitions as define
import numpy as np
import random_networks
import trained_like
from kernel_definitions import told

import layerline
from layerline.compiler.compilation import compile_schedule
from layerline.compiler.folding import folded_weights
from layerline.compiler.given import values
from layerline.compiler.int8.lower import int8_program
from layerline.compiler.kernels.copies import Deliver
from layerline.compiler.kernels.int8_conv import Int8Conv, Int8Scores
from layerline.compiler.kernels.int8_depthwise import Int8Depthwise
from layerline.compiler.kernels.int8_ends import Int8Flatten, Int8Load, Int8Values
from layerline.compiler.kernels.int8_pointwise import (
    Int8Concatenate,
    Int8Product,
    Int8ScaledChannels,
    Int8Sum,
    Int8Table,
)
from layerline.compiler.kernels.int8_pool import Int8Average, Int8Pool
from layerline.compiler.layout import Vector
from layerline.compiler.plane import Plane
from layerline.compiler.program import Op, Per
from layerline.compiler.schedule import schedule
from layerline.compiler.task import task_of
from layerline.data.dataset import ImageSet, Scaling, Split
from layerline.engines.arena import Memory
from layerline.engines.features import features
from layerline.engines.predictor import Predictor
from layerline.export.int8.observing import activation, observed
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from layerline.compiler.int8.int8_builder import Int8Program
    from layerline.compiler.machine import Machine
    from layerline.network import Network

IMAGES: Final = 24
EVERY_LAYER: Final = """Input 3 13 12
Conv 8 kernel=3 padding=1
BatchNorm
ReLU
Pool 2
Residual
    Conv 8 kernel=3 padding=1 groups=2
    SiLU
    Depthwise 3 padding=1
    BatchNorm
    ReLU6
    Conv 8 kernel=1 bias=no
End
ReLU
BatchNorm
Concat
    Conv 4 kernel=1
    HardSwish
Branch
    Pool 3 stride=1 padding=1
Branch
    AvgPool 3 stride=1 padding=1
Branch
    AvgPool 2 stride=1 padding=same
End
Gate
    GlobalPool
    Conv 28 kernel=1
    Sigmoid
End
Depthwise 2 multiplier=2
GELU
Dropout2d 0.2
Conv 6 kernel=2 dilation=2
Flat
Gate
    Tanh
End
FC 12
BatchNorm
LeakyReLU
Dropout 0.5
FC 10
Softmax
"""
"""A network in which every kernel on 8-bit values computes something."""
DEFINITIONS: Final[dict[type, Any]] = {
    Int8Load: define.load,
    Int8Conv: define.conv,
    Int8Scores: define.scores,
    Int8Depthwise: define.depthwise,
    Int8Pool: define.pool,
    Int8Average: define.average,
    Int8Table: define.table,
    Int8Sum: define.total,
    Int8Product: define.product,
    Int8ScaledChannels: define.scaled_channels,
    Int8Concatenate: define.concatenate,
    Int8Flatten: define.flatten,
    Int8Values: define.values,
}


@dataclass(frozen=True, eq=False)
class Int8Network:
    """A network with weights, images and their scaling."""

    network: Network
    weights: dict[str, np.ndarray]
    scaling: Scaling
    split: Split

    def program(self, machine: Machine, *, channels_last: bool = False) -> Int8Program:
        """Return its Program on 8-bit values; the images are observed."""
        network, folded = self.network.unfrozen, folded_weights(self.network.unfrozen, self.weights)
        seen = observed(network, self.scaling, self.weights, self.split)
        return int8_program(network, machine, folded, seen, self.scaling, activation, channels_last=channels_last)


def of_text(text: str, seed: int = 0) -> Int8Network:
    """Return a network with weights as after a training; of two seeds the channels of one are scaled alike."""
    network, numbers = layerline.parse(text), np.random.default_rng(seed)
    weights = trained_like.weights_of(network, numbers)
    C = network.input_shape[0]
    alike = Scaling((1 / 64,) * C, (-1.9,) * C)
    different = Scaling(tuple(numbers.uniform(0.01, 0.03, C)), tuple(numbers.uniform(-2, 1, C)))
    images = numbers.integers(0, 256, (IMAGES, *network.input_shape)).astype(np.uint8)
    split = Split(ImageSet(images, np.zeros(IMAGES, np.int32)), np.arange(IMAGES))
    return Int8Network(network, weights, different if seed % 2 else alike, split)


def at_random(seed: int) -> Int8Network:
    """Return a network at random."""
    return of_text(random_networks.draw(Random(seed), max_input=9), seed)


def scores_of_code(of: Int8Network, machine: Machine, *, channels_last: bool = False) -> np.ndarray:
    """Return the last layer's float32 results as machine code computes them, (N, K)."""
    program, network = of.program(machine, channels_last=channels_last), of.network.unfrozen
    K, last = network.classes, program.program.ops[-1]
    delivered = Op(Deliver(Plane(K, 1, 1)), (last.buffers[0], values(K)))
    planned = schedule(replace(program.program, ops=(*program.program.ops[:-1], delivered)))
    compiled = compile_schedule(planned, machine, task_of(Recipe(), training=False))
    memory = Memory(compiled)
    memory.arena[:] = program.arena(planned)
    source = of.split.source
    if channels_last:
        images = np.ascontiguousarray(source.images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        source = replace(source, images=images)
    return Predictor(compiled, network, 1, {}).values(memory, source, of.split.indices, (K,))


def scores_of_floats(of: Int8Network) -> np.ndarray:
    """Return the same as the float engine computes them."""
    network, split = of.network.unfrozen, of.split
    exact = Recipe(exact=True)
    indices = split.indices
    return features(network, of.scaling, exact, of.weights, split.source, indices, 1).reshape(len(indices), -1)


def scores_of_numpy(of: Int8Network, machine: Machine) -> np.ndarray:
    """Return the same, op by op by the definitions."""
    program = of.program(machine)
    layouts = {buffer: layout for tensor in program.program.tensors for buffer, layout in tensor.homes}
    constants = {
        buffer: content if isinstance(layouts[buffer], Vector) else layouts[buffer].unpack(content)
        for buffer, content in program.constants.items()
    }
    made: dict[str, np.ndarray] = {"images": of.split.source.images, "order": of.split.indices}
    zeros: dict[str, int] = {}
    for op in program.program.ops[:-1]:
        arguments: dict[str, Any] = {"k": op.kernel}
        for (name, argument), buffer in zip(op.kernel.arguments.items(), op.buffers, strict=True):
            if buffer in constants:
                arguments[name] = constants[buffer]
            elif buffer.name in made:
                arguments[name] = _as(made[buffer.name], argument.layout)
                arguments["beside"] = zeros.get(buffer.name, 0)
            if buffer.per is Per.IMAGE and buffer in op.written and "t" in arguments:
                zeros[buffer.name] = int(arguments["t"][0])
        (result,) = told(DEFINITIONS[type(op.kernel)], arguments).values()
        made[op.written[0].name] = result
    return made["z"]


def _as(x: np.ndarray, layout: Any) -> np.ndarray:
    """Return values (N, C, H, W) as a kernel takes them: after a Flat as a list in memory order."""
    if (
        isinstance(layout, Plane)
        and layout.height == layout.width == 1
        and x.ndim == 4
        and x.shape[1] != layout.channels
    ):
        return x.transpose(0, 2, 3, 1).reshape(len(x), -1, 1, 1)
    return x
