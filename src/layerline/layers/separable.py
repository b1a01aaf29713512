"""SeparableConv: one line that is two layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from layerline.layers.convolution import Conv, Depthwise
from layerline.layers.grammar import Argument, Sizes, Whole, Word, YesNo

if TYPE_CHECKING:
    from layerline.layers.layer import Layer

SEPARABLE: Final = Word(
    "SeparableConv",
    (
        Argument("filters", Whole(), bare=True),
        Argument("kernel", Sizes()),
        Argument("stride", Sizes(), default=(1, 1)),
        Argument("padding", Sizes(low=0, same=True), default=(0, 0)),
        Argument("multiplier", Whole(), default=1),
        Argument("bias", YesNo(), default=True),
    ),
    ("SeparableConv2d",),
)


def separable(values: dict[str, Any]) -> tuple[Layer, ...]:
    """Return the layers of a SeparableConv: a Depthwise without bias, then a 1×1 Conv that has it, as in Keras.

    `values` has one for every argument of the word.
    """
    each = Depthwise(values["kernel"], values["stride"], values["padding"], values["multiplier"], bias=False)
    return each, Conv(values["filters"], (1, 1), bias=values["bias"])
