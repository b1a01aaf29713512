"""Training in several processes, which torchrun starts with the same command each."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from layerline.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerline.engines.ranks import Ranks
    from layerline.runs.folder import RunFolder


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
def resumable(folder: RunFolder) -> Iterator[None]:
    """Add to the error that another rank is lost how to continue the run in `folder`."""
    try:
        yield
    except UserError as error:
        from layerline.engines.ranks import RankLostError

        if isinstance(error, RankLostError) and folder.path.exists():
            resume = f"`layerline train --resume {folder.given}` continues from the last checkpoint"
            raise UserError(error.message, f"{error.help}; then {resume}, with any number of ranks") from error
        raise


@contextlib.contextmanager
def together() -> Iterator[Ranks]:
    """Join the other processes, and leave them at the end, also after an error: the others then find it out."""
    from layerline import engines

    ranks = engines.ranks_of_environment()
    try:
        yield ranks
    finally:
        ranks.leave()
