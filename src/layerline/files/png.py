"""A picture as Python gets it: a notebook displays it, and anywhere else it can be saved."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

from layerline.files import whole

if TYPE_CHECKING:
    import os


@final
@dataclass(frozen=True, eq=False, repr=False)
class Figure:
    """A picture as PNG."""

    title: str
    png: bytes

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture as a PNG file. Raises UserError if that fails."""
        whole.write(Path(path), (self.png,))

    def __repr__(self) -> str:
        """Return the title, and how to see the picture outside a notebook."""
        return f'{self.title}: figure.save("figure.png") writes it, a notebook displays it'

    def _repr_png_(self) -> bytes:
        return self.png
