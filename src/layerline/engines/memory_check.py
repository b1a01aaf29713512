"""Checks that a training run fits into free memory, computed from the engine's Programs before anything is run."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.errors import UserError
from layerline.network.memory import free_addresses, free_bytes
from layerline.numbers import display

if TYPE_CHECKING:
    from layerline.data.dataset import Dataset
    from layerline.engines.interface import Engine
    from layerline.recipe import Recipe

_MB: Final = 10**6
BESIDE: Final = 200 * _MB
"""Memory for compiling and drawing graphs, whatever the batch size: 60 to 190 MB measured, most of it for compiling a
large network (Linux, presets on 28×28 and 32×32 images, two threads, 2026-11-28)."""
ADDRESSES_BESIDE: Final = 350 * _MB
ADDRESSES_A_THREAD: Final = 72 * _MB
"""Likewise for address space, of which a limit (`ulimit -v`) also counts unused addresses: 400 to 470 MB measured with
two threads, 1,250 MB with 16. Each thread has a stack of 8 MB and a separate heap of up to 64 MB."""


FEW_CLASSES: Final = 1000
"""Up to this many classes, the memory for the probabilities of all images is not counted."""


@dataclass(frozen=True)
class Free:
    """Free memory, in bytes."""

    memory: int
    addresses: int | None = None
    """Free address space; None if there is no limit."""


@dataclass(frozen=True)
class _Bound:
    """A limited resource that training needs."""

    free: int
    fixed: int
    """Bytes needed whatever the batch size."""
    need: str
    """The needed size in words, such as `address space for {}`."""
    left: str
    """The free size in words, such as `{} are free`."""
    more: str
    """How to get more of it."""


def check_memory(engine: Engine, data: Dataset, recipe: Recipe, free: Free | None = None) -> None:
    """Raise UserError, with both numbers and a batch size that fits, if training needs more memory than is free.

    free: None asks the system. An engine that has already trained, to measure, has all its memory: nothing is checked.
    """
    if engine.prepared(data.train.source):
        return
    needed = engine.memory(data.train.source, recipe.batch_size) + prediction_bytes(data)
    for bound in _bounds(engine, free or Free(free_bytes(), free_addresses())):
        if needed + bound.fixed > bound.free:
            raise UserError(
                f"--batch-size {recipe.batch_size:,d}: training needs "
                f"{bound.need.format(display.size(needed + bound.fixed))} "
                f"({display.size(bound.fixed)} of it whatever the batch size), "
                f"but {bound.left.format(display.size(bound.free))}",
                _fix(engine, data, recipe, bound),
            )


def prediction_bytes(data: Dataset) -> int:
    """Return the bytes of the probabilities of all validation and test images, held in memory at the end.

    0 for few classes, when it is much less than BESIDE.
    """
    K = len(data.classes)
    held = sum(len(split) for split in (data.validation, data.test) if split is not None)
    return 0 if K <= FEW_CLASSES else 4 * K * held


def _bounds(engine: Engine, free: Free) -> list[_Bound]:
    more = "close other programs, or raise the control group's limit"
    found = [_Bound(free.memory, BESIDE, "{} of memory", "only {} are free", more)]
    if free.addresses is not None:
        fixed = ADDRESSES_BESIDE + ADDRESSES_A_THREAD * int(engine.facts().get("threads", 1))
        left = "its limit (ulimit -v) leaves only {}"
        more = "raise that limit, or use fewer --threads"
        found.append(_Bound(free.addresses, fixed, "{} of address space", left, more))
    return found


def _fix(engine: Engine, data: Dataset, recipe: Recipe, bound: _Bound) -> str:
    smaller = recipe
    while smaller.batch_size > 1 and bound.fixed < bound.free:
        smaller = dataclasses.replace(smaller, batch_size=smaller.batch_size // 2)
        needed = engine.memory(data.train.source, smaller.batch_size) + prediction_bytes(data) + bound.fixed
        if needed <= bound.free:
            return f"--batch-size {smaller.batch_size:,d} needs {display.size(needed)}"
    if bound.fixed >= bound.free:
        return bound.more
    return "use a network with fewer filters or outputs, smaller images (--size), or fewer --threads"
