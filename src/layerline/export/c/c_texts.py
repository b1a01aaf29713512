"""Any text in a C file, as a string or in a comment: it ends neither, and compilers do not warn of it."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Final

import numpy as np

from layerline.compiler.c_values import number
from layerline.compiler.dtype import DType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

LONGEST: Final = 1000
"""Maximum bytes of a string: C99 guarantees 4095."""
WIDTH: Final = 110


def string(text: str) -> str:
    """Return a string literal with the UTF-8 bytes of a text; a longer one than LONGEST is cut off."""
    short = text.encode("utf-8", "replace")[:LONGEST].decode("utf-8", "ignore")
    return f'"{"".join(map(_in_string, short))}"'


def _in_string(letter: str) -> str:
    if letter in '"\\?':  # ?? would begin a trigraph
        return f"\\{letter}"
    if letter.isprintable():
        return letter
    return "".join(f"\\{byte:03o}" for byte in letter.encode())


def in_comment(text: str) -> str:
    """Return a text as it may be part of a comment: printable, on one line, and without the comment's ends."""
    plain = text.encode("utf-8", "replace").decode()
    plain = "".join(letter if letter.isprintable() else "·" for letter in plain)
    return re.sub(r"\?(?=\?)", "? ", re.sub(r"\*(?=/)", "* ", re.sub(r"/(?=\*)", "/ ", plain)))


def comment(rows: Iterable[tuple[str, str]], indent: int) -> Iterator[str]:
    """Yield the lines of a table inside a comment: a heading, and its text in several lines; neither may be the
    user's unless it went through `in_comment`."""
    for heading, text in rows:
        lines = textwrap.wrap(text, WIDTH - indent, break_long_words=True, break_on_hyphens=False) or [""]
        for first, line in zip((heading, *[""] * len(lines)), lines, strict=False):
            yield f" * {first:<{indent}}{line}".rstrip()


def numbers(values: NDArray[np.generic], dtype: DType) -> Iterator[str]:
    """Yield lines with the elements of an array: float32 in hexadecimal, which is exact."""
    if dtype is DType.F32:
        texts = _floats(values.view(np.uint32))
    else:
        texts = [number(value, dtype).strip("()") for value in values.tolist()]
    per_line = {DType.F32: 6, DType.U8: 24, DType.I8: 24}.get(dtype, 12)
    for start in range(0, len(texts), per_line):
        yield ", ".join(texts[start : start + per_line])


def _floats(bits: NDArray[np.uint32]) -> list[str]:
    """Return finite float32 numbers, from their bits: for a million of them `number` would take 6 s, this 2 s."""
    exponents = ((bits >> 23) & 255).astype(np.int64) - 127
    mantissas = ((bits & 0x7FFFFF) << 1).tolist()
    texts = []
    for sign, exponent, mantissa in zip((bits >> 31).tolist(), exponents.tolist(), mantissas, strict=True):
        digits = f"{mantissa:06x}".rstrip("0")
        texts.append(f"{'-' * sign}0x1{'.' * bool(digits)}{digits}p{exponent:+d}f")
    for place in np.flatnonzero(exponents == -127).tolist():  # zero and numbers below 2⁻¹²⁶
        texts[place] = number(float(bits[place : place + 1].view(np.float32)[0]), DType.F32).strip("()")
    return texts
