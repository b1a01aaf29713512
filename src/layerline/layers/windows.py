"""Windows that slide over an image: their output sizes, and the mistakes if they do not fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from layerline.layers.grammar import Misfit, Pair, times, written

if TYPE_CHECKING:
    from typing import Literal

Pads = tuple[int, int, int, int]
"""(top, left, bottom, right): rows and columns added around the image."""


@final
@dataclass(frozen=True)
class Window:
    """A window of `extent` points, `dilation` apart, that moves by `stride` over an image with `pads` around it.

    `pads` is None for padding=same, where they depend on the size of the image: see `around`.
    """

    extent: Pair
    stride: Pair
    pads: Pads | None
    dilation: Pair = (1, 1)

    @property
    def span(self) -> Pair:
        """Return the rows and columns from its first point to its last: dilation · (extent − 1) + 1."""
        (R, S), (down, across) = self.extent, self.dilation
        return down * (R - 1) + 1, across * (S - 1) + 1

    def around(self, H: int, W: int) -> Pads:
        """Return the rows and columns put around an image of H×W: (top, left, bottom, right).

        padding=same is TensorFlow's rule: ⌈n / stride⌉ places, for which max((⌈n / stride⌉ − 1) · stride + span − n, 0)
        rows or columns are needed; of an odd number, the extra one goes to the bottom or right.
        """
        if self.pads is not None:
            return self.pads
        sides = zip((H, W), self.stride, self.span, strict=True)
        down, across = (max((-(-n // stride) - 1) * stride + span - n, 0) for n, stride, span in sides)
        return down // 2, across // 2, down - down // 2, across - across // 2

    def padded(self, H: int, W: int) -> Pair:
        """Return the image's height and width with the padding."""
        top, left, bottom, right = self.around(H, W)
        return H + top + bottom, W + left + right

    def fits(self, H: int, W: int) -> bool:
        """Whether the window fits in at least one position."""
        return all(span <= size for span, size in zip(self.span, self.padded(H, W), strict=True))

    def positions(self, H: int, W: int) -> Pair:
        """Return P, Q = ⌊(padded size − span) / stride⌋ + 1, the numbers of window positions down and across.

        Dumoulin & Visin 2016 (arXiv:1603.07285), relation 6, and 15 with dilation. The window must fit.
        """
        (height, width), (tall, wide), (down, across) = self.padded(H, W), self.span, self.stride
        return (height - tall) // down + 1, (width - wide) // across + 1


def pads_of(padding: Pair | Literal["same"]) -> Pads | None:
    """Return the same padding on opposite sides; None for padding=same."""
    if padding == "same":
        return None
    vertical, horizontal = padding
    return vertical, horizontal, vertical, horizontal


def kernel_misfit(window: Window, H: int, W: int) -> Misfit:
    """Return the mistake for a kernel that is larger than its padded image."""
    padded, (tall, wide) = window.padded(H, W), window.span
    dilated = window.dilation != (1, 1)
    what = f"the {times(window.extent)} kernel" + dilated * f" with dilation {written(window.dilation)}"
    spans = f" spans {times(window.span)}, which" * dilated
    pads = window.around(H, W)
    size = f"padded {times(padded)}" if any(pads) else times(padded)
    most = [min(k, (n - 1) // d + 1) for n, d, k in zip(padded, window.dilation, window.extent, strict=True)]
    top, left, *_ = pads
    least = (max(top, -(-(tall - H) // 2)), max(left, -(-(wide - W) // 2)))
    return Misfit(
        f"{what}{spans} is larger than its {size} input",
        f"use a kernel of at most {written((most[0], most[1]))} or padding of at least {written(least)}",
        "kernel",
    )
