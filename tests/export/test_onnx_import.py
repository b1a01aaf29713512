"""Classifiers in ONNX files as models: what exporters write, what comes back of our own files, and what is refused."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_models
import onnx_runtime
import pytest
from command import PLAIN, run
from onnx_graphs import ACTIVATIONS, BASE, BIAS, FC, GRAPHS, W, conv
from onnx_models import file, head, node, written

import layerline
from layerline.errors import UserError
from layerline.export.onnx import importing, runtime
from layerline.export.onnx.messages import ModelProto, StringStringEntryProto
from layerline.files import protobuf
from layerline.network import preset, presets

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from layerline.export.onnx.messages import NodeProto
    from layerline.training import Model

CLOSE = 1e-5
SIZES = {"digits": (1, 8, 8), "keras-mnist": (1, 28, 28), "lenet5": (1, 28, 28), "photo-small": (3, 48, 48)}


def same_weights(ours: Model, theirs: Model) -> None:
    """Assert that two models have the same weights, to the bit."""
    assert list(ours.weights) == list(theirs.weights)
    for name, weight in ours.weights.items():
        assert (weight.dtype, weight.tobytes()) == (theirs.weights[name].dtype, theirs.weights[name].tobytes())


def without_metadata(content: bytes) -> bytes:
    """Return a file of ours as if another program had written it."""
    message = protobuf.decoded(ModelProto, content)
    return protobuf.encoded(ModelProto(message.ir_version, graph=message.graph, opset_import=message.opset_import))


def lines(model: Model) -> list[str]:
    """Return the lines of a network after its Input, without indentation."""
    text = [line.strip() for line in model.network.text.splitlines()]
    return text[2:] if text[0].startswith("#") else text[1:]


@pytest.mark.parametrize("seed", range(25))
def test_an_export_comes_back(seed: int, tmp_path: Path) -> None:
    """With the same text, to the comment, and the same bits of every weight, whichever input it has."""
    model = onnx_models.drawn(seed)
    pixels, layout = ("uint8", "float32")[seed % 2], ("NCHW", "NHWC")[seed // 2 % 2]
    back = layerline.from_onnx(written(tmp_path, onnx_models.exported(model, pixels=pixels, layout=layout)))
    assert back.network == model.network
    assert (back.classes, back.scaling) == (model.classes, model.scaling)
    assert back.preprocessing == model.preprocessing
    same_weights(back, model)


@pytest.mark.parametrize("name", presets())
def test_presets_come_back(name: str, tmp_path: Path) -> None:
    """The same of every preset."""
    network = layerline.parse(preset(name), name=name, input_shape=SIZES.get(name, (3, 32, 32)), classes=10)
    model = onnx_models.model(network)
    back = layerline.from_onnx(written(tmp_path, onnx_models.exported(model)))
    assert (back.network.text, back.network.name) == (network.text, name)
    same_weights(back, model)


@pytest.mark.parametrize("seed", range(25, 50))
def test_without_the_metadata_the_graph_is_read(seed: int, tmp_path: Path) -> None:
    """The same probabilities, from the operations alone."""
    model = onnx_models.drawn(seed)
    layout = ("NCHW", "NHWC")[seed % 2]
    path = written(tmp_path, without_metadata(onnx_models.exported(model, layout=layout)))
    images = onnx_models.images(model)
    np.testing.assert_allclose(
        layerline.from_onnx(path).probabilities(images), model.probabilities(images), rtol=0, atol=CLOSE
    )


def test_numbers_come_back_as_the_shortest_decimals(tmp_path: Path) -> None:
    """eps, slope and alpha are float32 in a file: 1e-5, not 9.999999747378752e-06."""
    text = "Input 2 5 5\nConv 3 3\nBatchNorm eps=1e-5\nLeakyReLU 0.2\nBatchNorm eps=0.003\nELU 0.7\nFlat\nFC 4\n"
    model = onnx_models.model(layerline.parse(text))
    back = layerline.from_onnx(written(tmp_path, without_metadata(onnx_models.exported(model))))
    wanted = [
        "Conv 3 kernel=3",
        "BatchNorm",
        "LeakyReLU 0.2",
        "BatchNorm eps=0.003",
        "ELU 0.7",
        "Flat",
        "FC 4",
        "Softmax",
    ]
    assert lines(back) == wanted
    counts = {name: weight for name, weight in model.weights.items() if not name.endswith("num_batches_tracked")}
    for name, weight in counts.items():
        assert back.weights[name].tobytes() == weight.tobytes()


def test_a_changed_file_is_read_from_its_graph(tmp_path: Path) -> None:
    """If the network in the metadata is not what the graph computes, the graph counts; the classes stay."""
    model = onnx_models.model(
        layerline.parse("Input 2 4 4\nTanh\nConv 3 3\nFlat\nFC 4\n"), classes=("a", "b", "c", "d")
    )
    message = protobuf.decoded(ModelProto, onnx_models.exported(model))
    entries = tuple(
        StringStringEntryProto(each.key, each.value.replace("Tanh", "Sigmoid")) for each in message.metadata_props
    )
    changed = ModelProto(message.ir_version, graph=message.graph, opset_import=message.opset_import,
                         metadata_props=entries)  # fmt: skip
    back = layerline.from_onnx(written(tmp_path, protobuf.encoded(changed)))
    assert lines(back)[0] == "Tanh"
    assert back.classes == ("a", "b", "c", "d")


def imported(folder: Path, nodes: Sequence[NodeProto], constants: dict[str, Any], sizes: Any = ("N", 2, 6, 6)) -> Model:
    """Return the model of a graph, whose probabilities must be those of the graph by its operations' definitions."""
    used = {name for each in nodes for name in each.input}
    content = file([*nodes], {name: array for name, array in constants.items() if name in used}, sizes)
    model = layerline.from_onnx(written(folder, content))
    C, H, W_ = model.network.input_shape
    images = np.random.default_rng(0).normal(0, 1, (3, C, H, W_)).astype(np.float32)
    last = isinstance(sizes[3], int) and sizes[3] == C and sizes[1] != C
    logits = onnx_runtime.run(content, images.transpose(0, 2, 3, 1) if last else images)
    expected = logits
    if nodes[-1].op_type != "Softmax":
        expected = np.exp(logits - logits.max(1, keepdims=True))
        expected /= expected.sum(1, keepdims=True)
    np.testing.assert_allclose(model.probabilities(images), expected, rtol=0, atol=2e-5)
    return model


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_recognized(name: str, tmp_path: Path) -> None:
    """However exporters spell them."""
    expected, nodes = ACTIVATIONS[name]
    graph, constants = head(*BASE, *nodes)
    model = imported(tmp_path, graph, W | constants)
    between = expected.split("\n") if expected else []
    assert lines(model) == ["Conv 4 kernel=3 bias=no", *between, "GlobalPool", "Flat", "FC 3"]


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs(name: str, tmp_path: Path) -> None:
    """Each becomes the lines that a person would write."""
    expected, nodes = GRAPHS[name]
    graph, constants = head(*nodes)
    more = {"v6": np.random.default_rng(2).normal(0, 1, (4, 6, 1, 1)).astype(np.float32)}
    model = imported(tmp_path, graph, W | constants | more)
    assert lines(model) == [*expected.split("\n"), "GlobalPool", "Flat", "FC 3"]


