"""TRAIN: the run that a model file lies in, as far as it tells what the model was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

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
    """What a run says of its data."""

    options: Mapping[str, Any]
    """Its experiment.toml, by the keys of experiment.options; paths are as seen from here."""
    fingerprint: str | None
    held_back: NDArray[np.int64] | None
    """Which images were not trained on, of those that test and validation were cut from; None where it is not told."""

    @property
    def seed(self) -> int:
        """Return what its intervals were drawn by."""
        return int(self.options.get("seed", 0))

    def reading(self, data: str | None) -> dict[str, Any]:
        """Return the options that `data` is read and cut by: the run's own, or for other data the share of its test.

        data: as it was asked for; None: the run's own.
        """
        ours = str(self.options.get("data", ""))
        cut = {split: Own(self.options[split]) for split in CUT if split in self.options}
        if data is None or _same(data, ours):
            return {**self.options, **cut, "data": ours if data is None else data}
        kept = {key: self.options[key] for key in _SEEDS if key in self.options}
        return {"data": data, **kept} | ({"test": cut["test"]} if "test" in cut else {})

    def is_of(self, data: Dataset) -> bool:
        """Return whether the run was trained on this data, by its content."""
        return self.fingerprint == data.fingerprint


def find(model: Path) -> RunOfModel | None:
    """Return the run that a model lies in; None where it lies in none. Raises UserError where its files are damaged."""
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
    """Return how many of the images that are looked at were not held back from the training; None where it is not told.

    looked_at: the sets by their names.
    """
    if run is None or not run.is_of(data) or run.held_back is None:
        return None
    return sum(int((~np.isin(split.indices, run.held_back)).sum()) for split in _cut(data, looked_at))


def _cut(data: Dataset, looked_at: Sequence[tuple[str, Split]]) -> list[Split]:
    """Return the sets that are of the images that a training could take."""
    return [split for name, split in looked_at if name == "train" or name in data.cuts]


def remark(run: RunOfModel | None, data: Dataset, looked_at: Sequence[tuple[str, Split]]) -> str | None:
    """Return what must be said of images that the model may have been trained on, or that are only some of all.

    None where they are known to be new to the model, or the data itself holds them back.
    """
    if not _cut(data, looked_at):
        return None
    count = seen(run, data, looked_at)
    if count == 0:
        chosen = all(name == "validation" for name, _ in looked_at)
        return "The epoch was chosen by these images: new ones may give somewhat less." if chosen else None
    if count is not None:
        total = sum(len(split) for _, split in looked_at)
        some = f"{display.count(count)} of these {display.count(total)} images were not"
        return (
            f"{'None of these images was' if count == total else some} held back from the training: the figures do not "
            "say how the model does on new ones."
        )
    if run is None:
        why = "The model lies in no run, so what it was trained on is not known."
    elif not run.is_of(data):
        why = "The data is not, or no longer, that of the training."
    else:
        why = "The run does not say which images it held back."
    if any(name == "train" for name, _ in looked_at):
        return f"{why} If the model was trained on some of these images, the figures say little of new ones."
    ((name, _),) = looked_at
    return (
        f"{why} These are the images that --{name} {_share(data.cuts[name])} cuts off, as a training would; if all are "
        "new to the model, use --split all."
    )


def _share(share: Any) -> str:
    return f"{share:g}" if isinstance(share, float) else str(share)


def _same(given: str, recorded: str) -> bool:
    """Return whether two names or paths are of the same data; of a path that is not there only the end is known."""
    if given == recorded:
        return True
    here, there = Path(given), Path(recorded)
    if not here.exists():
        return False
    return here.samefile(there) if there.exists() else here.resolve().name == recorded
