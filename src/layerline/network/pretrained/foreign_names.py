"""The names that other libraries give to the layers of a backbone, in the order of our network file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from collections.abc import Iterator


@final
@dataclass(frozen=True)
class Naming:
    """How one library names a backbone's modules."""

    library: str
    modules: tuple[str, ...]
    """Every module with weights, in the order of the network file's."""
    classifier: str
    """The start of the names of the modules after the features."""
    ambiguous: str | None = None
    """Why files with these names may be of another network; None if they cannot."""


def _resnet18() -> Iterator[str]:
    yield from ("conv1", "bn1")
    for stage in (1, 2, 3, 4):
        for block in (0, 1):
            layers = ["conv1", "bn1", "conv2", "bn2"]
            if stage > 1 and block == 0:
                layers += ["downsample.0", "downsample.1"]
            yield from (f"layer{stage}.{block}.{layer}" for layer in layers)


def _torchvision_mobilenetv2() -> Iterator[str]:
    yield from ("features.0.0", "features.0.1")
    yield from (f"features.1.conv.{layer}" for layer in ("0.0", "0.1", "1", "2"))
    for block in range(2, 18):
        yield from (f"features.{block}.conv.{layer}" for layer in ("0.0", "0.1", "1.0", "1.1", "2", "3"))
    yield from ("features.18.0", "features.18.1")


def _timm(stages: tuple[int, ...]) -> Iterator[str]:
    """Yield timm's names of an inverted-residual network with that many blocks per stage."""
    yield from ("conv_stem", "bn1")
    for stage, count in enumerate(stages):
        for block in range(count):
            expands = ("conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3")
            layers = expands if stage else ("conv_dw", "bn1", "conv_pw", "bn2")
            yield from (f"blocks.{stage}.{block}.{layer}" for layer in layers)
    yield from ("conv_head", "bn2")


def _lite0() -> Iterator[str]:
    yield from ("_conv_stem", "_bn0")
    for block in range(sum(_LITE0_STAGES)):
        expand = ("_expand_conv", "_bn0") if block else ()
        layers = (*expand, "_depthwise_conv", "_bn1", "_project_conv", "_bn2")
        yield from (f"_blocks.{block}.{layer}" for layer in layers)
    yield from ("_conv_head", "_bn1")


_LITE0_STAGES: Final = (1, 2, 2, 3, 3, 4, 1)
_MOBILENETV2_STAGES: Final = (1, 2, 3, 4, 3, 3, 1)
_OTHER_LITE0: Final = (
    "timm's tf_efficientnet_lite0 and efficientnet_lite0 have the same names and shapes, but pad and normalize "
    "differently; only the first is lite0"
)

NAMINGS: Final = {
    "lite0": (
        Naming("efficientnet_lite_pytorch", tuple(_lite0()), "_fc"),
        Naming("timm", tuple(_timm(_LITE0_STAGES)), "classifier", _OTHER_LITE0),
    ),
    "resnet18": (Naming("torchvision", tuple(_resnet18()), "fc"),),
    "mobilenetv2": (
        Naming("torchvision", tuple(_torchvision_mobilenetv2()), "classifier"),
        Naming("timm", tuple(_timm(_MOBILENETV2_STAGES)), "classifier"),
    ),
}
"""By backbone; timm names ResNet-18 as torchvision does."""