ENDS: dict[str, list[NodeProto]] = {
    "flatten": [node("Flatten", "a", "f"), node("MatMul", "f fc", "m"), node("Add", "m bias", "y")],
    "minus one": [node("Reshape", "a flat", "f"), node("MatMul", "f fc", "m"), node("Add", "bias m", "y")],
    "by its shape": [
        node("Shape", "a", "p"), node("Gather", "p zero", "q", axis=0), node("Unsqueeze", "q axis0", "r"),
        node("Concat", "r minus1", "t", axis=0), node("Reshape", "a t", "f"), node("Gemm", "f fc bias", "y"),
    ],
    "a constant node": [
        node("Constant", "", "k", value=np.array([0, -1], np.int64)), node("Reshape", "a k", "f"),
        node("Gemm", "f fc bias", "y"),
    ],
    "a softmax": [node("Flatten", "a", "f"), node("Gemm", "f fc bias", "m"), node("Softmax", "m", "y", axis=-1)],
}  # fmt: skip


@pytest.mark.parametrize("name", ENDS)
def test_flattening(name: str, tmp_path: Path) -> None:
    """Every idiom of exporters for the same Flat, and every product for the same FC."""
    constants = W | {"fc": FC, "bias": BIAS}
    model = imported(tmp_path, [*BASE, *ENDS[name]], constants)
    assert lines(model) == ["Conv 4 kernel=3 bias=no", "Flat", "FC 3", *["Softmax"] * (name == "a softmax")]
    assert model.weights["2.weight"].tobytes() == np.ascontiguousarray(FC.T).tobytes()
    assert model.weights["2.bias"].tobytes() == BIAS.tobytes()


