"""What can go wrong, in two kinds: the user's mistake (exit 2, no traceback) and a run that diverged (exit 1).

Anything else that is raised is a bug of ours: the command line says so and exits with 70.
"""

from __future__ import annotations

import copyreg
from typing import Any


class _ToldError(Exception):
    """A message with a help line. It can be pickled and copied, whatever a class below takes to be made."""

    def __init__(self, message: str, help: str | None = None) -> None:  # noqa: A002 - the word the message prints
        """Keep `message` (where and what) and `help` (what to do, printed on a line of its own)."""
        super().__init__(message)
        self.message = message
        self.help = help

    def __str__(self) -> str:
        """Return the message as it is printed, with its help line."""
        return self.message if self.help is None else f"{self.message}\n  help: {self.help}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what is pickled: class, arguments and attributes; `__init__` is not called a second time."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class UserError(_ToldError):
    """A mistake in what the user gave: a file, an option, data. The message says where, what, and what to do."""


class NetworkError(UserError):
    """A network file that cannot be read or does not fit; up to ten mistakes, each with its line and a caret."""


class DataError(UserError):
    """Data that cannot be read, or does not agree with itself or with the network."""


class RecipeError(UserError):
    """An option of the training that is out of range or makes no sense with the others."""


class UnwrittenError(UserError):
    """The training came to its end, or was stopped, and not all files of its folder could be written."""

    def __init__(self, message: str, help: str | None = None, run: object = None) -> None:  # noqa: A002 - as above
        """Keep why, what to do, and the `Run`, which is complete: history, result and model."""
        super().__init__(message, help)
        self.run = run


class DivergedError(_ToldError):
    """The loss stopped being a finite number; the weights of the last finished epoch are kept."""

    def __init__(self, message: str, help: str | None = None, run: object = None) -> None:  # noqa: A002 - as above
        """Keep `message` (at which step), `help` (the likely cause), and the `Run` up to there, where there is one."""
        super().__init__(message, help)
        self.run = run


class ImagesWarning(UserWarning):
    """Images given to a model were brought to the scale of its training, or are far from those that it learned from."""
