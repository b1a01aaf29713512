"""The backbones as torchvision, timm and efficientnet_lite_pytorch define them: names, order and arithmetic.

`SIGNATURES` has the SHA-256 of the names and shapes of their `state_dict()`, as torchvision 0.29.1, timm 1.0.31 and
efficientnet_lite_pytorch 0.1.0 have them.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from layerline.files.state_dict import StateDict
from layerline.network.pretrained import BACKBONES, Pretrained
from layerline.network.pretrained.matching import match

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Stage = tuple[int, int, int, int, int]
"""Blocks, kernel, stride, expansion, channels."""
LITE0: tuple[Stage, ...] = (
    *((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112)),
    *((4, 5, 2, 6, 192), (1, 3, 1, 6, 320)),
)
MOBILENETV2: tuple[Stage, ...] = (
    *((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (3, 3, 2, 6, 32), (4, 3, 2, 6, 64), (3, 3, 1, 6, 96)),
    *((3, 3, 2, 6, 160), (1, 3, 1, 6, 320)),
)


class Same(nn.Conv2d):
    """A convolution with TensorFlow's padding: the extra row and column at the bottom and right."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pads: list[int] = []
        for n, k, s in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            total = max((-(-n // s) - 1) * s + k - n, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(functional.pad(x, pads))


def conv(tensorflow: bool, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Return a convolution without bias that keeps the size, up to its stride."""
    if tensorflow:
        return Same(inputs, outputs, kernel, stride, groups=groups, bias=False)
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)


class Named(nn.Module):
    """Modules with names, in a row, added to their input if it has their output's shape and `adds` is set."""

    def __init__(self, modules: Mapping[str, nn.Module], adds: bool, activations: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self._adds, self._activations = adds, activations

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        for name, module in self.named_children():
            y = self._activations.get(name, nn.Identity())(module(y))
        return x + y if self._adds else y


def blocks(
    stages: tuple[Stage, ...], tensorflow: bool, norm: Callable[[int], nn.Module]
) -> list[list[list[nn.Module]]]:
    """Return for each stage and block its convolutions and norms, in a row; a stage's later blocks have sums."""
    found, channels = [], 32
    for count, kernel, stride, expansion, outputs in stages:
        stage = []
        for k in range(count):
            wide, step = channels * expansion, stride if k == 0 else 1
            layers = [] if expansion == 1 else [conv(tensorflow, channels, wide, 1), norm(wide)]
            layers += [conv(tensorflow, wide, wide, kernel, step, wide), norm(wide)]
            stage.append([*layers, conv(tensorflow, wide, outputs, 1), norm(outputs)])
            channels = outputs
        found.append(stage)
    return found


def named(layers: list[nn.Module], names: tuple[str, ...], adds: bool) -> Named:
    """Return a block whose last norm has no activation."""
    names = names[-len(layers) :]
    return Named(dict(zip(names, layers, strict=True)), adds, dict.fromkeys(names[1:-1:2], nn.ReLU6()))


class Mobile(nn.Module):
    """A network of inverted residuals with the names of timm or of efficientnet_lite_pytorch."""

    def __init__(self, stages: tuple[Stage, ...], *, timm: bool, tensorflow: bool) -> None:
        super().__init__()
        eps = 1e-3 if tensorflow else 1e-5
        made = blocks(stages, tensorflow, lambda n: nn.BatchNorm2d(n, eps))
        stem, head = conv(tensorflow, 3, 32, 3, 2), conv(tensorflow, 320, 1280, 1)
        norms = nn.BatchNorm2d(32, eps), nn.BatchNorm2d(1280, eps)
        names: tuple[str, ...] = ("_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_project_conv", "_bn2")
        first = names
        if timm:
            names, first = ("conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3"), ("conv_dw", "bn1", "conv_pw", "bn2")
        rows = [
            nn.ModuleList(named(layers, names if s else first, k > 0) for k, layers in enumerate(stage))
            for s, stage in enumerate(made)
        ]
        row = nn.ModuleList(rows) if timm else nn.ModuleList(block for stage in rows for block in stage)
        parts = ("conv_stem", "bn1", "blocks", "conv_head", "bn2", "classifier")
        if not timm:
            parts = ("_conv_stem", "_bn0", "_blocks", "_conv_head", "_bn1", "_fc")
        for name, part in zip(parts, (stem, norms[0], row, head, norms[1], nn.Linear(1280, 1000)), strict=True):
            self.add_module(name, part)
        self._row = [block for stage in rows for block in stage]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stem, norm, _, head, last, _ = self.children()
        x = functional.relu6(norm(stem(x)))
        for block in self._row:
            x = block(x)
        return functional.relu6(last(head(x))).mean((2, 3))


class TorchvisionMobile(nn.Module):
    """MobileNetV2 with torchvision's names."""

    def __init__(self) -> None:
        super().__init__()
        units = [nn.Sequential(conv(False, 3, 32, 3, 2), nn.BatchNorm2d(32), nn.ReLU6())]
        self._adds = [False]
        for stage in blocks(MOBILENETV2, False, nn.BatchNorm2d):
            for k, layers in enumerate(stage):
                inner = [nn.Sequential(*layers[j : j + 2], nn.ReLU6()) for j in range(0, len(layers) - 2, 2)]
                unit = nn.Module()
                unit.conv = nn.Sequential(*inner, *layers[-2:])
                units.append(unit)
                self._adds.append(k > 0)
        units.append(nn.Sequential(conv(False, 320, 1280, 1), nn.BatchNorm2d(1280), nn.ReLU6()))
        self._adds.append(False)
        self.features = nn.Sequential(*units)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 1000))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for unit, adds in zip(self.features, self._adds, strict=True):
            y = getattr(unit, "conv", unit)(x)
            x = x + y if adds else y
        return x.mean((2, 3))


class BasicBlock(nn.Module):
    """Two convolutions, and a sum."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(False, inputs, outputs, 3, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = conv(False, outputs, outputs, 3), nn.BatchNorm2d(outputs)
        if inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(y + getattr(self, "downsample", nn.Identity())(x))


class ResNet(nn.Module):
    """A ResNet of basic blocks with torchvision's names, which are timm's."""

    def __init__(self, counts: tuple[int, int, int, int] = (2, 2, 2, 2)) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        inputs = 64
        for k, count in enumerate(counts):
            outputs = 64 << k
            first = BasicBlock(inputs, outputs, 1 if k == 0 else 2)
            rest = [BasicBlock(outputs, outputs, 1) for _ in range(count - 1)]
            self.add_module(f"layer{k + 1}", nn.Sequential(first, *rest))
            inputs = outputs
        self.fc = nn.Linear(512, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for k in range(1, 5):
            x = getattr(self, f"layer{k}")(x)
        return x.mean((2, 3))


MAKERS: dict[str, Callable[[], nn.Module]] = {
    "lite0 of efficientnet_lite_pytorch": lambda: Mobile(LITE0, timm=False, tensorflow=True),
    "lite0 of timm": lambda: Mobile(LITE0, timm=True, tensorflow=True),
    "mobilenetv2 of torchvision": TorchvisionMobile,
    "mobilenetv2 of timm": lambda: Mobile(MOBILENETV2, timm=True, tensorflow=False),
    "resnet18 of torchvision": ResNet,
}

SIGNATURES = {
    "lite0 of efficientnet_lite_pytorch": "d63e09ac5f58f58fbd1f49a8c4882ee68a0bcb5ebde23f8e18df6312083e91af",
    "lite0 of timm": "94c9204d9a5fc496bfa6cc747e09815a13109145f4e91b21163c4b42a5f5ca96",
    "mobilenetv2 of torchvision": "5c45000c8dea04dbc07d2038c9b43d2aac4b77dad25001a7e10fc6fb67ffdd1e",
    "mobilenetv2 of timm": "4a8986478951d3f25cbe72fb1dd0436f1d77a3c9222ee2b707c8cb2052d2a310",
    "resnet18 of torchvision": "761022b221a39ceb0afbf6540088f2c88938ca83e3adf823383af010f42a10c3",
}


def trained(maker: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """Return a module in evaluation mode, with norms as after a training.

    Their statistics are those of images of noise: otherwise, its features would hardly depend on the image.
    """
    torch.manual_seed(seed)
    module = maker()
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    for norm in norms:
        norm.weight.data.uniform_(0.6, 1.4)
        norm.bias.data.normal_(0, 0.2)
        norm.momentum = None  # the statistics become the mean over the batches
    with torch.no_grad():
        module.train()(torch.randn(4, 3, 96, 96))
    return module.eval()


def signature(module: nn.Module) -> str:
    """Return the SHA-256 of the names and shapes of a module's state."""
    lines = "".join(f"{name} {tuple(value.shape)}\n" for name, value in module.state_dict().items())
    return hashlib.sha256(lines.encode()).hexdigest()


def added(name: str) -> Pretrained:
    """Return a backbone with random weights, as if the user had added them."""
    known = BACKBONES[name]
    maker = next(each for key, each in MAKERS.items() if key.startswith(name))
    arrays = {key: tensor.numpy() for key, tensor in trained(maker).state_dict().items()}
    found = match(known, StateDict(arrays, "0" * 64, 0), "test.pth")
    about = (known.scale, known.shift, known.size, known.features, "none", "a test", "0" * 64, "test.pth")
    return Pretrained(name, known.text, found.weights, *about)
