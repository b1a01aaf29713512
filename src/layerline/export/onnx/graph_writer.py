"""A graph while it is written: operations and constants, named after the layers that they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from layerline.export.onnx.messages import FLOAT32, AttributeProto, NodeProto, TensorProto

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FLOAT, _INT, _INTS = 1, 2, 7
"""Types of attributes."""
Attribute = int | float | tuple[int, ...]
_LITTLE: Final = np.dtype("<f4")


@final
class GraphWriter:
    """Collects the operations and constants of a graph, in the order in which they are computed."""

    def __init__(self) -> None:
        """Start without any."""
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, TensorProto] = {}

    def constant(self, name: str, values: Any) -> str:
        """Add a float32 constant, and return its name."""
        array: NDArray[np.float32] = np.asarray(values, _LITTLE)
        self.constants[name] = TensorProto(array.shape, FLOAT32, name=name, raw_data=array.tobytes())
        return name

    def operation(self, kind: str, output: str, *inputs: str, **attributes: Attribute) -> str:
        """Add an operation with one output, which it is named after, and return that."""
        listed = tuple(_attribute(name, value) for name, value in attributes.items())
        self.nodes.append(NodeProto(inputs, (output,), output, kind, listed))
        return output


def _attribute(name: str, value: Attribute) -> AttributeProto:
    if isinstance(value, tuple):
        return AttributeProto(name, ints=value, type=_INTS)
    if isinstance(value, float):
        return AttributeProto(name, f=value, type=_FLOAT)
    return AttributeProto(name, i=value, type=_INT)
