"""Image files of 16 bits: in a set, in a training, in a model and in what it says of files."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest
from cifar_files import tar_of
from image_files import picture, png, tiff, tree

import layerline
from layerline.data import load_data
from layerline.data.photos import image_stack
from layerline.data.photos.decoding import File
from layerline.runs.model_file import Preprocessing
from layerline.training.prediction import predictions

if TYPE_CHECKING:
    from pathlib import Path

LARGEST = 965
NETWORK = "Input 1 12 12\nConv 2 3\nReLU\nFlat\nFC 2\nSoftmax\n"


def twelve_bits(count: int = 20, low: int = 200, high: int = LARGEST) -> dict[str, np.ndarray]:
    """Return images of two classes, of which the one is brighter in its upper half, by their paths."""
    found = {}
    for k in range(count):
        for c, name in enumerate(("healthy", "infected")):
            pixels = np.random.default_rng(2 * k + c).integers(low, low + max(1, (high - low) // 4), (12, 12))
            pixels[:6] += c * (high - low) // 2
            found[f"{name}/{k:02}.tif"] = pixels.astype(np.uint16)
    found["healthy/00.tif"][0, 0] = high
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of files of 16 bits in which a camera of 12 bits has written."""
    tree(tmp_path / "cells", {name: tiff(pixels) for name, pixels in twelve_bits().items()})
    return tmp_path / "cells"


@pytest.mark.parametrize("way", ["folder", "tar", "cache"])
def test_files_of_sixteen_bits_are_what_an_npz_of_them_is(folder, tmp_path, way, monkeypatch):
    """All bits are kept, and divided by the largest value there is; a note says so. The second start is the same."""
    images = twelve_bits()
    names = sorted(images)
    labels = [int(name.startswith("infected")) for name in names]
    np.savez(tmp_path / "cells.npz", x=np.stack([images[name] for name in names]), y=np.array(labels))
    arrays = load_data(tmp_path / "cells.npz")
    monkeypatch.setattr(image_stack, "MAX_IN_MEMORY", 4000)
    source, cache = folder, tmp_path / "kept" if way == "cache" else None
    if way == "tar":
        source = tmp_path / "cells.tar"
        source.write_bytes(tar_of({name: tiff(pixels) for name, pixels in images.items()}))
    for _ in range(2):
        files = load_data(source, cache=cache)
        np.testing.assert_array_equal(files.train.source.images, arrays.train.source.images)
        assert files.train.source.images.dtype == np.float32
        assert files.train.source.maximum == arrays.train.source.maximum == LARGEST
        assert files.scaling == arrays.scaling
        assert "16-bit pixels are divided by the largest value, 965 (--normalize)" in files.notes
    assert len(list((tmp_path / "kept").glob("*.images"))) == (way == "cache")


def test_among_others_the_upper_eight_bits_are_used_and_it_is_told(folder):
    """One image of 8 bits, or in color, and nothing says how bright it is among the others: a note tells of both."""
    (folder / "healthy" / "99.png").write_bytes(png(picture(1, (12, 12), 1)))
    data = load_data(folder)
    assert data.train.source.images.dtype == np.uint8
    assert any(note.startswith("40 images of 41 have 16 bits, but only the upper 8 are used") for note in data.notes)


def test_a_model_does_to_files_what_its_training_did(folder, tmp_path):
    """`predict` of files, also after saving, gives the bits of `predict_proba` on the values of the training."""
    data = load_data(folder, seed=3)
    run = layerline.train(layerline.parse(NETWORK), data, epochs=2, learning_rate=0.01, out=tmp_path / "run")
    model = layerline.load(tmp_path / "run")
    assert dataclasses.replace(model.preprocessing, seen=None) == Preprocessing("crop", LARGEST, deep=True)
    names, pixels = sorted(twelve_bits()), twelve_bits()
    said = [each.probabilities for each in predictions(model, [File((), name, folder / name) for name in names])]
    values = np.stack([pixels[name] for name in names]).astype(np.float32)
    np.testing.assert_array_equal(np.stack(said), run.model.predict_proba(values))
    assert model.evaluate(data).test_loss == run.result.test_loss


@pytest.mark.parametrize("high", [255, 16, 1])
def test_sets_that_are_darker_or_hardly_use_their_bits_are_on_one_scale(folder, tmp_path, high):
    """Other files of 16 bits are on the model's scale whatever their own largest value is, even one of another type."""
    run = layerline.train(layerline.parse(NETWORK), load_data(folder), epochs=1, learning_rate=0.01)
    dark = twelve_bits(low=0, high=high)
    tree(tmp_path / "dark", {name: tiff(pixels) for name, pixels in dark.items()})
    values = np.stack([dark[name] for name in sorted(dark)]).astype(np.float32)
    alone, brought = load_data(tmp_path / "dark"), run.model.load_data(tmp_path / "dark", test=0.5, allow={"constant"})
    assert alone.train.source.maximum == high
    assert brought.train.source.maximum == LARGEST
    np.testing.assert_array_equal(brought.train.source.images[:, 0], values)
    both = [run.model.evaluate(each, "all", baselines=False).test_loss for each in (alone, brought)]
    with pytest.warns(layerline.ImagesWarning, match="much darker"):
        probabilities = run.model.predict_proba(values)
    labels = np.array([int(name.startswith("infected")) for name in sorted(dark)])
    expected = -np.log(probabilities[np.arange(len(labels)), labels].astype(np.float64)).mean()
    assert both == pytest.approx([expected, expected], rel=1e-6)


def test_files_of_eight_bits_reach_from_black_to_the_training_s_largest(folder, tmp_path):
    """A model of 16 bits takes 255 of a file of 8 as the largest value that it learned from."""
    run = layerline.train(layerline.parse(NETWORK), load_data(folder), epochs=1, learning_rate=0.01)
    pixels = picture(3, (12, 12), 1)
    path = tmp_path / "x.png"
    path.write_bytes(png(pixels))
    (said,) = predictions(run.model, [File((), "x", path)])
    values = np.rint(pixels * (LARGEST / 255)).astype(np.float32)
    np.testing.assert_array_equal(said.probabilities, run.model.predict_proba(values[None])[0])


def test_a_model_of_eight_bits_still_takes_the_upper_eight(folder, tmp_path):
    """A model file that says nothing of bits, as all did before, reads files of 16 bits as its training did."""
    run = layerline.train(layerline.parse(NETWORK), load_data(folder), epochs=1, learning_rate=0.01)
    old = dataclasses.replace(run.model, preprocessing=Preprocessing("crop", 255.0))
    old.save(tmp_path / "old.safetensors")
    assert b'"bits\\"' not in (tmp_path / "old.safetensors").read_bytes()
    model = layerline.load(tmp_path / "old.safetensors")
    name = "infected/03.tif"
    (said,) = predictions(model, [File((), name, folder / name)])
    upper = (twelve_bits()[name] >> 8).astype(np.uint8)
    np.testing.assert_array_equal(said.probabilities, model.predict_proba(upper[None])[0])
