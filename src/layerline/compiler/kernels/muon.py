"""Muon's direction: the momentum of a filter matrix, approximately orthogonalized.

The math.  For the gradient g of filters, seen as a matrix (O, C·R·S):
    v = μ·v + g      u = g + μ·v      X = u / (‖u‖ + 10⁻⁷), transposed if it has more rows than columns
    five times       A = X·Xᵀ      B = b·A + c·A·A      X = a·X + B·X      (a, b, c) = (3.4445, −4.7750, 2.0315)
‖u‖ is the Frobenius norm. (Jordan 2024, "Muon: an optimizer for hidden layers in neural networks".) All sums are
float32; those over k run in lanes that are reduced as a tree, or in the order of k.

The schedule.  One item processes a whole tensor, and tensors run in parallel, those with the most work first. X·Xᵀ is
symmetric: of a pair of elements one is computed, the same bits as the other. It accumulates a tile of T × T, 2·T loads
for T² multiply-adds; a few tiles of rows stay in the L2 cache while all rows to the right of them come by. The other
products accumulate a tile of 4 rows × T vectors, whose columns stay in the cache for all rows. T is 4, or 3 with 16
registers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.compiler.kernel import Kernel, given, owns, reads, sets, updates
from layerline.compiler.kernels.loops import clear, vectors
from layerline.compiler.kernels.optimizers import hyper
from layerline.compiler.tile import balanced

if TYPE_CHECKING:
    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.machine import Machine
    from layerline.compiler.pen import Pen
    from layerline.compiler.values import Index, Value

COEFFICIENTS: Final = (3.4445, -4.7750, 2.0315)
ROUNDS: Final = 5
EPSILON: Final = 1e-7
ROWS: Final = 4
"""Rows of a tile of a product."""
KEPT: Final = 4
"""Tiles of rows of X that stay in the cache for X·Xᵀ: 150 kB of them, if X has 256 filters of 256 channels."""


def tile_side(machine: Machine) -> int:
    """Return T: T² sums, or 4·T, and what they are made from, fit in registers."""
    return 4 if machine.accumulators >= 16 else 3


@dataclass(frozen=True)
class Filters:
    """The layout of filters: `lines` lines, each with `runs` runs of `length` numbers, `padded` apart."""

    lines: int
    runs: int
    length: int
    padded: int

    @property
    def transposed(self) -> bool:
        """Whether X is the transposed matrix, so that it has at least as many columns as rows."""
        return self.lines > self.runs * self.length

    @property
    def line(self) -> int:
        """Return the elements from one line to the next."""
        return self.runs * self.padded

    def lanes(self, machine: Machine) -> int:
        """Return the vector width for the rows of X."""
        return machine.lanes_for(self.lines if self.transposed else self.length)

    def shape(self, machine: Machine) -> tuple[int, int]:
        """Return the rows of X and their elements; padding is zero and does not affect the result."""
        if not self.transposed:
            return self.lines, self.line
        lanes = self.lanes(machine)
        return self.line, -(-self.lines // lanes) * lanes

    def square(self, machine: Machine) -> int:
        """Return the elements per row of A."""
        lanes = self.lanes(machine)
        return -(-self.shape(machine)[0] // lanes) * lanes

    def workspace(self, machine: Machine) -> dict[str, int]:
        """Return the number of elements of X, of A and B, and of the panel P."""
        m, n = self.shape(machine)
        square = m * self.square(machine)
        return {"X": m * n, "A": square, "B": square, "P": m * tile_side(machine) * self.lanes(machine)}


@dataclass(frozen=True)
class MuonDirection(Kernel):
    """Updates v, and u = the direction. X, A, B and P are its workspace, whatever they held before."""

    filters: Filters
    clip: bool = False

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        f = self.filters
        n, rows = f.lines * f.line, f.line if f.transposed else f.lines
        factor = {"factor": reads(1)} if self.clip else {}
        own = {"X": owns(n), "A": owns(rows * rows), "B": owns(rows * rows), "P": owns(rows)}
        return {"g": reads(n), "v": updates(n), "hyper": given(), **factor, **own, "u": sets(n)}

    @property
    def symbol(self) -> str:
        f = self.filters
        return f"muon{'_c' * self.clip}_{f.lines}x{f.runs}x{f.length}p{f.padded}"

    @property
    def slices(self) -> int:
        """Return 1: an item is a whole tensor."""
        return 1

    def multiply_adds(self, images: int) -> int:
        """Return those of the Newton–Schulz rounds, whatever the number of images: X·Xᵀ, A·A and B·X."""
        del images
        columns = self.filters.runs * self.filters.length
        m, n = sorted((self.filters.lines, columns))
        return ROUNDS * (2 * m * m * n + m * m * m)

    def write(self, pen: Pen) -> None:
        m, n = self.filters.shape(pen.machine)
        lanes = self.filters.lanes(pen.machine)
        self._momentum(pen)
        self._scale(pen)
        a, b, c = COEFFICIENTS
        X, square = _Matrix("X", m, n), self.filters.square(pen.machine)
        A, B = (_Matrix(name, m, square) for name in "AB")
        with pen.loop("round", ROUNDS):
            self._gram(pen, X, A, lanes)
            mix(pen, (A, A, B), (b, c), lanes)
            mix(pen, (B, X, X), (a, 1.0), lanes)
        self._write_direction(pen)

    def _momentum(self, pen: Pen) -> None:
        """Write v = μ·v + g and u = g + μ·v, ignoring the padding of g, which is undefined."""
        f, lanes = self.filters, pen.machine.lanes_for(self.filters.length)
        mu = hyper(pen, "momentum", lanes)
        with pen.loop("line", f.lines * f.runs) as line:
            for j, count in vectors(pen, f.length, lanes):
                here = line * f.padded + j
                g = pen.first_lanes(pen.load(pen.pointer("g"), here, lanes), count, pen.constant(0.0, lanes))
                if self.clip:
                    g = pen.mul(g, pen.broadcast(pen.pointer("factor"), 0, lanes))
                v = pen.fma(mu, pen.load(pen.pointer("v"), here, lanes), g)
                pen.store(v, pen.pointer("v"), here)
                pen.store(pen.fma(mu, v, g), pen.pointer("u"), here)

    def _scale(self, pen: Pen) -> None:
        """Write X = u / (‖u‖ + 10⁻⁷), transposed if it has more rows than columns."""
        f, lanes = self.filters, pen.machine.lanes_for(self.filters.length)
        total = pen.variable(pen.constant(0.0, lanes))
        with pen.loop("i", f.lines * f.line, step=lanes) as i:
            u = pen.load(pen.pointer("u"), i, lanes)
            pen.write(total, pen.fma(u, u, pen.read(total)))
        norm = pen.add(pen.sqrt(pen.fold(pen.read(total))), pen.constant(EPSILON))
        factor = pen.div(pen.constant(1.0), norm)
        if not f.transposed:
            with pen.loop("i", f.lines * f.line, step=lanes) as i:
                scaled = pen.mul(pen.load(pen.pointer("u"), i, lanes), pen.splat(factor, lanes))
                pen.store(scaled, pen.pointer("X"), i)
            return
        n = f.shape(pen.machine)[1]
        clear(pen, pen.pointer("X"), f.line * n, f.lanes(pen.machine))  # else a NaN would stay in the padding
        with pen.loop("line", f.lines) as line, pen.loop("k", f.line) as k:
            value = pen.mul(pen.load(pen.pointer("u"), line * f.line + k), factor)
            pen.store(value, pen.pointer("X"), k * n + line)

    def _gram(self, pen: Pen, X: _Matrix, A: _Matrix, lanes: int) -> None:
        """Write A = X·Xᵀ: of each pair of tiles the one with j ≥ i, and its mirror image."""
        pieces = balanced(X.rows, tile_side(pen.machine))
        for number, (i0, rows, i_tiles) in enumerate(pieces):
            for j0, columns, j_tiles in pieces[number:]:
                with pen.loop("kept", i_tiles, 0, KEPT) as kept:
                    end = pen.smaller(i_tiles - kept, KEPT) + kept
                    with pen.loop("j", j_tiles, kept if i0 == j0 else 0) as j:
                        last = pen.smaller(j + 1, end) if i0 == j0 else end
                        with pen.loop("i", last.single, kept) as i:
                            self._gram_tile(pen, (X, A), (i * rows + i0, j * columns + j0), (rows, columns), lanes)

    def _gram_tile(
        self, pen: Pen, matrices: tuple[_Matrix, _Matrix], at: tuple[Index, Index], size: tuple[int, int], lanes: int
    ) -> None:
        (X, A), (i, j) = matrices, at
        x = pen.pointer(X.name)
        sums = {(a, b): pen.variable(pen.constant(0.0, lanes)) for a in range(size[0]) for b in range(size[1])}
        with pen.loop("k", X.columns, step=lanes) as k:
            left = [pen.load(x, (i + a) * X.columns + k, lanes) for a in range(size[0])]
            right = [pen.load(x, (j + b) * X.columns + k, lanes) for b in range(size[1])]
            for (a, b), total in sums.items():
                pen.write(total, pen.fma(left[a], right[b], pen.read(total)))
        for (a, b), total in sums.items():
            element = pen.fold(pen.read(total))
            for row, column in ((i + a, j + b), (j + b, i + a)):
                pen.store(element, pen.pointer(A.name), row * A.columns + column)

    def _write_direction(self, pen: Pen) -> None:
        """Write u from X."""
        f, lanes = self.filters, pen.machine.lanes_for(self.filters.length)
        if not f.transposed:
            with pen.loop("i", f.lines * f.line, step=lanes) as i:
                pen.store(pen.load(pen.pointer("X"), i, lanes), pen.pointer("u"), i)
            return
        n = f.shape(pen.machine)[1]
        with pen.loop("line", f.lines) as line, pen.loop("k", f.line) as k:
            pen.store(pen.load(pen.pointer("X"), k * n + line), pen.pointer("u"), line * f.line + k)


@dataclass(frozen=True)
class _Matrix:
    """An argument as a matrix; the columns are a multiple of the lanes."""

    name: str
    rows: int
    columns: int


def mix(pen: Pen, matrices: tuple[_Matrix, _Matrix, _Matrix], coefficients: tuple[float, float], lanes: int) -> None:
    """Write out = α·right + β·left·right, for (left, right, out) and (α, β); `out` may be `right`.

    Some columns of `right`, a panel, are copied to P: there they are contiguous, and no longer needed in their place.
    """
    left, right, out = matrices
    panel = pen.pointer("P")
    for v0, wide, v_tiles in balanced(out.columns // lanes, tile_side(pen.machine)):
        with pen.loop("v", v_tiles) as v:
            j, vectors_of_row = (v * wide + v0) * lanes, range(wide)
            with pen.loop("k", left.rows) as k:
                for w in vectors_of_row:
                    value = pen.load(pen.pointer(right.name), k * right.columns + j + w * lanes, lanes)
                    pen.store(value, panel, (k * wide + w) * lanes)
            for i0, rows, i_tiles in balanced(left.rows, ROWS):
                with pen.loop("i", i_tiles) as t:
                    i, cells = t * rows + i0, [(a, w) for a in range(rows) for w in vectors_of_row]
                    sums = {cell: pen.variable(pen.constant(0.0, lanes)) for cell in cells}
                    with pen.loop("k", left.rows) as k:
                        row = [pen.load(panel, (k * wide + w) * lanes, lanes) for w in vectors_of_row]
                        for a in range(rows):
                            factor = pen.broadcast(pen.pointer(left.name), (i + a) * left.columns + k, lanes)
                            for w in vectors_of_row:
                                pen.write(sums[a, w], pen.fma(factor, row[w], pen.read(sums[a, w])))
                    for a, w in cells:
                        old = pen.load(panel, ((i + a) * wide + w) * lanes, lanes)
                        here = (i + a) * out.columns + j + w * lanes
                        _store(pen, pen.read(sums[a, w]), old, coefficients, (out.name, here))


def _store(pen: Pen, total: Value, old: Value, coefficients: tuple[float, float], to: tuple[str, Index]) -> None:
    """Write coefficients[0] · old + coefficients[1] · total."""
    lanes = total.lanes
    scaled = pen.mul(pen.constant(coefficients[0], lanes), old)
    pen.store(pen.fma(pen.constant(coefficients[1], lanes), total, scaled), pen.pointer(to[0]), to[1])
