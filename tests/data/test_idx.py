"""IDX files: what is written is what is read, and every way of cutting or bending a file is noticed."""

from __future__ import annotations

import contextlib
import gzip
import struct

import numpy as np
import pytest
from data_files import idx_bytes, packed, pictures, write_idx
from hypothesis import given, settings
from hypothesis import strategies as st

from layerline.data import load_data
from layerline.data.formats import idx
from layerline.errors import DataError

IMAGES, LABELS = pictures(7)


@pytest.mark.parametrize("pack", [bytes, packed], ids=["plain", "gzipped"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
def test_every_type_is_read(tmp_path, dtype, pack):
    """Arrays of all six types come back value for value, gzipped or not."""
    array = (np.arange(24).reshape(2, 3, 4) * 5 - 9).astype(dtype)
    (tmp_path / "a").write_bytes(pack(idx_bytes(array)))
    read = idx.read(tmp_path / "a", "images")
    assert read.dtype.newbyteorder("=") == array.dtype
    np.testing.assert_array_equal(read, array)


def test_content_decides_whether_a_file_is_gzipped(tmp_path):
    """A gzipped file without `.gz`, and a plain one with it, are read all the same."""
    (tmp_path / "train-images-idx3-ubyte").write_bytes(packed(idx_bytes(IMAGES)))
    (tmp_path / "train-labels.idx1-ubyte.gz").write_bytes(idx_bytes(LABELS))
    data = load_data(tmp_path, test="none", validation="none")
    np.testing.assert_array_equal(data.train.source.images[:, 0], IMAGES)


@pytest.mark.parametrize("role", ["images", "labels"])
def test_every_cut_is_noticed(tmp_path, role):
    """A plain file cut at any length is refused."""
    content = idx_bytes(IMAGES if role == "images" else LABELS)
    for length in range(len(content)):
        (tmp_path / "a").write_bytes(content[:length])
        with pytest.raises(DataError, match=r"a:\d+: .*(, expected| need) "):
            idx.read(tmp_path / "a", role)


def test_every_cut_of_a_gzipped_file_is_noticed(tmp_path):
    """A gzipped file cut at any length is refused, also where all of its values could be unpacked."""
    content = packed(idx_bytes(LABELS))
    for length in range(len(content)):
        (tmp_path / "a").write_bytes(content[:length])
        with pytest.raises(DataError, match=r"expected |the file ends in the middle"):
            idx.read(tmp_path / "a", "labels")


def test_every_flipped_bit_of_a_gzipped_file_is_noticed(tmp_path):
    """One flipped bit is refused, or was in a part of gzip's header that says nothing about the data."""
    content = packed(idx_bytes(LABELS))
    for bit in range(8 * len(content)):
        bent = bytearray(content)
        bent[bit // 8] ^= 1 << bit % 8
        (tmp_path / "a").write_bytes(bent)
        with contextlib.suppress(DataError):
            np.testing.assert_array_equal(idx.read(tmp_path / "a", "labels"), LABELS)


@given(st.binary(max_size=64), st.booleans(), st.sampled_from(["images", "labels"]))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_read_or_refused(tmp_path_factory, content, zipped, role):
    """Whatever the bytes are, they are an array or a DataError."""
    path = tmp_path_factory.mktemp("any") / "a"
    path.write_bytes(gzip.compress(content) if zipped else content)
    with contextlib.suppress(DataError):
        assert idx.read(path, role).size <= len(content)


@given(st.lists(st.sampled_from([0, 1, 2, 255, 2**16, 2**31, 2**32 - 1]), min_size=3, max_size=4), st.booleans())
@settings(max_examples=100, deadline=None)
def test_sizes_are_checked_before_memory_is_taken(tmp_path_factory, sizes, zipped):
    """No sizes in a header make the reader allocate more than the file can hold: here no such array would fit."""
    path = tmp_path_factory.mktemp("sizes") / "a"
    content = struct.pack(">BBBB", 0, 0, 8, len(sizes)) + struct.pack(f">{len(sizes)}I", *sizes)
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(DataError):
        idx.read(path, "images")


def test_a_folder_brings_training_and_test(tmp_path):
    """The official names, gzipped, give a training and a test set; labels are int32, images stay uint8."""
    write_idx(tmp_path / "set", "train", *pictures(60), gz=True)
    write_idx(tmp_path / "set", "t10k", *pictures(21, seed=1), gz=True)
    data = load_data(tmp_path / "set")
    assert (data.name, data.classes, data.shape) == ("set", ("0", "1", "2"), (1, 6, 5))
    assert (len(data.train), len(data.validation), len(data.test)) == (54, 6, 21)
    assert data.train.source.images.dtype == np.uint8
    assert data.train.labels.dtype == np.int32
    np.testing.assert_array_equal(data.test.source.images[:, 0], pictures(21, seed=1)[0])
    np.testing.assert_array_equal(data.test.labels, pictures(21, seed=1)[1])


def test_a_file_of_images_finds_its_labels(tmp_path):
    """The path of one file of images takes the labels beside it, and says that other files are not used."""
    write_idx(tmp_path, "train", *pictures(60))
    write_idx(tmp_path, "t10k", *pictures(30, seed=1), gz=True)
    data = load_data(tmp_path / "t10k-images-idx3-ubyte.gz", test="none", validation="none")
    assert (data.name, len(data.train), data.test) == ("t10k", 30, None)
    assert "train-images-idx3-ubyte is ignored" in data.notes[0]


def test_a_file_of_images_takes_the_unpacked_labels(tmp_path):
    """Of gzipped and unpacked labels beside a file of images, the unpacked ones count."""
    write_idx(tmp_path, "train", *pictures(30))
    (tmp_path / "train-labels-idx1-ubyte").rename(tmp_path / "train-labels.idx1-ubyte")
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(b"not read")
    assert len(load_data(tmp_path / "train-images-idx3-ubyte", test="none", validation="none").train) == 30


def test_labels_need_not_be_dense(tmp_path):
    """Labels 1, 5 and 200 are three classes with these names."""
    images, labels = pictures(30)
    write_idx(tmp_path, "train", images, np.array([1, 5, 200], np.uint8)[labels])
    data = load_data(tmp_path, test="none", validation="none")
    assert data.classes == ("1", "5", "200")
    np.testing.assert_array_equal(data.train.labels, labels)


def test_color_images_with_channels_last_stay_where_they_are(tmp_path):
    """(N, H, W, 3) is seen as (N, 3, H, W) without a copy."""
    images, labels = pictures(30, shape=(6, 5, 3))
    write_idx(tmp_path, "train", images, labels)
    source = load_data(tmp_path, test="none", validation="none").train.source
    assert source.channels_last
    np.testing.assert_array_equal(source.images, images.transpose(0, 3, 1, 2))


def test_an_unpacked_file_is_taken_before_its_gzipped_one(tmp_path):
    """Where both are there, the unpacked one counts."""
    write_idx(tmp_path, "train", *pictures(30))
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"not read")
    assert len(load_data(tmp_path, test="none", validation="none").train) == 30
