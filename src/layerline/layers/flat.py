"""Layers with a flat vector as output: Flat, FC and Softmax."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, Self, final

from layerline.layers.grammar import CLASSES, Argument, Misfit, OutputCount, Word, YesNo, times
from layerline.layers.layer import Layer, Shape, Weight, flat


@final
@dataclass(frozen=True)
class Flat(Layer):
    """y[(c·H + h)·W + w] = x[c,h,w]; float32 (C, H, W) → (C·H·W)."""

    kind: ClassVar[str] = "flat"
    word: ClassVar[Word] = Word("Flat", (), ("Flatten",))

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return (C·H·W,). Raises Misfit for a vector, which is flat already."""
        if len(inputs[0]) != 3:
            raise Misfit(f"the input is already a vector of {times(inputs[0])} values", "remove this line")
        C, H, W = inputs[0]
        return (C * H * W,)


@final
@dataclass(frozen=True)
class FC(Layer):
    """y[o] = b[o] + Σ w[o,i] · x[i]; float32 (I) → (outputs). `outputs` is CLASSES until the data is known."""

    kind: ClassVar[str] = "fc"
    absorbs_norm: ClassVar[bool] = True
    word: ClassVar[Word] = Word(
        "FC",
        (Argument("outputs", OutputCount(), bare=True), Argument("bias", YesNo(), default=True)),
        ("Dense", "Linear"),
    )

    outputs: int
    bias: bool = True

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return (outputs,). Raises Misfit for an image."""
        flat(self, inputs[0])
        return (self.outputs,)

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        """Return weight (outputs, I) and bias (outputs)."""
        (I,) = inputs[0]
        weight = Weight("weight", (self.outputs, I), I)
        return (weight, Weight("bias", (self.outputs,), I)) if self.bias else (weight,)

    def multiply_adds(self, *inputs: Shape) -> int:
        """Return outputs · I."""
        return self.outputs * inputs[0][0]

    def with_classes(self, classes: int) -> Self:
        """Return the layer with `classes` outputs if the file has `FC classes`."""
        return dataclasses.replace(self, outputs=classes) if self.needs_classes else self

    @property
    def needs_classes(self) -> bool:
        """Whether the file has `FC classes` and the number is not known yet."""
        return self.outputs == CLASSES

    def shape_of_unknown(self) -> Shape | None:
        """Return (outputs,), whatever the input."""
        return None if self.needs_classes else (self.outputs,)


@final
@dataclass(frozen=True)
class Softmax(Layer):
    """y[k] = e^x[k] / Σ e^x[j]; float32 (K) → (K). Only allowed on the last line; the loss uses its input x."""

    kind: ClassVar[str] = "softmax"
    word: ClassVar[Word] = Word("Softmax")
    last_only: ClassVar[bool] = True

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the input's shape. Raises Misfit for an image."""
        flat(self, inputs[0])
        return inputs[0]
