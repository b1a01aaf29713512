"""The exceptions: a mistake of the user (exit 2, no traceback) and a run that diverged (exit 1).

Any other exception is a bug of ours: the command line reports it as such and exits with 70.
"""

from __future__ import annotations

import copyreg
from typing import Any

from layerline.errors.python_terms import in_python


class _MessageError(Exception):
    """A message with a help line. It can be pickled and copied, whatever arguments a subclass takes."""

    def __init__(self, message: str, help: str | None = None) -> None:  # noqa: A002 - the word the message prints
        """Store `message` (where and what) and `help` (what to do, printed on a separate line)."""
        super().__init__(message)
        self.message = message
        self.help = help

    def __str__(self) -> str:
        """Return the message with its help line in Python's terms, as a traceback displays it: `epochs=0`."""
        return in_python(self.with_flags)

    @property
    def with_flags(self) -> str:
        """The message with its help line as the command line prints it: `--epochs 0`."""
        return self.message if self.help is None else f"{self.message}\n  help: {self.help}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Return class, arguments and attributes for pickling; `__init__` is not called again."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]  # not in its stubs


class UserError(_MessageError):
    """A mistake in the user's input: a file, an option, data. The message states where, what, and what to do."""


class NetworkError(UserError):
    """A network file that is invalid or does not fit the data; up to ten mistakes, each with its line and a caret."""


class DataError(UserError):
    """Data that cannot be read, is inconsistent, or does not fit the network."""


class RecipeError(UserError):
    """A training option that is out of range or conflicts with others."""


class CallError(UserError, TypeError):
    """A call from Python with an argument that is missing, unknown, or of the wrong kind."""


class UnsupportedError(UserError):
    """A PyTorch module with parts that a network file cannot express; `parts` lists them."""

    def __init__(self, message: str, help: str | None = None, parts: tuple[Any, ...] = ()) -> None:  # noqa: A002 - as above
        """Store the message with the parts, what to do, and each part as `layerline.torch_support` returns it."""
        super().__init__(message, help)
        self.parts = parts


class UnwrittenError(UserError):
    """The training finished or was stopped, but not all files of its folder could be written."""

    def __init__(self, message: str, help: str | None = None, run: object = None) -> None:  # noqa: A002 - as above
        """Store the reason, what to do, and the complete `Run`: history, result and model."""
        super().__init__(message, help)
        self.run = run


class DivergedError(_MessageError):
    """The loss is no longer a finite number; the weights of the last finished epoch are kept."""

    def __init__(self, message: str, help: str | None = None, run: object = None) -> None:  # noqa: A002 - as above
        """Store `message` (at which step), `help` (the likely cause), and the `Run` up to there, if there is one."""
        super().__init__(message, help)
        self.run = run

    @classmethod
    def at(cls, step: int, rate: float) -> DivergedError:
        """Return the error for a step, from 1 on, of a training with a constant learning rate that leaves no run."""
        return cls(
            f"diverged at step {step}: the loss is no longer a finite number",
            f"use a lower learning rate: --learning-rate {rate / 10:g}",
        )


class ImagesWarning(UserWarning):
    """Images passed to a model were rescaled as in training, or differ much from its training images."""


class CodeCacheWarning(UserWarning):
    """Cached machine code could not be trusted, so the network was compiled again."""
