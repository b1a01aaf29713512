"""The sizes at which each kernel is held against its definition, where its values lie, and by how much it may err."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import kernel_definitions as define
import numpy as np
from kernel_runner import Packed, Strided, image, listed

from layerline.compiler.dtype import DType
from layerline.compiler.kernels.activations import (
    ActivationBackward,
    ActivationForward,
    GELUFunction,
    LeakyReLUFunction,
    SigmoidFunction,
    SiLUFunction,
    TanhFunction,
)
from layerline.compiler.kernels.augment import Augment
from layerline.compiler.kernels.average import AverageBackward, AverageForward
from layerline.compiler.kernels.batch_norm import (
    BatchNormBackward,
    BatchNormForward,
    BatchNormGradients,
    BatchNormGradientSums,
    BatchNormStatistics,
    BatchNormSums,
    stride,
)
from layerline.compiler.kernels.bias import BiasSum
from layerline.compiler.kernels.border import ClearBorder
from layerline.compiler.kernels.clip import ClipFactor, Squares
from layerline.compiler.kernels.concatenation import Concatenate, ConcatenateBackward
from layerline.compiler.kernels.conv import ConvForward, conv_tile
from layerline.compiler.kernels.conv_across import AcrossTile, ConvAcross
from layerline.compiler.kernels.conv_few_taps import ConvFewTaps
from layerline.compiler.kernels.conv_filters_across import ConvFiltersAcross
from layerline.compiler.kernels.conv_formula import Convolution, ConvShape
from layerline.compiler.kernels.conv_gradients import ConvFilters, ConvInput, filters_tile, input_tile
from layerline.compiler.kernels.conv_pooled import ConvPooledFilters, ConvPooledInput, compared, patch_tile
from layerline.compiler.kernels.copies import Copy, Deliver, Reorder
from layerline.compiler.kernels.depthwise import DepthwiseFilters, DepthwiseForward, padded_channels
from layerline.compiler.kernels.depthwise_input import DepthwiseInput
from layerline.compiler.kernels.dropout import DropoutMask, Masked, MaskedChannels, mask_size
from layerline.compiler.kernels.exchange import ShardSums
from layerline.compiler.kernels.fc import FCForward, FCInput, FCWeights, fc_shape, forward_tile, weights_tile
from layerline.compiler.kernels.fc import input_tile as fc_input_tile
from layerline.compiler.kernels.load import Load
from layerline.compiler.kernels.loss import LossTotal, Objective, Probabilities, SoftmaxLoss
from layerline.compiler.kernels.muon import Filters, MuonDirection
from layerline.compiler.kernels.optimizers import HYPER_NAMES, AdamW, Follow, Sgd
from layerline.compiler.kernels.piecewise_activations import (
    HardSigmoidFunction,
    HardSwishFunction,
    ReLU6Function,
    ReLUFunction,
)
from layerline.compiler.kernels.pool import PoolBackward, PoolForward, PoolShape, Unpool
from layerline.compiler.kernels.product import Product, ProductSums, ScaledChannels
from layerline.compiler.kernels.relu import ReLUBackward, ReLUForward
from layerline.compiler.kernels.split import SplitPlanes
from layerline.compiler.kernels.sum import Sum
from layerline.compiler.kernels.update import Grid, Reduce, Step, ToColumns
from layerline.compiler.kernels.winograd import WinogradForward, WinogradInput, winograd_forward, winograd_input
from layerline.compiler.kernels.winograd_filters import WinogradFilters, winograd_filters
from layerline.compiler.kernels.winograd_formula import Winograd
from layerline.compiler.kernels.winograd_weights import TransformFilters
from layerline.compiler.layout import Columns, Matrix, Taps
from layerline.compiler.plane import Plane, capacity
from layerline.compiler.tile import filter_blocks
from layerline.data.augment.steps import MOVES, NUMBERS, STILL, Steps

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerline.compiler.kernel import Kernel
    from layerline.compiler.machine import Machine

    Lies = Strided | Packed

IMAGES: Final = 2
SHARDS: Final = 3
EXACT: Final = 0
HYPER: Final = SimpleNamespace(momentum=0.9, weight_decay=0.1, beta1=0.75, beta2=0.5, eps=0.01, label_smoothing=0.2,
                               clip_norm=2.0, ema=0.7, one_minus_beta1=0.25, one_minus_beta2=0.5)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A kernel, its definition, and by how many roundings it may err."""

    kernel: Callable[[Machine], Kernel]
    definition: Callable[..., define.Results]
    roundings: int
    lies: Callable[[Any, Machine], dict[str, Lies]] = lambda _, __: {}
    """Where the values of some arguments lie; of others the kernel itself says it."""
    drawn: dict[str, Any] = field(default_factory=dict)
    """Values that are not simply drawn."""
    numbers: dict[str, float] = field(default_factory=dict)
    terms: Callable[..., define.Results] | None = None
    """The sizes of the terms, where the definition is no sum of products."""
    zeros: tuple[str, ...] = ()
    """Arguments that are zero where they hold no value: the kernel takes part of that into its sums."""
    lanes: int = 1
    """The narrowest vectors that it is written for."""


def flat(*shape: int) -> Strided:
    """Return how an array of the caller's lies."""
    return replace(listed(*shape), elements=int(np.prod(shape)))


