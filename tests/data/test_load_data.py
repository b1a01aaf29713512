"""Loading as a whole: the sets by name, scaling, fingerprints, and MNIST where it is at hand."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from data_files import idx_bytes, pictures, write_idx, write_npz
from peak import PEAK
from sklearn.datasets import load_digits

from layerline.data import ImageSet, Split, load_data
from layerline.data.content import digest
from layerline.data.scaling import scaling

MNIST = os.environ.get("LAYERLINE_DATA")


def test_digits_are_those_of_the_repository():
    """Images and labels equal scikit-learn's copy, one for one; the test set is the last 360."""
    data, known = load_digits(), load_data("digits")
    source = known.train.source
    np.testing.assert_array_equal(source.images[:, 0], data.images)
    np.testing.assert_array_equal(source.labels, data.target)
    np.testing.assert_array_equal(known.test.indices, np.arange(1437, 1797))
    assert known.classes == tuple("0123456789")
    assert (len(known.train), len(known.validation)) == (1293, 144)
    assert set(known.train.indices) | set(known.validation.indices) == set(range(1437))
    assert known.scaling.apply(source.images).max() == 1
    assert known.notes == ()
    assert known.cuts == {"validation": 0.1, "normalize": "max"}


def test_digits_without_a_test_set():
    """`none` leaves the last 360 images out; they are not trained on."""
    known = load_data("digits", test="none", validation="none")
    assert known.test is None
    assert len(known.train) == 1437


@pytest.mark.parametrize("place", ["mnist", "MNIST/raw", "."])
def test_mnist_is_looked_for_in_three_places(tmp_path, place):
    """The files are found in DIR/mnist, in torchvision's folder, or in DIR; what is not official is named."""
    write_idx(tmp_path / place, "train", *pictures(200, K=10), gz=True)
    write_idx(tmp_path / place, "t10k", *pictures(50, K=10))
    data = load_data("mnist", data_dir=tmp_path)
    assert (data.name, len(data.test)) == ("mnist", 50)
    assert data.notes == (
        "this is not the official mnist: train images, train labels, test images, test labels differ (SHA-256)",
    )


def test_fashion_mnist_knows_its_classes(tmp_path):
    """The classes of fashion-mnist have names, and can be chosen by them."""
    write_idx(tmp_path / "fashion-mnist", "train", *pictures(200, K=10))
    write_idx(tmp_path / "fashion-mnist", "t10k", *pictures(50, K=10))
    data = load_data("fashion-mnist", data_dir=tmp_path, classes="Coat,Ankle boot")
    assert data.classes == ("Coat", "Ankle boot")
    assert data.train.source.labels.min() == -1


def test_the_fingerprint_is_of_the_content(tmp_path):
    """The same images in IDX, gzipped IDX and .npz have one fingerprint; a changed pixel, label or name has another."""
    images, labels = pictures(60)
    write_idx(tmp_path / "plain", "train", images, labels)
    write_idx(tmp_path / "gz", "train", images, labels, gz=True)
    write_npz(tmp_path / "set.npz", x=images, y=labels)
    same = {load_data(tmp_path / name, seed=seed).fingerprint for name in ("plain", "gz", "set.npz") for seed in (0, 1)}
    assert len(same) == 1
    pixel, label = images.copy(), labels.copy()
    pixel[59, 5, 4] ^= 1
    label[59] = 0
    changes = [
        (pixel, labels),
        (images, label),
        (images, np.array(["a", "b", "c"])[labels]),
        (images[:, None, :, :], labels),
    ]
    fingerprints = []
    for number, (x, y) in enumerate(changes):
        write_npz(tmp_path / f"{number}.npz", x=x, y=y)
        fingerprints.append(load_data(tmp_path / f"{number}.npz").fingerprint)
    assert len(same | set(fingerprints[:3])) == 4
    assert fingerprints[3] in same


def test_the_fingerprint_is_made_as_documented(tmp_path):
    """A fingerprint can be made by hand from the files, as docs/conventions.md says."""
    train, test = pictures(60), pictures(30, seed=1)
    write_idx(tmp_path, "train", *train)
    write_idx(tmp_path, "t10k", *test)
    lines = [
        f"{split} {what} {hashlib.sha256(idx_bytes(array)).hexdigest()}"
        for split, arrays in (("train", train), ("test", test))
        for what, array in zip(("images", "labels"), arrays, strict=True)
    ]
    lines += ['classes ["0", "1", "2"]', "last for test 0"]
    assert load_data(tmp_path).fingerprint == hashlib.sha256("\n".join(lines).encode()).hexdigest()


