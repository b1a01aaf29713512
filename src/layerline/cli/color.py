"""Colors of a terminal: a few ANSI sequences, and when there are none."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping


class Color(StrEnum):
    """What a color is for; the value is its ANSI parameter, one of the eight that every terminal theme defines."""

    LABEL = "1"
    """Bold."""
    REMARK = "33"
    """Yellow."""
    HELP = "36"
    """Cyan."""


def colored(text: str, color: Color) -> str:
    """Return text in a color; every line by itself, so that a pager that cuts lines does not lose it."""
    return "\n".join(f"\x1b[{color}m{line}\x1b[0m" if line else line for line in text.split("\n"))


def draws_on(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Return whether a terminal understands cursor movements. `environment` is os.environ: TERM=dumb does not."""
    return stream.isatty() and environment.get("TERM") != "dumb"


def colors_on(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Return whether to use colors: on a terminal, unless NO_COLOR is set (no-color.org)."""
    return draws_on(stream, environment) and not environment.get("NO_COLOR")
