"""A network that classifies by a backbone's features: its text, and the backbone's weights by the text's names.

Input 3 224 224
Freeze
    BatchNorm    the preprocessing: its statistics make (x − mean) / deviation of x in 0 … 1
    …            the backbone
End

Flat             the head, which is trained
FC classes
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from layerline.errors import DataError
from layerline.layers.grammar import times
from layerline.network.check import parse
from layerline.network_file import formatted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from layerline.network.pretrained.backbones import Backbone
    from layerline.network.start import Start

HEAD: Final = "Flat\nFC classes\n"
"""The head if none is specified: multinomial logistic regression on the features."""
SMALLEST: Final = 32
"""Pixels of the shorter side: the backbones divide it by 32."""
_EPS: Final = 1e-5
"""BatchNorm's."""
_LARGEST: Final = 255
"""The pixel value that becomes 1 when images are loaded."""


def transfer_text(backbone: Backbone, size: tuple[int, int] | None = None, head: str = HEAD) -> str:
    """Return the network file of a backbone, frozen, with a head. size: (H, W) of the images, by default its own."""
    H, W = size or (backbone.size, backbone.size)
    lines = (
        f"# The features of {backbone.title}, pretrained on ImageNet, and a head that is trained on them.",
        "# Without the Freeze and its End, all layers are trained, from the pretrained weights with",
        f"# --start-from {backbone.name}.",
        "",
        f"Input 3 {H} {W}",
        "",
        "Freeze",
        "BatchNorm  # the preprocessing of the weights: (x - mean) / deviation, with x from 0 to 1",
        "",
        *(line for line in backbone.text.splitlines() if not line.startswith("#")),
        "End",
        "",
        head,
    )
    return formatted("\n".join(lines), backbone.name)


def check_images(backbone: Backbone, shape: tuple[int, int, int]) -> None:
    """Raise DataError if images of (C, H, W) are not what a backbone was trained on: RGB, and not tiny."""
    if shape[0] != 3 or min(shape[1:]) < SMALLEST:
        raise DataError(
            f"{backbone.name}: its features are for RGB photos of at least {SMALLEST}×{SMALLEST} pixels, best of "
            f"{backbone.size}×{backbone.size}; these images are {times(shape)}",
            "train a network from scratch on them; image files are read at another size with --size, in RGB with "
            "--no-gray",
        )


def transfer_weights(backbone: Backbone, weights: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return a backbone's weights by the names of `transfer_text`, with the preprocessing as the first BatchNorm."""
    import numpy as np

    a = _LARGEST * np.array(backbone.scale, np.float64)  # the input is a · x + shift
    norm: dict[str, NDArray[Any]] = {
        "weight": np.ones(3, np.float32),
        "bias": np.zeros(3, np.float32),
        "running_mean": (-np.array(backbone.shift) / a).astype(np.float32),
        "running_var": (1 / a**2 - _EPS).astype(np.float32),
        "num_batches_tracked": np.zeros((), np.int64),
    }
    moved: dict[str, NDArray[Any]] = {}
    for name, array in weights.items():
        first, dot, rest = name.partition(".")
        moved[f"{int(first) + 1}{dot}{rest}"] = array
    return {**{f"0.{name}": array for name, array in norm.items()}, **moved}


def start_of(backbone: Backbone, weights: Mapping[str, NDArray[Any]]) -> Start:
    """Return the start of a training with a backbone's weights; those of the head are drawn by the seed."""
    from layerline.network.start import Start, digest

    moved = transfer_weights(backbone, weights)
    return Start(digest(moved), moved, backbone.name, title=title_of(backbone))


def title_of(backbone: Backbone) -> str:
    """Return what the weights are: `EfficientNet-Lite0 (ImageNet)`."""
    return f"{backbone.title} (ImageNet)"


def names_of(backbone: Backbone) -> frozenset[str]:
    """Return the names of the weights of `transfer_weights`."""
    network = parse(transfer_text(backbone), name=backbone.name, classes=2)
    return frozenset(name for node in network.nodes if node.frozen for name in node.weights)
