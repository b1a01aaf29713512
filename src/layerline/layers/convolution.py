"""Convolutions: layers that slide a kernel of weights over an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, final

from layerline.layers.grammar import Argument, Misfit, Pair, Sizes, Whole, Word, YesNo
from layerline.layers.layer import Layer, Shape, Weight, image
from layerline.layers.windows import Window, kernel_misfit, pads_of

_KERNEL = Argument("kernel", Sizes())
_STRIDE = Argument("stride", Sizes(), default=(1, 1))
_PADDING = Argument("padding", Sizes(low=0, same=True), default=(0, 0))


@final
@dataclass(frozen=True)
class Conv(Layer):
    """y[o,p,q] = b[o] + Σ w[o,c,r,s] · x[c, p·stride + r·dilation − top, q·stride + s·dilation − left], zero-padded.

    float32 (C, H, W) → (filters, P, Q). With groups, filter o only uses its group's C / groups channels.
    """

    kind: ClassVar[str] = "conv"
    has_filters: ClassVar[bool] = True
    absorbs_norm: ClassVar[bool] = True
    word: ClassVar[Word] = Word(
        "Conv",
        (
            Argument("filters", Whole(), bare=True),
            _KERNEL,
            _STRIDE,
            _PADDING,
            Argument("dilation", Sizes(), default=(1, 1)),
            Argument("groups", Whole(), default=1),
            Argument("bias", YesNo(), default=True),
        ),
        ("Conv2d", "Convolution2d"),
    )

    filters: int
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair | Literal["same"] = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    bias: bool = True

    @property
    def window(self) -> Window:
        """Return the kernel as a window that slides."""
        return Window(self.kernel, self.stride, pads_of(self.padding), self.dilation)

    def slides(self) -> Window:
        """Return the kernel as a window that slides."""
        return self.window

    def contradiction(self) -> Misfit | None:
        """Return the mistake if groups do not divide the filters."""
        if not self.filters % self.groups:
            return None
        below = self.filters // self.groups * self.groups
        fitting = f"{below:,d} or {below + self.groups:,d}" if below else f"{self.groups:,d}"
        reason = f"groups={self.groups:,d} does not divide the {self.filters:,d} filters"
        return Misfit(reason, f"use {fitting} filters, or another number of groups", "groups")

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return (filters, P, Q). Raises Misfit for a vector, a kernel too large, or groups that do not divide C."""
        C, H, W = image(self, inputs[0])
        if C % self.groups:
            fitting = [str(g) for g in range(1, min(C, 4096) + 1) if C % g == self.filters % g == 0]
            some = ", ".join(fitting if len(fitting) <= 8 else [*fitting[:7], "…"])
            reason = f"groups={self.groups:,d} does not divide the {C:,d} input channels"
            raise Misfit(reason, f"groups can be {some} here", "groups")
        if not self.window.fits(H, W):
            raise kernel_misfit(self.window, H, W)
        return (self.filters, *self.window.positions(H, W))

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        """Return weight (filters, C / groups, R, S) and bias (filters)."""
        C, R, S = inputs[0][0] // self.groups, *self.kernel
        weight = Weight("weight", (self.filters, C, R, S), C * R * S)
        return (weight, Weight("bias", (self.filters,), C * R * S)) if self.bias else (weight,)

    def multiply_adds(self, *inputs: Shape) -> int:
        """Return filters · P · Q · (C / groups) · R · S."""
        O, P, Q = self.output_shape(*inputs)
        return O * P * Q * (inputs[0][0] // self.groups) * self.kernel[0] * self.kernel[1]


@final
@dataclass(frozen=True)
class Depthwise(Layer):
    """y[o,p,q] = b[o] + Σ w[o,r,s] · x[c, p·stride + r − top, q·stride + s − left], c = ⌊o / multiplier⌋.

    float32 (C, H, W) → (C·multiplier, P, Q); the same as a Conv with C·multiplier filters in C groups.
    """

    kind: ClassVar[str] = "depthwise"
    has_filters: ClassVar[bool] = True
    absorbs_norm: ClassVar[bool] = True
    word: ClassVar[Word] = Word(
        "Depthwise",
        (
            Argument("kernel", Sizes(), bare=True),
            _STRIDE,
            _PADDING,
            Argument("multiplier", Whole(), default=1),
            Argument("bias", YesNo(), default=True),
        ),
        ("DepthwiseConv2d",),
    )

    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair | Literal["same"] = (0, 0)
    multiplier: int = 1
    bias: bool = True

    @property
    def window(self) -> Window:
        """Return the kernel as a window that slides."""
        return Window(self.kernel, self.stride, pads_of(self.padding))

    def slides(self) -> Window:
        """Return the kernel as a window that slides."""
        return self.window

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return (C·multiplier, P, Q). Raises Misfit for a vector, or a kernel too large."""
        C, H, W = image(self, inputs[0])
        if not self.window.fits(H, W):
            raise kernel_misfit(self.window, H, W)
        return (C * self.multiplier, *self.window.positions(H, W))

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        """Return weight (C·multiplier, 1, R, S) and bias (C·multiplier)."""
        O, (R, S) = inputs[0][0] * self.multiplier, self.kernel
        weight = Weight("weight", (O, 1, R, S), R * S)
        return (weight, Weight("bias", (O,), R * S)) if self.bias else (weight,)

    def multiply_adds(self, *inputs: Shape) -> int:
        """Return C · multiplier · P · Q · R · S."""
        O, P, Q = self.output_shape(*inputs)
        return O * P * Q * self.kernel[0] * self.kernel[1]