GIVEN: Final[dict[str, Callable[[Any], Strided]]] = {
    "images": lambda k: flat(3, k.x.channels, k.x.height, k.x.width),
    "order": lambda _: flat(IMAGES),
    "scale": lambda k: flat(k.x.channels),
    "shift": lambda k: flat(k.x.channels),
    "moves": lambda _: flat(IMAGES, len(MOVES)),
    "numbers": lambda _: flat(IMAGES, len(NUMBERS)),
    "rng_key": lambda _: flat(3),
    "labels": lambda _: flat(3),
    "class_weights": lambda k: listed(k.classes + 1),
    "hyper": lambda _: flat(len(HYPER_NAMES)),
    "values": lambda k: flat(IMAGES, k.x.channels, k.x.height, k.x.width),
    "probabilities": lambda k: flat(IMAGES, k.classes),
    "losses": lambda _: flat(IMAGES),
}
"""What the caller hands in, and what it gets back."""

ORDER: Final = [2, 0]
DRAWN: Final[dict[str, Any]] = {
    "order": ORDER,
    "labels": [1, 0, 3],
    "rng_key": [7, 1, 3],
    "hyper": [getattr(HYPER, name) for name in HYPER_NAMES],
    "factor": [0.75],
    "class_weights": [1.0, 2.0, 0.5, 3.0, 1.5, 8.0],
}

BARE: Final = Plane(5, 4, 7)
EDGED: Final = Plane(5, 4, 7, 1, 2, 0, 1)
CENTERED: Final = Plane(5, 4, 7, 1, 1, 1, 1)
ONE_PIXEL: Final = Plane(5, 1, 1, 1, 1, 1, 1)
X: Final = Plane(3, 7, 6, 1, 1, 2, 1)
STRIDED: Final = ConvShape(X, 22, (3, 2), (2, 1), (1, 2), (1, 1), (4, 6))
GROUPED: Final = ConvShape(Plane(6, 6, 5, 1, 1, 1, 1), 8, (3, 3), (1, 1), (1, 1), (1, 1), (6, 5), groups=2)
GRAY: Final = ConvShape(Plane(1, 6, 9, 1, 1, 1, 1), 5, (3, 3), (1, 1), (1, 1), (1, 1), (6, 9))
SPARSE: Final = ConvShape(Plane(1, 13, 14, 1, 1, 1, 1), 22, (3, 2), (2, 1), (1, 2), (1, 0), (7, 13))
"""Strides, dilation, more filters than lanes."""
LONG: Final = ConvShape(Plane(1, 3, 47, 0, 1, 1, 1), 9, (2, 4), (1, 2), (1, 1), (0, 1), (3, 23))
DEEP: Final = ConvShape(Plane(5, 6, 7, 1, 1, 1, 1), 5, (3, 2), (2, 1), (1, 2), (1, 1), (3, 7), groups=5)
UNEVEN: Final = ConvShape(Plane(19, 8, 9, 0, 1, 3, 2), 21, (3, 3), (1, 1), (1, 1), (0, 1), (6, 9))
"""Neither the tiles nor the vectors of channels and filters are full."""
FIVE: Final = ConvShape(Plane(3, 3, 6, 2, 2, 3, 2), 4, (5, 5), (1, 1), (1, 1), (2, 2), (3, 6))
SMALL: Final = ConvShape(Plane(4, 2, 3, 1, 1, 1, 2), 3, (3, 3), (1, 1), (1, 1), (1, 1), (2, 3))
POOL: Final = PoolShape(EDGED, (3, 2), (2, 2), (1, 0), (2, 3))
BYTES: Final = np.arange(3 * 3 * 7 * 6).reshape(3, 3, 7, 6) % 256
EVERY_OUTPUT: Final = Plane(5, 6, 9, 1, 0, 0, 2)
OF_PATCHES: Final = np.array([0, 6, 42, 48, 6, 42, 0, 48]).reshape(1, 8, 1, 1)
"""Places in GROUPED's x of the four outputs of a pool window, a filter each."""
MANY: Final = ConvShape(Plane(3, 4, 5), 150, (2, 2), (1, 1), (1, 1), (0, 0), (3, 4))
"""More filters than an integer has bits, twice."""
WIDE: Final = ConvShape(Plane(9, 5, 151, 1, 1, 1, 1), 5, (3, 3), (1, 1), (1, 1), (1, 1), (5, 151))
"""So are the windows of a row."""
INTEGERS: Final = np.arange(2 * 5 * 4 * 7).reshape(2, 5, 4, 7) * 37 % 11 - 5
"""Numbers some of which are equal, so that a window has several that are the largest."""
GRID: Final = Grid(70, 60, 64)
"""In two pieces."""
FILTERS: Final = Grid(44, 6, 8)
SGD: Final = Sgd(decay=True, clip=True, ema=True, nesterov=True)
SUMS: Final = [[[3, -2, 1, 4, 0], [30, 20, 40, 30, 20]], [[1, -5, 2, 1, 1], [20, 20, 10, 40, 50]],
               [[2, 2, -1, -4, 6], [60, 20, 30, 50, 10]]]  # fmt: skip
