"""PyTorch networks as other people write them: tutorials, students' code, the usual families, and traps."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's usual name

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Definition:
    """A network, and what is expected: it is carried over, or each of the `refused` is a path and part of a reason."""

    make: Callable[[], nn.Module]
    shape: tuple[int, int, int]
    refused: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        return self.make.__name__.lstrip("_")


CORPUS: list[Definition] = []


def carried(*shape: int):
    def register(make):
        CORPUS.append(Definition(make, shape))
        return make

    return register


def refused(shape: tuple[int, int, int], *reasons: tuple[str, str]):
    def register(make):
        CORPUS.append(Definition(make, shape, reasons))
        return make

    return register


# Tutorials.


@carried(1, 28, 28)
class MnistExample(nn.Module):
    """In the shape of PyTorch's own MNIST example."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, 1)
        self.conv2 = nn.Conv2d(8, 16, 3, 1)
        self.dropout1 = nn.Dropout(0.25)
        self.dropout2 = nn.Dropout(0.5)
        self.fc1 = nn.Linear(2304, 32)
        self.fc2 = nn.Linear(32, 10)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = F.max_pool2d(x, 2)
        x = torch.flatten(self.dropout1(x), 1)
        x = self.dropout2(F.relu(self.fc1(x)))
        return F.log_softmax(self.fc2(x), dim=1)


@carried(1, 28, 28)
class OldMnistExample(nn.Module):
    """With Dropout2d, functional dropout, and the order pool, then relu."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 10, kernel_size=5)
        self.conv2 = nn.Conv2d(10, 20, kernel_size=5)
        self.conv2_drop = nn.Dropout2d()
        self.fc1 = nn.Linear(320, 50)
        self.fc2 = nn.Linear(50, 10)

    def forward(self, x):
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.conv2_drop(self.conv2(x)), 2))
        x = x.view(-1, 320)
        x = F.relu(self.fc1(x))
        x = F.dropout(x, training=self.training)
        x = self.fc2(x)
        return F.log_softmax(x, dim=-1)


@carried(3, 32, 32)
class CifarTutorial(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = torch.flatten(x, 1)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


@carried(1, 28, 28)
class QuickStart(nn.Module):
    """No convolution; Flatten as a module."""

    def __init__(self):
        super().__init__()
        self.flatten = nn.Flatten()
        self.linear_relu_stack = nn.Sequential(
            nn.Linear(28 * 28, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
        )

    def forward(self, x):
        x = self.flatten(x)
        return self.linear_relu_stack(x)


@carried(1, 32, 32)
class LeNetTanh(nn.Module):
    """LeNet-5 with tanh, average pools and num_flat_features."""

    def __init__(self):
        super().__init__()
        self.c1 = nn.Conv2d(1, 6, 5)
        self.s2 = nn.AvgPool2d(2, 2)
        self.c3 = nn.Conv2d(6, 16, 5)
        self.c5 = nn.Conv2d(16, 120, 5)
        self.f6 = nn.Linear(120, 84)
        self.f7 = nn.Linear(84, 10)

    def forward(self, x):
        x = torch.tanh(self.c1(x))
        x = self.s2(x)
        x = F.tanh(self.c3(x))
        x = self.s2(x)
        x = self.c5(x).tanh()
        x = x.view(-1, self.num_flat_features(x))
        return F.softmax(self.f7(torch.tanh(self.f6(x))), dim=1)

    def num_flat_features(self, x):
        features = 1
        for size in x.size()[1:]:
            features *= size
        return features


@carried(1, 28, 28)
class OrderedBlocks(nn.Module):
    """OrderedDict, BatchNorm, and x.size(0)."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            OrderedDict(
                [
                    ("conv1", nn.Conv2d(1, 8, 3, padding=1, bias=False)),
                    ("norm1", nn.BatchNorm2d(8)),
                    ("relu1", nn.ReLU(inplace=True)),
                    ("pool1", nn.MaxPool2d(kernel_size=2, stride=2)),
                    ("conv2", nn.Conv2d(8, 16, 3, padding=1)),
                    ("norm2", nn.BatchNorm2d(16, momentum=0.01, eps=1e-3)),
                    ("relu2", nn.LeakyReLU(0.1)),
                    ("pool2", nn.MaxPool2d(kernel_size=2, stride=2)),
                ]
            )
        )
        self.classifier = nn.Linear(16 * 7 * 7, 10)

    def forward(self, x):
        x = self.features(x)
        x = x.reshape(x.size(0), -1)
        return self.classifier(x)


