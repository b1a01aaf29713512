"""PyTorch's convolutions and pools as layers: padding, ceil_mode and adaptive sizes in our words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from layerline.layers import AvgPool, Conv, Depthwise, GlobalMaxPool, GlobalPool, Pair, Pool
from layerline.layers.grammar import times, written
from layerline.layers.windows import Window
from layerline.network.pytorch.torch_operation import (
    NO_PADS,
    At,
    Padding,
    Part,
    Result,
    TracedValue,
    check_tensor,
    image,
    pair,
)
from layerline.network.pytorch.unsupported import NotCarriedError

if TYPE_CHECKING:
    from layerline.layers.windows import Pads

_SIDES = "(top, left, bottom, right)"


def conv2d(
    at: At, input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Result:  # fmt: skip
    """Return a Conv, or a Depthwise if each channel has its own filters."""
    check_tensor(weight)
    C, H, W = image(input, "a convolution")
    if input.fill != 0.0:
        raise NotCarriedError(f"its input is padded with {input.fill}; only padding with zeros is available")
    O, kernel = weight.shape[0], pair(weight.shape[2:])
    window = Window(kernel, pair(stride), None, pair(dilation))
    named = padding if isinstance(padding, str) else None
    around = _same_in_torch(window) if named == "same" else _both(pair(0 if named else padding))
    pads = _spellings(window, H, W, _added(input.pads, around), prefer_same=named == "same")
    weights = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    convs = [Conv(O, kernel, window.stride, each, window.dilation, groups, bias is not None) for each in pads]
    if groups != C or window.dilation != (1, 1):
        return (Part(at.choose(*convs), weights),)
    depthwise = [Depthwise(kernel, window.stride, each, O // C, bias is not None) for each in pads]
    return (Part(at.choose(*([*depthwise, *convs] if C > 1 else [*convs, *depthwise])), weights),)


def conv2d_module(at: At, module: Any, input: Any) -> Result:
    """Return the layer of an nn.Conv2d, or of a PaddedConv2d of `to_torch`."""
    if module.padding_mode != "zeros":
        raise NotCarriedError(f'padding_mode="{module.padding_mode}"; only padding with zeros is available')
    if hasattr(module, "pads"):
        input = padded(input, module.pads, 0.0)
    sizes = (module.stride, module.padding, module.dilation, module.groups)
    return conv2d(at, input, module.weight, module.bias, *sizes)


def max_pool2d(
    at: At, input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Result:  # fmt: skip
    """Return a Pool."""
    _, H, W = image(input, "a pool")
    if return_indices:
        raise NotCarriedError("return_indices=True: the indices are not available")
    if pair(dilation) != (1, 1):
        raise NotCarriedError(f"dilation={written(pair(dilation))}: pools have none here")
    if input.pads != NO_PADS and input.fill != -math.inf:
        raise NotCarriedError(
            f"its input is padded with {input.fill:g}, which can be the maximum; use the padding of the pool itself"
        )
    window = Window(pair(kernel_size), pair(stride or kernel_size), None)
    pads = _reached(window, H, W, _added(input.pads, _both(pair(padding))), at.output)
    spellings = _spellings(window, H, W, pads, ceil_mode=pads != _added(input.pads, _both(pair(padding))))
    return (Part(at.choose(*(Pool(window.extent, window.stride, each) for each in spellings))),)


def avg_pool2d(
    at: At, input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Result:  # fmt: skip
    """Return an AvgPool; its padding counts, except with padding=same."""
    _, H, W = image(input, "a pool")
    window = Window(pair(kernel_size), pair(stride or kernel_size), None)
    if input.pads != NO_PADS and (input.fill != 0.0 or any(pair(padding))):
        raise NotCarriedError("its input is padded before, in a way that no AvgPool is; use the padding of the pool")
    inside = _added(input.pads, _both(pair(padding)))
    pads = _reached(window, H, W, inside, at.output)
    if divisor_override not in (None, math.prod(window.extent)):
        raise NotCarriedError(f"divisor_override={divisor_override} is not the window's size")
    counts = count_include_pad or input.pads != NO_PADS or divisor_override is not None
    if pads != inside and (divisor_override is not None or (counts and inside != NO_PADS)):
        raise NotCarriedError("ceil_mode=True changes the size here, and padding counts in some windows only")
    spellings = _spellings(window, H, W, pads, ceil_mode=pads != inside)
    if pads != NO_PADS:
        spellings = [each for each in spellings if (each == "same") != (counts and pads == inside)]
        if not spellings:
            how = "does not count: count_include_pad=True is available" if not counts else "counts"
            raise NotCarriedError(f"its padding {_text(pads)} {how}, only padding=same does not count")
    return (Part(at.choose(*(AvgPool(window.extent, window.stride, each) for each in spellings))),)


def max_pool2d_module(at: At, module: Any, input: Any) -> Result:
    """Return the layer of an nn.MaxPool2d, or of a PaddedMaxPool2d of `to_torch`."""
    if hasattr(module, "pads"):
        input = padded(input, module.pads, -math.inf)
    sizes = (module.kernel_size, module.stride, module.padding, module.dilation)
    return max_pool2d(at, input, *sizes, module.ceil_mode, module.return_indices)


def avg_pool2d_module(at: At, module: Any, input: Any) -> Result:
    """Return the layer of an nn.AvgPool2d."""
    sizes = (module.kernel_size, module.stride, module.padding)
    return avg_pool2d(at, input, *sizes, module.ceil_mode, module.count_include_pad, module.divisor_override)


def padded_avg_pool2d(at: At, module: Any, input: Any) -> Result:
    """Return the layer of a PaddedAvgPool2d of `to_torch`, whose padding does not count."""
    _, H, W = image(input, "a pool")
    window = Window(pair(module.kernel_size), pair(module.stride), None)
    if window.around(H, W) != module.pads or input.pads != NO_PADS:
        raise NotCarriedError(f"its padding {_text(module.pads)} is not padding=same for this image")
    return (Part(at.choose(AvgPool(window.extent, window.stride, "same"))),)


def adaptive_avg_pool2d(at: At, input: Any, output_size: Any) -> Result:
    """Return a GlobalPool, an AvgPool with equal windows, or nothing if the size is the same."""
    return _adaptive(at, input, GlobalPool, AvgPool)


def adaptive_max_pool2d(at: At, input: Any, output_size: Any, return_indices: bool = False) -> Result:
    """Return a GlobalMaxPool, a Pool with equal windows, or nothing if the size is the same."""
    if return_indices:
        raise NotCarriedError("return_indices=True: the indices are not available")
    return _adaptive(at, input, GlobalMaxPool, Pool)


def pad(at: At, input: Any, pad: Any, mode: str = "constant", value: float | None = None) -> Result:
    """Return padding that the next layer must take."""
    image(input, "padding")
    if mode != "constant":
        raise NotCarriedError(f'mode="{mode}"; only padding with a constant is available')
    left, right, top, bottom, *others = (*pad, 0, 0) if len(pad) == 2 else tuple(pad)
    if any(others) or min(left, right, top, bottom) < 0:
        raise NotCarriedError(f"pad={tuple(pad)}: only rows and columns can be added")
    fill = float(value or 0.0)
    if input.pads != NO_PADS and input.fill != fill:
        raise NotCarriedError("it pads what is padded already with another value")
    return Padding(_added(input.pads, (top, left, bottom, right)), fill)


def pad_module(at: At, module: Any, input: Any) -> Result:
    """Return the padding of an nn.ZeroPad2d or nn.ConstantPad2d."""
    return pad(at, input, module.padding, "constant", module.value)


def padded(value: TracedValue, pads: Pads, fill: float) -> TracedValue:
    """Return a value with padding around it. Raises NotCarriedError if it has some already."""
    if value.pads != NO_PADS:
        raise NotCarriedError("its input is padded twice")
    return TracedValue(value.node, value.shape, pads, fill)


def _adaptive(at: At, input: Any, whole: type[GlobalPool | GlobalMaxPool], parts: type[AvgPool | Pool]) -> Result:
    _, H, W = image(input, "a pool")
    _, P, Q = at.output
    if (P, Q) == (1, 1):
        return (Part(whole()),)
    if (P, Q) == (H, W):
        return ()
    if H % P or W % Q:
        larger = P > H or Q > W
        raise NotCarriedError(
            f"{P}×{Q} from {H}×{W} needs windows of different sizes"
            + (", some used several times" if larger else "")
            + "; an output that divides the image's size, or images of another size, can be carried over"
        )
    window = (H // P, W // Q)
    return (Part(parts(window, window)),)


def _both(padding: Pair) -> Pads:
    return padding[0], padding[1], padding[0], padding[1]


def _added(a: Pads, b: Pads) -> Pads:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]


def _same_in_torch(window: Window) -> Pads:
    """Return the padding of PyTorch's padding="same", for stride 1: the odd row or column at the bottom or right."""
    down, across = (span - 1 for span in window.span)
    return down // 2, across // 2, down - down // 2, across - across // 2


