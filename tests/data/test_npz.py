"""`.npz` files: types, layouts and labels have rules, and a bent archive never does more than raise DataError."""

from __future__ import annotations

import contextlib
import random
import tracemalloc
import zipfile

import numpy as np
import pytest
from data_files import npy_bytes, pictures, write_npz, zip_of

from layerline.data import load_data
from layerline.errors import DataError

IMAGES, LABELS = pictures(30)


def loaded(path, **arrays):
    """Return the data set of these arrays, all of it for training."""
    write_npz(path / "set.npz", **arrays)
    return load_data(path / "set.npz", validation="none", **({} if "x_test" in arrays else {"test": "none"}))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_bytes_stay_bytes(tmp_path, save):
    """uint8 images stay as they are and are divided by 255, compressed or not."""
    save(tmp_path / "set.npz", x=IMAGES, y=LABELS)
    data = load_data(tmp_path / "set.npz", test="none", validation="none")
    assert data.train.source.images.dtype == np.uint8
    np.testing.assert_array_equal(data.train.source.images[:, 0], IMAGES)
    np.testing.assert_array_equal(data.train.labels, LABELS)
    assert data.scaling.scale == (1 / 255,)
    assert (data.name, data.notes) == ("set", ())


def test_all_three_splits_are_found(tmp_path):
    """x_train, x_val and x_test with their labels are the three sets, and what else is there is named."""
    arrays = {"x_train": IMAGES, "x_val": IMAGES[:6], "x_test": IMAGES[:9]}
    arrays |= {"y_train": LABELS, "y_val": LABELS[:6], "y_test": LABELS[:9]}
    write_npz(tmp_path / "set.npz", **arrays, ids=np.arange(30))
    data = load_data(tmp_path / "set.npz")
    assert (len(data.train), len(data.validation), len(data.test)) == (30, 6, 9)
    assert data.notes == (f"ignored in {tmp_path / 'set.npz'}: ids",)
    assert data.cuts == {"normalize": "max"}


@pytest.mark.parametrize(
    ("images", "kept", "divisor"),
    [
        (IMAGES.astype(np.int64), np.uint8, 255),
        (IMAGES.astype(">u2"), np.uint8, 255),
        (IMAGES.astype(np.uint16) * 257, np.float32, 65535),
        (IMAGES > 100, np.uint8, 1),
        (IMAGES / 255, np.float32, 1),
        ((IMAGES / 255).astype(np.float16), np.float32, 1),
        ((IMAGES / 255).astype(">f4"), np.float32, 1),
        (IMAGES / 255 - 0.5, np.float32, 1),
        (IMAGES / 50 - 2, np.float32, 1),
        (IMAGES.astype(np.float32), np.float32, 255),
        (IMAGES.astype(np.float64) % 17, np.float32, 16),
        (IMAGES * 10.0, np.float32, 2550),
    ],
    ids=[
        "int64",
        "uint16-of-bytes",
        "uint16",
        "bool",
        "float64",
        "float16",
        "big-endian",
        "signed",
        "signed-above-1",
        "0-255",
        "0-16",
        "0-2550",
    ],
)
def test_every_type_has_its_rule(tmp_path, images, kept, divisor):
    """Each type becomes uint8 or float32, value for value, and is divided as documented."""
    data = loaded(tmp_path, x=images, y=LABELS)
    stored = data.train.source.images
    assert stored.dtype == kept
    assert stored.dtype.isnative
    np.testing.assert_array_equal(stored[:, 0], images.astype(kept))
    assert data.scaling.scale == (1 / divisor,)
    assert data.scaling.shift == (0.0,)


def test_dark_bytes_are_noticed(tmp_path):
    """Bytes that reach only 16 are divided by 255 all the same, and a note says so."""
    data = loaded(tmp_path, x=IMAGES % 17, y=LABELS)
    assert data.scaling.scale == (1 / 255,)
    assert "the largest pixel is 16" in data.notes[0]
    assert "--normalize standard" in data.notes[0]


