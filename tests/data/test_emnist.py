"""Several IDX sets in one folder, and EMNIST as published: transposed, with a file that names its letters."""

from __future__ import annotations

import numpy as np
import pytest
from data_files import idx_bytes, packed, pictures

from layerline.data import load_data
from layerline.errors import DataError

LETTERS = "".join(f"{k} {64 + k} {96 + k}\n" for k in range(1, 27))


def write(folder, name, n, K, first=0, seed=0):
    """Write images and labels of a split, `emnist-letters-train`; return what was written."""
    images, labels = pictures(n, K, (28, 28), seed)
    labels = labels + np.uint8(first)
    folder.mkdir(exist_ok=True)
    (folder / f"{name}-images-idx3-ubyte.gz").write_bytes(packed(idx_bytes(images)))
    (folder / f"{name}-labels-idx1-ubyte.gz").write_bytes(packed(idx_bytes(labels)))
    return images, labels


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Return the arrays of two sets in a folder `gzip`, by the name of their split."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "gzip"
    found = {
        "emnist-digits-train": write(folder, "emnist-digits-train", 60, 10),
        "emnist-digits-test": write(folder, "emnist-digits-test", 20, 10, seed=1),
        "emnist-letters-train": write(folder, "emnist-letters-train", 104, 26, 1, 2),
        "emnist-letters-test": write(folder, "emnist-letters-test", 52, 26, 1, 3),
    }
    (folder / "emnist-letters-mapping.txt").write_text(LETTERS)
    return found


def test_the_sets_of_a_folder_are_listed_and_each_is_read(published):
    """The folder is refused with the training images of each set to type, never a test; each brings its test."""
    with pytest.raises(DataError, match=r"found 2 data sets \(emnist-digits, emnist-letters\)") as caught:
        load_data("gzip")
    listed = [line.removeprefix("    --data ") for line in caught.value.with_flags.split("\n") if "    --data " in line]
    assert listed == [f"gzip/emnist-{name}-train-images-idx3-ubyte.gz" for name in ("digits", "letters")]
    for path, name in zip(listed, ("emnist-digits", "emnist-letters"), strict=True):
        data = load_data(path, validation="none")
        assert data.name == name
        for split, part in (("train", data.train), ("test", data.test)):
            images, labels = published[f"{name}-{split}"]
            np.testing.assert_array_equal(part.source.images[:, 0], images.transpose(0, 2, 1))
            np.testing.assert_array_equal(part.labels, labels - labels.min())
        assert any("turned upright" in note for note in data.notes)
        assert f"{name}-test-images-idx3-ubyte.gz: read as test" in data.notes


@pytest.mark.usefixtures("published")
def test_letters_have_names():
    """Labels 1 to 26 are A to Z, by the mapping file."""
    data = load_data("gzip/emnist-letters-train-images-idx3-ubyte.gz", validation="none")
    assert data.classes == tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    assert "the names of the 26 classes are from emnist-letters-mapping.txt" in data.notes
    digits = load_data("gzip/emnist-digits-train-images-idx3-ubyte.gz", validation="none")
    assert digits.classes == tuple("0123456789")


def test_a_folder_of_one_set_needs_no_file(tmp_path):
    """A folder with the letters alone is the set of letters, turned upright in the memory that was read."""
    images, _ = write(tmp_path / "only", "emnist-letters-train", 104, 26, 1)
    (tmp_path / "only" / "emnist-letters-mapping.txt").write_text(LETTERS)
    data = load_data(tmp_path / "only", test="none", validation="none")
    assert data.train.source.images.flags.c_contiguous
    np.testing.assert_array_equal(data.train.source.images[:, 0], images.transpose(0, 2, 1))


def test_files_that_are_not_emnist_are_not_turned(tmp_path):
    """Only files named EMNIST's are transposed."""
    images, _ = write(tmp_path, "letters-train", 104, 26, 1)
    data = load_data(tmp_path, test="none", validation="none")
    np.testing.assert_array_equal(data.train.source.images[:, 0], images)
    assert data.notes == ()


@pytest.mark.parametrize(
    ("mapping", "reason"),
    [
        (LETTERS.replace("26 90 122\n", ""), "found label 26 at image 25"),
        (LETTERS + "27\n", ":27: found a line that is not a label and its code points"),
        (LETTERS + "x 65\n", ":27: found a line"),
        (LETTERS + "27 65\n", ":27: found label 27 and code point 65"),
        (LETTERS + "26 91\n", ":27: found label 26"),
        (LETTERS + "27 7\n", ":27: found label 27 and code point 7"),
        (LETTERS + "27 9999999\n", ":27: found label 27"),
        ("", "found 0 labels"),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused(tmp_path, mapping, reason):
    """Letters that are missing, twice, not printable or not in Unicode are refused, with the line."""
    write(tmp_path, "emnist-letters-train", 104, 26, 1)
    (tmp_path / "emnist-letters-mapping.txt").write_text(mapping)
    with pytest.raises(DataError, match=reason):
        load_data(tmp_path)


def test_an_unnamed_test_set_belongs_to_the_only_named_set(tmp_path):
    """Files called t10k next to mnist-train are its test set, as before."""
    write(tmp_path, "mnist-train", 60, 10)
    write(tmp_path, "t10k", 20, 10)
    data = load_data(tmp_path, validation="none")
    assert (len(data.train), len(data.test)) == (60, 20)


def test_a_train_file_brings_the_test_file_of_its_set(tmp_path):
    """The path of MNIST's training images is training and test; that of its test images is read alone, as before."""
    write(tmp_path, "train", 60, 10)
    write(tmp_path, "t10k", 20, 10)
    data = load_data(tmp_path / "train-images-idx3-ubyte.gz", validation="none")
    assert (len(data.train), len(data.test)) == (60, 20)
    assert data.notes == ("t10k-images-idx3-ubyte.gz: read as test",)
    alone = load_data(tmp_path / "t10k-images-idx3-ubyte.gz", validation="none", test="none")
    assert len(alone.train) == 20
