"""Numbers as people read them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerline import figures


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (figures.loss(0.30116), "0.3012"),
        (figures.loss(0.0), "0.0000"),
        (figures.loss(2.302585), "2.3026"),
        (figures.loss(9.99996), "10.00"),
        (figures.loss(23.0259), "23.03"),
        (figures.loss(1234.56), "1235"),
        (figures.loss(12345.6), "1.2e+04"),
        (figures.loss(1.234e-5), "1.2e-05"),
        (figures.loss(3.4e20), "3.4e+20"),
        (figures.loss(math.nan), "nan"),
        (figures.loss(-math.inf), "-inf"),
        (figures.loss(None), "–"),
        (figures.fraction(0.98316), "0.9832"),
        (figures.fraction(0.99996), "0.9999"),
        (figures.fraction(1.0), "1.0000"),
        (figures.fraction(0.5, 2), "0.50"),
        (figures.fraction(math.nan), "nan"),
        (figures.percent(0.667), "67 %"),
        (figures.percent(0.9999), "99 %"),
        (figures.percent(1), "100 %"),
        (figures.percent(0.001), "<1 %"),
        (figures.percent(0.0123, 1), "1.2 %"),
        (figures.percent(0), "0 %"),
        (figures.count(20000), "20,000"),
        (figures.difference(0.00488), "+0.0049"),
        (figures.difference(-0.012), "-0.0120"),
        (figures.difference(-0.00004), "0.0000"),
        (figures.difference(math.nan), "nan"),
        (figures.difference(None), "–"),
        (figures.chance(1.0), "p = 1"),
        (figures.chance(0.9999), "p = 0.999"),
        (figures.chance(0.125), "p = 0.125"),
        (figures.chance(0.00041), "p = 0.0004"),
        (figures.chance(3e-9), "p < 0.0001"),
        (figures.short_seconds(245), "4m05 s"),
        (figures.short_seconds(4320), "1h12m"),
        (figures.short_seconds(12.3), "12.3 s"),
        (figures.classes(9, 10), "9 of 10 classes"),
        (figures.classes(10, 10), "10 classes"),
        (figures.seconds(0.0032), "3.2 ms"),
        (figures.seconds(0.84), "0.84 s"),
        (figures.seconds(9.996), "10.0 s"),
        (figures.seconds(12.34), "12.3 s"),
        (figures.seconds(59.96), "1 min 00 s"),
        (figures.seconds(245), "4 min 05 s"),
        (figures.seconds(3599.6), "1 h 00 min"),
        (figures.seconds(4320), "1 h 12 min"),
        (figures.size(842), "842 B"),
        (figures.size(12_340), "12.3 kB"),
        (figures.size(999_600), "1.00 MB"),
        (figures.size(1_250_000), "1.25 MB"),
        (figures.size(350_000_000), "350 MB"),
        (figures.size(2_000_000_000_000), "2.00 TB"),
        (figures.speed(48_213.7), "48,200 images/s"),
        (figures.speed(3.14159), "3.14 images/s"),
        (figures.speed(0.0), "0.00 images/s"),
        (figures.speed(math.inf), "inf"),
        (figures.rate(0.05), "0.05"),
        (figures.rate(0.05 * (1 - 1 / 3)), "0.03333"),
        (figures.rate(8.3333e-5), "8.333e-05"),
        (figures.name("cat"), "cat"),
        (figures.name("\x1b[31mred\n"), "\\x1b[31mred\\n"),
        (figures.name("abcdefghij", 5), "abcd…"),
        (figures.name("\x1b\x1b\x1b", 6), "\\x1b\\…"),
    ],
)
def test_reads_as_written_here(shown: str, text: str) -> None:
    assert shown == text


@given(st.floats(0, 1), st.integers(1, 6))
def test_only_one_reads_as_one(value: float, digits: int) -> None:
    """A score that is not perfect never reads as 1, and what is read is within one unit of the last digit."""
    shown = float(figures.fraction(value, digits))
    assert (shown == 1.0) == (value == 1.0)
    assert abs(shown - value) <= 10.0**-digits


@given(st.text(), st.integers(2, 40))
def test_a_name_is_one_printable_line(text: str, longest: int) -> None:
    """Whatever a name holds, it is shown as one line of at most so many letters, all of them printable."""
    shown = figures.name(text, longest)
    assert len(shown) <= longest
    assert shown.isprintable()
