"""The folder `checkpoints/` of a run: which checkpoints are written, which are kept, and how the latest is found.

The latest checkpoint is found by listing all of them, never by a pointer that could be stale: each file name contains
the position, and each file a SHA-256 over all its bytes. docs/checkpoints.md defines the format.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
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
    from collections.abc import Mapping
    from pathlib import Path

    from layerline.files.tensors import Tensors

FORMAT: Final = "layerline checkpoint"
FORMAT_VERSION: Final = 1
KEPT: Final = 2
"""Number of newest checkpoints that are kept, along with the one of the best epoch."""
_NAME: Final = re.compile(r"epoch-([0-9]{1,9})(?:-step-([0-9]{1,12}))?\.safetensors", re.ASCII)
_DAMAGED: Final = ".damaged"

Position = tuple[int, int]
"""(finished epochs, steps of the next)."""


@final
class _OtherVersionError(UserError):
    """An intact checkpoint in a format version that this reader does not support."""


@dataclass(frozen=True, eq=False)
class Latest:
    """The newest intact checkpoint."""

    path: Path
    snapshot: Snapshot
    identity: Identity
    model: Mapping[str, str]
    """The metadata of the run's model file, except for the weights; empty in a checkpoint of an older version."""
    damaged: tuple[str, ...] = ()
    """A message for each newer, damaged checkpoint."""


@final
class Checkpoints:
    """The checkpoints of one run, used by one process at a time: `RunFolder` locks the run folder."""

    def __init__(self, folder: Path) -> None:
        """Store the path of the folder, which is created with the first checkpoint."""
        self.folder = folder

    def save(self, snapshot: Snapshot, identity: Identity, model: Mapping[str, str] | None = None) -> Path:
        """Write a checkpoint, verify it by reading it back, then remove old ones; return its path.

        model: the metadata of the run's model file, so that the best weights can be used before the run is finished.
        Raises UserError if it cannot be written; existing checkpoints are then unchanged.
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
            **({} if model is None else {"model": json.dumps(dict(model))}),
        }
        tensors.write(path, snapshot.arrays(), texts, mode=whole.PRIVATE, verify=True)
        self._remove_old(snapshot)
        return path

    def latest(self) -> Latest | None:
        """Return the newest intact checkpoint, or None if there are no checkpoints.

        What a killed process left half-written is removed. Raises UserError if all checkpoints are damaged, or if the
        newest has another format version: resuming from an older one would lose its work.
        """
        self._check_own()
        whole.remove_unfinished(self.folder)
        return self.newest()

    def newest(self) -> Latest | None:
        """Return what `latest` does, but change nothing, because another process may be writing."""
        self._check_own()
        damaged: list[str] = []
        for position, path in self._listed():
            try:
                return dataclasses.replace(_read(path, position), damaged=tuple(damaged))
            except _OtherVersionError:
                raise
            except UserError as error:
                damaged.append(error.message)
        if damaged:
            raise UserError(
                f"{self.folder}: all checkpoints are damaged: {damaged[0]}",
                "start over: layerline train with the experiment.toml of that folder, and --out with another name",
            )
        return None

    def _check_own(self) -> None:
        """Raise UserError if the folder is a link: a run creates none, and files elsewhere would be removed."""
        if self.folder.is_symlink():
            raise UserError(
                f"{self.folder} is a link; checkpoints are never read or written through links",
                "remove the link, or replace it with a copy of the folder it points to",
            )

    def set_aside(self, found: Latest) -> None:
        """Rename the damaged checkpoints that are newer than `found`, so that they are no longer listed."""
        for position, path in self._listed():
            if position > found.snapshot.position:
                with contextlib.suppress(OSError):
                    path.replace(path.with_name(path.name + _DAMAGED))

    def _listed(self) -> list[tuple[Position, Path]]:
        """Return the checkpoints with their positions, newest first."""
        try:
            entries = list(self.folder.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise UserError(f"{self.folder}: cannot be read: {error.strerror}") from error
        found = [(_position(match), path) for path in entries if (match := _NAME.fullmatch(path.name))]
        return sorted(found, reverse=True)

    def _remove_old(self, snapshot: Snapshot) -> None:
        """Remove all except the newest and that of the best epoch, ignoring what cannot be listed or removed."""
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


def _read(path: Path, position: Position) -> Latest:
    """Return the contents of a checkpoint. Raises UserError if it is damaged, or does not match its name."""
    held = tensors.read(path)
    if held.metadata.get("format") != FORMAT:
        raise UserError(f"{path}: not a layerline checkpoint")
    version = held.metadata.get("format_version", "")
    if version != str(FORMAT_VERSION):
        raise _OtherVersionError(
            f"{path}: written by layerline {display.name(held.metadata.get('layerline', '?'))} in format version "
            f"{display.name(version)}, this is layerline {__version__} with format version {FORMAT_VERSION}",
            "resume with the version that wrote it",
        )
    try:
        found = _parsed(path, held)
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UserError(f"{path}: not a valid checkpoint: {error}") from error
    if found.snapshot.position != position:
        raise UserError(f"{path}: its content is that of {name_of(found.snapshot.position)}")
    return found


def _parsed(path: Path, held: Tensors) -> Latest:
    identity = Identity.read(held.metadata["identity"])
    model = json.loads(held.metadata.get("model", "{}"))
    if not isinstance(model, dict) or not all(isinstance(value, str) for value in model.values()):
        raise TypeError("its model must be an object of texts")
    return Latest(path, Snapshot.of(held.arrays, held.metadata, len(identity.classes)), identity, model)
