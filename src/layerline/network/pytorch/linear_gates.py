"""Gates with nn.Linear: an image of C×1×1 is flattened, goes through FC layers, and becomes an image of C×1×1 again.

A network file has no way back from a vector to an image. On 1×1 pixels a 1×1 Conv is the same as an FC, with the same
weights, and so needs neither.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final, cast

from layerline.layers import Conv
from layerline.network.pytorch.torch_operation import Part
from layerline.network.pytorch.unsupported import NotCarriedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerline.layers import FC
    from layerline.network.pytorch.torch_operation import LayerStep, TracedValue

_FLAT: Final = "flat"
_FC: Final = "fc"


def as_images(
    steps: dict[Any, LayerStep], values: dict[Any, TracedValue], last: Any, uses: Callable[[Any], int]
) -> list[Any]:
    """Change the steps from a Flat of C×1×1 to `last`, so that they compute images of one pixel instead of vectors.

    Return the values that are images now.
    uses: the number of operations that use a value. Raises NotCarriedError if there is no such Flat, or if another
    operation uses one of these vectors.
    """
    chain: list[Any] = []
    node = last
    while not chain or steps[chain[-1]].parts[-1].layer.kind != _FLAT:
        step = steps.get(node)
        if step is None or not step.parts or uses(node) != 1:
            raise NotCarriedError("it makes an image of a vector; only factors for a product, x * g(x), can be one")
        chain.append(node)
        node = step.inputs[0]
    flat = steps[chain[-1]].parts
    if len(flat) == 1 and values[node].shape[1:] != (1, 1):
        raise NotCarriedError("it makes an image of a vector that was an image of more than 1×1 pixels")
    for each in chain:
        parts = tuple(map(_of_pixel, steps[each].parts))
        steps[each] = dataclasses.replace(steps[each], parts=parts[:-1] if each is chain[-1] else parts)
    return chain


def _of_pixel(part: Part) -> Part:
    """Return the layer of an image of one pixel that is the same as a layer of a vector."""
    if part.layer.kind != _FC:
        return part
    layer = cast("FC", part.layer)
    return Part(Conv(layer.outputs, (1, 1), bias=layer.bias), part.weights)
