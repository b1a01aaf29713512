"""TRAIN: the run that a model file belongs to, and what it records about the training data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from layerline.data.folds import Fold
from layerline.data.splitting import Own
from layerline.experiment import toml_file
from layerline.numbers import display
from layerline.runs import saved
from layerline.runs.folder import is_run
from layerline.runs.names import EXPERIMENT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from layerline.data.dataset import Dataset, Split

CUT: Final = ("validation", "test")
_SEEDS: Final = ("seed", "split_seed")


@final
@dataclass(frozen=True, eq=False)
class RunOfModel:
    """What a run records about its data."""

    options: Mapping[str, Any]
    """Its experiment.toml, by the keys of experiment.options; paths are relative to the current directory."""
    fingerprint: str | None
    held_back: NDArray[np.int64] | None
    """Indices of the images not trained on, among those that test and validation were split from; None if unknown."""

    @property
    def seed(self) -> int:
        """Return the seed of its intervals."""
        return int(self.options.get("seed", 0))

    def reading(self, data: str | None) -> dict[str, Any]:
        """Return the options to load and split `data`: the run's own, or for other data the fraction of its test set.

        data: as specified; None: the run's own.
        """
        ours = str(self.options.get("data", ""))
        cut = {split: Own(self.options[split]) for split in CUT if split in self.options}
        if data is None or _same(data, ours):
            own = {split: share for split, share in cut.items() if not isinstance(share.otherwise, Fold)}
            return {**self.options, **own, "data": ours if data is None else data}
        seeds = {key: self.options[key] for key in _SEEDS if key in self.options}
        return {"data": data, **seeds} | ({"test": cut["test"]} if "test" in cut else {})

    def is_of(self, data: Dataset) -> bool:
        """Return whether the run was trained on this data, by its fingerprint."""
        return self.fingerprint == data.fingerprint


def find(model: Path) -> RunOfModel | None:
    """Return the run that a model belongs to, or None. Raises UserError if the run's files are damaged."""
    folder = model if model.is_dir() else model.parent
    if not is_run(folder):
        return None
    files = saved.read(folder)
    options = toml_file.read(folder / EXPERIMENT).values
    indices = [files.predictions[split].index for split in CUT if split in options and split in files.predictions]
    known = [index for index in indices if index is not None]
    complete = len(known) == sum(options.get(split, "none") != "none" for split in CUT)
    held_back = np.concatenate([np.zeros(0, np.int64), *known]) if complete else None
    return RunOfModel(options, files.record.about.data.fingerprint, held_back)


def seen(run: RunOfModel | None, data: Dataset, looked_at: Sequence[tuple[str, Split]]) -> int | None:
    """Return how many of the evaluated images were not held out from training; None if unknown.

    looked_at: the evaluated splits by name.
    """
    if run is None or not run.is_of(data) or run.held_back is None:
        return None
    return sum(int((~np.isin(split.indices, run.held_back)).sum()) for split in _cut(data, looked_at))


def _cut(data: Dataset, looked_at: Sequence[tuple[str, Split]]) -> list[Split]:
    """Return the splits whose images could have been used for training."""
    return [split for name, split in looked_at if name == "train" or name in data.cuts]


def remark(run: RunOfModel | None, data: Dataset, looked_at: Sequence[tuple[str, Split]]) -> str | None:
    """Return a remark if the model may have been trained on the images, or if they are only a part of the data.

    None if they are known to be new to the model, or the data has a separate test set.
    """
    if not _cut(data, looked_at):
        return None
    count = seen(run, data, looked_at)
    if count == 0:
        chosen = all(name == "validation" for name, _ in looked_at)
        return (
            "These images were used to choose the epoch: expect somewhat lower scores on new ones." if chosen else None
        )
    if count is not None:
        total = sum(len(split) for _, split in looked_at)
        some = "All of these" if count == total else f"{display.count(count)} of these {display.count(total)}"
        limited = run is not None and "limit" in run.options
        used = "may have been used in training" if limited else "were used in training"
        return f"{some} images {used}: the scores do not show how the model does on new images."
    if run is None:
        why = "The model file is not in a run folder, so its training data is unknown."
    elif not run.is_of(data):
        why = "The data is not, or no longer, the training data."
    else:
        why = "The run does not record which images it held out."
    if any(name == "train" for name, _ in looked_at):
        return f"{why} If the model was trained on some of these images, the scores say little about new ones."
    ((name, _),) = looked_at
    return (
        f"{why} These are the images that --{name} {_size(data.cuts[name])} holds out from training; if all images are "
        "new to the model, use --split all."
    )


def _size(size: Any) -> str:
    return f"{size:g}" if isinstance(size, float) else str(size)


def _same(given: str, recorded: str) -> bool:
    """Return whether two names or paths mean the same data; paths that do not exist are compared by their last part."""
    if given == recorded:
        return True
    here, there = Path(given), Path(recorded)
    if not here.exists():
        return False
    return here.samefile(there) if there.exists() else here.resolve().name == recorded
