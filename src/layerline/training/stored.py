"""TRAIN: a model on disk: a model file, that of a run, or the best checkpoint of a run that is not finished."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

from layerline.errors.wrong_calls import answered
from layerline.files.tensors import FileError
from layerline.runs import model_file
from layerline.runs.checkpoint import Checkpoints
from layerline.runs.folder import is_run
from layerline.runs.names import CHECKPOINTS, FOLDS, MODEL, SEEDS
from layerline.training.model import Model

if TYPE_CHECKING:
    import os

    from layerline.runs.model_file import ModelFile


@final
@dataclass(frozen=True, eq=False)
class StoredModel:
    """A model that was read from disk."""

    model: Model
    unfinished: int | None = None
    """For a run without a model file: the epoch that the weights are from, the best so far."""

    @property
    def note(self) -> str | None:
        """Return what to say about the weights of an unfinished run; None for a model file."""
        return note(self.unfinished)


def note(unfinished: int | None) -> str | None:
    """Return what to say about the weights of an unfinished run's best epoch; None for a model file."""
    return None if unfinished is None else f"unfinished run: weights from epoch {unfinished}, the best so far"


def stored(path: Path, *, threads: int | None = None, not_finite: bool = False) -> StoredModel:
    """Return the model of a model file or a run folder; of a run that was killed, its best weights so far.

    Raises FileError (a UserError) if there is none, or it cannot be read; see `load`.
    """
    held, epoch = read(path, not_finite=not_finite)
    card = held.card
    parts = (held.network, card.classes, card.scaling, held.weights)
    return StoredModel(Model(*parts, threads=threads, preprocessing=card.preprocessing), epoch)


def read(path: Path, *, not_finite: bool = False) -> tuple[ModelFile, int | None]:
    """Return the contents of a model file, also of a run, and for an unfinished run the epoch; see `stored`."""
    file = _file_of(path)
    if file is None:
        return _best_so_far(path, not_finite=not_finite)
    return model_file.read(file, not_finite=not_finite), None


@answered('load("model.safetensors")')
def load(path: str | os.PathLike[str], *, threads: int | None = None, not_finite: bool = False) -> Model:
    """Load the model from a model file or a run folder.

    If the run is not finished, the weights are those of its best epoch so far, with a UserWarning. threads: number of
    threads to predict with; default: all cores. not_finite: also accept weights that are NaN or infinite. Raises
    FileError (a UserError) if it is another kind of file, truncated, modified, or of a newer format. Code in a file is
    never executed.
    """
    found = stored(Path(path), threads=threads, not_finite=not_finite)
    if found.note is not None:
        warnings.warn(f"{path}: {found.note}", stacklevel=3)  # beyond `answered`, in the caller
    return found.model


def _file_of(path: Path) -> Path | None:
    """Return the path of a model file, also for a run folder; None for a run without one. Raises FileError."""
    try:
        file = path / MODEL if path.is_dir() else path
        there = file.exists()
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise FileError(f"{path}: cannot be read: {reason}", "check the path") from error
    if there:
        return file
    if is_run(path):
        return None
    raise _no_model(path)


def _no_model(path: Path) -> FileError:
    """Return the refusal of a path that is neither a model file nor a run: one of the runs in it, if there are any."""
    if (path / FOLDS).is_file() or (path / SEEDS).is_file():
        file = next((file for file in sorted(path.glob(f"*/{MODEL}"))), None)
        one = "" if file is None else f", such as {file.parent}"
        return FileError(f"{path} contains several runs, each with its own model", f"specify one of them{one}")
    what = f" is a folder without a {MODEL}" if path.is_dir() else ": no such file"
    return FileError(f"{path}{what}", "specify a model file or a run folder")


def _best_so_far(folder: Path, *, not_finite: bool) -> tuple[ModelFile, int]:
    """Return the best weights of a run without a model file, and their epoch. Raises UserError if there are none."""
    found = Checkpoints(folder / CHECKPOINTS).newest()
    resume = f"resume it: layerline train --resume {folder}"
    if found is None or found.snapshot.best is None:
        raise FileError(f"{folder}: the run has no finished epoch, so there is no model yet", resume)
    if not found.model:
        raise FileError(f"{folder}: the run is unfinished, and its checkpoints are of an older version", resume)
    held = model_file.checked(found.path, found.model, found.snapshot.best, "", not_finite=not_finite)
    return held, found.snapshot.best_epoch
