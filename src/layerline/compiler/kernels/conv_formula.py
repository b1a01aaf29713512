"""The definition of the forward convolution; kernels/conv.py and kernels/conv_across.py implement it.

The math.  Padded input x (C, H, W), filters w (O, C, R, S), float32:
    y[o, p, q] = b[o] + Σ_r Σ_s Σ_c w[o, c, r, s] · x[c, p·sh + r·dh, q·sw + s·dw]
(Dumoulin & Visin 2016, arXiv:1603.07285, relation 6). A sum starts with the bias and adds its terms in the order r, s,
c. Pooling: the maximum of a window, the first in row-major order on ties; NaN propagates. Then an activation, if one is
fused: ReLU (0 where 0 > y), or another of
kernels/piecewise_activations.py. With
pooling, the kernel also writes the *position* of the maximum: the offset of its patch from that of the window's first
output. The filter gradient is then a sum over these positions only (kernels/conv_gradients.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.compiler.dtype import DType
from layerline.compiler.kernel import reads, sets
from layerline.compiler.kernels.largest import first_largest
from layerline.compiler.layout import Rows
from layerline.compiler.plane import Places, Plane, item

if TYPE_CHECKING:
    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.kernels.activations import Activation
    from layerline.compiler.layout import Layout
    from layerline.compiler.machine import Machine
    from layerline.compiler.pen import Pen
    from layerline.compiler.values import Index, Pointer, Value

L1_WEIGHT_BYTES: Final = 24 * 1024
"""Weights up to this size stay in a core's L1 cache: half of 48 kB."""


