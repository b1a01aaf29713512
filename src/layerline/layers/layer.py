"""What every layer is: a frozen description that knows its line in the file, its shapes, its weights and its work."""

from __future__ import annotations

import abc
import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Self, final

from layerline.layers.grammar import Misfit, times

if TYPE_CHECKING:
    from layerline.layers.grammar import Word
    from layerline.layers.windows import Window

Shape = tuple[int, ...]
"""(C, H, W) of an image, (I,) of a flat list; the batch is not part of it."""


@final
@dataclass(frozen=True)
class Weight:
    """An array that a layer owns, in PyTorch's name, shape and meaning."""

    name: str
    """`weight`, `bias`, `running_mean`, …"""
    shape: Shape
    fan_in: int = 0
    """How many inputs one output is summed from; the scale of the first values. 0 where they are not drawn."""
    trained: bool = True
    """False for what is counted or averaged rather than trained (BatchNorm's buffers)."""
    start: Literal["drawn", "zeros", "ones"] = "drawn"
    dtype: Literal["float32", "int64"] = "float32"

    @property
    def size(self) -> int:
        """Return the number of its elements."""
        size = 1
        for extent in self.shape:
            size *= extent
        return size


class Layer(abc.ABC):
    """A layer, as a line of the file describes it. Final classes are frozen dataclasses; `LAYERS` lists them."""

    kind: ClassVar[str]
    """What tables are keyed by: engines, PyTorch modules, kernels."""
    word: ClassVar[Word]
    """How its line is written; its arguments are the fields of the dataclass."""
    last_only: ClassVar[bool] = False
    """Whether it may only be on the last line."""
    has_filters: ClassVar[bool] = False
    """Whether its `weight` (O, C, R, S) is filters that slide over an image."""
    absorbs_norm: ClassVar[bool] = False
    """Whether a BatchNorm after it can be merged into its weights for prediction."""
    uses_batch: ClassVar[bool] = False
    """Whether training needs the mean and variance of a batch: one value has no variance."""
    only_in_training: ClassVar[bool] = False
    """Whether it does nothing in prediction."""

    @abc.abstractmethod
    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the shape of its output. Raises Misfit where the inputs do not fit."""

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        """Return its arrays, in PyTorch's order. The inputs must fit."""
        del inputs
        return ()

    def multiply_adds(self, *inputs: Shape) -> int:
        """Return the multiplications, each with its addition, for one image forward; 0 where there are hardly any."""
        del inputs
        return 0

    def contradiction(self) -> Misfit | None:
        """Return where the arguments contradict each other, whatever the input, or None."""
        return None

    def slides(self) -> Window | None:
        """Return the window that it slides over an image, or None."""
        return None

    def advice(self) -> Misfit | None:
        """Return what is legal but likely not meant, or None."""
        return None

    def with_classes(self, classes: int) -> Self:
        """Return the layer with the number of classes put in where the file says `classes`."""
        del classes
        return self

    @property
    def needs_classes(self) -> bool:
        """Whether the layer waits for the number of classes."""
        return False

    def shape_of_unknown(self) -> Shape | None:
        """Return the output's shape if it does not depend on the input, or None."""
        return None

    def __str__(self) -> str:
        """Return its line in the readable form: `Conv 6 kernel=5 padding=2`."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]  # every final class is a dataclass
        return self.word.write({field.name: getattr(self, field.name) for field in fields})


def image(layer: Layer, shape: Shape) -> tuple[int, int, int]:
    """Return C, H, W of what arrives at `layer`. Raises Misfit where it is a flat list."""
    if len(shape) != 3:
        name = layer.word.name
        raise Misfit(
            f"{name} needs an image, and a flat list of {times(shape)} numbers arrives",
            "move this line in front of `Flat`, or remove it",
        )
    C, H, W = shape
    return C, H, W


def flat(layer: Layer, shape: Shape) -> int:
    """Return how many numbers arrive at `layer`. Raises Misfit where it is an image."""
    if len(shape) != 1:
        C, H, W = shape
        raise Misfit(
            f"{layer.word.name} needs a flat list, and a {times(shape)} image arrives",
            f"insert a line `Flat` in front of it: it makes a list of {C * H * W:,d} numbers",
        )
    return shape[0]
