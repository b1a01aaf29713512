"""Reading network files as text: what is accepted, what is refused, how fast, and the readable form."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import draw
from work import Work

from layerline.errors import NetworkError
from layerline.layers import LAYERS
from layerline.network import parse, preset, presets, read
from layerline.network_file import formatted, read_text

SIX = "Conv 6 5 1 2\nReLU\nPool 2 2\nFlat\nFC 10\nSoftmax\n"


def layers(text: str) -> list[object]:
    """The network as layers in their places, without the lines they came from."""
    return [(node.layer, node.inputs, node.path) for node in parse(text, input_shape=(1, 28, 28), classes=10).nodes]


@pytest.mark.parametrize(
    "text",
    [
        SIX.replace("\n", "\r\n"),
        SIX.replace("\n", "\r"),
        SIX.rstrip("\n"),
        SIX.replace(" ", "\t"),
        SIX.replace("\n", "   \n\n  # a remark\n\t"),
        SIX.upper(),
        SIX.lower(),
        SIX.replace("Conv", "Conv2D").replace("Pool", "MaxPooling2D").replace("FC", "Dense").replace("Flat", "Flatten"),
        SIX.replace("FC", "Linear").replace("Pool", "maxpool"),
        SIX.replace("Conv 6 5 1 2", "Conv 6 padding=2 kernel=5x5"),
        SIX.replace("Conv 6 5 1 2", "Conv 6 kernel = 5 padding =2"),
        SIX.replace("Conv 6 5 1 2", "Conv 006 05 padding=02"),
        SIX.replace("FC 10", "FC CLASSES"),
        "Input 1 28 28\n" + SIX,
    ],
)
def test_the_same_network_however_it_is_written(text):
    """Byte order marks, line ends, tabs, case, names of other libraries and named values change nothing."""
    assert layers(text) == layers(SIX)


def test_every_spelling_is_read():
    """Each spelling that a layer lists reads as that layer."""
    for layer in LAYERS:
        if layer.branches or layer.kind == "softmax":
            continue
        values = "".join(
            " 0.1" if argument.name == "p" else " 1" for argument in layer.word.arguments if argument.required
        )
        before = "Flat\n" if layer.kind == "fc" else ""
        after = "FC 10" if layer.kind in ("flat", "fc") else "Flat\nFC 10"
        for name in (layer.word.name, *layer.word.spellings):
            text = f"{before}{name}{values}\n{after}"
            assert layer.kind in {node.layer.kind for node in parse(text, input_shape=(2, 4, 4)).nodes}


def test_a_file_with_byte_order_mark_and_crlf_reads(tmp_path):
    """A file saved by a Windows editor is the same network (hostile case 2)."""
    path = tmp_path / "net.cnn"
    path.write_bytes(b"\xef\xbb\xbf" + SIX.replace("\n", "\r\n").encode())
    network = read(path, input_shape=(1, 28, 28))
    assert [node.layer for node in network.nodes] == [layer for layer, _, _ in layers(SIX)]
    assert network.name == "net"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"PK\x03\x04" + bytes(100), "is a zip archive or a PyTorch model, not a network file"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file or a Keras model"),
        (b"\x80\x04\x95", "is a Python pickle"),
        ("Conv 6 5".encode("utf-16"), "is UTF-16 text"),
        (b"Conv 6 5\n\x00", "is not text: byte 9 is 0"),
        (b"Conv 6 5 # gr\xfc\xdf\n", "net.cnn:1: byte 0xfc at offset 13 is not UTF-8"),
        (b"\xff" * 50, "byte 0xff at offset 0 is not UTF-8"),
        (b"ReLU\n" * 250_000, "has 1.25 MB, but a network file can have at most 1 MiB"),
    ],
)
def test_what_is_no_network_file_is_refused(tmp_path, content, told):
    """Binary files are recognized by their first bytes, and nothing over 1 MiB is parsed."""
    path = tmp_path / "net.cnn"
    path.write_bytes(content)
    with pytest.raises(NetworkError) as caught:
        read(path)
    assert told in str(caught.value)


def test_a_huge_file_is_not_read(tmp_path):
    """A file of 10 GB is refused by its size: to read it would take more memory than there is (hostile case 4)."""
    path = tmp_path / "net.cnn"
    with path.open("wb") as file:
        file.truncate(10**10)
    with pytest.raises(NetworkError, match=r"has 10\.0 GB, but a network file can have at most 1 MiB"):
        read_text(path)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there is no endless file here")
def test_a_file_without_an_end_is_not_read_for_long():
    """What has no size is not read at all (hostile case 4)."""
    with pytest.raises(NetworkError, match=r"/dev/zero: cannot be read: it is a device, not a file"):
        read_text(Path("/dev/zero"))


def test_what_a_terminal_obeys_is_escaped_in_a_file_s_name(tmp_path, monkeypatch):
    """A file whose name holds control characters is read, and named with them escaped (hostile case 21)."""
    monkeypatch.chdir(tmp_path)
    name = "\x1b[31mred\u202e.cnn"
    Path(name).write_text("Bad\n")
    for of in (name, name + "x"):
        with pytest.raises(NetworkError) as caught:
            read(of, input_shape=(1, 28, 28), classes=10)
        assert str(caught.value).startswith("\\x1b[31mred\\u202e.cnn")
        assert all(letter == "\n" or letter.isprintable() for letter in str(caught.value))


def test_no_file_and_no_preset(tmp_path, monkeypatch):
    """A name that is neither gets the nearest file, or else the nearest preset, or else all presets."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.cnn").write_text(SIX)
    for name, told in {
        "mime.cnn": "did you mean the file `mine.cnn`?",
        "mine": "did you mean the file `mine.cnn`?",
        "lenet": "did you mean the preset `lenet5`?",
        "LeNet5.cnn": "did you mean the preset `lenet5`?",
        "no/such/folder": "the presets are: " + ", ".join(presets()),
        "nul\x00": "the presets are: ",
        "x" * 5000: "the presets are: ",
    }.items():
        with pytest.raises(NetworkError) as caught:
            read(name, input_shape=(1, 28, 28), classes=10)
        assert told in str(caught.value)
        assert "\x00" not in str(caught.value)
    with pytest.raises(NetworkError, match="is a folder"):
        read(tmp_path)


