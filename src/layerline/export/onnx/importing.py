"""A classifier in an ONNX file as a network with its weights, and everything that a model file needs besides."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from layerline.data.dataset import Scaling
from layerline.errors import CallError, NetworkError, UserError
from layerline.export.onnx import onnx_graph, own_file, runtime
from layerline.export.onnx.graph_walk import FREE_BATCH, GraphWalk
from layerline.layers.grammar import times
from layerline.network import parse
from layerline.network.pytorch.unsupported import Findings
from layerline.network_file import formatted
from layerline.numbers import display
from layerline.numbers.scalars import is_whole
from layerline.runs.model_file import BYTE, Preprocessing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from layerline.export.onnx.held import PixelScaling
    from layerline.export.onnx.onnx_graph import Graph
    from layerline.layers import Shape
    from layerline.network import Network
    from layerline.network.pytorch.blocks import Line
    from layerline.runs.model_file import Card

_UINT8: Final = 2
_INPUTS: Final = {1: "float32", 2: "uint8", 10: "float16", 11: "float64", 16: "bfloat16"}
"""The types of images that are read."""
_ELEMENTWISE: Final = frozenset({"Cast", "Pad", "Identity", "Add", "Sub", "Mul", "Div"})
_PLANAR: Final = frozenset(
    {"Conv", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "BatchNormalization"}
)
"""Operations whose images are (N, C, H, W)."""
_TO_PLANAR: Final = (0, 3, 1, 2)
_COLORS: Final = (1, 3)
_SMALL: Final = 1 / 25
"""A factor of the pixels up to this one is for pixels up to 255: it makes them 10 at most."""
_ENDS: Final = {"Softmax": "probabilities", "LogSoftmax": "logarithms of probabilities"}


@final
@dataclass(frozen=True, eq=False)
class Imported:
    """A file as a network with its weights."""

    network: Network
    classes: tuple[str, ...]
    scaling: Scaling
    preprocessing: Preprocessing
    weights: Mapping[str, NDArray[Any]]
    notes: tuple[str, ...]
    """What was decided, and what to check."""


@final
@dataclass(frozen=True)
class ImportOptions:
    """What a file does not say."""

    input_shape: Shape | None = None
    """(C, H, W), if the file leaves them free."""
    mean: tuple[float, ...] | None = None
    """Per channel, of pixels from 0 to 1: the file is for (pixel − mean) / std."""
    std: tuple[float, ...] | None = None


def imported(path: Path, options: ImportOptions) -> Imported:
    """Return the network in a file. Raises UserError; UnsupportedError for what a network file cannot express."""
    place = display.name(str(path), 200)
    content = onnx_graph.content_of(path)
    model = onnx_graph.message_of(content, place)
    ours = own_file.read(path, model, hashlib.sha256(content).hexdigest())
    if ours is not None:
        _check_unused(options, place)
        card = ours.card
        note = "written by Layerline: the network and the weights are those that were exported"
        return Imported(ours.network, card.classes, card.scaling, card.preprocessing, ours.weights, (note,))
    return _converted(onnx_graph.graph_of(model, place), own_file.card_of(model), content, path, options)


def _check_unused(options: ImportOptions, place: str) -> None:
    if options != ImportOptions():
        raise UserError(f"{place}: was written by Layerline and has its input and its scaling", "omit the options")


def _converted(graph: Graph, card: Card | None, content: bytes, path: Path, options: ImportOptions) -> Imported:
    place = display.name(str(path), 200)
    channels_last = _channels_last(graph)
    shape = _shape(graph, options, place, channels_last=channels_last)
    findings = Findings(place, rest="")
    batch = (graph.sizes or (None,))[0]
    walk = GraphWalk(graph, shape, batch or FREE_BATCH, findings)
    found = walk.lines(channels_last=channels_last)
    findings.raise_any()
    assert found is not None  # noqa: S101 - without a finding there are lines
    lines, output = found
    _check_end(lines, output.shape, output.order, findings)
    network = _network(lines, shape, path, graph, findings)
    weights = _weights(lines, network, place)
    scaling, preprocessing, notes = _scaled(graph, walk.scaling, card, options, shape[0], place)
    card = card if card is not None and len(card.classes) == network.classes else None
    classes = tuple(map(str, range(network.classes))) if card is None else card.classes
    notes = [*_notes(graph, card, network, notes)]
    result = Imported(network, classes, scaling, preprocessing, weights, ())
    notes.append(_checked(result, graph, content, options, place, channels_last=channels_last))
    return Imported(network, classes, scaling, preprocessing, weights, tuple(notes))


def _channels_last(graph: Graph) -> bool:
    """Return whether the images are (N, H, W, C): as the first layer shows or, if both are possible, the sizes."""
    open_, sizes = {graph.input}, graph.sizes or ()
    for operation in graph.operations:
        if not open_.intersection(operation.inputs):
            continue
        if operation.kind == "Transpose":
            return operation.attributes.get("perm") == _TO_PLANAR
        if operation.kind in _PLANAR or any(_has_planes(graph.constants.get(name)) for name in operation.inputs):
            return False
        if operation.kind in _ELEMENTWISE:
            open_.add(operation.output)
    return len(sizes) == 4 and sizes[3] in _COLORS and sizes[1] not in _COLORS


def _has_planes(constant: NDArray[Any] | None) -> bool:
    """Return whether a constant has one number for each channel of (N, C, H, W)."""
    return constant is not None and constant.ndim in (3, 4) and constant.shape[-3] > 1 == constant.shape[-1]


def _shape(graph: Graph, options: ImportOptions, place: str, *, channels_last: bool) -> tuple[int, int, int]:
    """Return (C, H, W) of the images. Raises UserError if the file and the options do not say it."""
    name = display.name(graph.input, 60)
    if graph.input_type not in _INPUTS:
        raise UserError(f"{place}: input {name} is not of a type for images", "export it with float32 or uint8 images")
    sizes = graph.sizes if graph.sizes is not None else (None,) * 4
    if len(sizes) != 4:
        text = "×".join("?" if size is None else str(size) for size in sizes) or "one number"
        raise UserError(
            f"{place}: input {name} is {text}; images have 4 dimensions",
            "export a network whose input is (N, C, H, W) or (N, H, W, C), gray images with one channel",
        )
    _, a, b, c = sizes
    found = (c, a, b) if channels_last else (a, b, c)
    given = _given(options.input_shape)
    if given is not None and any(size not in (None, wanted) for size, wanted in zip(found, given, strict=True)):
        fixed = "×".join("?" if size is None else str(size) for size in found)
        raise UserError(
            f"{place}: its images are {fixed}, not {'×'.join(map(str, given))}", "omit the size of the images"
        )
    C, H, W = given or found
    if C is None or H is None or W is None:
        size = f"{C or 3}x{H or 224}x{W or 224}"
        free = ", ".join(
            word for word, size in zip(("channels", "height", "width"), (C, H, W), strict=True) if size is None
        )
        raise UserError(
            f"{place}: leaves the size of its images free ({free})",
            f"specify the size of its training: --input {size}; in Python: input_shape=({size.replace('x', ', ')})",
        )
    if max(C, H, W) > 2**20:
        raise UserError(f"{place}: its images of {times((C, H, W))} are too large")
    return C, H, W


def _given(shape: Any) -> tuple[int, int, int] | None:
    if shape is None:
        return None
    sizes = tuple(shape) if isinstance(shape, tuple | list) else ()
    if len(sizes) != 3 or not all(is_whole(size) and size >= 1 for size in sizes):
        raise CallError(
            f"input_shape={display.name(str(shape), 60)}: must be channels, height and width", "such as (3, 224, 224)"
        )
    return int(sizes[0]), int(sizes[1]), int(sizes[2])


def _check_end(lines: list[Line], shape: Shape, order: Shape | None, findings: Findings) -> None:
    """Raise UnsupportedError if the lines do not end with one number for each class."""
    for line in lines[:-1]:
        if line.part is not None and line.part.layer.last_only:
            findings.add(*line.place, "a softmax is only available at the end")
    last = lines[-1] if lines else None
    if last is None:
        findings.add(findings.name, "output", "it has no layers")
    elif len(shape) == 3:
        findings.add(*last.place, f"the output is a {times(shape)} image; a classifier outputs one number per class")
    elif shape == (1,):
        reason = "the output is one number; a network has one output per class: two classes need two, without a sigmoid"
        findings.add(*last.place, reason)
    elif order is not None:
        findings.add(*last.place, "the output is an image whose channels are the last dimension")
    elif last.part is not None and last.part.layer.kind == "sigmoid":
        reason = (
            "it ends with a sigmoid, for classes that do not exclude each other; a network here ends with a softmax"
        )
        findings.add(*last.place, reason)
    findings.raise_any()


def _network(lines: list[Line], shape: Shape, path: Path, graph: Graph, findings: Findings) -> Network:
    """Return the network of the lines, read by the parser, so that all of its checks apply."""
    producer = f", {display.name(graph.producer, 60)}" if graph.producer else ""
    head = f"# from ONNX: {display.name(path.name, 60)}{producer}\nInput {' '.join(map(str, shape))}\n"
    text = head + "\n".join(line.text for line in lines) + "\n"
    try:
        return parse(formatted(text), name=path.stem)
    except NetworkError as error:
        findings.add(findings.name, "network", error.with_flags)
        findings.raise_any()
        raise


def _weights(lines: list[Line], network: Network, place: str) -> dict[str, NDArray[Any]]:
    """Return the weights as float32 by their names in the network; a count of batches is 0."""
    nodes = (node for node in network.nodes if not node.layer.branches)
    found: dict[str, NDArray[Any]] = {}
    for part, node in zip((line.part for line in lines if line.part is not None), nodes, strict=True):
        for name, weight in node.weights.items():
            values = part.weights.get(name.rpartition(".")[2], 0)
            with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, which is refused below
                found[name] = np.array(values, weight.dtype).reshape(weight.shape)
            if not np.isfinite(found[name]).all():
                raise UserError(f"{place}: {name} has NaN or infinite values", "export weights that are finite")
    return found


def _scaled(
    graph: Graph, inside: PixelScaling | None, card: Card | None, options: ImportOptions, channels: int, place: str
) -> tuple[Scaling, Preprocessing, list[str]]:
    """Return the scaling of pixels, how image files are prepared, and notes on both."""
    scale, shift = (np.ones(channels), np.zeros(channels)) if inside is None else (inside.scale, inside.shift)
    mean, std = (_numbers(options, name, channels) for name in ("mean", "std"))
    notes = []
    if mean is not None or std is not None:
        mean, std = (np.zeros(channels) if mean is None else mean), (np.ones(channels) if std is None else std)
        scale, shift = scale / std, shift - scale * mean / std
        preprocessing = Preprocessing(maximum=1.0)
    elif card is not None:
        preprocessing = card.preprocessing
    else:
        bright = bool((np.abs(shift) > np.abs(scale)).any())  # the pixel that becomes 0 is not from 0 to 1
        bytewise = graph.input_type == _UINT8 or bright or float(np.abs(scale).max()) <= _SMALL
        preprocessing = Preprocessing(maximum=BYTE if bytewise else 1.0)
        notes.append(
            f"pixels of image files are passed to it as values from 0 to {preprocessing.maximum:g}"
            + ("" if bytewise else "; if it was trained on normalized images, specify their mean and std")
        )
    if not (np.isfinite(scale).all() and np.isfinite(shift).all()) or not np.abs([*scale, *shift]).max() < 1e30:
        raise UserError(f"{place}: its scaling of pixels is not finite", "export it without")
    return Scaling(tuple(scale.tolist()), tuple(shift.tolist())), preprocessing, notes


def _numbers(options: ImportOptions, name: str, channels: int) -> NDArray[np.float64] | None:
    values: Sequence[float] | None = getattr(options, name)
    if values is None:
        return None
    try:
        found = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise CallError(f"{name}={display.name(str(values), 60)}: must be numbers", "one per channel") from error
    found = found.reshape(1) if not found.ndim else found
    if found.shape not in ((1,), (channels,)) or not np.isfinite(found).all() or (name == "std" and (found <= 0).any()):
        wanted = "one number" if channels == 1 else f"one number, or {channels}: one per channel"
        written = ", ".join(f"{value:g}" for value in found.reshape(-1)[:8])
        raise UserError(f"{name} {written}: must be {wanted}{', above 0' if name == 'std' else ''}")
    return np.broadcast_to(found, (channels,))


def _notes(graph: Graph, card: Card | None, network: Network, notes: list[str]) -> list[str]:
    what = _ENDS.get(graph.end, "logits")
    ours = "so is Layerline's" if graph.end == "Softmax" else "Layerline's is probabilities, by a softmax"
    found = [f"its output is {what}; {ours}", *notes]
    if card is None:
        found.append(f"the file has no class names: the classes are called 0 to {network.classes - 1}")
    if graph.converted:
        found.append(f"its weights are {' and '.join(graph.converted)}; they were converted to float32")
    return found


def _checked(
    result: Imported, graph: Graph, content: bytes, options: ImportOptions, place: str, *, channels_last: bool
) -> str:
    """Return a note on the comparison with onnxruntime. Raises UserError if the results differ."""
    if not runtime.installed():
        return f"not checked, because onnxruntime is not installed: {runtime.INSTALL}"
    images = runtime.sample(result.network.input_shape)
    pixels = images if graph.input_type == _UINT8 else images * np.float32(result.preprocessing.maximum / BYTE)
    ours = runtime.probabilities(result.network, result.scaling, result.weights, pixels)
    fed = _fed(pixels, graph, options, channels_last=channels_last)
    theirs = runtime.attempted(content, fed, graph.input, graph.sizes)
    if isinstance(theirs, str):
        return theirs
    theirs = theirs.reshape(len(theirs), -1)  # some have C×1×1 outputs
    return runtime.agreed(
        ours,
        theirs if graph.end == "Softmax" else runtime.softmax(theirs),
        place,
        halved=bool({"float16", "bfloat16"} & {*graph.converted}),
    )


def _fed(pixels: NDArray[Any], graph: Graph, options: ImportOptions, *, channels_last: bool) -> NDArray[Any]:
    """Return pixels as the input of the file has them."""
    C = pixels.shape[1]
    mean, std = (_numbers(options, name, C) for name in ("mean", "std"))
    if mean is not None:
        pixels = pixels - mean.reshape(1, C, 1, 1)
    if std is not None:
        pixels = pixels / std.reshape(1, C, 1, 1)
    pixels = pixels.astype(np.dtype(_INPUTS[graph.input_type]))
    return pixels.transpose(0, 2, 3, 1) if channels_last else pixels
