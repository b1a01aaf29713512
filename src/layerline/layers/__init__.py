"""The vocabulary: every layer of a network file, with its grammar, shapes, weights and cost."""

from __future__ import annotations

from typing import Final

from layerline.layers.convolution import Conv, Depthwise
from layerline.layers.flat import FC, Flat, Softmax
from layerline.layers.grammar import CLASSES, Argument, Misfit, Pair, Word
from layerline.layers.layer import Layer, Shape, Weight
from layerline.layers.pointwise import (
    GELU,
    Add,
    BatchNorm,
    Dropout,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Tanh,
)
from layerline.layers.pooling import AvgPool, GlobalPool, Pool

LAYERS: Final[tuple[type[Layer], ...]] = (
    Conv,
    Depthwise,
    ReLU,
    LeakyReLU,
    GELU,
    SiLU,
    Tanh,
    Sigmoid,
    Pool,
    AvgPool,
    GlobalPool,
    BatchNorm,
    Dropout,
    Flat,
    FC,
    Softmax,
    Add,
)
"""Every layer, in the order of the documentation. `Add` is made by a Residual and cannot be written."""

__all__ = [
    "CLASSES",
    "FC",
    "GELU",
    "LAYERS",
    "Add",
    "Argument",
    "AvgPool",
    "BatchNorm",
    "Conv",
    "Depthwise",
    "Dropout",
    "Flat",
    "GlobalPool",
    "Layer",
    "LeakyReLU",
    "Misfit",
    "Pair",
    "Pool",
    "ReLU",
    "Shape",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "Weight",
    "Word",
]
