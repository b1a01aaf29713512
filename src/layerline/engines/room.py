"""Whether a training fits into the memory that is free: worked out from the engine's Program before anything is run."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from layerline import figures
from layerline.errors import UserError
from layerline.network.memory import free_bytes

if TYPE_CHECKING:
    from layerline.data.dataset import Dataset
    from layerline.engines.engine import Engine
    from layerline.recipe import Recipe


def check_room(engine: Engine, data: Dataset, recipe: Recipe, free: int | None = None) -> None:
    """Raise UserError, with both numbers and a batch size that fits, where training takes more memory than is free.

    free: in bytes; None asks the system.
    """
    available = free_bytes() if free is None else free
    needed = engine.memory(data.train.source, recipe.batch_size)
    if needed <= available:
        return
    raise UserError(
        f"--batch-size {recipe.batch_size:,d}: training takes {figures.size(needed)}, "
        f"and {figures.size(available)} are free",
        _repair(engine, data, recipe, available),
    )


def _repair(engine: Engine, data: Dataset, recipe: Recipe, available: int) -> str:
    smaller = recipe
    while smaller.batch_size > 1:
        smaller = dataclasses.replace(smaller, batch_size=smaller.batch_size // 2)
        needed = engine.memory(data.train.source, smaller.batch_size)
        if needed <= available:
            return f"--batch-size {smaller.batch_size:,d} takes {figures.size(needed)}"
    return "use a network with fewer filters or outputs, smaller images (--size), or fewer --threads"
