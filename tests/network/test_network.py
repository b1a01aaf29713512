"""Checking: nodes, names, counts, the table, presets and the first weights."""

from __future__ import annotations

import math

import numpy as np
import pytest

from layerline.errors import NetworkError
from layerline.network import initial_weights, parse, presets, read, training_bytes

RESIDUAL = """\
Input 3 16 16
Conv 8 3 padding=1
Residual
    Repeat 2
        Conv 8 3 padding=1
        ReLU
    End
    Residual
        BatchNorm
    End
Shortcut
    Conv 8 1
End
GlobalPool
Flat
FC 4
Softmax
"""

RESNET20 = 269_722  # He et al. 2016, table 6: "0.27M"; convolutions, BatchNorm's two numbers a channel, 64 × 10 + 10
SHORTCUTS = 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
FOR_CIFAR = {
    "mobile-small": (3 * 32 * 9 + 64)
    + sum(c * 10 + 2 * c + c * o + 2 * o for c, o in ((32, 64), (64, 128), (128, 128), (128, 256), (256, 256)))
    + 256 * 10
    + 10,
    "photo-small": sum(c * o * k * k + 2 * o for c, o, k in ((3, 32, 5), (32, 64, 3), (64, 64, 3), (64, 128, 3)))
    + 128 * 256 * 9
    + 2 * 256
    + 256 * 10
    + 10,
    "resnet20": RESNET20 + SHORTCUTS,
    "vgg-small": sum(c * o * 9 + o for c, o in ((3, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128)))
    + 128 * 4 * 4 * 10
    + 10,
}
"""Presets that take 3×32×32, and how many weights they have with ten classes."""


def test_values_paths_and_lines_of_a_network_with_blocks():
    """Repeat is unrolled, the branches of a Residual are nested modules, and `add` joins their values at its place."""
    found = [(n.layer.kind, n.inputs, n.path, n.line) for n in parse(RESIDUAL).nodes]
    assert found == [
        ("conv", (0,), "0", 2),
        ("conv", (1,), "1.body.0", 5),
        ("relu", (2,), "1.body.1", 6),
        ("conv", (3,), "1.body.2", 5),
        ("relu", (4,), "1.body.3", 6),
        ("batch_norm", (5,), "1.body.4.body.0", 9),
        ("add", (6, 5), "1.body.4", 8),
        ("conv", (1,), "1.shortcut.0", 12),
        ("add", (7, 8), "1", 3),
        ("global_pool", (9,), "2", 14),
        ("flat", (10,), "3", 15),
        ("fc", (11,), "4", 16),
        ("softmax", (12,), "5", 17),
    ]
    for index, node in enumerate(parse(RESIDUAL).nodes):
        assert node.index == index
        assert node.shape == node.layer.output_shape(*node.input_shapes)


BRANCHES = """\
Input 3 8 8
Concat
Branch
    Conv 4 1
Branch
    Residual
        Conv 3 3 padding=1
    End
Branch
End
Gate
    GlobalPool
    Conv 13 1
End
Flat
FC 4
"""


def test_values_and_paths_of_concat_and_gate(golden):
    """Branches are numbered modules that all read the block's input; a Gate's End reads its factors and the input."""
    network = parse(BRANCHES)
    assert [(n.layer.kind, n.inputs, n.path, n.line) for n in network.nodes] == [
        ("conv", (0,), "0.branch2.0", 4),
        ("conv", (0,), "0.branch3.0.body.0", 7),
        ("add", (2, 0), "0.branch3.0", 6),
        ("concat", (0, 1, 3, 0), "0", 2),
        ("global_pool", (4,), "1.gate.0", 12),
        ("conv", (5,), "1.gate.1", 13),
        ("gate", (6, 4), "1", 11),
        ("flat", (7,), "2", 15),
        ("fc", (8,), "3", 16),
    ]
    golden("describe-branches.txt", network.describe())


def test_the_data_decides_what_the_file_leaves_open():
    """Input shape and classes come from the data; a file that gives both needs none."""
    open_ = parse("Flat\nFC classes", input_shape=(3, 4, 5), classes=7)
    assert (open_.input_shape, open_.classes) == ((3, 4, 5), 7)
    assert open_.nodes[1].layer.outputs == 7
    closed = parse("Input 3 4 5\nFlat\nFC 7")
    assert (closed.input_shape, closed.classes) == ((3, 4, 5), 7)
    assert [node.layer for node in closed.nodes] == [node.layer for node in open_.nodes]


