"""Whether a training fits into the memory that is free: worked out from the engine's Program before anything is run."""

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
"""What writing machine code and drawing graphs take, whatever the batch size: 60 to 190 MB measured, the most for the
code of a large network (Linux, presets on 28×28 and 32×32 images, two threads, 2026-11-28)."""
ADDRESSES_BESIDE: Final = 350 * _MB
ADDRESSES_A_THREAD: Final = 72 * _MB
"""Likewise of addresses, of which a limit (`ulimit -v`) counts those that nothing is kept at as well: 400 to 470 MB
measured with two threads, 1,250 MB with 16. A thread has a stack of 8 MB, and a heap of its own of up to 64 MB."""


FEW_CLASSES: Final = 1000
"""Up to which what is held of every image and class is not counted."""


@dataclass(frozen=True)
class Room:
    """What is free, in bytes."""

    memory: int
    addresses: int | None = None
    """None where there is no limit on them."""


@dataclass(frozen=True)
class _Bound:
    """One thing that training takes."""

    free: int
    beside: int
    """What is taken whatever the batch size."""
    takes: str
    """`498 MB of addresses`, where the size is {}."""
    left: str
    more: str
    """How to have more of it."""


def check_memory(engine: Engine, data: Dataset, recipe: Recipe, room: Room | None = None) -> None:
    """Raise UserError, with both numbers and a batch size that fits, where training takes more memory than is free.

    room: None asks the system. An engine that has trained, to measure, has taken all it takes: nothing is asked then.
    """
    if engine.prepared(data.train.source):
        return
    needed = engine.memory(data.train.source, recipe.batch_size) + judging_bytes(data)
    for bound in _bounds(engine, room or Room(free_bytes(), free_addresses())):
        if needed + bound.beside > bound.free:
            raise UserError(
                f"--batch-size {recipe.batch_size:,d}: training takes "
                f"{bound.takes.format(display.size(needed + bound.beside))}, "
                f"{display.size(bound.beside)} of it whatever the batch size, "
                f"and {bound.left.format(display.size(bound.free))}",
                _repair(engine, data, recipe, bound),
            )


def judging_bytes(data: Dataset) -> int:
    """Return what is held at the end: the probabilities of all held images.

    0 for few classes, where it is much less than BESIDE.
    """
    K = len(data.classes)
    held = sum(len(split) for split in (data.validation, data.test) if split is not None)
    return 0 if K <= FEW_CLASSES else 4 * K * held


def _bounds(engine: Engine, room: Room) -> list[_Bound]:
    found = [_Bound(room.memory, BESIDE, "{}", "{} are free", "end other programs, or raise the control group's limit")]
    if room.addresses is not None:
        beside = ADDRESSES_BESIDE + ADDRESSES_A_THREAD * int(engine.facts().get("threads", 1))
        left = "the limit on them (ulimit -v) leaves {}"
        found.append(
            _Bound(room.addresses, beside, "addresses for {}", left, "raise that limit, or use fewer --threads")
        )
    return found


def _repair(engine: Engine, data: Dataset, recipe: Recipe, bound: _Bound) -> str:
    smaller = recipe
    while smaller.batch_size > 1 and bound.beside < bound.free:
        smaller = dataclasses.replace(smaller, batch_size=smaller.batch_size // 2)
        needed = engine.memory(data.train.source, smaller.batch_size) + judging_bytes(data) + bound.beside
        if needed <= bound.free:
            return f"--batch-size {smaller.batch_size:,d} takes {display.size(needed)}"
    if bound.beside >= bound.free:
        return bound.more
    return "use a network with fewer filters or outputs, smaller images (--size), or fewer --threads"
