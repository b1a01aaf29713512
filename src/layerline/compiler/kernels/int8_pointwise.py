"""8-bit values one by one: tables, sums, products, concatenation.

The math.  q, the value of a tensor; t, int32.
    table           y = table[x + 128], any function of one value, 256 entries
    sum             y = the value of A₁ · a + A₂ · b + B, by M = 2³² / PARTS; t: its head, A₁, A₂, B
    concatenation   y = the value of A · x + B of each x, by the same M; t: its head, then A and B of each
    product         y = the value of (a − z₁) · (b − z₂) by M; t: its head, z₁, z₂, M
A is the ratio of the scales times PARTS, rounded: PARTS is so large that this changes a value by at most 2⁻¹³.

The schedule.  Lanes run over the values of a row; tables are read one by one.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.compiler.dtype import DType
from layerline.compiler.kernel import Kernel, reads, sets
from layerline.compiler.kernels.border import write_border
from layerline.compiler.kernels.int8_values import HEAD, LOWEST, Finish, border_value, longer
from layerline.compiler.kernels.loops import elementwise, vectors

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.pen import Pen
    from layerline.compiler.plane import Plane
    from layerline.compiler.values import Index, Pointer, Value

PARTS: Final = 1 << 20
"""A sum of values is in units of 1 / PARTS of the result's."""
TABLE: Final = 256


@dataclass(frozen=True)
class Int8Table(Kernel):
    """y = table[x + 128]; t is the zero point, for the border."""

    x: Plane
    y: Plane

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        table, t = reads(TABLE, DType.I8), reads(1, DType.I32)
        return {"x8": reads(self.x, DType.I8), "table": table, "t": t, "y8": sets(self.y, DType.I8)}

    @property
    def symbol(self) -> str:
        return f"int8_table_{self.x.label}_{self.y.label}"

    def write(self, pen: Pen) -> None:
        table = pen.at(pen.pointer("table"), -LOWEST)

        def step(memory: tuple[Pointer, ...], places: tuple[Index, ...], lanes: int) -> Value:
            x = longer(pen, memory[0], places[0], lanes)
            each = [x] if lanes == 1 else [pen.some_lanes(x, [lane]) for lane in range(lanes)]
            return pen.from_lanes([pen.load(table, pen.as_index(one)) for one in each])

        write_border(pen, "y8", self.y, border_value(pen))
        elementwise(pen, ((self.x, "x8"), (self.y, "y8")), step)


@dataclass(frozen=True)
class _Int8Pairs(Kernel):
    """A kernel that computes y from a and b, value by value. Abstract."""

    a: Plane
    b: Plane
    y: Plane

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        a, b = reads(self.a, DType.I8), reads(self.b, DType.I8)
        return {"a8": a, "b8": b, "t": reads(HEAD + 3, DType.I32), "y8": sets(self.y, DType.I8)}

    @abc.abstractmethod
    def loaded(self, pen: Pen) -> Callable[[Value, Value], Value]:
        """Load the parameters; returns a function from vectors of i32, of a and b, to the values of y."""

    def write(self, pen: Pen) -> None:
        combined = self.loaded(pen)

        def step(memory: tuple[Pointer, ...], places: tuple[Index, ...], lanes: int) -> Value:
            a, b = (longer(pen, m, i, lanes) for m, i in zip(memory[:2], places[:2], strict=True))
            return combined(a, b)

        write_border(pen, "y8", self.y, border_value(pen))
        elementwise(pen, ((self.a, "a8"), (self.b, "b8"), (self.y, "y8")), step)


