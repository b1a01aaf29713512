"""Max pooling that is not fused into a convolution.

The math.  y[c, p, q] = the maximum x[c, h, w] in the window h = p·sh − ph + i, w = q·sw − pw + j, clipped to the image;
the first in row-major order on ties; NaN propagates, and the last one counts (as in PyTorch). `at` is its position in
x, as an element index.
dx = Σ dy over the windows of which it was the maximum, in the order p, q. Positions repeat where windows overlap.

The schedule.  Lanes run over channels. The gradient is scattered value by value: one load and store of dx per output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerline.compiler.dtype import DType
from layerline.compiler.kernel import Kernel, adds, reads, sets
from layerline.compiler.kernels.loops import clear, vectors
from layerline.compiler.plane import Places, Plane, item

if TYPE_CHECKING:
    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.pen import Pen
    from layerline.compiler.values import Index, Pointer, Value


@dataclass(frozen=True)
class PoolShape:
    """The sizes of a pool: input plane, window, stride, padding at the top and left, output rows and columns."""

    x: Plane
    window: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    out: tuple[int, int]

    @property
    def inside(self) -> bool:
        """Whether no window reaches over the edge of the image."""
        ends = ((p - 1) * s + k for p, s, k in zip(self.out, self.stride, self.window, strict=True))
        return self.padding == (0, 0) and all(
            end <= n for end, n in zip(ends, (self.x.height, self.x.width), strict=True)
        )

    @property
    def label(self) -> str:
        """Return the sizes as they appear in symbols; those of the output are in its plane's label."""
        (a, b), (sh, sw), (ph, pw) = self.window, self.stride, self.padding
        return f"{self.x.label}_k{a}_{b}s{sh}_{sw}p{ph}_{pw}"


@dataclass(frozen=True)
class PoolForward(Kernel):
    """y = the maximum of each window; with `places`, `at` = its position."""

    shape: PoolShape
    y: Plane
    places: bool = False

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        x, (P, Q) = self.shape.x, self.shape.out
        at = {"at": sets(Places(P * Q * x.channels, x.steps()), DType.I32)} if self.places else {}
        return {"x": reads(x), "y": sets(self.y), **at}

    @property
    def symbol(self) -> str:
        return f"pool{'_at' * self.places}_fwd_{self.shape.label}_{self.y.label}"

    def write(self, pen: Pen) -> None:
        shape, C = self.shape, self.shape.x.channels
        P, Q = shape.out
        with pen.loop("n", pen.count("images")) as n:
            x = pen.at(pen.pointer("x"), shape.x.begin(n))
            y = pen.at(pen.pointer("y"), self.y.at(n))
            at = pen.at(pen.pointer("at"), item(n, P * Q * C)) if self.places else None
            with pen.loop("p", P) as p, pen.loop("q", Q) as q:
                for c, count in vectors(pen, C, pen.machine.lanes_for(C)):
                    self._window(pen, (p, q, c), count, (x, y, at))

    def _window(
        self,
        pen: Pen,
        position: tuple[Index, Index, Index],
        count: int,
        memory: tuple[Pointer, Pointer, Pointer | None],
    ) -> None:
        (p, q, c), (x, y, at), shape = position, memory, self.shape
        lanes, plane = pen.machine.lanes_for(shape.x.channels), shape.x
        top, bottom = pen.clipped(p * shape.stride[0] - shape.padding[0], shape.window[0], plane.height)
        left, right = pen.clipped(q * shape.stride[1] - shape.padding[1], shape.window[1], plane.width)
        first = plane.inner(top, left, c)
        largest, place = pen.variable(pen.load(x, first, lanes)), pen.variable(pen.as_value(first, DType.I32))
        places = pen.variable(pen.splat(pen.read(place), lanes))
        with pen.loop("h", bottom, top) as h, pen.loop("w", right, left) as w:
            here = plane.inner(h, w, c)
            value, so_far = pen.load(x, here, lanes), pen.read(largest)
            better = pen.either(pen.greater(value, so_far), pen.not_a_number(value))
            pen.write(largest, pen.select(better, value, so_far))
            pen.write(places, pen.select(better, pen.splat(pen.as_value(here, DType.I32), lanes), pen.read(places)))
        pen.store(pen.read(largest), y, self.y.step(p, q, c), count)
        if at is not None:
            numbered = pen.add(pen.read(places), pen.lane_numbers(lanes))
            pen.store(numbered, at, self.y.rank(p, q, c), count)