def _reached(window: Window, H: int, W: int, pads: Pads, output: tuple[int, ...]) -> Pads:
    """Return the padding with the rows and columns that ceil_mode's last windows reach beyond it."""
    top, left, bottom, right = pads
    sides = zip(output[1:], window.stride, window.extent, (H + top + bottom, W + left + right), strict=True)
    down, across = (max(0, (count - 1) * stride + extent - size) for count, stride, extent, size in sides)
    return top, left, bottom + down, right + across


def _spellings(
    window: Window, H: int, W: int, pads: Pads, *, prefer_same: bool = False, ceil_mode: bool = False
) -> list[Pair | Literal["same"]]:
    """Return each `padding=` of ours that adds these rows and columns. Raises NotCarriedError if there is none."""
    top, left, bottom, right = pads
    found: list[Pair | Literal["same"]] = [(top, left)] if (top, left) == (bottom, right) else []
    same = window.around(H, W)
    if pads == same:
        found.insert(0 if prefer_same else len(found), "same")
    if not found:
        with_ceil = ", with what ceil_mode=True adds," * ceil_mode
        raise NotCarriedError(
            f"its padding {_text(pads)} {_SIDES}{with_ceil} differs between opposite sides, and is not padding=same, "
            f"which is {_text(same)} for {times((H, W))} images"
        )
    return found


def _text(pads: Pads) -> str:
    return ", ".join(map(str, pads))
