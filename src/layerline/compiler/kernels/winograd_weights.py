"""Filters in the transformed domain of kernels/winograd_formula.py.

The math.  u[ξ, c, o] = (G g Gᵀ)[ξ] for the filter g of channel c and output o, ξ one of the n² products. *Turned*
filters are those of the convolution that gives the gradient of the input: channels and outputs change places, and rows
and columns of g are reversed. Products are rounded before they are added, so that NumPy, which has no fused
multiply-add, packs the same bits.

The schedule.  Outputs are in the lanes, as the products need them. They are adjacent in the columns of the filters, and
in the rows for turned ones, so that nothing is transposed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from layerline.compiler.kernel import Kernel, reads, sets
from layerline.compiler.kernels.winograd_formula import ArrayLinear, Winograd, WrittenLinear, both_ways
from layerline.compiler.layout import BlockLayout, Layout, Rows
from layerline.compiler.plane import ALIGN
from layerline.compiler.tile import balanced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.layout import Columns
    from layerline.compiler.machine import Machine
    from layerline.compiler.pen import Pen
    from layerline.compiler.values import Index, Value


def apart(elements: int) -> int:
    """Return the elements from one product's values to the next: whole cache lines, of an odd number.

    n² values that a tile reads or writes together would otherwise lie a multiple of 4 kB apart, in a single set of the
    L1 cache, whenever there are powers of two of them.
    """
    lines = -(-elements // ALIGN)
    return (lines + (5 - lines) % 8) * ALIGN


def output_blocks(outputs: int, machine: Machine, most: int) -> tuple[BlockLayout, ...]:
    """Split outputs into vectors of one width, at most `most` per block; the last vector may be partly empty."""
    lanes = machine.lanes_for(outputs)
    pieces = balanced(-(-outputs // lanes), most)
    return tuple(BlockLayout(first * lanes, lanes, vectors, count) for first, vectors, count in pieces)


@dataclass(frozen=True)
class TransformedFilters(Layout):
    """u, as [ξ][block][channel][output of the block]. `shape` is PyTorch's (O, C, r, r)."""

    shape: tuple[int, int, int, int]
    winograd: Winograd
    blocks: tuple[BlockLayout, ...]
    turned: bool = False

    @property
    def channels(self) -> int:
        """Return the channels that the products are summed over."""
        return self.shape[0] if self.turned else self.shape[1]

    @property
    def real_outputs(self) -> int:
        """Return the outputs without those that fill the last vector."""
        return self.shape[1] if self.turned else self.shape[0]

    @property
    def outputs(self) -> int:
        """Return the outputs, including those that fill the last vector."""
        return sum(block.count * block.width for block in self.blocks)

    @property
    def step(self) -> int:
        """Return the elements from one product to the next."""
        return apart(self.channels * self.outputs)

    @property
    def size(self) -> int:
        """Return the number of elements in the buffer."""
        return self.winograd.products * self.step

    @property
    def label(self) -> str:
        """Return it as it appears in symbols."""
        blocks = "".join(f"_{b.count}x{b.vectors}v{b.lanes}" for b in self.blocks)
        return f"{self.winograd.label}{'t' * self.turned}_o{self.shape[0]}c{self.shape[1]}_{blocks}"

    def pack(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 (size,)."""
        g = tensor.reshape(self.shape).astype(np.float32, copy=False)
        g = g[:, :, ::-1, ::-1].transpose(2, 3, 0, 1) if self.turned else g.transpose(2, 3, 1, 0)
        u = np.array(both_ways(ArrayLinear(), self.winograd.from_filters, [list(row) for row in g]), np.float32)
        u = u.reshape(self.winograd.products, self.channels, -1)
        out = np.zeros(self.size, np.float32)
        for first, piece in self._pieces(out):
            some = u[:, :, first : first + piece.shape[2]]
            piece[:, :, : some.shape[2]] = some
        return out

    def unpack(self, buffer: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 (O, C, r, r), up to rounding: G has more rows than columns."""
        n, O = self.winograd.size, self.real_outputs
        u = np.zeros((n * n, self.channels, self.outputs))
        for first, piece in self._pieces(buffer):
            u[:, :, first : first + piece.shape[2]] = piece
        inverse = np.linalg.pinv(np.array(self.winograd.from_filters))
        g = np.einsum("ri,ijco,sj->rsco", inverse, u[:, :, :O].reshape(n, n, self.channels, O), inverse)
        g = g[::-1, ::-1].transpose(2, 3, 0, 1) if self.turned else g.transpose(3, 2, 0, 1)
        return np.array(g, np.float32, order="C")

    def _pieces(self, buffer: NDArray[np.float32]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield each block: its first output, and a view of it as (product, channel, output)."""
        products, at = buffer[: self.size].reshape(self.winograd.products, self.step), 0
        for block in self.blocks:
            for k in range(block.count):
                size = self.channels * block.width
                view = products[:, at : at + size].reshape(-1, self.channels, block.width)
                yield block.first + k * block.width, view
                at += size


MAX_SLICES: Final = 16
MIN_SLICE: Final = 512
"""Minimum filters of one channel each per slice: drawing one costs two atomic operations on shared counters."""


@dataclass(frozen=True)
class TransformFilters(Kernel):
    """u = the filters in the transformed domain: of their columns, or turned, of their rows."""

    layout: TransformedFilters
    source: Columns | Rows

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        w = self.source.size if isinstance(self.source, Rows) else self.source
        return {"w": reads(w), "u": sets(self.layout)}

    @property
    def symbol(self) -> str:
        return f"transform_filters_{self.layout.label}"

    @property
    def slices(self) -> int:
        """Return the number of chunks of channels."""
        layout = self.layout
        return max(1, min(layout.channels, MAX_SLICES, layout.channels * layout.outputs // MIN_SLICE))

    def write(self, pen: Pen) -> None:
        done, channels = 0, self.layout.channels
        for first, size, count in balanced(channels, -(-channels // self.slices)):
            item = pen.count("item") - done
            with (
                pen.when(item.within(count)),
                pen.loop("c", item * size + (first + size), item * size + first) as channel,
            ):
                self._channel(pen, channel)
            done += count

    def _channel(self, pen: Pen, channel: Index) -> None:
        """Write u for all outputs of a channel."""
        layout, before = self.layout, 0
        for block in layout.blocks:
            with pen.loop("block", block.count) as k, pen.loop("v", block.vectors) as v:
                place = k * (layout.channels * block.width) + channel * block.width + v * block.lanes
                u = pen.at(pen.pointer("u"), place + before * layout.channels)
                taps = self._taps(pen, channel, (before, block), (k, v))
                found = both_ways(WrittenLinear(pen, fused=False), layout.winograd.from_filters, taps)
                for number, value in enumerate(value for row in found for value in row):
                    pen.store(value, u, number * layout.step)
            before += block.count * block.width

    def _taps(
        self, pen: Pen, channel: Index, blocks: tuple[int, BlockLayout], at: tuple[Index, Index]
    ) -> list[list[Value]]:
        """Return the r × r taps of a channel's filters for one vector of outputs."""
        (before, block), (k, v), r = blocks, at, self.layout.winograd.taps
        lanes, inner = block.lanes, self.layout.shape[1]
        if isinstance(self.source, Rows):  # [channel][run][(s, output)]
            run = self.source.padded
            w = pen.at(pen.pointer("w"), channel * (r * run) + k * block.width + v * lanes + block.first)
            return [[pen.load(w, (r - 1 - i) * run + (r - 1 - j) * inner, lanes) for j in range(r)] for i in range(r)]
        taps = r * r * inner  # [block][(r, s, channel)][output of the block]
        w = pen.at(pen.pointer("w"), k * (taps * block.width) + channel * block.width + v * lanes + before * taps)
        return [[pen.load(w, (i * r + j) * (inner * block.width), lanes) for j in range(r)] for i in range(r)]
