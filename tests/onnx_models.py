"""Models to export, and files in ONNX's format to import, for the tests of both."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import random_networks
import trained_like

from layerline.data.dataset import Scaling
from layerline.export import formats
from layerline.export.export_options import ExportOptions
from layerline.export.onnx.messages import (
    AttributeProto,
    Dimension,
    GraphProto,
    ModelProto,
    NodeProto,
    OperatorSetIdProto,
    StringStringEntryProto,
    TensorProto,
    TensorShapeProto,
    TensorTypeProto,
    TypeProto,
    ValueInfoProto,
)
from layerline.files import protobuf
from layerline.network import parse
from layerline.runs.model_file import Preprocessing
from layerline.training import Model

if TYPE_CHECKING:
    from pathlib import Path

    from layerline.network import Network

TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int64": 7, "bool": 9, "float16": 10, "float64": 11}
"""NumPy's types → tensor types."""


def model(network: Network, seed: int = 0, maximum: float = 255.0, classes: tuple[str, ...] = ()) -> Model:
    """Return a model with weights as after a training: every statistic, bias and count differs from its start."""
    rng = np.random.default_rng(seed)
    weights = trained_like.weights_of(network, rng)
    C = network.input_shape[0]
    scaling = Scaling(tuple(rng.uniform(0.5, 2, C) / maximum), tuple(rng.normal(0, 0.3, C)))
    names = classes or tuple(f"class {k}" for k in range(network.classes))
    return Model(network, names, scaling, weights, preprocessing=Preprocessing(maximum=maximum))


def drawn(seed: int) -> Model:
    """Return a model of a random network of every layer."""
    return model(parse(random_networks.draw(Random(seed)), name="drawn"), seed)


def exported(subject: Model, **options: Any) -> bytes:
    """Return the bytes of an ONNX file."""
    return subject.exported(formats.format_of("onnx"), ExportOptions(**options)).files[".onnx"]


def images(subject: Model, count: int = 3, seed: int = 1) -> np.ndarray[Any, np.dtype[Any]]:
    """Return images (N, C, H, W) of bytes; rows of a table are float32."""
    kind = np.float32 if subject.network.input_shape[1:] == (1, 1) else np.uint8
    return np.random.default_rng(seed).integers(0, 256, (count, *subject.network.input_shape)).astype(kind)


def node(kind: str, inputs: str, output: str, domain: str = "", **attributes: Any) -> NodeProto:
    """Return an operation; the names of its inputs are separated by spaces, `-` for one that is left out."""
    names = tuple("" if name == "-" else name for name in inputs.split())
    listed = tuple(attribute(name, value) for name, value in attributes.items())
    return NodeProto(names, tuple(output.split()), f"the {output}", kind, listed, domain)


def attribute(name: str, value: Any) -> AttributeProto:
    if isinstance(value, np.ndarray):
        return AttributeProto(name, t=tensor("", value), type=4)
    if isinstance(value, str):
        return AttributeProto(name, s=value.encode(), type=3)
    if isinstance(value, float):
        return AttributeProto(name, f=value, type=1)
    return AttributeProto(name, i=value, type=2) if isinstance(value, int) else AttributeProto(name, ints=value, type=7)


def tensor(name: str, values: Any, **fields: Any) -> TensorProto:
    """Return a constant."""
    array = np.asarray(values)
    return TensorProto(array.shape, TYPES[str(array.dtype)], name=name, raw_data=array.tobytes(), **fields)


def value(name: str, sizes: tuple[int | str, ...], kind: int = 1) -> ValueInfoProto:
    """Return the description of an input or output; a size that is text is free."""
    dims = tuple(Dimension(dim_param=size) if isinstance(size, str) else Dimension(size) for size in sizes)
    return ValueInfoProto(name, TypeProto(TensorTypeProto(kind, TensorShapeProto(dims))))


def file(
    nodes: list[NodeProto],
    constants: dict[str, Any],
    sizes: tuple[int | str, ...] = ("N", 2, 6, 6),
    *,
    kind: int = 1,
    opset: int = 17,
    inputs: tuple[ValueInfoProto, ...] | None = None,
    outputs: tuple[str, ...] = ("y",),
    metadata: dict[str, str] | None = None,
) -> bytes:
    """Return the bytes of a file whose input is `x` and whose output is `y`; constants are arrays or tensors."""
    tensors = tuple(each if isinstance(each, TensorProto) else tensor(name, each) for name, each in constants.items())
    described = inputs if inputs is not None else (value("x", sizes, kind),)
    graph = GraphProto(tuple(nodes), "g", tensors, described, tuple(value(name, ("N", 3)) for name in outputs))
    entries = tuple(StringStringEntryProto(key, text) for key, text in (metadata or {}).items())
    return protobuf.encoded(
        ModelProto(8, "test", graph=graph, opset_import=(OperatorSetIdProto("", opset),), metadata_props=entries)
    )


def written(folder: Path, content: bytes, name: str = "net.onnx") -> Path:
    """Write a file, and return its path."""
    path = folder / name
    path.write_bytes(content)
    return path


def head(
    *nodes: NodeProto, channels: int = 4, outputs: int = 3, seed: int = 0
) -> tuple[list[NodeProto], dict[str, Any]]:
    """Return operations up to the value `h`, an image of some channels, with a classifier after it, and its weights."""
    rng = np.random.default_rng(seed)
    constants = {
        "fc.w": rng.normal(0, 1, (outputs, channels)).astype(np.float32),
        "fc.b": rng.normal(0, 1, outputs).astype(np.float32),
    }
    end = [node("GlobalAveragePool", "h", "pooled"), node("Flatten", "pooled", "vector"),
           node("Gemm", "vector fc.w fc.b", "y", transB=1)]  # fmt: skip
    return [*nodes, *end], constants
