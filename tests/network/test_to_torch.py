"""The network in PyTorch's modules: the oracle of shapes, counts and names. PyTorch shares no code with ours."""

from __future__ import annotations

import collections
import math
import random
import warnings

import numpy as np
import pytest
import torch
from random_networks import KINDS, draw
from torch.utils.flop_counter import FlopCounterMode

from layerline.layers import LAYERS
from layerline.network import parse
from layerline.network.pytorch.torch_layers import BLOCKS, MODULES

NETWORKS = [draw(random.Random(f"shapes {number}")) for number in range(150)]


def test_every_layer_has_a_module():
    """A layer that is added to the vocabulary must be added here; those at the End of a block to BLOCKS."""
    assert set(MODULES) == {layer.kind for layer in LAYERS if not layer.branches}
    assert set(BLOCKS) == {layer.kind for layer in LAYERS if layer.branches}


@pytest.mark.parametrize("number", range(len(NETWORKS)))
def test_shapes_weights_and_counts_are_pytorchs(number):
    """The shape after every layer, every weight's name, shape and order, and the counts are what PyTorch has."""
    network = parse(NETWORKS[number])
    modules = network.to_torch().eval()
    seen = {}
    for node in network.nodes:
        if node.layer.kind != "softmax":
            module = modules.get_submodule(node.path)
            module.register_forward_hook(lambda _m, _x, y, path=node.path: seen.update({path: tuple(y.shape[1:])}))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        logits = modules(torch.zeros(2, *network.input_shape))
    assert seen == {node.path: node.shape for node in network.nodes if node.layer.kind != "softmax"}
    assert logits.shape == (2, network.classes)
    state = {name: (tuple(value.shape), str(value.dtype)) for name, value in modules.state_dict().items()}
    ours = {name: (weight.shape, f"torch.{weight.dtype}") for name, weight in network.weights.items()}
    assert list(state.items()) == list(ours.items())
    assert network.parameter_count == sum(value.numel() for value in modules.parameters() if value.requires_grad)
    assert network.frozen_parameter_count == sum(
        each.numel() for each in modules.parameters() if not each.requires_grad
    )
    trained = {name for name, value in modules.named_parameters() if value.requires_grad}
    assert trained == {name for name, weight in network.weights.items() if weight.trained}
    products = [node.multiply_adds for node in network.nodes if node.layer.kind in ("conv", "depthwise", "fc")]
    assert counter.get_total_flops() == 2 * 2 * sum(products)  # two images; a multiply-add is two operations


def test_fan_in_is_pytorchs():
    """fan_in is what PyTorch's own initialization counts, of weights and of biases."""
    for text in NETWORKS:
        network = parse(text)
        state = network.to_torch().state_dict()
        for name, weight in network.weights.items():
            if weight.start == "drawn":
                array = state[name.rpartition(".")[0] + ".weight"]
                assert weight.fan_in == torch.nn.init._calculate_fan_in_and_fan_out(array)[0]


def test_the_random_networks_hold_what_is_awkward():
    """The generator draws every kind, and each case that engines get wrong, not once but often."""
    found: collections.Counter[str] = collections.Counter()
    for number in range(500):
        network = parse(draw(random.Random(f"cover {number}"), KINDS))
        nodes = network.nodes
        found.update(node.layer.kind for node in nodes)
        found["one channel"] += network.input_shape[0] == 1
        found["odd size"] += network.input_shape[1] % 2
        found["not square input"] += network.input_shape[1] != network.input_shape[2]
        found["pool first"] += nodes[0].layer.kind == "pool"
        found["relu first"] += nodes[0].layer.kind == "relu"
        found["frozen"] += any(node.frozen and node.parameters != node.frozen_parameters for node in nodes)
        found["several fc"] += sum(node.layer.kind == "fc" for node in nodes) > 2
        found["repeat or residual"] += "End" in network.text
        for node in nodes:
            layer = node.layer
            if layer.kind == "conv":
                sizes = node.input_shapes[0][1:]
                pads = layer.window.around(*sizes)
                found["kernel = padded input"] += layer.window.span == layer.window.padded(*sizes)
                found["stride > kernel"] += layer.stride > layer.kernel
                found["padding dominates"] += pads[0] >= layer.kernel[0] > 0
                found["kernel not square"] += layer.kernel[0] != layer.kernel[1]
                found["stride not square"] += layer.stride[0] != layer.stride[1]
                found["padding not square"] += pads[0] != pads[1]
                found["padding=same, uneven"] += pads[0] != pads[2]
                found["padding=same, stride"] += layer.padding == "same" and max(layer.stride) > 1
                found["dilated"] += layer.dilation != (1, 1)
                found["grouped"] += layer.groups > 1
            if layer.kind == "pool":
                found["pool overlaps"] += layer.stride < layer.window
                found["pool padded"] += layer.padding != (0, 0)
                top, _, bottom, _ = layer.slides().around(*node.input_shapes[0][1:])
                found["pool padded unevenly"] += top != bottom
                found["pool has gaps"] += layer.stride > layer.window
    rare = {name: count for name, count in found.items() if count < 10}
    assert not rare
    assert set(KINDS) <= set(found)


