"""ONNX files that we write: what they compute, by the definitions of the operations, and what they say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_models
import onnx_runtime
import pytest
from command import run

import layerline
from layerline.data.dataset import Scaling
from layerline.errors import UserError
from layerline.export.onnx import runtime
from layerline.export.onnx.messages import ModelProto
from layerline.export.onnx.operations import WRITERS
from layerline.files import protobuf
from layerline.layers import LAYERS
from layerline.network import preset, presets
from layerline.runs.model_file import Preprocessing
from layerline.training import Model

if TYPE_CHECKING:
    from pathlib import Path

CLOSE = 1e-5
"""The largest difference of a probability: float32 against float64."""


def same(ours: Any, theirs: Any) -> None:
    """Assert that probabilities agree, and so does the class where the two largest differ by more."""
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=CLOSE)
    first, second = np.sort(theirs, 1)[:, -1], np.sort(theirs, 1)[:, -2]
    sure = first - second > CLOSE
    assert (ours.argmax(1) == theirs.argmax(1))[sure].all()


def test_every_layer_has_operations() -> None:
    """A new layer must say what it is in ONNX."""
    assert set(WRITERS) == {layer.kind for layer in LAYERS}


@pytest.mark.parametrize("seed", range(30))
def test_random_networks(seed: int) -> None:
    """Of every layer, with every kind of input."""
    model = onnx_models.drawn(seed)
    pixels, layout = ("uint8", "float32")[seed % 2], ("NCHW", "NHWC")[seed // 2 % 2]
    images = onnx_models.images(model).astype(pixels)
    fed = images if layout == "NCHW" else images.transpose(0, 2, 3, 1)
    found = onnx_runtime.run(onnx_models.exported(model, pixels=pixels, layout=layout), fed)
    same(model.probabilities(images), found)


SIZES = {"digits": (1, 8, 8), "keras-mnist": (1, 28, 28), "lenet5": (1, 28, 28), "photo-small": (3, 48, 48)}


@pytest.mark.parametrize("name", presets())
def test_presets(name: str) -> None:
    """Each with two images; photo-small with smaller ones."""
    network = layerline.parse(preset(name), input_shape=SIZES.get(name, (3, 32, 32)), classes=10)
    model = onnx_models.model(network)
    images = onnx_models.images(model, 2)
    same(model.probabilities(images), onnx_runtime.run(onnx_models.exported(model), images))


def test_the_bytes_depend_on_the_model_alone() -> None:
    """The same model gives the same file, and another weight another one."""
    model = onnx_models.drawn(3)
    content = onnx_models.exported(model)
    assert onnx_models.exported(onnx_models.drawn(3)) == content
    weights = {name: weight + 1 for name, weight in model.weights.items()}
    assert onnx_models.exported(Model(model.network, model.classes, model.scaling, weights)) != content


def test_the_metadata_has_everything() -> None:
    """Classes, network, preprocessing, scaling and versions; so a program needs nothing but the file."""
    names = ("cät", 'a "quoted"\nname', "</script>")
    text = "# mine\nInput 2 4 4\nBatchNorm\nFlat\nFC classes  # out\n"
    model = onnx_models.model(layerline.parse(text, name="my net", classes=3), classes=names)
    message = protobuf.decoded(ModelProto, onnx_models.exported(model))
    metadata = {entry.key: entry.value for entry in message.metadata_props}
    assert tuple(json.loads(metadata["classes"])) == names
    assert metadata["network"] == text
    assert json.loads(metadata["preprocessing"]) == {"fit": "crop", "maximum": 255.0}
    assert json.loads(metadata["scaling"])["scale"] == [*model.scaling.scale]
    assert json.loads(metadata["versions"])["layerline"] == layerline.__version__
    assert (message.producer_name, message.producer_version) == ("layerline", layerline.__version__)
    assert message.graph is not None
    assert message.graph.name == "my net"
    assert "pixels from 0 to 255" in message.doc_string


@pytest.mark.parametrize("preprocessing", [Preprocessing(maximum=16.0), Preprocessing(maximum=255.0, deep=True)])
def test_other_scales_than_bytes_are_float32(preprocessing: Preprocessing) -> None:
    """If 8-bit pixels are not on the scale of the training, the input is float32, and a note says so."""
    network = layerline.parse("Input 1 3 3\nFlat\nFC 4\n")
    drawn = onnx_models.model(network)
    model = Model(network, drawn.classes, drawn.scaling, drawn.weights, preprocessing=preprocessing)
    images = onnx_models.images(model).astype(np.float32) / 7
    same(model.probabilities(images), onnx_runtime.run(onnx_models.exported(model), images))
    note = f"the input is float32, not uint8: the training images have values from 0 to {preprocessing.maximum:g}"
    assert note in _notes(model)


def _notes(model: Model) -> tuple[str, ...]:
    from layerline.export import formats
    from layerline.export.export_options import ExportOptions

    return model.exported(formats.format_of("onnx"), ExportOptions()).notes


def test_without_onnxruntime_a_note_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setattr(runtime, "installed", lambda: False)
    note = "not checked, because onnxruntime is not installed: pip install 'layerline[onnx]'"
    assert note in _notes(onnx_models.drawn(0))


def test_what_another_runtime_computes_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal results are noted; others refuse the export, with the difference."""
    model = onnx_models.drawn(0)
    monkeypatch.setattr(runtime, "installed", lambda: True)
    monkeypatch.setattr(runtime, "_version", lambda: "1.2.3")
    monkeypatch.setattr(runtime, "outputs", lambda content, images, _name: onnx_runtime.run(content, images))
    assert any(note.startswith("checked with onnxruntime 1.2.3: the largest difference") for note in _notes(model))
    monkeypatch.setattr(runtime, "outputs", lambda content, images, _name: onnx_runtime.run(content, images) + 1.5e-4)
    with pytest.raises(
        UserError, match=r"differ by up to 0.00015, at most 1e-05 is accepted, and 0 of 4 classes differ"
    ):
        _notes(model)


