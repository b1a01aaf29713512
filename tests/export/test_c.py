"""A model in C computes the bits of the engine on every CPU, and its file is safe to compile and to read."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest
from c_compiler import compiled, needed, symbols
from c_models import engine, exported
from trained_like import drawn, images_of, network_of, subject_of

from layerline.compiler.machine import host
from layerline.errors import UserError
from layerline.export.c.c_identifiers import TAKEN, function_name
from layerline.export.subject import Origin
from layerline.network import parse
from layerline.runs.model_file import Preprocessing
from layerline.runs.result import Result

if TYPE_CHECKING:
    from pathlib import Path

    from layerline.export.subject import Subject

x86 = pytest.mark.skipif(not host().triple.startswith("x86_64"), reason="asks for older x86-64 CPUs")
pytestmark = [needed("gcc")]
SANITIZERS: Final = ("-O1", "-fsanitize=undefined,address", "-fno-sanitize-recover=all")
HOSTILE: Final = (
    '"', "\\", "*/ int main(void) { return 7; } /*", "??/", "??/\n", "%s%n", "a\nb\r\tc", "\0", "\x7f", "日本 é 🐈",
    "\u202eevil", "\ud800", "\\u0000", "//", "*" * 3 + "/", "/" + "*" * 3, "'", "x" * 5000, "", " ", "#define x",
    "\x1b[31m",
)  # fmt: skip

TWO: Final = """
#include "a/model.h"
#include "b/model.h"
int main(void)
{
    static uint8_t image[ONE_HEIGHT * ONE_WIDTH * ONE_CHANNELS];
    float p[ONE_CLASSES], q[TWO_CLASSES];
    one(image, p);
    two(image, q);
    return p[0] != q[0];
}
"""
NAMES: Final = """
#include "model.h"
#include <stdio.h>
int main(void)
{
    for (int k = 0; k < 3; k++) {
        for (const char *c = NAME_classes[k]; *c; c++) {
            printf("%02x", (unsigned char)*c);
        }
        printf("\\n");
    }
    return 0;
}
"""


COPYING: Final = """
Input 1 16 16
Conv 32 9 padding=4
Concat
Conv 40 1
Branch
Conv 24 9 padding=4
End
Flat
FC 3
"""
"""A wide border, and copies of many values."""


def lenet5() -> Subject:
    return subject_of(network_of("lenet5"), 3)


def small(name: str = "net", classes: int = 3) -> Subject:
    return subject_of(parse(f"Input 2 5 6\nConv 3 3\nReLU\nFlat\nFC {classes}\n", name=name), 5)


@x86
@pytest.mark.parametrize("lanes", [1, 4])
@pytest.mark.parametrize("seed", range(10))
def test_a_random_network_has_the_bits_of_the_engine(seed: int, lanes: int, tmp_path: Path) -> None:
    """At one lane those of `x86-64` at one lane, at four those at four; benchmarks/c_networks.py has many more."""
    model = drawn(seed)
    x = images_of(model.network, 3)
    found = exported(model, tmp_path, lanes=lanes).library("gcc", "-O2")(x)
    np.testing.assert_array_equal(found.view(np.int32), engine(model, x, lanes).view(np.int32))


@x86
@needed("clang")
@pytest.mark.parametrize("lanes", [1, 4])
def test_clang_gives_the_same_bits(lanes: int, tmp_path: Path) -> None:
    """As does GCC; its multiply-adds are never fused, and its loops never become calls."""
    model = lenet5()
    x = images_of(model.network, 3)
    made = exported(model, tmp_path, lanes=lanes)
    for compiler in ("gcc", "clang"):
        found = made.library(compiler, "-O3", "-march=haswell")(x)
        np.testing.assert_array_equal(found.view(np.int32), engine(model, x, lanes).view(np.int32))


def _magnitude(word: str) -> float:
    return abs(float.fromhex(word.removesuffix("f")))


@pytest.mark.parametrize("lanes", [1, 4])
def test_the_self_test_tells_right_from_wrong(lanes: int, tmp_path: Path) -> None:
    """It returns 0; with one weight more or less by one unit in its last place, or one other pixel, it does not."""
    made = exported(lenet5(), tmp_path, lanes=lanes)
    assert made.self_test("gcc", "-O1") == 0
    text = made.source.read_text()
    weight = max(re.findall(r"-?0x1\.\w{6}p-\d+f", text.split("lenet5_weights")[1]), key=_magnitude)
    last = "a" if weight.split("p")[0][-1] != "a" else "c"
    made.source.write_text(text.replace(weight, f"{weight.split('p')[0][:-1]}{last}p{weight.split('p')[1]}", 1))
    assert made.self_test("gcc", "-O1") != 0
    made.source.write_text(text.replace("seed = 1,", "seed = 2,"))
    assert made.self_test("gcc", "-O1") != 0


@needed("clang")
@pytest.mark.parametrize("options", [("-O0",), ("-O2",), ("-O3",), ("-Os",), ("-O3", "-march=haswell")], ids=" ".join)
@pytest.mark.parametrize("lanes", [1, 4])
def test_nothing_of_a_library_is_called(lanes: int, options: tuple[str, ...], tmp_path: Path) -> None:
    """No malloc, no libm, no memset that a compiler made of a loop; also of an image with a border."""
    model = subject_of(parse(COPYING, name="n"), 1)
    made = exported(model, tmp_path, lanes=lanes)
    assert not symbols(made.object("gcc", *options))
    assert not symbols(made.object("clang", *options))


@pytest.mark.parametrize("lanes", [1, 4])
@pytest.mark.parametrize("seed", range(20, 24))
def test_sanitizers_find_nothing(seed: int, lanes: int, tmp_path: Path) -> None:
    """No undefined behavior and no access outside of an array, in the self-test of random networks."""
    assert exported(drawn(seed), tmp_path, lanes=lanes).self_test("gcc", *SANITIZERS) == 0


@needed("arm-none-eabi-gcc", "qemu-system-arm")
def test_lenet5_on_a_cortex_m4_has_the_same_bits_and_is_small(tmp_path: Path) -> None:
    """Emulated: at most 4 kB of code and 12 kB of RAM, and no multiply-add is fused, without an option for that."""
    made = exported(lenet5(), tmp_path)
    out = made.object_for_cortex_m4()
    assert not symbols(out, "arm-none-eabi-nm")
    sections = subprocess.run(["arm-none-eabi-size", "-A", str(out)], capture_output=True, text=True, check=True)  # noqa: S603, S607
    sizes = {line.split()[0]: int(line.split()[1]) for line in sections.stdout.splitlines() if line.startswith(".")}
    assert sizes[".text"] <= 4000
    assert sizes[".bss"] + sizes.get(".data", 0) <= 12_000
    assert made.self_test_on_a_cortex_m4() == 0


@needed("aarch64-linux-gnu-gcc", "qemu-aarch64")
@pytest.mark.parametrize("lanes", [1, 4])
def test_aarch64_has_the_same_bits(lanes: int, tmp_path: Path) -> None:
    """Emulated; GCC would fuse multiply-adds there, in its own dialect of C, if the file did not forbid it."""
    made = exported(lenet5(), tmp_path, lanes=lanes)
    options = ["-std=gnu99", "-O2", "-static", "-DLENET5_SELFTEST"]
    program = compiled("aarch64-linux-gnu-gcc", options, [made.source], tmp_path / "model")
    assert subprocess.run(["qemu-aarch64", str(program)], check=False).returncode == 0  # noqa: S603, S607


@x86
@pytest.mark.parametrize(
    "preprocessing", [Preprocessing(maximum=1.0), Preprocessing(maximum=65535.0, deep=True)], ids=["floats", "16 bits"]
)
def test_images_that_are_no_bytes_are_floats(preprocessing: Preprocessing, tmp_path: Path) -> None:
    """On the scale of the training images: the function takes float, and the comment says so."""
    model = subject_of(
        parse("Input 1 6 7\nConv 3 3\nTanh\nFlat\nFC 4\n", name="floats"), 2, preprocessing=preprocessing
    )
    x = (np.random.default_rng(0).random((4, 1, 6, 7)) * preprocessing.maximum).astype(np.float32)
    made = exported(model, tmp_path)
    assert "const float image[42]" in made.source.read_text()
    assert f"0 to {preprocessing.maximum:g}" in made.source.read_text()
    np.testing.assert_array_equal(made.library("gcc", "-O2")(x).view(np.int32), engine(model, x, 1).view(np.int32))
    assert made.self_test("gcc", *SANITIZERS) == 0


@pytest.mark.parametrize("option", ["-ffast-math", "-Ofast", "-ffinite-math-only"])
def test_fast_math_is_refused(option: str, tmp_path: Path) -> None:
    """Compilers may then assume that there is no NaN, and the exponential's rounding is lost."""
    made = exported(small(), tmp_path)
    command = ["gcc", option, "-c", str(made.source), "-o", str(tmp_path / "x.o")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode != 0
    assert "-ffast-math" in done.stderr


@needed("clang")
@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_names_of_strangers_do_no_harm(name: str, tmp_path: Path) -> None:
    """As the name of a network, of classes and of data: the file compiles without a warning, and the names come back,
    to at most 1000 bytes."""
    model = small(name)
    classes = (name, f"{name}{name}", f"<{name}>")
    origin = Origin(name, 12, Result(classes, 0.1, 0.5, 0.25, None, {"test_accuracy": (0.25, 0.75)}))
    card = replace(model.card, network_name=name, classes=classes)
    made = exported(replace(model, card=card, origin=origin), tmp_path)
    main = tmp_path / "main.c"
    main.write_text(NAMES.replace("NAME", made.name))
    strict = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror"]
    for compiler in ("gcc", "clang"):
        program = compiled(compiler, strict, [main, made.source], tmp_path / compiler)
        lines = subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout.split("\n")  # noqa: S603
        for text, line in zip(classes, lines, strict=False):
            wanted = text.encode("utf-8", "replace").partition(b"\0")[0]
            assert wanted[:1000].startswith(bytes.fromhex(line))
            assert len(line) // 2 >= min(len(wanted), 996)


def test_two_models_in_one_program_and_from_cpp(tmp_path: Path) -> None:
    """Their names do not meet; the header is one for C++ as well."""
    for folder, name in (("a", "one"), ("b", "two")):
        (tmp_path / folder).mkdir()
        exported(small(name), tmp_path / folder)
    main = tmp_path / "main.c"
    main.write_text(TWO)
    sources = [main, tmp_path / "a" / "model.c", tmp_path / "b" / "model.c"]
    program = compiled("gcc", ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror"], sources, tmp_path / "both")
    assert subprocess.run([str(program)], check=False).returncode == 0  # noqa: S603
    header = tmp_path / "header.cpp"
    header.write_text('#include "a/model.h"\nint classes() { return ONE_CLASSES; }\n')
    compiled("gcc", ["-x", "c++", "-std=c++11", "-Wall", "-Wextra", "-fsyntax-only"], [header], tmp_path / "none")


@pytest.mark.parametrize(
    ("network", "name"),
    [
        ("lenet5", "lenet5"),
        ("my-net.v2", "my_net_v2"),
        ("ÉTÉ 2026", "ETE_2026"),
        ("3d", "model_3d"),
        ("", "model"),
        ("日本", "model"),
        ("log", "model_log"),
        ("read", "model_read"),
        ("sinf", "model_sinf"),
        ("while", "model_while"),
        ("class", "model_class"),
        ("k0_load", "model_k0_load"),
        ("f32x4", "model_f32x4"),
        ("int32_t", "int32_t_model"),
        ("int8", "model_int8"),
        ("Size", "model_Size"),
        ("wchar", "model_wchar"),
        ("_hidden_", "hidden"),
        ("model", "model"),
        ("n" * 300, "n" * 48),
    ],
)
def test_a_function_is_named_like_its_network(network: str, name: str) -> None:
    """As far as C allows; a name that a library has, or that the file itself uses, becomes another."""
    assert function_name(None, network) == name
    assert function_name(name, "other") == name


@pytest.mark.parametrize(
    "name", ["", "9net", "a-b", "é", "a b", "log", "int", "k1_conv", "main", "x" * 49, "memcpy", "i;"]
)
def test_a_name_that_cannot_be_is_refused(name: str) -> None:
    """With one that can."""
    with pytest.raises(UserError, match=r"^name=") as caught:
        function_name(name, "net")
    proposed = (caught.value.help or "").rpartition("--name ")[2]
    assert function_name(proposed, "net") == proposed


def test_no_macro_of_the_header_is_one_of_c23() -> None:
    """NAME_WIDTH of <limits.h> and <stdint.h> say how many bits a type has."""
    text = "#include <limits.h>\n#include <stdint.h>\n"
    command = ["gcc", "-std=c2x", "-dM", "-E", "-"]
    macros = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout  # noqa: S603
    names = re.findall(r"^#define (\w+)_(?:WIDTH|HEIGHT|CHANNELS|CLASSES) ", macros, re.MULTILINE)
    assert len(names) > 40
    for name in names:
        assert function_name(None, name) != name
        assert function_name(None, name.lower()) != name.lower()


def test_names_that_files_use_are_taken(tmp_path: Path) -> None:
    """Each global name in a file, but those that begin with the function's, is refused as the function's."""
    for lanes in (1, 4):
        text = exported(drawn(3), tmp_path, lanes=lanes, name="function").source.read_text()
        plain = re.sub(r"/\*.*?\*/|^#.*?$", "", text, flags=re.DOTALL | re.MULTILINE)
        for name in set(re.findall(r"\b[a-z]\w*(?=\()|\b\w+_t\b|\b[fiu]\d+x\d+\w*", plain)) - {"function"}:
            if not name.startswith(("function_", "__", "defined")):
                assert name in TAKEN or function_name(None, name) != name, name


def test_a_file_is_the_same_every_time(tmp_path: Path) -> None:
    """Nothing in it depends on the time or on the order of a set."""
    (tmp_path / "again").mkdir()
    one, other = exported(small(), tmp_path), exported(small(), tmp_path / "again")
    assert one.source.read_bytes() == other.source.read_bytes()


def test_sizes_are_those_of_the_file(tmp_path: Path) -> None:
    """Flash and RAM in the first comment are the compiler's, code within a third."""
    made = exported(lenet5(), tmp_path)
    out = made.object("gcc", "-Os")
    sections = subprocess.run(["size", "-A", str(out)], capture_output=True, text=True, check=True).stdout  # noqa: S603, S607
    sizes = {line.split()[0]: int(line.split()[1]) for line in sections.splitlines() if line.startswith(".")}
    text = made.source.read_text()
    weights = float(re.search(r"([\d.]+) kB of weights", text)[1])
    ram = float(re.search(r"RAM +([\d.]+) kB", text)[1])
    assert abs(sizes[".rodata"] - weights * 1000) < 1000
    assert abs(sizes[".bss"] - ram * 1000) < 100


def test_the_first_comment_tells_what_the_model_is(tmp_path: Path) -> None:
    """Its classes, how good it is and on which data, and how to make pixels of a photo."""
    model = lenet5()
    result = Result(model.card.classes, 0.1, 0.9912, 0.991, None, {"test_accuracy": (0.989, 0.993)})
    made = exported(replace(model, origin=Origin("mnist", 60_000, result)), tmp_path)
    comment = made.source.read_text().split("*/")[0]
    for text in (
        "0.9912",
        "0.9890 to 0.9930",
        "mnist, 60,000 training images",
        "28×28 pixels",
        "416,520",
        "10: 0, 1, 2",
    ):
        assert text in comment


def test_a_photo_s_colors_lie_side_by_side(tmp_path: Path) -> None:
    """Red, green and blue of a pixel, then the next pixel: as image libraries have them."""
    network = parse("Input 3 2 2\nFlat\nFC 2 bias=no\n", name="colors")
    model = subject_of(network, 1)
    found = exported(model, tmp_path)
    x = np.arange(12, dtype=np.uint8).reshape(1, 3, 2, 2) * 20
    other = engine(model, x, 1) if host().triple.startswith("x86_64") else found.library("gcc")(x)
    np.testing.assert_array_equal(found.library("gcc", "-O1")(x), other)
    assert "image[3 * (2 * row + column) + channel]" in found.source.read_text()
