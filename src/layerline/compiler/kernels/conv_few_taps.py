"""The filter gradient of a convolution with few taps, with adjacent filters in the lanes.

The math.  dw of kernels/conv_gradients.py, over all outputs or over the positions of a pool, to the bit: the terms are
the same and are added in the same order, image by image, p, q.

The schedule.  ConvFilters has taps in its lanes, and a 3×3 kernel on a gray image has runs of 3: 3 of 16 lanes. Here
taps × V vectors of dw are kept in registers for all images of a call, a vector of gradients is loaded once for all
taps, and x is broadcast. With positions, there is a multiply-add for each position of a window, of which each filter
keeps the one that has its maximum: no address depends on data, and for a 2×2 pool 4 multiply-adds of 16 filters replace
16 of 3 taps, each with its own loads. dw has its taps side by side, so it is read and written filter by filter, once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.compiler.dtype import DType
from layerline.compiler.kernel import Kernel, adds, reads
from layerline.compiler.kernels.conv_pooled import patch_vectors
from layerline.compiler.plane import Places, Plane, item
from layerline.compiler.tile import balanced, filter_blocks

if TYPE_CHECKING:
    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.kernels.conv_formula import ConvShape
    from layerline.compiler.kernels.conv_gradients import ConvFilters
    from layerline.compiler.layout import BlockLayout
    from layerline.compiler.machine import Machine
    from layerline.compiler.pen import Pen
    from layerline.compiler.values import Index, Value, Variable

GAIN: Final = 0.75
"""Maximum ratio of multiply-adds to ConvFilters' vector operations, since dw must be transposed."""


def few_taps(plain: ConvFilters, machine: Machine) -> ConvFewTaps | None:
    """Return the kernel that replaces a ConvFilters, or None if that one takes fewer vector operations."""
    shape, window = plain.shape, plain.window if plain.places else None
    if plain.owned or shape.groups > 1:
        return None
    area = window[0] * window[1] if window else 1
    blocks = filter_blocks(shape.filters, machine, 2)
    vectors = sum(block.count * block.vectors for block in blocks)
    loads = 2 if plain.places else 0  # of a gradient and its position; then each vector of the patch is a load, too
    if area * shape.taps * vectors > GAIN * shape.filters * (patch_vectors(shape, machine) + loads):
        return None
    most = machine.accumulators // max(block.vectors for block in blocks)
    return ConvFewTaps(shape, plain.dy, balanced(shape.taps, most)[0][1], blocks, window)


