"""Pooling: layers that shrink an image, without weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, final

from layerline.layers.grammar import Argument, Misfit, Pair, Sizes, Word, times, written
from layerline.layers.layer import Layer, Shape, image
from layerline.layers.windows import Window, pads_of

_ARGUMENTS = (
    Argument("window", Sizes(), bare=True),
    Argument("stride", Sizes(), like="window"),
    Argument("padding", Sizes(low=0, same=True), default=(0, 0)),
)


@dataclass(frozen=True)
class Pooling(Layer):
    """A window that reduces the pixels it covers to one value, per channel: (C, H, W) → (C, P, Q). Abstract."""

    window: Pair
    stride: Pair
    padding: Pair | Literal["same"] = (0, 0)

    def slides(self) -> Window:
        """Return the window with its stride and padding."""
        return Window(self.window, self.stride, pads_of(self.padding))

    def contradiction(self) -> Misfit | None:
        """Return the mistake if the padding is more than half the window."""
        if self.padding == "same":
            return None
        half = (self.window[0] // 2, self.window[1] // 2)
        if self.padding[0] <= half[0] and self.padding[1] <= half[1]:
            return None
        reason = f"padding {written(self.padding)} is more than half of the {times(self.window)} window"
        return Misfit(reason, f"use padding of at most {written(half)}", "padding")

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return (C, P, Q), rounded down. Raises Misfit for a vector, or a window too large."""
        C, H, W = image(self, inputs[0])
        window = self.slides()
        if not window.fits(H, W):
            padded = "padded " if any(window.around(H, W)) else ""
            reason = f"the {times(self.window)} window is larger than its {padded}{times(window.padded(H, W))} input"
            raise Misfit(reason, self._smaller(*window.padded(H, W)), "window")
        return (C, *window.positions(H, W))

    def _smaller(self, H: int, W: int) -> str:
        name = self.word.name
        if H == W == 1:
            return f"remove this {name} or an earlier one: a 1×1 image cannot be pooled further"
        return f"use a window of at most {written((min(H, self.window[0]), min(W, self.window[1])))}"


@final
@dataclass(frozen=True)
class Pool(Pooling):
    """y[c,p,q] = max of x[c] over the window; float32. Padding never wins; ties go to the first in row-major order."""

    kind: ClassVar[str] = "pool"
    word: ClassVar[Word] = Word("Pool", _ARGUMENTS, ("MaxPool", "MaxPool2d", "MaxPooling2d"))


@final
@dataclass(frozen=True)
class AvgPool(Pooling):
    """y[c,p,q] = the sum of x[c] over the window / the window's size; float32. Padding counts as zeros.

    With padding=same it does not count, as in TensorFlow: the divisor is the number of points inside the image.
    """

    kind: ClassVar[str] = "avg_pool"
    word: ClassVar[Word] = Word("AvgPool", _ARGUMENTS, ("AvgPool2d", "AveragePooling2d"))


@final
@dataclass(frozen=True)
class GlobalPool(Layer):
    """y[c,0,0] = mean over h, w of x[c,h,w]; float32 (C, H, W) → (C, 1, 1)."""

    kind: ClassVar[str] = "global_pool"
    word: ClassVar[Word] = Word("GlobalPool", (), ("GlobalAveragePooling2d", "GlobalAvgPool2d", "GlobalAvgPool"))

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return (C, 1, 1). Raises Misfit for a vector."""
        C, _, _ = image(self, inputs[0])
        return C, 1, 1


@final
@dataclass(frozen=True)
class GlobalMaxPool(Layer):
    """y[c,0,0] = max over h, w of x[c,h,w]; float32 (C, H, W) → (C, 1, 1). Of equals, the first in row-major order."""

    kind: ClassVar[str] = "global_max_pool"
    word: ClassVar[Word] = Word("GlobalMaxPool", (), ("GlobalMaxPool2d", "GlobalMaxPooling2d"))

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return (C, 1, 1). Raises Misfit for a vector."""
        C, _, _ = image(self, inputs[0])
        return C, 1, 1
