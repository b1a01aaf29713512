"""What all archives of files have in common: their members in order, and the content of one at a time."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager


@dataclass
class Member:
    """A file, a folder, or something else in an archive."""

    name: str
    """The name with `/` between its parts; bytes that are not text are escaped as in Python's file names."""
    size: int
    kind: Literal["file", "folder", "other"]
    offset: int
    """Position of its header."""


class Members(abc.ABC):
    """The members of an open archive, in order; the content of one can be read until the next is requested."""

    name: str
    """The archive as displayed in messages."""

    @abc.abstractmethod
    def __iter__(self) -> Iterator[Member]:
        """Yield the members in the order in which they are stored. Raises DataError."""

    @abc.abstractmethod
    def read(self, member: Member) -> bytes:
        """Return the content of the last member yielded. Raises DataError."""

    @abc.abstractmethod
    def again(self) -> AbstractContextManager[Members]:
        """Return the same archive for use in a `with` statement, to be read from its start."""

    @property
    def recoded(self) -> tuple[str, ...]:
        """Return the names that were not stored as Unicode, and had to be guessed."""
        return ()