@carried(3, 32, 32)
class ShapeUnpacking(nn.Module):
    """Sizes are unpacked and multiplied, a condition and an assertion depend on them."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2)
        self.fc = nn.Linear(4 * 15 * 15, 5)

    def forward(self, x):
        assert x.shape[1] == 3, "colors"
        if x.dim() == 3:
            x = x.unsqueeze(0)
        x = self.conv(x)
        n, c, h, w = x.shape
        assert len(x) == n
        return self.fc(x.view(n, c * h * w).sigmoid())


@carried(3, 32, 32)
class FunctionalOnly(nn.Module):
    """Parameters and F.conv2d, F.linear, F.batch_norm."""

    def __init__(self):
        super().__init__()
        self.w1 = nn.Parameter(torch.randn(4, 3, 3, 3) * 0.2)
        self.b1 = nn.Parameter(torch.zeros(4))
        self.gain = nn.Parameter(torch.ones(4))
        self.shift = nn.Parameter(torch.zeros(4))
        self.register_buffer("mean", torch.zeros(4))
        self.register_buffer("var", torch.ones(4))
        self.w2 = nn.Parameter(torch.randn(5, 4) * 0.2)

    def forward(self, x):
        x = F.conv2d(x, self.w1, self.b1, stride=2, padding=1)
        x = F.batch_norm(x, self.mean, self.var, self.gain, self.shift, self.training, 0.1, 1e-5)
        x = F.adaptive_avg_pool2d(F.relu(x), (1, 1)).flatten(1)
        return F.linear(x, self.w2)


@carried(1, 16, 16)
class TrainingBranch(nn.Module):
    """Dropout in an `if self.training`, softmax only in evaluation."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(256, 16)
        self.drop = nn.Dropout(0.5)
        self.fc2 = nn.Linear(16, 3)

    def forward(self, x):
        x = F.relu(self.fc1(x.flatten(start_dim=1)))
        if self.training:
            x = self.drop(x)
        x = self.fc2(x)
        if not self.training:
            x = torch.softmax(x, dim=1)
        return x


# Families.


def _vgg(config, classes=10):
    layers, channels = [], 3
    for entry in config:
        if entry == "M":
            layers += [nn.MaxPool2d(kernel_size=2, stride=2)]
        else:
            layers += [nn.Conv2d(channels, entry, kernel_size=3, padding=1), nn.BatchNorm2d(entry), nn.ReLU(True)]
            channels = entry
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Linear(channels, classes))


@carried(3, 32, 32)
def vgg_config():
    return _vgg([8, "M", 16, "M", 16, 16, "M"])


@carried(3, 63, 63)
class AlexNetLike(nn.Module):
    """Adaptive pool to the size that is there already, dropout before Linear."""

    def __init__(self, num_classes=10):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, kernel_size=11, stride=4, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(8, 16, kernel_size=5, padding=2),
            nn.ReLU(inplace=True),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Linear(16 * 7 * 7, 32), nn.ReLU(inplace=True), nn.Linear(32, num_classes)
        )

    def forward(self, x):
        x = self.features(x)
        x = self.avgpool(x)
        x = torch.flatten(x, 1)
        return self.classifier(x)


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, inplanes, planes, stride=1, downsample=None):
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = downsample

    def forward(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, inplanes, planes, stride=1, downsample=None):
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, planes * 4, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes * 4)
        self.downsample = downsample

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(shortcut + out)


class ResNet(nn.Module):
    def __init__(self, block, layers):
        super().__init__()
        self.inplanes = 8
        self.conv1 = nn.Conv2d(3, 8, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = self._make_layer(block, 8, layers[0])
        self.layer2 = self._make_layer(block, 16, layers[1], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(16 * block.expansion, 10)

    def _make_layer(self, block, planes, blocks, stride=1):
        downsample = None
        if stride != 1 or self.inplanes != planes * block.expansion:
            downsample = nn.Sequential(
                nn.Conv2d(self.inplanes, planes * block.expansion, 1, stride, bias=False),
                nn.BatchNorm2d(planes * block.expansion),
            )
        layers = [block(self.inplanes, planes, stride, downsample)]
        self.inplanes = planes * block.expansion
        layers += [block(self.inplanes, planes) for _ in range(1, blocks)]
        return nn.Sequential(*layers)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer2(self.layer1(x))
        x = self.avgpool(x)
        x = torch.flatten(x, 1)
        return self.fc(x)


@carried(3, 40, 40)
def resnet_basic():
    return ResNet(BasicBlock, [2, 2])


@carried(3, 40, 40)
def resnet_bottleneck():
    return ResNet(Bottleneck, [2, 1])


class PreActBlock(nn.Module):
    def __init__(self, in_planes, planes, stride=1):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_planes)
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        if stride != 1 or in_planes != planes:
            self.shortcut = nn.Sequential(nn.Conv2d(in_planes, planes, 1, stride=stride, bias=False))

    def forward(self, x):
        out = F.relu(self.bn1(x))
        shortcut = self.shortcut(out) if hasattr(self, "shortcut") else x
        out = self.conv1(out)
        out = self.conv2(F.relu(self.bn2(out)))
        out += shortcut
        return out


@carried(3, 16, 16)
class PreActResNet(nn.Module):
    """The shortcut starts after the first activation: the Residual starts there."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.a = PreActBlock(8, 8)
        self.b = PreActBlock(8, 16, 2)
        self.fc = nn.Linear(16, 4)

    def forward(self, x):
        x = self.b(self.a(self.stem(x)))
        x = F.avg_pool2d(x, x.size()[2:])
        return self.fc(x.view(x.size(0), -1))


class ConvBNReLU(nn.Sequential):
    def __init__(self, i, o, kernel=3, stride=1, groups=1):
        super().__init__(
            nn.Conv2d(i, o, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False),
            nn.BatchNorm2d(o),
            nn.ReLU6(inplace=True),
        )


class InvertedResidual(nn.Module):
    def __init__(self, i, o, stride, ratio):
        super().__init__()
        hidden = i * ratio
        self.use_res_connect = stride == 1 and i == o
        layers = [ConvBNReLU(i, hidden, 1)] if ratio != 1 else []
        layers += [ConvBNReLU(hidden, hidden, stride=stride, groups=hidden), nn.Conv2d(hidden, o, 1, bias=False)]
        self.conv = nn.Sequential(*layers, nn.BatchNorm2d(o))

    def forward(self, x):
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


@carried(3, 32, 32)
class MobileNetLike(nn.Module):
    """Inverted residuals, depthwise convolutions, the mean over height and width."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            ConvBNReLU(3, 8, stride=2),
            InvertedResidual(8, 8, 1, 1),
            InvertedResidual(8, 12, 2, 3),
            InvertedResidual(12, 12, 1, 3),
        )
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(12, 10))

    def forward(self, x):
        x = self.features(x)
        x = x.mean([2, 3])
        return self.classifier(x)


