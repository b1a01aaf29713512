"""The mistake of a line whose first word is unknown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from layerline.errors import other_words, spelling
from layerline.layers import Misfit
from layerline.layers.grammar import hidden, shown
from layerline.network_file.unavailable import UNAVAILABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from layerline.layers import Word

_OTHERWISE: Final = {
    "convolution": "Conv",
    "convolutional": "Conv",
    "convolutional_layer": "Conv",
    "dwconv": "Depthwise",
    "pwconv": "Conv",
    "fullyconnected": "FC",
    "fully_connected": "FC",
    "fully_connected_layer": "FC",
    "innerproduct": "FC",
    "full": "FC",
    "output": "FC",
    "leaky": "LeakyReLU",
    "mean": "AvgPool",
    "bn": "BatchNorm",
    "hsigmoid": "HardSigmoid",
    "hard_sigmoid": "HardSigmoid",
    "hswish": "HardSwish",
    "h_swish": "HardSwish",
    "gap": "GlobalPool",
    "gmp": "GlobalMaxPool",
    "skip": "Residual",
    "inputlayer": "Input",
}
"""Names in other frameworks that are spelled too differently for a close match."""
_TRAINING: Final = frozenset(
    ("epochs", "batch-size", "learning-rate", "optimizer", "momentum", "weight-decay", "schedule", "seed", "augment")
)
"""Options of a training that other tools have in the same file as the network."""
_OTHER_DIMENSIONS: Final = ("1d", "3d")


def training_option(code: str) -> Misfit | None:
    """Return the mistake of a line such as `epochs=10` or `lr 0.1`; None if it does not start with an option."""
    name = re.split(r"[ \t=:]", code.strip(), maxsplit=1)[0]
    ours = other_words.ours(name) or name.lower().replace("_", "-")
    if len(name) < 2 or ours not in _TRAINING:
        return None
    reason = f"`{shown(name)}` is a training option, not a layer"
    return Misfit(reason, f"remove this line, and train with --{ours}")


def unknown_word(text: str, words: Mapping[str, Word]) -> Misfit:
    """Return the mistake for a line that starts with `text`; `words` maps all lower-case spellings to words."""
    text = text.partition("(")[0].rpartition(".")[2] if "(" in text[1:] else text  # of code, the name of the function
    reason = f"`{shown(text)}` is not a layer"
    unseen = hidden(text)
    if unseen:
        return Misfit(reason, unseen)
    option = training_option(text)
    if option is not None:
        return option
    lower = text[:40].lower()
    unavailable = f"`{shown(text)}` is not available here"
    if lower in UNAVAILABLE:
        return Misfit(unavailable, UNAVAILABLE[lower])
    near = _OTHERWISE.get(lower)
    if not near and lower.endswith(_OTHER_DIMENSIONS):
        flat = words.get(lower[:-2] + "2d")
        return Misfit(unavailable, "layers here are for images (2-D)" + (f": `{flat.name}`" if flat else ""))
    if not near:
        spelled = spelling.nearest(lower, words)
        near = None if spelled is None else words[spelled].name
    if near:
        return Misfit(reason, f"did you mean `{near}`?")
    names = dict.fromkeys(word.name for word in words.values())
    return Misfit(reason, "a line starts with one of: " + " ".join(names))
