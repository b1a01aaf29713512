"""Whether the ranks of a training were all given the same: network, data, recipe, versions, and where to resume."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Final

from layerline.errors import RecipeError, UserError
from layerline.files.versions import versions
from layerline.recipe import Recipe
from layerline.runs.checkpoint import Identity

if TYPE_CHECKING:
    from collections.abc import Collection

    from layerline.engines.ranks import Ranks
    from layerline.runs.checkpoint import Snapshot
    from layerline.training.prepared import Prepared

_MOST: Final = 5
"""Differences that are listed."""
_ENGINE: Final = ("engine", "device", "precision", "torch")
"""What ranks must have in common of the facts about an engine."""
_SAME: Final = "use the same command, data and versions on every rank"


def recipe_of_first(recipe: Recipe, given: Collection[str], ranks: Ranks) -> Recipe:
    """Return the recipe of rank 0, as automatic choices may differ. Raises UserError if specified values differ."""
    if ranks.size == 1:
        return recipe
    own = json.dumps({"recipe": recipe.as_dict(), "given": sorted(given)})
    found = [json.loads(text) for text in ranks.gathered(own)]
    first = found[0]["recipe"]
    specified = sorted({key for each in found for key in each["given"]} & first.keys())
    for rank, other in enumerate(found):
        for key in specified:
            if other["recipe"][key] != first[key]:
                reason = f"rank {rank} was started with {_flag(key)} {other['recipe'][key]}, rank 0 with {first[key]}"
                raise UserError(reason, _SAME)
    return Recipe(**first)


def check_batch(recipe: Recipe, ranks: Ranks) -> None:
    """Raise RecipeError if a rank would have no images in any batch."""
    if recipe.batch_size < ranks.size:
        raise RecipeError(
            f"--batch-size {recipe.batch_size}: fewer images than ranks ({ranks.size})",
            f"use --batch-size {ranks.size} or more, or fewer ranks",
        )


def check_same(prepared: Prepared) -> None:
    """Raise UserError, on every rank, if a rank differs from rank 0."""
    ranks = prepared.engine.ranks
    if ranks.size == 1:
        return
    first, *others = (Identity.read(text) for text in ranks.gathered(_identity(prepared).text))
    for rank, other in enumerate(others, 1):
        differences = other.differences(first)
        if differences:
            raise UserError(
                f"rank {rank} was started differently from rank 0:\n    " + "\n    ".join(differences[:_MOST]),
                _SAME,
            )


def check_same_place(snapshot: Snapshot | None, ranks: Ranks) -> None:
    """Raise UserError, on every rank, if a rank would resume elsewhere than rank 0."""
    place = None if snapshot is None else list(snapshot.position)
    first, *others = ranks.gathered(json.dumps(place))
    for rank, other in enumerate(others, 1):
        if other != first:
            raise UserError(
                f"rank {rank} has another checkpoint than rank 0 (epoch and step {other}, not {first})",
                "copy the run folder of rank 0 to its machine, or use one folder that all machines share",
            )


def _flag(key: str) -> str:
    return "--" + key.replace("_", "-")


def _identity(prepared: Prepared) -> Identity:
    """Return the identity without what may differ: the CPU, and the number of a rank's GPU."""
    found = prepared.identity
    engine = {key: value for key, value in found.engine.items() if key in _ENGINE}
    if "device" in engine:
        engine["device"] = str(engine["device"]).partition(":")[0]
    return dataclasses.replace(found, engine={**engine, **versions()})
