"""What all formats of an export share: the type of the input, options, names of files, and refusals."""

from __future__ import annotations

import pickle
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import command
import numpy as np
import pytest
import trained_like

import layerline
from layerline.compiler.dtype import DType
from layerline.errors import CallError, UserError
from layerline.export.export_options import ExportOptions
from layerline.export.formats import FORMATS, format_of, paths_of
from layerline.export.subject import pixel_type
from layerline.network import parse
from layerline.runs.model_file import Preprocessing
from layerline.training import Model

if TYPE_CHECKING:
    from pathlib import Path

    from layerline.export.subject import Subject

SMALL = "Input 1 5 6\nConv 3 3\nReLU\nFlat\nFC 3\n"


def small(text: str = SMALL, preprocessing: Preprocessing | None = None) -> Subject:
    """Return a small model."""
    return trained_like.subject_of(parse(text, name="net"), 5, preprocessing=preprocessing)


def model() -> Model:
    """Return the same as a model in Python."""
    of = small()
    return Model(of.network, of.card.classes, of.card.scaling, of.weights)


@pytest.mark.parametrize(
    ("text", "preprocessing", "expected"),
    [
        (SMALL, Preprocessing(), DType.U8),
        (SMALL, Preprocessing(maximum=1.0), DType.F32),
        (SMALL, Preprocessing(maximum=255.0, deep=True), DType.F32),
        ("Input 3 1 1\nFlat\nFC 3\n", Preprocessing(), DType.F32),
    ],
    ids=["bytes", "floats", "16 bits", "table"],
)
def test_the_input_has_one_type_in_all_formats(text: str, preprocessing: Preprocessing, expected: DType) -> None:
    """Bytes if the training images were; the numbers of a table are not, whatever the largest is."""
    of = small(text, preprocessing)
    assert pixel_type(of.card) is expected
    bytewise = expected is DType.U8
    files = {name: FORMATS[name].export(of, ExportOptions()) for name in ("c", "wasm", "onnx")}
    assert ("const uint8_t image[" in files["c"].files[".h"].decode()) == bytewise
    assert (b'"type":"uint8"' in files["wasm"].files[".wasm"]) == bytewise
    assert dict(files["onnx"].sizes)["input"].startswith("uint8" if bytewise else "float32")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "nhwc"}, 'layout="nhwc": must be NCHW or NHWC'),
        ({"pixels": "int8"}, 'pixels="int8": must be uint8 or float32'),
        ({"lanes": True}, "lanes=True: must be 1 or 4"),
        ({"lanes": "4"}, 'lanes="4": must be 1 or 4'),
        ({"name": 3}, "name=3: must be text"),
        ({"int8": "no"}, "int8=.no.: must be True or False"),
        ({"max_loss": "x"}, "max_loss=.x.: must be a number between 0 and 1"),
        ({"max_loss": float("nan")}, "max_loss=.?nan.?: must be a number between 0 and 1"),
        ({"data": "photos"}, '"photos": must be a Dataset, as from layerline.load_data'),
        ({"lane": 4}, r"export\(\) has no option lane\n.*did you mean lanes="),
    ],
    ids=repr,
)
def test_options_are_checked_in_python_too(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    """A value that an option cannot have is refused before anything is written, and not read as another."""
    with pytest.raises(UserError, match=message):
        model().export(tmp_path / ("x.onnx" if {"layout", "pixels"} & {*options} else "x.c"), **options)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("options", [{"max_loss": 0.5}, {"data": trained_like.data_of(small())}], ids=["loss", "data"])
def test_options_of_int8_are_refused_without_it(options: dict[str, Any], tmp_path: Path) -> None:
    """They would have no effect, although 8-bit integers were probably expected."""
    with pytest.raises(UserError, match=r"only with int8"):
        model().export(tmp_path / "x.c", **options)


@pytest.mark.parametrize("file", ["net.html", "net.c"])
def test_the_model_of_a_run_knows_its_scores(file: str, tmp_path: Path) -> None:
    """In Python the file is that of the command, which reads the run's folder; also if there is no folder."""
    data = layerline.load_data("digits", limit=200)
    options = {"epochs": 1, "learning_rate": 0.05, "batch_size": 50, "threads": 1}
    written = layerline.train(layerline.read("digits", data), data, out=tmp_path / "run", **options)
    alone = layerline.train(layerline.read("digits", data), data, **options)
    done = command.run(tmp_path, "export", "run", "-o", f"command-{file}")
    assert done.returncode == 0, done.stderr
    expected = (tmp_path / f"command-{file}").read_bytes()
    assert f"{written.result.test_accuracy:.4f}"[2:4] in expected.decode()
    for model_ in (written.model, alone.model, pickle.loads(pickle.dumps(alone.model))):  # noqa: S301 - our own
        model_.export(tmp_path / file)
        assert (tmp_path / file).read_bytes() == expected
    stored = layerline.load(tmp_path / "run")
    stored.export(tmp_path / file)
    assert (tmp_path / file).read_bytes() != expected


def test_an_unknown_format_is_refused() -> None:
    """Also one that is not text."""
    with pytest.raises(UserError, match="unknown format"):
        format_of("C")
    with pytest.raises(CallError, match="path"):
        model().export()


@pytest.mark.parametrize("name", FORMATS)
def test_the_files_of_a_format_are_known_before_it_is_made(name: str, tmp_path: Path) -> None:
    """So that one that exists is not noticed after the work."""
    assert tuple(FORMATS[name].export(small(), ExportOptions()).files) == FORMATS[name].suffixes
    paths = paths_of(tmp_path / f"net{FORMATS[name].suffix}", FORMATS[name])
    assert [path.name for path in paths] == [f"net{suffix}" for suffix in FORMATS[name].suffixes]


@pytest.mark.parametrize(
    ("to", "file"), [("c", "net.h"), ("wasm", "net.js"), ("wasm", "net.d.ts"), ("web", "net.c"), ("onnx", "net.wasm")]
)
def test_a_file_does_not_have_the_suffix_of_another(to: str, file: str, tmp_path: Path) -> None:
    """A C file called net.h would be replaced by its header at once."""
    with pytest.raises(UserError, match=rf"{re.escape(file)}: the suffix \.\w+ is of ") as caught:
        model().export(tmp_path / file, to)
    assert (caught.value.help or "").endswith(f"net{FORMATS[to].suffix}")
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("name", ["", "."])
def test_a_path_without_a_name_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a folder is."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="directory"):
        model().export(name, "c")
    with pytest.raises(UserError, match="directory"):
        model().save(name)


@pytest.mark.parametrize("name", FORMATS)
def test_weights_that_are_no_numbers_are_refused(name: str) -> None:
    """They are named, and counted: what such a model predicts means nothing."""
    of = small()
    first = next(iter(of.weights))
    value = of.weights[first].copy()
    value.flat[:2] = np.nan
    with pytest.raises(UserError, match=f"{re.escape(first)} has 2 NaN or infinite values"):
        FORMATS[name].export(replace(of, weights={**of.weights, first: value}), ExportOptions())
