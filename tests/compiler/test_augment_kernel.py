"""The augmenting loader: bit for bit the reference, whatever the shape, the order in memory and the width."""

from __future__ import annotations

import ctypes
import mmap
from random import Random
from typing import TYPE_CHECKING

import numpy as np
import pytest
from kernel_runner import aligned, run

from layerline.compiler.dtype import DType
from layerline.compiler.kernels.augment import Augment
from layerline.compiler.kernels.load import Load
from layerline.compiler.machine import host, named
from layerline.compiler.plane import Plane, capacity
from layerline.data.augment.augmentation import Augmentation, apply
from layerline.data.dataset import Scaling

if TYPE_CHECKING:
    from layerline.compiler.machine import Machine
    from layerline.data.augment.augmentation import Drawn

MACHINES = [host(), *(named(lanes=lanes) for lanes in (8, 4, 1) if lanes < host().lanes)]
if host().triple.startswith("x86_64"):
    MACHINES.append(named("x86-64"))
OUTSIDE = -7.25
"""What stands in memory where the loader has nothing to write."""


def random_augmentation(rng: Random, H: int, W: int) -> Augmentation | None:
    """Return one for images of this size, from moves that leave one pixel to turns right round."""
    values: dict[str, object] = {}
    if min(H, W) > 1 and rng.random() < 0.7:
        values["shift"] = rng.randint(1, min(H, W) - 1)
    if max(H, W) > 1 and rng.random() < 0.4:
        values["cutout"] = rng.randint(1, max(H, W) - 1)
    if rng.random() < 0.4:
        values["rotate"] = rng.choice([1.5, 20.0, 180.0])
    if rng.random() < 0.3:
        values["scale"] = rng.choice([0.1, 0.9])
    if values.keys() & {"shift", "rotate", "scale"} and rng.random() < 0.5:
        values["padding"] = "reflect"
    values["flip"] = rng.choice(["none", "random", "alternate"])
    for name in ("brightness", "contrast"):
        if rng.random() < 0.3:
            values[name] = 0.4
    return Augmentation.parse(Augmentation(**values).text)


def stored(rng: Random, shape: tuple[int, ...], channels_last: bool, dtype: type) -> np.ndarray:
    """Return images (N, C, H, W) that begin or end where a page does beyond which nothing may be read."""
    numbers = np.random.default_rng(rng.randrange(2**31))
    N, C, H, W = shape
    values = numbers.integers(0, 256, (N, H, W, C) if channels_last else shape).astype(dtype)
    if dtype is np.float32:
        values = (values / np.float32(255)).astype(np.float32)
    memory = guarded(values.nbytes, at_end=rng.random() < 0.5).view(dtype).reshape(values.shape)
    memory[:] = values
    return memory.transpose(0, 3, 1, 2) if channels_last else memory


