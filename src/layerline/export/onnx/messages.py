"""The messages of an ONNX file, with the fields that we write or read: https://onnx.ai/onnx/intro/concepts.html.

Names and numbers are those of `onnx.proto`; other fields are skipped when a file is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

from layerline.files.protobuf import BYTES, FLOAT, INTEGER, TEXT, many, one

FLOAT32: Final = 1
UINT8: Final = 2
INT64: Final = 7
"""Types of tensors."""
MOST_NODES: Final = 50_000
"""Operations and constants of a file: the largest network has 10,000 layers."""


@final
@dataclass(frozen=True, slots=True)
class StringStringEntryProto:
    """An entry of the metadata."""

    key: str = one(1, TEXT, "")
    value: str = one(2, TEXT, "")


@final
@dataclass(frozen=True, slots=True)
class TensorProto:
    """An array; its values are in `raw_data`, little-endian, or in one of the lists."""

    dims: tuple[int, ...] = many(1, INTEGER, most=64)
    data_type: int = one(2, INTEGER, 0)
    float_data: tuple[memoryview, ...] = many(4, BYTES)
    """Packed: the bytes of the values."""
    int32_data: tuple[int, ...] = many(5, INTEGER, packed=True, most=2_000_000)
    int64_data: tuple[int, ...] = many(7, INTEGER, packed=True, most=2_000_000)
    name: str = one(8, TEXT, "")
    raw_data: bytes | memoryview = one(9, BYTES, b"")
    double_data: tuple[memoryview, ...] = many(10, BYTES)
    """Packed: the bytes of the values."""
    external_data: tuple[StringStringEntryProto, ...] = many(13, StringStringEntryProto)
    data_location: int = one(14, INTEGER, 0)


@final
@dataclass(frozen=True, slots=True)
class AttributeProto:
    """An attribute of a node; `type` names the field that has it."""

    name: str = one(1, TEXT, "")
    f: float = one(2, FLOAT, 0.0)
    i: int = one(3, INTEGER, 0)
    s: bytes | memoryview = one(4, BYTES, b"")
    t: TensorProto | None = one(5, TensorProto, None)
    floats: tuple[float, ...] = many(7, FLOAT)
    ints: tuple[int, ...] = many(8, INTEGER)
    type: int = one(20, INTEGER, 0)


@final
@dataclass(frozen=True, slots=True)
class NodeProto:
    """An operation."""

    input: tuple[str, ...] = many(1, TEXT)
    output: tuple[str, ...] = many(2, TEXT)
    name: str = one(3, TEXT, "")
    op_type: str = one(4, TEXT, "")
    attribute: tuple[AttributeProto, ...] = many(5, AttributeProto, most=1000)
    domain: str = one(7, TEXT, "")


@final
@dataclass(frozen=True, slots=True)
class Dimension:
    """A size, or a name for one that is free."""

    dim_value: int = one(1, INTEGER, 0)
    dim_param: str = one(2, TEXT, "")


@final
@dataclass(frozen=True, slots=True)
class TensorShapeProto:
    """The sizes of a tensor."""

    dim: tuple[Dimension, ...] = many(1, Dimension, most=64)


@final
@dataclass(frozen=True, slots=True)
class TensorTypeProto:
    """The type of a tensor's values, and its shape if it is known."""

    elem_type: int = one(1, INTEGER, 0)
    shape: TensorShapeProto | None = one(2, TensorShapeProto, None)


@final
@dataclass(frozen=True, slots=True)
class TypeProto:
    """The type of a value; None for sequences, maps and the like."""

    tensor_type: TensorTypeProto | None = one(1, TensorTypeProto, None)


@final
@dataclass(frozen=True, slots=True)
class ValueInfoProto:
    """An input or output."""

    name: str = one(1, TEXT, "")
    type: TypeProto | None = one(2, TypeProto, None)


@final
@dataclass(frozen=True, slots=True)
class GraphProto:
    """Operations, their constants, inputs and outputs."""

    node: tuple[NodeProto, ...] = many(1, NodeProto, most=MOST_NODES)
    name: str = one(2, TEXT, "")
    initializer: tuple[TensorProto, ...] = many(5, TensorProto, most=MOST_NODES)
    input: tuple[ValueInfoProto, ...] = many(11, ValueInfoProto, most=MOST_NODES)
    output: tuple[ValueInfoProto, ...] = many(12, ValueInfoProto, most=MOST_NODES)


@final
@dataclass(frozen=True, slots=True)
class OperatorSetIdProto:
    """A set of operations, and its version."""

    domain: str = one(1, TEXT, "")
    version: int = one(2, INTEGER, 0)


@final
@dataclass(frozen=True, slots=True)
class ModelProto:
    """The content of a file."""

    ir_version: int = one(1, INTEGER, 0)
    producer_name: str = one(2, TEXT, "")
    producer_version: str = one(3, TEXT, "")
    doc_string: str = one(6, TEXT, "")
    graph: GraphProto | None = one(7, GraphProto, None)
    opset_import: tuple[OperatorSetIdProto, ...] = many(8, OperatorSetIdProto, most=1000)
    metadata_props: tuple[StringStringEntryProto, ...] = many(14, StringStringEntryProto, most=10_000)
    functions: tuple[memoryview, ...] = many(25, BYTES)
    """Operations that the file defines itself, which are not read."""