AFTER: dict[str, list[NodeProto]] = {
    "another name": [node("Identity", "p", "y")],
    "a type": [node("Cast", "p", "y", to=1)],
    "the type of a value": [node("CastLike", "p m", "y")],
    "a shape": [node("Reshape", "p flat", "q"), node("Identity", "q", "y")],
}
"""What an exporter may write after a softmax, from `p` to `y`."""


@pytest.mark.parametrize("name", AFTER)
@pytest.mark.parametrize("kind", ["Softmax", "LogSoftmax"])
def test_the_end_of_a_file_is_its_softmax(kind: str, name: str, tmp_path: Path) -> None:
    """The output is still probabilities, or their logarithms: for the note, and for the comparison with onnxruntime."""
    nodes = [*BASE, node("Flatten", "a", "f"), node("Gemm", "f fc bias", "m"), node(kind, "m", "p"), *AFTER[name]]
    used = {name for each in nodes for name in each.input}
    held = {name: array for name, array in (W | {"fc": FC, "bias": BIAS}).items() if name in used}
    path = written(tmp_path, file(nodes, held))
    found = importing.imported(path, importing.ImportOptions())
    what = "probabilities; so is" if kind == "Softmax" else "logarithms of probabilities; Layerline's is probabilities"
    assert found.notes[0].startswith(f"its output is {what}")
    assert found.network.nodes[-1].layer.kind == "softmax"


def test_a_constant_has_the_type_of_a_value(tmp_path: Path) -> None:
    """7 of the type of 2.0 divided by 2 is 3.5; and one of the type of what the images become is float32."""
    nodes = [
        *BASE, node("CastLike", "seven 2", "k"), node("Div", "k 2", "half"), node("CastLike", "two a", "t"),
        node("Div", "half t", "p"), node("Mul", "s p", "q"), node("Mul", "a q", "b"), node("Flatten", "b", "f"),
        node("Gemm", "f fc bias", "y"),
    ]  # fmt: skip
    more = {"fc": FC, "bias": BIAS, "seven": np.array(7, np.int64), "2": np.float32(2), "two": np.array(2, np.int64)}
    model = imported(tmp_path, nodes, {name: array for name, array in W.items() if name not in ("half", "b")} | more)
    assert lines(model)[1] == "Depthwise 1 bias=no"
    np.testing.assert_allclose(model.weights["1.weight"].reshape(-1), W["s"].reshape(-1) * 1.75, rtol=1e-6)


@pytest.mark.parametrize(
    "counts",
    ["[1]", "null", "3", '{"1.num_batches_tracked": 1e999}', '{"1.num_batches_tracked": 1' + "0" * 30 + "}",
     '{"1.num_batches_tracked": [1]}', "[" * 100_000],
    ids=["list", "null", "number", "infinite", "large", "of a list", "deep"],
)  # fmt: skip
def test_metadata_that_is_not_ours_is_ignored(counts: str, tmp_path: Path) -> None:
    """As that of a file that was changed: the graph is read instead."""
    model = onnx_models.model(layerline.parse("Input 2 4 4\nConv 3 3\nBatchNorm\nFlat\nFC 4\n"))
    message = protobuf.decoded(ModelProto, onnx_models.exported(model))
    entries = (*message.metadata_props, StringStringEntryProto("batches_tracked", counts))
    path = written(tmp_path, protobuf.encoded(dataclasses.replace(message, metadata_props=entries)))
    notes = importing.imported(path, importing.ImportOptions()).notes
    assert not notes[0].startswith("written by Layerline")