def test_explicit_defaults_are_the_same_network():
    """White space and written-out defaults change no layer; another value does (hostile case 25)."""
    shape = {"input_shape": (1, 9, 9)}
    plain = parse("Conv 2 3\nFlat\nFC 3", **shape).nodes
    assert parse("  Conv\t2  3 1 0 dilation=1 groups=1 bias=yes\nFlat\nFC 3", **shape).nodes == plain
    assert parse("Conv 2 3 bias=no\nFlat\nFC 3", **shape).nodes != plain


def test_momentum_that_looks_like_keras_is_a_note_and_no_error():
    """BatchNorm momentum=0.99 trains, with a note that names the line and the value that Keras would mean."""
    (note,) = parse("Input 1 4 4\nRepeat 3\nBatchNorm momentum=0.99\nEnd\nFlat\nFC 3", name="net.cnn").notes
    assert note == (
        "net.cnn:3:11: momentum=0.99 is the weight of each new batch, as in PyTorch\n"
        "   3 | BatchNorm momentum=0.99\n"
        "     |           ^^^^^^^^^^^^^\n"
        "  help: if it comes from Keras or TensorFlow, write momentum=0.01"
    )
    assert parse("Input 1 4 4\nBatchNorm\nFlat\nFC 3").notes == ()


def test_an_engine_can_refuse_a_line():
    """`refusal` names the line of a layer in the form of every message."""
    network = parse("Input 1 4 4\n\n   GELU   # smooth\nFlat\nFC 3", name="my/net.cnn")
    error = network.refusal(network.nodes[0], "the engine cannot run GELU yet", "use ReLU")
    assert isinstance(error, NetworkError)
    assert str(error) == (
        "my/net.cnn:3:4: the engine cannot run GELU yet\n   3 |    GELU   # smooth\n     |    ^^^^\n  help: use ReLU"
    )
    assert network.name == "net"


def test_memory_is_checked_against_what_is_there():
    """A network is refused where one image's training step would not fit, and accepted where it just does."""
    text = "Flat\nFC 100\nFC 10"
    network = parse(text, input_shape=(1, 28, 28))
    needed = training_bytes(network.nodes, 1)
    assert needed == 12 * network.parameter_count + 8 * (784 + 100 + 10)
    assert training_bytes(network.nodes, 50) == 12 * network.parameter_count + 50 * 8 * (784 + 100 + 10)
    parse(text, input_shape=(1, 28, 28), memory=needed)
    with pytest.raises(NetworkError, match="a training step on one image needs about"):
        parse(text, input_shape=(1, 28, 28), memory=needed - 1)


@pytest.mark.parametrize("name", presets())
def test_the_table_of_each_preset(name, golden):
    """The table that `describe` prints for the presets."""
    shape = (3, 32, 32) if name in FOR_CIFAR else (1, 28, 28)
    golden(f"describe-{name}.txt", read(name, input_shape=shape, classes=10).describe())