@carried(3, 32, 32)
def depthwise_separable():
    """A channel multiplier, Hardswish, GELU and a mean that keeps its dimensions."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.dw = nn.Conv2d(3, 6, 3, padding="same", groups=3)
            self.pw = nn.Conv2d(6, 8, 1, padding="valid")
            self.head = nn.Linear(8, 4)

        def forward(self, x):
            x = F.hardswish(self.dw(x))
            x = F.gelu(self.pw(x))
            x = torch.mean(x, dim=(-2, -1), keepdim=True)
            return self.head(x.squeeze(-1).squeeze(-1) if x.ndim == 3 else x.flatten(1))

    return Net()


@carried(3, 17, 17)
def wide_activations():
    """Every activation that is available, as modules and in place."""
    return nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.SiLU(inplace=True), nn.Conv2d(4, 4, 1), nn.Mish(), nn.Conv2d(4, 4, 1), nn.ELU(0.7)),
        *(nn.Conv2d(4, 4, 1), nn.Hardtanh(0.0, 6.0), nn.Conv2d(4, 4, 1), nn.Hardswish(), nn.Conv2d(4, 4, 1), nn.Tanh()),
        *(nn.Conv2d(4, 4, 1), nn.Hardsigmoid()),
        *(nn.Conv2d(4, 4, 1), nn.GELU(), nn.Conv2d(4, 4, 1), nn.Sigmoid(), nn.Identity(), nn.AdaptiveMaxPool2d(1)),
        *(nn.Flatten(), nn.BatchNorm1d(4), nn.Linear(4, 3), nn.LogSoftmax(dim=1)),
    )


@carried(3, 12, 12)
def padded_convolutions():
    """ZeroPad2d, asymmetric as TensorFlow pads, dilation and groups."""
    return nn.Sequential(
        *(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 4, 3, stride=2), nn.ReLU()),
        *(nn.ZeroPad2d(2), nn.Conv2d(4, 8, 5, groups=2), nn.ReLU(), nn.Conv2d(8, 8, (3, 1), (2, 1), (1, 0))),
        *(nn.Conv2d(8, 4, 3, padding=2, dilation=2), nn.Flatten(), nn.LazyLinear(3)),
    )


@carried(1, 14, 14)
def adaptive_pool_that_divides():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.Linear(196, 10)
    )


@carried(1, 12, 12)
def ceil_mode_that_changes_nothing():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.MaxPool2d(2, 2, ceil_mode=True), nn.Flatten(), nn.Linear(100, 2))


@carried(1, 13, 13)
def ceil_mode_like_tensorflow():
    """11×11 with windows of 2: the last window reaches over the edge, as with padding=same."""
    return nn.Sequential(
        *(
            nn.Conv2d(1, 4, 3),
            nn.MaxPool2d(2, 2, ceil_mode=True),
            nn.Conv2d(4, 4, 2),
            nn.AvgPool2d(2, 2, ceil_mode=True),
        ),
        *(nn.Flatten(), nn.Linear(36, 2)),
    )


@carried(1, 28, 28)
class SharedPoolAndRelu(nn.Module):
    """Modules without weights are used again; several sums follow each other."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.conv3 = nn.Conv2d(4, 4, 3, padding=1)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.out = nn.Linear(4 * 7 * 7, 10)

    def forward(self, x):
        x = self.pool(self.relu(self.conv1(x)))
        a = self.relu(self.conv2(x))
        b = self.relu(self.conv3(x))
        x = torch.add(torch.add(a, b), x)
        x = x.add(self.relu(x))
        return self.out(torch.flatten(self.pool(x), 1))