@dataclass(frozen=True)
class Int8Sum(_Int8Pairs):
    """y = the values of a + b."""

    @property
    def symbol(self) -> str:
        return f"int8_sum_{self.a.label}_{self.b.label}_{self.y.label}"

    def loaded(self, pen: Pen) -> Callable[[Value, Value], Value]:
        finish = Finish.loaded(pen)
        numbers = [pen.load(pen.pointer("t"), HEAD + k) for k in range(3)]

        def combined(a: Value, b: Value) -> Value:
            of_a, of_b, constant = (pen.splat(number, a.lanes) for number in numbers)
            total = pen.add(pen.add(pen.mul(a, of_a), pen.mul(b, of_b)), constant)
            unit = pen.constant((1 << 32) // PARTS, a.lanes, DType.I32)
            return finish.splat(pen, a.lanes).value(pen, total, unit)

        return combined


@dataclass(frozen=True)
class Int8Product(_Int8Pairs):
    """y = the values of a · b."""

    @property
    def symbol(self) -> str:
        return f"int8_product_{self.a.label}_{self.b.label}_{self.y.label}"

    def loaded(self, pen: Pen) -> Callable[[Value, Value], Value]:
        parameters = _Product.loaded(pen)
        return lambda a, b: parameters.value(pen, a, b)


@dataclass(frozen=True)
class Int8ScaledChannels(Kernel):
    """y = the values of x · g, with one g for each channel; t as for a product, of g and x."""

    g: Plane
    x: Plane
    y: Plane

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        g, x = reads(self.g, DType.I8), reads(self.x, DType.I8)
        return {"g8": g, "x8": x, "t": reads(HEAD + 3, DType.I32), "y8": sets(self.y, DType.I8)}

    @property
    def symbol(self) -> str:
        return f"int8_scaled_channels_{self.g.label}_{self.x.label}_{self.y.label}"

    def write(self, pen: Pen) -> None:
        g, x, y, lanes = self.g, self.x, self.y, pen.machine.lanes_for(self.x.channels)
        parameters = _Product.loaded(pen)
        write_border(pen, "y8", y, border_value(pen))
        with pen.loop("n", pen.count("images")) as n:
            factors = pen.at(pen.pointer("g8"), g.at(n))
            source, to = pen.at(pen.pointer("x8"), x.at(n)), pen.at(pen.pointer("y8"), y.at(n))
            with pen.loop("h", x.height) as h, pen.loop("w", x.width) as w:
                for c, count in vectors(pen, x.channels, lanes):
                    one, other = longer(pen, factors, c, lanes), longer(pen, source, x.step(h, w, c), lanes)
                    pen.store(parameters.value(pen, one, other), to, y.step(h, w, c), count)


@dataclass(frozen=True, eq=False)
class _Product:
    """The parameters of a product, in registers."""

    finish: Finish
    zero_a: Value
    zero_b: Value
    factor: Value

    @classmethod
    def loaded(cls, pen: Pen) -> _Product:
        """Load them from `t`."""
        return cls(Finish.loaded(pen), *(pen.load(pen.pointer("t"), HEAD + k) for k in range(3)))

    def value(self, pen: Pen, a: Value, b: Value) -> Value:
        """Return the values of the products of two vectors of i32."""
        lanes = a.lanes
        a, b = pen.sub(a, pen.splat(self.zero_a, lanes)), pen.sub(b, pen.splat(self.zero_b, lanes))
        return self.finish.splat(pen, lanes).value(pen, pen.mul(a, b), pen.splat(self.factor, lanes))


@dataclass(frozen=True)
class Int8Concatenate(Kernel):
    """y = the values of the channels of all x in their order."""

    xs: tuple[Plane, ...]
    y: Plane

    @property
    def arguments(self) -> dict[str, KernelArgument]:
        images = {f"x8_{i}": reads(x, DType.I8) for i, x in enumerate(self.xs)}
        return {**images, "t": reads(HEAD + 2 * len(self.xs), DType.I32), "y8": sets(self.y, DType.I8)}

    @property
    def symbol(self) -> str:
        return f"int8_concatenate_{'_'.join(x.label for x in self.xs)}_{self.y.label}"

    def write(self, pen: Pen) -> None:
        first, y, t = 0, self.y, pen.pointer("t")
        write_border(pen, "y8", y, border_value(pen))
        for number, x in enumerate(self.xs):
            lanes = pen.machine.lanes_for(x.channels)
            finish, unit = Finish.loaded(pen, lanes), pen.constant((1 << 32) // PARTS, lanes, DType.I32)
            ratio, constant = (pen.broadcast(t, HEAD + 2 * number + k, lanes) for k in range(2))
            with pen.loop("n", pen.count("images")) as n:
                source, to = pen.at(pen.pointer(f"x8_{number}"), x.at(n)), pen.at(pen.pointer("y8"), y.at(n))
                with pen.loop("h", x.height) as h, pen.loop("w", x.width) as w:
                    for c, count in vectors(pen, x.channels, lanes):
                        total = pen.add(pen.mul(longer(pen, source, x.step(h, w, c), lanes), ratio), constant)
                        pen.store(finish.value(pen, total, unit), to, y.step(h, w, c + first), count)
            first += x.channels
