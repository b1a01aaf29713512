"""The parts of a PyTorch module, or of an ONNX file, that a network file cannot express."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, final

from layerline.errors import UnsupportedError
from layerline.layers.grammar import times
from layerline.numbers import display

_MOST: Final = 12
"""The number of parts that a message lists."""
_HELP: Final = "change what is listed; docs/network-file.md has the layers that are available"
_INCOMPLETE: Final = "not everything was checked, so there may be more"


class NotCarriedError(Exception):
    """An operation that has no equivalent. Its place is added where the operations are walked, if it is not known."""

    def __init__(
        self, reason: str, place: tuple[str, str] = ("", ""), fix: str = "", *, of_images: bool = False
    ) -> None:
        """Store the reason, the path and name of the operation, and what to do if not to replace the operation.

        of_images: whether images of another shape may be what it needs.
        """
        super().__init__(reason)
        self.reason = reason
        self.place = place
        self.fix = fix
        self.of_images = of_images


@final
@dataclass(frozen=True)
class Unsupported:
    """A part of a PyTorch module, or of an ONNX file, that cannot be carried over."""

    path: str
    """Its path in the module: `layer3.1.conv2`, or the node's name; empty for the module itself."""
    module: str
    """Its class (`GroupNorm`), the function or method that is called there (`cat`, `x.permute`), or the operation."""
    reason: str
    fix: str = ""
    """What to do, if that is something else than to change the part."""

    def __str__(self) -> str:
        """Return one line: `layer3.1.norm (GroupNorm): …`."""
        return f"{self.path or 'forward'} ({self.module}): {self.reason}"


def mixed(shape: tuple[int, ...], images: int, before: tuple[int, ...]) -> str:
    """Return the reason for an operation that makes values of `shape` of a batch of images: it mixes them."""
    return (
        f"it makes {times(shape) or 'one number'} of a batch of {images} images ({times(before)}); the images must "
        "stay the first dimension, whatever their number: for example x.flatten(1)"
    )


@final
@dataclass
class Findings:
    """Collects the unsupported parts of a module, or of a file, each once."""

    name: str
    """The module's class, or the file."""
    rest: str = ": layerline.torch_support(module, input_shape)"
    """How to see the parts that a message does not list."""
    parts: list[Unsupported] = field(default_factory=list)

    def add(self, path: str, module: str, reason: str, fix: str = "") -> None:
        """Add a part."""
        part = Unsupported(path, module, reason, fix)
        if part not in self.parts:
            self.parts.append(part)

    def raise_any(self, *, complete: bool = True) -> None:
        """Raise UnsupportedError if there are any. complete: whether all of the module was checked."""
        if not self.parts:
            return
        count, fixes = len(self.parts), dict.fromkeys(part.fix for part in self.parts if part.fix)
        if count == 1 and fixes:
            part = self.parts[0]
            lines = [f"{self.name}: {part.reason if part.module == self.name else part}"]
        else:
            what = "1 part is" if count == 1 else f"{display.count(count)} parts are"
            lines = [f"{self.name} cannot be carried over to a network file: {what} not supported"]
            lines += [f"  {part}" for part in self.parts[:_MOST]]
        if count > _MOST:
            lines.append(f"  and {display.count(count - _MOST)} more{self.rest}")
        helps = [*fixes]
        if not all(part.fix for part in self.parts):
            helps.append(_HELP if complete else f"{_HELP}; {_INCOMPLETE}")
        raise UnsupportedError("\n".join(lines), "; ".join(helps), tuple(self.parts))