@dataclass(frozen=True)
class PoolBackward(Kernel):
    """dx = (set) or dx += (add) dy, scattered to the positions `at`."""

    dy: Plane
    dx: Plane
    add: bool = False

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        dy, dx = self.dy, self.dx
        at = Places(dy.inside.size, dx.steps())
        return {"dy": reads(dy), "at": reads(at, DType.I32), "dx": (adds if self.add else sets)(dx)}

    @property
    def symbol(self) -> str:
        return f"pool_bwd{'_add' * self.add}_{self.dy.label}_{self.dx.label}"

    def write(self, pen: Pen) -> None:
        dy, C = self.dy, self.dy.channels
        with pen.loop("n", pen.count("images")) as n:
            g = pen.at(pen.pointer("dy"), dy.at(n))
            at = pen.at(pen.pointer("at"), item(n, dy.inside.size))
            dx = pen.at(pen.pointer("dx"), self.dx.begin(n))
            if not self.add:
                clear(pen, dx, self.dx.size)
            with pen.loop("p", dy.height) as p, pen.loop("i", dy.width * C) as i:
                place = pen.as_index(pen.load(at, dy.inside.step(p, 0, i)))
                pen.store(pen.add(pen.load(dx, place), pen.load(g, dy.step(p, 0, i))), dx, place)


@dataclass(frozen=True)
class Unpool(Kernel):
    """dy of a convolution from the gradient of its fused pool, whose positions are patches of the input.

    Windows do not overlap, so each output is written once: g if its patch is at the position, else 0. Outputs outside
    all windows (sizes are rounded down) are zero from the start.
    """

    g: Plane
    dy: Plane
    pool: tuple[int, int]
    steps: tuple[int, int]
    """Elements of the convolution's input between rows and columns of its output."""

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        g = self.g
        at = Places(g.inside.size, self.steps, self.pool)
        return {"g": reads(g), "at": reads(at, DType.I32), "dy": sets(self.dy)}

    @property
    def symbol(self) -> str:
        (a, b), (down, right) = self.pool, self.steps
        return f"unpool{a}_{b}_{self.g.label}_{self.dy.label}_s{down}_{right}"

    def write(self, pen: Pen) -> None:
        g, C, lanes = self.g, self.g.channels, pen.machine.lanes_for(self.g.channels)
        with pen.loop("n", pen.count("images")) as n:
            source = pen.at(pen.pointer("g"), g.at(n))
            at = pen.at(pen.pointer("at"), item(n, g.inside.size))
            dy = pen.at(pen.pointer("dy"), self.dy.at(n))
            with pen.loop("p", g.height) as p, pen.loop("q", g.width) as q:
                for c, count in vectors(pen, C, lanes):
                    value = pen.load(source, g.step(p, q, c), lanes)
                    place = pen.load(at, g.rank(p, q, c), lanes)
                    self._window(pen, (p, q, c), value, place, dy, count)

    def _window(
        self, pen: Pen, position: tuple[Index, Index, Index], value: Value, place: Value, dy: Pointer, count: int
    ) -> None:
        (p, q, c), (a, b), (down, right) = position, self.pool, self.steps
        lanes = pen.machine.lanes_for(self.g.channels)
        for i in range(a):
            for j in range(b):
                here = pen.equal(place, pen.constant(i * down + j * right, lanes, DType.I32))
                to = self.dy.step(p * a + i) + self.dy.step(0, q * b + j) + c
                pen.store(pen.select(here, value, pen.constant(0.0, lanes)), dy, to, count)
