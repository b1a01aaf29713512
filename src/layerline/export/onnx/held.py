"""A value of an ONNX graph that is computed from the images: what is known of it while the graph is walked."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

from layerline.layers.grammar import times
from layerline.network.pytorch.torch_operation import NO_PADS
from layerline.network.pytorch.unsupported import NotCarriedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.export.onnx.scalar_functions import Points
    from layerline.layers import Shape
    from layerline.network.pytorch.torch_operation import TracedValue

PADDED: Final = "its input is padded before; only a convolution or a pool can take padding"


@final
@dataclass(frozen=True, eq=False)
class PixelScaling:
    """The images as pixels · scale + shift, per channel in float64."""

    scale: NDArray[Any]
    shift: NDArray[Any]


@final
@dataclass(frozen=True, eq=False)
class Function:
    """A function of one number that is applied to each number of a value, and may become a layer.

    Only what comes later shows which one: x · sigmoid(x) is a SiLU, whose sigmoid(x) is not a separate layer.
    """

    candidates: tuple[tuple[Held, Points], ...]
    """Values that it is a function of, with its values at `scalar_functions.POINTS`; the first is no function."""
    place: tuple[str, str]
    """The operation that computes it, for messages."""
    join: tuple[str, Held, Held] | None = None
    """The sum ("add") or product ("gate") of two values that it is."""
    depth: int = 1
    """The number of operations from the first candidate."""
    known: bool = False
    """Whether a layer computes it from one of the candidates."""


@final
@dataclass(frozen=True, eq=False)
class Held:
    """A value: an image or a vector, per image of the batch."""

    name: str
    """In the graph."""
    traced: TracedValue
    """The value that layers compute, with its shape (C, H, W) or (I,) and padding that no layer has yet."""
    last: bool = False
    """Whether the channels of an image are its last dimension."""
    order: Shape | None = None
    """(C, H, W) of an image of which this vector has the numbers in the order (H, W, C)."""
    flat: bool = False
    """Whether this vector is an image of C×1×1 in the graph, as the classes of SqueezeNet are."""
    prepared: PixelScaling | None = None
    """Set for the images themselves, before any layer."""
    function: Function | None = None
    """Set while it is open which layers compute this value from `traced`."""
    raw: Function | None = None
    """Of scaled images the same as a function: a GELU scales its input, too."""

    @property
    def shape(self) -> Shape:
        """Return (C, H, W) or (I,)."""
        return self.traced.shape

    @property
    def sizes(self) -> Shape:
        """Return the sizes without the batch, in the order of the graph."""
        if self.traced.pads != NO_PADS:
            raise NotCarriedError(PADDED)
        if self.flat:
            return (1, 1, *self.shape) if self.last else (*self.shape, 1, 1)
        return (*self.shape[1:], self.shape[0]) if self.last else self.shape

    @property
    def key(self) -> Any:
        """Return the same for every name of a value."""
        return self.function or (self.traced.node, self.prepared)

    @property
    def is_image(self) -> bool:
        """Return whether it is an image."""
        return len(self.shape) == 3

    def planar(self, what: str) -> Held:
        """Return it, an image with the channels first. Raises NotCarriedError if it is anything else."""
        if not self.is_image:
            raise NotCarriedError(f"{what} needs an image, but gets a vector of {times(self.shape)} values")
        if self.last:
            raise NotCarriedError(f"{what} gets an image whose channels are the last dimension")
        return self

    def named(self, name: str) -> Held:
        """Return the same value under another name."""
        return dataclasses.replace(self, name=name)


def image_axes(held: Held, axes: tuple[int, ...] | None) -> bool:
    """Return whether axes, the batch included, are exactly an image's height and width."""
    return held.is_image and axes is not None and set(axes) == ({1, 2} if held.last else {2, 3})


def computed(inputs: tuple[Any, ...]) -> Held:
    """Return the input, which must be computed from the images."""
    if not isinstance(inputs[0], Held):
        raise NotCarriedError("it is applied to constants, with something computed from the images")
    return inputs[0]


def constant(inputs: tuple[Any, ...], place: int) -> NDArray[Any] | None:
    """Return an input that must be a constant; None if it is omitted."""
    found = inputs[place] if len(inputs) > place else None
    if isinstance(found, Held):
        raise NotCarriedError(f"its input {place + 1} is computed from the images; only a constant is available")
    return found
