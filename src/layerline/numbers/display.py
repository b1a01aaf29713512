"""Formatting of numbers for people: the only module that rounds. Numbers for programs are never rounded here."""

from __future__ import annotations

import math
import re
from typing import Final

NOTHING: Final = "–"
"""The text for a missing number."""

_LONGEST_NAME: Final = 60
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,30}")
_NUMBER: Final = re.compile(r"[+-]?([0-9]{1,30}(\.[0-9]*)?|\.[0-9]{1,30})([eE][+-]?[0-9]{1,3})?")
_ON_OFF: Final = ("yes", "no", "true", "false", "on", "off")


def loss(value: float | None) -> str:
    """Return a loss with four decimals, or fewer digits if it is large or tiny: 0.3012, 23.03, 1.2e-05."""
    if value is None:
        return NOTHING
    if not math.isfinite(value):
        return _not_finite(value)
    if value != 0 and (abs(value) < 0.001 or abs(value) >= 9999.5):
        return f"{value:.1e}"
    return f"{value:.4f}" if abs(value) < 9.99995 else f"{value:#.4g}".rstrip(".")


def fraction(value: float | None, digits: int = 4) -> str:
    """Return a fraction between 0 and 1 with `digits` decimals; only a value of exactly 1 is printed as 1."""
    if value is None:
        return NOTHING
    if not math.isfinite(value):
        return _not_finite(value)
    return f"{_inside(value, digits):.{digits}f}"


def interval(bounds: tuple[float, float] | None, digits: int = 4) -> str:
    """Return an interval of a fraction, `0.9520 to 0.9861`; an empty text if it is unknown."""
    return "" if bounds is None else " to ".join(fraction(bound, digits) for bound in bounds)


def percent(value: float | None, digits: int = 0) -> str:
    """Return a fraction as a percentage, `67%`; only exactly 1 is printed as 100%, small values as `<1%`."""
    if value is None:
        return NOTHING
    if not math.isfinite(value):
        return _not_finite(value)
    step = 10.0**-digits
    if 0 < value * 100 < step / 2:
        return f"<{step:.{digits}f}%"
    return f"{100 * _inside(value, digits + 2):.{digits}f}%"


def count(value: int) -> str:
    """Return an integer with thousands separators: 20,000."""
    return f"{value:,d}"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in singular or plural: `1 image`, `20,000 images`."""
    return f"{count(number)} {noun}" + "s" * (number != 1)


def classes(occurring: int, known: int) -> str:
    """Return how many classes occur: `10 classes`, or `9 of 10 classes` if one is missing."""
    return f"{known} classes" if occurring == known else f"{occurring} of {known} classes"


def seconds(value: float | None) -> str:
    """Return a duration in a suitable unit: 3.2 ms, 0.84 s, 12.3 s, 4 min 05 s, 1 h 12 min."""
    if value is None:
        return NOTHING
    if not math.isfinite(value):
        return _not_finite(value)
    if value < 0.09995:
        return f"{value * 1e3:.1f} ms"
    if value < 9.995:
        return f"{value:.2f} s"
    if value < 59.95:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(value / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def short_seconds(value: float | None) -> str:
    """Return a duration for a narrow column: 3.2 ms, 12.3 s, 4m05 s, 1h12m."""
    return seconds(value).replace(" min ", "m").replace(" h ", "h").replace(" min", "m")


def difference(value: float | None, digits: int = 4) -> str:
    """Return the difference of two fractions with its sign: +0.0049, -0.0120; 0.0000 if it rounds to 0."""
    if value is None or not math.isfinite(value):
        return NOTHING if value is None else _not_finite(value)
    rounded = round(value, digits)
    return f"{rounded:+.{digits}f}" if rounded else f"{0:.{digits}f}"


def chance(p: float) -> str:
    """Return a p-value as written in a sentence: p = 0.031, p = 0.0004, p < 0.0001."""
    if p < 0.0001:
        return "p < 0.0001"
    return f"p = {p:.4f}" if p < 0.01 else f"p = {_inside(p, 3):.3f}" if p < 1 else "p = 1"


_LARGEST_SIZE: Final = 10**300
"""A size that float64 can hold; a malicious file may claim more."""


def size(number_of_bytes: int) -> str:
    """Return a size in decimal units: 842 B, 12.3 kB, 1.25 MB (1 MB is 1,000,000 bytes)."""
    value = float(min(number_of_bytes, _LARGEST_SIZE))
    if abs(value) < 1000:
        return f"{number_of_bytes} B"
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if abs(value) < 999.5:
            return f"{_three_digits(value)} {unit}"
    return f"{_three_digits(value / 1000)} TB"


def picture(height: int, width: int) -> str:
    """Return the size of an image as usual for photos, width × height: 640×480. (A tensor's shape is C×H×W.)"""
    return f"{width}×{height}"


def colors(channels: int) -> str:
    """Return the kind of images with that many channels: `gray`, `RGB`, `4-channel`."""
    return {1: "gray", 3: "RGB"}.get(channels, f"{channels}-channel")


def speed(images_per_second: float | None) -> str:
    """Return a speed with three significant digits: 48,200 images/s."""
    if images_per_second is None:
        return NOTHING
    if not math.isfinite(images_per_second):
        return _not_finite(images_per_second)
    value = images_per_second
    if value >= 1:
        value = round(value, 2 - math.floor(math.log10(value)))
    text = f"{value:,.0f}" if value >= 100 else _three_digits(value)
    return f"{text} images/s"


def rate(learning_rate: float) -> str:
    """Return a learning rate with at most four digits: 0.05, 0.001, 8.333e-05."""
    return f"{learning_rate:.4g}" if math.isfinite(learning_rate) else _not_finite(learning_rate)


def name(text: str, longest: int = _LONGEST_NAME) -> str:
    """Return a name from user input, safe to print in a line: unprintable characters escaped, long names shortened."""
    safe = "".join(letter if letter.isprintable() else _escaped(letter) for letter in text[: longest + 1])
    return safe if len(safe) <= longest and len(text) <= longest else safe[: longest - 1] + "…"


def number_as_passed(option: str, value: object, *, whole: bool = True) -> tuple[str, str | None]:
    """Return a value as messages about numbers write it, and advice for a number as text.

    Only a program can pass such a text: the command line and files have converted theirs.
    """
    if isinstance(value, str) and (_WHOLE if whole else _NUMBER).fullmatch(value):
        return f'"{value}"', f"pass a number instead of text: --{option} {value}"
    return name(str(value)), None


def switch_as_passed(value: object) -> str:
    """Return a value as messages about yes and no write it: such a word, which only a program can pass, in quotes."""
    return f'"{value}"' if str(value).lower() in _ON_OFF and isinstance(value, str) else name(str(value))


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def _inside(value: float, digits: int) -> float:
    """Round, but never up to 1 from below (0.99996 is not a perfect score)."""
    rounded = round(value, digits)
    return 1.0 - 10.0**-digits if rounded >= 1.0 > value else rounded


def _three_digits(value: float) -> str:
    decimals = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return f"{value:.{decimals}f}"


def _not_finite(value: float) -> str:
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
