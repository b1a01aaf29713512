"""C's types and constants, and what a C pen's values and pointers are: expressions."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.compiler.dtype import DType

if TYPE_CHECKING:
    from layerline.compiler.values import Index

TYPES: Final[dict[DType | None, str]] = {
    None: "int",
    DType.U8: "uint8_t",
    DType.I8: "int8_t",
    DType.I32: "int32_t",
    DType.I64: "int64_t",
    DType.F32: "float",
    DType.F64: "double",
}
FLOATING: Final = (DType.F32, DType.F64)
BITS_OF: Final = {DType.F32: DType.I32, DType.F64: DType.I64}
"""A floating-point type → the integers of its size."""

MOST_DECIMAL: Final = 10_000
"""Integers below are written as such, other floating-point numbers in hexadecimal."""
ATOM, UNARY, PRODUCT, SUM, ANY = range(5)
"""How tightly an expression's outermost operator binds."""


@dataclass(frozen=True)
class Expression:
    """An expression."""

    text: str
    level: int = ATOM
    number: int | None = None
    """Its value if it is an integer constant."""

    def within(self, level: int) -> str:
        """Return it as an operand of an operator whose operands bind at least that tightly."""
        return self.text if self.level <= level else f"({self.text})"

    @property
    def atom(self) -> str:
        """Return it as an operand of any operator."""
        return self.within(ATOM)


@dataclass(frozen=True)
class Address:
    """A pointer: an argument or a local variable, and an offset in elements."""

    root: str
    """The argument that it points into."""
    base: str
    offset: Index


def vector(dtype: DType | None, lanes: int, *, unsigned: bool = False) -> str:
    """Return the name of the type of `lanes` values; booleans of several lanes are i32: 0 or −1."""
    if lanes == 1:
        return f"u{TYPES[dtype].removeprefix('u')}" if unsigned else TYPES[dtype]
    name = (dtype or DType.I32).value
    return f"{name.replace('i', 'u') if unsigned else name}x{lanes}"


def number(value: float, dtype: DType) -> str:
    """Return a constant: floating-point numbers in hexadecimal, negative ones in parentheses."""
    if dtype in FLOATING:
        return _floating(value, dtype)
    bits = 8 * dtype.bytes
    whole = int(value) & ((1 << bits) - 1)
    if dtype is not DType.U8 and whole >> (bits - 1):
        whole -= 1 << bits
        lowest = whole == -(1 << (bits - 1)) and bits >= 32  # in C a minus sign is an operator
        suffix = "LL" if dtype is DType.I64 else ""
        return f"({whole + 1}{suffix} - 1)" if lowest else f"({whole}{suffix})"
    return f"{whole}LL" if dtype is DType.I64 else str(whole)


def _floating(value: float, dtype: DType) -> str:
    single = dtype is DType.F32
    if abs(value) < MOST_DECIMAL and value == int(value):
        text = f"{value:.1f}" + "f" * single
        return f"({text})" if text.startswith("-") else text
    if not math.isfinite(value):
        bits = struct.unpack("<I" if single else "<Q", struct.pack("<f" if single else "<d", value))[0]
        return f"{dtype.value}_of({bits:#x}{'U' if single else 'ULL'})"
    text = hexadecimal(struct.unpack("<f", struct.pack("<f", value))[0] if single else value) + "f" * single
    return f"({text})" if text.startswith("-") else text


def hexadecimal(value: float) -> str:
    """Return a finite number in C's hexadecimal notation, without trailing zeros."""
    mantissa, _, exponent = float(value).hex().partition("p")
    return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}p{exponent}"