@pytest.mark.parametrize(
    ("shape", "seen", "last"),
    [
        ((30, 8, 7), (1, 8, 7), False),
        ((30, 3, 8, 7), (3, 8, 7), False),
        ((30, 8, 7, 3), (3, 8, 7), True),
        ((30, 8, 7, 1), (1, 8, 7), False),
        ((30, 1, 8, 7), (1, 8, 7), False),
        ((30, 13, 20, 20), (13, 20, 20), False),
        ((30, 20, 20, 13), (13, 20, 20), True),
        ((30, 3, 3, 3), (3, 3, 3), False),
    ],
)
def test_layouts(tmp_path, shape, seen, last):
    """Channels are the smaller of the second and the last size; images are seen as (N, C, H, W) where they lie."""
    x = np.arange(np.prod(shape)).reshape(shape).astype(np.uint8)
    data = loaded(tmp_path, x=x, y=LABELS)
    assert data.shape == seen
    source = data.train.source
    assert source.channels_last is last
    expected = x.reshape(30, *seen) if not last else x.transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(source.images, expected)


def test_fortran_order_is_put_right(tmp_path):
    """An array saved in Fortran order has each image in one piece afterwards."""
    data = loaded(tmp_path, x=np.asfortranarray(IMAGES), y=LABELS)
    images = data.train.source.images
    assert images.flags.c_contiguous
    np.testing.assert_array_equal(images[:, 0], IMAGES)


@pytest.mark.parametrize(
    "labels",
    [
        LABELS.astype(np.int64),
        LABELS.astype(">i4"),
        LABELS.astype(np.float32),
        LABELS[:, None],
        np.eye(3, dtype=np.float32)[LABELS],
        np.eye(3, dtype=bool)[LABELS],
    ],
    ids=["int64", "big-endian", "floats", "column", "one-hot", "one-hot-bool"],
)
def test_every_kind_of_label_has_its_rule(tmp_path, labels):
    """Whole numbers in any form are the same labels."""
    data = loaded(tmp_path, x=IMAGES, y=labels)
    assert data.classes == ("0", "1", "2")
    assert data.train.labels.dtype == np.int32
    np.testing.assert_array_equal(data.train.labels, LABELS)


@pytest.mark.parametrize("kind", [np.str_, np.bytes_])
def test_names_are_labels(tmp_path, kind):
    """Text is the name of a class; classes are in the order of their names, the same in both splits."""
    names = np.array(["dog", "cat", "emu"]).astype(kind)
    data = loaded(tmp_path, x_train=IMAGES, y_train=names[LABELS], x_test=IMAGES[1:3], y_test=names[LABELS[1:3]])
    assert data.classes == ("cat", "dog", "emu")
    np.testing.assert_array_equal(data.train.labels, np.array([1, 0, 2])[LABELS])
    np.testing.assert_array_equal(data.test.labels, [0, 2])
    assert "test has 2 of 3 classes: no images of dog" in data.notes


@pytest.mark.parametrize("kind", [np.str_, np.bytes_])
def test_accents_are_composed(tmp_path, kind):
    """A name with é as one letter and as e with an accent is one class, as in folders, also by --classes."""
    composed, decomposed = "café", "cafe\u0301"

    def text(names):
        return np.array([name.encode() for name in names] if kind is np.bytes_ else names)

    train, test = [composed, "tea", decomposed] * 10, [decomposed, "tea"]
    data = loaded(tmp_path, x_train=IMAGES, y_train=text(train), x_test=IMAGES[:2], y_test=text(test))
    assert data.classes == (composed, "tea")
    np.testing.assert_array_equal(data.train.labels, [0, 1, 0] * 10)
    np.testing.assert_array_equal(data.test.labels, [0, 1])
    for asked in (composed, decomposed):
        assert load_data(tmp_path / "set.npz", validation="none", classes=["tea", asked]).classes == data.classes
    plain = loaded(
        tmp_path, x_train=IMAGES, y_train=text([composed, "tea", composed] * 10), x_test=IMAGES[:2], y_test=text(test)
    )
    assert plain.fingerprint == data.fingerprint


def test_text_and_bytes_are_the_same_names(tmp_path):
    """Names may be text in one split and bytes in the other."""
    names = np.array(["cat", "dog", "emu"])
    data = loaded(
        tmp_path, x_train=IMAGES, y_train=names[LABELS], x_test=IMAGES[:3], y_test=names[LABELS[:3]].astype(np.bytes_)
    )
    np.testing.assert_array_equal(data.test.labels, LABELS[:3])