def test_the_scaling_rounds_as_in_the_engine() -> None:
    """x · scale + shift in float32 with two roundings: the first layer gets the same bits."""
    network = layerline.parse("Input 1 1 256\nFlat\nFC 2\n")
    weights = {"1.weight": np.zeros((2, 256), np.float32), "1.bias": np.zeros(2, np.float32)}
    model = Model(network, ("a", "b"), Scaling((1 / 3,), (-0.7,)), weights)
    message = protobuf.decoded(ModelProto, onnx_models.exported(model))
    assert message.graph is not None
    assert [node.op_type for node in message.graph.node[:3]] == ["Cast", "Mul", "Add"]
    constants = {each.name: np.frombuffer(each.raw_data, np.float32) for each in message.graph.initializer}
    assert constants["scale"] == np.float32(1 / 3)
    assert constants["shift"] == np.float32(-0.7)


@pytest.mark.smoke
def test_the_command(tmp_path: Path) -> None:
    """It writes a file that computes what the model does, prints its sizes, and replaces a file only with --force."""
    model = onnx_models.drawn(5)
    model.save(tmp_path / "model.safetensors")
    ran = run(tmp_path, "export", "model.safetensors", "-o", "net.onnx")
    assert ran.returncode == 0, ran.stderr
    images = onnx_models.images(model)
    same(model.probabilities(images), onnx_runtime.run((tmp_path / "net.onnx").read_bytes(), images))
    assert "input    uint8 N×4×7×8, pixels from 0 to 255" in ran.stdout
    again = run(tmp_path, "export", "model.safetensors", "-o", "net.onnx")
    assert again.returncode == 2
    assert "already exists" in again.stderr
    forced = run(tmp_path, "export", "model.safetensors", "-o", "net.onnx", "--force")
    assert forced.returncode == 0
