"""Arrays as other people save them: other names, rows of pixels, one array per file; all of it noted."""

from __future__ import annotations

import numpy as np
import pytest
from data_files import pictures, write_npz

from layerline.data import load_data
from layerline.data.formats import array_names
from layerline.errors import DataError

IMAGES, LABELS = pictures(30, shape=(8, 8))
TEST, TEST_LABELS = pictures(9, shape=(8, 8), seed=1)


def loaded(path, **options):
    return load_data(path, validation="none", **options)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("X_train", "y_train", "X_test", "y_test"), "X_train and y_train as train, X_test and y_test as test"),
        (("train_images", "train_labels", "test_images", "test_labels"), "train_images and train_labels as train"),
        (("trainImages", "trainLabels", "testImages", "testLabels"), "trainImages and trainLabels as train"),
        (("xtrain", "ytrain", "xtest", "ytest"), "xtrain and ytrain as train"),
        (("Training_Data", "training_target", "imgs_test", "targets_test"), "Training_Data and training_target"),
        (("train_x", "train_y", "test_x", "test_y"), "train_x and train_y as train, test_x and test_y as test"),
        (("images", "labels", "images_test", "labels_test"), "images and labels as train"),
        (("data", "target", "x_test", "y_test"), "data and target as train, x_test and y_test as test"),
    ],
)
def test_other_names_mean_the_same(tmp_path, names, said):
    """Arrays under any usual names, in any case, are the same set as x_train, y_train, x_test, y_test; it is noted."""
    arrays = (IMAGES, LABELS[:, None], TEST, TEST_LABELS)
    write_npz(tmp_path / "a.npz", **dict(zip(names, arrays, strict=True)))
    write_npz(tmp_path / "b.npz", **dict(zip(("x_train", "y_train", "x_test", "y_test"), arrays, strict=True)))
    data, plain = loaded(tmp_path / "a.npz"), loaded(tmp_path / "b.npz")
    assert data.fingerprint == plain.fingerprint
    assert said in data.notes[0]
    assert plain.notes == ()


def test_two_arrays_are_known_by_their_shapes(tmp_path):
    """Of arr_0 and arr_1, one can only be images and the other only labels, in either order."""
    np.savez(tmp_path / "a.npz", IMAGES, LABELS)
    np.savez(tmp_path / "b.npz", LABELS, IMAGES)
    write_npz(tmp_path / "c.npz", x=IMAGES, y=LABELS)
    plain = loaded(tmp_path / "c.npz", test="none")
    for name, said in (("a", "arr_0 and arr_1"), ("b", "arr_1 and arr_0")):
        data = loaded(tmp_path / f"{name}.npz", test="none")
        assert data.fingerprint == plain.fingerprint
        assert data.notes == (f"{tmp_path / name}.npz: images and labels are read from {said} as train",)


@pytest.mark.parametrize(
    "arrays",
    [
        {"arr_0": IMAGES, "arr_1": LABELS[:-1]},
        {"arr_0": IMAGES, "arr_1": IMAGES},
        {"arr_0": IMAGES, "arr_1": LABELS, "arr_2": LABELS},
        {"labels": IMAGES, "images": LABELS},
        {"x": IMAGES, "y_test": LABELS},
        {"images": IMAGES, "data": IMAGES, "labels": LABELS},
        {"X": IMAGES, "Y": LABELS, "y_train": LABELS},
    ],
)
def test_what_may_mean_two_things_is_refused(tmp_path, arrays):
    """Lengths that differ, two candidates, and names that contradict the shapes are refused, with the names found."""
    write_npz(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=r"found .*expected"):
        loaded(tmp_path / "a.npz", test="none")


@pytest.mark.parametrize(
    "name", ["x_masks", "ids", "names", "images_labels", "train_test_images", "target_names", "xylophone", "trainx5"]
)
def test_a_name_with_other_words_means_nothing(name):
    """Only a role and at most one split: `target_names` are not labels, and `images_labels` are neither."""
    found = array_names.meaning(name)
    assert found is None or found.rest


def test_documented_names_win(tmp_path):
    """Where x and y are there, images and data are just other arrays, as they always were."""
    write_npz(tmp_path / "a.npz", x=IMAGES, y=LABELS, images=IMAGES[:3], data=IMAGES[:2])
    data = loaded(tmp_path / "a.npz", test="none")
    assert data.notes == (f"ignored in {tmp_path / 'a.npz'}: images, data",)
    np.testing.assert_array_equal(data.train.source.images[:, 0], IMAGES)


def test_rows_become_square_images(tmp_path):
    """(N, 64) is 8×8 gray, with a note, and the same set as (N, 8, 8)."""
    write_npz(tmp_path / "a.npz", x=IMAGES.reshape(30, -1), y=LABELS)
    write_npz(tmp_path / "b.npz", x=IMAGES, y=LABELS)
    data = loaded(tmp_path / "a.npz", test="none")
    assert data.fingerprint == loaded(tmp_path / "b.npz", test="none").fingerprint
    assert data.notes == (f"{tmp_path / 'a.npz'}: x: rows of 64 values are read as 8×8 gray images",)


def smooth(n, side):
    """Return n color images (n, 3, side, side) in which neighbors resemble each other, as in photos."""
    rng = np.random.default_rng(0)
    steps = rng.normal(0, 6, (n, 3, side, side)).cumsum(axis=2).cumsum(axis=3)
    return np.clip(128 + steps, 0, 255).astype(np.uint8)


