"""Numbers and names in a C file are what they were."""

from __future__ import annotations

from random import Random
from typing import Final

import numpy as np
import pytest

from layerline.compiler.c_values import number
from layerline.compiler.dtype import DType
from layerline.export.c.c_texts import comment, in_comment, numbers, string

ODD: Final = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, -1e-40, 1.1754944e-38, 3.4028235e38, 0.1, -16777216.0, 12345.0)


def test_float32_keeps_every_bit() -> None:
    """Of any size and sign, also below the smallest normal number; as one number alone and in a row of many."""
    bits = np.random.default_rng(0).integers(0, 2**32, 5000, dtype=np.uint32)
    drawn = bits.view(np.float32)
    values = np.concatenate([drawn[np.isfinite(drawn)], np.array(ODD, np.float32)])
    texts = ", ".join(numbers(values, DType.F32)).split(", ")
    assert all(text.endswith("f") for text in texts)
    found = np.array([float.fromhex(text[:-1]) if "x" in text else float(text[:-1]) for text in texts], np.float32)
    np.testing.assert_array_equal(found.view(np.uint32), values.view(np.uint32))
    for value in values[-200:].tolist():
        text = number(value, DType.F32).strip("()")[:-1]
        alone = np.float32(float.fromhex(text) if "x" in text else float(text))
        assert alone.tobytes() == np.float32(value).tobytes()


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        (DType.I32, [0, -1, 2**31 - 1, -(2**31)]),
        (DType.I64, [0, -1, 2**63 - 1, -(2**63)]),
        (DType.U8, [0, 255]),
        (DType.I8, [-128, 127]),
    ],
)
def test_integers_are_written_without_overflow(dtype: DType, values: list[int]) -> None:
    """The smallest one too, whose digits alone would be too large for C."""
    texts = [number(value, dtype) for value in values]
    limit = 2 ** (8 * dtype.bytes - 1)
    for value, text in zip(values, texts, strict=True):
        digits = text.replace("LL", "").strip("()")
        assert eval(digits) == value  # noqa: S307 - our own text
        assert all(int(word) < limit for word in digits.replace("-", " ").split()) or dtype in (DType.U8, DType.I8)


def test_a_comment_never_ends_early() -> None:
    """Texts drawn from the letters that could end or begin one, in one line or broken into many."""
    rng = Random(0)
    for _ in range(2000):
        text = "".join(rng.choice("*/\\? a\n") for _ in range(rng.randint(0, 300)))
        lines = "\n".join(comment([("heading", in_comment(text))], 10))
        assert "*/" not in lines
        assert "/*" not in lines
        assert "??" not in lines


def test_a_string_holds_no_trigraph_and_no_quote() -> None:
    """Nor the end of a line."""
    assert string('a"b\\c??/\n') == '"a\\"b\\\\c\\?\\?/\\012"'
    assert string("é🐈") == '"é🐈"'
    assert string("\x01" + "1") == '"\\0011"'
