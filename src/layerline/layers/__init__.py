"""The vocabulary: every layer of a network file, with its grammar, shapes, weights and cost."""

from __future__ import annotations

from typing import Final

from layerline.layers.convolution import Conv, Depthwise
from layerline.layers.flat import FC, Flat, Softmax
from layerline.layers.grammar import CLASSES, Argument, Misfit, Pair, Word
from layerline.layers.layer import Layer, Shape, Weight
from layerline.layers.pointwise import (
    ELU,
    GELU,
    Add,
    BatchNorm,
    Dropout,
    Dropout2d,
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
    Add,
)
"""Every layer, in the order of the documentation. `Add` is made by a Residual and cannot be written."""

__all__ = [
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
    "Conv",
    "Depthwise",
    "Dropout",
    "Dropout2d",
    "Flat",
    "GlobalMaxPool",
    "GlobalPool",
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
