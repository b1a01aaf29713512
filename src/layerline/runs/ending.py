"""ending.json: how a training ended before its time; one that came to its end leaves none."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Self

from layerline.errors import UserError
from layerline.files import whole
from layerline.runs import schema, texts
from layerline.runs.texts import AGAIN

if TYPE_CHECKING:
    from pathlib import Path

_KINDS: Final = {"ended": schema.TEXT, "epochs": schema.WHOLE, "steps": schema.WHOLE}


@dataclass(frozen=True)
class Ending:
    """How a training ended, and when."""

    ended: Literal["stopped", "diverged"]
    """diverged: its loss was no longer a number."""
    epochs: int = 0
    """That were finished."""
    steps: int = 0
    """Of the next epoch."""

    def write(self, path: Path) -> None:
        """Write it. Raises UserError where it cannot be written."""
        whole.write(path, (texts.json_line(dataclasses.asdict(self)).encode() + b"\n",))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return an ending. Raises UserError where the file is damaged."""
        found = texts.of_json(path)
        schema.check(path, found, _KINDS, AGAIN)
        ended = (found or {}).get("ended")
        if ended not in ("stopped", "diverged"):
            raise UserError(f"{path}: does not say how the run ended", AGAIN)
        return cls(ended, found.get("epochs") or 0, found.get("steps") or 0)
