"""Search for images that are identical, pixel for pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from layerline.data.checking.survey import Survey
    from layerline.data.dataset import Dataset


def copies(data: Dataset, seen: Survey) -> list[list[int]]:
    """Return the groups of identical images as lists of positions in the survey, in order.

    Images of a single color are skipped: they are equal without being copies of each other.
    """
    order = np.argsort(seen.keys, kind="stable")
    keys = seen.keys[order]
    same = np.flatnonzero(keys[1:] == keys[:-1])
    groups: list[list[int]] = []
    if not len(same):
        return groups
    candidates = np.union1d(same, same + 1)
    cuts = np.flatnonzero(keys[candidates[1:]] != keys[candidates[:-1]]) + 1
    for run in np.split(order[candidates], cuts):
        by_content: dict[bytes, list[int]] = {}
        for at in run.tolist():
            if not seen.constant[at]:
                by_content.setdefault(_content(data, seen, at), []).append(at)
        groups += [group for group in by_content.values() if len(group) > 1]
    return sorted(groups)


def _content(data: Dataset, seen: Survey, at: int) -> bytes:
    name, index = seen.place(at)
    split = getattr(data, name)
    content: bytes = split.source.images[index].tobytes()
    return content
