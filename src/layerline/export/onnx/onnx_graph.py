"""An ONNX file as a graph: checked, and only the operations that its output needs, in an order of computation."""

from __future__ import annotations

import shlex
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from layerline.errors import UserError
from layerline.export.onnx.messages import ModelProto
from layerline.export.onnx.onnx_arrays import WIDE, ArrayFault, array_of
from layerline.files import protobuf, regular
from layerline.files.protobuf import WireFault
from layerline.files.tensors import foreign
from layerline.network.pytorch.unsupported import NotCarriedError
from layerline.numbers import display

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from layerline.export.onnx.messages import AttributeProto, GraphProto, NodeProto, TensorProto, ValueInfoProto

LARGEST: Final = 2**30
"""Bytes of a file; the format itself ends at 2³¹."""
LOWEST_OPSET: Final = 7
HIGHEST_OPSET: Final = 26
"""The versions of the operations that are known here."""
_ONNX: Final = ("", "ai.onnx")
_PASSING: Final = frozenset(
    {"Identity", "Cast", "CastLike", "Dropout", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice"}
)
"""Operations whose output has the values of their first input."""
_ONNX_SIGN: Final = b"\x08"
_INLINE: Final = "load it with onnx.load and save it again with onnx.save, which puts everything into one file"
_OURS: Final = b'"format":"layerline"'
"""At the beginning of a model file."""
_ZIP_END: Final = 2**16
_TORCH: Final = (
    "in PyTorch, torch.onnx.export writes one; layerline.from_torch(module, input_shape) reads a module itself"
)
_ELSEWHERE: Final = {
    "PyTorch": _TORCH,
    "pickle": _TORCH,
    "Keras": 'in Keras, model.export("net.onnx", format="onnx") writes one',
    "TensorFlow": "tf2onnx makes one of it",
    "safetensors": "its weights have no network; layerline.from_torch(module, input_shape) reads a PyTorch module",
}
"""A word in the kind of a file → what makes an ONNX file of it."""
_NESTED: Final = ("If", "Loop", "Scan")
"""Operations with graphs of their own, which take their inputs from around them without naming them."""
_FLOAT, _INT, _TEXT, _TENSOR, _FLOATS, _INTS = 1, 2, 3, 4, 6, 7


@final
@dataclass(frozen=True, eq=False)
class Operation:
    """A node of the graph."""

    kind: str
    name: str
    """Its name in messages."""
    inputs: tuple[str, ...]
    """The names of its inputs; empty for one that is omitted."""
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    """Numbers, tuples of numbers, text, or arrays."""
    foreign: str = ""
    """The set of operations that it belongs to, if not ONNX's own."""

    def whole(self, name: str, otherwise: int) -> int:
        """Return an attribute that must be an integer. Raises NotCarriedError."""
        found = self.attributes.get(name, otherwise)
        if not isinstance(found, int):
            raise NotCarriedError(f"its {name} is not an integer")
        return found

    def real(self, name: str, otherwise: float) -> float:
        """Return an attribute that must be a number. Raises NotCarriedError."""
        found = self.attributes.get(name, otherwise)
        if not isinstance(found, int | float):
            raise NotCarriedError(f"its {name} is not a number")
        return float(found)

    def text(self, name: str, otherwise: str) -> str:
        """Return an attribute that must be text. Raises NotCarriedError."""
        found = self.attributes.get(name, otherwise)
        if not isinstance(found, str):
            raise NotCarriedError(f"its {name} is not text")
        return found

    def wholes(self, name: str) -> tuple[int, ...] | None:
        """Return an attribute that must be integers; None if it is omitted. Raises NotCarriedError."""
        found = self.attributes.get(name)
        if found is None or (isinstance(found, tuple) and all(isinstance(each, int) for each in found)):
            return found
        raise NotCarriedError(f"its {name} are not integers")

    @property
    def output(self) -> str:
        """Return the name of its first output."""
        return self.outputs[0]


@final
@dataclass(frozen=True, eq=False)
class Graph:
    """The content of a file."""

    operations: tuple[Operation, ...]
    constants: dict[str, NDArray[Any]]
    input: str
    input_type: int
    sizes: tuple[int | None, ...] | None
    """Of the input, the batch included; None where they are free, or if the file does not have them."""
    output: str
    opset: int
    metadata: dict[str, str]
    producer: str
    converted: tuple[str, ...]
    """The types of numbers, other than float32, that constants had."""

    @property
    def end(self) -> str:
        """Return the kind of the operation that computes the output, before those that only name or reshape it."""
        makers = {name: operation for operation in self.operations for name in operation.outputs}
        found = makers[self.output]
        while found.kind in _PASSING and found.inputs and found.inputs[0] in makers:
            found = makers[found.inputs[0]]
        return found.kind


def content_of(path: Path) -> bytes:
    """Return the bytes of a file. Raises UserError if it cannot be read, is too large, or is no ONNX file."""
    place = display.name(str(path), 200)
    try:
        with regular.opened(path) as file:
            start = file.read(300)
        content = regular.content(path, LARGEST)
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror or str(error)
        raise UserError(f"{place}: {reason}", "pass an ONNX file") from error
    if content is None:
        raise UserError(f"{place}: larger than {display.size(LARGEST)}", "networks for images are smaller")
    if not start:
        raise UserError(f"{place} is empty", "export or copy it again")
    if _OURS in start:
        read = f"layerline predict {shlex.quote(str(path))} IMAGE"
        raise UserError(f"{place}: is a model of Layerline already, not an ONNX file", read)
    kind = None if start.startswith(_ONNX_SIGN) else foreign(start, content[-_ZIP_END:])
    if kind is not None:
        advice = next((text for word, text in _ELSEWHERE.items() if word in kind), "pass a file that ends in .onnx")
        raise UserError(f"{place}: found {kind}, expected an ONNX file", advice)
    return content


def message_of(content: bytes, place: str) -> ModelProto:
    """Return the message in the bytes of a file. Raises UserError if it is damaged."""
    try:
        model = protobuf.decoded(ModelProto, content)
    except (WireFault, UnicodeDecodeError) as error:
        raise UserError(f"{place}: not an ONNX file, or damaged: {error}", "export or copy it again") from error
    if model.graph is None or not model.graph.node:
        raise UserError(f"{place}: has no operations", "pass the file of a trained network")
    return model


def graph_of(model: ModelProto, place: str) -> Graph:
    """Return the checked graph. Raises UserError."""
    graph = model.graph
    assert graph is not None  # noqa: S101 - message_of refuses that
    opset = _opset(model, place)
    kinds = {tensor.data_type for tensor in graph.initializer}
    constants: dict[str, NDArray[Any]] = {}
    for tensor in graph.initializer:
        if tensor.name in constants:
            raise UserError(f"{place}: has the constant {display.name(tensor.name)} twice", "export it again")
        constants[tensor.name] = _array(tensor, place)
    output = _only(place, "output", graph.output)
    operations = _needed(graph, output.name, constants, place)
    used = {name for operation in operations for name in operation.inputs} | {output.name}
    sources = tuple(each for each in graph.input if each.name not in constants and each.name in used)
    nested = next((each for each in operations if each.kind in _NESTED and not each.foreign), None)
    if not sources and nested is not None:
        what = f"{place}: {nested.name} ({nested.kind}): a branch or loop around the network is not supported"
        raise UserError(what, "export the network in evaluation mode, without it")
    source = _only(place, "input", sources)
    kind, sizes = _type(source)
    return Graph(
        operations,
        constants,
        source.name,
        kind,
        sizes,
        output.name,
        opset,
        {entry.key: entry.value for entry in model.metadata_props},
        f"{model.producer_name} {model.producer_version}".strip(),
        tuple(WIDE[each] for each in sorted(kinds & set(WIDE))),
    )


def _opset(model: ModelProto, place: str) -> int:
    found = [each.version for each in model.opset_import if each.domain in _ONNX]
    opset = found[0] if found else 1
    if not LOWEST_OPSET <= opset <= HIGHEST_OPSET:
        raise UserError(
            f"{place}: is of opset {opset}; this version of Layerline reads opsets {LOWEST_OPSET} to {HIGHEST_OPSET}",
            "export it with another opset, as in torch.onnx.export(…, opset_version=18)",
        )
    return opset


def _array(tensor: TensorProto, place: str) -> NDArray[Any]:
    name = display.name(tensor.name, 100)
    try:
        return array_of(tensor)
    except ArrayFault as fault:
        external = bool(tensor.external_data or tensor.data_location)
        raise UserError(
            f"{place}: constant {name}: {fault}", _INLINE if external else "export or copy the file again"
        ) from fault


def _only(place: str, what: str, several: tuple[ValueInfoProto, ...]) -> ValueInfoProto:
    """Return the only input or output. Raises UserError."""
    if len(several) == 1:
        return several[0]
    names = ", ".join(display.name(each.name, 60) for each in several[:8])
    count = display.counted(len(several), what)
    cut = "onnx.utils.extract_model(source, target, [input], [output]) writes a file with one of each"
    raise UserError(f"{place}: has {count}{f' ({names})' if names else ''}; a classifier of images has one", cut)


def _type(source: ValueInfoProto) -> tuple[int, tuple[int | None, ...] | None]:
    """Return the type of the values and the sizes."""
    tensor = source.type.tensor_type if source.type is not None else None
    if tensor is None:
        return 1, None
    if tensor.shape is None:
        return tensor.elem_type, None
    return tensor.elem_type, tuple(each.dim_value if each.dim_value > 0 else None for each in tensor.shape.dim)


def _needed(graph: GraphProto, output: str, constants: dict[str, Any], place: str) -> tuple[Operation, ...]:
    """Return the operations that the output needs, each after those that it needs. Raises UserError."""
    makers: dict[str, int] = {}
    for index, node in enumerate(graph.node):
        for name in filter(None, node.output):
            if name in makers or name in constants:
                raise UserError(f"{place}: computes {display.name(name)} twice", "export it again")
            makers[name] = index
    order: list[int] = []
    state: dict[int, bool] = {}  # False while its inputs are walked, True when it is in the order
    open_ = [(makers[output], False)] if output in makers else []
    while open_:
        index, ready = open_.pop()
        if ready:
            state[index] = True
            order.append(index)
        elif index not in state:
            state[index] = False
            open_.append((index, True))
            for name in reversed(graph.node[index].input):
                maker = makers.get(name)
                if maker is not None and state.get(maker) is False:
                    raise UserError(f"{place}: {display.name(name)} is computed from itself", "export it again")
                if maker is not None and maker not in state:
                    open_.append((maker, False))
    return tuple(_operation(graph.node[index], place) for index in order)


def _operation(node: NodeProto, place: str) -> Operation:
    name = display.name(node.name or next(filter(None, node.output), "?"), 60)
    if not node.output or not node.output[0]:
        raise UserError(f"{place}: {name} ({display.name(node.op_type, 40)}) has no output", "export it again")
    foreign_set = "" if node.domain in _ONNX else display.name(node.domain, 60)
    attributes = {each.name: _value(each, f"{place}: {name}") for each in node.attribute}
    return Operation(display.name(node.op_type, 60), name, node.input, node.output, attributes, foreign_set)


def _value(attribute: AttributeProto, place: str) -> Any:
    """Return the value of an attribute; None of a kind that no operation here has, such as a graph."""
    kind = attribute.type or _kind(attribute)
    if kind == _TENSOR and attribute.t is not None:
        return _array(attribute.t, place)
    if kind == _TEXT:
        return bytes(attribute.s).decode("utf-8", "replace")
    return {_FLOAT: attribute.f, _INT: attribute.i, _FLOATS: attribute.floats, _INTS: attribute.ints}.get(kind)


def _kind(attribute: AttributeProto) -> int:
    """Return the type of an attribute of a file that does not say it, as the oldest ones."""
    found = ((attribute.ints, _INTS), (attribute.floats, _FLOATS), (attribute.t, _TENSOR), (len(attribute.s), _TEXT))
    return next((kind for value, kind in found if value), _FLOAT if attribute.f else _INT)


def shortest(value: float) -> float:
    """Return the shortest decimal number that is the same float32: 1e-5 of 9.99999974737875e-06."""
    try:
        struct.pack("<f", value)
    except OverflowError:
        return value
    return float(str(np.float32(value)))