@carried(3, 8, 8)
class SumOfBranches(nn.Module):
    """As MobileOne: sum() of a list of branches, which starts with 0, one of them only a BatchNorm."""

    def __init__(self):
        super().__init__()
        self.skip = nn.BatchNorm2d(3)
        self.convs = nn.ModuleList([nn.Conv2d(3, 3, size, padding=size // 2) for size in (1, 3, 5)])
        self.fc = nn.Linear(192, 2)

    def forward(self, x):
        out = self.skip(x) + sum(conv(x) for conv in self.convs)
        return self.fc(torch.relu(out).flatten(1))


@carried(3, 8, 8)
def data_parallel():
    return nn.DataParallel(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)))


class MyBatchNorm(nn.BatchNorm2d):
    """A subclass is traced into, as timm's are."""


@carried(3, 8, 8)
def batch_norm_subclass():
    return nn.Sequential(nn.Conv2d(3, 4, 3), MyBatchNorm(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))


class SamePadConv(nn.Conv2d):
    """TensorFlow's padding, as EfficientNet's ports have it."""

    def forward(self, x):
        ih, iw = x.size()[-2:]
        kh, kw = self.weight.size()[-2:]
        sh, sw = self.stride
        ph = max((math.ceil(ih / sh) - 1) * sh + kh - ih, 0)
        pw = max((math.ceil(iw / sw) - 1) * sw + kw - iw, 0)
        if ph > 0 or pw > 0:
            x = F.pad(x, [pw // 2, pw - pw // 2, ph // 2, ph - ph // 2])
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


@carried(3, 15, 16)
def same_pad_convolution():
    return nn.Sequential(SamePadConv(3, 4, 3, 2), nn.ReLU(), SamePadConv(4, 4, 3, 2), nn.Flatten(), nn.Linear(64, 3))


@carried(3, 32, 32)
def squeezenet_fire():
    class Fire(nn.Module):
        def __init__(self):
            super().__init__()
            self.squeeze = nn.Conv2d(3, 4, 1)
            self.expand1x1 = nn.Conv2d(4, 8, 1)
            self.expand3x3 = nn.Conv2d(4, 8, 3, padding=1)

        def forward(self, x):
            x = F.relu(self.squeeze(x), inplace=True)
            return torch.cat([F.relu(self.expand1x1(x)), F.relu(self.expand3x3(x))], 1)

    return nn.Sequential(OrderedDict(fire=Fire(), pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), fc=nn.Linear(16, 3)))


@carried(3, 16, 16)
class DenseNetLike(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1)
        self.conv2 = nn.Conv2d(7, 4, 3, padding=1)
        self.fc = nn.Linear(11 * 256, 5)

    def forward(self, x):
        y = torch.cat((x, F.relu(self.conv1(x))), dim=1)
        y = torch.cat((y, F.relu(self.conv2(y))), dim=1)
        return self.fc(y.view(y.size(0), -1))


@carried(3, 16, 16)
def squeeze_and_excitation():
    class SE(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 3), nn.Sigmoid())

        def forward(self, x):
            b, c, _, _ = x.size()
            y = F.adaptive_avg_pool2d(x, 1).view(b, c)
            return x * self.fc(y).view(b, c, 1, 1)

    return nn.Sequential(OrderedDict(se=SE(), flat=nn.Flatten(), fc=nn.Linear(768, 3)))


@carried(3, 16, 16)
class DenseBlock(nn.Module):
    """A list of all values so far is concatenated again and again, as in torchvision's DenseNet."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(3 + 4 * i, 4, 3, padding=1) for i in range(3)])
        self.bottlenecks = nn.ModuleList([nn.Conv2d(4, 4, 1) for _ in range(3)])
        self.fc = nn.Linear(15, 5)

    def forward(self, x):
        features = [x]
        for conv, bottleneck in zip(self.convs, self.bottlenecks, strict=True):
            features.append(F.relu(bottleneck(F.relu(conv(torch.cat(features, 1))))))
        return self.fc(torch.cat(features, 1).mean((2, 3)))


class InceptionBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.branch1 = nn.Conv2d(channels, 5, 1)
        self.branch2 = nn.Sequential(nn.Conv2d(channels, 3, 1), nn.ReLU(), nn.Conv2d(3, 4, 3, padding=1))
        self.split = nn.Conv2d(channels, 3, 1)
        self.left = nn.Conv2d(3, 2, (1, 3), padding=(0, 1))
        self.right = nn.Conv2d(3, 2, (3, 1), padding=(1, 0))
        self.pooled = nn.Conv2d(channels, 6, 1)

    def forward(self, x):
        y = self.split(x)
        wide = torch.cat([self.left(y), self.right(y)], dim=-3)
        pooled = self.pooled(F.avg_pool2d(x, 3, stride=1, padding=1))
        return torch.concat((self.branch1(x), self.branch2(x), wide, pooled), 1)


@carried(3, 16, 16)
def inception():
    """Four branches of the same value, one of which parts again."""
    blocks = (InceptionBlock(3), nn.ReLU(), InceptionBlock(19), nn.ReLU())
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(19, 3))


class SqueezeByConv(nn.Module):
    """As torchvision's SqueezeExcitation; the other layers of students' code."""

    def __init__(self, channels, how):
        super().__init__()
        self.how = how
        self.squeeze = nn.Conv2d(channels, 2, 1)
        self.excite = nn.Conv2d(2, channels, 1)

    def forward(self, x):
        scale = self.excite(F.relu(self.squeeze(x.mean((2, 3), keepdim=True))))
        if self.how == "in place":
            x = x * F.hardsigmoid(scale)
            x *= torch.sigmoid(x)
            return x
        return torch.mul(torch.sigmoid(scale).expand_as(x), x)


@carried(3, 12, 12)
def squeeze_by_conv():
    """Products of every spelling, in a residual block and outside, also with factors for every value."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3, padding=1, bias=False)
            self.norm = nn.BatchNorm2d(4)
            self.se = SqueezeByConv(4, "expanded")

        def forward(self, x):
            return x + self.se(self.norm(self.conv(x)))

    return nn.Sequential(
        *(nn.Conv2d(3, 4, 3), Block(), nn.ReLU(), SqueezeByConv(4, "in place")),
        *(nn.Flatten(), nn.Linear(400, 3)),
    )


@carried(3, 12, 12)
def squeeze_by_linear():
    """The usual SELayer: view, two Linear without bias in a Sequential, view, expand_as."""

    class SELayer(nn.Module):
        def __init__(self, channel, reduction=2):
            super().__init__()
            self.reduction = reduction
            self.avg_pool = nn.AdaptiveAvgPool2d(1)
            self.fc = nn.Sequential(
                nn.Linear(channel, channel // reduction, bias=False),
                nn.ReLU(inplace=True),
                nn.Linear(channel // reduction, channel, bias=False),
                nn.Sigmoid(),
            )

        def forward(self, x):
            b, c, _, _ = x.size()
            y = self.avg_pool(x).view(b, c)
            y = self.fc(y)
            y = y.view(b, c, 1, 1) if self.reduction == 2 else y[:, :, None, None]
            return x * y.expand_as(x)

    return nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.ReLU(), SELayer(4), nn.Conv2d(4, 6, 3, 2), SELayer(6, 3)),
        *(nn.Flatten(), nn.Linear(96, 3)),
    )


# What cannot be carried over.


@refused(
    (3, 32, 32),
    ("norm (GroupNorm)", "only normalization"),
    ("act (PReLU)", "slopes are not learned; nn.LeakyReLU(0.25) has its initial slope"),
)
def group_norm_and_prelu():
    """Both are reported, not only the first."""
    parts = {"conv": nn.Conv2d(3, 4, 3), "norm": nn.GroupNorm(2, 4), "act": nn.PReLU(), "flat": nn.Flatten()}
    return nn.Sequential(OrderedDict(**parts, fc=nn.Linear(3600, 3)))


@refused(
    (3, 16, 16),
    ("forward (x.permute)", "no equivalent"),
    ("norm (LayerNorm)", "only normalization"),
    ("pwconv1 (Linear)", "each row"),
    ("pwconv2 (Linear)", "each row"),
    ("forward (mul)", "by a number or a parameter"),
)
class ConvNextLike(nn.Module):
    def __init__(self):
        super().__init__()
        self.dwconv = nn.Conv2d(3, 3, 7, padding=3, groups=3)
        self.norm = nn.LayerNorm(3)
        self.pwconv1 = nn.Linear(3, 12)
        self.pwconv2 = nn.Linear(12, 3)
        self.gamma = nn.Parameter(torch.ones(3) * 1e-6)
        self.head = nn.Linear(3, 5)

    def forward(self, x):
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        y = self.gamma * self.pwconv2(F.gelu(self.pwconv1(y)))
        return self.head((x + y.permute(0, 3, 1, 2)).mean([-2, -1]))


@refused(
    (3, 8, 8),
    ("forward (mul)", "neither of which is computed from the other; only x * g(x) is available"),
)
class GatedLinear(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(144, 2)

    def forward(self, x):
        return self.fc((self.a(x) * torch.sigmoid(self.b(x))).flatten(1))


@refused((3, 8, 8), ("forward (cat)", "dim=2: only channels, dim=1, can be concatenated"))
class ConcatenatesRows(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(288, 2)

    def forward(self, x):
        return self.fc(torch.cat([self.a(x), self.b(x)], 2).flatten(1))


@refused(
    (3, 8, 8),
    ("forward (mul)", "it multiplies a value by itself"),
    ("forward (mul)", "it multiplies 4×6×6 and 1×6×6; a product needs equal shapes, or C×H×W and C×1×1"),
)
class ProductsOfThemselves(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.mask = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 1, 1)
        self.fc = nn.Linear(288, 2)

    def forward(self, x):
        x = self.conv(x)
        x = x * torch.sigmoid(self.mask(x))
        x = x * x
        return self.fc(torch.cat([x, x], 1).flatten(1))


@refused(
    (3, 8, 8), ("forward (x.view)", "it makes an image of a vector; only factors for a product, x * g(x), can be one")
)
class FromVector(nn.Module):
    """A vector that two operations use cannot become an image."""

    def __init__(self):
        super().__init__()
        self.squeeze, self.excite, self.fc = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, x):
        y = self.squeeze(x.mean((2, 3)))
        gated = x * torch.sigmoid(self.excite(y)).view(-1, 3, 1, 1)
        return self.fc(gated.mean((2, 3)) + y)


@refused((1, 13, 13), ("1 (MaxPool2d)", "differs between opposite sides"))
def ceil_mode_with_padding():
    return nn.Sequential(nn.Conv2d(1, 4, 4), nn.MaxPool2d(3, 2, 1, ceil_mode=True), nn.Flatten(), nn.Linear(144, 2))


@refused((1, 12, 12), ("1 (AvgPool2d)", "does not count"))
def average_without_padding():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.AvgPool2d(4, 2, 2, count_include_pad=False), nn.Flatten(), nn.Linear(144, 2)
    )


@refused((3, 32, 32), ("2 (AdaptiveAvgPool2d)", "windows of different sizes"))
def adaptive_pool_that_does_not_divide():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.Linear(196, 3))


