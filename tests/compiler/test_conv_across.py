"""Columns in the lanes: bit for bit the convolution with filters in the lanes, where it is chosen and where it could
be."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from kernel_runner import aligned, planes, run

from layerline.compiler.compilation import plan
from layerline.compiler.dtype import DType
from layerline.compiler.kernels.conv import ConvForward, conv_tile
from layerline.compiler.kernels.conv_across import AcrossTile, ConvAcross, across_tile
from layerline.compiler.kernels.conv_formula import Convolution, ConvShape
from layerline.compiler.kernels.load import Load
from layerline.compiler.kernels.optimizers import Sgd
from layerline.compiler.kernels.piecewise_activations import ReLU6Function, ReLUFunction
from layerline.compiler.kernels.split import SplitPlanes
from layerline.compiler.machine import Machine, host, named
from layerline.compiler.plane import Plane, capacity
from layerline.compiler.task import Task
from layerline.network import parse

MACHINES = [host(), named("haswell"), named("x86-64")]


def drawn(rng: Random, machine: Machine) -> ConvForward | None:
    """Return a convolution at random that across could compute, or None where its pool does not fit."""
    C, (R, S), dw = rng.choice([1, 1, 2, 3, 4]), (rng.randint(1, 5), rng.randint(1, 5)), rng.choice([1, 1, 2])
    border = (rng.randint(0, 2), rng.randint(0, 2), rng.randint(0, 2), rng.randint(0, 2))
    H, W = rng.randint(R + 2, 14), rng.randint(S * dw + 2, 40)
    sh, dh = rng.choice([1, 1, 2]), 1
    P = (H + border[0] + border[2] - dh * (R - 1) - 1) // sh + 1
    Q = W + border[1] + border[3] - dw * (S - 1)
    filters = rng.randint(1, 9)
    x = Plane(C, H, W, *border)
    shape = ConvShape(x, filters, (R, S), (sh, 1), (dh, dw), (border[0], border[1]), (P, Q))
    pool = rng.choice([(1, 1), (2, 2), (3, 3), (1, 2), (2, 3), (2, 1)])
    if pool[0] > P or pool[1] > Q or (tile := conv_tile(shape, machine, pool)) is None:
        return None
    if len(tile.blocks) > 1 or tile.blocks[0].count > 1:
        return None
    edge = rng.choice([0, 0, 1])
    y = Plane(filters, P // pool[0], Q // pool[1], edge, edge, edge, edge)
    bias, activated, places = (rng.random() < 0.5 for _ in range(3))
    activation = rng.choice((ReLUFunction(), ReLU6Function())) if activated else None
    return ConvForward(Convolution(shape, y, bias, activation, pool, places), tile)


def computed(kernel: ConvForward | ConvAcross, machine: Machine) -> dict[str, np.ndarray]:
    """Return what a kernel writes for two images at random, some values of which are NaN."""
    conv, shape, numbers = kernel.conv, kernel.conv.shape, np.random.default_rng(3)
    C, O = shape.x.channels, shape.filters
    images = numbers.integers(-3, 4, (2, C, shape.x.height, shape.x.width)).astype(np.float32)
    images[1, 0, -1, -1] = np.nan
    x = planes(images, (shape.x.top, shape.x.left, shape.x.bottom, shape.x.right))
    if isinstance(kernel, ConvAcross) and C > 1:
        apart = aligned(x.size)
        run(SplitPlanes(shape.x), machine, {"x": x, "planes": apart}, images=2)
        x = apart
    columns = kernel.columns
    w, b = aligned(capacity(columns.size)), aligned(capacity(O))
    w[: columns.size] = columns.pack(numbers.standard_normal((O, C, *shape.kernel)).astype(np.float32))
    b[:O] = numbers.standard_normal(O)
    b[O:] = 0
    y = aligned(2 * capacity(conv.y.size), fill=0.0)
    at = aligned(2 * capacity(conv.y.height * conv.y.width * O), np.int32)
    run(kernel, machine, {"x": x, "w": w, "b": b, "y": y, "at": at}, images=2)
    sizes = {"y": conv.y.size, "at": conv.y.height * conv.y.width * O if conv.places else 0}
    return {name: array.reshape(2, -1)[:, : sizes[name]] for name, array in (("y", y), ("at", at))}


def legal_tiles(plain: ConvForward, machine: Machine, rng: Random) -> list[AcrossTile]:
    """Return some tiles that compute it: the one that is chosen, and others at random, registers or not."""
    conv = plain.conv
    lanes = machine.lanes_for(conv.shape.out[1])
    whole = -(-(conv.shape.out[1] // conv.pool[1]) * conv.pool[1] // lanes)
    found = [tile] if (tile := across_tile(conv, plain.tile.blocks, machine)) else []
    for _ in range(3):
        vectors = rng.randint(1, whole) if lanes % conv.pool[1] == 0 else whole
        found.append(AcrossTile(rng.randint(1, conv.shape.filters), rng.randint(1, 3), vectors, lanes))
    return found


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: f"{m.lanes} lanes")
def test_lanes_change_no_bit(machine: Machine) -> None:
    """Any filters, kernel, dilation, border, pool and channels, any tile: y and the places are the same bits."""
    rng, chosen = Random(7), 0
    for _ in range(60):
        plain = drawn(rng, machine)
        if plain is None:
            continue
        expected = computed(plain, machine)
        chosen += across_tile(plain.conv, plain.tile.blocks, machine) is not None
        for tile in legal_tiles(plain, machine, rng):
            found = computed(ConvAcross(plain.conv, plain.columns, tile), machine)
            for name, array in expected.items():
                np.testing.assert_array_equal(found[name], array, f"{name} of {plain.symbol} with {tile}")
    assert chosen >= (10 if machine.lanes > 4 else 3)


def test_it_is_chosen_where_it_saves_vectors() -> None:
    """6 filters on 28 columns go across; 32 filters, 16 filters or a stride of 2 do not."""
    text = "Input 1 28 28\nConv {}\nReLU\nPool 2\nFlat\nFC 10\n"
    for conv, across in (("6 5 1 2", True), ("32 3", False), ("16 5", False), ("6 5 2 2", False)):
        program = plan(parse(text.format(conv), name="n"), named("x86-64-v4"), Task(50, Sgd(decay=False))).program
        assert any(isinstance(op.kernel, ConvAcross) for op in program.ops) == across, conv


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: f"{m.lanes} lanes")
@pytest.mark.parametrize("source", [DType.U8, DType.F32])
@pytest.mark.parametrize("channels_last", [False, True])
def test_loading_weaves_channels(machine: Machine, source: DType, channels_last: bool) -> None:
    """Any width and up to five channels, scaled alike or each: value · scale + shift in two roundings, as NumPy has
    it; and nothing beside the images is read or the plane's border written."""
    numbers = np.random.default_rng(0)
    for C in (1, 2, 3, 4, 5):
        for W in (1, 3, 4, 7, 16, 33):
            plane, even = Plane(C, 3, W, 1, 2, 1, 2), C == 2
            images = numbers.integers(0, 256, (3, C, 3, W)).astype({DType.U8: np.uint8, DType.F32: np.float32}[source])
            scale, shift = (numbers.standard_normal(C).astype(np.float32) for _ in range(2))
            if even:
                scale[:], shift[:] = scale[0], shift[0]
            lying = images.transpose(0, 2, 3, 1) if channels_last else images
            memory = aligned(images.size, lying.dtype.type)
            memory[:] = lying.reshape(-1)
            arrays = {"images": memory, "order": np.array([2, 0]), "scale": scale, "shift": shift}
            x = aligned(2 * capacity(plane.size), fill=7.0)
            run(Load(plane, source, channels_last, even), machine, {**arrays, "x": x}, images=2)
            expected = images[[2, 0]].astype(np.float32) * scale[:, None, None] + shift[:, None, None]
            bordered = np.full((2, C, 5, W + 4), 7.0, np.float32)
            bordered[:, :, 1:4, 2 : 2 + W] = expected
            found = x.reshape(2, -1)[:, : plane.size].reshape(2, 5, W + 4, C).transpose(0, 3, 1, 2)
            np.testing.assert_array_equal(found, bordered)
