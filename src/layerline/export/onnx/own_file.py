"""Files that Layerline wrote: if the graph is still what it writes for the network in the metadata, that is returned.

So comments, frozen parts, dropout and every other line without an operation come back, and the weights to the bit.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from layerline.errors import NetworkError, UserError
from layerline.export.onnx import writing
from layerline.export.onnx.messages import UINT8
from layerline.export.onnx.onnx_arrays import ArrayFault, array_of
from layerline.export.subject import Subject
from layerline.files import protobuf
from layerline.network import parse
from layerline.runs import model_file
from layerline.runs.model_file import FORMAT, ModelFile

if TYPE_CHECKING:
    from pathlib import Path

    from layerline.export.onnx.messages import GraphProto, ModelProto
    from layerline.network import Network
    from layerline.runs.model_file import Card


def card_of(model: ModelProto) -> Card | None:
    """Return the card in the metadata of a file; None if it has none, or one that is not valid."""
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if metadata.get("format") != FORMAT:
        return None
    try:
        return model_file.card_in(metadata)
    except (KeyError, TypeError, ValueError, RecursionError):
        return None


def read(path: Path, model: ModelProto, digest: str) -> ModelFile | None:
    """Return a model that Layerline exported; None if the file is another's, or was changed since."""
    card, graph = card_of(model), model.graph
    if card is None or graph is None or len(graph.input) != 1:
        return None
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    try:
        network = parse(card.network, name=card.network_name, input_shape=card.input_shape, classes=len(card.classes))
        weights = _weights(network, graph, metadata)
        found = model_file.checked(path, metadata, weights, digest)
    except (NetworkError, UserError, ArrayFault, KeyError, ValueError, TypeError, OverflowError, RecursionError):
        return None  # the graph itself is read instead
    subject = Subject(found.network, found.card, found.weights)
    content = protobuf.encoded(graph)
    ways = ((bytewise, last) for bytewise in _types(graph) for last in (False, True))
    same = any(
        content == protobuf.encoded(writing.graph_of(subject, bytewise=bytewise, channels_last=last))
        for bytewise, last in ways
    )
    return found if same else None


def _types(graph: GraphProto) -> tuple[bool, ...]:
    tensor = graph.input[0].type.tensor_type if graph.input[0].type is not None else None
    return () if tensor is None else (tensor.elem_type == UINT8,)


def _weights(network: Network, graph: GraphProto, metadata: dict[str, str]) -> dict[str, Any]:
    """Return the weights by name. Raises KeyError, TypeError, ValueError, OverflowError or ArrayFault."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    counts = json.loads(metadata.get(writing.COUNTS, "{}"))
    if not isinstance(counts, dict):
        raise TypeError("the counts of batches are not by name")
    return {
        name: array_of(constants[name])
        if weight.dtype == "float32"
        else np.array(int(counts.get(name, 0)), weight.dtype).reshape(weight.shape)
        for name, weight in network.weights.items()
    }
