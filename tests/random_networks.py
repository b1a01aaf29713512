"""Legal networks at random, drawn from the registry of layers: whatever it holds is drawn, awkward sizes often."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, Final

from layerline.layers import BLOCK_ENDS, LAYERS, Layer, Misfit, Shape

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

KINDS: Final = tuple(layer.kind for layer in LAYERS)
_CLASSES: Final = {layer.kind: layer for layer in LAYERS}
_BLOCKS: Final = ("Repeat", *(layer.word.name for layer in BLOCK_ENDS))
_TRIES: Final = 40


def draw(
    rng: Random,
    kinds: Collection[str] | None = None,
    *,
    keep_default: Collection[str] = (),
    max_input: int = 14,
    max_layers: int = 6,
    max_values: int = 6_000,
    max_multiply_adds: int = 2_000_000,
) -> str:
    """Return the text of a legal network, its input and the number of its outputs written in it.

    `kinds` limits the layers (None: all, and blocks: Repeat and Residual by "add"); flat and fc are always drawn.
    `keep_default` names arguments that stay at their defaults, such as dilation and groups. Images are at most
    `max_input` high and wide, a layer's output has at most `max_values` numbers and costs at most
    `max_multiply_adds`, and there are at most `max_layers` layers or blocks on images.
    """
    kinds = frozenset(KINDS if kinds is None else kinds)
    drawing = _Drawing(rng, kinds, frozenset(keep_default), max_values, max_multiply_adds)
    sides = (1, 3, 5, 6, 7, 8, 9, 11, 13, max_input)
    C, H, W = rng.choice((1, 1, 2, 3, 4, 5)), *(min(rng.choice(sides), max_input) for _ in "HW")
    if rng.random() < 0.3:
        W = H
    drawing.begin((C, H, W))
    for _ in range(rng.randint(0, max_layers)):
        drawing.grow()
    drawing.flatten()
    text = "\n".join(drawing.lines) + "\n"
    return with_frozen_part(text) if kinds.issuperset(KINDS) else text


def draw_wide(rng: Random) -> str:
    """Return the text of a network of convolutions with at least 16 filters, 3 × 3 or 5 × 5, at awkward sizes."""
    C, H, W = rng.choice((1, 3, 16, 19)), *(rng.randint(5, 14) for _ in "HW")
    lines = [f"Input {C} {H} {W}"]
    for _ in range(rng.randint(1, 3)):
        kernel = 3 if rng.random() < 0.8 else 5
        padding, filters = rng.randint(0, kernel - 1), rng.choice((16, 17, 24, 32, 40, 64))
        if min(H, W) + 2 * padding < kernel:
            break
        H, W = (n + 2 * padding - kernel + 1 for n in (H, W))
        lines.append(f"Conv {filters} {kernel} padding={padding} bias={rng.choice(('yes', 'no'))}")
        if rng.random() < 0.3:
            block = f"Conv {filters} 3 padding=1"
            lines += ["Residual", block, "ReLU", block, "End"]
        lines += ["BatchNorm"] * (rng.random() < 0.3) + ["ReLU"] * (rng.random() < 0.8)
        if rng.random() < 0.5 and min(H, W) >= 4:
            pool = rng.choice((2, 2, 2, 3, 4))
            lines.append(f"Pool {pool}")
            H, W = H // pool, W // pool
    return with_frozen_part("\n".join([*lines, "Flat", f"FC {rng.randint(2, 6)}"]) + "\n")


def with_frozen_part(text: str, share: float = 0.2) -> str:
    """Return a network's text, with that probability with a Freeze around the lines up to one before the last FC.

    The text itself decides, so that the numbers of `draw` stay the same.
    """
    rng, lines = Random(text), text.splitlines()
    last = max(number for number, line in enumerate(lines) if line.startswith("FC"))
    ends, depth = [], 0
    for number, line in enumerate(lines[1:last], 1):
        word = line.split()[0]
        depth += (word in _BLOCKS) - (word == "End")
        ends += [number + 1] * (depth == 0)
    if not ends or rng.random() >= share:
        return text
    end = rng.choice(ends)
    return "\n".join([lines[0], "Freeze", *lines[1:end], "End", *lines[end:]]) + "\n"


@dataclass
class _Place:
    """What an argument is drawn for."""

    rng: Random
    shape: Shape
    drawn: dict[str, Any]
    """The arguments drawn before it."""

    def size(self, axis: int) -> int:
        return self.shape[1 + axis] if len(self.shape) == 3 else 1


class _Drawing:
    def __init__(
        self, rng: Random, kinds: frozenset[str], keep_default: frozenset[str], max_values: int, max_multiply_adds: int
    ) -> None:
        self.rng = rng
        self.kinds = kinds
        self.keep_default = keep_default
        self.max_values = max_values
        self.max_multiply_adds = max_multiply_adds
        self.lines: list[str] = []
        self.shape: Shape = ()
        self.blocks = [kind for kind in KINDS if kind in kinds and _CLASSES[kind].branches]
        wanted = [_CLASSES[kind] for kind in KINDS if kind in kinds.difference({"flat", "fc", "softmax"}, self.blocks)]
        self.hidden = [kind for kind in wanted for _ in range(1 + len(kind.word.arguments))]

    def begin(self, shape: Shape) -> None:
        self.shape = shape
        self.lines.append("Input " + " ".join(map(str, shape)))

    def grow(self) -> None:
        """Put a layer or a block behind."""
        if self.blocks and self.rng.random() < 0.25:
            self._block()
        elif self.hidden:
            layer = self._layer(self.rng.choice(self.hidden), self.shape)
            self._put(layer) if layer else None

    def flatten(self) -> None:
        """Go on to the flat layers, up to the outputs."""
        self._put(_CLASSES["flat"]())
        for _ in range(self.rng.choice((0, 0, 1, 2, 4))):
            if self.blocks and self.rng.random() < 0.15:
                self._block()
                continue
            kind = self.rng.choice(self.hidden) if self.rng.random() < 0.6 else _CLASSES["fc"]
            layer = self._layer(kind, self.shape)
            self._put(layer) if layer else None
        layer = self._layer(_CLASSES["fc"], self.shape)
        while layer is None or layer.output_shape(self.shape)[0] < 2:
            layer = self._layer(_CLASSES["fc"], self.shape)
        self._put(layer)
        if "softmax" in self.kinds and self.rng.random() < 0.5:
            self._put(_CLASSES["softmax"]())

    def _put(self, layer: Layer) -> None:
        self.shape = layer.output_shape(self.shape)
        self.lines.append(str(layer))

    def _layer(self, kind: type[Layer], shape: Shape) -> Layer | None:
        """Return a layer of a class that `shape` can go into, if one is found in a few tries."""
        for _ in range(_TRIES):
            place = _Place(self.rng, shape, {})
            for argument in kind.word.arguments:
                if argument.name not in self.keep_default:
                    place.drawn[argument.name] = ARGUMENTS[argument.name](place)
            layer = kind(**kind.word.with_defaults(place.drawn))
            if layer.contradiction() is None and self._fits(layer, shape):
                return layer
        return None

    def _fits(self, layer: Layer, shape: Shape) -> bool:
        try:
            output = layer.output_shape(shape)
        except Misfit:
            return False
        return math.prod(output) <= self.max_values and layer.multiply_adds(shape) <= self.max_multiply_adds

    def _block(self) -> None:
        """Put a block behind: {"add": a Repeat or a Residual, "concat": a Concat, "gate": a Gate}."""
        {"add": self._residual, "concat": self._concat, "gate": self._gate}[self.rng.choice(self.blocks)]()

    def _residual(self) -> None:
        """Put a Residual or a Repeat behind, of layers that keep the shape; the Residual may have a Shortcut."""
        if self.rng.random() < 0.4:
            self.lines += [f"Repeat {self.rng.randint(1, 3)}", *self._keeping(self.shape), "End"]
            return
        first = self._first()
        if first and first.output_shape(self.shape) != self.shape:
            body = [str(first), *self._keeping(first.output_shape(self.shape))]
            shortcut = [str(first)]
            self.shape = first.output_shape(self.shape)
            self.lines += ["Residual", *body, "Shortcut", *shortcut, "End"]
        else:
            self.lines += ["Residual", *self._keeping(self.shape), "End"]

    def _concat(self) -> None:
        """Put a Concat behind, of branches with other numbers of channels; one of them may be empty."""
        branches, outputs = [self._keeping(self.shape)], [self.shape]
        for _ in range(self.rng.choice((1, 1, 2, 3))):
            first = self._first() if self.rng.random() < 0.7 else None
            shape = first.output_shape(self.shape) if first else self.shape
            if shape[1:] == self.shape[1:] and len(shape) == len(self.shape):
                branches.append([str(first), *self._keeping(shape)] if first else [])
                outputs.append(shape)
        shape = (sum(each[0] for each in outputs), *self.shape[1:])
        if len(branches) == 1 or math.prod(shape) > self.max_values:
            return
        self.rng.shuffle(branches)
        self.lines.append("Concat")
        for number, lines in enumerate(branches):
            self.lines += ["Branch"] * (number > 0) + lines
        self.lines.append("End")
        self.shape = shape

    def _gate(self) -> None:
        """Put a Gate behind, whose factors are for each value, or, of an image, for each channel."""
        inside = self._keeping(self.shape)
        if len(self.shape) == 3 and self.rng.random() < 0.6:
            C = self.shape[0]
            inside = ["GlobalPool", f"Conv {C} 1", *self._keeping((C, 1, 1))]
        self.lines += ["Gate", *inside, *["Sigmoid"] * (self.rng.random() < 0.5), "End"]

    def _first(self) -> Layer | None:
        """Return a layer that `self.shape` can go into; of a vector, most often an FC."""
        kinds = self.hidden if len(self.shape) == 3 or self.rng.random() < 0.3 else [_CLASSES["fc"]]
        return self._layer(self.rng.choice(kinds), self.shape) if kinds else None

    def _keeping(self, shape: Shape) -> list[str]:
        lines: list[str] = []
        if len(shape) == 1 and shape[0] ** 2 <= self.max_multiply_adds and self.rng.random() < 0.3:
            lines.append(f"FC {shape[0]}")
        for _ in range(20):
            layer = self._layer(self.rng.choice(self.hidden), shape)
            if layer and layer.output_shape(shape) == shape:
                lines.append(str(layer))
            if len(lines) >= self.rng.randint(1, 3):
                break
        return lines or ["Dropout 0.5"]


def _kernel(place: _Place) -> tuple[int, int]:
    """A kernel or window: small, or as large as the input."""
    if place.rng.random() < 0.1:
        return place.size(0), place.size(1)
    height, width = (place.rng.choice((1, 2, 2, 3, 3, 4, 5, place.size(axis))) for axis in (0, 1))
    return (height, height) if place.rng.random() < 0.5 else (height, width)


def _stride(place: _Place) -> tuple[int, int]:
    """A stride: most often 1, or the window; now and then more than the kernel."""
    window = place.drawn.get("window") or place.drawn.get("kernel") or (1, 1)
    return place.rng.choice(
        (
            (1, 1),
            (1, 1),
            (2, 2),
            window,
            (window[0] + 1, window[1] + 1),
            (place.rng.randint(1, 4), place.rng.randint(1, 4)),
        )
    )


def _padding(place: _Place) -> tuple[int, int] | str:
    """Padding: none, half, more than the kernel (of a Conv), or `same`."""
    if place.rng.random() < 0.2:
        return "same"
    if "window" in place.drawn:
        half = (place.drawn["window"][0] // 2, place.drawn["window"][1] // 2)
        return place.rng.choice(((0, 0), half, (half[0], 0), (place.rng.randint(0, half[0]), half[1])))
    R, S = place.drawn["kernel"]
    several = (
        (0, 0),
        (0, 0),
        (R // 2, S // 2),
        (R, S),
        (R + 2, S + 1),
        (place.rng.randint(0, R), place.rng.randint(0, S)),
    )
    return place.rng.choice(several)


ARGUMENTS: Final[dict[str, Callable[[_Place], Any]]] = {
    "filters": lambda place: place.rng.choice((1, 2, 3, 4, 5, 6, 7, 8, 16, 17)),
    "kernel": _kernel,
    "window": _kernel,
    "stride": _stride,
    "padding": _padding,
    "dilation": lambda place: place.rng.choice(((1, 1),) * 6 + ((2, 2), (1, 3))),
    "groups": lambda place: place.rng.choice(
        (1,) * 4 + (2, 3, place.shape[0], math.gcd(place.shape[0], place.drawn["filters"]))
    ),
    "multiplier": lambda place: place.rng.choice((1, 1, 2, 3)),
    "bias": lambda place: place.rng.random() < 0.8,
    "outputs": lambda place: place.rng.choice((1, 2, 3, 5, 7, 10, 16, 17, 33)),
    "alpha": lambda place: place.rng.choice((1.0, 0.5, 2.0)),
    "slope": lambda place: place.rng.choice((0.0, 0.01, 0.2)),
    "momentum": lambda place: place.rng.choice((0.1, 0.05, 1.0)),
    "eps": lambda place: place.rng.choice((1e-5, 1e-3)),
    "p": lambda place: place.rng.choice((0.0, 0.25, 0.5)),
}
"""How the value of an argument is drawn, by its name, for every argument of the vocabulary."""
