"""Our kinds of options: with the group in --help, and switches that also have a --no- form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

import click

from layerline.errors import RecipeError
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Sequence

ON_OFF: Final = {**dict.fromkeys(("yes", "true", "on", "1"), "yes"), **dict.fromkeys(("no", "false", "off", "0"), "no")}
"""Values that a switch may have, and ours for them."""


class GroupedOption(click.Option):
    """An option with the name of its group in --help."""

    def __init__(self, *declarations: Any, group: str, **named: Any) -> None:
        """Keep the group."""
        super().__init__(*declarations, **named)
        self.group = group


@final
class SwitchOption(GroupedOption):
    """An option that is on, off, or left to the data: `--gray`, `--no-gray`; also `--gray yes` and `--gray no`.

    For click its value is text; `CommandLine` translates the forms without a value.
    """

    def __init__(self, declarations: Sequence[str], **named: Any) -> None:
        """Keep the flag, and its opposite."""
        super().__init__(declarations, **named)
        self.on = self.opts[0]
        self.off = f"--no-{self.on.removeprefix('--')}"

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return both forms, and the help."""
        found = super().get_help_record(ctx)
        return None if found is None else (f"{self.on}, {self.off}", found[1])


def fraction(flag: str, text: str) -> float:
    """Return the value of an option that is a number between 0 and 1. Raises RecipeError."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise RecipeError(f"{flag} {display.name(text)}: must be a number between 0 and 1")
    return number