def test_channels_last(tmp_path: Path) -> None:
    """As Keras flattens: height, width, channel; the weights of the FC are put into our order."""
    nodes = [
        node("Transpose", "x", "t", perm=(0, 3, 1, 2)), conv("t", "a", "w"), node("Relu", "a", "r"),
        node("Transpose", "r", "u", perm=(0, 2, 3, 1)), node("Reshape", "u flat", "f"),
        node("BatchNormalization", "f g g g g", "n"), node("MatMul", "n fc", "m"), node("Add", "m bias", "y"),
    ]  # fmt: skip
    constants = W | {"fc": FC, "bias": BIAS, "g": np.random.default_rng(4).uniform(0.5, 1, 64).astype(np.float32)}
    model = imported(tmp_path, nodes, constants, ("N", 6, 6, 2))
    assert lines(model) == ["Conv 4 kernel=3 bias=no", "ReLU", "Flat", "BatchNorm", "FC 3"]
    assert model.network.input_shape == (2, 6, 6)


def test_preparation_becomes_the_scaling(tmp_path: Path) -> None:
    """uint8 images, divided and normalized per channel in the graph: no line, but the model's scaling."""
    mean, std = np.array([0.25, 0.5], np.float32).reshape(1, 2, 1, 1), np.array([0.5, 0.25], np.float32)
    nodes = [
        node("Cast", "x", "p", to=1), node("Div", "p byte", "q"), node("Sub", "q mean", "r"), node("Div", "r std", "t"),
        conv("t", "h", "w"),
    ]  # fmt: skip
    graph, constants = head(*nodes)
    constants |= {"byte": np.float32(255), "mean": mean, "std": std.reshape(1, 2, 1, 1), "w": W["w"]}
    content = file(graph, constants, kind=2)
    model = layerline.from_onnx(written(tmp_path, content))
    assert lines(model)[0] == "Conv 4 kernel=3 bias=no"
    np.testing.assert_allclose(model.scaling.scale, [1 / 127.5, 4 / 255])
    np.testing.assert_allclose(model.scaling.shift, [-0.5, -2])
    assert model.preprocessing.maximum == 255
    images = np.random.default_rng(0).integers(0, 256, (3, 2, 6, 6)).astype(np.uint8)
    logits = onnx_runtime.run(content, images)
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(images), expected, rtol=0, atol=CLOSE)


@pytest.mark.parametrize(("factor", "maximum"), [(1 / 255, 255.0), (2.0, 1.0)])
def test_a_small_factor_is_for_bytes(factor: float, maximum: float, tmp_path: Path) -> None:
    """Keras divides by 255 in the network: then an image file's pixels are passed as they are."""
    graph, constants = head(node("Mul", "x factor", "p"), conv("p", "h", "w"))
    content = file(graph, {**constants, "w": W["w"], "factor": np.float32(factor)})
    model = layerline.from_onnx(written(tmp_path, content))
    assert model.preprocessing.maximum == maximum
    np.testing.assert_allclose(model.scaling.scale, factor)


AFTER_SOFTMAX: dict[str, list[NodeProto]] = {
    "nothing": [],
    "identity": [node("Identity", "p", "y")],
    "a cast, as of float16 files": [node("Cast", "p", "y", to=1)],
    "a shape": [node("Reshape", "p flat", "q"), node("Dropout", "q", "y")],
}


@pytest.mark.parametrize("name", AFTER_SOFTMAX)
def test_what_follows_a_softmax_changes_nothing(name: str, tmp_path: Path) -> None:
    """The outputs are taken as probabilities, whatever passes them on."""
    after = AFTER_SOFTMAX[name]
    nodes = [*BASE, node("Flatten", "a", "f"), node("Gemm", "f fc bias", "m"),
             node("Softmax", "m", "p" if after else "y", axis=-1), *after]  # fmt: skip
    used = {"w": W["w"], "fc": FC, "bias": BIAS} | ({"flat": W["flat"]} if name == "a shape" else {})
    path = written(tmp_path, file(nodes, used))
    found = importing.imported(path, importing.ImportOptions())
    assert found.notes[0] == "its output is probabilities; so is Layerline's"
    assert found.network.text.splitlines()[-2:] == ["FC 3", "Softmax"]


