"""Copies of named sets that Keras and torchvision made are found, and used only if they are the official ones."""

from __future__ import annotations

import dataclasses
import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
from cifar_files import batches
from command import run
from data_files import pictures, write_idx, write_npz

from layerline.data import content, load_data
from layerline.data.fetching import catalog, library_copies
from layerline.data.formats import named_idx
from layerline.errors import DataError

TRAIN, TEST = pictures(60, 10, (28, 28)), pictures(20, 10, (28, 28), 1)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Work in a folder with a home folder next to it, and with small sets as the official ones."""
    (tmp_path / "home").mkdir()
    (tmp_path / "work" / "here").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work" / "here")
    official = {
        (split, what): content.digest(array)
        for split, arrays in (("train", TRAIN), ("test", TEST))
        for what, array in zip(("images", "labels"), arrays, strict=True)
    }
    monkeypatch.setitem(named_idx.NAMED, "mnist", dataclasses.replace(named_idx.MNIST, official=official))
    return tmp_path / "home"


def keras_mnist(home, train=TRAIN):
    folder = home / ".keras" / "datasets"
    folder.mkdir(parents=True)
    write_npz(folder / "mnist.npz", x_train=train[0], y_train=train[1], x_test=TEST[0], y_test=TEST[1])


def check(data):
    np.testing.assert_array_equal(data.train.source.images[:, 0], TRAIN[0])
    np.testing.assert_array_equal(data.test.labels, TEST[1])
    assert (data.name, data.classes) == ("mnist", tuple("0123456789"))


def test_keras_s_copy_is_found(home):
    """~/.keras/datasets/mnist.npz is MNIST, the same set as from its own files, and the note says where it is."""
    keras_mnist(home)
    data = load_data("mnist", validation="none")
    check(data)
    assert data.notes == (
        "mnist is read from ~/.keras/datasets/mnist.npz, where Keras stores it; it is identical to the official one",
    )
    for split, arrays in (("train", TRAIN), ("t10k", TEST)):
        write_idx(home / "sets" / "mnist", split, *arrays)
    assert load_data("mnist", data_dir=home / "sets", validation="none").fingerprint == data.fingerprint


@pytest.mark.parametrize("root", ["data", "datasets", ".", "../data", "~/data", "~/datasets"])
def test_torchvision_s_copy_is_found(root):
    """MNIST/raw below a usual root is MNIST."""
    for split, arrays in (("train", TRAIN), ("t10k", TEST)):
        write_idx(Path(root).expanduser() / "MNIST" / "raw", split, *arrays)
    data = load_data("mnist", validation="none")
    check(data)
    where = f"{root}/MNIST/raw" if root != "." else "MNIST/raw"
    assert data.notes == (
        f"mnist is read from {where}, where torchvision stores it; it is identical to the official one",
    )


def test_another_content_is_not_used(home):
    """A file of this name with other images is passed over, and the next copy is looked at."""
    keras_mnist(home, train=pictures(60, 10, (28, 28), 7))
    with pytest.raises(DataError, match="layerline data fetch mnist"):
        load_data("mnist")
    for split, arrays in (("train", TRAIN), ("t10k", TEST)):
        write_idx(Path("data/MNIST/raw"), split, *arrays)
    check(load_data("mnist", validation="none"))


def test_a_damaged_copy_is_passed_over(home):
    """A file that cannot be read as the set is as if it were not there."""
    keras_mnist(home)
    (home / ".keras" / "datasets" / "mnist.npz").write_bytes(b"not an archive")
    with pytest.raises(DataError, match="layerline data fetch mnist"):
        load_data("mnist")


def test_a_named_folder_is_the_only_one(home, tmp_path):
    """With --data-dir nothing else is looked at."""
    keras_mnist(home)
    with pytest.raises(DataError, match="layerline data fetch mnist"):
        load_data("mnist", data_dir=tmp_path)


def test_fashion_mnist_is_known_by_its_archives(home, monkeypatch):
    """The gzipped files are compared with their published SHA-256, and these are read, not unpacked ones."""
    folder = home / ".keras" / "datasets" / "fashion-mnist"
    for split, arrays in (("train", TRAIN), ("t10k", TEST)):
        write_idx(folder, split, *arrays, gz=True)
    with pytest.raises(DataError, match="layerline data fetch fashion-mnist"):
        load_data("fashion-mnist")
    archives = tuple(
        dataclasses.replace(known, sha256=hashlib.sha256((folder / known.name).read_bytes()).hexdigest())
        for known in catalog.FASHION_MNIST.archives
    )
    monkeypatch.setitem(catalog.KNOWN, "fashion-mnist", dataclasses.replace(catalog.FASHION_MNIST, archives=archives))
    write_idx(folder, "train", *pictures(60, 10, (28, 28), 5))
    data = load_data("fashion-mnist", validation="none")
    np.testing.assert_array_equal(data.train.source.images[:, 0], TRAIN[0])
    assert data.classes[0] == "T-shirt/top"


@pytest.mark.parametrize(
    "place",
    [".keras/datasets/cifar-10-batches-py", ".keras/datasets/cifar-10-batches-py-target/cifar-10-batches-py", "data"],
)
def test_cifar_10_is_known_by_its_files(home, monkeypatch, place):
    """All seven files are compared with what torchvision publishes; one that differs, and the copy is not used."""
    folder = home / place / ("cifar-10-batches-py" if place == "data" else "")
    folder.mkdir(parents=True)
    for stem, (images, labels) in batches().items():
        said = {b"data": images.reshape(len(images), -1), b"labels": labels.tolist()}
        (folder / stem).write_bytes(pickle.dumps(said, 4))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"c{k}" for k in range(10)]}, 4))
    with pytest.raises(DataError, match="layerline data fetch cifar10"):
        load_data("cifar10")
    known = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in folder.iterdir()}  # noqa: S324
    assert known.keys() == library_copies._MD5["cifar10"].keys()
    monkeypatch.setitem(library_copies._MD5, "cifar10", known)
    data = load_data("cifar10", validation="none")
    assert (len(data.train), len(data.test)) == (100, 20)
    assert data.notes[0].startswith(f"cifar10 is read from ~/{place}")
    (folder / "test_batch").write_bytes((folder / "data_batch_1").read_bytes())
    with pytest.raises(DataError, match="layerline data fetch cifar10"):
        load_data("cifar10")


def test_cifar_100_by_name_says_where_to_get_it():
    """There is nothing to fetch: the message has the page and the command."""
    with pytest.raises(DataError, match=r"found no folder cifar-100-python in .*\n.*cifar-100-python.tar.gz"):
        load_data("cifar100")


def test_data_list_shows_copies(home):
    """`layerline data list` names the copy that `--data mnist` would read."""
    keras_mnist(home)
    shown = run(home, "data", "list", environment={"HOME": str(home)}).stdout
    assert "~/.keras/datasets/mnist.npz (Keras)" in shown
    assert "layerline data fetch cifar10" in shown
