"""Philox4x32-10 (Salmon, Moraes, Dror & Shaw 2011, §3.3, table 2), one counter per lane; see `randomness.philox`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from layerline.compiler.dtype import DType
from layerline.numbers.randomness import ROUNDS

if TYPE_CHECKING:
    from layerline.compiler.pen import Pen
    from layerline.compiler.values import Value

MULTIPLIERS: Final = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS: Final = (0x9E3779B9, 0xBB67AE85)


def philox(pen: Pen, counter: tuple[Value, Value, Value, Value], key: tuple[Value, Value]) -> tuple[Value, ...]:
    """Return the four words (i32 lanes) for a counter of four words and a key of two scalars."""
    lanes = counter[0].lanes
    words = counter
    for number in range(ROUNDS):
        keys = [pen.splat(pen.add(k, pen.constant(number * step & 0xFFFFFFFF, 1, DType.I32)), lanes)
                for k, step in zip(key, KEY_STEPS, strict=True)]  # fmt: skip
        first = pen.wide_product(words[0], MULTIPLIERS[0])
        second = pen.wide_product(words[2], MULTIPLIERS[1])
        words = (
            pen.exclusive(pen.exclusive(second[0], words[1]), keys[0]),
            second[1],
            pen.exclusive(pen.exclusive(first[0], words[3]), keys[1]),
            first[1],
        )
    return words