@refused((3, 8, 8), ("2 (AdaptiveAvgPool2d)", "some used several times"))
def adaptive_pool_that_enlarges():
    """AlexNet on small images."""
    return nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(6), nn.Flatten(), nn.Linear(144, 3))


@refused((3, 8, 8), ("conv (Conv2d)", "weights are used twice"))
class SharedConvolution(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.fc = nn.Linear(192, 2)

    def forward(self, x):
        for _ in range(2):
            x = F.relu(self.conv(x))
        return self.fc(x.flatten(1))


@refused((3, 8, 8), ("relu (ReLU)", "changes its input in place, which add"))
class InPlaceTrap(nn.Module):
    """The shortcut is the activated value, not the one that it looks like."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.conv2 = nn.Conv2d(3, 3, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(192, 2)

    def forward(self, x):
        x = self.conv(x)
        y = self.conv2(self.relu(x))
        return self.fc((x + y).flatten(1))


@refused((3, 8, 8), ("forward (iadd)", "changes its input in place"))
class InPlaceSumTrap(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.conv2 = nn.Conv2d(3, 3, 3, padding=1)
        self.fc = nn.Linear(192, 2)

    def forward(self, x):
        a = self.conv(x)
        b = self.conv2(a)
        flat = a.flatten(1)
        a += b
        return self.fc(flat + torch.relu(a).flatten(1))


@refused((1, 8, 8), ("forward (x.view)", "must stay the first dimension"))
class FlattenOfOneImage(nn.Module):
    """view(1, -1): right for a batch of one image."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.fc = nn.Linear(144, 2)

    def forward(self, x):
        return self.fc(self.conv(x).view(1, -1))


@refused((1, 8, 8), ("forward (x.view)", "with another number of images, 5 instead of 3: it makes 3×240"))
class FixedBatch(nn.Module):
    """The batch size is written in forward."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.fc = nn.Linear(144, 2)

    def forward(self, x):
        return self.fc(self.conv(x).view(3, -1))


@refused((1, 8, 8), ("fc (Linear)", "it takes 145 values (in_features), but gets 144 with images of 1×8×8"))
def wrong_input_size():
    return nn.Sequential(OrderedDict(conv=nn.Conv2d(1, 4, 3), flat=nn.Flatten(), fc=nn.Linear(145, 2)))


@refused((28, 28, 1), ("forward (Sequential)", "found 28×28×1, but it takes 1×28×28 (channels × height × width)"))
def channels_last():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 26 * 26, 2))


@refused((1, 28, 28), ("forward (Sequential)", "found 1×28×28, but it takes 1×32×32"))
def smaller_images():
    return nn.Sequential(nn.Conv2d(1, 4, 5), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 14 * 14, 2))


@refused((3, 28, 28), ("forward (ImagesByView)", "found 3×28×28, but it takes 3×32×32"))
class ImagesByView(nn.Module):
    """Images of another size make another number of rows, not an error."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 5)
        self.fc = nn.Linear(6 * 14 * 14, 2)

    def forward(self, x):
        return self.fc(F.max_pool2d(self.conv(x), 2).view(-1, 6 * 14 * 14))


@refused((3, 16, 16), ("forward (Sequential)", "found 3×16×16, but it takes, for example, 3×40×40"))
def images_that_are_too_small():
    convs = [nn.Conv2d(3, 3, 3, 2), nn.Conv2d(3, 3, 3, 2), nn.Conv2d(3, 3, 3, 2), nn.MaxPool2d(4)]
    return nn.Sequential(*convs, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))


