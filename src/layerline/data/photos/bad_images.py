"""Files that cannot be used are all listed and refused, or left out where they are few and that is asked for."""

from __future__ import annotations

import math
from typing import Final

from layerline.errors import DataError
from layerline.numbers import display

MAX_BAD: Final = 1000
"""With so many bad images there is no point in looking at the rest, where none may be left out."""
_MAX_LISTED: Final = 100
_MAX_SHARE: Final = 0.5
"""Above which it is no use to leave them out."""


def check_bad(bad: list[str], total: int, skip: float, place: str) -> None:
    """Raise DataError where more than the share `skip` of all files is bad. bad: files, each with the reason."""
    if len(bad) <= math.floor(skip * total):
        return
    lines = sorted(bad)[:_MAX_LISTED]
    rest = len(bad) - len(lines)
    also = [f"… and {display.count(rest)} more"] * bool(rest)
    stopped = len(bad) == MAX_BAD and not skip
    found = display.counted(len(bad), "bad image") + " or more" * stopped
    expected = "expected that all can be read"
    if skip:
        found += f" of {display.count(total)}"
        expected = f"expected at most {display.count(math.floor(skip * total))}, for --skip-bad {skip:g}"
    fraction = _above(len(bad) / total)
    help_text = "mend these files, or take them out"
    if fraction < _MAX_SHARE and not stopped:
        help_text = f"mend or remove these files, or leave them out: --skip-bad {fraction}"
    raise DataError(
        "\n    ".join([f"{place}: found {found}, {expected}", *lines, *also]),
        help_text,
    )


def _above(fraction: float) -> float:
    """Return a share of two digits that is at least this one."""
    step = 10.0 ** (math.floor(math.log10(fraction)) - 1)
    return float(f"{math.ceil(fraction / step - 1e-9) * step:.3g}")
