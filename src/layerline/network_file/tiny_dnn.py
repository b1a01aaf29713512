"""Lines of tiny-dnn (C++) that were pasted into a network file: the lines that say the same here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from layerline.layers import Misfit
from layerline.network_file.pasted import activation, write
from layerline.network_file.python_call import read_call

if TYPE_CHECKING:
    from layerline.network_file.python_call import Call

_REASON: Final = "this is tiny-dnn code (C++); here a layer is a word and its values, without parentheses"
_LINE: Final = re.compile(r"(?:\w+[ \t]*)?<<.*|(?:conv|ave_pool|max_pool|fc|\w+_layer)[ \t]*\(.*", re.ASCII)
_PLACES: Final[dict[str, tuple[str, tuple[int, ...]]]] = {
    **dict.fromkeys(("conv", "convolutional_layer"), ("Conv", (4, 2))),
    **dict.fromkeys(("ave_pool", "average_pooling_layer"), ("AvgPool", (3,))),
    **dict.fromkeys(("max_pool", "max_pooling_layer"), ("Pool", (3,))),
    **dict.fromkeys(("fc", "fully_connected_layer"), ("FC", (1,))),
    "dropout_layer": ("Dropout", (1,)),
}
"""A layer → its word here, and which of its values follow it: tiny-dnn's begin with the sizes that arrive."""


def tiny_dnn(code: str) -> Misfit | None:
    """Return what to say of a line of tiny-dnn, with the lines to write where they are known; None if it is none."""
    code = code.strip().rstrip(";")
    if not _LINE.fullmatch(code):
        return None
    calls = [read_call(piece) for piece in code.split("<<") if "(" in piece]
    lines = [_line(call) if call else None for call in calls]
    known = [line for line in lines if line]
    if len(known) < len(lines) or not known:
        return Misfit(_REASON, "write a line for each layer, as in `Conv 6 5`, `Tanh`, `Pool 2` and `FC 10`")
    return Misfit(_REASON, write(known))


def _line(call: Call) -> str | None:
    name = call.function.rpartition(":")[2]
    if name not in _PLACES:
        return activation(name.removesuffix("_layer"))
    word, places = _PLACES[name]
    values: list[Any] = [call.positional[place] if place < len(call.positional) else None for place in places]
    plain = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    others = call.positional[max(places) + 1 :]
    return None if others or not plain else " ".join([word, *(f"{value:g}" for value in values)])
