"""What people type for formats and files of `layerline export` and `import`: taken, or answered with what to type."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_models
import pytest
from command import run

import layerline
from layerline.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from layerline.training import Model

EXPORTS: dict[str, tuple[str, str]] = {
    "a flag": ("--onnx", "--onnx: the format is the value of `--to`\n  help: layerline export m.safetensors --to onnx"),
    "a word": ("to_onnx", "the format is an option, not an argument\n  help: layerline export m.safetensors --to onnx"),
    "a file": ("x.onnx", "the file is an option, not an argument\n  help: layerline export m.safetensors --out x.onnx"),
    "a second model": ("folder -o x.onnx", "folder: unexpected argument"),
    "a page": ("--to html -o x", "--to html: unknown format\n  help: use --to web, and a FILE that ends in .html"),
    "a header": ("-o m.h", "m.h: no format has the suffix .h\n  help: use --to c, and a FILE that ends in .c"),
    "another runtime": ("-o m.tflite", "help: export to ONNX (--to onnx), and convert the .onnx file"),
    "PyTorch": ("--to torch", "help: in Python, layerline.load(MODEL).to_torch() returns the model"),
    "a folder": ("-o folder/", "--out folder/ is a folder\n  help: name the file: folder/m.onnx, folder/m.html"),
    "a folder, with a format": ("-o folder --to c", "--out folder is a folder\n  help: use --out folder/m.c"),
    "a folder that is missing": ("-o no/ --to c", "--out no/: no such folder\n  help: use --out no/m.c"),
    "the output": ("-o - --to c", "--out -: an export is not printed"),
    "the name of a file beside it": (
        "--to c -o m.h",
        "m.h: the suffix .h is of another file, which is written next to the .c file\n  help: name it m.c",
    ),
    "types": ("--to wasm -o m.d.ts", "m.d.ts: the suffix .ts is of another file, which is written next to the .wasm"),
    "a script": ("--to wasm -o m.js", "m.js: the suffix .js is of another file"),
    "another format": ("--to onnx -o v.2.c", "v.2.c: the suffix .c is of --to c\n  help: name it v.2.onnx"),
    "an opset": ("--opset 11 --to onnx", "--opset: the file is of opset 9, which runtimes read"),
    "a mistake before an existing file": ("-o there.c --lanes 8", "--lanes 8: must be 1 or 4"),
}  # fmt: skip


@pytest.fixture(scope="module")
def model() -> Model:
    network = layerline.parse("Input 1 6 6\nConv 2 3\nReLU\nFlat\nFC 3\nSoftmax\n")
    return onnx_models.model(network, classes=("a", "b", "c"))


@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_names_its_mistake(name: str, model: Model, tmp_path: Path) -> None:
    """Nothing is written, and the answer says what to type."""
    typed, message = EXPORTS[name]
    model.save(tmp_path / "m.safetensors")
    (tmp_path / "folder").mkdir()
    (tmp_path / "there.c").touch()
    before = sorted(tmp_path.iterdir())
    ran = run(tmp_path, "export", "m.safetensors", *typed.split())
    assert ran.returncode == 2
    assert message in ran.stderr
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["m.h", "m.onnx"])
def test_python_refuses_the_name_of_another_file(name: str, model: Model, tmp_path: Path) -> None:
    """The header took the place of the source, which was lost."""
    with pytest.raises(UserError, match=r"name it .*m\.c"):
        model.export(tmp_path / name, to="c")
    assert not [*tmp_path.iterdir()]


IMPORTS: dict[str, tuple[bytes, str]] = {
    "n.pt": (
        b"PK\x03\x04" + b"\0" * 40 + b"n/data.pkl",
        "found a PyTorch file (.pt), which contains a pickle, expected an ONNX file\n  help: in PyTorch, "
        "torch.onnx.export writes one",
    ),
    "n.keras": (
        b"PK\x03\x04metadata.json" + b"\0" * 400 + b"model.weights.h5",
        'found a Keras file (.keras), expected an ONNX file\n  help: in Keras, model.export("net.onnx", format="onnx")',
    ),
    "n.h5": (b"\x89HDF\r\n\x1a\n", 'help: in Keras, model.export("net.onnx", format="onnx") writes one'),
    "n.tflite": (b"\x1c\0\0\0TFL3", "found a TensorFlow Lite file (.tflite), expected an ONNX file"),
    "n.wasm": (b"\0asm", "found a WebAssembly module (.wasm), expected an ONNX file"),
}


@pytest.mark.parametrize("name", IMPORTS)
def test_an_import_names_another_kind_of_file(name: str, tmp_path: Path) -> None:
    """With the way to an ONNX file, and before it names files of the same name that exist."""
    content, message = IMPORTS[name]
    (tmp_path / name).write_bytes(content)
    (tmp_path / "n.safetensors").touch()
    ran = run(tmp_path, "import", name)
    assert (ran.returncode, message in ran.stderr) == (2, True), ran.stderr


@pytest.mark.parametrize("name", ["n.pt", "n.h5", "best"])
def test_an_export_without_a_model_says_so_first(name: str, tmp_path: Path) -> None:
    """A format would not help."""
    if name in IMPORTS:
        (tmp_path / name).write_bytes(IMPORTS[name][0])
    ran = run(tmp_path, "export", name)
    assert ran.returncode == 2
    assert ran.stderr.startswith(f"{name}: ")
    assert "--to" not in ran.stderr


def test_a_model_needs_no_import(model: Model, tmp_path: Path) -> None:
    """It is no file of another program."""
    model.save(tmp_path / "m.safetensors")
    ran = run(tmp_path, "import", "m.safetensors")
    assert ran.returncode == 2
    assert "m.safetensors: is a model of Layerline already" in ran.stderr
    assert "help: layerline predict m.safetensors IMAGE" in ran.stderr


@pytest.mark.parametrize("out", ["n", "n.cnn", "n.safetensors", "n.onnx"])
def test_the_name_of_an_import_has_no_suffix_twice(out: str, model: Model, tmp_path: Path) -> None:
    """Whichever of its files is named, both have their usual names."""
    model.export(tmp_path / "m.onnx")
    assert run(tmp_path, "import", "m.onnx", "-o", out).returncode == 0
    assert sorted(each.name for each in tmp_path.glob("n*")) == ["n.cnn", "n.safetensors"]


def test_an_import_takes_no_folder(model: Model, tmp_path: Path) -> None:
    """Its files would be next to the folder, or of its name."""
    model.export(tmp_path / "m.onnx")
    ran = run(tmp_path, "import", "m.onnx", "-o", "nets/")
    assert "--out nets/ is a folder\n  help: use --out nets/m" in ran.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["m.onnx"]


@pytest.mark.parametrize(("name", "advice"), [("m.onnx", "layerline import m.onnx"), ("m.safetensors", "--start-from")])
def test_a_model_is_no_network_file(name: str, advice: str, tmp_path: Path) -> None:
    """Whatever its size, `train` says what it is, and what starts from it."""
    network = layerline.parse("Input 1 60 60\nFlat\nFC 100\n")
    large = onnx_models.model(network)
    large.save(tmp_path / "m.safetensors")
    large.export(tmp_path / "m.onnx")
    ran = run(tmp_path, "train", name, "--data", "digits")
    assert ran.returncode == 2
    assert "not a network file" in ran.stderr
    assert advice in ran.stderr