FLAT_ENDS: dict[str, tuple[int, list[NodeProto]]] = {
    "logits": (17, []),
    "softmax over channels": (17, [node("Softmax", "p", "y", axis=1)]),
    "softmax over everything, opset 9": (9, [node("Softmax", "p", "y")]),
    "softmax, squeezed": (17, [node("Softmax", "p", "q", axis=1), node("Squeeze", "q axes11", "y")]),
    "softmax, flattened": (17, [node("Softmax", "p", "q", axis=1), node("Flatten", "q", "y")]),
    "softmax, channels last": (17, [
        node("Transpose", "p", "t", perm=(0, 2, 3, 1)), node("Softmax", "t", "u"), node("Squeeze", "u last", "y")]),
}  # fmt: skip


@pytest.mark.parametrize("name", FLAT_ENDS)
def test_classes_may_be_an_image_of_one_pixel(name: str, tmp_path: Path) -> None:
    """SqueezeNet and DenseNet of the ONNX model zoo end with C×1×1, with and without a softmax."""
    opset, end = FLAT_ENDS[name]
    nodes = [*BASE, node("GlobalAveragePool", "a", "p" if end else "y"), *end]
    used = {key for each in nodes for key in each.input}
    path = written(tmp_path, file(nodes, {key: W[key] for key in W if key in used}, opset=opset))
    found = importing.imported(path, importing.ImportOptions())
    expected = ["Conv 4 kernel=3 bias=no", "GlobalPool", "Flat", *["Softmax"] * bool(end)]
    assert found.network.text.splitlines()[2:] == expected
    assert found.notes[0].startswith("its output is probabilities" if end else "its output is logits")


