"""An ONNX file as an input of `fuzz.py`: mutated as bytes, and as messages, so that the file stays readable."""

from __future__ import annotations

import dataclasses
import struct
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np
from fuzz_inputs import Input, OfFiles
from mutations import changed

import layerline
from layerline.data.dataset import Scaling
from layerline.export import formats
from layerline.export.export_options import ExportOptions
from layerline.export.onnx.messages import ModelProto
from layerline.files import protobuf
from layerline.network import initial_weights, parse
from layerline.training import Model

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

_NETWORKS: Final = (
    "Input 2 9 9\nConv 4 3 padding=same stride=2\nBatchNorm\nHardSwish\nGate\nGlobalPool\nConv 4 1\nSigmoid\nEnd\n"
    "Pool 2\nFlat\nFC 5 bias=no\nGELU\nFC 3\n",
    "Input 3 8 8\nConcat\nDepthwise 3 padding=1\nReLU6\nBranch\nConv 2 1\nMish\nEnd\nResidual\nConv 5 3 padding=1\n"
    "SiLU\nEnd\nAvgPool 3 stride=2 padding=same\nELU\nGlobalMaxPool\nFlat\nFC 4\nSoftmax\n",
    "Input 1 6 6\nFreeze\nConv 3 3\nBatchNorm\nLeakyReLU 0.2\nEnd\nDropout 0.5\nFlat\nFC 2\n",
)
_NUMBERS: Final = (0, 1, -1, 2, 3, 4, 7, 8, 10, 16, 127, 255, 1000, 2**31 - 1, 2**31, 2**40, 2**63 - 1, -(2**63))
_WORDS: Final = (
    *("Conv", "Gemm", "MatMul", "Add", "Mul", "Div", "Sub", "Concat", "Reshape", "Flatten", "Squeeze", "Unsqueeze"),
    *("Transpose", "Pad", "Clip", "Relu", "Erf", "Shape", "Gather", "Slice", "Expand", "ConstantOfShape", "Constant"),
    *("Softmax", "ReduceMean", "Identity", "MaxPool", "AveragePool", "BatchNormalization", "Range", "Cast", "PRelu"),
    *("axes", "axis", "perm", "pads", "strides", "dilations", "group", "kernel_shape", "auto_pad", "SAME_UPPER", ""),
)


def mutated(random: Random, message: Any) -> Any:
    """Return a message with one value in it, at any depth, replaced."""
    field = random.choice(dataclasses.fields(message))
    value = getattr(message, field.name)
    return dataclasses.replace(message, **{field.name: _other(random, value)})


def _other(random: Random, value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return mutated(random, value)
    if isinstance(value, tuple) and value and random.random() < 0.8:
        at = random.randrange(len(value))
        return (*value[:at], _other(random, value[at]), *value[at + 1 :])
    if isinstance(value, tuple):
        parts = [*value] * random.choice((1, 1, 2))
        random.shuffle(parts)
        return tuple(parts[: random.randint(0, len(parts))])
    if isinstance(value, str):
        return random.choice((random.choice(_WORDS), value[: random.randint(0, len(value))], value + "x"))
    if isinstance(value, float):
        return random.choice((0.0, 1.0, -1.0, 1e30, float("nan"), float("inf"), 1e-40))
    if isinstance(value, int):
        return random.choice((*_NUMBERS, value + 1, value - 1))
    if value is None:
        return None
    content = bytes(value)
    if random.random() < 0.5:
        return content[: random.randint(0, len(content))]
    return content + struct.pack("<q", random.choice(_NUMBERS))


@final
class OnnxFile(OfFiles):
    """An ONNX file: ours, and the same as if another program had written it."""

    def prepare(self, _folder: Path) -> None:
        """Export networks of most layers, with every kind of input."""
        found = []
        for text in _NETWORKS:
            network = parse(text)
            scaling = Scaling((0.01,) * network.input_shape[0], (0.5,) * network.input_shape[0])
            names = tuple(f"class {k}" for k in range(network.classes))
            model = Model(network, names, scaling, initial_weights(network, 0))
            for options in (ExportOptions(), ExportOptions(layout="NHWC", pixels="float32")):
                content = model.exported(formats.format_of("onnx"), options).files[".onnx"]
                message = protobuf.decoded(ModelProto, content)
                found += [content, protobuf.encoded(dataclasses.replace(message, metadata_props=()))]
        self.samples = {"net.onnx": tuple(found)}

    def spoilt(self, random: Random, content: bytes, others: tuple[bytes, ...]) -> bytes:
        """Mutate values of its messages, or any bytes."""
        if random.random() < 0.3:
            return changed(random, content, others)
        message = protobuf.decoded(ModelProto, content)
        for _ in range(random.choice((1, 1, 2, 3, 6))):
            message = mutated(random, message)
        try:
            return protobuf.encoded(message)
        except (OverflowError, struct.error, UnicodeEncodeError):  # a number that has no bytes
            return content

    def given(self, random: Random, folder: Path) -> None:
        """Import it, as `import` does, and describe the network."""
        shape = random.choice((None, None, None, (2, 9, 9), (3, 224, 224)))
        model = layerline.from_onnx(folder / "net.onnx", shape)
        model.network.describe()
        assert all(np.isfinite(weight).all() for weight in model.weights.values())  # noqa: S101


INPUTS: Final[dict[str, type[Input]]] = {"onnx": OnnxFile}
