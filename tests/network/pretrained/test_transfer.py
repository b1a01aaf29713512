"""Networks that classify by a backbone's features: their text, their weights, and the images they are for."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from foreign_backbones import added

import layerline
from layerline.data.dataset import ImageSet, Scaling
from layerline.engines.features import features
from layerline.errors import UserError
from layerline.network import parse, pretrained
from layerline.network.pretrained import BACKBONES
from layerline.network.pretrained.transfer import HEAD, check_images, start_of, transfer_text, transfer_weights
from layerline.network_file import formatted
from layerline.recipe import Recipe

NAME = "mobilenetv2"


@pytest.mark.parametrize("name", BACKBONES)
def test_the_text_is_a_readable_network_file(name: str) -> None:
    """It is in the form of `layerline fmt`, its backbone is frozen, and only its head has weights to train."""
    text = transfer_text(BACKBONES[name])
    assert formatted(text, name) == text
    network = parse(text, classes=7)
    assert network.input_shape == (3, 224, 224)
    assert [node.layer.word.name for node in network.nodes if not node.frozen] == ["Flat", "FC"]
    assert network.parameter_count == 7 * (BACKBONES[name].features + 1)
    assert network.frozen_end == len(network.nodes) - 2
    other = parse(transfer_text(BACKBONES[name], (96, 64), "Flat\nFC 5\nReLU\nFC classes\n"), classes=7)
    assert other.input_shape == (3, 96, 64)


@pytest.mark.parametrize("name", BACKBONES)
def test_the_first_norm_is_the_preprocessing(name: str) -> None:
    """Of images divided by 255, it computes value · scale + shift, as the weights need it, within 1e-5."""
    backbone = BACKBONES[name]
    text = "Input 3 8 32\nBatchNorm\n"
    weights = {key[2:]: value for key, value in transfer_weights(backbone, {}).items()}
    values = np.arange(256, dtype=np.uint8).reshape(8, 32)
    images = np.stack([values, values[::-1], values.T.reshape(8, 32)])[None]
    network = parse(text + "Flat\n")
    shown = ImageSet(images, np.zeros(1, np.int32))
    held = {f"0.{key}": value for key, value in weights.items()}
    found = features(network, Scaling((1 / 255,) * 3, (0.0,) * 3), Recipe(), held, shown, np.arange(1), 1)
    expected = Scaling(backbone.scale, backbone.shift).apply(images)
    np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=1e-5)


def test_the_features_of_the_transfer_network_are_the_backbones(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the preprocessing as a layer, features of images from 0 to 1 are those of preprocessed images."""
    held = added(NAME)
    monkeypatch.setattr(pretrained, "find", lambda name: held if name == NAME else None)
    images = np.random.default_rng(1).integers(0, 256, (2, 3, 64, 64)).astype(np.uint8)
    shown, places = ImageSet(images, np.zeros(2, np.int32)), np.arange(2)
    known = BACKBONES[NAME]
    alone = parse(known.text + "Flat\n", input_shape=(3, 64, 64))
    expected = features(alone, Scaling(known.scale, known.shift), Recipe(), held.weights, shown, places, 1)
    whole = layerline.read(NAME, input_shape=(3, 64, 64), classes=4)
    assert whole.start is not None
    assert whole.start.weights is not None
    part = whole.until(whole.frozen_end)
    unit = Scaling((1 / 255,) * 3, (0.0,) * 3)
    found = features(part, unit, Recipe(), whole.start.weights, shown, places, 1)
    np.testing.assert_allclose(found.reshape(2, -1), expected, rtol=1e-3, atol=1e-3 * float(np.abs(expected).max()))
    assert whole.start.text == "MobileNetV2 (ImageNet)"
    assert start_of(known, held.weights).digest == whole.start.digest


def test_images_that_are_no_photos_are_refused() -> None:
    """Gray or tiny images are refused with their shape, before anything is computed."""
    for shape in ((1, 224, 224), (3, 31, 64)):
        with pytest.raises(UserError, match="RGB photos of at least 32×32"):
            check_images(BACKBONES[NAME], shape)
    check_images(BACKBONES[NAME], (3, 32, 32))
    assert HEAD in transfer_text(BACKBONES[NAME])


@pytest.mark.parametrize("call", ["presets()", "network.preset('lite0')", "network.find('resnet18')"])
def test_names_and_files_need_no_numpy(call: str) -> None:
    """Presets and the network files of backbones are read without NumPy, and without what reads weights."""
    code = f"import sys, layerline\nfrom layerline import network, presets\n{call}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert not {"numpy", "layerline.network.pretrained.installed"}.intersection(done.stdout.split())