@dataclass(frozen=True)
class ConvShape:
    """The sizes of a convolution: input plane, filters, kernel, stride, dilation, top and left padding."""

    x: Plane
    filters: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: tuple[int, int]
    out: tuple[int, int]
    """(P, Q)"""
    groups: int = 1

    @property
    def group_channels(self) -> int:
        """Return the input channels per group."""
        return self.x.channels // self.groups

    @property
    def group_filters(self) -> int:
        """Return the filters per group."""
        return self.filters // self.groups

    @property
    def runs(self) -> tuple[int, int]:
        """Return (kernel rows, runs per row)."""
        R, S = self.kernel
        return (R, 1) if S == 1 or (self.dilation[1] == 1 and self.groups == 1) else (R, S)

    @property
    def run_length(self) -> int:
        """Return J, the taps per run."""
        return self.kernel[1] * self.group_channels // self.runs[1]

    @property
    def weights(self) -> tuple[int, int, int, int]:
        """Return the PyTorch shape of the filters."""
        return self.filters, self.group_channels, *self.kernel

    @property
    def taps(self) -> int:
        """Return the taps per filter."""
        return self.runs[0] * self.runs[1] * self.run_length

    def multiply_adds(self, images: int) -> int:
        """Return the multiply-adds of the convolution, or of one of its gradients without a pool."""
        return images * self.out[0] * self.out[1] * self.filters * self.taps

    @property
    def few_weights(self) -> bool:
        """Whether the filters of a group fit in L1_WEIGHT_BYTES."""
        return 4 * self.group_filters * self.group_channels * self.kernel[0] * self.kernel[1] <= L1_WEIGHT_BYTES

    @property
    def first(self) -> int:
        """Return the offset in x of the patch of output (0, 0)."""
        return self.x.inner(-self.padding[0], -self.padding[1])

    def patch(self, p: Index, q: Index, pool: tuple[int, int] = (1, 1)) -> Index:
        """Return the offset in x of the patch of an output, or, for a pool window, of its first output."""
        (sh, sw), (ph, pw) = self.stride, pool
        return self.x.step(p, q, stride=(ph * sh, pw * sw)) + self.first

    def tap(self, r: Index | int, s: Index | int) -> Index | int:
        """Return the offset of tap (r, s), or of run s in kernel row r, from the beginning of a patch."""
        return self.x.step(r, s, stride=self.dilation)

    def run(self, number: Index) -> Index:
        """Return the offset of a run from the beginning of a patch, by its number over all kernel rows."""
        row, column = divmod(number, self.runs[1]) if self.runs[1] > 1 else (number, 0)
        return self.x.step(row, column, stride=self.dilation)

    def along(self, p: Index | int, q: Index | int) -> Index | int:
        """Return the offset from a patch to that of the output p rows below and q columns to the right."""
        return self.x.step(p, q, stride=self.stride)

    @property
    def steps(self) -> tuple[int, int]:
        """Return the elements of x between adjacent output rows, and between adjacent output columns."""
        return self.x.steps(self.stride)

    def places(self, window: tuple[int, int]) -> list[int]:
        """Return the offsets from the patch of a window's first output to those of all its outputs, row by row."""
        down, right = self.steps
        return [i * down + j * right for i in range(window[0]) for j in range(window[1])]

    @property
    def label(self) -> str:
        """Return the sizes as they appear in symbols."""
        (R, S), (sh, sw), (dh, dw) = self.kernel, self.stride, self.dilation
        P, Q = self.out
        dilated = f"d{dh}_{dw}" if (dh, dw) != (1, 1) else ""
        grouped = f"g{self.groups}" if self.groups > 1 else ""
        return f"{self.x.label}_o{self.filters}p{P}q{Q}_k{R}_{S}s{sh}_{sw}{dilated}{grouped}a{self.first}"

    def rows(self, machine: Machine) -> Rows:
        """Return the layout of the filters with contiguous taps."""
        J, K = self.run_length, self.runs[0] * self.runs[1]
        lanes = machine.lanes_for(J)
        return Rows(self.weights, K, J, -(-J // lanes) * lanes)


@dataclass(frozen=True)
class Convolution:
    """y = x ⋆ w + b, optionally followed by max pooling with the positions in x (`at`), and an activation."""

    shape: ConvShape
    y: Plane
    bias: bool = True
    activation: Activation | None = None
    pool: tuple[int, int] = (1, 1)
    places: bool = False

    @property
    def units(self) -> tuple[int, int]:
        """Return the rows and columns of y, which are pool windows if there is a pool."""
        return self.shape.out[0] // self.pool[0], self.shape.out[1] // self.pool[1]

    @property
    def outputs(self) -> int:
        """Return the number of elements of y without its border."""
        return self.units[0] * self.units[1] * self.shape.filters

    @property
    def label(self) -> str:
        """Return it as it appears in symbols."""
        pooled = f"_pool{self.pool[0]}_{self.pool[1]}" if self.pool != (1, 1) else ""
        activated = f"_{self.activation.label}" if self.activation else ""
        what = "conv" + "_b" * self.bias + pooled + activated + "_at" * self.places
        return f"{what}_fwd_{self.shape.label}_{self.y.label}"

    def arguments(self, x: Plane, w: Layout) -> dict[str, KernelArgument]:
        """Return a kernel's arguments; the layouts of x and w depend on the implementation."""
        b = {"b": reads(self.shape.filters)} if self.bias else {}
        at = {"at": sets(Places(self.outputs, self.shape.steps, self.pool), DType.I32)} if self.places else {}
        return {"x": reads(x), "w": reads(w), **b, "y": sets(self.y), **at}

    def written(self, pen: Pen, n: Index) -> tuple[Pointer, Pointer | None]:
        """Return the addresses of pixel (0, 0) of image n in y and in `at`."""
        y = pen.at(pen.pointer("y"), self.y.at(n))
        return y, pen.at(pen.pointer("at"), item(n, self.outputs)) if self.places else None

    def finished(self, pen: Pen, window: list[Value]) -> tuple[Value, Value]:
        """Return the result for the sums of a window, row by row: the activation of the maximum, and its place."""
        largest, place = first_largest(pen, list(zip(window, self.shape.places(self.pool), strict=True)))
        return self.activation.forward(pen, largest) if self.activation else largest, place
