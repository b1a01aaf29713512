"""Gradient clipping by global norm.

The math.  factor = min(1, c / (‖g‖ + 10⁻⁶)), with ‖g‖² = Σ over all tensors of Σ g² (PyTorch's clip_grad_norm_;
Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063, algorithm 1). The squares of a chunk of rows are accumulated in
float64, in lanes that are reduced as a tree; the chunks are added in the order of the tensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerline.compiler.dtype import DType
from layerline.compiler.kernel import Kernel, given, reads, sets
from layerline.compiler.kernels.loops import vectors
from layerline.compiler.kernels.optimizers import hyper
from layerline.compiler.kernels.update import each_row, row_chunks

if TYPE_CHECKING:
    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.kernels.update import Grid
    from layerline.compiler.pen import Pen


@dataclass(frozen=True)
class Squares(Kernel):
    """squares[item] = Σ g² over a chunk of rows."""

    grid: Grid

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        return {"g": reads(self.grid.size), "squares": sets(row_chunks(self.grid), DType.F64)}

    @property
    def symbol(self) -> str:
        return f"squares_r{self.grid.rows}l{self.grid.length}p{self.grid.padded}"

    @property
    def slices(self) -> int:
        """Return the number of row chunks."""
        return row_chunks(self.grid)

    def write(self, pen: Pen) -> None:
        grid, lanes = self.grid, pen.machine.lanes_for(self.grid.length)
        total = pen.variable(pen.constant(0.0, lanes, DType.F64))
        for row in each_row(pen, grid):
            for j, count in vectors(pen, grid.length, lanes):
                g = pen.load(pen.pointer("g"), row * grid.padded + j, lanes)
                g = pen.convert(pen.first_lanes(g, count, pen.constant(0.0, lanes)), DType.F64)
                pen.write(total, pen.fma(g, g, pen.read(total)))
        pen.store(pen.fold(pen.read(total)), pen.pointer("squares"), pen.count("item"))


@dataclass(frozen=True)
class ClipFactor(Kernel):
    """factor = min(1, c / (‖g‖ + 10⁻⁶)), from the squares of all chunks of all tensors."""

    counts: tuple[int, ...]

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        squares = {f"squares{k}": reads(count, DType.F64) for k, count in enumerate(self.counts)}
        return {**squares, "hyper": given(), "factor": sets(1)}

    @property
    def symbol(self) -> str:
        return "clip_factor_" + "_".join(map(str, self.counts))

    @property
    def slices(self) -> int:
        """Return 1: too little work to split."""
        return 1

    def write(self, pen: Pen) -> None:
        total = pen.variable(pen.constant(0.0, 1, DType.F64))
        for k, count in enumerate(self.counts):
            with pen.loop("piece", count) as piece:
                pen.write(total, pen.add(pen.read(total), pen.load(pen.pointer(f"squares{k}"), piece)))
        norm = pen.sqrt(pen.read(total))
        most = pen.convert(hyper(pen, "clip_norm", 1), DType.F64)
        factor = pen.div(most, pen.add(norm, pen.constant(1e-6, 1, DType.F64)))
        one = pen.constant(1.0, 1, DType.F64)
        factor = pen.select(pen.greater(factor, one), one, factor)
        pen.store(pen.convert(factor, DType.F32), pen.pointer("factor"))
