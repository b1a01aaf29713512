"""What an operation of PyTorch or ONNX becomes: layers, the end of a block, or padding for the operation after it.

Neither is imported here: operations and values are keys, and weights are anything with a shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

from layerline.layers import Misfit
from layerline.layers.grammar import times
from layerline.network.pytorch.unsupported import NotCarriedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerline.layers import BlockEnd, Layer, Shape
    from layerline.layers.windows import Pads

NO_PADS: Pads = (0, 0, 0, 0)


@final
@dataclass(frozen=True)
class TracedValue:
    """A value that the operations compute: an image or a vector, per image of the batch."""

    node: Any
    """The operation whose layers compute it; an operation without layers passes on the value that it gets."""
    shape: Shape
    """Without the batch, and without `pads`."""
    pads: Pads = NO_PADS
    """Padding around it that no layer has yet: the next one must take it."""
    fill: float = 0.0


@final
@dataclass(frozen=True)
class At:
    """What a rule knows about the operation besides its arguments."""

    output: Shape
    """The shape of its output, without the batch."""
    line: str | None = None
    """The line that the module was made from, if `to_torch` made it: it decides between lines that mean the same."""

    def choose(self, *lines: Layer) -> Layer:
        """Return the layer that the module was made from if it is one of these, which mean the same; else the first."""
        return next((layer for layer in lines if str(layer) == self.line), lines[0])


@final
@dataclass(frozen=True)
class Part:
    """A layer with its weights."""

    layer: Layer
    weights: Mapping[str, Any] = field(default_factory=dict)
    """Our short name → the tensor."""
    still: bool = False
    """Whether it does in training what it does in evaluation, so that it must be in a frozen part."""


@final
@dataclass(frozen=True)
class LayerStep:
    """The layers that turn one value into another, or several values that become one."""

    inputs: tuple[Any, ...]
    parts: tuple[Part, ...]
    place: tuple[str, str]
    """The path and name of its operation, for messages."""
    end: BlockEnd | None = None
    """What joins several inputs."""


@final
@dataclass(frozen=True)
class Join:
    """Several values that become one: what is at the End of a block."""

    layer: BlockEnd
    values: tuple[TracedValue, ...]


@final
@dataclass(frozen=True)
class AsImage:
    """A vector of C values as an image of C×1×1: squeeze-and-excitation with nn.Linear ends like this."""


@final
@dataclass(frozen=True)
class Padding:
    """Padding around an image: (top, left, bottom, right)."""

    pads: Pads
    fill: float


Result = tuple[Part, ...] | Join | AsImage | Padding
Rule = Callable[..., Result]
"""(At, the arguments of the operation) → what it becomes. Arguments that are values of the trace are a `TracedValue`.

Raises NotCarriedError. Its parameters have PyTorch's names; other arguments are not supported.
"""


def check_tensor(weight: Any) -> None:
    """Raise NotCarriedError if what is used as a weight is computed from the images."""
    if isinstance(weight, TracedValue):
        raise NotCarriedError("its weight is computed from the images")


def pair(argument: Any) -> tuple[int, int]:
    """Return (height, width) of PyTorch's `3`, `[3]` or `(3, 5)`."""
    values = tuple(argument) if isinstance(argument, tuple | list) else (argument,)
    height, width = values * 2 if len(values) == 1 else values
    return int(height), int(width)


def image(value: Any, what: str) -> tuple[int, int, int]:
    """Return C, H, W of a value. Raises NotCarriedError if it is a vector."""
    shape = shape_of(value)
    if len(shape) != 3:
        raise NotCarriedError(f"{what} needs an image, but gets a vector of {times(shape)} values")
    C, H, W = shape
    return C, H, W


def shape_of(value: Any) -> Shape:
    """Return the shape of a value. Raises NotCarriedError for a parameter or a constant."""
    if not isinstance(value, TracedValue):
        raise NotCarriedError("it is applied to a parameter or a constant instead of the images")
    return value.shape


def check_parts(parts: tuple[Part, ...], before: Shape, after: Shape | None = None) -> Shape:
    """Return the shape after layers. Raises NotCarriedError if one cannot be written, or if it is not `after`."""
    shape = before
    try:
        for part in parts:
            for name, reason in _unwritable(part.layer):
                raise NotCarriedError(f"{name}: {reason}")
            shape = part.layer.output_shape(shape)
    except Misfit as misfit:
        raise NotCarriedError(misfit.reason) from misfit
    if after is not None and shape != after:
        raise NotCarriedError(f"it outputs {times(after)}, where {parts[-1].layer} outputs {times(shape)}")
    return shape


def _unwritable(layer: Layer) -> Iterator[tuple[str, str]]:
    """Yield each argument that the grammar refuses, with the reason, and a contradiction between arguments."""
    for argument in layer.word.arguments:
        try:
            argument.kind.read(argument.name, argument.kind.write(getattr(layer, argument.name)))
        except Misfit as misfit:
            yield argument.name, misfit.reason
    contradiction = layer.contradiction()
    if contradiction is not None:
        yield contradiction.argument or layer.word.name, contradiction.reason
