"""A model remembers how bright its training images were, and tells of images that are far from them."""

from __future__ import annotations

import dataclasses
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import small_data
from click.testing import CliRunner
from PIL import Image

import layerline
from layerline import ImagesWarning
from layerline.cli.entry_point import layerline as command
from layerline.data.checking import brightness
from layerline.data.checking.brightness import Brightness, Look
from layerline.data.dataset import ImageSet, Split
from layerline.errors import UserError
from layerline.runs import model_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.data.dataset import Dataset
    from layerline.training import Model

MNIST = Brightness((0.1306,), (0.3081,), 0.0432, 0.0, 1.0)
CIFAR = Brightness((0.4939, 0.4837, 0.4470), (0.2458, 0.2431, 0.2604), 0.1242, 0.0, 1.0)
"""What MNIST and CIFAR-10 have."""


def remark(seen: Brightness, images: NDArray[np.uint8]) -> str | None:
    look = Look(seen)
    look.add(images, 255.0)
    return look.remark()


def strokes(n: int, ink: float = 0.1307) -> NDArray[np.uint8]:
    """Return images of the brightness and contrast of MNIST: a share of white pixels, the others black."""
    white = np.arange(n * 784) < round(ink * n * 784)
    return (255 * np.random.default_rng(1).permutation(white)).astype(np.uint8).reshape(n, 1, 28, 28)