@refused((1, 8, 8), ("forward (ChecksItsImages)", "found 1×8×8, but it takes 3×8×8"))
class ChecksItsImages(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(192, 2)

    def forward(self, x):
        assert x.shape[1] == 3, "color images only"
        return self.fc(x.flatten(1))


@refused((1, 8, 8), ("forward (PairInput)", "forward() unpacks its input, like a pair or a list"))
class PairInput(nn.Module):
    """forward(batch), as in some tutorials."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(64, 2)

    def forward(self, batch):
        x, _ = batch
        return self.fc(x.flatten(1))


@refused((1, 8, 8), ("forward (DictInput)", "forward() reads x['image'], one part of its input"))
class DictInput(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(64, 2)

    def forward(self, batch):
        return self.fc(batch["image"].flatten(1))


@refused((1, 8, 8), ("1 (Linear)", "weight has NaN"), ("1 (Linear)", "bias has infinite values"))
def diverged():
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    with torch.no_grad():
        module[1].weight[0, 0] = math.nan
        module[1].bias[1] = math.inf
    return module


@refused((1, 8, 8), ("1 (Linear)", "a tensor hook is"), ("1 (Linear)", "a hook after gradient"))
def hooks_of_parameters():
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    module[1].weight.register_hook(lambda gradient: gradient.clamp(-1, 1))
    module[1].bias.register_post_accumulate_grad_hook(lambda _: None)
    return module


@refused((1, 8, 8), ("forward (dropout)", "also drops values in evaluation"))
class DropoutAlways(nn.Module):
    """F.dropout without training=self.training: a common mistake."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(64, 16)
        self.fc2 = nn.Linear(16, 2)

    def forward(self, x):
        x = F.relu(self.fc1(x.view(-1, 64)))
        return self.fc2(F.dropout(x, 0.5))


@refused((3, 8, 8), ("aux (Linear)", "it is computed in training mode only"))
class AuxiliaryHead(nn.Module):
    """As GoogLeNet: two outputs in training."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(192, 2)
        self.aux = nn.Linear(192, 2)

    def forward(self, x):
        x = x.flatten(1)
        return (self.fc(x), self.aux(x)) if self.training else self.fc(x)


@refused((3, 8, 8), ("", "depends on the values of a tensor"))
class DataDependent(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(192, 2)

    def forward(self, x):
        if x.mean() > 0.5:
            x = x.flip(3)
        return self.fc(x.flatten(1))


@refused((3, 8, 8), ("0 (Conv2d)", "weight_norm computes its weight"))
def old_weight_norm():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        conv = nn.utils.weight_norm(nn.Conv2d(3, 4, 3))
    return nn.Sequential(conv, nn.Flatten(), nn.Linear(144, 2))


@refused((3, 8, 8), ("0 (ParametrizedConv2d)", "weight is computed"), ("2 (ParametrizedLinear)", "weight is computed"))
def parametrized():
    conv = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3))
    return nn.Sequential(conv, nn.Flatten(), nn.utils.parametrizations.spectral_norm(nn.Linear(144, 2)))


@refused((3, 8, 8), ("0 (Conv2d)", "forward hook"))
def hooked():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2))
    net[0].register_forward_hook(lambda _m, _i, output: output * 2)
    return net


@refused((3, 8, 8), ("0 (LazyConv2d)", "run the module once"), ("2 (LazyLinear)", "run the module once"))
def lazy():
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(2))


@refused((3, 8, 8), ("0 (Conv2d)", "float64 (weight, bias)"), ("2 (Linear)", "float64"))
def double_precision():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2)).double()


@refused((3, 8, 8), ("1 (BatchNorm2d)", "affine=False"), ("2 (BatchNorm2d)", "track_running_stats=False"))
def batch_norms_without_weights_or_statistics():
    norms = nn.BatchNorm2d(4, affine=False), nn.BatchNorm2d(4, track_running_stats=False)
    return nn.Sequential(nn.Conv2d(3, 4, 3), *norms, nn.Flatten(), nn.Linear(144, 2))


@refused((3, 8, 8), ("forward (its output)", "one number"))
def binary_with_sigmoid():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 1), nn.Sigmoid())


@refused((3, 8, 8), ("forward (its output)", "10×1×1 image"))
def fully_convolutional():
    return nn.Sequential(nn.Conv2d(3, 10, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))


@refused((3, 8, 8), ("0 (ConvTranspose2d)", "larger"), ("1 (Upsample)", "larger"))
def upsampling():
    return nn.Sequential(nn.ConvTranspose2d(3, 4, 2, 2), nn.Upsample(scale_factor=2), nn.Flatten(), nn.Linear(4096, 2))


@refused((3, 8, 8), ("forward (sub)", "it prepares the images"), ("forward (add)", "a number or a parameter"))
class NormalizesItself(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.full((1, 3, 1, 1), 0.5))
        self.bias = nn.Parameter(torch.zeros(2))
        self.fc = nn.Linear(192, 2)

    def forward(self, x):
        return self.fc((x - self.mean).flatten(1)) + self.bias


@refused((3, 8, 8), ("forward (sub)", "it prepares the images"), ("forward (truediv)", "it prepares the images"))
class StandardizesItself(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.full((1, 3, 1, 1), 0.5))
        self.register_buffer("std", torch.full((1, 3, 1, 1), 0.25))
        self.fc = nn.Linear(192, 2)

    def forward(self, x):
        return self.fc(((x - self.mean) / self.std).flatten(1))


@refused((3, 8, 8), ("forward (truediv)", "it prepares the images"))
class ScalesBytes(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(192, 2)

    def forward(self, x):
        return self.fc((x.float() / 255).flatten(1))


@refused((8, 8, 3), ("forward (x.permute)", "it prepares the images"), ("forward (add)", "it prepares the images"))
class PermutesAndShifts(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(144, 2)

    def forward(self, x):
        return self.fc(self.conv(x.permute(0, 3, 1, 2) + 0.5).flatten(1))


@refused((3, 8, 8), ("forward (mul)", "it multiplies by a number or a parameter; only two values that layers compute"))
class MultipliesLogits(nn.Module):
    """Not the images: nothing can be prepared instead."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(192, 2)

    def forward(self, x):
        return self.fc(x.flatten(1)) * 2.0


@refused(
    (3, 8, 8),
    ("forward (mul)", "it is computed in training mode only; only dropout, BatchNorm and a last softmax may depend on"),
    ("forward (mul)", "by a number or a parameter"),
)
class DoublesInTraining(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(192, 2)

    def forward(self, x):
        x = self.fc(x.flatten(1))
        return x * 2.0 if self.training else x


@refused((3, 8, 8), ("forward (sigmoid)", "it is computed in evaluation mode only"))
class SigmoidInEvaluation(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(192, 2)

    def forward(self, x):
        x = self.fc(x.flatten(1))
        return x if self.training else torch.sigmoid(x)


@refused((3, 8, 8), ("forward (tanh)", "in training mode it is tanh, in evaluation mode relu"))
class AnotherActivationInEvaluation(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(192, 2)

    def forward(self, x):
        x = x.flatten(1)
        return self.fc(torch.tanh(x) if self.training else torch.relu(x))


@refused((3, 8, 8), ("forward (leaky_relu)", "its arguments differ between training mode and evaluation mode"))
class AnotherSlopeInEvaluation(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(192, 2)

    def forward(self, x):
        return self.fc(F.leaky_relu(x.flatten(1), 0.1 if self.training else 0.2))


@refused((3, 8, 8), ("0 (Conv2d)", 'padding_mode="reflect"'), ("1 (MaxPool2d)", "dilation"))
def other_padding_and_dilation():
    return nn.Sequential(
        *(nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), nn.MaxPool2d(2, 2, dilation=2)),
        *(nn.Flatten(), nn.Linear(36, 2)),
    )


@refused((3, 8, 8), ("a (Conv2d)", "several branches that do not join in one place"))
class CrossedBranches(nn.Module):
    """Three values, summed in a way that no nesting of two branches gives."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))
        self.fc = nn.Linear(192, 2)

    def forward(self, x):
        a = self.a(x)
        b = self.b(a) + x
        c = self.c(b) + a
        return self.fc(c.flatten(1))


@refused((3, 8, 8), ("1 (MaxPool2d)", "can be the maximum"))
def zeros_before_a_max_pool():
    return nn.Sequential(nn.ZeroPad2d(1), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(75, 2))


class FunctionalNorms(nn.Module):
    """F.batch_norm without `training`: it always uses the running statistics, which are buffers."""

    def __init__(self, frozen):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(144, 2)
        self.register_buffer("gain", torch.rand(4) + 0.5)
        self.register_buffer("shift", torch.randn(4))
        self.register_buffer("mean", torch.randn(4))
        self.register_buffer("var", torch.rand(4) + 0.5)
        self.conv.requires_grad_(not frozen)

    def forward(self, x):
        x = F.batch_norm(self.conv(x), self.mean, self.var, self.gain, self.shift)
        return self.fc(F.relu(x).flatten(1))


@carried(3, 8, 8)
def functional_norm_in_a_frozen_part():
    return FunctionalNorms(frozen=True)


@refused((3, 8, 8), ("forward (batch_norm)", "not all parameters up to it are frozen"))
def functional_norm_after_trained_parameters():
    return FunctionalNorms(frozen=False)


@refused((3, 8, 8), ("1 (BatchNorm2d)", "evaluation mode"))
def frozen_batch_norm():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 2))
    net[1].eval()
    return net


@refused((3, 8, 8), ("forward (its output)", "dict"))
class DictOutput(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(192, 2)

    def forward(self, x, mask=None):
        if mask is not None:
            x = x * mask
        return {"logits": self.fc(x.flatten(1))}


@refused((3, 8, 8), ("2 (Linear)", "each row of a 4×8×6 image"))
def linear_on_rows():
    return nn.Sequential(nn.Conv2d(3, 4, (1, 3)), nn.ReLU(), nn.Linear(6, 3), nn.Flatten(), nn.Linear(96, 2))


@refused((3, 8, 8), ("forward (softmax)", "only available at the end"))
class SoftmaxInside(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(192, 8)
        self.fc2 = nn.Linear(8, 2)

    def forward(self, x):
        return self.fc2(F.softmax(self.fc1(x.flatten(1)), dim=1))
