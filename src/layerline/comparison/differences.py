"""Differences between two runs other than their scores: layers, recipe, data, versions."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.errors import UserError
from layerline.network_file import formatted
from layerline.numbers import display
from layerline.runs.names import NETWORK

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from layerline.runs.saved import SavedRun

_PLACES: Final = ("data", "data_dir", "labels", "cache")
"""Keys of [data] for locations, which do not affect the result."""


@dataclass(frozen=True)
class Changed:
    """A value that differs between two runs; None if a run does not have it."""

    key: str
    """Its name in experiment.toml; `versions.numpy` for an entry below [about]."""
    a: object
    b: object


def layers(a: SavedRun, b: SavedRun) -> tuple[str, ...]:
    """Return the diff of the networks, line by line: `- Conv 6 5`, `+ Conv 8 5`, two spaces for a common line.

    Comments and formatting are ignored. Empty if the networks are the same.
    """
    one, two = (_code(run.network_text, run.folder) for run in (a, b))
    if one == two:
        return ()
    compared = difflib.SequenceMatcher(None, one, two, autojunk=False)
    found: list[str] = []
    for what, i, j, k, m in compared.get_opcodes():
        if what == "equal":
            found += [f"  {line}" for line in one[i:j]]
        else:
            found += [f"- {line}" for line in one[i:j]] + [f"+ {line}" for line in two[k:m]]
    return tuple(found)


def values(a: SavedRun, b: SavedRun) -> tuple[Changed, ...]:
    """Return the values of experiment.toml that differ: [data] and [train], then versions and engine of [about]."""
    found: list[Changed] = []
    one, two = a.record, b.record
    for here, there in ((one.data, two.data), (one.train, two.train)):
        found += _changed(here, there, "", _PLACES)
    found += _changed(one.about.versions, two.about.versions, "versions.")
    found += _changed(one.about.engine, two.about.engine, "engine.")
    return tuple(found)


def _changed(
    a: Mapping[str, object], b: Mapping[str, object], prefix: str, without: tuple[str, ...] = ()
) -> list[Changed]:
    keys = dict.fromkeys([*a, *b])
    return [
        Changed(prefix + key, a.get(key), b.get(key)) for key in keys if key not in without and a.get(key) != b.get(key)
    ]


def _code(text: str, folder: Path) -> list[str]:
    """Return the formatted lines of a network, without comments and empty lines."""
    try:
        lines = formatted(text, display.name(str(folder / NETWORK), 200)).splitlines()
    except UserError:
        lines = text.splitlines()  # an invalid network is compared as it is
    return [code for line in lines if (code := line.partition("#")[0].rstrip())]
