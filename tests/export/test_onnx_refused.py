"""ONNX files that are refused: what has no word, by its node, and what is damaged or too large."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_models
import pytest
from onnx_graphs import BASE, FC, W, conv
from onnx_models import file, head, node, tensor, written

import layerline
from layerline.errors import UnsupportedError, UserError
from layerline.export.onnx.messages import StringStringEntryProto

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from layerline.export.onnx.messages import NodeProto


def refused(folder: Path, nodes: Sequence[NodeProto], constants: dict[str, Any] | None = None, **named: Any) -> str:
    """Return the message of a refusal, its help included."""
    graph, ends = head(*nodes)
    used = {name for each in graph for name in each.input}
    held = {name: array for name, array in (W | ends | (constants or {})).items() if name in used}
    path = written(folder, file(graph, held, **named))
    with pytest.raises(UserError) as caught:
        layerline.from_onnx(path)
    return str(caught.value).replace(str(path), "net.onnx")


EXTERNAL = StringStringEntryProto("location", "weights.bin")
OUT = [node("Relu", "a", "h")]
REFUSED: dict[str, tuple[list[NodeProto], dict[str, Any], str]] = {
    "reversed channels": (
        [node("Slice", "x from to channels back", "t"), conv("t", "h", "w")],
        {"from": np.array([-1]), "to": np.array([-9]), "channels": np.array([1]), "back": np.array([-1])},
        "the t (Slice): it takes a part of its input, or reverses it",
    ),
    "one vector of all images": (
        [*BASE, node("Reshape", "a all", "h")], {"all": np.array([1, -1])},
        "the h (Reshape): it makes one vector of a batch of 4×4×4; images must stay apart\n"
        "  help: flatten each image, as x.flatten(1) does in PyTorch",
    ),
    "an unknown operation": (
        [*BASE, node("GridSample", "a b", "h")], {}, "the h (GridSample): a network file has no equivalent",
    ),
    "group normalization": (
        [*BASE, node("GroupNormalization", "a b b", "h", num_groups=2)], {},
        "the h (GroupNormalization): a network file has no equivalent: the only normalization layer is `BatchNorm`",
    ),
    "another program's operation": (
        [*BASE, node("FusedConv", "a v", "h", domain="com.microsoft")], {},
        "the h (FusedConv): it is of com.microsoft, not one of ONNX's own operations",
    ),
    "a quantized model": (
        [*BASE, node("QuantizeLinear", "a 1", "q"), node("DequantizeLinear", "q 1", "h")], {},
        "the q (QuantizeLinear): it computes with quantized integers, which are not supported\n"
        "  help: export the model before it is quantized, in float32",
    ),
    "external data": (
        [conv("x", "h", "far")], {"far": tensor("far", W["w"], external_data=(EXTERNAL,), data_location=1)},
        "net.onnx: constant far: its values are in weights.bin, not in this file\n"
        "  help: load it with onnx.load and save it again with onnx.save, which puts everything into one file",
    ),
    "weights that are computed": (
        [*BASE, node("Conv", "a a", "h")], {},
        "the h (Conv): its weight is computed from the images",
    ),
    "gelu by tanh": ([*BASE, node("Gelu", "a", "h", approximate="tanh")], {}, "the approximation of GELU by tanh"),
    "another function": (
        [*BASE, node("Abs", "a", "h")], {},
        "the h (Abs): it computes a function that is none of the activations",
    ),
    "a clip to 5": ([*BASE, node("Clip", "a 0 5", "h")], {"5": np.float32(5)}, "the h (Clip): it computes a function"),
    "slopes that differ": (
        [*BASE, node("PRelu", "a c", "h")], {}, "the h (PRelu): its slopes differ between channels",
    ),
    "padding that is lopsided": (
        [conv("x", "h", "w", pads=(2, 0, 0, 0))], {},
        "the h (Conv): its padding 2, 0, 0, 0 (top, left, bottom, right) differs",
    ),
    "zeros that can win": (
        [*BASE, node("Pad", "a pads", "p"), node("MaxPool", "p", "h", kernel_shape=(3, 3), strides=(2, 2))], {},
        "the h (MaxPool): its input is padded with 0, which can be the maximum",
    ),
    "whole numbers": (
        [*BASE, node("Cast", "a", "p", to=6), node("Cast", "p", "h", to=1)], {},
        "the p (Cast): it makes integers of its input, which no layer does",
    ),
    "whole numbers like others": (
        [*BASE, node("CastLike", "a last", "h")], {}, "the h (CastLike): it makes integers of its input",
    ),
    "a dropout that drops": (
        [*BASE, node("Dropout", "a half yes", "h")], {"yes": np.array(True)},
        "the h (Dropout): it drops values at random; export the model in evaluation mode",
    ),
    "a transposed convolution": (
        [node("ConvTranspose", "x w", "h")], {},
        "the h (ConvTranspose): a network file has no equivalent",
    ),
    "images scaled in two ways": (
        [node("Mul", "x half", "p"), conv("p", "a", "w"), conv("x", "q", "w"), node("Add", "a q", "h")], {},
        "the q (Conv): the images are scaled in two ways; a network has one scaling",
    ),
    "turned images": (
        [*BASE, node("Transpose", "a", "h", perm=(0, 1, 3, 2))], {}, "the h (Transpose): perm=[0, 1, 3, 2]",
    ),
    "half of the channels": (
        [*BASE, node("Slice", "a last last", "h")], {},
        "the h (Slice): it takes a part of its input, or reverses it; a network file has no equivalent",
    ),
    "a softmax in the middle": (
        [*BASE, node("Softmax", "a", "h", axis=1)], {}, "only a softmax over the classes is available, at the end",
    ),
    "a bomb by its shape": (
        [conv("x", "h", "bomb")],
        {"bomb": onnx_models.TensorProto((10**5, 10**4), 1, name="bomb", raw_data=b"\0" * 12)},
        "net.onnx: constant bomb: its shape (100,000×10,000) needs 1,000,000,000 values, but the file has 3",
    ),
    "a bomb by ConstantOfShape": (
        [node("ConstantOfShape", "bomb", "k"), node("Add", "x k", "h")], {"bomb": np.array([10**5, 10**4], np.int64)},
        "the k (ConstantOfShape): it computes more than 67,108,864 constant numbers",
    ),
    "a bomb by Expand": (
        [node("Expand", "b bomb", "k"), node("Add", "x k", "h")], {"bomb": np.array([10**6, 10**6, 4], np.int64)},
        "the k (Expand): it computes more than 67,108,864 constant numbers",
    ),
    "a bomb by Range": (
        [node("Range", "zero many step", "k"), node("Add", "x k", "h")],
        {"many": np.array(10**15, np.int64), "step": np.array(1, np.int64)},
        "the k (Range): it computes more than 67,108,864 constant numbers",
    ),
    "a bomb by broadcasting": (
        [node("Add", "row column", "k"), node("Add", "x k", "h")],
        {"row": np.zeros((1, 10**5), np.float32), "column": np.zeros((10**5, 1), np.float32)},
        "the k (Add): it computes more than 67,108,864 constant numbers",
    ),
    "a filter for every atom": (
        [conv("x", "h", "w"), ], {"w": onnx_models.TensorProto((2**40, 2**40), 1, name="w")}, "constant w: its shape",
    ),
    "itself": ([node("Add", "x h", "h")], {}, "net.onnx: h is computed from itself"),
    "an opset of the future": (
        [*BASE, *OUT], {},
        "net.onnx: is of opset 99; this version of Layerline reads opsets 7 to 26",
    ),
    "an opset of the past": ([*BASE, *OUT], {}, "net.onnx: is of opset 6;"),
    "two outputs": ([*BASE, *OUT], {}, "net.onnx: has 2 outputs (y, a); a classifier of images has one"),
    "two inputs": ([node("Add", "x x2", "h")], {}, "net.onnx: has 2 inputs (x, x2); a classifier of images has one"),
    "a row instead of an image": ([*BASE, *OUT], {}, "net.onnx: input x is ?×12; images have 4 dimensions"),
    "images of integers": ([*BASE, *OUT], {}, "net.onnx: input x is not of a type for images"),
}  # fmt: skip
"""What it is → operations up to `h`, constants, and what the message has."""
NAMED: dict[str, dict[str, Any]] = {
    "an opset of the future": {"opset": 99},
    "an opset of the past": {"opset": 6},
    "two outputs": {"outputs": ("y", "a")},
    "two inputs": {"inputs": (onnx_models.value("x", ("N", 2, 6, 6)), onnx_models.value("x2", ("N", 2, 6, 6)))},
    "a row instead of an image": {"sizes": ("N", 12)},
    "images of integers": {"kind": 7},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_word_is_refused(name: str, tmp_path: Path) -> None:
    """By its name and operation, with what to do."""
    nodes, constants, message = REFUSED[name]
    assert message in refused(tmp_path, nodes, constants, **NAMED.get(name, {}))


def test_everything_that_is_unsupported_is_listed(tmp_path: Path) -> None:
    """Not the first alone, and what depends on it is not."""
    nodes = [*BASE, node("LRN", "a", "p"), node("Relu", "p", "q"), node("InstanceNormalization", "a b b", "r"),
             node("Add", "q r", "h")]  # fmt: skip
    message = refused(tmp_path, nodes)
    assert "2 parts are not supported" in message
    assert "the p (LRN)" in message
    assert "the r (InstanceNormalization)" in message
    assert "the q" not in message
    with pytest.raises(UnsupportedError) as caught:
        layerline.from_onnx(tmp_path / "net.onnx")
    assert [(part.path, part.module) for part in caught.value.parts] == [
        ("the p", "LRN"),
        ("the r", "InstanceNormalization"),
    ]


def test_one_large_constant_is_one_finding(tmp_path: Path) -> None:
    """What is computed after it still fits, and what is in the file is not computed at all."""
    nodes = [
        *BASE, node("ConstantOfShape", "huge", "k"), node("Add", "a k", "p"),
        node("Constant", "", "j", value=np.zeros((4, 1, 1), np.float32)), node("ConstantOfShape", "small", "i"),
        node("Add", "i j", "l"), node("Add", "a l", "q"), node("Add", "p q", "h"),
    ]  # fmt: skip
    message = refused(tmp_path, nodes, {"huge": np.array([2**26 + 1]), "small": np.array([4, 1, 1])})
    assert "the k (ConstantOfShape): it computes more than 67,108,864 constant numbers" in message
    assert not any(f"the {name} (" in message for name in "jil")


ENDINGS = {
    "an image": ([node("Relu", "a", "y")], "the y (Relu): the output is a 4×4×4 image"),
    "one number": (
        [node("Flatten", "a", "f"), node("MatMul", "f one", "y")], "the y (MatMul): the output is one number",
    ),
    "a sigmoid": (
        [node("Flatten", "a", "f"), node("MatMul", "f fc", "m"), node("Sigmoid", "m", "y")],
        "the y (Sigmoid): it ends with a sigmoid, for classes that do not exclude each other",
    ),
    "the largest": (
        [node("Flatten", "a", "f"), node("MatMul", "f fc", "m"), node("ArgMax", "m", "y")],
        "the y (ArgMax): a network file has no equivalent",
    ),
    "a branch": ([node("If", "b", "y")], "the y (If): a branch or loop around the network is not supported"),
    "a softmax over rows": (
        [node("Softmax", "a", "s", axis=2), node("GlobalAveragePool", "s", "y")],
        "the s (Softmax): only a softmax over the classes is available, at the end",
    ),
    "a softmax over one row": (
        [node("GlobalAveragePool", "a", "p"), node("Softmax", "p", "y", axis=3)],
        "the y (Softmax): axis=3: only a softmax over the classes is available, at the end",
    ),
    "a constant": ([node("Add", "b b", "y")], "has 0 inputs; a classifier of images has one"),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDINGS)
def test_an_output_that_is_no_class_is_refused(name: str, tmp_path: Path) -> None:
    """With what it is."""
    nodes, message = ENDINGS[name]
    constants = {"w": W["w"], "fc": FC, "one": FC[:, :1].copy(), "b": W["b"]}
    with pytest.raises(UserError) as caught:
        layerline.from_onnx(written(tmp_path, file([*BASE, *nodes], constants)))
    assert message in str(caught.value)


FILES = {
    "nothing": (b"", "is empty"),
    "a zip": (b"PK\x03\x04data.pkl" + b"\0" * 400, "found a PyTorch file"),
    "text": (b"hello, world" * 40, "not an ONNX file, or damaged"),
    "a cut file": (None, "not an ONNX file, or damaged: field 7 at byte"),
    "no graph": (b"\x08\x08", "has no operations"),
}


@pytest.mark.parametrize("name", FILES)
def test_other_files_are_refused(name: str, tmp_path: Path) -> None:
    """By what they are."""
    content, message = FILES[name]
    if content is None:
        content = onnx_models.exported(onnx_models.drawn(1))[:-2000]
    with pytest.raises(UserError) as caught:
        layerline.from_onnx(written(tmp_path, content))
    assert message in str(caught.value)


def test_a_pad_or_product_without_its_input_is_refused(tmp_path: Path) -> None:
    """What the fuzzer found: operations with fewer inputs than they need."""
    for nodes in ([node("Pad", "x", "h")], [node("Add", "x -", "h")], [node("Clip", "b x", "h")],
                  [node("Expand", "x wrong", "h")], [node("BatchNormalization", "x b", "h")]):  # fmt: skip
        message = refused(tmp_path, nodes, {"wrong": np.array([7, 7], np.int64)})
        assert "1 part is not supported" in message
