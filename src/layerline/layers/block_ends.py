"""Layers at the End of a block: they join the outputs of its branches. Their only lines are those of the block."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import ClassVar, Final, final

from layerline.layers.convolution import Conv
from layerline.layers.grammar import Misfit, Word, times
from layerline.layers.layer import Branches, Layer, Shape

_LARGEST_STRIDE: Final = 64
"""The largest stride that is suggested for a Shortcut."""


@dataclass(frozen=True)
class BlockEnd(Layer):
    """A layer with several inputs: the outputs of a block's branches, or the block's input. Abstract."""

    branches: ClassVar[Branches]

    @abc.abstractmethod
    def joined(self, shapes: tuple[Shape, ...], written: int) -> Shape | Misfit:
        """Return the output's shape, or the mistake if the inputs do not fit.

        written: how many of the inputs are branches with a line of their own; the others are the block's input.
        """

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the output's shape. Raises Misfit if the inputs do not fit."""
        found = self.joined(inputs, len(inputs))
        if isinstance(found, Misfit):
            raise found
        return found


@final
@dataclass(frozen=True)
class Add(BlockEnd):
    """y = x₁ + x₂, the end of a Residual; both have the same shape."""

    kind: ClassVar[str] = "add"
    word: ClassVar[Word] = Word("Residual")
    branches: ClassVar[Branches] = Branches(Word("Shortcut"), most=2, names=("body", "shortcut"))

    def joined(self, shapes: tuple[Shape, ...], written: int) -> Shape | Misfit:
        """Return the shape of both, or the mistake if they differ."""
        body, other = shapes
        if body == other:
            return body
        second = "its Shortcut outputs" if written > 1 else "its input is"
        reason = f"this Residual outputs {times(body)}, but {second} {times(other)}; they must match to be added"
        return Misfit(reason, _equal(body, other, has_shortcut=written > 1))

    def __str__(self) -> str:
        """Return its name in tables."""
        return "End (sum)"


@final
@dataclass(frozen=True)
class Concat(BlockEnd):
    """y = the channels of x₁, then those of x₂, …: the end of a Concat. Heights and widths are the same."""

    kind: ClassVar[str] = "concat"
    word: ClassVar[Word] = Word("Concat")
    branches: ClassVar[Branches] = Branches(Word("Branch"), least=2, most=None, names=("branch",), may_be_empty=True)

    def joined(self, shapes: tuple[Shape, ...], written: int) -> Shape | Misfit:
        """Return the sum of the channels (or of the values of vectors), or the mistake if the other sizes differ."""
        del written
        first = shapes[0]
        if all(len(shape) == len(first) and shape[1:] == first[1:] for shape in shapes):
            return (sum(shape[0] for shape in shapes), *first[1:])
        return _unlike(shapes)

    def __str__(self) -> str:
        """Return its name in tables."""
        return "End (concat)"


@final
@dataclass(frozen=True)
class Gate(BlockEnd):
    """y[c,h,w] = g[c,h,w] · x[c,h,w], the end of a Gate; a g of C×1×1 applies to the whole image (Hu et al. 2017)."""

    kind: ClassVar[str] = "gate"
    word: ClassVar[Word] = Word("Gate")
    branches: ClassVar[Branches] = Branches(None, most=1, names=("gate",))

    def joined(self, shapes: tuple[Shape, ...], written: int) -> Shape | Misfit:
        """Return the shape of the block's input, or the mistake if the branch fits neither it nor its channels."""
        del written
        gate, x = shapes
        if gate == x or (len(x) == 3 and gate == (x[0], 1, 1)):
            return x
        wanted = times(x) if len(x) != 3 or x[1:] == (1, 1) else f"{times(x)}, or {times((x[0], 1, 1))}"
        reason = f"this Gate outputs {times(gate)}, but multiplies its input of {times(x)}; it must output {wanted}"
        return Misfit(reason, _gating(gate, x))

    def __str__(self) -> str:
        """Return its name in tables."""
        return "End (product)"


def _equal(body: Shape, other: Shape, *, has_shortcut: bool) -> str:
    """Return a fix that gives the second branch of a sum the shape of the first."""
    if has_shortcut:
        return f"make the last layer of the Shortcut output {times(body)}"
    if len(body) == len(other) == 3:
        layers = (Conv(body[0], (1, 1), (stride, stride)) for stride in range(1, _LARGEST_STRIDE + 1))
        fitting = next((layer for layer in layers if layer.output_shape(other) == body), None)
        if fitting:
            return f"add the lines `Shortcut` and `{fitting}` before this block's `End`"
        if body[0] == other[0]:
            return "keep the size in this block, for example with padding=same"
    return f"make the block output {times(other)}, or add a Shortcut that outputs {times(body)}"


def _gating(gate: Shape, x: Shape) -> str:
    """Return a fix that gives a gate the shape, or the channels, of what it multiplies."""
    if len(gate) != len(x):
        if len(x) != 3:
            return f"make the last layer of the Gate output {times(x)}, for example with `FC {x[0]}`"
        return f"write the Gate without `Flat` and `FC`: `GlobalPool`, then `Conv {x[0]} 1` outputs {x[0]}×1×1"
    if len(x) == 1:
        return f"make the last layer of the Gate output {times(x)}, for example with `FC {x[0]}`"
    if gate[1:] in (x[1:], (1, 1)):
        return f"make the last layer with filters `{Conv(x[0], (1, 1))}`, which outputs {times((x[0], *gate[1:]))}"
    return "start the Gate with `GlobalPool`, or keep the size in it with padding=same and stride 1"


def _unlike(shapes: tuple[Shape, ...]) -> Misfit:
    """Return the mistake of a Concat: its first branch, or the first of the largest images, and one that differs."""
    if len({len(shape) for shape in shapes}) > 1:
        like, other = 0, next(i for i, shape in enumerate(shapes) if len(shape) != len(shapes[0]))
        rule = "an image and a vector cannot be concatenated"
        helps = "end both branches before `Flat`, or both with `Flat`"
    else:
        largest = tuple(map(max, zip(*(shape[1:] for shape in shapes), strict=True)))
        like = next((i for i, shape in enumerate(shapes) if shape[1:] == largest), 0)
        other = next(i for i, shape in enumerate(shapes) if shape[1:] != shapes[like][1:])
        rule = "heights and widths must match"
        size, same = times(shapes[like][1:]), "for example with padding=same and the same stride"
        helps = f"make branch {other + 1} output {size} images like branch {like + 1}, {same}"
        if shapes[like][1:] != largest:
            helps = f"make all branches output {times(largest)} images, {same}"
    (first, one), (second, two) = sorted((i, shapes[i]) for i in (like, other))
    reason = f"this Concat's branch {first + 1} outputs {times(one)}, but branch {second + 1} {times(two)}"
    return Misfit(f"{reason}; {rule}", helps)
