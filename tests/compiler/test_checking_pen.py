"""No kernel leaves its buffers: proved for every kernel of every preset and of 200 random networks, by a pen that
writes nothing (`checking_pen`). What is planted is found."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Final

import pytest
from checked_kernels import check
from checking_pen import CheckingPen
from preset_shapes import SHAPES
from random_networks import draw
from test_compiler import EVERY_LAYER, ONE_TAP, TWO_CONVS
from test_golden_plans import MACHINES
from test_spec import RECIPES

from layerline.compiler import plane
from layerline.compiler.build import build
from layerline.compiler.compilation import plan
from layerline.compiler.dtype import DType
from layerline.compiler.kernel import Kernel, KernelArgument, reads, sets
from layerline.compiler.pen import Pen
from layerline.compiler.plane import Plane, capacity
from layerline.compiler.task import task_of
from layerline.network import parse
from layerline.network.source import presets, read
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from layerline.compiler.machine import Machine
    from layerline.compiler.program import Op
    from layerline.compiler.values import Index
    from layerline.network import Network

AUGMENTED: Final = (
    Recipe(batch_size=5, augment="flip,shift=2,cutout=3,brightness=0.2"),
    Recipe(batch_size=5, augment="flip,shift=2,padding=reflect"),
    Recipe(batch_size=5, augment="rotate=10,padding=reflect"),
    Recipe(batch_size=5, augment="rotate=10"),
)


def ops(network: Network, recipe: Recipe, machine: Machine, *, training: bool = True, **lie: object) -> Iterator[Op]:
    """Yield an op of each kernel of a network's Program. lie: how the caller's images do."""
    found: dict[Kernel, Op] = {}
    for op in plan(network, machine, replace(task_of(recipe, training=training), **lie)).program.ops:
        found.setdefault(op.kernel, op)
    yield from found.values()


@pytest.mark.parametrize("preset", presets())
def test_kernels_of_presets_stay_inside(preset: str) -> None:
    """To train and to predict, at every width of vectors."""
    network = read(preset, input_shape=SHAPES[preset], classes=10)
    for machine in MACHINES:
        for training in (True, False):
            for op in ops(network, RECIPES[0], machine, training=training):
                assert check(op, machine) > 0


@pytest.mark.parametrize("text", [EVERY_LAYER, TWO_CONVS], ids=["every layer", "two convolutions"])
def test_kernels_of_every_layer_and_step_stay_inside(text: str) -> None:
    """With every optimizer, clipping, smoothing and class weights; as they are built, and after all passes."""
    network = parse(text, name="n")
    for machine in MACHINES:
        for recipe in RECIPES:
            for op in (*ops(network, recipe, machine), *build(network, machine, task_of(recipe, training=True)).ops):
                assert check(op, machine) > 0


@pytest.mark.parametrize("even", [True, False])
@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 5, 4), (5, 9, 2)])
def test_no_byte_outside_of_an_image_is_touched(shape: tuple[int, int, int], channels_last: bool, even: bool) -> None:
    """Loaded as it is or augmented, pixel by pixel or channel by channel, its channels scaled alike or apart."""
    network = parse("Input {} {} {}\nConv 6 3 padding=1\nReLU\nFlat\nFC 3\n".format(*shape), name="n")
    for machine in MACHINES:
        for recipe in (RECIPES[0], *AUGMENTED):
            for op in ops(network, recipe, machine, channels_last=channels_last, even_scaling=even):
                assert check(op, machine) > 0


@pytest.mark.parametrize("seed", range(200))
def test_kernels_of_random_networks_stay_inside(seed: int) -> None:
    """Each with one of the recipes, at one of the widths."""
    machine = MACHINES[seed // len(RECIPES) % len(MACHINES)]
    for op in ops(parse(draw(Random(seed)), name="n"), RECIPES[seed % len(RECIPES)], machine):
        assert check(op, machine) > 0


POOLED: Final = "Input 1 28 28\nConv 6 5 1 2\nReLU\nPool 2 2\nConv 16 5\nReLU\nPool 3 2\nFlat\nFC 120\nFC 10\n"

WINDOWS: Final = "Input 1 16 16\nConv 6 3\nReLU\nConv 12 5\nReLU\nPool 2\nFlat\nFC 10\n"
"""Behind the second convolution, 25 pool windows, and filters of ten vectors."""
GRAY: Final = "Input 1 12 12\nConv 32 3\nReLU\nPool 2 2\nFlat\nFC 10\n"

LONGER: Final = {
    "Load": "h",
    "Augment": "n",
    "SplitPlanes": "i",
    "ConvForward": "p",
    "ConvAcross": "r",
    "ConvFilters": "k",
    "ConvInput": "q",
    "ConvPooledFilters": "p",
    "ConvFewTaps": "p",
    "ConvFiltersAcross": "p",
    "ConvPooledInput": "p",
    "DepthwiseForward": "r",
    "DepthwiseFilters": "p",
    "DepthwiseInput": "n",
    "PoolForward": "p",
    "PoolBackward": "p",
    "Unpool": "p",
    "AverageForward": "h",
    "AverageBackward": "h",
    "BatchNormSums": "p",
    "BatchNormStatistics": "shard",
    "BatchNormForward": "p",
    "BatchNormBackward": "p",
    "FCForward": "o",
    "FCInput": "tile",
    "FCWeights": "o",
    "SoftmaxLoss": "n",
    "BiasSum": "n",
    "Sum": "h",
    "Product": "h",
    "ScaledChannels": "h",
    "ProductSums": "h",
    "Concatenate": "h",
    "ConcatenateBackward": "h",
    "Masked": "h",
    "DropoutMask": "chunk",
    "Reduce": "shard",
    "Step": "shard",
    "MuonDirection": "i",
}
"""Kernel → a loop of it that runs once too often."""


def of_class(name: str) -> list[Op]:
    """Return ops of a class of kernels, out of a few networks."""
    found: list[Op] = []
    for text in (EVERY_LAYER, TWO_CONVS.replace("ReLU\nFlat", "ReLU\nPool 2\nFlat"), POOLED, WINDOWS, ONE_TAP, GRAY):
        for recipe in (*RECIPES, AUGMENTED[0]):
            found += [op for op in ops(parse(text, name="n"), recipe, MACHINES[0]) if type(op.kernel).__name__ == name]
    return found


def found_in(op: Op) -> str | None:
    """Return what is found in an op."""
    try:
        check(op, MACHINES[0])
    except AssertionError as fault:
        return str(fault)
    return None


@pytest.mark.parametrize("kernel", LONGER)
def test_a_loop_that_runs_once_too_often_is_found(kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal names the kernel, the argument and the elements. Some shapes have room for it; one has not."""
    loop = Pen.loop

    def longer(
        pen: Pen, name: str, stop: int | Index, start: int | Index = 0, step: int = 1
    ) -> AbstractContextManager[Index]:
        return loop(pen, name, stop + step if name == LONGER[kernel] else stop, start, step)

    planted = of_class(kernel)
    assert not any(map(found_in, planted))
    monkeypatch.setattr(Pen, "loop", longer)
    faults = [fault for fault in map(found_in, planted) if fault]
    assert faults
    assert all(re.fullmatch(r"\w.*: \w+\[\d+\] to \[\d+\] of \d+", fault) for fault in faults)


