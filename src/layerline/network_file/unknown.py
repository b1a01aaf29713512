"""The mistake of a line whose first word is unknown."""

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
"""Names in other frameworks that are spelled too differently for a close match."""


def unknown_word(text: str, words: Mapping[str, Word]) -> Misfit:
    """Return the mistake for a line that starts with `text`; `words` maps all lower-case spellings to words."""
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
    return Misfit(reason, "a line starts with one of: " + " ".join(names))
