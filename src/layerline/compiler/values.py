"""The operands of kernels: values in registers, pointers, index expressions, variables. Only the pen that created one
knows its representation (`raw`)."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from layerline.compiler.dtype import DType

STEP_SCALARS: Final = ("rate", "inverse", "adam_rate", "adam_scale")
"""Scalars that change with each step: the learning rate η; one over the number of images in the batch, or over the sum
of their class weights; η / (1 − β₁ᵗ) and 1 / √(1 − β₂ᵗ) at step t of the run."""


@dataclass(frozen=True, eq=False, slots=True)
class Value:
    """A vector in a register; with one lane it is a scalar."""

    raw: Any
    dtype: DType | None
    """None for booleans."""
    lanes: int


@dataclass(frozen=True, eq=False, slots=True)
class Pointer:
    """An address in memory and its element type."""

    raw: Any
    dtype: DType


@dataclass(frozen=True, eq=False, slots=True)
class Variable:
    """A mutable value, such as an accumulator in a loop."""

    raw: Any
    dtype: DType | None
    lanes: int


class Integers(abc.ABC):
    """Integer arithmetic on addresses, which a pen implements for Index."""

    @abc.abstractmethod
    def literal(self, number: int) -> Any:
        """Return an integer constant."""

    @abc.abstractmethod
    def integer(self, operation: str, a: Any, b: Any) -> Any:
        """Return a + b, a - b, a * b, or, for nonnegative integers, a // b, a % b."""

    @abc.abstractmethod
    def compared(self, operation: str, a: Any, b: Any) -> Value:
        """Return whether a < b, a > b, a >= b, a == b, or 0 ≤ a < b ("within")."""


@dataclass(frozen=True, eq=False, slots=True)
class Index:
    """An integer expression: a runtime value plus a constant, which becomes the instruction's displacement.

    It adds, subtracts and multiplies like an integer. // and divmod require nonnegative operands.
    """

    of: Integers
    raw: Any
    """None if it is only the constant."""
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
        """Return the quotient of nonnegative integers."""
        return self._with("//", other)

    def __divmod__(self, other: int) -> tuple[Index, Index]:
        """Return the quotient and remainder of nonnegative integers."""
        whole = self.single
        return whole._with("//", other), whole._with("%", other)

    def __lt__(self, other: Index | int) -> Value:
        """Return whether it is less."""
        return self._compared("<", other)

    def __gt__(self, other: Index | int) -> Value:
        """Return whether it is greater."""
        return self._compared(">", other)

    def __ge__(self, other: Index | int) -> Value:
        """Return whether it is greater or equal."""
        return self._compared(">=", other)

    def is_(self, other: Index | int) -> Value:
        """Return whether it is equal."""
        return self._compared("==", other)

    def within(self, count: int) -> Value:
        """Return whether 0 ≤ it < count."""
        return self._compared("within", count)

    @property
    def whole(self) -> Any:
        """Return the expression as a single value, in its pen's representation."""
        if self.raw is None:
            return self.of.literal(self.constant)
        return self.of.integer("+", self.raw, self.of.literal(self.constant)) if self.constant else self.raw

    @property
    def single(self) -> Index:
        """Return it as a single value, computed here."""
        return Index(self.of, self.whole)

    def _with(self, operation: str, other: Index | int) -> Index:
        a = self.whole
        b = self.of.literal(other) if isinstance(other, int) else other.whole
        return Index(self.of, self.of.integer(operation, a, b))

    def _compared(self, operation: str, other: Index | int) -> Value:
        a = self.whole
        b = self.of.literal(other) if isinstance(other, int) else other.whole
        return self.of.compared(operation, a, b)