def guarded(size: int, *, at_end: bool) -> np.ndarray:
    """Return bytes with a page on either side that must not be touched: the process would die."""
    page = mmap.PAGESIZE
    inner = -(-size // page) * page
    memory = mmap.mmap(-1, inner + 2 * page)
    array = np.frombuffer(memory, np.uint8)
    library = ctypes.CDLL(None, use_errno=True)
    for start in (0, page + inner):
        assert library.mprotect(ctypes.c_void_p(array.ctypes.data + start), ctypes.c_size_t(page), 0) == 0
    start = page + inner - size if at_end else page
    return array[start : start + size]


def loaded(
    images: np.ndarray, order: np.ndarray, drawn: Drawn, scaling: Scaling, machine: Machine, plane: Plane
) -> np.ndarray:
    """Return what the kernel writes, with the border: (n, rows, columns, C)."""
    channels_last = images.shape[1] > 1 and images.strides[1] == images.itemsize and images[0, 0].size > 1
    even = len(set(zip(scaling.scale, scaling.shift, strict=True))) == 1
    source = {"uint8": DType.U8, "float32": DType.F32}[images.dtype.name]
    n = len(order)
    x = aligned(n * capacity(plane.size), fill=OUTSIDE)
    for k in range(n):
        inside = x[k * capacity(plane.size) :][: plane.size].reshape(-1, plane.pitch // plane.channels, plane.channels)
        inside[plane.top : plane.top + plane.height, plane.left : plane.left + plane.width] = np.nan
    arrays = {
        "images": images,
        "order": order,
        "moves": drawn.moves,
        "numbers": drawn.numbers,
        "scale": np.array(scaling.scale, np.float32),
        "shift": np.array(scaling.shift, np.float32),
        "x": x,
    }
    run(Augment(plane, source, channels_last, even, drawn.steps), machine, arrays, images=n)
    rows = x.reshape(n, capacity(plane.size))
    assert (rows[:, plane.size :] == OUTSIDE).all()
    return rows[:, : plane.size].reshape(n, -1, plane.pitch // plane.channels, plane.channels)


def check(rng: Random, shape: tuple[int, int, int], augmentation: Augmentation, machine: Machine) -> None:
    """Hold the kernel's x against the reference: the same bits inside, nothing written outside."""
    C, H, W = shape
    N, n = 5, 9
    channels_last, dtype = rng.random() < 0.5, rng.choice([np.uint8, np.float32])
    images = stored(rng, (N, *shape), channels_last, dtype)
    order = np.array([rng.randrange(N) for _ in range(n)], np.int64)
    drawn = augmentation.draw(rng.randrange(2**64), rng.randint(1, 9), np.arange(n), shape)
    scaling = Scaling((1 / 255,) * C, (0.0,) * C)
    if rng.random() < 0.4:
        scaling = Scaling(tuple(rng.uniform(0.1, 3) for _ in range(C)), tuple(rng.uniform(-2, 2) for _ in range(C)))
    border = tuple(rng.choice([0, 0, 1, 3]) for _ in range(4))
    plane = Plane(C, H, W, *border)
    x = loaded(images, order, drawn, scaling, machine, plane)
    expected = np.full(x.shape, OUTSIDE, np.float32)
    top, left, _, _ = border
    expected[:, top : top + H, left : left + W] = apply(images[order], drawn, slice(0, n), scaling).transpose(
        0, 2, 3, 1
    )
    where = f"{augmentation.text}, {shape}, {channels_last=}, {dtype}, {border}"
    np.testing.assert_array_equal(x.view(np.int32), expected.view(np.int32), err_msg=where)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: f"{m.cpu}-{m.lanes}")
def test_random_shapes_and_words_give_the_reference_s_bits(machine: Machine) -> None:
    """120 random sizes, channels, orders, types, borders and augmentations: equal in every bit, nothing outside."""
    rng, done = Random(machine.lanes), 0
    while done < 120:
        shape = (rng.choice([1, 1, 2, 3, 5]), rng.randint(1, 21), rng.randint(1, 40))
        augmentation = random_augmentation(rng, *shape[1:])
        if augmentation is not None:
            check(rng, shape, augmentation, machine)
            done += 1


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: f"{m.cpu}-{m.lanes}")
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 8, 8)])
def test_every_word_on_real_sizes(shape: tuple[int, int, int], machine: Machine) -> None:
    """Each word alone, both paddings, and all together, on the sizes of MNIST, CIFAR-10 and digits."""
    rng = Random(3)
    for text in (
        *("shift=7", "shift=2,padding=reflect", "flip", "cutout=3", "brightness=0.5", "contrast=0.5"),
        *("rotate=40", "scale=0.5", "rotate=180,scale=0.9,padding=reflect"),
        "shift=3,padding=reflect,flip=alternate,cutout=5,brightness=0.2,contrast=0.2",
        "shift=3,flip,cutout=5,brightness=0.2,contrast=0.2,rotate=10,scale=0.1",
    ):
        augmentation = Augmentation.parse(text)
        assert augmentation is not None
        check(rng, shape, augmentation, machine)


def test_without_anything_drawn_it_is_the_plain_loader() -> None:
    """Tables that change nothing give what `Load` gives, bit for bit."""
    rng, plane = Random(1), Plane(3, 9, 11)
    images = stored(rng, (4, 3, 9, 11), channels_last=True, dtype=np.uint8)
    order, scaling = np.arange(4), Scaling((1 / 255,) * 3, (0.0,) * 3)
    still = Augmentation(flip="alternate", cutout=1).draw(0, 1, order, (3, 9, 11))
    still.moves[:] = 0
    x = loaded(images, order, still, scaling, host(), plane)
    plain = aligned(4 * capacity(plane.size), fill=0.0)
    tables = {"scale": np.array(scaling.scale, np.float32), "shift": np.array(scaling.shift, np.float32)}
    run(Load(plane, DType.U8, True, True), host(), {"images": images, "order": order, "x": plain, **tables}, images=4)
    np.testing.assert_array_equal(x.ravel(), plain.reshape(4, -1)[:, : plane.size].ravel())