def test_the_random_networks_can_be_limited():
    """`kinds` and `keep_default` limit what is drawn, and flat and fc are always there."""
    for number in range(100):
        text = draw(random.Random(number), ("conv", "relu", "pool", "softmax"), keep_default=("dilation", "groups"))
        kinds = {node.layer.kind for node in parse(text).nodes}
        assert {"flat", "fc"} <= kinds <= {"conv", "relu", "pool", "flat", "fc", "softmax"}
        assert "dilation" not in text
        assert "groups" not in text


@pytest.mark.parametrize("kernel", ["2", "4x3", "3x2", "1x6", "5"])
def test_padding_same_is_pytorchs(kernel):
    """padding=same gives PyTorch's own `same`, bit for bit: an even kernel pads one more at the bottom and right."""
    (module,) = list(parse(f"Input 2 7 6\nConv 3 {kernel} padding=same\nFlat\nFC 2").to_torch())[:1]
    x = torch.randn(2, 2, 7, 6, generator=torch.Generator().manual_seed(1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's remark that an even kernel costs it a copy
        theirs = torch.nn.functional.conv2d(x, module.weight, module.bias, padding="same")
    assert torch.equal(module(x), theirs)


def _same(n: int, k: int, s: int, dilation: int = 1) -> list[list[tuple[int, int]]]:
    """For each place of a padding=same window: (point of the kernel, row of the image) of the points in the image."""
    reach = dilation * (k - 1) + 1
    places = -(-n // s)
    before = max((places - 1) * s + reach - n, 0) // 2
    rows = [[(i, p * s - before + i * dilation) for i in range(k)] for p in range(places)]
    return [[(i, h) for i, h in row if 0 <= h < n] for row in rows]


@pytest.mark.parametrize(
    ("size", "window", "stride"), [((7, 6), (3, 2), (2, 3)), ((5, 8), (4, 5), (3, 2)), ((6, 6), (2, 3), (3, 1))]
)
def test_padding_same_with_a_stride_is_tensorflows(size, window, stride):
    """Conv, Depthwise, Pool and AvgPool with padding=same are the sums, maxima and means written out by TensorFlow's
    rule, in float64; a mean is that of the points inside the image."""
    (H, W), (R, S), (down, across) = size, window, stride
    how = f"{R}x{S} stride={down}x{across} padding=same"
    lines = (f"Conv 3 {how} bias=no", f"Depthwise {how} bias=no multiplier=2", f"Pool {how}", f"AvgPool {how}")
    conv, each, largest, mean = (next(iter(parse(f"Input 2 {H} {W}\n{line}\nFlat\nFC 2").to_torch())) for line in lines)
    x = torch.randn(1, 2, H, W, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) - 3
    got = [module.double()(x)[0] for module in (conv, each, largest, mean)]
    for p, rows in enumerate(_same(H, R, down)):
        for q, columns in enumerate(_same(W, S, across)):
            taps = [(i, j, x[0, :, h, w]) for i, h in rows for j, w in columns]
            values = torch.stack([value for _, _, value in taps])
            summed = sum(conv.weight[:, :, i, j] @ value for i, j, value in taps)
            split = sum(each.weight[:, 0, i, j] * value.repeat_interleave(2) for i, j, value in taps)
            expected = (summed, split, values.max(0).values, values.mean(0))
            for found, truth in zip(got, expected, strict=True):
                torch.testing.assert_close(found[:, p, q], truth, rtol=1e-13, atol=1e-13)
    assert got[0].shape == (3, -(-H // down), -(-W // across))


def test_probabilities_add_the_softmax_and_logits_leave_it_out():
    """A Softmax line changes nothing of the logits; `probabilities=True` gives their softmax with or without it."""
    with_softmax, without = parse("Input 1 2 2\nFlat\nFC 3\nSoftmax"), parse("Input 1 2 2\nFlat\nFC 3")
    x = torch.randn(5, 1, 2, 2, generator=torch.Generator().manual_seed(1))
    for network in (with_softmax, without):
        logits, probabilities = network.to_torch(), network.to_torch(probabilities=True)
        probabilities.load_state_dict(logits.state_dict())
        assert torch.equal(probabilities(x), torch.softmax(logits(x), 1))
        assert logits.state_dict().keys() == network.weights.keys()


def test_residual_adds_its_branches():
    """A Residual gives body + shortcut, and body + input where there is no Shortcut."""
    network = parse("Input 2 4 4\nResidual\nConv 3 1\nTanh\nShortcut\nConv 3 1\nEnd\nResidual\nSiLU\nEnd\nFlat\nFC 2")
    first, second, *_ = network.to_torch()
    x = torch.randn(2, 2, 4, 4, generator=torch.Generator().manual_seed(1))
    y = torch.tanh(first.body[0](x)) + first.shortcut[0](x)
    assert torch.equal(first(x), y)
    assert torch.equal(second(y), y * torch.sigmoid(y) + y) or torch.allclose(second(y), y * torch.sigmoid(y) + y)


def test_concat_and_gate_are_their_formulas():
    """The channels of all branches in their order, the input itself for an empty one; x · g(x), for each channel."""
    network = parse(
        "Input 2 4 4\nConcat\nConv 3 1\nTanh\nBranch\nBranch\nConv 1 1\nEnd\n"
        "Gate\nGlobalPool\nSigmoid\nEnd\nGate\nSiLU\nEnd\nFlat\nFC 2"
    )
    concat, gate, product, *_ = network.to_torch()
    x = torch.randn(2, 2, 4, 4, generator=torch.Generator().manual_seed(1))
    y = torch.cat([torch.tanh(concat.branch1[0](x)), x, concat.branch3[0](x)], 1)
    assert torch.equal(concat(x), y)
    torch.testing.assert_close(gate(y), y * torch.sigmoid(y.mean((2, 3), keepdim=True)))
    torch.testing.assert_close(product(y), y * y * torch.sigmoid(y))


FORMULAS = {
    "ReLU": lambda x: max(x, 0.0),
    "LeakyReLU 0.2": lambda x: x if x > 0 else 0.2 * x,
    "GELU": lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2,
    "SiLU": lambda x: x / (1 + math.exp(-x)),
    "Tanh": math.tanh,
    "Sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "ReLU6": lambda x: min(max(x, 0.0), 6.0),
    "HardSigmoid": lambda x: min(max(x + 3, 0.0), 6.0) / 6,
    "HardSwish": lambda x: x * min(max(x + 3, 0.0), 6.0) / 6,
    "ELU 0.5": lambda x: x if x > 0 else 0.5 * (math.exp(x) - 1),
    "Mish": lambda x: x * math.tanh(math.log(1 + math.exp(x))),
    "Dropout 0.5": lambda x: x,
    "Dropout2d 0.5": lambda x: x,
    "AvgPool 1": lambda x: x,
}


@pytest.mark.parametrize("line", FORMULAS)
def test_pointwise_layers_are_their_formulas(line):
    """Each activation is the formula of its docstring (float64, 4 roundings of the largest term)."""
    x = np.linspace(-4, 4, 33)
    (module,) = list(parse(f"Input 1 1 33\n{line}\nFlat\nFC 2").to_torch().eval())[:1]
    y = module(torch.from_numpy(x).reshape(1, 1, 1, 33)).detach().numpy().reshape(-1)
    np.testing.assert_allclose(y, [FORMULAS[line](value) for value in x.tolist()], rtol=0, atol=4 * 4 * 2.0**-52)


def test_average_pool_counts_padding_and_max_pool_does_not():
    """AvgPool divides by the whole window, zeros of the padding included; Pool never takes a zero from the padding."""
    x = -torch.ones(1, 1, 2, 2)
    average, largest = (
        next(iter(parse(f"Input 1 2 2\n{word} 2 2 1\nFlat\nFC 2").to_torch())) for word in ("AvgPool", "Pool")
    )
    assert average(x).flatten().tolist() == [-0.25] * 4
    assert largest(x).flatten().tolist() == [-1.0] * 4