NUMBERS: dict[str, tuple[str, list[NodeProto]]] = {
    "an image, halved": ("Depthwise 1 bias=no", [node("Mul", "a half", "h")]),
    "an image, moved": ("Depthwise 1", [node("Div", "a 3", "p"), node("Add", "p 1", "h")]),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_an_image_times_a_number_is_a_depthwise(name: str, tmp_path: Path) -> None:
    """One number is no activation, and there is a layer for it."""
    expected, nodes = NUMBERS[name]
    graph, constants = head(*BASE, *nodes)
    model = imported(tmp_path, graph, W | constants)
    assert lines(model)[1:2] == [expected]


@pytest.mark.parametrize("number", ["half", "three"])
def test_a_vector_times_numbers_is_a_batch_norm(number: str, tmp_path: Path) -> None:
    """As of a temperature, or of Paddle's Dropout: one number, or one per value; the probabilities are the file's."""
    constants = W | {"fc": FC, "bias": BIAS, "three": np.array([0.5, 2, 3], np.float32)}
    nodes = [*BASE, node("Flatten", "a", "f"), node("Gemm", "f fc bias", "m"), node("Mul", f"m {number}", "y")]
    model = imported(tmp_path, nodes, constants)
    assert lines(model)[1:] == ["Flat", "FC 3", "BatchNorm"]


def test_a_slice_of_everything_is_nothing(tmp_path: Path) -> None:
    """GhostNet slices the channels that it needs, which may be all."""
    cut = {"from": np.array([0]), "to": np.array([4]), "channels": np.array([1])}
    graph, constants = head(*BASE, node("Slice", "a from to channels", "h"))
    used = {"w": W["w"], **constants, **cut}
    assert lines(layerline.from_onnx(written(tmp_path, file(graph, used))))[1] == "GlobalPool"


@pytest.mark.parametrize(("mean", "maximum"), [(0.5, 1.0), (117.0, 255.0)])
def test_a_mean_above_white_is_for_bytes(mean: float, maximum: float, tmp_path: Path) -> None:
    """Caffe's networks subtract the mean of bytes: image files' pixels are passed as they are."""
    graph, constants = head(node("Sub", "x mean", "p"), conv("p", "h", "w"))
    content = file(graph, {**constants, "w": W["w"], "mean": np.full((1, 2, 1, 1), mean, np.float32)})
    assert layerline.from_onnx(written(tmp_path, content)).preprocessing.maximum == maximum


def test_mean_and_std_normalize_pixels(tmp_path: Path) -> None:
    """For a file of normalized images, the model takes pixels, and normalizes them as torchvision does."""
    graph, constants = head(conv("x", "h", "w"))
    content = file(graph, {**constants, "w": W["w"]})
    model = layerline.from_onnx(written(tmp_path, content), mean=(0.25, 0.5), std=(0.5, 0.25))
    pixels = np.random.default_rng(0).integers(0, 256, (3, 2, 6, 6)).astype(np.uint8)
    normalized = (pixels / 255 - np.reshape([0.25, 0.5], (1, 2, 1, 1))) / np.reshape([0.5, 0.25], (1, 2, 1, 1))
    logits = onnx_runtime.run(content, normalized.astype(np.float32))
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    with pytest.warns(layerline.ImagesWarning):
        found = model.predict_proba(pixels)
    np.testing.assert_allclose(found, expected, rtol=0, atol=CLOSE)


def test_weights_of_two_layers_may_be_one_tensor(tmp_path: Path) -> None:
    """Exporters merge equal constants; each layer gets a copy."""
    graph, constants = head(*BASE, conv("a", "p", "v"), node("Relu", "p", "q"), conv("q", "h", "v"))
    model = imported(tmp_path, graph, W | constants)
    assert model.weights["1.weight"].tobytes() == model.weights["3.weight"].tobytes()


def test_the_order_of_nodes_does_not_matter(tmp_path: Path) -> None:
    """A file may list them in any order."""
    graph, constants = head(*GRAPHS["residual"][1])
    content = file(graph[::-1], {**{name: W[name] for name in ("w", "v")}, **constants})
    model = layerline.from_onnx(written(tmp_path, content))
    assert lines(model)[1] == "Residual"


@pytest.mark.parametrize("kind", ["float16", "float64"])
def test_other_floats_become_float32(kind: str, tmp_path: Path) -> None:
    """Of half and double precision, with a note."""
    graph, constants = head(conv("x", "h", "w"))
    ran = run(
        tmp_path, "import", str(written(tmp_path, file(graph, {**constants, "w": W["w"].astype(kind)}))), "-o", "out"
    )
    assert ran.returncode == 0, ran.stderr
    assert f"its weights are {kind}; they were converted to float32" in " ".join(ran.stdout.split())
    model = layerline.load(tmp_path / "out.safetensors")
    assert model.weights["0.weight"].tobytes() == W["w"].astype(kind).astype(np.float32).tobytes()


def test_a_free_size_must_be_said(tmp_path: Path) -> None:
    """With the option, filled in; then it is used."""
    graph, constants = head(conv("x", "h", "w"))
    path = written(tmp_path, file(graph, {**constants, "w": W["w"]}, ("N", 2, "H", "W")))
    with pytest.raises(UserError, match=r"leaves the size of its images free \(height, width\)") as caught:
        layerline.from_onnx(path)
    assert caught.value.help == (
        "specify the size of its training: --input 2x224x224; in Python: input_shape=(2, 224, 224)"
    )
    assert layerline.from_onnx(path, (2, 7, 5)).network.input_shape == (2, 7, 5)
    with pytest.raises(UserError, match=r"its images are 2×\?×\?, not 3×7×7"):
        layerline.from_onnx(path, (3, 7, 7))


def test_the_command(tmp_path: Path) -> None:
    """It writes a network file and a model, says what was decided, and replaces files only with --force."""
    graph, constants = head(conv("x", "h", "w"))
    path = written(tmp_path, file(graph, {**constants, "w": W["w"]}), "my net.onnx")
    ran = run(tmp_path, "import", str(path))
    assert ran.returncode == 0, ran.stderr
    assert "the classes are called 0 to 2" in ran.stdout
    assert "next     layerline predict 'my net.safetensors' IMAGE" in ran.stdout
    text = (tmp_path / "my net.cnn").read_text()
    assert text.splitlines()[1:] == ["Input 2 6 6", "Conv 4 kernel=3 bias=no", "GlobalPool", "Flat", "FC 3"]
    assert layerline.load(tmp_path / "my net.safetensors").network.text == text
    again = run(tmp_path, "import", str(path))
    assert (again.returncode, "my net.cnn already exists" in again.stderr) == (2, True)
    assert run(tmp_path, "import", str(path), "--force", "--mean", "0.5", "--std", "0.2").returncode == 0
    assert layerline.load(tmp_path / "my net.safetensors").scaling.scale == (5.0, 5.0)


@pytest.mark.parametrize("out", ["new", "new.cnn", "new.safetensors"])
def test_the_name_of_an_import_may_be_that_of_a_file(out: str, tmp_path: Path) -> None:
    """Both have it, each with its own suffix."""
    graph, constants = head(conv("x", "h", "w"))
    written(tmp_path, file(graph, {**constants, "w": W["w"]}))
    assert run(tmp_path, "import", "net.onnx", "-o", out).returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {"net.onnx", "new.cnn", "new.safetensors"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("net.onnx", "-o", "."), "--out . is a folder\n  help: use --out net"),
        (("net.onnx", "-o", ""), "--out . is a folder"),
        ((".",), ".: Is a directory"),
        (("",), ".: Is a directory"),
    ],
    ids=["the folder", "nothing", "from a folder", "from nothing"],
)
def test_a_name_that_is_none_is_refused(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    """As a mistake, and not as a bug of ours."""
    graph, constants = head(conv("x", "h", "w"))
    written(tmp_path, file(graph, {**constants, "w": W["w"]}))
    ran = run(tmp_path, "import", *arguments)
    assert (ran.returncode, message in ran.stderr) == (2, True), ran.stderr


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--input", "3x224"), "--input 3x224: must be channels × height × width, as in --input 3x224x224"),
        (("--mean", "a,b"), "--mean a,b: must be numbers separated by commas"),
        (("--std", "0.5,0"), "std 0.5, 0: must be one number, or 2: one per channel, above 0"),
        (("--mean", "1,2,3"), "mean 1, 2, 3: must be one number, or 2: one per channel"),
        (("--input", "2x7x7"), "its images are 2×6×6, not 2×7×7"),
    ],
)
def test_wrong_options_are_refused(flags: tuple[str, ...], message: str, tmp_path: Path) -> None:
    """With what they must be."""
    graph, constants = head(conv("x", "h", "w"))
    written(tmp_path, file(graph, {**constants, "w": W["w"]}))
    ran = run(tmp_path, "import", "net.onnx", *flags)
    assert ran.returncode == 2
    assert message in ran.stderr
    assert not [*tmp_path.glob("*.cnn")]


