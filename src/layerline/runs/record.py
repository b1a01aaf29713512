"""The record of a run: experiment.toml with every default written out, and what the run depended on besides."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.experiment.options import DATA_KEYS
from layerline.experiment.toml_file import ABOUT
from layerline.files.versions import versions
from layerline.runs.names import NETWORK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from layerline.data.dataset import Dataset
    from layerline.engines.engine import Engine
    from layerline.experiment.experiment import Experiment
    from layerline.network import Network
    from layerline.recipe import Recipe

_HOMES: Final = tuple(map(Path, ("/home", "/Users", "/media", "/run/media", "/Volumes", "C:\\Users")))
"""What lies in one of these is called after a user, or a user's disk."""


def record(
    network: Network,
    data: Dataset,
    recipe: Recipe,
    engine: Engine,
    experiment: Experiment | None,
    folder: Path,
    reasons: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the content of experiment.toml for the run in `folder`.

    experiment: None for a training from Python, of whose data only the name is known, and not where it lies.
    reasons: why values of the recipe were chosen, by their keys.
    """
    facts = engine.facts()
    train: dict[str, Any] = {**recipe.as_dict(), "engine": engine.name}
    if "threads" in facts:
        train["threads"] = facts["threads"]
    return {
        "network": {"file": NETWORK},
        "data": _data_section(data, experiment, folder),
        "train": train,
        ABOUT: {
            "network": {"name": network.name, "parameters": network.parameter_count},
            "data": _about_data(data, experiment),
            "versions": versions(),
            "engine": {key: value for key, value in facts.items() if key != "threads" and value is not None},
            **({"assumed": dict(reasons)} if reasons else {}),
        },
    }


def _data_section(data: Dataset, experiment: Experiment | None, folder: Path) -> dict[str, Any]:
    section = {key: _plain(value) for key, value in data.cuts.items()}
    section["data"] = data.name
    if experiment is not None:
        section["data"] = _path_from(folder, experiment.source)
        if "split_seed" in experiment.cuts:
            section["split_seed"] = experiment.cuts["split_seed"]
        if experiment.allow:
            section["allow"] = list(experiment.allow)
        for key in ("data_dir", "labels"):
            if key in experiment.cuts:
                section[key] = _path_from(folder, experiment.cuts[key])
    return {key: section[key] for key in DATA_KEYS if key in section}


def _about_data(data: Dataset, experiment: Experiment | None) -> dict[str, Any]:
    splits = {name: split for name in ("train", "validation", "test") if (split := getattr(data, name)) is not None}
    C, H, W = data.shape
    return {
        "name": data.name,
        "fingerprint": data.fingerprint,
        "classes": list(data.classes),
        "image": [C, H, W],
        "images": {name: len(split) for name, split in splits.items()},
        "counts": {name: _counts(split.labels, len(data.classes)) for name, split in splits.items()},
        "notes": [_without_way(note, experiment) for note in data.notes],
        "scale": list(data.scaling.scale),
        "shift": list(data.scaling.shift),
    }


def _counts(labels: NDArray[np.int32], K: int) -> list[int]:
    counts: list[int] = np.bincount(labels, minlength=K).tolist()
    return counts


def _without_way(note: str, experiment: Experiment | None) -> str:
    """Return a note about the data that names no folder above it, for that may tell a user's name."""
    if experiment is None or not Path(experiment.source).exists():
        return note
    given = Path(experiment.source)
    for way in (str(given.resolve()), experiment.source):
        note = note.replace(way, given.resolve().name)
    return note


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _path_from(folder: Path, given: str) -> str:
    """Return a path as seen from the run's folder; only its last part where the way there tells a user's name."""
    if not Path(given).exists():
        return given
    there, here = Path(given).resolve(), folder.resolve()
    if there.anchor != here.anchor:  # different drives
        return there.name
    telling = any(
        home in there.parents and (home not in here.parents or _below(home, there) != _below(home, here))
        for home in _HOMES
    )
    return there.name if telling else Path(os.path.relpath(there, here)).as_posix()


def _below(home: Path, path: Path) -> str:
    """Return the name of the folder in `home` that `path` is in."""
    return path.parts[len(home.parts)]
