"""The run folder: its name, its lock, and how it is created, appended to and replaced.

Nothing is written before `start`. Its files contain only relative paths, and no user or machine names.
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
"""Maximum bytes of a file name, if the system does not report one."""


class RunFolder:
    """The folder that a run writes to. Final; made by `named` or `numbered`, created on disk by `start`."""

    def __init__(self, path: Path, *, force: bool, numbered: bool) -> None:
        """Store where the folder will be; use `named` or `numbered` instead."""
        self.given = path
        """The path as the user wrote it, for messages."""
        self.path = path.absolute()
        """The absolute path, independent of the current directory."""
        self._force = force
        self._numbered = numbered
        self._lock: FolderLock | None = None
        self._rows = 0
        self._history_bytes = 0

    @classmethod
    def named(cls, out: Path, *, force: bool = False) -> RunFolder:
        """Return the folder of --out, which must not exist, or with `force` must be a run folder.

        Raises UserError if it exists and must not be replaced, if another training is writing to it, or if it cannot be
        created.
        """
        if os.path.lexists(out):
            _check_replaceable(out, force)
            FolderLock(out).release()
        _check_writable(out)
        return cls(out, force=force, numbered=False)

    def inner(self, name: str) -> RunFolder:
        """Return the folder of a run inside this one. Raises UserError if it cannot be created."""
        with self.named_as_given():
            found = RunFolder.named(self.path / name)
        found.given = self.given / name
        return found

    @classmethod
    def numbered(cls, network: str, data: str, *, runs: Path = RUNS) -> RunFolder:
        """Return `<runs>/<network>-<data>-<number>` with the number after the highest that exists.

        Raises UserError if it cannot be created.
        """
        path = _next(runs, f"{plain(network, 'network')}-{plain(data, 'data')}")
        _check_writable(path)
        return cls(path, force=False, numbered=True)

    def start(self, network: str, record: Record) -> None:
        """Create the folder with network.cnn (the text `network`), experiment.toml (the record) and an empty history.

        If a folder is replaced, every file that a run writes is deleted and all others are kept. Raises UserError if
        the folder has been created in the meantime, or cannot be written to.
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
                if new:  # so that the same command can be repeated
                    shutil.rmtree(self.path, ignore_errors=True)
                raise

    @classmethod
    def existing(cls, path: Path) -> RunFolder:
        """Return the folder of an earlier run, locked: no other process writes to it until `release`.

        Raises UserError if it is not a run folder, or another process is writing to it.
        """
        if not is_run(path):
            raise UserError(f"{path}: not a run folder", f"a run folder has an {EXPERIMENT} that layerline wrote")
        folder = cls(path, force=False, numbered=False)
        with folder.named_as_given():
            folder._lock = FolderLock(folder.path)
        return folder

    def go_on(self, history: Sequence[EpochRow]) -> None:
        """Prepare to resume after these epochs: history.jsonl then has exactly them.

        Removes the files that mark an end, and what a killed process left half-written.
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
        """Append the epochs that history.jsonl does not have yet, and flush.

        Raises UserError if the file no longer exists or the disk is full; it then still ends with a complete line.
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
        """Release the lock, so that other processes can write to the folder."""
        if self._lock is not None:
            self._lock.release()

    def lost(self) -> str | None:
        """Return what happened to the folder if the run's files are no longer in it; None if they are."""
        try:
            (self.path / EXPERIMENT).stat()
        except (FileNotFoundError, NotADirectoryError):
            if not os.path.lexists(self.path):
                return "no longer exists"
            return "is no longer the folder of the run" if self.path.is_dir() else "is now a file"
        except OSError:  # not readable: the error of the failed write tells the reason
            return None
        return None

    def reworded(self, text: str) -> str:
        """Return a text with the folder's path as the user wrote it."""
        return text.replace(str(self.path), str(self.given))

    def as_given(self, error: UserError) -> UserError:
        """Return the error with the folder's path as the user wrote it."""
        error.message = self.reworded(error.message)
        error.help = None if error.help is None else self.reworded(error.help)
        error.args = (error.message,)
        return error

    @contextlib.contextmanager
    def named_as_given(self) -> Iterator[None]:
        """Make UserErrors raised inside give the folder's path as the user wrote it."""
        try:
            yield
        except UserError as error:
            raise self.as_given(error)  # noqa: B904 - it is the same error

    def __enter__(self) -> Self:
        """Return the folder; it is released on exit."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Release it."""
        self.release()

    def _make(self) -> bool:
        """Create the folder; return whether it did not exist before."""
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
                            f"--out {self.given} was just created by another process", "choose another name"
                        ) from None
                    self.path = _next(self.path.parent, self.path.name.rpartition("-")[0])
                    self.given = self.given.with_name(self.path.name)
        except OSError as error:
            raise whole.unwritable(self.path, error) from error

    def _remove_old_files(self) -> None:
        """Remove the files of an earlier run, by name; experiment.toml is already new, so it stays a run folder."""
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
    """Return a name of letters, digits, dots, dashes and underscores, valid for a folder on any system."""
    safe = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in text)
    return safe[:_LONGEST_STEM].strip(".-") or otherwise


def _next(runs: Path, stem: str) -> Path:
    numbers = [_number(entry.name, stem) for entry in runs.iterdir()] if runs.is_dir() else []
    return runs / f"{stem}-{max(numbers, default=0) + 1}"


def _number(name: str, stem: str) -> int:
    head, _, tail = name.rpartition("-")
    return int(tail) if head == stem and tail.isascii() and tail.isdecimal() and len(tail) < 10 else 0


def _check_replaceable(out: Path, force: bool) -> None:
    if not out.is_dir():
        what = "a broken link" if out.is_symlink() else "a file, not a folder"
        raise UserError(f"--out {out} is {what}", "choose another name")
    if not force:
        raise UserError(f"--out {out} already exists", "choose another name, or replace an old run with --force")
    if not is_run(out):
        raise UserError(
            f"--out {out} already exists and has no {EXPERIMENT} written by layerline",
            "--force only replaces the folder of an earlier run: choose another name",
        )


def is_run(folder: Path) -> bool:
    """Return whether a folder is a run folder."""
    return is_ours(folder / EXPERIMENT)


def _check_writable(path: Path) -> None:
    """Raise UserError if the nearest existing parent is not a writable folder, or does not allow such a name."""
    other = "choose another place with --out"
    try:
        nearest = next(folder for folder in (path, *path.absolute().parents) if os.path.lexists(folder))
        longest = os.pathconf(nearest, "PC_NAME_MAX") if hasattr(os, "pathconf") else _LONGEST_NAME
        nearest.stat()
    except OSError as error:
        raise UserError(f"{display.name(str(path), 200)}: cannot be created: {error.strerror}", other) from error
    if not nearest.is_dir():
        raise UserError(f"{path}: cannot be created: {nearest} is a file", other)
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"{path}: cannot be created: no permission to write to {nearest}", other)
    for name in path.absolute().relative_to(nearest.absolute()).parts:
        if len(os.fsencode(name)) > longest:
            raise UserError(
                f"{display.name(name)}: the name has {len(os.fsencode(name)):,d} bytes; at most {longest} are allowed",
                other,
            )
