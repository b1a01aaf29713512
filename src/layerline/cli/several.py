"""Training in several processes, which torchrun starts with the same command each."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from layerline.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerline.engines.ranks import Ranks


def process_name() -> str:
    """Return `rank 1: ` if this is one of several processes, for the beginning of messages; else nothing."""
    size = os.environ.get("WORLD_SIZE", "1")
    return f"rank {os.environ.get('RANK', '?')}: " if size.isdecimal() and int(size) > 1 else ""


def check_alone(what: str) -> None:
    """Raise UserError if this is one of several processes, but `what` runs in one."""
    if process_name():
        raise UserError(
            f"{what} runs in one process, but there are {os.environ['WORLD_SIZE']} (torchrun)",
            "start it without torchrun; of all commands, only `layerline train` trains in several processes",
        )


@contextlib.contextmanager
def together() -> Iterator[Ranks]:
    """Join the other processes, and leave them at the end, also after an error: the others then find it out."""
    from layerline import engines

    ranks = engines.ranks_of_environment()
    try:
        yield ranks
    finally:
        ranks.leave()
