"""What kernels work on: values in registers, pointers, index expressions, variables. Only the pen that made one knows
what is behind it (`raw`)."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from layerline.compiler.dtype import DType

PACE: Final = ("rate", "inverse", "adam_rate", "adam_scale")
"""What changes from step to step: the learning rate η; one over the images of a batch, or over their class weights;
η / (1 − β₁ᵗ) and 1 / √(1 − β₂ᵗ) at step t of the run."""


@dataclass(frozen=True, eq=False, slots=True)
class Value:
    """Numbers in a register, side by side in lanes; of one lane it is a plain number."""

    raw: Any
    dtype: DType | None
    """None: true or false."""
    lanes: int


@dataclass(frozen=True, eq=False, slots=True)
class Pointer:
    """An address in memory and the type of what lies there."""

    raw: Any
    dtype: DType


@dataclass(frozen=True, eq=False, slots=True)
class Variable:
    """A value that changes in a loop."""

    raw: Any
    dtype: DType | None
    lanes: int


class Integers(abc.ABC):
    """Whole numbers that places are worked out in: what a pen does for Index."""

    @abc.abstractmethod
    def literal(self, number: int) -> Any:
        """Return a number that is known."""

    @abc.abstractmethod
    def integer(self, operation: str, a: Any, b: Any) -> Any:
        """Return a + b, a - b, a * b, or of numbers that are not negative a // b, a % b."""

    @abc.abstractmethod
    def compared(self, operation: str, a: Any, b: Any) -> Value:
        """Return whether a < b, a > b, a >= b, a == b, or 0 ≤ a < b ("within")."""


@dataclass(frozen=True, eq=False, slots=True)
class Index:
    """An integer expression: a number known at run time plus a constant, which ends up in the instruction's
    displacement.

    It adds, subtracts and multiplies like a number. // and divmod are those of numbers that are not negative.
    """

    of: Integers
    raw: Any
    """None: it is the constant alone."""
    constant: int = 0

    def __add__(self, other: Index | int) -> Index:
        """Return the sum."""
        if isinstance(other, int):
            return Index(self.of, self.raw, self.constant + other)
        if self.raw is None or other.raw is None:
            return Index(self.of, self.raw if other.raw is None else other.raw, self.constant + other.constant)
        return Index(self.of, self.of.integer("+", self.raw, other.raw), self.constant + other.constant)

    __radd__ = __add__

    def __sub__(self, other: Index | int) -> Index:
        """Return the difference."""
        return self + -other if isinstance(other, int) else self._with("-", other)

    def __rsub__(self, other: int) -> Index:
        """Return the difference from a constant."""
        return Index(self.of, None, other) - self

    def __mul__(self, other: Index | int) -> Index:
        """Return the product."""
        if isinstance(other, Index):
            return self._with("*", other)
        if self.raw is None or other == 1:
            return Index(self.of, self.raw, self.constant * other)
        if other == 0:
            return Index(self.of, None, 0)
        return Index(self.of, self.of.integer("*", self.raw, self.of.literal(other)), self.constant * other)

    __rmul__ = __mul__

    def __floordiv__(self, other: Index | int) -> Index:
        """Return the quotient, neither being negative."""
        return self._with("//", other)

    def __divmod__(self, other: int) -> tuple[Index, Index]:
        """Return the quotient and the remainder, neither number being negative."""
        whole = self.single
        return whole._with("//", other), whole._with("%", other)

    def __lt__(self, other: Index | int) -> Value:
        """Return whether it is smaller."""
        return self._compared("<", other)

    def __gt__(self, other: Index | int) -> Value:
        """Return whether it is larger."""
        return self._compared(">", other)

    def __ge__(self, other: Index | int) -> Value:
        """Return whether it is as large or larger."""
        return self._compared(">=", other)

    def is_(self, other: Index | int) -> Value:
        """Return whether it is the same number."""
        return self._compared("==", other)

    def within(self, count: int) -> Value:
        """Return whether it is from 0 to count − 1."""
        return self._compared("within", count)

    @property
    def whole(self) -> Any:
        """Return the expression as one number, as its pen knows it."""
        if self.raw is None:
            return self.of.literal(self.constant)
        return self.of.integer("+", self.raw, self.of.literal(self.constant)) if self.constant else self.raw

    @property
    def single(self) -> Index:
        """Return it as one number, worked out here."""
        return Index(self.of, self.whole)

    def _with(self, operation: str, other: Index | int) -> Index:
        a = self.whole
        b = self.of.literal(other) if isinstance(other, int) else other.whole
        return Index(self.of, self.of.integer(operation, a, b))

    def _compared(self, operation: str, other: Index | int) -> Value:
        a = self.whole
        b = self.of.literal(other) if isinstance(other, int) else other.whole
        return self.of.compared(operation, a, b)
