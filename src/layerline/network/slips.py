"""Lines that are legal but probably not intended: numbers in PyTorch's order, and digits written together.

A slip is reported with the line that was probably meant. It is a note if the line may be intended, else an error.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from layerline.layers import Misfit
from layerline.layers.grammar import times, written

if TYPE_CHECKING:
    from layerline.layers import Layer, Pair, Shape
    from layerline.layers.windows import Window
    from layerline.network_file import LayerLine, Token

_BARE: Final = {"conv": 3, "depthwise": 2}
"""The minimum number of values without a name on a line in PyTorch's order."""
_PYTORCH: Final = "Conv2d"
"""PyTorch's spelling, which nobody else uses: Keras has Conv2D, and its order is ours."""
_LARGEST_USUAL: Final = 11
"""The largest common kernel (AlexNet's)."""
_LEAST_EVEN: Final = 8
"""Kernels of this size and above are odd whenever they are intended."""
_WIDE_STRIDE: Final = 3
_LEFT: Final = 2
"""Rows and columns: a window that leaves at most this much of an image is more likely two numbers."""
_WIDEST_STRIDE: Final = 4
"""The largest kernel stride that digits are read as."""


@final
@dataclass(frozen=True)
class Slip:
    """The layer that was probably meant by a line."""

    misfit: Misfit
    meant: Layer
    sure: bool = False
    """Whether the line is an error rather than a note."""


def reversed_order(line: LayerLine, layer: Layer, shape: Shape | None) -> Slip | None:
    """Return the slip of a line that starts with the number of input channels, as in PyTorch: `Conv2d 1 20 5`.

    With names, `Conv 1 kernel=20 stride=5`, a line is read literally. `shape` is the input's, if it is known.
    """
    arguments = line.statement.arguments
    bare = [token.text for token in arguments if "=" not in token.text]
    least = _BARE.get(layer.kind)
    if least is None or len(bare) < least:
        return None
    typed = line.statement.word.text
    arrives = int(bare[0]) if bare[0].isdecimal() else 0
    if arrives not in _channels(shape, arrives if typed == _PYTORCH else 0):
        return None
    meant = line.read_as(arguments[1:])
    window, other = layer.slides(), meant.slides() if meant else None
    if meant is None or window is None or other is None or not _strange(window, other, arrives):
        return None
    text = " ".join([layer.word.name, *(token.text for token in arguments[1:])])
    names = str(layer)
    reason = f"this means {_filters(layer, window)}; in PyTorch's order, it would mean {_filters(meant, other)}"
    helps = (
        f"did you mean `{text}`? The number of input channels is inferred, not written. "
        f"If the line is correct, name its values: `{_by_name(layer, names)}`"
    )
    return Slip(Misfit(reason, helps, layer.word.arguments[0].name), meant, typed == _PYTORCH and shape is not None)


def written_together(line: LayerLine, layer: Layer, shape: Shape | None) -> Slip | None:
    """Return the slip of a line whose window or stride is probably two numbers: `Pool 22`, `Conv 6 512`, `Conv 6 5 12`.

    It is a slip if the window leaves hardly anything of the image, or the stride skips pixels; if the `shape` of the
    input is not known, whenever the digits can be read that way.
    """
    window = layer.slides()
    if window is None:
        return None
    first, extent, stride = _first(layer), window.extent, window.stride
    for name, size in ((first, extent), ("stride", stride)):
        found = _apart(line, layer, name, size) if line.has(name) else None
        if found is None:
            continue
        text, meant, digits = found
        if name == "stride":
            if min(stride) <= max(extent):
                continue
            reason = f"a stride of {written(stride)} skips most of the image, because the {first} is {written(extent)}"
        else:
            if shape is not None and not _leaves_little(layer, meant, extent, shape):
                continue
            reason = f"this is a {times(extent)} {first}"
            if shape is not None and (left := _left(layer, shape)):
                reason += f", which leaves {times(left[1:])} of {times(shape[1:])}"
        return Slip(Misfit(reason, f"did you mean `{text}` ({digits})?", name), meant)
    return None