@pytest.mark.parametrize("kernel", ["Load", "ConvForward", "ConvFilters", "ConvInput", "DepthwiseInput", "PoolForward",
                                    "AverageForward", "BatchNormForward", "Concatenate", "BiasSum"])  # fmt: skip
def test_an_offset_that_is_wrong_is_found(kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images too far from each other, and images that begin an element too early."""
    planted = of_class(kernel)
    with monkeypatch.context() as patch:
        patch.setattr(plane, "item", lambda n, elements: n * (capacity(elements) + plane.ALIGN))
        patch.setattr("layerline.compiler.kernels.loops.item", plane.item)
        assert any(map(found_in, planted))
    begin = Plane.begin
    monkeypatch.setattr(Plane, "begin", lambda image, n: begin(image, n) - 1 - image.origin)
    monkeypatch.setattr("layerline.compiler.kernels.loops.item", lambda n, elements: plane.item(n, elements) - 200)
    assert any("[-" in fault for fault in map(found_in, planted) if fault)


def tail(count: int) -> Callable[[Pen], None]:
    return lambda pen: pen.store(pen.constant(0.0, 8), pen.pointer("y"), 8, count)


def whole_vector(pen: Pen) -> None:
    pen.store(pen.load(pen.pointer("x"), 8, 8), pen.pointer("y"), 8, 2)


def triangle(rows: int) -> Callable[[Pen], None]:
    def written(pen: Pen) -> None:
        with pen.loop("i", 10) as i, pen.loop("j", rows - i) as j:
            pen.store(pen.load(pen.pointer("x"), i + j), pen.pointer("y"), i)

    return written


def guarded(first: int) -> Callable[[Pen], None]:
    def written(pen: Pen) -> None:
        with pen.loop("i", 30) as i, pen.when((i - first).within(10)):
            pen.store(pen.load(pen.pointer("x"), i - 12), pen.pointer("y"), i - first)

    return written


def divided(by: int) -> Callable[[Pen], None]:
    def written(pen: Pen) -> None:
        with pen.loop("i", 10) as i:
            row, column = divmod(i, by)
            pen.store(pen.load(pen.pointer("x"), row * 5 + column), pen.pointer("y"), i)

    return written


def ones(most: int) -> Callable[[Pen], None]:
    def written(pen: Pen) -> None:
        with pen.ones(pen.packed([pen.lane_mask(8, 3), pen.lane_mask(4, 1)]), most) as i:
            pen.store(pen.load(pen.pointer("x"), i), pen.pointer("y"), i)

    return written


def lanes_by_number(count: int) -> Callable[[Pen], None]:
    def written(pen: Pen) -> None:
        with pen.loop("i", count) as i:
            pen.store(pen.lane(pen.load(pen.pointer("x"), 0, 4), i), pen.pointer("y"), i)

    return written


def unlike(pen: Pen) -> None:
    pen.add(pen.constant(1.0, 4), pen.constant(1.0, 8))


LINES: Final[dict[str, tuple[Callable[[Pen], None], str | None]]] = {
    "a tail": (tail(2), None),
    "a tail that is too long": (tail(3), "y[8] to [10] of 10"),
    "a whole vector for a tail": (whole_vector, "x[8] to [15] of 10"),
    "rows that get shorter": (triangle(10), None),
    "rows that get shorter too late": (triangle(11), "x[0] to [10] of 10"),
    "a guard": (guarded(12), None),
    "a guard that is a place late": (guarded(13), "x[1] to [10] of 10"),
    "a quotient and a remainder": (divided(5), None),
    "those of another divisor": (divided(4), "x[0] to [11] of 10"),
    "bits of an integer": (ones(10), None),
    "a bit too many": (ones(11), "x[0] to [10] of 10"),
    "the bits of a float": (
        lambda pen: pen.ones(pen.constant(1.0), 3).__enter__(),
        "the first 3 bits of 1 of DType.F32",
    ),
    "a lane by its number": (lanes_by_number(4), None),
    "the number of no lane": (lanes_by_number(5), "lanes 0 to 4 of 4"),
    "an argument that is said to be read": (
        lambda pen: pen.store(pen.constant(0.0), pen.pointer("x")),
        "x is written, and said to be read",
    ),
    "another type": (
        lambda pen: pen.store(pen.constant(1.0, 1, DType.F64), pen.pointer("y")),
        "DType.F64 is stored as DType.F32",
    ),
    "unlike lanes": (unlike, "takes together 4 of DType.F32, 8 of DType.F32"),
}
"""What a kernel does with ten elements of x and ten of y, and what is found: exactly the elements that it reaches."""


@dataclass(frozen=True)
class _Written(Kernel):
    name: str

    @property
    def symbol(self) -> str:
        return "written"

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {"x": reads(10), "y": sets(10)}

    def write(self, pen: Pen) -> None:
        LINES[self.name][0](pen)


@pytest.mark.parametrize("name", LINES)
def test_exactly_what_is_reached_is_known(name: str) -> None:
    """Tails, bounds that depend on other loops, guards and remainders are taken as they are, not as intervals."""
    kernel, wanted = _Written(name), LINES[name][1]
    pen = CheckingPen(MACHINES[0], kernel, {"x": 10, "y": 10}, {"images": 1}, {})
    if wanted is None:
        kernel.write(pen)
        assert pen.accesses > 0
    else:
        with pytest.raises(AssertionError, match=re.escape(f"written: {wanted}")):
            kernel.write(pen)
