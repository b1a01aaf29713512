"""ending.json: how a training run ended early; a finished training has none."""

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
    """How and when a training run ended early."""

    ended: Literal["stopped", "diverged"]
    """diverged: its loss became NaN or infinite."""
    epochs: int = 0
    """Finished epochs."""
    steps: int = 0
    """Steps done of the next epoch."""

    def write(self, path: Path) -> None:
        """Write the file. Raises UserError if it cannot be written."""
        whole.write(path, (texts.json_line(dataclasses.asdict(self)).encode() + b"\n",))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the ending in a file. Raises UserError if the file is damaged."""
        found = texts.of_json(path)
        schema.check(path, found, _KINDS, AGAIN)
        ended = (found or {}).get("ended")
        if ended not in ("stopped", "diverged"):
            raise UserError(f"{path}: no valid `ended` (stopped or diverged)", AGAIN)
        return cls(ended, found.get("epochs") or 0, found.get("steps") or 0)
