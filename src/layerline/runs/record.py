"""A run's experiment.toml: all options, defaults included, and everything else the run depended on."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from layerline.experiment.options import DATA_KEYS
from layerline.files import regular, whole
from layerline.files.versions import versions
from layerline.runs import schema, texts
from layerline.runs.names import NETWORK
from layerline.runs.texts import AGAIN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from layerline.data.dataset import Dataset
    from layerline.engines.interface import Engine
    from layerline.experiment.experiment import Experiment
    from layerline.network import Network
    from layerline.network.start import Start
    from layerline.recipe import Recipe

OURS: Final = "# Written by layerline: this folder is a run."
_HOMES: Final = tuple(map(Path, ("/home", "/Users", "/media", "/run/media", "/Volumes", "C:\\Users")))
"""Paths below one of these contain the name of a user, or of a user's disk."""
_KINDS: Final = {
    "data": {},
    "train": {"batch_size": schema.COUNT},
    "about": {
        "network": {"name": schema.TEXT, "parameters": schema.WHOLE},
        "data": {
            "name": schema.TEXT,
            "fingerprint": schema.TEXT,
            "classes": [schema.TEXT],
            "image": [schema.COUNT],
            "images": {schema.ANY: schema.WHOLE},
            "counts": {schema.ANY: [schema.WHOLE]},
            "notes": [schema.TEXT],
            "findings": [schema.TEXT],
            "scale": [schema.NUMBER],
            "shift": [schema.NUMBER],
        },
        "versions": {schema.ANY: schema.TEXT},
        "engine": {},
        "assumed": {schema.ANY: schema.TEXT},
        "start": {"digest": schema.TEXT, "epoch": schema.WHOLE},
    },
}


@dataclass(frozen=True)
class AboutNetwork:
    """The network that was trained."""

    name: str | None = None
    parameters: int | None = None


