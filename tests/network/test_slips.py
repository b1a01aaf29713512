"""What is legal and likely not meant, and pasted lines: what is said, and that the lines of the help are right."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from layerline.cli.describe import describe
from layerline.cli.fmt import fmt
from layerline.errors import NetworkError
from layerline.layers import LAYERS
from layerline.network import notes, parse
from layerline.network_file.darknet import Section, section
from layerline.network_file.mistakes import Span
from layerline.network_file.pasted import pasted
from layerline.network_file.statements import Statement, Token

WORDS = {spelling.lower(): layer.word for layer in LAYERS for spelling in (layer.word.name, *layer.word.spellings)}


def noted(line: str, shape: tuple[int, int, int], end: str = "Flat\nFC 10") -> tuple[str, ...]:
    return parse(f"{line}\n{end}", name="net.cnn", input_shape=shape).notes


@pytest.mark.parametrize(
    ("line", "shape", "meant"),
    [
        ("Pool 22", (1, 28, 28), "Pool 2 2"),
        ("Pool 22", (3, 64, 64), "Pool 2 2"),
        ("Pool 32", (3, 32, 32), "Pool 3 2"),
        ("MaxPool 33", (1, 40, 40), "Pool 3 3"),
        ("AvgPool 22", (1, 28, 28), "AvgPool 2 2"),
        ("Conv 6 512", (1, 513, 513), "Conv 6 5 1 2"),
        ("Conv 6 22", (1, 28, 28), "Conv 6 2 2"),
        ("Conv 6 5 12", (1, 28, 28), "Conv 6 5 1 2"),
        ("Conv 6 kernel=22", (1, 28, 28), "Conv 6 kernel=2 stride=2"),
        ("Conv 3 8 3", (3, 32, 32), "Conv 8 3"),
        ("Conv 1 20 5", (1, 28, 28), "Conv 20 5"),
        ("conv2d 1 6 5 1 2", (1, 28, 28), "Conv 6 5 1 2"),
    ],
)  # fmt: skip
def test_a_slip_that_may_be_meant_is_a_note_with_the_line(line, shape, meant):
    """It trains, and the note says what the line means and the one that is likely meant, which is another network."""
    (note,) = noted(line, shape)
    assert f"did you mean `{meant}`" in note
    assert (
        parse(f"{meant}\nFlat\nFC 10", input_shape=shape).nodes
        != parse(f"{line}\nFlat\nFC 10", input_shape=shape).nodes
    )
    assert noted(meant, shape) == ()


@pytest.mark.parametrize(
    ("line", "shape"),
    [
        ("Pool 2 2", (1, 28, 28)), ("Pool 22 22", (1, 28, 28)), ("Pool 22", (3, 224, 224)), ("Pool 11", (1, 28, 28)),
        ("AvgPool 32", (3, 32, 32)), ("Pool 28", (1, 28, 28)), ("Conv 96 11 4", (3, 224, 224)),
        ("Conv 3 3 1 1", (3, 32, 32)),
        ("Conv 64 31 padding=same", (3, 64, 64)), ("Conv 16 32 padding=16", (3, 32, 32)),
        ("Conv 3 kernel=8 stride=3", (3, 32, 32)),
        ("Conv 8 3\nConv 8 3 1 1\nConv2d 8 4 2 1", (1, 28, 28)), ("Conv 3 7 2 3", (3, 64, 64)),
        ("Conv2d 16 3 1 1", (3, 32, 32)),
    ],
)  # fmt: skip
def test_what_is_usual_is_not_noted(line, shape):
    """Explicit strides, named values, the mean of a whole image and the layers of known networks have no note."""
    assert noted(line, shape) == ()


@pytest.mark.parametrize(
    ("line", "written"), [("Conv2d 1 20 5", "Conv 20 5"), ("Conv2d 1 6 5 bias=no", "Conv 6 5 bias=no")]
)
def test_pytorch_s_spelling_in_pytorch_s_order_is_refused(line, written):
    """`Conv2d` with the channels that arrive first is an error with the line; with names it is taken as it stands."""
    with pytest.raises(NetworkError, match=f"did you mean `{written}`"):
        noted(line, (1, 28, 28))
    assert noted("Conv2d 1 kernel=20 stride=5", (1, 28, 28)) == ()


def test_describe_and_fmt_say_the_notes(tmp_path, capsys):
    """`describe` prints them behind the table, `fmt` on standard error, also where the size of images is not known."""
    (tmp_path / "net.cnn").write_text("Pool 22\nFlat\nFC 10\n")
    fmt([str(tmp_path / "net.cnn")], standalone_mode=False)
    said = capsys.readouterr()
    assert said.out == "Pool 22\nFlat\nFC 10\n"
    assert "did you mean `Pool 2 2`" in said.err
    fmt(["--check", str(tmp_path / "net.cnn")], standalone_mode=False)
    assert capsys.readouterr().err == ""
    (tmp_path / "net.cnn").write_text("Input 1 28 28\nPool 22\nFlat\nFC 10\n")
    describe([str(tmp_path / "net.cnn")], standalone_mode=False)
    assert "did you mean `Pool 2 2`" in capsys.readouterr().out
    assert notes("Conv 3 8 3\nPool 2 2\nFlat\nFC 10")[0].count("did you mean `Conv 8 3`") == 1


def lines_of(code: str) -> list[str]:
    misfit = pasted(code, WORDS)
    assert misfit is not None
    return str(misfit.help).split("`")[1::2]


@pytest.mark.parametrize(
    "code",
    [
        "nn.Conv2d(3, 8, 3)", "nn.Conv2d(3, 8, 5, 2, 2),",
        "nn.Conv2d(3, 9, kernel_size=(3, 5), stride=2, padding=(1, 2), bias=False)",
        "nn.Conv2d(3, 6, 3, padding='same', dilation=2, groups=3)", "nn.MaxPool2d(2)",
        "nn.MaxPool2d(3, stride=2, padding=1)",
        "nn.AvgPool2d(2, 1)", "nn.AdaptiveAvgPool2d((1, 1))", "nn.BatchNorm2d(3, eps=1e-3, momentum=0.2)",
        "nn.LeakyReLU(0.2)",
        "nn.LeakyReLU()", "nn.GELU()", "nn.SiLU()", "nn.Tanh()", "nn.Sigmoid()", "nn.ReLU(inplace=True)",
        "nn.Flatten()", "nn.ReLU6()", "nn.Hardswish()", "nn.Mish()", "nn.ELU()", "nn.ELU(alpha=0.5)",
        "nn.Dropout2d(0.2)", "nn.AdaptiveMaxPool2d(1)",
        "nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2))",
    ],
)  # fmt: skip
def test_a_pasted_line_of_pytorch_is_the_module_it_makes(code):
    """PyTorch runs the line, and the lines of the help give the same numbers with the same weights."""
    module = eval(code.rstrip(","), {"nn": nn})  # noqa: S307 - the lines above
    lines = lines_of(f"self.part = {code}")
    end = ["FC 2"] if "Flat" in lines else ["Flat", "FC 2"]
    ours = parse("\n".join([*lines, *end]), input_shape=(3, 12, 14)).to_torch()[: len(lines)]
    ours.load_state_dict(dict(zip(ours.state_dict(), module.state_dict().values(), strict=True)))
    x = torch.randn(2, 3, 12, 14, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(ours.eval()(x), module.eval()(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("nn.Linear(84, 10)", ["FC 10"]),
        ("nn.Linear(84, num_classes, bias=False)", ["FC classes bias=no"]),
        ("x = F.relu(self.conv1(x))", ["ReLU"]),
        ("x = F.max_pool2d(F.relu(self.conv1(x)), 2)", ["ReLU", "Pool 2"]),
        ("x = self.pool(torch.tanh(self.conv1(x)))", ["Tanh"]),
        ("x = x.view(-1, 16 * 4 * 4)", ["Flat"]),
        ("return F.log_softmax(x, dim=1)", ["Softmax"]),
        ("nn.Dropout(0.25)", ["Dropout 0.25"]),
        ('Conv2D(16, 3, activation="relu")', ["Conv 16 3", "ReLU"]),
        ("model.add(Dense(10, activation='softmax'))", ["FC 10", "Softmax"]),
        ("layers.MaxPooling2D((2, 2))", ["Pool 2"]),
        ("BatchNormalization()", ["BatchNorm momentum=0.01 eps=0.001"]),
        ("layers.LeakyReLU()", ["LeakyReLU 0.3"]),
        ("Dense(1, activation='sigmoid')", ["FC classes"]),
        ("x = layers.Dense(64)(x)", ["FC 64"]),
        ("keras.Input((28, 30, 1))", ["Input 1 28 30"]),
        ("GlobalAveragePooling2D()", ["GlobalPool", "Flat"]),
        ("Conv2d (1, 16, 3)", ["Conv 16 3"]),
        ("x = F.relu6(self.conv1(x))", ["ReLU6"]),
        ("x = F.elu(self.conv1(x), 0.5)", ["ELU 0.5"]),
        ("layers.GlobalMaxPooling2D()", ["GlobalMaxPool", "Flat"]),
        ("layers.SpatialDropout2D(rate=0.2)", ["Dropout2d 0.2"]),
        ("Conv2D(16, 3, strides=2, padding='same')", ["Conv 16 3 stride=2 padding=same"]),
        ("layers.MaxPooling2D(3, strides=2, padding='same')", ["Pool 3 stride=2 padding=same"]),
        ("layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False)", ["Depthwise 3 multiplier=2 bias=no"]),
        ("SeparableConv2D(64, 3, padding='same', activation='relu')", ["SeparableConv 64 3 padding=same", "ReLU"]),
    ],
)
def test_a_pasted_line_is_worked_out(code, lines):
    """The help has the lines that say the same here."""
    assert lines_of(code) == lines


@pytest.mark.parametrize(
    "code", ["(" * 400, "f(" * 300, "x = " + "-" * 390, "a.b(1,,,=)", "f('" + "9" * 390, "nn.Linear(1, 1e999)"]
)
def test_no_line_is_too_strange_to_be_read(code):
    """Deep brackets, open strings, infinite numbers: an answer or none, and nothing else is raised."""
    pasted(code, WORDS)


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("convolutional", {"filters": "8", "size": "3", "pad": "1", "batch_normalize": "1", "activation": "leaky"},
         ["Conv 8 3 padding=1 bias=no", "BatchNorm", "LeakyReLU 0.1"]),
        ("convolutional", {"filters": "10"}, ["Conv 10 1", "Sigmoid"]),
        ("maxpool", {"size": "3", "stride": "2"}, ["Pool 3 stride=2 padding=1"]),
        ("maxpool", {"size": "2", "stride": "1"}, ["Pool 2 stride=1 padding=same"]),
        ("maxpool", {"size": "4", "stride": "2"}, []),
        ("connected", {"output": "10", "activation": "linear"}, ["Flat", "FC 10"]),
        ("dropout", {}, ["Dropout 0.5"]),
        ("convolutional", {"filters": "many"}, []),
        ("route", {}, ["Concat", "End", "Branch"]),
    ],
)  # fmt: skip
def test_a_section_of_darknet_is_worked_out(name, values, said):
    """Its defaults are darknet's; what has no equivalent is reported as such."""
    word = Token(f"[{name}]", Span(1, 0, 1))
    found = section(Statement(word, ()), f"[{name}]")
    assert isinstance(found, Section)
    assert all(found.take(f"{key} = {value}") for key, value in values.items())
    misfit = found.misfit(flat=False)
    assert str(misfit.help).split("`")[1::2] == said
    assert said or "no equivalent" in str(misfit.help)


def test_multiply_adds_are_those_of_convolutions_and_fc():
    """As papers count: BatchNorm and pools add none."""
    with_norm = parse("Conv 4 3\nBatchNorm\nReLU\nPool 2\nFlat\nFC 10", input_shape=(1, 8, 8))
    assert with_norm.multiply_adds == 4 * 36 * 9 + 36 * 10
