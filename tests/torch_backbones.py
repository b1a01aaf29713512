"""Networks in PyTorch as torchvision defines them: SqueezeNet 1.1 (with another head), MobileNetV3, EfficientNet."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn


class Fire(nn.Module):
    def __init__(self, inputs: int, narrow: int, wide: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, narrow, 1)
        self.squeeze_activation = nn.ReLU(inplace=True)
        self.expand1x1 = nn.Conv2d(narrow, wide, 1)
        self.expand1x1_activation = nn.ReLU(inplace=True)
        self.expand3x3 = nn.Conv2d(narrow, wide, 3, padding=1)
        self.expand3x3_activation = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.squeeze_activation(self.squeeze(x))
        return torch.cat(
            [self.expand1x1_activation(self.expand1x1(x)), self.expand3x3_activation(self.expand3x3(x))], 1
        )


def squeezenet1_1(classes: int) -> nn.Sequential:
    """Return SqueezeNet 1.1 with an FC as its head."""
    pool = partial(nn.MaxPool2d, kernel_size=3, stride=2)
    return nn.Sequential(
        *(nn.Conv2d(3, 64, 3, 2), nn.ReLU(inplace=True), pool(), Fire(64, 16, 64), Fire(128, 16, 64), pool()),
        *(Fire(128, 32, 128), Fire(256, 32, 128), pool(), Fire(256, 48, 192), Fire(384, 48, 192)),
        *(Fire(384, 64, 256), Fire(512, 64, 256), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        nn.Linear(512, classes),
    )


class SqueezeExcitation(nn.Module):
    def __init__(self, channels: int, narrow: int, activation: type[nn.Module], factor: type[nn.Module]) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, narrow, 1)
        self.fc2 = nn.Conv2d(narrow, channels, 1)
        self.activation, self.scale_activation = activation(), factor()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scale = self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(x)))))
        return scale * x


class Inverted(nn.Module):
    """A 1×1 Conv to more channels, a depthwise one, squeeze-and-excitation, and a 1×1 Conv back; plus the input."""

    def __init__(self, layers: list[nn.Module], *, adds: bool) -> None:
        super().__init__()
        self.block, self.adds = nn.Sequential(*layers), adds

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result = self.block(x)
        return result + x if self.adds else result


def _conv(
    inputs: int, outputs: int, kernel: int, stride: int, activation: type[nn.Module] | None, groups: int = 1,
    eps: float = 1e-5, momentum: float = 0.1,
) -> list[nn.Module]:  # fmt: skip
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    norm = nn.BatchNorm2d(outputs, eps, momentum)
    return [conv, norm, *([activation()] if activation else [])]


def mobilenet_v3_small(classes: int) -> nn.Sequential:
    """Return MobileNetV3-Small."""
    conv = partial(_conv, eps=0.001, momentum=0.01)
    rows = (
        *((3, 16, 16, 16, 8, nn.ReLU, 2), (3, 16, 72, 24, 0, nn.ReLU, 2), (3, 24, 88, 24, 0, nn.ReLU, 1)),
        (5, 24, 96, 40, 24, nn.Hardswish, 2),
        *[(5, 40, 240, 40, 64, nn.Hardswish, 1)] * 2,
        *((5, 40, 120, 48, 32, nn.Hardswish, 1), (5, 48, 144, 48, 40, nn.Hardswish, 1)),
        (5, 48, 288, 96, 72, nn.Hardswish, 2),
        *[(5, 96, 576, 96, 144, nn.Hardswish, 1)] * 2,
    )
    parts = conv(3, 16, 3, 2, nn.Hardswish)
    for kernel, inputs, wide, outputs, narrow, activation, stride in rows:
        layers = conv(inputs, wide, 1, 1, activation) if wide != inputs else []
        layers += conv(wide, wide, kernel, stride, activation, wide)
        layers += [SqueezeExcitation(wide, narrow, nn.ReLU, nn.Hardsigmoid)] if narrow else []
        layers += conv(wide, outputs, 1, 1, None)
        parts.append(Inverted(layers, adds=stride == 1 and inputs == outputs))
    parts += [*conv(96, 576, 1, 1, nn.Hardswish), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(576, 1024)]
    return nn.Sequential(*parts, nn.Hardswish(), nn.Dropout(0.2), nn.Linear(1024, classes))


def efficientnet_b0(classes: int) -> nn.Sequential:
    """Return EfficientNet-B0 without stochastic depth."""
    rows = (
        *((1, 3, 1, 32, 16, 1), (6, 3, 2, 16, 24, 2), (6, 5, 2, 24, 40, 2), (6, 3, 2, 40, 80, 3)),
        *((6, 5, 1, 80, 112, 3), (6, 5, 2, 112, 192, 4), (6, 3, 1, 192, 320, 1)),
    )
    parts = _conv(3, 32, 3, 2, nn.SiLU)
    for ratio, kernel, first_stride, first_inputs, outputs, count in rows:
        for number in range(count):
            inputs, stride = (outputs, 1) if number else (first_inputs, first_stride)
            wide = ratio * inputs
            layers = _conv(inputs, wide, 1, 1, nn.SiLU) if ratio > 1 else []
            layers += _conv(wide, wide, kernel, stride, nn.SiLU, wide)
            layers += [SqueezeExcitation(wide, max(1, inputs // 4), nn.SiLU, nn.Sigmoid)]
            layers += _conv(wide, outputs, 1, 1, None)
            parts.append(Inverted(layers, adds=stride == 1 and inputs == outputs))
    parts += [*_conv(320, 1280, 1, 1, nn.SiLU), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*parts, nn.Dropout(0.2), nn.Linear(1280, classes))
