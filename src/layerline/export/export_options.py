"""The options of an export; which format has which is in `formats`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypedDict

if TYPE_CHECKING:
    from layerline.data.dataset import Dataset

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


class ExportArguments(TypedDict, total=False):
    """The same as keyword arguments."""

    name: str | None
    int8: bool
    data: Dataset | None
    max_loss: float
    lanes: Literal[1, 4]
    pixels: Literal["uint8", "float32"]
    layout: Literal["NCHW", "NHWC"]