def test_the_order_of_colors_is_read_from_the_pixels(tmp_path):
    """(N, 3072) of photos is known to be planes or pixels by its neighbors; noise is refused, with both ways."""
    images, labels = smooth(30, 32), LABELS
    for rows, said in (
        (images.reshape(30, -1), "separate color planes"),
        (images.transpose(0, 2, 3, 1).reshape(30, -1), "interleaved colors"),
    ):
        write_npz(tmp_path / "a.npz", x=rows, y=labels)
        data = loaded(tmp_path / "a.npz", test="none")
        np.testing.assert_array_equal(data.train.source.images, images)
        assert data.notes[0].endswith(said)
    write_npz(tmp_path / "a.npz", x=pictures(30, shape=(3072,))[0], y=labels)
    with pytest.raises(DataError, match=r"colors in separate planes or interleaved[^~]*3, 32, 32[^~]*32, 32, 3"):
        loaded(tmp_path / "a.npz", test="none")


@pytest.mark.parametrize("width", [4, 49, 63, 65, 3 * 49, 785])
def test_rows_of_other_lengths_are_refused(tmp_path, width):
    """Rows that are no square of at least 8×8, such as four measurements of a flower, are not images."""
    write_npz(tmp_path / "a.npz", x=pictures(30, shape=(width,))[0], y=LABELS)
    with pytest.raises(DataError, match=f"rows of {width} values"):
        loaded(tmp_path / "a.npz", test="none")


def kuzushiji(folder):
    """Write four archives with one array each, as Kuzushiji-MNIST is published."""
    for name, array in (
        ("train-imgs", IMAGES),
        ("train-labels", LABELS),
        ("test-imgs", TEST),
        ("test-labels", TEST_LABELS),
    ):
        np.savez_compressed(folder / f"kmnist-{name}.npz", array)


@pytest.mark.parametrize("given", [".", "kmnist-train-imgs.npz"])
def test_archives_of_one_array_belong_together_by_name(tmp_path, monkeypatch, given):
    """Four files with arr_0 are training and test set, as a folder and as the file of training images."""
    monkeypatch.chdir(tmp_path)
    kuzushiji(tmp_path)
    data = loaded(given)
    assert data.name == "kmnist"
    np.testing.assert_array_equal(data.train.source.images[:, 0], IMAGES)
    np.testing.assert_array_equal(data.test.source.images[:, 0], TEST)
    np.testing.assert_array_equal(data.test.labels, TEST_LABELS)
    assert data.notes == (
        "images and labels are read from kmnist-train-imgs.npz and kmnist-train-labels.npz as train, "
        "kmnist-test-imgs.npz and kmnist-test-labels.npz as test",
    )


def test_test_images_alone_are_read_alone_and_that_is_said(tmp_path, monkeypatch):
    """The file of test images brings no training images; the note says which file does."""
    monkeypatch.chdir(tmp_path)
    kuzushiji(tmp_path)
    data = loaded("kmnist-test-imgs.npz", test="none")
    assert len(data.train) == 9
    assert data.notes[1] == "only the test images are read; for the whole set: --data kmnist-train-imgs.npz"
    with pytest.raises(DataError, match=r'use "kmnist-train-imgs\.npz"'):
        loaded("kmnist-train-labels.npz")


@pytest.mark.parametrize("given", [".", "x_train.npy"])
def test_npy_files_belong_together_by_name(tmp_path, monkeypatch, given):
    """x_train.npy and y_train.npy, in either order of memory, are a set."""
    monkeypatch.chdir(tmp_path)
    np.save("x_train.npy", np.asfortranarray(IMAGES))
    np.save("y_train.npy", LABELS.astype(">i8"))
    data = loaded(given, test="none")
    np.testing.assert_array_equal(data.train.source.images[:, 0], IMAGES)
    np.testing.assert_array_equal(data.train.labels, LABELS)
    assert data.notes == ("images and labels are read from x_train.npy and y_train.npy as train",)


def test_several_sets_in_a_folder_are_listed(tmp_path, monkeypatch):
    """A folder with several sets is refused with what to type for each, and each of these is read."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sets").mkdir()
    kuzushiji(tmp_path / "sets")
    np.save("sets/x_train.npy", IMAGES)
    np.save("sets/y_train.npy", LABELS)
    write_npz(tmp_path / "sets" / "words.npz", images=IMAGES, labels=LABELS)
    with pytest.raises(DataError, match="found 3 data sets") as caught:
        loaded("sets")
    listed = [line.removeprefix("    --data ") for line in caught.value.with_flags.split("\n") if "    --data " in line]
    assert listed == ["sets/kmnist-train-imgs.npz", "sets/x_train.npy", "sets/words.npz"]
    for path in listed:
        own = None if "kmnist" in path else "none"
        assert len(loaded(path, test=own).train) == 30


@pytest.mark.parametrize("size", [0, 5, 60, -1])
def test_a_damaged_npy_file_is_refused(tmp_path, monkeypatch, size):
    """An array that ends early, or has more behind it, is refused by its size."""
    monkeypatch.chdir(tmp_path)
    np.save("x_train.npy", IMAGES)
    np.save("y_train.npy", LABELS)
    content = (tmp_path / "x_train.npy").read_bytes()
    (tmp_path / "x_train.npy").write_bytes(content + b"1" if size < 0 else content[:size])
    with pytest.raises(DataError):
        loaded("x_train.npy", test="none")
