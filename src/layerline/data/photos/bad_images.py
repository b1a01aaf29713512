"""Unusable image files: all listed in one error, or skipped if they are few and --skip-bad allows it."""

from __future__ import annotations

import math
from typing import Final

from layerline.errors import DataError
from layerline.numbers import display

MAX_BAD: Final = 1000
"""After this many bad images the rest are not read, if none may be skipped."""
_MAX_LISTED: Final = 100
_MAX_SHARE: Final = 0.5
"""The largest fraction of bad images for which --skip-bad is suggested."""


def check_bad(bad: list[str], total: int, skip: float, place: str) -> None:
    """Raise DataError if more than the fraction `skip` of all files is bad. bad: one line per file, with the reason."""
    if len(bad) <= math.floor(skip * total):
        return
    lines = sorted(bad)[:_MAX_LISTED]
    rest = len(bad) - len(lines)
    also = [f"… and {display.count(rest)} more"] * bool(rest)
    stopped = len(bad) == MAX_BAD and not skip
    found = f"{display.counted(len(bad), 'image')}{' or more' * stopped} cannot be read"
    if skip:
        most = display.count(math.floor(skip * total))
        found = (
            f"{display.count(len(bad))} of {display.counted(total, 'image')} cannot be read, "
            f"expected at most {most} (--skip-bad {skip:g})"
        )
    fraction = _above(len(bad) / total)
    help_text = "fix or remove these files"
    if fraction < _MAX_SHARE and not stopped:
        help_text = f"fix or remove these files, or skip them: --skip-bad {fraction}"
    raise DataError(
        "\n    ".join([f"{place}: {found}", *lines, *also]),
        help_text,
    )


def _above(fraction: float) -> float:
    """Return the fraction rounded up to two significant digits."""
    step = 10.0 ** (math.floor(math.log10(fraction)) - 1)
    return float(f"{math.ceil(fraction / step - 1e-9) * step:.3g}")
