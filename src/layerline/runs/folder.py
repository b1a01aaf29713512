"""The folder of a run: its name, who may write to it, and how it begins, grows and begins anew.

Nothing is written before `start`. What is inside holds relative paths only, and no user's or machine's name.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING, Final, Self

from layerline.errors import UserError
from layerline.files import whole
from layerline.files.lock import FolderLock
from layerline.numbers import display
from layerline.runs.history import lines
from layerline.runs.names import (
    CHECKPOINTS,
    ENDING,
    EXPERIMENT,
    GRAPHS,
    HISTORY,
    MODEL,
    NETWORK,
    PREDICTIONS,
    REPORT,
    RESULT,
    RUNS,
)
from layerline.runs.record import is_ours

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    from layerline.runs.history import EpochRow
    from layerline.runs.record import Record

_LONGEST_STEM: Final = 80
_LONGEST_NAME: Final = 255
"""Bytes of a file's name, where the system does not say."""


class RunFolder:
    """The folder that a run writes into. Final; made by `named` or `numbered`, and on the disk only after `start`."""

    def __init__(self, path: Path, *, force: bool, numbered: bool) -> None:
        """Keep where the folder will be; `named` and `numbered` are the ways to say so."""
        self.given = path
        """As the user wrote it: what messages say."""
        self.path = path.absolute()
        """Where it is, whatever folder becomes the current one."""
        self._force = force
        self._numbered = numbered
        self._lock: FolderLock | None = None
        self._rows = 0
        self._history_bytes = 0

    @classmethod
    def named(cls, out: Path, *, force: bool = False) -> RunFolder:
        """Return the folder the user named by --out, which must not exist, or with `force` must hold a run of ours.

        Raises UserError where it exists and may not be replaced, another training is writing to it, or it cannot be
        made.
        """
        if os.path.lexists(out):
            _check_replaceable(out, force)
            FolderLock(out).release()
        _check_writable(out)
        return cls(out, force=force, numbered=False)

    def inner(self, name: str) -> RunFolder:
        """Return the folder of a run that is to lie in this one. Raises UserError where it cannot be made."""
        with self.named_as_given():
            found = RunFolder.named(self.path / name)
        found.given = self.given / name
        return found

    @classmethod
    def numbered(cls, network: str, data: str, *, runs: Path = RUNS) -> RunFolder:
        """Return `<runs>/<network>-<data>-<number>` with the number after the highest that exists.

        Raises UserError where it cannot be made.
        """
        path = _next(runs, f"{plain(network, 'network')}-{plain(data, 'data')}")
        _check_writable(path)
        return cls(path, force=False, numbered=True)

    def start(self, network: str, record: Record) -> None:
        """Make the folder and write network.cnn (the text `network`), experiment.toml (the record), an empty history.

        A folder that is replaced loses every file a run writes, and keeps every other. Raises UserError where
        somebody else has made the folder since, or it cannot be written.
        """
        with self.named_as_given():
            new = self._make()
            self._lock = FolderLock(self.path)
            try:
                record.write(self.path / EXPERIMENT)
                self._remove_old_files()
                self._write(NETWORK, network.encode())
                self._write(HISTORY, b"")
            except UserError:
                if new:  # so that the same command can be given again
                    shutil.rmtree(self.path, ignore_errors=True)
                raise

    @classmethod
    def existing(cls, path: Path) -> RunFolder:
        """Return the folder of an earlier run, locked: nobody else writes to it until `release`.

        Raises UserError where it is no run, or another process is writing to it.
        """
        if not is_run(path):
            raise UserError(f"{path}: not the folder of a run", f"a run has an {EXPERIMENT} that layerline wrote")
        folder = cls(path, force=False, numbered=False)
        with folder.named_as_given():
            folder._lock = FolderLock(folder.path)
        return folder

    def go_on(self, history: Sequence[EpochRow]) -> None:
        """Go on after these epochs: history.jsonl has them and no others, and what told of an end is removed.

        So is what a killed process has left half-written.
        """
        whole.remove_unfinished(self.path)
        content = lines(history)
        with self.named_as_given():
            for name in (ENDING, RESULT, REPORT):
                try:
                    (self.path / name).unlink(missing_ok=True)
                except OSError as error:
                    raise whole.unwritable(self.path / name, error) from error
            self._write(HISTORY, content)
        self._rows, self._history_bytes = len(history), len(content)

    def append(self, history: Sequence[EpochRow]) -> None:
        """Add the epochs to history.jsonl that it does not have yet, flushed.

        Raises UserError where it is no longer there, or the disk is full: it then ends with a whole line, as before.
        """
        path = self.path / HISTORY
        added = lines(history[self._rows :])
        try:
            with path.open("r+b") as file:
                file.seek(self._history_bytes)
                try:
                    file.write(added)
                    file.flush()
                except OSError:
                    file.truncate(self._history_bytes)
                    raise
        except OSError as error:
            raise whole.unwritable(path, error, len(added)) from error
        self._rows, self._history_bytes = len(history), self._history_bytes + len(added)

    def release(self) -> None:
        """Let others write to the folder."""
        if self._lock is not None:
            self._lock.release()

    def lost(self) -> str | None:
        """Return what became of the folder where the run's files are no longer in it; None where they are."""
        try:
            (self.path / EXPERIMENT).stat()
        except (FileNotFoundError, NotADirectoryError):
            if not os.path.lexists(self.path):
                return "is no longer there"
            return "is no longer the folder of the run" if self.path.is_dir() else "is now a file"
        except OSError:  # it may not be looked into: what could not be written says why
            return None
        return None

    def words(self, text: str) -> str:
        """Return a text with the folder named as the user wrote it."""
        return text.replace(str(self.path), str(self.given))

    def as_given(self, error: UserError) -> UserError:
        """Return the error with the folder named as the user wrote it."""
        error.message = self.words(error.message)
        error.help = None if error.help is None else self.words(error.help)
        error.args = (error.message,)
        return error

    @contextlib.contextmanager
    def named_as_given(self) -> Iterator[None]:
        """Let a UserError name the folder as the user wrote it."""
        try:
            yield
        except UserError as error:
            raise self.as_given(error)  # noqa: B904 - it is the same one

    def __enter__(self) -> Self:
        """Return the folder; it is released at the end."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Release it."""
        self.release()

    def _make(self) -> bool:
        """Make the folder; return whether it was not there."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            while True:
                new = not self.path.exists()
                try:
                    self.path.mkdir(exist_ok=self._force)
                    whole.flush_folder(self.path.parent)
                    return new
                except FileExistsError:
                    if not self._numbered:
                        raise UserError(
                            f"--out {self.given}: exists since a moment ago", "choose another name"
                        ) from None
                    self.path = _next(self.path.parent, self.path.name.rpartition("-")[0])
                    self.given = self.given.with_name(self.path.name)
        except OSError as error:
            raise whole.unwritable(self.path, error) from error

    def _remove_old_files(self) -> None:
        """Remove what an earlier run left, by name; experiment.toml is new already, so the folder stays ours."""
        graphs = [f"{graph}.{ending}" for graph in GRAPHS for ending in ("png", "svg")]
        try:
            for name in (NETWORK, HISTORY, RESULT, ENDING, PREDICTIONS, MODEL, REPORT, *graphs):
                (self.path / name).unlink(missing_ok=True)
            checkpoints = self.path / CHECKPOINTS
            if checkpoints.is_dir() and not checkpoints.is_symlink():
                shutil.rmtree(checkpoints)
        except OSError as error:
            raise whole.unwritable(self.path, error) from error

    def _write(self, name: str, content: bytes | memoryview) -> None:
        whole.write(self.path / name, (content,))


def plain(text: str, otherwise: str) -> str:
    """Return a name made of letters, digits, dots, dashes and underscores, fit for a folder on any system."""
    kept = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in text)
    return kept[:_LONGEST_STEM].strip(".-") or otherwise


def _next(runs: Path, stem: str) -> Path:
    numbers = [_number(entry.name, stem) for entry in runs.iterdir()] if runs.is_dir() else []
    return runs / f"{stem}-{max(numbers, default=0) + 1}"


def _number(name: str, stem: str) -> int:
    head, _, tail = name.rpartition("-")
    return int(tail) if head == stem and tail.isascii() and tail.isdecimal() and len(tail) < 10 else 0


def _check_replaceable(out: Path, force: bool) -> None:
    if not out.is_dir():
        what = "a link that leads nowhere" if out.is_symlink() else "a file, not a folder"
        raise UserError(f"--out {out}: is {what}", "choose another name")
    if not force:
        raise UserError(f"--out {out}: exists already", "choose another name, or replace an old run with --force")
    if not is_run(out):
        raise UserError(
            f"--out {out}: exists, and holds no {EXPERIMENT} written by layerline",
            "--force replaces only the folder of an earlier run: choose another name",
        )


def is_run(folder: Path) -> bool:
    """Return whether a folder is one that a run has written."""
    return is_ours(folder / EXPERIMENT)


def _check_writable(path: Path) -> None:
    """Raise UserError where the nearest folder that exists is not one, or may not be written, or takes no such name."""
    other = "choose another place by --out"
    try:
        nearest = next(folder for folder in (path, *path.absolute().parents) if os.path.lexists(folder))
        longest = os.pathconf(nearest, "PC_NAME_MAX") if hasattr(os, "pathconf") else _LONGEST_NAME
        nearest.stat()
    except OSError as error:
        raise UserError(f"{display.name(str(path), 200)}: cannot be made: {error.strerror}", other) from error
    if not nearest.is_dir():
        raise UserError(f"{path}: cannot be made, {nearest} is a file", other)
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"{path}: cannot be made, {nearest} may not be written", other)
    for name in path.absolute().relative_to(nearest.absolute()).parts:
        if len(os.fsencode(name)) > longest:
            raise UserError(
                f"{display.name(name)}: has {len(os.fsencode(name)):,d} bytes, a name may have {longest}", other
            )
