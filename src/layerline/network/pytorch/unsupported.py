"""The parts of a PyTorch module that a network file cannot express."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, final

from layerline.errors import UnsupportedError
from layerline.layers.grammar import times
from layerline.numbers import display

_MOST: Final = 12
"""The number of parts that a message lists."""


class NotCarriedError(Exception):
    """An operation that has no equivalent. Its place is added where the operations are walked, if it is not known."""

    def __init__(self, reason: str, place: tuple[str, str] = ("", "")) -> None:
        """Store the reason, and the path and name of the operation."""
        super().__init__(reason)
        self.reason = reason
        self.place = place


@final
@dataclass(frozen=True)
class Unsupported:
    """A part of a PyTorch module that cannot be carried over."""

    path: str
    """Its path in the module: `layer3.1.conv2`; empty for the module itself."""
    module: str
    """Its class (`GroupNorm`), or the function or method that is called there (`cat`, `x.permute`)."""
    reason: str

    def __str__(self) -> str:
        """Return one line: `layer3.1.norm (GroupNorm): …`."""
        return f"{self.path or 'forward'} ({self.module}): {self.reason}"


def mixed(shape: tuple[int, ...], images: int, before: tuple[int, ...]) -> str:
    """Return the reason for an operation that makes values of `shape` of a batch of images: it mixes them."""
    return (
        f"it makes {times(shape) or 'one number'} of {images} images ({times(before)}); the images must stay the first "
        "dimension, whatever their number: for example x.flatten(1)"
    )


@final
@dataclass
class Findings:
    """Collects the unsupported parts of a module, each once."""

    name: str
    """The module's class."""
    parts: list[Unsupported] = field(default_factory=list)

    def add(self, path: str, module: str, reason: str) -> None:
        """Add a part."""
        part = Unsupported(path, module, reason)
        if part not in self.parts:
            self.parts.append(part)

    def raise_any(self) -> None:
        """Raise UnsupportedError if there are any."""
        if not self.parts:
            return
        count = len(self.parts)
        what = "1 part" if count == 1 else f"{display.count(count)} parts"
        lines = [f"{self.name} cannot be carried over to a network file: {what} without an equivalent"]
        lines += [f"  {part}" for part in self.parts[:_MOST]]
        if count > _MOST:
            lines.append(f"  and {display.count(count - _MOST)} more: layerline.torch_support(module, input_shape)")
        helps = "replace what is listed; docs/network-file.md has the layers that are available"
        raise UnsupportedError("\n".join(lines), helps, tuple(self.parts))
