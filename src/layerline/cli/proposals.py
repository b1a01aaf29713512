"""Commands that errors about data propose, in the words of the command that was typed.

layerline train lenet5 --data photos --epochs 3
… layerline data info photos --exclude old        the proposal of a reader of data, which knows no command
… layerline train lenet5 --data photos --exclude old --epochs 3
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from layerline.cli.arguments import quoted
from layerline.errors.python_terms import COMMAND

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator, Sequence

    from layerline.errors import UserError

_READING: Final = ["layerline", "data", "info"]
_LISTS: Final = "--exclude"
"""The option whose values are joined: what is proposed is excluded too."""


@dataclass(frozen=True)
class Typed:
    """A command as it was typed."""

    path: str
    """`layerline train`."""
    words: Sequence[str]
    """The arguments after it."""
    command: click.Command

    def reword(self, error: UserError) -> None:
        """Change the proposals in the message and the help of an error."""
        names = [one.name for one in self.command.params]
        if "data" in names and self.path.split()[1:] != _READING[1:] and "--" not in self.words:
            error.message = COMMAND.sub(self._proposal, error.message)
            error.help = error.help and COMMAND.sub(self._proposal, error.help)

    def with_option(self, flag: str, value: str) -> str:
        """Return the command with another value of an option, or with the option."""
        words, rest = list[str](), iter(self.words)
        for word in rest:
            if word == flag:
                next(rest, None)
            elif not word.startswith(f"{flag}="):
                words.append(word)
        at = words.index("--") if "--" in words else len(words)
        words[at:at] = [flag, value]
        return " ".join(map(quoted, [*self.path.split(), *words]))

    def _proposal(self, found: re.Match[str]) -> str:
        try:
            words = shlex.split(found[0])
        except ValueError:  # a name with a quote in it
            return found[0]
        if words[:3] != _READING or len(words) < 4:
            return found[0]
        place, proposed = words[3], dict(zip(words[4::2], words[5::2], strict=False))
        free, flags = list[str](), list[str]()
        for flag, value in self._pairs():
            if not flag:
                free.append(value)
            elif flag == _LISTS and flag in proposed:
                proposed[flag] = f"{value},{proposed[flag]}"
            elif flag != "--data" and flag not in proposed:
                flags += [flag, *([value] if value else [])]
        option = any(isinstance(one, click.Option) and one.name == "data" for one in self.command.params)
        data = [*free, "--data", place] if option else [place, *free[1:]]
        more = [word for pair in proposed.items() for word in pair]
        return " ".join(map(quoted, [*self.path.split(), *data, *more, *flags]))

    def _pairs(self) -> Iterator[tuple[str, str]]:
        """Yield options with their values, and arguments with an empty flag."""
        switches = {
            flag for one in self.command.params if isinstance(one, click.Option) and one.is_flag for flag in one.opts
        }
        words = iter(self.words)
        for word in words:
            flag, equals, value = word.partition("=")
            if not word.startswith("--"):
                yield "", word
            elif flag in switches:
                yield word, ""
            else:
                yield flag, value if equals else next(words, "")
