"""Images that a PyTorch module does not take: which ones it takes instead, and how to get them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import nn

from layerline.layers.grammar import times

if TYPE_CHECKING:
    from collections.abc import Iterator

_Image = tuple[int, int, int]
_IMAGES: Final = 7
"""Images of a trial: a prime, so that an output with as many rows is surely one per image."""
_SIZES: Final = (
    *(6, 8, 12, 14, 16, 20, 24, 28, 32, 36, 40, 48, 50, 56, 64, 72, 80, 84, 96, 100, 112, 120, 128, 144, 150, 160),
    *(180, 192, 200, 224, 227, 240, 256, 288, 299, 300, 320, 384, 400, 448, 480, 512),
)
"""Usual heights and widths."""
_ORDER: Final = "channels × height × width"


def misfit(module: nn.Module, shape: _Image, *, of_data: bool) -> tuple[str, str] | None:
    """Return why `module` fails with images of `shape` that it takes in another shape, and what to do; else None.

    The module runs on PyTorch's meta device: only shapes are computed. of_data: whether the shape is that of images
    which were passed, not the argument `input_shape`.
    """
    trial = copy.deepcopy(module).to("meta")
    trial.eval()  # not chained: a module's own train() may return nothing
    close = [each for each in _close(module, shape) if _takes(trial, each)][:1]
    fitting = close or [each for each in _of_sizes(module, shape) if _takes(trial, each)]
    if not fitting:
        return None
    first = fitting[0]
    example = ", for example," if len(fitting) > 1 else ""
    reason = f"the images do not fit: found {times(shape)}, but it takes{example} {times(first)} ({_ORDER})"
    return reason, _from_data(shape, first) if of_data else _from_argument(shape, first)


def _close(module: nn.Module, shape: _Image) -> Iterator[_Image]:
    """Yield the same images with channels first, and with other channels."""
    rows, columns, last = shape
    yield last, rows, columns
    for channels in _channels(module):
        yield channels, shape[1], shape[2]


def _of_sizes(module: nn.Module, shape: _Image) -> Iterator[_Image]:
    for channels in dict.fromkeys((shape[0], shape[2], *_channels(module))):
        for size in _SIZES if channels <= 4 or channels in _channels(module) else ():
            yield channels, size, size


def _channels(module: nn.Module) -> list[int]:
    """Return the number of channels of the first convolution, and the usual ones."""
    first = (part.in_channels for part in module.modules() if isinstance(part, nn.Conv2d))
    return list(dict.fromkeys((*list(first)[:1], 3, 1)))


def _takes(module: nn.Module, shape: _Image) -> bool:
    """Whether the module makes one output per image; a trial may fail in any way."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        try:
            output: Any = module(torch.empty((_IMAGES, *shape), device="meta", dtype=torch.float32))
        except Exception:
            return False
    return isinstance(output, torch.Tensor) and output.shape[:1] == (_IMAGES,)


def _channels_are_last(shape: _Image, taken: _Image) -> bool:
    return shape[0] != taken[0] and shape[2] == taken[0]


def _from_argument(shape: _Image, taken: _Image) -> str:
    first = "channels come first: " if _channels_are_last(shape, taken) else ""
    return f"{first}input_shape={taken}"


def _from_data(shape: _Image, taken: _Image) -> str:
    """Return what to do to images x of `shape`."""
    C, size = shape[0], shape[1:]
    steps = []
    if _channels_are_last(shape, taken):
        steps.append("channels come first: x.permute(0, 3, 1, 2)")
        C, size = shape[2], shape[:2]
    if size != taken[1:]:
        steps.append(f"resize the images to {times(taken[1:])} (load_data has size=)")
    if taken[0] != C:
        ways = {(1, 3): "repeat the channel: x.expand(-1, 3, -1, -1)", (3, 1): "make x gray: x.mean(1, keepdim=True)"}
        other = f"let the module take {C} channel{'s' if C > 1 else ''}"
        way = ways.get((C, taken[0]))
        steps.append(f"{way}; or {other}" if way else other)
    return ", then ".join(steps)


def required(layer: nn.Module, got: tuple[int, ...]) -> str | None:
    """Return why a layer fails with a value of the shape `got` (with the batch), if its size is the reason."""
    sizes = {"in_features": ("values", -1), "in_channels": ("channels", 1), "num_features": ("channels", 1)}
    for name, (what, axis) in sizes.items():
        needs = getattr(layer, name, None)
        if isinstance(needs, int) and len(got) > 1 and got[axis] != needs:
            return f"it takes {needs} {what} ({name}), but gets {got[axis]}"
    return None
