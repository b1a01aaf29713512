"""The vocabulary: every layer of a network file, with its grammar, shapes, weights and cost."""

from __future__ import annotations

from typing import Final

from layerline.layers.block_ends import Add, BlockEnd, Concat, Gate
from layerline.layers.convolution import Conv, Depthwise
from layerline.layers.flat import FC, Flat, Softmax
from layerline.layers.grammar import CLASSES, Argument, Misfit, Pair, Word
from layerline.layers.layer import Branches, Layer, Shape, Weight
from layerline.layers.pointwise import (
    ELU,
    GELU,
    BatchNorm,
    Dropout,
    Dropout2d,
    HardSigmoid,
    HardSwish,
    LeakyReLU,
    Mish,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Tanh,
)
from layerline.layers.pooling import AvgPool, GlobalMaxPool, GlobalPool, Pool
from layerline.layers.separable import SEPARABLE, separable

BLOCK_ENDS: Final[tuple[type[BlockEnd], ...]] = (Add, Concat, Gate)
"""The layers at the End of a block, which joins its branches; they have no line."""
LAYERS: Final[tuple[type[Layer], ...]] = (
    Conv,
    Depthwise,
    ReLU,
    LeakyReLU,
    ReLU6,
    ELU,
    GELU,
    SiLU,
    HardSwish,
    HardSigmoid,
    Mish,
    Tanh,
    Sigmoid,
    Pool,
    AvgPool,
    GlobalPool,
    GlobalMaxPool,
    BatchNorm,
    Dropout,
    Dropout2d,
    Flat,
    FC,
    Softmax,
    *BLOCK_ENDS,
)
"""Every layer, in the order of the documentation."""

__all__ = [
    "BLOCK_ENDS",
    "CLASSES",
    "ELU",
    "FC",
    "GELU",
    "LAYERS",
    "SEPARABLE",
    "Add",
    "Argument",
    "AvgPool",
    "BatchNorm",
    "BlockEnd",
    "Branches",
    "Concat",
    "Conv",
    "Depthwise",
    "Dropout",
    "Dropout2d",
    "Flat",
    "Gate",
    "GlobalMaxPool",
    "GlobalPool",
    "HardSigmoid",
    "HardSwish",
    "Layer",
    "LeakyReLU",
    "Misfit",
    "Mish",
    "Pair",
    "Pool",
    "ReLU",
    "ReLU6",
    "Shape",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "Weight",
    "Word",
    "separable",
]