@dataclass(frozen=True)
class AboutData:
    """The data it was trained on; what a record does not have is None or empty."""

    name: str | None = None
    fingerprint: str | None = None
    classes: tuple[str, ...] = ()
    image: tuple[int, ...] = ()
    """Channels, height, width."""
    images: Mapping[str, int] = field(default_factory=dict)
    """Images per split."""
    counts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Images per class, by split."""
    notes: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    scale: tuple[float, ...] = ()
    """Factor for the values of each channel."""
    shift: tuple[float, ...] = ()
    """Then added to the values of each channel."""


@dataclass(frozen=True)
class AboutStart:
    """The weights that it started from; all None if they were drawn from the seed."""

    digest: str | None = None
    """SHA-256, as `network.start.digest` defines it."""
    epoch: int | None = None
    """The epoch of their run that they are from, if known."""


@dataclass(frozen=True)
class About:
    """Everything the run depended on besides its options."""

    network: AboutNetwork = AboutNetwork()
    data: AboutData = AboutData()
    versions: Mapping[str, str] = field(default_factory=dict)
    """Versions of layerline, Python and the packages that do the computations."""
    engine: Mapping[str, object] = field(default_factory=dict)
    """Properties of the machine, as reported by the engine."""
    assumed: Mapping[str, str] = field(default_factory=dict)
    """Reasons of automatic choices, by key."""
    start: AboutStart = AboutStart()


@dataclass(frozen=True)
class Record:
    """The contents of a run's experiment.toml. To train again, experiment.toml_file reads and checks its options."""

    data: Mapping[str, object] = field(default_factory=dict)
    """The options of [data] by key, unchecked."""
    train: Mapping[str, object] = field(default_factory=dict)
    """The options of [train] by key, unchecked."""
    about: About = About()

    @property
    def epochs(self) -> int | None:
        """The number of epochs to train for."""
        return _whole(self.train.get("epochs"))

    @property
    def batch_size(self) -> int | None:
        """The batch size."""
        return _whole(self.train.get("batch_size"))

    @classmethod
    def of(
        cls,
        network: Network,
        data: Dataset,
        recipe: Recipe,
        engine: Engine,
        experiment: Experiment | None,
        folder: Path,
        reasons: Mapping[str, str] | None = None,
        start: Start | None = None,
    ) -> Self:
        """Return the record of the run in `folder`.

        experiment: None for a training run with data in memory, of which only the name is known, not the path.
        reasons: reasons of automatic choices, by key of the recipe. start: the weights that it starts from.
        """
        facts = engine.facts()
        train: dict[str, object] = {**recipe.as_dict(), "engine": engine.name}
        if "threads" in facts:
            train["threads"] = facts["threads"]
        if start is not None and start.source is not None:
            train["start_from"] = _path_from(folder, start.source)
        about = About(
            AboutNetwork(network.name, network.parameter_count),
            _about_data(data, experiment),
            versions(),
            {key: value for key, value in facts.items() if key != "threads" and value is not None},
            dict(reasons or {}),
            AboutStart() if start is None else AboutStart(start.digest, start.epoch),
        )
        return cls(_data_section(data, experiment, folder), train, about)

    def as_dict(self) -> dict[str, Any]:
        """Return the tables of experiment.toml, without optional values that are None or empty."""
        about = dataclasses.asdict(self.about)
        for table in ("network", "start"):
            about[table] = {key: value for key, value in about[table].items() if value is not None}
        about["data"] = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in about["data"].items()
            if value is not None and (value or key != "findings")
        }
        for table in ("assumed", "start"):
            if not about[table]:
                del about[table]
        return {"network": {"file": NETWORK}, "data": dict(self.data), "train": dict(self.train), "about": about}

    def write(self, path: Path) -> None:
        """Write the file; its first line identifies a run folder. Raises UserError if it cannot be written."""
        import tomli_w

        whole.write(path, (f"{OURS}\n\n{tomli_w.dumps(self.as_dict())}".encode(),))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the record in a file. Raises UserError if it cannot be read or is damaged."""
        found = texts.of_toml(path)
        schema.check(path, found, _KINDS, AGAIN)
        about = found.get("about", {})
        network = about.get("network", {})
        return cls(
            found.get("data", {}),
            found.get("train", {}),
            About(
                AboutNetwork(network.get("name"), network.get("parameters")),
                _read_data(about.get("data", {})),
                about.get("versions", {}),
                about.get("engine", {}),
                about.get("assumed", {}),
                AboutStart(about.get("start", {}).get("digest"), about.get("start", {}).get("epoch")),
            ),
        )


def is_ours(path: Path) -> bool:
    """Return whether a file is an experiment.toml written by a run."""
    try:
        with regular.opened(path) as file:
            return file.read(len(OURS)) == OURS.encode()
    except OSError:
        return False


def _read_data(found: Mapping[str, Any]) -> AboutData:
    """Return the [about.data] table of a record, which has been checked."""
    return AboutData(
        found.get("name"),
        found.get("fingerprint"),
        image=tuple(found.get("image", ())),
        images=found.get("images", {}),
        counts={split: tuple(listed) for split, listed in found.get("counts", {}).items()},
        **{key: tuple(found.get(key, ())) for key in ("classes", "notes", "findings", "scale", "shift")},
    )


def _whole(value: object) -> int | None:
    return value if type(value) is int else None


def _data_section(data: Dataset, experiment: Experiment | None, folder: Path) -> dict[str, object]:
    section: dict[str, object] = {key: _plain(value) for key, value in data.cuts.items()}
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


def _about_data(data: Dataset, experiment: Experiment | None) -> AboutData:
    splits = {name: split for name in ("train", "validation", "test") if (split := getattr(data, name)) is not None}
    return AboutData(
        data.name,
        data.fingerprint,
        tuple(data.classes),
        data.shape,
        {name: len(split) for name, split in splits.items()},
        {name: _counts(split.labels, len(data.classes)) for name, split in splits.items()},
        tuple(_without_way(note, experiment) for note in data.notes),
        scale=tuple(data.scaling.scale),
        shift=tuple(data.scaling.shift),
    )


def _counts(labels: NDArray[np.int32], K: int) -> tuple[int, ...]:
    return tuple(np.bincount(labels, minlength=K).tolist())


def _without_way(note: str, experiment: Experiment | None) -> str:
    """Return a note about the data without parent folders, because they may contain a user name."""
    if experiment is None or not Path(experiment.source).exists():
        return note
    given = Path(experiment.source)
    for way in (str(given.resolve()), experiment.source):
        note = note.replace(way, given.resolve().name)
    return note


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _path_from(folder: Path, given: str) -> str:
    """Return a path relative to the run folder; only its last part if the relative path contains a user name."""
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