def _first(layer: Layer) -> str:
    """Return the name of the layer's window: kernel or window."""
    return next(argument.name for argument in layer.word.arguments if argument.name in ("kernel", "window"))


def _channels(shape: Shape | None, otherwise: int) -> tuple[int, ...]:
    """Return the possible numbers of input channels; if nothing is known, those of gray images and photos."""
    return (1, 3, otherwise) if shape is None else shape[:1] if len(shape) == 3 else ()


def _strange(window: Window, meant: Window, arrives: int) -> bool:
    """Whether such a kernel and stride are implausible, and the other reading is common."""
    kernel, stride = max(window.extent), max(window.stride)
    if max(meant.extent) > _LARGEST_USUAL:
        return False
    if kernel > _LARGEST_USUAL or (kernel >= _LEAST_EVEN and kernel % 2 == 0):
        return True
    return stride >= _WIDE_STRIDE and arrives < kernel and stride < kernel


def _filters(layer: Layer, window: Window) -> str:
    """Return `3 filters of size 8×8 with stride 3`."""
    count = dataclasses.asdict(layer).get("filters", 0)  # type: ignore[call-overload]  # every final class is one
    many = f"{count:,d} filter{'s' * (count != 1)}" if count else "one filter per channel"
    stride = "" if window.stride == (1, 1) else f" with stride {written(window.stride)}"
    return f"{many} of size {times(window.extent)}{stride}"


def _by_name(layer: Layer, text: str) -> str:
    """Return the readable form with its first value named too, so that it is not questioned again."""
    first = layer.word.arguments[0]
    return text if first.name == "filters" else text.replace(" ", f" {first.name}=", 1)


def _apart(line: LayerLine, layer: Layer, name: str, size: Pair) -> tuple[str, Layer, str] | None:
    """Return the line with the digits of a value separated, its layer, and their meaning; None if it is not valid."""
    if size[0] != size[1] or not 10 <= size[0] <= 999:
        return None
    digits = list(str(size[0]))
    names = [_first(layer), "stride", "padding"]
    names = names[names.index(name) :][: len(digits)]
    if len(names) < len(digits) or line.has("padding") or any(line.has(other) for other in names[1:]):
        return None
    tokens: list[Token] = []
    for token in line.statement.arguments:
        if token.span != line.span_of(name):
            tokens.append(token)
        elif "=" in token.text:
            tokens += [dataclasses.replace(token, text=f"{n}={d}") for n, d in zip(names, digits, strict=True)]
        else:
            tokens += [dataclasses.replace(token, text=digit) for digit in digits]
    meant = line.read_as(tuple(tokens))
    if meant is None or not _usual(meant):
        return None
    parts = [f"{n} {d}" for n, d in zip(names, digits, strict=True)]
    return " ".join([layer.word.name, *(token.text for token in tokens)]), meant, ", ".join(parts)


def _usual(layer: Layer) -> bool:
    """Whether a window of at least 2 moves by at most its size, with padding of at most half of it."""
    window = layer.slides()
    if window is None:
        return False
    least, stride = min(window.extent), max(window.stride)
    skips = _first(layer) == "kernel" and stride > _WIDEST_STRIDE
    return least > 1 and stride <= least and max(window.pads or (0,)) <= least // 2 and not skips


def _left(layer: Layer, shape: Shape) -> Shape | None:
    """Return the output shape, None if the window does not fit."""
    try:
        return layer.output_shape(shape)
    except Misfit:
        return None


def _leaves_little(layer: Layer, meant: Layer, extent: Pair, shape: Shape) -> bool:
    """Whether hardly anything of the image is left, or it does not fit, and separate digits would leave more."""
    if len(shape) != 3 or _left(meant, shape) is None:
        return False
    left, (_, H, W) = _left(layer, shape), shape
    if left is None:
        return True
    if layer.kind == "avg_pool" and extent == (H, W):  # the mean of all, which may well be intended
        return False
    _, P, Q = left
    half = _first(layer) == "kernel" and 2 * P < H and 2 * Q < W
    return half or (P <= _LEFT < H and Q <= _LEFT < W)
