"""The folder `checkpoints/` of a run: what is written there, what is kept, and what is found there again.

Which checkpoint is the latest is told by looking at all of them, never by a note that could point to nothing: each file
says by its name how far it is, and holds a SHA-256 over all its bytes. docs/checkpoints.md is the definition.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from layerline import __version__
from layerline.errors import UserError
from layerline.files import tensors, whole
from layerline.numbers import display
from layerline.runs.checkpoint.identity import Identity
from layerline.runs.checkpoint.snapshot import Snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from layerline.files.tensors import Tensors

FORMAT: Final = "layerline checkpoint"
FORMAT_VERSION: Final = 1
KEPT: Final = 2
"""The newest that stay; the one of the best epoch stays beside them."""
_NAME: Final = re.compile(r"epoch-([0-9]{1,9})(?:-step-([0-9]{1,12}))?\.safetensors", re.ASCII)
_DAMAGED: Final = ".damaged"

Position = tuple[int, int]
"""(finished epochs, steps of the next)."""


@final
class _OtherVersionError(UserError):
    """A whole checkpoint, in a version of the format that this reader does not know."""


@dataclass(frozen=True, eq=False)
class Latest:
    """The newest checkpoint that is whole."""

    path: Path
    snapshot: Snapshot
    identity: Identity
    damaged: tuple[str, ...]
    """Newer ones that are not, a sentence each."""


@final
class Checkpoints:
    """The checkpoints of one run. One process at a time: see `RunFolder.hold`."""

    def __init__(self, folder: Path) -> None:
        """Keep where they are; the folder is made with the first of them."""
        self.folder = folder

    def save(self, snapshot: Snapshot, identity: Identity) -> Path:
        """Write a checkpoint, read it again and compare, then remove what is no longer needed; return its path.

        Raises UserError where it cannot be written; those that were there are then as they were.
        """
        self._check_own()
        try:
            if not self.folder.is_dir():
                self.folder.mkdir(mode=0o700, exist_ok=True)
                whole.flush_folder(self.folder.parent)
        except OSError as error:
            raise whole.unwritable(self.folder, error) from error
        path = self.folder / name_of(snapshot.position)
        texts = {
            "format": FORMAT,
            "format_version": str(FORMAT_VERSION),
            "layerline": __version__,
            "identity": identity.text,
            **snapshot.texts(),
        }
        tensors.write(path, snapshot.arrays(), texts, mode=whole.PRIVATE, verify=True)
        self._remove_old(snapshot)
        return path

    def latest(self) -> Latest | None:
        """Return the newest checkpoint that is whole, None where there is none at all.

        What a killed process left half-written is removed. Raises UserError where there are some and none is whole, and
        where the newest is of another version of the format: going on before it would lose what it holds.
        """
        self._check_own()
        whole.remove_unfinished(self.folder)
        damaged: list[str] = []
        for position, path in self._listed():
            try:
                return Latest(path, *_read(path, position), tuple(damaged))
            except _OtherVersionError:
                raise
            except UserError as error:
                damaged.append(error.message)
        if damaged:
            raise UserError(
                f"{self.folder}: no checkpoint is whole: {damaged[0]}",
                "start again: layerline train experiment.toml of that folder, with --out and another name",
            )
        return None

    def _check_own(self) -> None:
        """Raise UserError where the folder is a link: a run makes none, and files elsewhere would be removed."""
        if self.folder.is_symlink():
            raise UserError(
                f"{self.folder}: is a link, and checkpoints are neither read nor written through one",
                "remove the link, or put a copy of the folder it leads to in its place",
            )

    def set_aside(self, found: Latest) -> None:
        """Give the damaged checkpoints that are newer than `found` another name: they are no checkpoints any more."""
        for position, path in self._listed():
            if position > found.snapshot.position:
                with contextlib.suppress(OSError):
                    path.replace(path.with_name(path.name + _DAMAGED))

    def _listed(self) -> list[tuple[Position, Path]]:
        """Return the checkpoints by their names, the newest first."""
        try:
            entries = list(self.folder.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise UserError(f"{self.folder}: cannot be read: {error.strerror}") from error
        found = [(_position(match), path) for path in entries if (match := _NAME.fullmatch(path.name))]
        return sorted(found, reverse=True)

    def _remove_old(self, snapshot: Snapshot) -> None:
        """Remove all but the newest and that of the best epoch; what cannot be listed or removed stays."""
        listed = []
        with contextlib.suppress(UserError):
            listed = [(position, path) for position, path in self._listed() if position <= snapshot.position]
        for position, path in listed[KEPT:]:
            if position != (snapshot.best_epoch, 0):
                with contextlib.suppress(OSError):
                    path.unlink()


def name_of(position: Position) -> str:
    """Return the file name of a checkpoint: `epoch-7.safetensors`, or within the next epoch `epoch-8-step-120.…`."""
    epochs, step = position
    return f"epoch-{epochs + 1}-step-{step}.safetensors" if step else f"epoch-{epochs}.safetensors"


def _position(match: re.Match[str]) -> Position:
    epoch, step = int(match[1]), int(match[2] or 0)
    return (epoch - 1, step) if step else (epoch, 0)


def _read(path: Path, position: Position) -> tuple[Snapshot, Identity]:
    """Return what a checkpoint holds. Raises UserError where it is not whole, or not a checkpoint of that name."""
    held = tensors.read(path)
    if held.metadata.get("format") != FORMAT:
        raise UserError(f"{path}: not a checkpoint of layerline")
    version = held.metadata.get("format_version", "")
    if version != str(FORMAT_VERSION):
        raise _OtherVersionError(
            f"{path}: made by layerline {display.name(held.metadata.get('layerline', '?'))} in version "
            f"{display.name(version)} of the format, this is {__version__} with version {FORMAT_VERSION}",
            "go on with the version that wrote it",
        )
    try:
        snapshot, identity = _parsed(held)
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UserError(f"{path}: not what a checkpoint holds: {error}") from error
    if snapshot.position != position:
        raise UserError(f"{path}: its content is of {name_of(snapshot.position)}")
    return snapshot, identity


def _parsed(held: Tensors) -> tuple[Snapshot, Identity]:
    identity = Identity.read(held.metadata["identity"])
    return Snapshot.of(held.arrays, held.metadata, len(identity.classes)), identity