def test_an_import_is_compared_with_another_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one is installed; other results refuse the import, and a file that it cannot run is noted."""
    graph, constants = head(conv("x", "h", "w"))
    path = written(tmp_path, file(graph, {**constants, "w": W["w"]}))
    monkeypatch.setattr(runtime, "installed", lambda: True)
    monkeypatch.setattr(runtime, "_version", lambda: "1.2.3")
    for change, message in ((0.0, "checked with onnxruntime 1.2.3: the largest difference"), (0.01, None)):
        monkeypatch.setattr(
            runtime,
            "outputs",
            lambda content, images, *_, change=change: onnx_runtime.run(content, images) + np.array([0, 0, change]),
        )
        if message is not None:
            assert importing.imported(path, importing.ImportOptions()).notes[-1].startswith(message)
            continue
        with pytest.raises(UserError, match=r"computes other probabilities than Layerline: they differ by up to 0\.0"):
            layerline.from_onnx(path)

    def fails(*_: Any) -> Any:
        raise RuntimeError("no kernel for it\nat length")

    monkeypatch.setattr(runtime, "outputs", fails)
    note = importing.imported(path, importing.ImportOptions()).notes[-1]
    assert note == "not checked, because onnxruntime 1.2.3 cannot run the file: no kernel for it"


def test_pytorch_is_not_needed() -> None:
    """What an import shares with from_torch, the blocks and windows, imports no PyTorch, nor does an export."""
    modules = "layerline.training.from_onnx, layerline.export.onnx.writing, layerline.cli.import_"
    code = f"import sys, {modules}; print(sorted({{'torch', 'onnx', 'onnxruntime'}} & set(sys.modules)))"
    ran = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], env=PLAIN, capture_output=True, text=True, check=True
    )
    assert ran.stdout == "[]\n"


def test_a_newer_format_version_is_read(tmp_path: Path) -> None:
    """The format's version says which fields there may be; those that are unknown are skipped."""
    graph, constants = head(conv("x", "h", "w"))
    message = protobuf.decoded(ModelProto, file(graph, {**constants, "w": W["w"]}))
    newer = protobuf.encoded(dataclasses.replace(message, ir_version=99)) + bytes.fromhex("a20603616263")
    assert lines(layerline.from_onnx(written(tmp_path, newer)))[0] == "Conv 4 kernel=3 bias=no"