@pytest.mark.parametrize("n", [1, 2, 15, 16, 300])
def test_images_far_from_those_learned_from(n: int) -> None:
    """One image or many: inverted, black, white and divided by 255 are told, and what is alike is not."""
    images = strokes(n)
    are = "This image is" if n == 1 else "These images are"
    assert remark(MNIST, images) is None
    assert remark(MNIST, 255 - images) == f"{are} much brighter (0.87) than the training images (0.13): inverted?"
    assert (
        remark(MNIST, images // 255)
        == f"{are} much darker (0.0005) than the training images (0.13): scaled differently?"
    )
    for seen in (MNIST, CIFAR):
        assert f"{are} much darker (0) than" in str(remark(seen, images * 0))
        assert f"{are} much brighter (1.00) than" in str(remark(seen, images * 0 + 255))


def test_one_image_may_be_what_many_may_not() -> None:
    """A class of bold strokes, 4 deviations of single images away, is told of 16 images and not of one."""
    bold = strokes(16, 0.1306 + 4 * 0.0432)
    assert remark(MNIST, bold[:1]) is None
    assert "much brighter" in str(remark(MNIST, bold))


def test_many_images_without_contrast() -> None:
    """Gray images of the right brightness are told, by their deviation."""
    assert remark(CIFAR, np.full((20, 3, 4, 4), 120, np.uint8)) == (
        "These images have much less contrast (standard deviation 0) than the training images (0.25): "
        "scaled differently?"
    )


def test_many_images_without_a_pixel_below_0() -> None:
    """For a model of images from -1 to 1, as CIFAR-10's, those from 0 to 1 are told, and its own are not."""
    seen = Brightness((-0.05,), (0.5,), 0.25, -1.0, 1.0)
    own = np.random.default_rng(3).normal(-0.05, 0.5, (20, 1, 8, 8)).clip(-1, 1)
    for images, expected in (
        (own, None),
        (
            (own + 1) / 2,
            "None of these images has a pixel below 0, but the training images go down to -1.00: normalized",
        ),
        ((own[:15] + 1) / 2, None),
    ):
        look = Look(seen)
        look.add(images.astype(np.float32), 1.0)
        found = look.remark()
        assert found is expected or str(found).startswith(str(expected))


def test_mean_and_deviation_are_those_of_the_training_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """By channel, over the images that are trained on, divided by the largest value; of many images a part."""
    rng = np.random.default_rng(2)
    pixels = (rng.random((700, 3, 5, 4)) * np.array([90, 200, 250])[None, :, None, None]).astype(np.uint8)
    split = Split(ImageSet(pixels, np.zeros(700, np.int32)), np.arange(100, 700))
    x = pixels[100:] / 255
    found = brightness.of(split)
    np.testing.assert_allclose(found.mean, x.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(found.deviation, x.std(axis=(0, 2, 3)), rtol=1e-9)
    np.testing.assert_allclose(found.spread, x.mean(axis=(1, 2, 3)).std(), rtol=1e-9)
    assert (found.low, found.high) == (x.min(), x.max())
    monkeypatch.setattr(brightness, "_AT_MOST", 1)
    some = x[np.linspace(0, 599, 256).astype(int)]
    np.testing.assert_allclose(brightness.of(split).mean, some.mean(axis=(0, 2, 3)), rtol=1e-12)


def written(model: Model, path: Path) -> dict[str, str]:
    model.save(path)
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return dict(header["__metadata__"])


@pytest.fixture(scope="module")
def trained() -> tuple[Dataset, Model]:
    data = small_data.dataset(train=120, validation=20, test=40)
    network = layerline.parse("Conv 4 3\nReLU\nFlat\nFC classes\n", data)
    return data, layerline.train(network, data, epochs=2, threads=1).model


def test_the_model_file_keeps_them(trained: tuple[Dataset, Model], tmp_path: Path) -> None:
    """The key `training_images` has them; they come back exactly; without the key a file is read, with nonsense not."""
    data, model = trained
    path = tmp_path / "m.safetensors"
    metadata = written(model, path)
    x = data.train.source.images[data.train.indices] / 255
    np.testing.assert_allclose(json.loads(metadata["training_images"])["mean"], [x.mean()], rtol=1e-9)
    assert metadata["format_version"] == "1"
    assert layerline.load(path).preprocessing == model.preprocessing
    older = dataclasses.replace(model, preprocessing=dataclasses.replace(model.preprocessing, seen=None))
    assert "training_images" not in written(older, path)
    assert layerline.load(path).preprocessing.seen is None
    for wrong in (
        dataclasses.replace(brightness.of(data.train), mean=(0.1, 0.2)),
        dataclasses.replace(brightness.of(data.train), spread=-1.0),
        dataclasses.replace(brightness.of(data.train), low=2.0),
    ):
        spoiled = dataclasses.replace(model, preprocessing=dataclasses.replace(model.preprocessing, seen=wrong))
        spoiled.save(path)
        with pytest.raises(UserError, match=f"not valid for a model: {model_file.SEEN} "):
            layerline.load(path)


def test_python_is_warned_and_not_of_its_own_images(trained: tuple[Dataset, Model]) -> None:
    """`predict` of the test images is silent; of inverted and black ones it warns at the caller's line."""
    data, model = trained
    assert data.test is not None
    images = data.test.source.images[data.test.indices]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for some in (images, images[:20], images[20:], *images[:, None]):
            model.predict(some)
    for wrong in (images // 255, images * 0 + 255):
        with pytest.warns(ImagesWarning, match="than the training images") as said:
            model.predict(wrong)
        assert [Path(each.filename).name for each in said] == ["test_brightness.py"]


def test_evaluate_says_it_among_its_remarks(trained: tuple[Dataset, Model]) -> None:
    """First of the remarks; none for the test set of the training itself."""
    data, model = trained
    assert not any("training images" in each for each in model.evaluate(data, baselines=False).remarks)
    source = dataclasses.replace(data.train.source, images=data.train.source.images // 50)
    dark = dataclasses.replace(data, train=Split(source, data.train.indices), test=Split(source, data.train.indices))
    assert "much darker" in model.evaluate(dark, baselines=False).remarks[0]


def test_the_command_says_it_beside_its_lines(trained: tuple[Dataset, Model], tmp_path: Path) -> None:
    """On standard error, once, after the lines, which stay what a program reads."""
    data, model = trained
    model.save(tmp_path / "m.safetensors")
    for name, factor in (("same", 1.0), ("dark", 0.02)):
        (tmp_path / name).mkdir()
        for k, image in enumerate(data.train.source.images[:20, 0]):
            Image.fromarray((image * factor).astype(np.uint8)).save(tmp_path / name / f"{k:02}.png")
    same, dark = (
        CliRunner().invoke(command, ["predict", str(tmp_path / "m.safetensors"), str(tmp_path / name)])
        for name in ("same", "dark")
    )
    assert (same.stderr, len(same.stdout.splitlines())) == ("", 20)
    assert dark.stderr.startswith("! These images are much darker (0.0")
    assert len(dark.stderr.splitlines()) == 1
    assert len(dark.stdout.splitlines()) == 20
    assert (same.exit_code, dark.exit_code) == (0, 0)
