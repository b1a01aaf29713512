"""What differs between two runs besides their figures: layers, recipe, data, versions."""

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
"""Keys of [data] that say where something lies, which is not what it is."""


@dataclass(frozen=True)
class Changed:
    """A value that two runs have differently; None where a run has no such value."""

    key: str
    """As it stands in experiment.toml; `versions.numpy` for what stands below [about]."""
    a: object
    b: object


def layers(a: SavedRun, b: SavedRun) -> tuple[str, ...]:
    """Return what was changed in the network, a line each: `- Conv 6 5`, `+ Conv 8 5`, two spaces where it stayed.

    Comments and ways of writing the same do not count. Empty where the networks are the same.
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
    """Return the lines of a network in their readable form, without comments and empty lines."""
    try:
        lines = formatted(text, display.name(str(folder / NETWORK), 200)).splitlines()
    except UserError:
        lines = text.splitlines()  # what cannot be read is compared as it stands
    return [code for line in lines if (code := line.partition("#")[0].rstrip())]
