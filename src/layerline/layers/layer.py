"""The base of all layers: a frozen description that knows its line in the file, its shapes, weights and cost."""

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
"""(C, H, W) of an image, (I,) of a vector; without the batch dimension."""


@final
@dataclass(frozen=True)
class Weight:
    """An array of a layer, with the name, shape and meaning that it has in PyTorch."""

    name: str
    """`weight`, `bias`, `running_mean`, …"""
    shape: Shape
    fan_in: int = 0
    """The number of inputs to each output, which scales the initial values. 0 if they are not random."""
    trained: bool = True
    """False for buffers, which are counted or averaged rather than trained (BatchNorm's), and in a frozen layer."""
    start: Literal["drawn", "zeros", "ones"] = "drawn"
    dtype: Literal["float32", "int64"] = "float32"

    @property
    def size(self) -> int:
        """Return the number of its elements."""
        size = 1
        for extent in self.shape:
            size *= extent
        return size


@final
@dataclass(frozen=True)
class Branches:
    """How a block is written whose End is a layer with several inputs: one for each branch.

    Of fewer than two branches, the other input is the block's own.
    """

    separator: Word | None
    """The line between two branches."""
    names: tuple[str, ...]
    """The branches' modules; with any number of branches, what their names start with."""
    least: int = 1
    most: int | None = 1
    may_be_empty: bool = False
    """Whether a branch without lines is the block's input; it is a mistake otherwise."""

    def modules(self, count: int) -> tuple[str, ...]:
        """Return the names of the branches' modules, if `count` of them are written."""
        return self.names if self.most else tuple(f"{self.names[0]}{number}" for number in range(1, count + 1))

    def number(self, module: str) -> int | None:
        """Return the number of the branch whose module has that name, from 0; None if no branch has."""
        if self.most:
            return self.names.index(module) if module in self.names else None
        digits = module.removeprefix(self.names[0])
        return int(digits) - 1 if digits.isdecimal() else None


class Layer(abc.ABC):
    """A layer, as described by a line of the file. Final classes are frozen dataclasses; `LAYERS` lists them."""

    kind: ClassVar[str]
    """The key of the layer in tables: engines, PyTorch modules, kernels."""
    word: ClassVar[Word]
    """The grammar of its line; the arguments are the fields of the dataclass."""
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
    branches: ClassVar[Branches | None] = None
    """The branches of its block, if it is at the End of one; it has no separate line then."""

    @abc.abstractmethod
    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the shape of its output. Raises Misfit if the inputs do not fit."""

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        """Return its arrays, in PyTorch's order. The inputs must fit."""
        del inputs
        return ()

    def multiply_adds(self, *inputs: Shape) -> int:
        """Return the multiply-adds of the forward pass for one image; 0 if there are hardly any."""
        del inputs
        return 0

    def contradiction(self) -> Misfit | None:
        """Return the mistake if arguments contradict each other, whatever the input, or None."""
        return None

    def slides(self) -> Window | None:
        """Return the window that it slides over an image, or None."""
        return None

    def advice(self) -> Misfit | None:
        """Return a note on what is legal but probably not intended, or None."""
        return None

    def with_classes(self, classes: int) -> Self:
        """Return the layer with `classes` in the file replaced by the number of classes."""
        del classes
        return self

    @property
    def needs_classes(self) -> bool:
        """Whether the layer needs the number of classes."""
        return False

    def shape_of_unknown(self) -> Shape | None:
        """Return the output's shape if it does not depend on the input, or None."""
        return None

    def __str__(self) -> str:
        """Return its formatted line: `Conv 6 kernel=5 padding=2`."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]  # every final class is a dataclass
        return self.word.write({field.name: getattr(self, field.name) for field in fields})


def image(layer: Layer, shape: Shape) -> tuple[int, int, int]:
    """Return C, H, W of the input to `layer`. Raises Misfit if it is a vector."""
    if len(shape) != 3:
        name = layer.word.name
        raise Misfit(
            f"{name} needs an image, but its input is a vector of {times(shape)} values",
            "move this line before `Flat`, or remove it",
        )
    C, H, W = shape
    return C, H, W


def flat(layer: Layer, shape: Shape) -> int:
    """Return the length of the input vector to `layer`. Raises Misfit if it is an image."""
    if len(shape) != 1:
        C, H, W = shape
        raise Misfit(
            f"{layer.word.name} needs a vector, but its input is a {times(shape)} image",
            f"insert the line `Flat` before it, which outputs a vector of {C * H * W:,d} values",
        )
    return shape[0]