@dataclass(frozen=True)
class ConvFewTaps(Kernel):
    """dw += Σ over images and pixels of dy · patch of x; with a window, over pooled outputs and positions."""

    shape: ConvShape
    dy: Plane
    """The layout of dy: one pixel per output, or per window."""
    taps: int
    """Taps accumulated at once."""
    blocks: tuple[BlockLayout, ...]
    """How filters are divided into vectors; those of a block are accumulated at once."""
    window: tuple[int, int] | None = None

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        shape, at = self.shape, {}
        if self.window:
            at = {"at": reads(Places(self.dy.inside.size, shape.steps, self.window), DType.I32)}
        return {"x": reads(shape.x), "dy": reads(self.dy), **at, "dw": adds(shape.filters * shape.taps)}

    @property
    def symbol(self) -> str:
        window = f"_at_{self.window[0]}_{self.window[1]}" if self.window else ""
        tile = "".join(f"_{b.count}x{b.vectors}v{b.lanes}" for b in self.blocks)
        return f"conv_few_taps{window}_{self.shape.label}_{self.dy.label}__{self.taps}{tile}"

    def multiply_adds(self, images: int) -> int:
        return images * self.dy.height * self.dy.width * self.shape.filters * self.shape.taps

    def write(self, pen: Pen) -> None:
        for block in self.blocks:
            with pen.loop("block", block.count) as k:
                o = k * block.width + block.first
                for first, taps, tiles in balanced(self.shape.taps, self.taps):
                    for tap in range(first, first + taps * tiles, taps):
                        self._tile(pen, o, block, range(tap, tap + taps))

    def _tile(self, pen: Pen, o: Index, block: BlockLayout, taps: range) -> None:
        """Accumulate some taps of a block of filters, starting with filter o, over all images."""
        lanes, apart = block.lanes, self._apart(pen)
        sums = {(t, v): pen.variable(pen.constant(0.0, lanes)) for t in taps for v in range(block.vectors)}
        dw = [pen.at(pen.pointer("dw"), (o + v * lanes) * apart) for v in range(block.vectors)]
        for v in range(block.vectors):
            with pen.loop("lane", self._filters(block, v)) as lane:
                here = pen.equal(pen.lane_numbers(lanes), pen.splat(pen.as_value(lane, DType.I32), lanes))
                for t in taps:
                    one = pen.broadcast(dw[v], lane * apart + self._place(pen, t), lanes)
                    pen.write(sums[t, v], pen.select(here, one, pen.read(sums[t, v])))
        P, Q = self.dy.height, self.dy.width
        with pen.loop("n", pen.count("images")) as n, pen.loop("p", P) as p, pen.loop("q", Q) as q:
            self._window(pen, (n, p, q, o), block, sums)
        for v in range(block.vectors):
            with pen.loop("lane", self._filters(block, v)) as lane:
                for t in taps:
                    pen.store(pen.lane(pen.read(sums[t, v]), lane), dw[v], lane * apart + self._place(pen, t))

    def _filters(self, block: BlockLayout, v: int) -> int:
        """Return the number of filters in a vector of a block: all lanes, except in the last one."""
        return min(block.lanes, self.shape.filters - block.first - v * block.lanes)

    def _window(
        self,
        pen: Pen,
        where: tuple[Index, Index, Index, Index],
        block: BlockLayout,
        sums: dict[tuple[int, int], Variable],
    ) -> None:
        """Add the terms of one output, or of one window."""
        (n, p, q, o), shape, window = where, self.shape, self.window or (1, 1)
        patch = pen.at(pen.pointer("x"), shape.x.begin(n) + shape.patch(p, q, window))
        dy, at = self.dy.at(n, p, q, o), item(n, self.dy.inside.size) + self.dy.rank(p, q, o)
        gradients = [pen.load(pen.pointer("dy"), dy + v * block.lanes, block.lanes) for v in range(block.vectors)]
        for place in shape.places(window):
            masks = [self._there(pen, at + v * block.lanes, place, block.lanes) for v in range(block.vectors)]
            for t in dict.fromkeys(t for t, _ in sums):
                value = pen.broadcast(patch, self._offset(t) + place, block.lanes)
                for v, (gradient, mask) in enumerate(zip(gradients, masks, strict=True)):
                    before = pen.read(sums[t, v])
                    after = pen.fma(gradient, value, before)
                    pen.write(sums[t, v], after if mask is None else pen.select(mask, after, before))

    def _there(self, pen: Pen, index: Index, place: int, lanes: int) -> Value | None:
        """Return which of a vector of filters have a window's maximum at a position; None without a pool."""
        if self.window is None:
            return None
        return pen.equal(pen.load(pen.pointer("at"), index, lanes), pen.constant(place, lanes, DType.I32))

    def _offset(self, tap: int) -> int:
        """Return the offset of a tap from the beginning of a patch."""
        run, j = divmod(tap, self.shape.run_length)
        row, column = divmod(run, self.shape.runs[1])
        return self.shape.x.step(row, column, stride=self.shape.dilation) + j

    def _place(self, pen: Pen, tap: int) -> int:
        """Return the place of a tap among the elements of a filter."""
        run, j = divmod(tap, self.shape.run_length)
        return run * self.shape.rows(pen.machine).padded + j

    def _apart(self, pen: Pen) -> int:
        """Return the elements from one filter to the next."""
        rows = self.shape.rows(pen.machine)
        return rows.runs * rows.padded
