"""Every layer as a PyTorch module: the reference for tests, and the torch engine's layers. Import it lazily."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, final

from torch import nn

if TYPE_CHECKING:
    import torch

    from layerline.layers import Shape

Maker = Callable[[Any, "Shape"], nn.Module]
"""(layer, input shape) → module. The layer is of the kind for which the function is registered."""


@final
class Residual(nn.Module):
    """y = body(x) + shortcut(x); an empty shortcut is the identity."""

    def __init__(self, body: nn.Sequential, shortcut: nn.Sequential) -> None:
        """Store the two branches; their weights are named `body.0.weight`, `shortcut.0.weight`, …"""
        super().__init__()
        self.body = body
        self.shortcut = shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum."""
        y: torch.Tensor = self.body(x) + self.shortcut(x)
        return y


@final
class PaddedConv2d(nn.Conv2d):
    """A Conv2d with padding that differs between opposite sides: (top, left, bottom, right)."""

    def __init__(self, *arguments: Any, pads: tuple[int, int, int, int], **named: Any) -> None:
        """Store the padding; the rest goes to Conv2d."""
        super().__init__(*arguments, **named)
        self.pads = pads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the convolution of the padded image."""
        top, left, bottom, right = self.pads
        return super().forward(nn.functional.pad(x, (left, right, top, bottom)))


def _conv(layer: Any, shape: Shape) -> nn.Module:
    named = {"stride": layer.stride, "dilation": layer.dilation, "groups": layer.groups, "bias": layer.bias}
    return _convolution(layer.filters, layer, shape, named)


def _depthwise(layer: Any, shape: Shape) -> nn.Module:
    return _convolution(shape[0], layer, shape, {"stride": layer.stride, "groups": shape[0]})


def _convolution(filters: int, layer: Any, shape: Shape, named: dict[str, Any]) -> nn.Module:
    top, left, bottom, right = layer.pads
    if (top, left) == (bottom, right):
        return nn.Conv2d(shape[0], filters, layer.kernel, padding=(top, left), **named)
    return PaddedConv2d(shape[0], filters, layer.kernel, pads=layer.pads, **named)


def _batch_norm(layer: Any, shape: Shape) -> nn.Module:
    module = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
    return module(shape[0], eps=layer.eps, momentum=layer.momentum)


MODULES: Final[dict[str, Maker]] = {
    "conv": _conv,
    "depthwise": _depthwise,
    "relu": lambda _layer, _shape: nn.ReLU(),
    "leaky_relu": lambda layer, _shape: nn.LeakyReLU(layer.slope),
    "gelu": lambda _layer, _shape: nn.GELU(),
    "silu": lambda _layer, _shape: nn.SiLU(),
    "tanh": lambda _layer, _shape: nn.Tanh(),
    "sigmoid": lambda _layer, _shape: nn.Sigmoid(),
    "pool": lambda layer, _shape: nn.MaxPool2d(layer.window, layer.stride, layer.padding),
    "avg_pool": lambda layer, _shape: nn.AvgPool2d(layer.window, layer.stride, layer.padding),
    "global_pool": lambda _layer, _shape: nn.AdaptiveAvgPool2d(1),
    "batch_norm": _batch_norm,
    "dropout": lambda layer, _shape: nn.Dropout(layer.p),
    "flat": lambda _layer, _shape: nn.Flatten(),
    "fc": lambda layer, shape: nn.Linear(shape[0], layer.outputs, bias=layer.bias),
    "softmax": lambda _layer, _shape: nn.Softmax(dim=1),
}
"""The kind of a layer → the function that makes its module. `add` is made by Residual, from two branches."""
