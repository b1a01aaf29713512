"""Runs the forward-only Program of an exported model on the host, in scratch memory that held other values before."""

from __future__ import annotations

import ctypes
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import random_networks
from kernel_runner import aligned

from layerline.compiler import jit
from layerline.compiler.calls import PREDICT_SCALARS, predict_pointers
from layerline.compiler.driver import write_module
from layerline.data.dataset import Scaling
from layerline.export.subject import Subject
from layerline.network import initial_weights, parse
from layerline.runs.model_file import Card, Preprocessing

if TYPE_CHECKING:
    from layerline.compiler.machine import Machine
    from layerline.compiler.program import Schedule
    from layerline.network import Network


def drawn(seed: int) -> Subject:
    """Return a random network with weights, statistics of BatchNorm, scaling and classes that are random, too."""
    return subject(parse(random_networks.draw(Random(seed)), name=f"drawn{seed}"), seed)


def subject(network: Network, seed: int, preprocessing: Preprocessing | None = None) -> Subject:
    """Return a network as if it were trained."""
    numbers, weights = np.random.default_rng(seed), initial_weights(network, seed)
    for name, value in weights.items():
        if name.endswith("running_mean"):
            weights[name] = numbers.normal(0, 0.3, value.shape).astype(np.float32)
        elif name.endswith("running_var"):
            weights[name] = numbers.uniform(0.5, 2, value.shape).astype(np.float32)
        elif name.endswith("bias"):
            weights[name] = numbers.normal(0, 0.1, value.shape).astype(np.float32)
    C = network.input_shape[0]
    scale, shift = numbers.uniform(0.5, 2, C) / 255, numbers.normal(0, 0.3, C)
    scaling = Scaling(tuple(map(float, scale)), tuple(map(float, shift)))
    classes = tuple(f"class {number}" for number in range(network.classes))
    card = Card(network.name, network.text, network.input_shape, classes, scaling, {"layerline": "0"})
    if preprocessing is not None:
        card = Card(**{**vars(card), "preprocessing": preprocessing})
    return Subject(network, card, weights)


def images(network: Network, count: int, seed: int = 0) -> np.ndarray:
    """Return uint8 images (N, C, H, W)."""
    return np.random.default_rng(seed).integers(0, 256, (count, *network.input_shape), dtype=np.uint8)


def run(
    planned: Schedule, constants: np.ndarray, machine: Machine, scaling: Scaling, stored: np.ndarray, fill: float
) -> np.ndarray:
    """Return the probabilities of each image; `stored` in the order of the Program, scratch memory filled with `fill`
    before the first image."""
    function = jit.linked(jit.object_code(write_module(planned, machine), machine), machine, ["predict"])
    classes = next(b.size for op in planned.program.ops for b in op.buffers if b.name == "probabilities")
    probabilities = np.full((len(stored), classes), np.nan, np.float32)
    arrays: dict[str, Any] = {
        "arena": aligned(max(len(constants), 1), np.uint8),
        "scratch": aligned(-(-planned.scratch_bytes // 4), fill=fill),
        "images": np.ascontiguousarray(stored),
        "order": np.arange(len(stored)),
        "scale": np.array(scaling.scale, np.float32),
        "shift": np.array(scaling.shift, np.float32),
        "probabilities": probabilities,
    }
    arrays["arena"][: len(constants)] = constants
    pointers = predict_pointers(planned.program)
    types = [ctypes.c_void_p] * len(pointers) + [ctypes.c_int64] * len(PREDICT_SCALARS)
    function.function("predict", types)(*(arrays[name].ctypes.data for name in pointers), 0, len(stored))
    return probabilities