@pytest.mark.parametrize(("dtype", "copies"), [(np.uint8, 1), (np.float32, 1), (np.float64, 1.5)])
def test_memory_is_that_of_the_images(tmp_path, dtype, copies):
    """uint8 and float32 images are held once, float64 while they become float32; 3 MB is for blocks and the reader."""
    x = np.ones((1000, 100, 100), dtype)
    size = x.nbytes
    write_npz(tmp_path / "set.npz", x=x, y=np.arange(1000) % 2)
    del x
    tracemalloc.start()
    load_data(tmp_path / "set.npz", group_by="none")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < copies * size + 3_000_000


def test_the_first_bad_image_is_found_in_any_block(tmp_path):
    """The index of the first image with NaN is right where it is not among the first million values."""
    x = np.zeros((5, 1, 1024, 1024), np.float32)
    x[3, 0, 5, 5] = x[4, 0, 0, 0] = np.nan
    with pytest.raises(DataError, match=r"found 2 .*values \(first: image 3\);"):
        loaded(tmp_path, x=x, y=np.arange(5) % 2)


def test_objects_are_never_unpickled(tmp_path, monkeypatch):
    """An array of objects whose pickle would write a file is refused, and the file is not there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set.npz").write_bytes(zip_of(x=npy_bytes(np.array([_Writes()], object)), y=npy_bytes(LABELS)))
    with pytest.raises(DataError, match="pickled Python objects, which are never loaded"):
        load_data("set.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["set.npz"]


class _Writes:
    def __reduce__(self):
        return open, ("canary", "w")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_bent_archives_only_raise_data_error(tmp_path, method):
    """Cut at 300 places, and with a byte changed at 600, an archive is refused, or its arrays are as they were saved.

    Zip has no checksum over its own records: a change in a time or an attribute says nothing about the data.
    """
    with zipfile.ZipFile(tmp_path / "good.npz", "w", method) as archive:
        archive.writestr("x.npy", npy_bytes(IMAGES))
        archive.writestr("y.npy", npy_bytes(LABELS))
    good = (tmp_path / "good.npz").read_bytes()
    rng = random.Random(5)
    bent = [good[: rng.randrange(len(good))] for _ in range(300)]
    for _ in range(600):
        content = bytearray(good)
        content[rng.randrange(len(good))] ^= rng.randrange(1, 256)
        bent.append(bytes(content))
    for number, content in enumerate(bent):
        (tmp_path / "bent.npz").write_bytes(content)
        with pytest.raises(DataError) if number < 300 else contextlib.suppress(DataError):
            data = load_data(tmp_path / "bent.npz", test="none", validation="none")
            np.testing.assert_array_equal(data.train.source.images[:, 0], IMAGES)
            np.testing.assert_array_equal(data.train.labels, LABELS)


@pytest.mark.parametrize("kind", ["u1", "<u2", ">i4", "?", "f2", ">f4", "f8", "longdouble"])
def test_a_scaling_is_of_plain_numbers(kind, tmp_path):
    """Whatever the type of the pixels, the scaling is of Python's floats: model files hold nothing else."""
    images, labels = pictures(60)
    write_npz(tmp_path / "set.npz", x=(images / 2).astype(kind), y=labels)  # floats up to 127.5 are divided by that
    for normalize in ("max", "standard"):
        scaling = load_data(tmp_path / "set.npz", normalize=normalize).scaling
        assert {type(number) for number in (*scaling.scale, *scaling.shift)} == {float}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_values_behind_the_array_are_refused(tmp_path, method):
    """A member of 64 MB behind a header that says 3,840 bytes is refused by its size, before it is unpacked."""
    images, labels = pictures(60, shape=(8, 8))
    with zipfile.ZipFile(tmp_path / "set.npz", "w", method) as archive:
        archive.writestr("x.npy", npy_bytes(images) + bytes(2**26))
        archive.writestr("y.npy", npy_bytes(labels))
    tracemalloc.start()
    with pytest.raises(DataError, match=r"x: found 67,112,704 bytes of values, expected 3,840 for 60 × 8 × 8 of uint8"):
        load_data(tmp_path / "set.npz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**25
