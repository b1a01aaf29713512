"""Numbers as people read them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerline.numbers import display


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (display.loss(0.30116), "0.3012"),
        (display.loss(0.0), "0.0000"),
        (display.loss(2.302585), "2.3026"),
        (display.loss(9.99996), "10.00"),
        (display.loss(23.0259), "23.03"),
        (display.loss(1234.56), "1235"),
        (display.loss(12345.6), "1.2e+04"),
        (display.loss(1.234e-5), "1.2e-05"),
        (display.loss(3.4e20), "3.4e+20"),
        (display.loss(math.nan), "nan"),
        (display.loss(-math.inf), "-inf"),
        (display.loss(None), "–"),
        (display.fraction(0.98316), "0.9832"),
        (display.fraction(0.99996), "0.9999"),
        (display.fraction(1.0), "1.0000"),
        (display.fraction(0.5, 2), "0.50"),
        (display.fraction(math.nan), "nan"),
        (display.percent(0.667), "67%"),
        (display.percent(0.9999), "99%"),
        (display.percent(1), "100%"),
        (display.percent(0.001), "<1%"),
        (display.percent(0.0123, 1), "1.2%"),
        (display.percent(0), "0%"),
        (display.count(20000), "20,000"),
        (display.difference(0.00488), "+0.0049"),
        (display.difference(-0.012), "-0.0120"),
        (display.difference(-0.00004), "0.0000"),
        (display.difference(math.nan), "nan"),
        (display.difference(None), "–"),
        (display.chance(1.0), "p = 1"),
        (display.chance(0.9999), "p = 0.999"),
        (display.chance(0.125), "p = 0.125"),
        (display.chance(0.00041), "p = 0.0004"),
        (display.chance(3e-9), "p < 0.0001"),
        (display.short_seconds(245), "4m05 s"),
        (display.short_seconds(4320), "1h12m"),
        (display.short_seconds(12.3), "12.3 s"),
        (display.classes(9, 10), "9 of 10 classes"),
        (display.classes(10, 10), "10 classes"),
        (display.seconds(0.0032), "3.2 ms"),
        (display.seconds(0.84), "0.84 s"),
        (display.seconds(9.996), "10.0 s"),
        (display.seconds(12.34), "12.3 s"),
        (display.seconds(59.96), "1 min 00 s"),
        (display.seconds(245), "4 min 05 s"),
        (display.seconds(3599.6), "1 h 00 min"),
        (display.seconds(4320), "1 h 12 min"),
        (display.size(842), "842 B"),
        (display.size(12_340), "12.3 kB"),
        (display.size(999_600), "1.00 MB"),
        (display.size(1_250_000), "1.25 MB"),
        (display.size(350_000_000), "350 MB"),
        (display.size(2_000_000_000_000), "2.00 TB"),
        (display.speed(48_213.7), "48,200 images/s"),
        (display.speed(3.14159), "3.14 images/s"),
        (display.speed(0.0), "0.00 images/s"),
        (display.speed(math.inf), "inf"),
        (display.rate(0.05), "0.05"),
        (display.rate(0.05 * (1 - 1 / 3)), "0.03333"),
        (display.rate(8.3333e-5), "8.333e-05"),
        (display.name("cat"), "cat"),
        (display.name("\x1b[31mred\n"), "\\x1b[31mred\\n"),
        (display.name("abcdefghij", 5), "abcd…"),
        (display.name("\x1b\x1b\x1b", 6), "\\x1b\\…"),
    ],
)
def test_reads_as_written_here(shown: str, text: str) -> None:
    assert shown == text


@given(st.floats(0, 1), st.integers(1, 6))
def test_only_one_reads_as_one(value: float, digits: int) -> None:
    """A score that is not perfect never reads as 1, and what is read is within one unit of the last digit."""
    shown = float(display.fraction(value, digits))
    assert (shown == 1.0) == (value == 1.0)
    assert abs(shown - value) <= 10.0**-digits


@given(st.text(), st.integers(2, 40))
def test_a_name_is_one_printable_line(text: str, longest: int) -> None:
    """Whatever a name holds, it is shown as one line of at most so many letters, all of them printable."""
    shown = display.name(text, longest)
    assert len(shown) <= longest
    assert shown.isprintable()