def test_a_digest_is_that_of_the_idx_file():
    """The digest of uint8 images and labels is SHA-256 of the file that holds them, channels last or first or none."""
    for shape in ((6, 5), (6, 5, 3), (3, 6, 5)):
        images, labels = pictures(9, shape=shape)
        expected = hashlib.sha256(idx_bytes(images)).hexdigest()
        seen = images[:, None] if images.ndim == 3 else images if shape[0] == 3 else images.transpose(0, 3, 1, 2)
        assert digest(seen) == expected
        assert digest(labels) == hashlib.sha256(idx_bytes(labels)).hexdigest()


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_standard_scaling_has_mean_0_and_deviation_1(dtype, last):
    """With --normalize standard every channel of the training images has mean 0 and deviation 1, computed in float64.

    The scaled values are float32 with an error of 2⁻²³ of the largest, and so are mean and deviation at most.
    """
    rng = np.random.default_rng(3)
    raw = rng.integers(0, 256, (5000, 3, 20, 20)) // np.array([1, 2, 5])[:, None, None]
    raw = (raw if dtype is np.uint8 else raw / 7 + 1000).astype(dtype)
    images = raw.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2) if last else raw
    indices = np.flatnonzero(rng.random(5000) < 0.5)
    split = Split(ImageSet(images, np.zeros(5000, np.int32)), indices)
    found = scaling(split, 255.0, "standard")
    exact = raw[indices].astype(np.float64)
    np.testing.assert_allclose(1 / np.array(found.scale), exact.std(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(found.shift, -exact.mean(axis=(0, 2, 3)) * found.scale, rtol=1e-12)
    scaled = found.apply(images[indices]).astype(np.float64)
    error = 2.0**-23 * np.abs(found.shift).max() * 2
    assert np.abs(scaled.mean(axis=(0, 2, 3))).max() < error + 1e-6
    assert np.abs(scaled.std(axis=(0, 2, 3)) - 1).max() < error + 1e-6


@pytest.mark.parametrize("value", [0, 7, np.float32(0.1), np.float32(3e8)])
def test_a_constant_channel_stays_finite(value):
    """A channel in which nothing varies becomes 0, up to float32's rounding of value · scale, and never NaN."""
    images = np.full((2000, 2, 9, 9), value, np.float32 if isinstance(value, np.floating) else np.uint8)
    images[:, 1] = np.arange(81).reshape(9, 9)
    split = Split(ImageSet(images, np.zeros(2000, np.int32)), np.arange(2000))
    found = scaling(split, 255.0, "standard")
    assert np.isfinite(found.scale).all()
    scaled = found.apply(images)
    assert np.abs(scaled[:, 0]).max() <= 2.0**-22 * abs(float(value)) / 255
    assert scaled[:, 1].std() == pytest.approx(1, abs=1e-5)


def test_scaling_looks_at_training_images_only(tmp_path):
    """A bright test set does not change the mean that --normalize standard takes off."""
    images, labels = pictures(60)
    write_npz(tmp_path / "a.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    write_npz(tmp_path / "b.npz", x_train=images, y_train=labels, x_test=images | 128, y_test=labels)
    a, b = (load_data(tmp_path / name, normalize="standard").scaling for name in ("a.npz", "b.npz"))
    assert a == b


def test_bad_options_are_refused_before_anything_is_read(tmp_path):
    """A wrong share is named even where the data is not there."""
    from layerline.errors import DataError

    with pytest.raises(DataError, match=r"validation=3\.5"):
        load_data(tmp_path / "nothing", validation=3.5)


@pytest.mark.skipif(MNIST is None, reason="LAYERLINE_DATA does not name a folder with MNIST")
def test_mnist_is_the_official_one():
    """All of MNIST: the published content, the official test set; in less than twice its 55 MB beside NumPy's own."""
    program = (
        f"{PEAK}\n"
        "import sys, numpy, layerline.data as d\n"
        "before = peak()\n"
        "data = d.load_data('mnist', data_dir=sys.argv[1])\n"
        "print(peak() - before, len(data.train), len(data.validation), len(data.test), len(data.notes))\n"
    )
    run = subprocess.run([sys.executable, "-c", program, str(MNIST)], capture_output=True, text=True, check=True)  # noqa: S603
    peak, *counts = map(int, run.stdout.split())
    assert counts == [54_000, 6_000, 10_000, 0]
    assert peak < 2 * 55_000_000


def test_nothing_is_read_from_the_environment(tmp_path, monkeypatch):
    """LAYERLINE_DATA is for the command line: the library does not look at it."""
    from layerline.errors import DataError

    monkeypatch.setenv("LAYERLINE_DATA", str(tmp_path))
    with pytest.raises(DataError, match="/nowhere/layerline"):
        load_data("mnist")
    assert Path(tmp_path).exists()
