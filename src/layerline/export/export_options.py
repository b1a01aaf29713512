"""The options of an export, with the values that they can have; which format has which is in `formats`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

from layerline.data.dataset import Dataset
from layerline.errors import CallError
from layerline.numbers import display
from layerline.numbers.scalars import is_number, is_whole, plain

if TYPE_CHECKING:
    from collections.abc import Callable

LARGEST_LOSS: Final = 0.01
"""How much accuracy on the validation set int8 may lose unless another limit is specified."""


@dataclass(frozen=True)
class ExportOptions:
    """The options of an export, as `layerline export` and `Model.export` have them."""

    name: str | None = None
    """The name of the function in C; default: from the name of the network."""
    int8: bool = False
    """Whether weights and values are 8-bit integers."""
    data: Dataset | None = None
    """For int8: the training images give the ranges of values, the validation images the loss of accuracy."""
    max_loss: float = LARGEST_LOSS
    """For int8: the largest accepted loss of accuracy."""
    lanes: Literal[1, 4] = 1
    """float32 values per vector in C; 4 needs the vector extensions of GCC or Clang."""
    pixels: Literal["uint8", "float32"] = "uint8"
    """The type of the input of an ONNX model."""
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    """The axes of the input of an ONNX model."""

    def __post_init__(self) -> None:
        """Raise CallError for a value that an option cannot have: it would be read as another one."""
        for option, (valid, expected) in _VALUES.items():
            value = plain(getattr(self, option))
            if not valid(value):
                text = repr(value) if value in ("1", "4") else display.name(str(value), 60)
                raise CallError(f"--{option.replace('_', '-')} {text}: must be {expected}")
            object.__setattr__(self, option, value)


_VALUES: Final[dict[str, tuple[Callable[[Any], bool], str]]] = {
    "name": (lambda value: value is None or isinstance(value, str), "text"),
    "int8": (lambda value: isinstance(value, bool), "True or False"),
    "data": (lambda value: value is None or isinstance(value, Dataset), "a Dataset, as from layerline.load_data"),
    "max_loss": (is_number, "a number between 0 and 1"),
    "lanes": (lambda value: is_whole(value) and value in (1, 4), "1 or 4"),
    "pixels": (lambda value: value in ("uint8", "float32"), "uint8 or float32"),
    "layout": (lambda value: value in ("NCHW", "NHWC"), "NCHW or NHWC"),
}
"""An option → whether it can have a value, and what it can have in words."""


class ExportArguments(TypedDict, total=False):
    """The same as keyword arguments."""

    name: str | None
    int8: bool
    data: Dataset | None
    max_loss: float
    lanes: Literal[1, 4]
    pixels: Literal["uint8", "float32"]
    layout: Literal["NCHW", "NHWC"]