@pytest.mark.parametrize("name", FOR_CIFAR)
def test_presets_for_32_by_32_have_the_parameters_counted_by_hand(name):
    """The presets for CIFAR-10 have as many weights as the sum by hand, and become modules with an output a class."""
    import torch

    network = read(name, input_shape=(3, 32, 32), classes=10)
    module = network.to_torch()
    assert network.parameter_count == FOR_CIFAR[name] == sum(p.numel() for p in module.parameters())
    assert module(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_the_table_of_a_network_with_blocks(golden):
    """Branches are headed and indented, the sum is a row of its own."""
    golden("describe-residual.txt", parse(RESIDUAL).describe())


FROZEN = """\
Freeze
    Conv 8 3 padding=1 bias=no
    BatchNorm momentum=0.99  # which is a note where it is trained
    Residual
        Repeat 2
            Conv 8 3 padding=1
            Dropout 0.2
        End
    Shortcut
        ReLU
    End
End
Residual
    Conv 8 1
End
GlobalPool
Flat
FC classes
"""


def test_the_table_of_a_network_with_a_frozen_part(golden):
    """Frozen parameters are marked, and counted apart from the trained ones."""
    golden("describe-frozen.txt", str(parse(FROZEN, input_shape=(3, 16, 16), classes=4)))


def test_a_freeze_is_known_to_its_nodes_and_changes_nothing_else():
    """What is inside is frozen, with the same paths and shapes as without the Freeze; nothing is noted of it."""
    network = parse(FROZEN, input_shape=(3, 16, 16), classes=4)
    thawed = parse(
        FROZEN.replace("Freeze\n", "").replace("    End\nEnd\n", "    End\n", 1), input_shape=(3, 16, 16), classes=4
    )
    assert [node.frozen for node in network.nodes] == [True] * 8 + [False] * 5
    assert [(node.layer, node.path, node.shape, node.inputs) for node in network.nodes] == [
        (node.layer, node.path, node.shape, node.inputs) for node in thawed.nodes
    ]
    assert not network.notes
    assert len(thawed.notes) == 1
    assert network.parameter_count == 8 * 8 + 8 + 8 * 4 + 4
    assert network.frozen_parameter_count + network.parameter_count == thawed.parameter_count
    assert not any(weight.trained for node in network.nodes[:8] for weight in node.weights.values())
    assert repr(network).endswith("108 trained and 1,400 frozen parameters>")


def test_a_frozen_part_may_end_within_branches():
    """Each branch may start with one, if what is before the block is frozen."""
    text = "Freeze\nConv 4 3\nEnd\nResidual\nFreeze\nConv 4 1\nEnd\nReLU\nShortcut\nFreeze\nReLU\nEnd\nEnd\nFlat\nFC 2"
    nodes = parse(text, input_shape=(1, 5, 5)).nodes
    assert [node.frozen for node in nodes] == [True, True, False, True, False, False, False]


def test_the_table_fits_80_columns():
    """However large the numbers and long the lines, no line of the table has more than 80 columns."""
    text = (
        "Conv 100000 kernel=30x31 stride=11x12 padding=13x14 dilation=2x1 groups=1 bias=no\nGlobalPool\nFlat\nFC 100000"
    )
    table = parse(text, input_shape=(3, 1000, 1000), memory=2**62, name="n" * 300).describe(batch_size=10_000)
    assert max(map(len, table.splitlines())) <= 80


def test_weights_are_initialized_as_documented():
    """The three ways to start: scale and kind of every array, dtypes, and the same when asked again."""
    network = parse(RESIDUAL)
    for init in ("torch", "he", "xavier"):
        weights = initial_weights(network, 3, init)
        assert {name: (w.shape, str(w.dtype)) for name, w in weights.items()} == {
            name: (w.shape, w.dtype) for name, w in network.weights.items()
        }
        again = initial_weights(network, 3, init)
        assert all(np.array_equal(weights[name], again[name]) for name in weights)
        assert weights["1.body.4.body.0.running_var"].tolist() == [1.0] * 8
        assert weights["1.body.4.body.0.num_batches_tracked"] == 0
        assert (weights["0.bias"] == 0).all() == (init != "torch")
    assert not np.array_equal(initial_weights(network, 3)["0.weight"], initial_weights(network, 4)["0.weight"])
    assert not np.array_equal(weights["1.body.0.weight"], weights["1.body.2.weight"])


@pytest.mark.parametrize(
    ("init", "deviation", "bound"),
    [
        ("torch", 1 / math.sqrt(3 * 300), 1 / math.sqrt(300)),
        ("he", math.sqrt(2 / 300), math.inf),
        ("xavier", math.sqrt(2 / 500), math.sqrt(6 / 500)),
    ],
)
def test_scale_of_the_first_weights(init, deviation, bound):
    """60,000 drawn weights have the mean and deviation of their distribution, within five standard errors."""
    weight = initial_weights(parse("Input 3 10 10\nFlat\nFC 200\nFC 2"), 7, init)["1.weight"].astype(np.float64)
    n = weight.size
    assert n == 200 * 300
    assert abs(weight.mean()) < 5 * deviation / math.sqrt(n)
    kurtosis = 3.0 if init == "he" else 1.8  # of the normal and of the uniform distribution
    assert abs(weight.std() / deviation - 1) < 5 * math.sqrt((kurtosis - 1) / (4 * n))
    assert abs(weight).max() <= bound * (1 + 2**-23)
    assert init == "he" or abs(weight).max() > 0.99 * bound


def test_bias_and_weight_of_a_layer_are_drawn_apart():
    """The bias does not repeat the first weights of its layer."""
    weights = initial_weights(parse("Input 1 2 2\nFlat\nFC 4\nFC 2"), 0)
    assert len({*weights["1.weight"].ravel().tolist(), *weights["1.bias"].tolist()}) == 16 + 4
