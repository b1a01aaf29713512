"""`--to onnx`: pixels in, probabilities out, and everything else that the model knows in the metadata."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import numpy as np

from layerline.compiler.dtype import DType
from layerline.export.formats import Exported
from layerline.export.onnx import runtime
from layerline.export.onnx.graph_writer import GraphWriter
from layerline.export.onnx.messages import (
    FLOAT32,
    UINT8,
    Dimension,
    GraphProto,
    ModelProto,
    OperatorSetIdProto,
    StringStringEntryProto,
    TensorShapeProto,
    TensorTypeProto,
    TypeProto,
    ValueInfoProto,
)
from layerline.export.onnx.operations import IR_VERSION, OPSET, WRITERS
from layerline.export.subject import pixel_type
from layerline.files import protobuf
from layerline.files.versions import versions
from layerline.layers.grammar import times
from layerline.numbers import display
from layerline.runs import model_file

if TYPE_CHECKING:
    from layerline.export.export_options import ExportOptions
    from layerline.export.subject import Subject
    from layerline.runs.model_file import Card

SUFFIX: Final = ".onnx"
IMAGES: Final = "images"
PROBABILITIES: Final = "probabilities"
COUNTS: Final = "batches_tracked"
"""The metadata key of BatchNorm's counts of batches, which no operation needs: name → count, without zeros."""
BATCH: Final = "N"


def export(subject: Subject, options: ExportOptions) -> Exported:
    """Return the file. Raises UserError if onnxruntime is installed and computes something else than Layerline."""
    bytewise = options.pixels == "uint8" and pixel_type(subject.card) is DType.U8
    channels_last = options.layout == "NHWC"
    content = protobuf.encoded(model_of(subject, bytewise=bytewise, channels_last=channels_last))
    C, H, W = subject.card.input_shape
    axes = f"{BATCH}×{times((H, W, C) if channels_last else (C, H, W))}"
    values = _values(subject.card)
    notes = []
    if options.pixels == "uint8" and not bytewise:
        largest = f"{subject.card.preprocessing.maximum:g}"
        why = f"have values from 0 to {largest}" if (H, W) != (1, 1) else "are rows of a table"
        notes.append(f"the input is float32, not uint8: the training images {why}")
    notes.append(runtime.checked(content, subject, IMAGES, bytewise=bytewise, channels_last=channels_last))
    sizes = (
        ("file", display.size(len(content))),
        ("input", f"{'uint8' if bytewise else 'float32'} {axes}, {values}"),
        ("output", f"float32 {BATCH}×{subject.network.classes}, probabilities"),
        ("opset", str(OPSET)),
    )
    return Exported({SUFFIX: content}, sizes, tuple(notes))


def model_of(subject: Subject, *, bytewise: bool, channels_last: bool) -> ModelProto:
    """Return the file as a message; its images are uint8 or float32, and (N, C, H, W) or (N, H, W, C)."""
    card = subject.card
    metadata = {**model_file.metadata_of(card), **_counts(subject)}
    return ModelProto(
        ir_version=IR_VERSION,
        producer_name=model_file.FORMAT,
        producer_version=versions()["layerline"],
        doc_string=_explained(card, bytewise=bytewise, channels_last=channels_last),
        graph=graph_of(subject, bytewise=bytewise, channels_last=channels_last),
        opset_import=(OperatorSetIdProto("", OPSET),),
        metadata_props=tuple(StringStringEntryProto(key, _unicode(value)) for key, value in metadata.items()),
    )


def graph_of(subject: Subject, *, bytewise: bool, channels_last: bool) -> GraphProto:
    """Return the operations from the images to the probabilities, with the weights as constants."""
    network, (C, H, W) = subject.network, subject.card.input_shape
    writer = GraphWriter()
    values = [_prepared(writer, subject, bytewise=bytewise, channels_last=channels_last)]
    for node in network.nodes:
        for name, weight in node.weights.items():
            if weight.dtype == "float32":
                writer.constant(name, subject.weights[name])
        inputs = tuple(values[k] for k in node.inputs)
        values.append(WRITERS[node.layer.kind](writer, node, node.layer, inputs))
    writer.operation("Softmax", PROBABILITIES, values[-1], axis=1)
    image = (H, W, C) if channels_last else (C, H, W)
    return GraphProto(
        tuple(writer.nodes),
        _unicode(network.name),
        tuple(writer.constants.values()),
        (_described(IMAGES, UINT8 if bytewise else FLOAT32, image),),
        (_described(PROBABILITIES, FLOAT32, (network.classes,)),),
    )


def _prepared(writer: GraphWriter, subject: Subject, *, bytewise: bool, channels_last: bool) -> str:
    """Write x · scale + shift, with two roundings as in the engines, and return its name."""
    scaling, C = subject.card.scaling, subject.card.input_shape[0]
    x = IMAGES
    if channels_last:
        x = writer.operation("Transpose", "planes", x, perm=(0, 3, 1, 2))
    if bytewise:
        x = writer.operation("Cast", "floats", x, to=FLOAT32)
    scale, shift = (np.asarray(each, np.float32).reshape(1, C, 1, 1) for each in (scaling.scale, scaling.shift))
    x = writer.operation("Mul", "scaled", x, writer.constant("scale", scale))
    if shift.any():
        x = writer.operation("Add", "shifted", x, writer.constant("shift", shift))
    return x


def _described(name: str, kind: int, sizes: tuple[int, ...]) -> ValueInfoProto:
    dims = (Dimension(dim_param=BATCH), *(Dimension(size) for size in sizes))
    return ValueInfoProto(name, TypeProto(TensorTypeProto(kind, TensorShapeProto(dims))))


def _counts(subject: Subject) -> dict[str, str]:
    found = {name: int(subject.weights[name]) for name, weight in subject.network.weights.items() if not weight.shape}
    counted = {name: count for name, count in found.items() if count}
    return {COUNTS: json.dumps(counted)} if counted else {}


def _explained(card: Card, *, bytewise: bool, channels_last: bool) -> str:
    """Return what the input and the output are, for people who open the file in a viewer."""
    C, H, W = card.input_shape
    axes, sizes = ("N, H, W, C", (H, W, C)) if channels_last else ("N, C, H, W", (C, H, W))
    colors = {1: ", gray", 3: ", RGB"}.get(C, "")
    kind = "uint8" if bytewise else "float32"
    return (
        f"{IMAGES}: {kind} ({axes}), {times(sizes)} per image{colors}, {_values(card)}, not scaled: "
        "the scaling is part of the graph. "
        f"{PROBABILITIES}: float32 (N, {len(card.classes)}), in the order of the classes in the metadata."
    )


def _values(card: Card) -> str:
    """Return what values an image has; those of 1×1 are rows of a table."""
    if card.input_shape[1:] == (1, 1):
        return "values as in training"
    return f"pixels from 0 to {card.preprocessing.maximum:g}"


def _unicode(text: str) -> str:
    """Return a text without lone surrogates, which file names may have and UTF-8 does not."""
    return text.encode("utf-8", "replace").decode("utf-8")
