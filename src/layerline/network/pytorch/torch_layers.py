"""Every layer as a PyTorch module: the reference for tests, and the torch engine's layers. Import it lazily."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Self, final

import torch
from torch import nn

if TYPE_CHECKING:
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


class Frozen(nn.Module):
    """A module that stays in evaluation mode, also after `train()`."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """Pass everything to the module that is frozen."""
        super().__init__(*arguments, **named)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode, whatever the mode is."""
        del mode
        return super().train(False)


@final
class FrozenBatchNorm1d(Frozen, nn.BatchNorm1d):
    """A BatchNorm1d that normalizes with its running statistics and leaves them as they are."""


@final
class FrozenBatchNorm2d(Frozen, nn.BatchNorm2d):
    """A BatchNorm2d that normalizes with its running statistics and leaves them as they are."""


@final
class FrozenDropout(Frozen, nn.Dropout):
    """A Dropout that passes on its input."""


@final
class FrozenDropout2d(Frozen, nn.Dropout2d):
    """A Dropout2d that passes on its input."""


@final
class ConcatBlock(nn.Module):
    """y = the channels of branch1(x), then those of branch2(x), …; an empty branch is the identity."""

    def __init__(self, *branches: nn.Sequential) -> None:
        """Store the branches; their weights are named `branch1.0.weight`, `branch2.0.weight`, …"""
        super().__init__()
        for number, branch in enumerate(branches, 1):
            self.add_module(f"branch{number}", branch)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the branches' outputs as one image, or one vector."""
        return torch.cat([branch(x) for branch in self.children()], 1)


@final
class GateBlock(nn.Module):
    """y = gate(x) · x; a gate of C×1×1 applies to the whole image."""

    def __init__(self, gate: nn.Sequential) -> None:
        """Store the gate; its weights are named `gate.0.weight`, …"""
        super().__init__()
        self.gate = gate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the product."""
        y: torch.Tensor = self.gate(x) * x
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


@final
class PaddedMaxPool2d(nn.MaxPool2d):
    """A MaxPool2d with padding that differs between opposite sides: (top, left, bottom, right); it never wins."""

    def __init__(self, *arguments: Any, pads: tuple[int, int, int, int]) -> None:
        """Keep the padding; the rest is MaxPool2d's."""
        super().__init__(*arguments)
        self.pads = pads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the largest of each window."""
        top, left, bottom, right = self.pads
        y: torch.Tensor = super().forward(nn.functional.pad(x, (left, right, top, bottom), value=-math.inf))
        return y


@final
class PaddedAvgPool2d(nn.AvgPool2d):
    """An AvgPool2d with padding that differs between opposite sides and does not count: (top, left, bottom, right)."""

    def __init__(self, window: tuple[int, int], stride: tuple[int, int], pads: tuple[int, int, int, int]) -> None:
        """Keep the padding; the rest is AvgPool2d's."""
        super().__init__(window, stride, divisor_override=1)
        self.pads = pads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the mean of each window's points inside the image."""
        top, left, bottom, right = self.pads
        around = (left, right, top, bottom)
        sums: torch.Tensor = super().forward(nn.functional.pad(x, around))
        points: torch.Tensor = super().forward(nn.functional.pad(x.new_ones(1, 1, *x.shape[-2:]), around))
        return sums / points


def _conv(layer: Any, shape: Shape) -> nn.Module:
    named = {"stride": layer.stride, "dilation": layer.dilation, "groups": layer.groups, "bias": layer.bias}
    return _convolution(layer.filters, layer, shape, named)


def _depthwise(layer: Any, shape: Shape) -> nn.Module:
    named = {"stride": layer.stride, "groups": shape[0], "bias": layer.bias}
    return _convolution(shape[0] * layer.multiplier, layer, shape, named)


def _convolution(filters: int, layer: Any, shape: Shape, named: dict[str, Any]) -> nn.Module:
    top, left, bottom, right = layer.window.around(*shape[1:])
    if (top, left) == (bottom, right):
        return nn.Conv2d(shape[0], filters, layer.kernel, padding=(top, left), **named)
    return PaddedConv2d(shape[0], filters, layer.kernel, pads=(top, left, bottom, right), **named)


def _pool(layer: Any, shape: Shape) -> nn.Module:
    top, left, bottom, right = layer.slides().around(*shape[1:])
    if (top, left) == (bottom, right):
        return nn.MaxPool2d(layer.window, layer.stride, (top, left))
    return PaddedMaxPool2d(layer.window, layer.stride, pads=(top, left, bottom, right))


def _avg_pool(layer: Any, shape: Shape) -> nn.Module:
    top, left, bottom, right = layer.slides().around(*shape[1:])
    if (top, left) == (bottom, right):
        counts = layer.padding != "same"
        return nn.AvgPool2d(layer.window, layer.stride, (top, left), count_include_pad=counts)
    return PaddedAvgPool2d(layer.window, layer.stride, pads=(top, left, bottom, right))


def _batch_norm(layer: Any, shape: Shape) -> nn.Module:
    module = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
    return module(shape[0], eps=layer.eps, momentum=layer.momentum)


def _frozen_batch_norm(layer: Any, shape: Shape) -> nn.Module:
    module = FrozenBatchNorm2d if len(shape) == 3 else FrozenBatchNorm1d
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
    "relu6": lambda _layer, _shape: nn.ReLU6(),
    "hard_sigmoid": lambda _layer, _shape: nn.Hardsigmoid(),
    "hard_swish": lambda _layer, _shape: nn.Hardswish(),
    "elu": lambda layer, _shape: nn.ELU(layer.alpha),
    "mish": lambda _layer, _shape: nn.Mish(),
    "pool": _pool,
    "avg_pool": _avg_pool,
    "global_pool": lambda _layer, _shape: nn.AdaptiveAvgPool2d(1),
    "global_max_pool": lambda _layer, _shape: nn.AdaptiveMaxPool2d(1),
    "batch_norm": _batch_norm,
    "dropout": lambda layer, _shape: nn.Dropout(layer.p),
    "dropout2d": lambda layer, _shape: nn.Dropout2d(layer.p),
    "flat": lambda _layer, _shape: nn.Flatten(),
    "fc": lambda layer, shape: nn.Linear(shape[0], layer.outputs, bias=layer.bias),
    "softmax": lambda _layer, _shape: nn.Softmax(dim=1),
}
"""The kind of a layer → the function that makes its module."""
FROZEN: Final[dict[str, Maker]] = {
    **MODULES,
    "batch_norm": _frozen_batch_norm,
    "dropout": lambda layer, _shape: FrozenDropout(layer.p),
    "dropout2d": lambda layer, _shape: FrozenDropout2d(layer.p),
}
"""The same for a frozen layer."""
BLOCKS: Final[dict[str, Callable[..., nn.Module]]] = {"add": Residual, "concat": ConcatBlock, "gate": GateBlock}
"""The kind of the layer at the End of a block → the class that makes a module of its branches."""
