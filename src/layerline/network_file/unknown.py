"""What to say of a first word that is none of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from layerline.errors import spelling
from layerline.layers import Misfit
from layerline.layers.grammar import hidden, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from layerline.layers import Word

_OTHERWISE: Final = {
    "convolution": "Conv",
    "convolutional": "Conv",
    "adaptiveavgpool2d": "GlobalPool",
    "fullyconnected": "FC",
    "fully_connected": "FC",
    "full": "FC",
    "output": "FC",
    "leaky": "LeakyReLU",
    "mean": "AvgPool",
    "bn": "BatchNorm",
    "averagepooling2d": "AvgPool",
    "swish": "SiLU",
    "skip": "Residual",
}
"""Words of others that are spelled too differently to be near."""


def unknown_word(text: str, words: Mapping[str, Word]) -> Misfit:
    """Return the mistake for a line that begins with `text`; `words` are all by their spelling in lower case."""
    reason = f"`{shown(text)}` is not a layer"
    unseen = hidden(text)
    if unseen:
        return Misfit(reason, unseen)
    lower = text[:40].lower()
    near = _OTHERWISE.get(lower)
    if not near:
        spelled = spelling.nearest(lower, words)
        near = None if spelled is None else words[spelled].name
    if near:
        return Misfit(reason, f"did you mean `{near}`?")
    names = dict.fromkeys(word.name for word in words.values())
    return Misfit(reason, "a line begins with one of: " + " ".join(names))