"""Shards' sums of the values of five channels, and of their squares."""
WHOLE: Final = [*np.pad(np.sum(SUMS, 0), ((0, 0), (0, stride(5) - 5))).ravel().tolist(), IMAGES]
"""The same over all processes, as they lie, and the number of images."""
RATES: Final = {"rate": 0.5, "adam_rate": 0.25, "adam_scale": 1.5}
EVERY_FUNCTION: Final = (LeakyReLUFunction(0.1), SigmoidFunction(), TanhFunction(), SiLUFunction(), GELUFunction(),
                         ReLUFunction(), ReLU6Function(), HardSwishFunction(), HardSigmoidFunction())  # fmt: skip
RELU: Final = ReLUFunction()


def forward(shape: ConvShape, machine: Machine, y: Plane, **what: Any) -> ConvForward:
    """Return a convolution with filters in the lanes."""
    tile = conv_tile(shape, machine, what.get("pool", (1, 1)))
    assert tile is not None
    return ConvForward(Convolution(shape, y, **what), tile)


def across(machine: Machine, places: int | None = None) -> ConvAcross:
    """Return a convolution with columns in the lanes, a window of two of them a value."""
    plain = forward(GRAY, machine, Plane(5, 3, 4, 1, 1, 1, 1), activation=ReLUFunction(), pool=(2, 2), places=True)
    lanes = machine.lanes_for(8)
    return ConvAcross(plain.conv, plain.columns, AcrossTile(2, 1, 8 // lanes, lanes), places)


def convolved(k: Any, _: Machine) -> dict[str, Lies]:
    """Return where a bias lies, and the places of a pool."""
    at = image(k.conv.y.inside, IMAGES)
    if getattr(k, "places", None):
        at = by_filter(k.conv.y, k.places)
    return {"b": listed(k.conv.shape.filters), "at": at}


def by_filter(windows: Plane, across: int) -> Strided:
    """Return where positions lie filter by filter, in rows of `across`."""
    shape = (IMAGES, windows.channels, windows.height, windows.width)
    item = capacity(windows.channels * windows.height * across)
    return Strided(shape, (item, windows.height * across, across, 1), IMAGES * item)


def filters(k: Any, machine: Machine) -> dict[str, Lies]:
    """Return where filters lie as rows of taps, and the places of a pool."""
    found: dict[str, Lies] = dict.fromkeys(("w", "dw"), Packed(k.shape.rows(machine), k.shape.weights))
    return {**found, "at": image(k.dy.inside, IMAGES)}


def filters_behind_windows(k: Any, machine: Machine) -> dict[str, Lies]:
    """Return where filters lie, and the places of a pool, maybe filter by filter."""
    found = filters(k, machine)
    return {**found, "at": by_filter(k.dy, k.across)} if k.planar else found


def tiles(shape: ConvShape) -> Winograd:
    """Return tiles for the outputs of a convolution: also for a few channels, for which they would not pay."""
    return Winograd(4 if shape.kernel == (3, 3) and shape.out[0] > 2 else 2, shape.kernel[0])


def zeros_around(shape: ConvShape) -> Plane:
    """Return a gradient of a convolution's output with as many zeros around it as any tile reads."""
    return Plane(shape.filters, *shape.out, 4, 4, 4, 5)


def winograd_of(shape: ConvShape, machine: Machine, y: Plane, **what: Any) -> WinogradForward:
    """Return a convolution by tiles."""
    return winograd_forward(Convolution(shape, y, **what), tiles(shape), machine)


def transformed(machine: Machine, *, turned: bool) -> TransformFilters:
    """Return the transform of filters."""
    if turned:
        layout = winograd_input(UNEVEN, zeros_around(UNEVEN), tiles(UNEVEN), machine, add=False).passage.layout
        return TransformFilters(layout, UNEVEN.rows(machine))
    layout = winograd_of(UNEVEN, machine, Plane(21, 6, 9)).passage.layout
    columns = forward(UNEVEN, machine, Plane(21, 6, 9)).columns
    return TransformFilters(layout, replace(columns, blocks=layout.blocks))


def as_rows(k: Any, machine: Machine) -> dict[str, Lies]:
    """Return where filters lie that are turned: as rows of taps."""
    return {"w": Packed(UNEVEN.rows(machine), UNEVEN.weights)} if k.layout.turned else {}


def a_third_zero(shape: ConvShape, dy: Plane, window: tuple[int, int]) -> dict[str, Any]:
    """Return gradients behind a pool, a third of which are zero, and the places of their windows."""
    rng, size = np.random.default_rng(5), (IMAGES, shape.filters, dy.height, dy.width)
    return {
        "dy": rng.standard_normal(size) * (rng.integers(0, 3, size) > 0),
        "at": rng.choice(shape.places(window), size),
    }


def pooled(shape: ConvShape, window: tuple[int, int], edge: int = 0) -> Plane:
    """Return the windows of a pool, inside a border."""
    return Plane(shape.filters, shape.out[0] // window[0], shape.out[1] // window[1], edge, 0, 0, edge)


def pooled_filters(shape: ConvShape, dy: Plane, window: tuple[int, int], *, owned: bool = False) -> Case:
    """Return the case of a filter gradient behind a pool."""
    return Case(
        lambda m: ConvPooledFilters(shape, dy, window, patch_tile(shape, m), compared(shape, m), owned),
        define.conv_filters, 2 + 2 * dy.height * dy.width, filters, a_third_zero(shape, dy, window),
    )  # fmt: skip


def filters_across_of(
    shape: ConvShape, window: tuple[int, int], machine: Machine, *, planar: bool
) -> ConvFiltersAcross:
    """Return the gradient of filters with windows in the lanes, two kernel rows at a time."""
    dy = pooled(shape, window, 1)
    return ConvFiltersAcross(shape, dy, window, 2, machine.lanes_for(dy.width), planar)


def pooled_input(shape: ConvShape, dy: Plane, window: tuple[int, int], *, add: bool = False) -> Case:
    """Return the case of an input gradient behind a pool."""
    return Case(
        lambda m: ConvPooledInput(shape, dy, window, patch_tile(shape, m), add),
        define.conv_input, 2 + 9 * shape.filters, filters, a_third_zero(shape, dy, window),
    )  # fmt: skip


def a_channel(k: Any, machine: Machine) -> dict[str, Lies]:
    """Return where filters of one channel each lie, and their biases."""
    C, shape = k.shape.filters, (k.shape.filters, 1, *k.shape.kernel)
    return {**dict.fromkeys(("w", "dw"), Packed(Taps(shape, padded_channels(C, machine)), shape)), "b": listed(C)}


def normed(k: Any, _: Machine) -> dict[str, Lies]:
    """Return where the lists of a number a channel lie; `sums` is a shard's while it is added to."""
    C = k.channels if hasattr(k, "channels") else k.x.channels
    lists = {name: listed(C) for name in ("mean", "mean_rest", "a", "b")}
    halves = listed(4, C, padded=stride(C))
    two = listed(2, C, padded=stride(C))
    sums = listed(SHARDS, 2, C, padded=stride(C), apart=capacity(2 * stride(C))) if k.slices else two
    if getattr(k, "whole", False):
        sums = listed(2 * stride(C) + 1)
    return {**lists, "slope": halves, "exact": two, "sums": sums}


def connected(k: Any, _: Machine) -> dict[str, Lies]:
    """Return where the weights of FC lie, and what they are made of."""
    I, O, padded = k.shape.inputs, k.shape.outputs, k.shape.padded
    weights = Packed(Matrix(O, (I, 1, 1), padded), (O, I))
    rows = {"x": listed(IMAGES, I, padded=capacity(I)), "dy": listed(IMAGES, O, padded=capacity(O))}
    return {**dict.fromkeys(("w", "dw", "v", "e"), weights), "b": listed(O), **rows, "factor": listed(1)}


def on_a_grid(k: Any, _: Machine) -> dict[str, Lies]:
    """Return where a tensor lies in rows, and what is kept beside it."""
    grid = k.grid
    rows = listed(grid.rows, grid.length, padded=grid.padded)
    partial = listed(SHARDS, grid.rows, grid.length, padded=grid.padded, apart=capacity(grid.size))
    found: dict[str, Lies] = dict.fromkeys(("g", "w", "v", "e", "m", "s"), rows)
    return {**found, "partial": partial, "factor": listed(1), **({"g": partial} if getattr(k, "partial", 0) else {})}


def as_filters(k: Any, machine: Machine) -> dict[str, Lies]:
    """Return where the filters of a convolution lie, as rows of taps."""
    shape = STRIDED if k.columns.groups == 1 else GROUPED
    return dict.fromkeys(("g", "w"), Packed(shape.rows(machine), shape.weights))


def of_muon(k: Any, machine: Machine) -> dict[str, Lies]:
    """Return where filters lie, and the matrices that are Muon's own."""
    f = k.filters
    rows = listed(f.lines, f.runs, f.length, padded=f.padded)
    own = {name: listed(size) for name, size in f.workspace(machine).items()}
    return {**dict.fromkeys(("g", "u", "v"), rows), **own, "factor": listed(1)}


def filters_of(machine: Machine, lines: int, runs: int, length: int) -> Filters:
    """Return filters as Muon sees them."""
    lanes = machine.lanes_for(length)
    return Filters(lines, runs, length, -(-length // lanes) * lanes)


def copied(shape: ConvShape, machine: Machine) -> tuple[Grid, Columns]:
    """Return the rows of a convolution's filters, and how they lie as columns."""
    rows = shape.rows(machine)
    columns = forward(shape, machine, Plane(shape.filters, *shape.out)).columns
    return Grid(shape.filters * rows.runs, rows.length, rows.padded), columns


def fc_of(machine: Machine) -> Any:
    """Return a layer of 21 inputs and 6 outputs."""
    return fc_shape(21, 6, machine)


def both(kernel: Kernel) -> tuple[Callable[[Machine], Kernel], ...]:
    """Return a kernel that sets, and one that adds."""
    return (lambda _: kernel, lambda _: replace(kernel, add=True))  # type: ignore[type-var]


def pixels(k: Any, *, last: bool) -> Strided:
    """Return how stored images lie: C, H, W or H, W, C."""
    C, H, W = k.x.channels, k.x.height, k.x.width
    return replace(flat(3, C, H, W), steps=(C * H * W, 1, W * C, C)) if last else flat(3, C, H, W)


def within(plane: Plane, shape: tuple[int, ...]) -> np.ndarray:
    """Return places at random inside an image that values (n, c, p, q) may have come from, each of its own channel."""
    rng = np.random.default_rng(2)
    h, w = rng.integers(0, plane.height, shape), rng.integers(0, plane.width, shape)
    return plane.origin + h * plane.pitch + w * plane.channels + np.arange(shape[1])[:, None, None]


def sizes(given: dict[str, Any], *negative: str) -> dict[str, Any]:
    """Return the sizes of all values; below zero where a definition takes them away."""
    signs = {name: -1 if name in negative else 1 for name in given}
    return {name: np.abs(v) * signs[name] if np.asarray(v).dtype.kind == "f" else v for name, v in given.items()}


def norm_terms(definition: Callable[..., define.Results]) -> Callable[..., define.Results]:
    """Return a definition of batch normalization with every difference as a sum of sizes."""
    names = ("mean", "mean_rest", "slope", "exact")
    return lambda **given: define.told(definition, sizes(given, *names))


def in_halves(definition: Callable[..., define.Results]) -> Callable[..., define.Results]:
    """Return a definition of what is worked out once a channel: what a float32 leaves is as large as its rounding."""

    def terms(**given: Any) -> define.Results:
        found = define.told(definition, sizes(given))
        if "mean" in found:
            found["mean_rest"] = found["mean"] * 2.0**-24
        else:
            found["slope"] = found["slope"][[0, 0, 2, 2]] * np.array([1, 2.0**-24] * 2)[:, None]
        return found

    return terms


def step_terms(definition: Callable[..., define.Results]) -> Callable[..., define.Results]:
    """Return a definition with an optimizer's step, from which nothing is taken away."""
    return lambda **given: define.told(definition, sizes(given, "rate", "adam_rate"))


CASES: Final[dict[type[Kernel], tuple[Case, ...]]] = {
    Load: tuple(
        Case(lambda _, last=last: Load(X, DType.U8, last, False), define.load, 2,
             lambda k, _, last=last: {"images": pixels(k, last=last)}, {"images": BYTES})
        for last in (False, True)
    ),
    Augment: (
        Case(lambda _: Augment(X, DType.F32, False, False, Steps(light=True)), define.augment, 4,
             drawn={"moves": [[2, -1, 0, 0, 0, 0, 0], [-1, 2, 1, 0, 0, 0, 0]],
                    "numbers": [[1.5, 0.5, *STILL[2:]], [0.5, -1.0, *STILL[2:]]]}),
    ),
    SplitPlanes: (
        Case(lambda _: SplitPlanes(X), define.split, EXACT),
    ),
    ConvForward: (
        Case(lambda m: forward(STRIDED, m, Plane(22, 4, 6, 1, 1, 1, 1)), define.conv, 2 + 18, convolved),
        Case(lambda m: forward(GROUPED, m, Plane(8, 3, 2), bias=False, activation=RELU, pool=(2, 2), places=True),
             define.conv, 2 + 27, convolved),
        *(Case(lambda m, f=f: forward(GROUPED, m, Plane(8, 6, 5), activation=f), define.conv, 8 + 27, convolved)
          for f in (ReLU6Function(), HardSwishFunction())),
    ),
    ConvAcross: (
        Case(across, define.conv, 2 + 9, convolved, lanes=4),
        Case(lambda m: across(m, 8), define.conv, 2 + 9, convolved, lanes=4),
    ),
    ConvFilters: (
        Case(lambda m: ConvFilters(STRIDED, Plane(22, 4, 6, 0, 1, 1, 0), filters_tile(STRIDED, m, places=False)),
             define.conv_filters, 2 + 2 * 24, filters),
        Case(lambda m: ConvFilters(GROUPED, Plane(8, 6, 5), filters_tile(GROUPED, m, places=False), owned=True),
             define.conv_filters, 2 + 2 * 30, filters),
        Case(lambda m: ConvFilters(GROUPED, Plane(8, 3, 2), filters_tile(GROUPED, m, places=True), True, (2, 2)),
             define.conv_filters, 2 + 2 * 30, filters, {"at": OF_PATCHES}),
    ),
    ConvInput: tuple(
        Case(lambda m, s=s, add=add: ConvInput(s, Plane(s.filters, *s.out, 1, 0, 0, 1), input_tile(s, m), add),
             define.conv_input, 2 + s.filters * 9, filters)
        for s, add in ((STRIDED, False), (GROUPED, True))
    ),
    TransformFilters: tuple(
        Case(lambda m, turned=turned: transformed(m, turned=turned), lambda w: {"u": w}, 4, as_rows,
             terms=lambda w: {"u": np.abs(w).sum((2, 3), keepdims=True) + 0 * w})
        for turned in (False, True)
    ),
    WinogradForward: (
        Case(lambda m: winograd_of(UNEVEN, m, Plane(21, 6, 9, 1, 0, 0, 1)), define.conv, 2 + 400, convolved),
        Case(lambda m: winograd_of(UNEVEN, m, Plane(21, 3, 4), bias=False, activation=RELU, pool=(2, 2), places=True),
             define.conv, 2 + 400, convolved),
        Case(lambda m: winograd_of(FIVE, m, Plane(4, 3, 6)), define.conv, 2 + 400, convolved),
        Case(lambda m: winograd_of(SMALL, m, Plane(3, 2, 3)), define.conv, 2 + 100, convolved),
    ),
    WinogradInput: tuple(
        Case(lambda m, s=s, add=add: winograd_input(s, zeros_around(s), tiles(s), m, add=add), define.conv_input,
             2 + 400)
        for s, add in ((UNEVEN, False), (FIVE, True), (SMALL, True))
    ),
    WinogradFilters: tuple(
        Case(lambda m, s=s: winograd_filters(s, zeros_around(s), tiles(s), m), define.conv_filters, 2 + 400, filters)
        for s in (UNEVEN, FIVE, SMALL)
    ),
    ConvPooledFilters: (
        pooled_filters(STRIDED, pooled(STRIDED, (2, 3)), (2, 3)),
        pooled_filters(GROUPED, pooled(GROUPED, (2, 2), 1), (2, 2)),
        pooled_filters(GROUPED, pooled(GROUPED, (2, 2)), (2, 2), owned=True),
        pooled_filters(WIDE, pooled(WIDE, (1, 2), 1), (1, 2)),
    ),
    ConvPooledInput: (
        pooled_input(STRIDED, pooled(STRIDED, (2, 3), 1), (2, 3)),
        pooled_input(GROUPED, pooled(GROUPED, (2, 2)), (2, 2), add=True),
        pooled_input(MANY, pooled(MANY, (1, 2)), (1, 2)),
        pooled_input(WIDE, pooled(WIDE, (5, 3), 1), (5, 3)),
    ),
    ConvFewTaps: (
        Case(lambda m: ConvFewTaps(GRAY, EVERY_OUTPUT, 4, filter_blocks(5, m, 2)),
             define.conv_filters, 2 + 2 * 54, filters),
        Case(lambda m: ConvFewTaps(GRAY, pooled(GRAY, (2, 2), 1), 5, filter_blocks(5, m, 1), (2, 2)),
             define.conv_filters, 2 + 2 * 12, filters, a_third_zero(GRAY, pooled(GRAY, (2, 2)), (2, 2))),
    ),
    ConvFiltersAcross: tuple(
        Case(lambda m, s=s, w=w, p=p: filters_across_of(s, w, m, planar=p), define.conv_filters,
             2 + 2 * s.out[0] * s.out[1], filters_behind_windows, a_third_zero(s, pooled(s, w), w), lanes=4)
        for s, w, p in ((GRAY, (2, 2), False), (GRAY, (2, 3), True), (SPARSE, (2, 2), False), (LONG, (1, 2), True))
    ),
    DepthwiseForward: (
        Case(lambda _: DepthwiseForward(DEEP, Plane(5, 3, 7, 1, 0, 0, 1)), define.depthwise, 8, a_channel),
        Case(lambda _: DepthwiseForward(DEEP, Plane(5, 3, 7), activation=ReLU6Function()), define.depthwise, 8,
             a_channel),
    ),
    DepthwiseFilters: (
        Case(lambda _: DepthwiseFilters(DEEP, Plane(5, 3, 7, 1, 0, 0, 1)), define.depthwise_filters, 2 + 2 * 21,
             a_channel),
    ),
    DepthwiseInput: tuple(
        Case(kernel, define.depthwise_input, 8, a_channel) for kernel in both(DepthwiseInput(DEEP, Plane(5, 3, 7)))
    ),
    BiasSum: (Case(lambda _: BiasSum(EDGED), define.bias_sum, 2 + IMAGES, lambda _, __: {"db": listed(5)}),),
    PoolForward: (
        Case(lambda _: PoolForward(POOL, Plane(5, 2, 3, 1, 1, 1, 1), places=True), define.pool, EXACT,
             lambda _, __: {"at": image(Plane(5, 2, 3), IMAGES)}, {"x": INTEGERS}),
    ),
    PoolBackward: tuple(
        Case(kernel, define.pool_back, 4, lambda k, _: {"at": image(k.dy.inside, IMAGES)},
             {"at": within(EDGED, (IMAGES, 5, 2, 3))})
        for kernel in both(PoolBackward(Plane(5, 2, 3, 1, 1, 1, 1), EDGED))
    ),
    Unpool: (
        Case(lambda _: Unpool(Plane(5, 2, 3), Plane(5, 4, 6, 1, 1, 1, 1), (2, 2), (40, 5)), define.unpool, EXACT,
             lambda k, _: {"at": image(k.g.inside, IMAGES)}, {"at": np.array([0, 5, 40, 45, 40]).reshape(1, 5, 1, 1)}),
    ),
    AverageForward: (Case(lambda _: AverageForward(POOL, Plane(5, 2, 3, 1, 1, 1, 1)), define.average, 8),),
    AverageBackward: tuple(
        Case(kernel, define.average_back, 8) for kernel in both(AverageBackward(POOL, Plane(5, 2, 3, 1, 1, 1, 1)))
    ),
    BatchNormSums: (Case(lambda _: BatchNormSums(EDGED), define.norm_sums, 60, normed),),
    BatchNormGradientSums: tuple(
        Case(lambda _, f=f: BatchNormGradientSums(EDGED, BARE, f), define.norm_gradient_sums, 60, normed,
             terms=norm_terms(define.norm_gradient_sums))
        for f in (None, ReLUFunction())
    ),
    BatchNormStatistics: (
        Case(lambda _: BatchNormStatistics(5, 28, 0.25, 0.01), define.norm_statistics, 40, normed,
             {"sums": SUMS, "running_mean": [1.0, 2.0, -1.0, 0.5, 3.0], "running_var": [0.5, 1.0, 2.0, 3.0, 4.0]},
             {"images": IMAGES, "shards": SHARDS}, in_halves(define.norm_statistics)),
        Case(lambda _: BatchNormStatistics(5, 28, 0.25, 0.01, whole=True), define.whole_statistics, 40, normed,
             {"sums": WHOLE, "running_mean": [1.0, 2.0, -1.0, 0.5, 3.0], "running_var": [0.5, 1.0, 2.0, 3.0, 4.0]},
             terms=in_halves(define.whole_statistics)),
    ),
    BatchNormForward: tuple(
        Case(lambda _, f=f, other=other: BatchNormForward(EDGED, Plane(5, 4, 7, 2, 2, 2, 2), f, other), define.norm, 5,
             normed, terms=norm_terms(define.norm))
        for f in (None, ReLUFunction()) for other in (None, BARE)
    ),
    BatchNormGradients: (
        Case(lambda _: BatchNormGradients(5, 28), define.norm_gradients, 8, normed,
             numbers={"images": IMAGES, "shards": SHARDS}, terms=in_halves(define.norm_gradients)),
        Case(lambda _: BatchNormGradients(5, 28, whole=True), define.whole_gradients, 8, normed,
             {"sums": WHOLE}, terms=in_halves(define.whole_gradients)),
    ),
    BatchNormBackward: tuple(
        Case(kernel, define.norm_back, 10, normed, terms=norm_terms(define.norm_back))
        for f in (None, ReLUFunction())
        for kernel in both(BatchNormBackward(EDGED, Plane(5, 4, 7, 1, 1, 1, 1), activation=f))
    ),
    FCForward: (
        Case(lambda m: FCForward(fc_of(m), forward_tile(fc_of(m), m, IMAGES)), define.fc, 23, connected, zeros=("x",)),
    ),
    FCInput: tuple(
        Case(lambda m, add=add: FCInput(fc_of(m), fc_input_tile(fc_of(m), m, IMAGES), add), define.fc_input, 8,
             connected)
        for add in (False, True)
    ),
    FCWeights: (
        Case(lambda m: FCWeights(fc_of(m), weights_tile(fc_of(m), m)), define.fc_weights, 4, connected,
             numbers={"images": IMAGES}),
        Case(lambda m: FCWeights(fc_of(m), weights_tile(fc_of(m), m), SGD), define.fc_weights, 12, connected,
             numbers={"images": IMAGES, **RATES},
             terms=step_terms(define.fc_weights), zeros=("x",)),
    ),
    ReLUForward: (Case(lambda _: ReLUForward(BARE, EDGED), define.relu, EXACT),),
    ReLUBackward: tuple(Case(kernel, define.relu_back, 1) for kernel in both(ReLUBackward(EDGED, BARE))),
    ActivationForward: tuple(
        Case(lambda _, f=f: ActivationForward(f, BARE, EDGED), define.activation, 8) for f in EVERY_FUNCTION
    ),
    ActivationBackward: tuple(
        Case(kernel, define.activation_back, 12, terms=lambda dy, dx=0.0: {"dx": abs(dx) + 2 * abs(dy)})
        for f in EVERY_FUNCTION for kernel in both(ActivationBackward(f, EDGED, BARE, EDGED))
    ),
    Sum: (Case(lambda _: Sum(BARE, EDGED, CENTERED), define.total, 1),),
    Product: tuple(Case(kernel, define.product, 2) for kernel in both(Product(BARE, EDGED, CENTERED))),
    ScaledChannels: tuple(
        Case(kernel, define.scaled_channels, 2) for kernel in both(ScaledChannels(ONE_PIXEL, BARE, EDGED))
    ),
    ProductSums: tuple(
        Case(kernel, define.product_sums, 2 + 11) for kernel in both(ProductSums(BARE, EDGED, ONE_PIXEL))
    ),
    Concatenate: (
        Case(lambda _: Concatenate((BARE, Plane(19, 4, 7, 0, 1, 2, 0), EDGED), Plane(29, 4, 7, 1, 1, 1, 1)),
             define.concatenate, EXACT),
        Case(lambda _: Concatenate((Plane(3, 1, 1), Plane(40, 1, 1)), Plane(43, 1, 1)), define.concatenate, EXACT),
    ),
    ConcatenateBackward: tuple(
        Case(kernel, define.concatenate_back, 1)
        for kernel in (*both(ConcatenateBackward(Plane(29, 4, 7, 1, 1, 1, 1), EDGED, 24)),
                       *both(ConcatenateBackward(Plane(43, 1, 1), Plane(40, 1, 1), 3)))
    ),
    Copy: tuple(Case(kernel, define.copy, 1) for kernel in both(Copy(EDGED, BARE))),
    ClearBorder: (Case(lambda _: ClearBorder(EDGED), define.clear_border, EXACT),
                  Case(lambda m: ClearBorder(BARE, m.lanes), define.clear_border, EXACT)),
    Deliver: (
        Case(lambda _: Deliver(EDGED), define.deliver, EXACT),
        Case(lambda _: Deliver(EDGED, (30, 200)), define.deliver, EXACT,
             lambda _, __: {"values": Strided((IMAGES, 5, 4, 7), (200, 28, 7, 1), 200 * IMAGES, 30)}),
    ),
    Reorder: (
        Case(lambda _: Reorder(5, 7), define.reorder, EXACT,
             lambda _, __: {"x": listed(IMAGES, 7, 5, apart=capacity(35)),
                            "y": listed(IMAGES, 5, 7, apart=capacity(35))}),
    ),
    DropoutMask: (
        Case(lambda _: DropoutMask(150, 0.25, 3), define.dropout_mask, 1,
             lambda _, __: {"m": listed(IMAGES, 150, padded=capacity(mask_size(150)))}),
    ),
    Masked: tuple(
        Case(kernel, define.masked, 2,
             lambda _, __: {"m": Strided((2, 5, 4, 7), (capacity(192), 1, 35, 5), 2 * capacity(192))})
        for kernel in both(Masked(EDGED, BARE))
    ),
    MaskedChannels: tuple(
        Case(kernel, define.masked_channels, 2,
             lambda _, __: {"m": listed(IMAGES, 5, padded=capacity(mask_size(5)))})
        for kernel in both(MaskedChannels(EDGED, BARE))
    ),
    SoftmaxLoss: tuple(
        Case(lambda _, o=o: SoftmaxLoss(5, o), define.softmax_loss, 24,
             lambda _, __: {"loss": listed(1), "tallies": listed(3, 5)}, {"tallies": 4}, {"inverse": 0.25},
             terms=lambda: {"dz": np.full((IMAGES, 5), 1.5), "loss": np.full(1, 2.0**32)})
        for o in (Objective(), Objective(smoothing=True, weighted=True))
    ),
    Probabilities: (
        *(Case(lambda _, losses=losses: Probabilities(5, losses), define.probabilities, 16,
               terms=lambda: {"probabilities": np.ones((IMAGES, 5)), "losses": np.full(IMAGES, 2.0**29)})
          for losses in (True, False)),
    ),
    LossTotal: (
        Case(lambda _: LossTotal(), define.loss_total, 8,
             lambda _, __: {"loss": listed(SHARDS, 1, padded=capacity(1)), "total": listed(2)},
             numbers={"shards": SHARDS}),
        Case(lambda _: LossTotal(whole=True), define.whole_loss, 8,
             lambda _, __: {"loss": listed(2), "total": listed(2)}),
    ),
    ShardSums: (
        Case(lambda _: ShardSums(37), define.shard_sums, 8,
             lambda _, __: {"partial": listed(SHARDS, 37, padded=capacity(37)), "here": listed(38)},
             numbers={"images": IMAGES, "shards": SHARDS}),
    ),
    Reduce: (Case(lambda _: Reduce(GRID), define.reduced, 2, on_a_grid, numbers={"shards": SHARDS}),),
    Step: (
        *(Case(lambda _, o=o: Step(Grid(6, 13, 16), o), define.step, 16, on_a_grid, {"s": 0.5}, RATES,
               step_terms(define.step))
          for o in (SGD, Sgd(decay=False, momentum=False), AdamW(decay=True), Follow(decay=True, length=1.5),
                    AdamW(decay=True, rate_factor=0.25))),
        Case(lambda _: Step(GRID, SGD, partial=True), define.step, 16, on_a_grid, {}, {**RATES, "shards": SHARDS},
             step_terms(define.step)),
        Case(lambda m: Step(copied(STRIDED, m)[0], Sgd(decay=False, momentum=False), columns=copied(STRIDED, m)[1]),
             define.step, 16, as_filters, {}, RATES, step_terms(define.step)),
    ),
    ToColumns: (
        Case(lambda m: ToColumns(*copied(STRIDED, m)), define.to_columns, EXACT, as_filters),
        Case(lambda m: ToColumns(*copied(GROUPED, m)), define.to_columns, EXACT, as_filters),
    ),
    Squares: (Case(lambda _: Squares(GRID), define.squares, 70 * 60, on_a_grid),),
    ClipFactor: (
        Case(lambda _: ClipFactor((2, 3)), define.clip_factor, 2, drawn={"squares0": 2.0, "squares1": [0.5, 3.0, 1.0]}),
        Case(lambda _: ClipFactor((2, 3)), define.clip_factor, 2, drawn={"squares0": 0.5, "squares1": 0.25}),
    ),
    MuonDirection: tuple(
        Case(lambda m, f=f: MuonDirection(filters_of(m, *f), clip=True), define.muon, 2 * 485, of_muon,
             # a round may make an error 3.4445 times as large: five of them 485 times
             terms=lambda v, g: {"v": abs(v) + abs(g), "u": np.ones(g.shape)})
        for f in ((3, 2, 7), (21, 1, 5))
    ),
}  # fmt: skip
