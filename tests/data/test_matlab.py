"""MATLAB files: what scipy writes, and SVHN as published; anything else in them is passed over or refused by name."""

from __future__ import annotations

import contextlib
import random
import struct

import numpy as np
import pytest
import scipy.io
from data_files import pictures

from layerline.data import load_data
from layerline.data.formats import mat_file
from layerline.errors import DataError

IMAGES, LABELS = pictures(30, shape=(8, 6, 3))


def saved(path, *, compressed=False, **arrays):
    """Write a MATLAB file of version 5."""
    scipy.io.savemat(path, arrays, do_compression=compressed)
    return path


def loaded(path):
    return load_data(path, test="none", validation="none")


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f8", "i4"])
def test_images_are_as_they_look(tmp_path, compressed, dtype):
    """H × W × C × N, the order of MATLAB, gives the images, whatever their type, compressed or not."""
    turned = IMAGES.transpose(1, 2, 3, 0).astype(dtype)
    data = loaded(saved(tmp_path / "a.mat", compressed=compressed, X=turned, y=LABELS[:, None] + 1))
    np.testing.assert_array_equal(data.train.source.images, IMAGES.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(data.train.labels, LABELS)
    assert data.classes == ("1", "2", "3")


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (IMAGES[..., 0].transpose(1, 2, 0), IMAGES[..., 0][:, None]),
        (IMAGES, IMAGES.transpose(0, 3, 1, 2)),
        (IMAGES[..., 0], IMAGES[..., 0][:, None]),
        (IMAGES[:, :6].transpose(1, 2, 3, 0), IMAGES[:, :6].transpose(0, 3, 1, 2)),
    ],
    ids=["H-W-N", "N-H-W-C", "N-H-W", "square"],
)
def test_the_number_of_labels_says_which_size_counts_images(tmp_path, x, expected):
    """N may be the last size, as in MATLAB, or the first, as in files that Python wrote."""
    data = loaded(saved(tmp_path / "a.mat", X=x, y=LABELS))
    np.testing.assert_array_equal(data.train.source.images, expected)


@pytest.mark.parametrize("inside", [True, False])
def test_svhn_is_read_as_published(tmp_path, inside):
    """Training and test are two files; the digit 0, labeled 10, is 0; extra is not used. All of it is noted."""
    expected = {}
    for split, n in (("train", 40), ("test", 20)):
        images, labels = pictures(n, 10, (32, 32, 3), n)
        expected[split] = images.transpose(0, 3, 1, 2), labels
        ten = np.where(labels == 0, 10, labels)[:, None]
        saved(tmp_path / f"{split}_32x32.mat", X=images.transpose(1, 2, 3, 0), y=ten, compressed=True)
    (tmp_path / "extra_32x32.mat").write_bytes(b"not read")
    data = load_data(tmp_path if inside else tmp_path / "train_32x32.mat", validation="none")
    assert (data.name, data.classes) == ("svhn", tuple("0123456789"))
    for split, part in (("train", data.train), ("test", data.test)):
        np.testing.assert_array_equal(part.source.images, expected[split][0])
        np.testing.assert_array_equal(part.labels, expected[split][1])
    assert data.notes == (
        "test_32x32.mat: read as test",
        "SVHN labels the digit 0 as 10: read as 0",
        "ignored: extra_32x32.mat",
    )


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"dataset": {"images": IMAGES, "labels": LABELS}}, "found only text, cells or structures"),
        ({"X": IMAGES}, "expected y to go with X"),
        ({"X": IMAGES.reshape(30, -1), "y": LABELS}, r"shape 30 × 144; expected H × W × C × 30"),
        ({"X": IMAGES[:8].transpose(1, 2, 3, 0)[..., :8], "y": LABELS[:8]}, "the first or the last"),
        ({"X": IMAGES, "y": LABELS.reshape(5, 6)}, "found 5 × 6, expected one label per image"),
        ({"X": IMAGES[1:], "y": LABELS}, "expected H × W × C × 30"),
        ({"X": IMAGES * 1j, "y": LABELS}, "found y; expected x"),
    ],
)
def test_what_is_not_clear_is_refused(tmp_path, arrays, reason):
    """Structures, missing labels and shapes with two meanings are refused, with what is expected."""
    with pytest.raises(DataError, match=reason):
        loaded(saved(tmp_path / "a.mat", **arrays))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512) + b"\x89HDF\r\n\x1a\n", r"version 7.3 \(HDF5\)"),
        (b"\x89HDF\r\n\x1a\n" + bytes(500), r"version 7.3 \(HDF5\)"),
        (b"MATLAB 5.0 MAT-file".ljust(200), "no MATLAB header"),
        (b"", "no MATLAB header"),
    ],
)
def test_other_versions_are_refused_by_name(tmp_path, content, reason):
    """Version 7.3 is HDF5: the message says how to save it otherwise."""
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(DataError, match=reason):
        loaded(tmp_path / "a.mat")


def test_big_endian_files_are_read(tmp_path):
    """The byte order is that of the file's header."""
    values = np.arange(4, dtype=">u4")
    name = struct.pack(">II", 1, 1) + b"y".ljust(8, b"\0")
    inner = struct.pack(">IIII", 6, 8, 13, 0) + struct.pack(">IIii", 5, 8, 4, 1) + name
    inner += struct.pack(">II", 6, 16) + values.tobytes()
    header = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(">H", 0x0100) + b"MI"
    (tmp_path / "a.mat").write_bytes(header + struct.pack(">II", 14, len(inner)) + inner)
    np.testing.assert_array_equal(mat_file.arrays(tmp_path / "a.mat", ("y",))["y"], values[None])


@pytest.mark.parametrize("compressed", [False, True])
def test_damaged_files_only_raise_data_error(tmp_path, compressed):
    """Cut anywhere, and with any byte changed, a file is refused or read, and nothing else."""
    good = saved(tmp_path / "a.mat", X=IMAGES.transpose(1, 2, 3, 0), y=LABELS, compressed=compressed).read_bytes()
    rng = random.Random(3)
    for number in range(600):
        content = bytearray(good)
        if number % 3 == 0:
            del content[rng.randrange(len(good)) :]
        else:
            at = rng.randrange(128, 300 if number % 3 == 1 else len(good))
            content[at : at + 1] = rng.randbytes(rng.choice((1, 1, 4)))
        (tmp_path / "b.mat").write_bytes(content)
        with contextlib.suppress(DataError):
            mat_file.arrays(tmp_path / "b.mat", mat_file.heads(tmp_path / "b.mat"))