def test_a_file_goes_before_a_preset(tmp_path, monkeypatch):
    """A file in the working folder is taken before a preset of the same name."""
    monkeypatch.chdir(tmp_path)
    assert len(read("lenet5", input_shape=(1, 28, 28), classes=10).nodes) == 12
    (tmp_path / "lenet5").write_text("Flat\nFC 10")
    assert len(read("lenet5", input_shape=(1, 28, 28), classes=10).nodes) == 2


FULL = "x" * 2**20
HOSTILE = {
    "blocks inside blocks": "Repeat 1\n" * 110_000,
    "residuals inside residuals": "Residual\n" * 110_000,
    "many layers": "ReLU\n" * 200_000,
    "many unknown words": "Relux\n" * 170_000,
    "many unknown arguments": "Pool 2 windov=2\n" * 60_000,
    "many ends": "End\n" * 250_000,
    "one long word": FULL,
    "one long line of values": "Conv " + "1 " * 520_000,
    "one long line of equals": "Conv " + "=" * 1_000_000,
    "one long line of spaces": "Conv" + " " * 1_000_000 + "1",
    "spaces around equals": "Conv " + " =" * 500_000,
    "one long number": "Conv " + "9" * 1_000_000,
    "one long comment": "#" + "x" * 1_000_000,
    "one long call": "a." * 500_000 + "(",
    "repeats of repeats": "Repeat 1000000\n" * 40 + "ReLU\n" + "End\n" * 40,
    "many wide layers": "Repeat 4000\nConv 1000000 1000x999 padding=1000000\nReLU\nEnd\nFlat\nFC 1000000\n",
    "as many layers as there may be": "Repeat 9990\nConv 3 3 padding=1\nEnd\nFlat\nFC 12",
    "deep names": "Residual\n" * 50 + "ReLU\n" + "End\n" * 50 + "Flat\nFC 12",
    "control characters": "\x1b" * 1_000_000,
    "line separators": "\u2028" * 300_000,
    "a mistake in every other line": "FC 84\nFC 10\nPool 2\n" * 50_000,
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_of_full_size_is_refused_after_little_work(case):
    """Files of up to 1 MiB made to be slow, deep or large end in a NetworkError soon, never in a RecursionError."""
    with Work() as work, pytest.raises(NetworkError) as caught:
        parse(HOSTILE[case], input_shape=(3, 32, 32), classes=10, memory=2**34)
    assert work.calls < 20 * 2**20  # a byte
    assert len(str(caught.value)) < 20_000


@pytest.mark.parametrize(
    "code", ["__import__('os').system('touch canary')", "${touch canary}", "`touch canary`", "%n%s"]
)
def test_nothing_in_a_file_is_run(tmp_path, monkeypatch, code):
    """Text that would run elsewhere is text here (hostile case 19)."""
    monkeypatch.chdir(tmp_path)
    for line in (code, f"Conv {code}", f"FC {code}", f"# {code}"):
        with pytest.raises(NetworkError):
            parse(f"{line}\n", input_shape=(1, 28, 28), classes=10)
    assert not list(tmp_path.iterdir())


words = st.sampled_from(
    [*(layer.word.name for layer in LAYERS), "Input", "Repeat", "Shortcut", "End", "Conv2d", "nn.ReLU()", "Cnov", ""]
)
PIECES = [
    "1",
    "2",
    "3",
    "3x5",
    "0",
    "-1",
    "same",
    "yes",
    "no",
    "classes",
    "0.5",
    "1e-5",
    "=",
    "kernel=3",
    "p=",
    "=p",
    "#",
]
pieces = st.one_of(
    st.sampled_from([*PIECES, "\t", "padding=same", "stride=2"]),
    st.integers(-(10**30), 10**30).map(str),
    st.text(max_size=5),
)
lines = st.builds(lambda word, rest: " ".join([word, *rest]), words, st.lists(pieces, max_size=5))
texts = st.one_of(st.text(), st.lists(lines, max_size=12).map("\n".join))


@settings(max_examples=400, deadline=None)
@given(texts)
def test_any_text_is_a_network_or_a_network_error(text):
    """No text makes reading or formatting raise anything else, and no message holds what a terminal obeys."""
    for read_it in (lambda: parse(text, input_shape=(2, 9, 9), classes=3, memory=10**9), lambda: formatted(text)):
        try:
            read_it()
        except NetworkError as error:
            assert all(letter == "\n" or letter.isprintable() for letter in str(error))  # noqa: PT017 - it may also pass


@settings(max_examples=400, deadline=None)
@given(texts)
def test_formatting_twice_changes_nothing(text):
    """What fmt writes, fmt leaves as it is."""
    try:
        once = formatted(text)
    except NetworkError:
        return
    assert formatted(once) == once


@pytest.mark.parametrize("seed", range(60))
def test_formatting_keeps_the_network_and_the_comments(seed):
    """However a network is written, its readable form is the same network with the same comments."""
    rng = random.Random(seed)
    written = []
    for line in draw(rng).splitlines():
        case = rng.choice([str, str.upper, str.lower])
        comment = rng.choice(["", "", " # a remark", "#x=1", "\n\n# alone\n"])
        written.append(" " * rng.randint(0, 3) + case(line).replace(" ", rng.choice([" ", "\t", "   "])) + comment)
    text = "\r\n".join(written)
    pretty = formatted(text)
    assert [(node.layer, node.inputs) for node in parse(pretty).nodes] == [
        (node.layer, node.inputs) for node in parse(text).nodes
    ]
    assert [line.partition("#")[2].strip() for line in pretty.splitlines() if "#" in line] == [
        line.partition("#")[2].strip() for line in text.splitlines() if "#" in line
    ]
    assert formatted(pretty) == pretty


def test_a_separable_convolution_is_the_two_lines_that_fmt_writes():
    """SeparableConv is a Depthwise without bias and a 1×1 Conv: read the same, and written out with its comment."""
    text = "Repeat 2\nSeparableConv2D 8 3x5 stride=2 padding=same bias=no # reduces\nReLU\nEnd\n"
    written = (
        "Repeat 2\n    Depthwise 3x5 stride=2 padding=same bias=no  # reduces\n    Conv 8 kernel=1 bias=no\n"
        "    ReLU\nEnd\n"
    )
    assert formatted(text) == written
    ours, theirs = (parse(f"Input 3 9 9\n{each}Flat\nFC 4\n").nodes for each in (text, written))
    assert [(node.layer, node.inputs, node.path) for node in ours] == [
        (node.layer, node.inputs, node.path) for node in theirs
    ]
    assert formatted("SeparableConv 8 3 multiplier=2\n") == "Depthwise 3 multiplier=2 bias=no\nConv 8 kernel=1\n"


def test_the_readable_form(golden):
    """Named values, blocks indented, defaults left out, neighboring comments below each other."""
    text = (
        "\n\n#  a residual network\nINPUT 3 32 32\nconv2d 16 3 1 1   # first\nresidual#start\n"
        "repeat 2 # twice\nconv 16 3x3 padding=same bias=yes\n   # about ReLU\nrelu\nend\nshortcut\n"
        "conv 16 1x1 1 0 1 1 no\nend\n\n\n\n"
        "maxpool 2 2 #half\navgpool 3x3 1\nbatchnorm 0.1 1e-5\nbatchnorm 0.05 0.00001\nleakyrelu\nleakyrelu 0.20\n"
        "dropout .5\nglobalpool\nflatten\ndense classes # as the data\nsoftmax\n\n"
    )
    golden("fmt.cnn", formatted(text).rstrip("\n"))


@pytest.mark.parametrize("name", presets())
def test_presets_are_in_the_readable_form(name):
    """A preset is what fmt would write, fits MNIST, and takes its outputs from the data."""
    assert formatted(preset(name)) == preset(name)
    assert read(name, input_shape=(1, 28, 28), classes=7).classes == 7
