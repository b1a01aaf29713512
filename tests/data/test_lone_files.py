"""Files named like a test set that are read alone, test images without labels, and folders with several sets."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from data_files import pictures, write_npz
from image_files import picture, png, tree
from scipy.io import savemat

from layerline.data import load_data
from layerline.errors import DataError

X, Y = pictures(30, shape=(32, 32, 3))
ROWS = X[:, :8, :8, 0].reshape(30, -1)


def mat(path):
    savemat(path, {"X": X.transpose(1, 2, 3, 0), "y": Y[:, None] + 1})


def npz(path):
    write_npz(path, x=X, y=Y)


def csv(path):
    frame = pd.DataFrame(ROWS)
    frame.insert(0, "label", Y)
    frame.to_csv(path, index=False)


def fer(path):
    lines = (f"{label}," + " ".join(map(str, row)) for label, row in zip(Y, ROWS, strict=True))
    path.write_text("\n".join(["emotion,pixels", *lines]))


def npy(path):
    np.save(path, X)
    np.save(path.with_name(path.name.replace("x_", "y_")), Y)


def parquet(path):
    images = [{"bytes": png(each), "path": None} for each in X]
    pd.DataFrame({"image": images, "label": Y.astype(int)}).to_parquet(path)


WRITERS = {
    "digits_test.mat": mat,
    "set_test.npz": npz,
    "Test.csv": csv,
    "fer_test.csv": fer,
    "x_test.npy": npy,
    "test-00000-of-00001.parquet": parquet,
    "valid.npz": npz,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_lone_test_file_is_noted(tmp_path, name):
    """It is read as a whole set, which a note says; not if the data has splits of its own."""
    WRITERS[name](tmp_path / name)
    split = "validation" if name == "valid.npz" else "test"
    notes = load_data(tmp_path / name).notes
    assert f"{name} is named like a {split} set, and is read as a whole set: no training images are next to it" in notes


@pytest.mark.parametrize("name", ["digits_test.mat", "set_test.npz", "Test.csv"])
def test_the_training_file_next_to_it_is_proposed(tmp_path, monkeypatch, name):
    """With what to pass instead; that is not noted for the training file itself."""
    monkeypatch.chdir(tmp_path)
    train = name.replace("test", "train").replace("Test", "Train")
    for each in (name, train):
        WRITERS[name](tmp_path / each)
    assert any(f"for the training images too: --data {train}" in note for note in load_data(name).notes)
    assert not any("named like" in note for note in load_data(train).notes)


def test_test_images_without_labels_are_ignored(tmp_path):
    """As the test.csv of a competition is; a name that may be that of the labels is still asked about."""
    write_npz(tmp_path / "a.npz", x_train=X, y_train=Y, x_test=X)
    data = load_data(tmp_path / "a.npz")
    assert f"ignored in {tmp_path}/a.npz: x_test, which has no labels" in data.notes
    assert len(data.train) + len(data.validation) + len(data.test) == 30
    write_npz(tmp_path / "b.npz", x_train=X, y_train=Y, x_test=X, y_tset=Y)
    with pytest.raises(DataError, match="if you meant y_tset"):
        load_data(tmp_path / "b.npz")
    write_npz(tmp_path / "c.npz", x_train=X, x_test=X)
    with pytest.raises(DataError, match="expected y"):
        load_data(tmp_path / "c.npz")
    npy(tmp_path / "x_train.npy")
    np.save(tmp_path / "x_test.npy", X)
    assert "ignored: x_test.npy, which has no labels" in load_data(tmp_path / "x_train.npy").notes


def test_several_sets_are_not_counted(tmp_path, monkeypatch):
    """The list has one kind of data, and does not claim to have all that is in the folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.npz", "b.npz"):
        npz(tmp_path / name)
    csv(tmp_path / "c.csv")
    with pytest.raises(DataError, match=r"found several data sets, expected one\n  help: pass one of them, such as:"):
        load_data(".")


def test_labels_mean_that_a_folder_has_images(tmp_path, monkeypatch):
    """Array files next to the photos are not what --labels and --label-by are about."""
    monkeypatch.chdir(tmp_path)
    tree("set", {f"{kind}.{k}.png": png(picture(k)) for kind in ("cat", "dog") for k in range(20)})
    for name in ("a.npz", "b.npz"):
        npz(tmp_path / "set" / name)
    parquet(tmp_path / "set" / "train.parquet")
    rows = [f"{kind}.{k}.png,{kind}" for kind in ("cat", "dog") for k in range(20)]
    (tmp_path / "t.csv").write_text("\n".join(["file,label", *rows]))
    assert load_data("set", labels="t.csv").classes == ("cat", "dog")
    assert load_data("set", label_by=r"(\w+)\.").classes == ("cat", "dog")
