"""What can be wrong with data: each case writes its files into the folder that is here, and returns what is loaded."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from data_files import idx_bytes, npy_bytes, npy_with_header, packed, pictures, write_idx, write_npz, zip_of

if TYPE_CHECKING:
    from collections.abc import Callable

Loaded = tuple[str, dict[str, Any]]
CASES: dict[str, Callable[[], Loaded]] = {}

IMAGES, LABELS = pictures(30)
NAME, LABEL_NAME = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
X, Y = npy_bytes(IMAGES), npy_bytes(LABELS)


def case(write: Callable[[], Loaded]) -> Callable[[], Loaded]:
    """Register a case under its name."""
    CASES[write.__name__.replace("_", "-")] = write
    return write


def idx_pair(images: bytes, labels: bytes | None = None) -> Loaded:
    """Write a pair of IDX files and return their folder."""
    folder = Path("set")
    folder.mkdir()
    (folder / NAME).write_bytes(images)
    (folder / LABEL_NAME).write_bytes(idx_bytes(LABELS) if labels is None else labels)
    return "set", {}


def npz_file(content: bytes) -> Loaded:
    """Write an .npz file of these bytes."""
    Path("set.npz").write_bytes(content)
    return "set.npz", {}


def arrays(options: dict[str, Any] | None = None, **content: Any) -> Loaded:
    """Write an .npz file of these arrays."""
    write_npz(Path("set.npz"), **content)
    return "set.npz", options or {}


def idx_header(code: int, *sizes: int) -> bytes:
    """Return the header of an IDX file."""
    return struct.pack(">BBBB", 0, 0, code, len(sizes)) + struct.pack(f">{len(sizes)}I", *sizes)


# IDX (hostile cases, section B)


@case
def idx_first_bytes() -> Loaded:
    return idx_pair(b"\x01\x02" + idx_bytes(IMAGES)[2:])


@case
def idx_type() -> Loaded:
    return idx_pair(b"\0\0\x0a\x03" + idx_bytes(IMAGES)[4:])


@case
def idx_one_dimension_of_pairs() -> Loaded:
    return idx_pair(idx_bytes(IMAGES.reshape(30, 30)))


@case
def idx_255_dimensions() -> Loaded:
    return idx_pair(b"\0\0\x08\xff" + idx_bytes(IMAGES)[4:])


@case
def idx_dimension_zero() -> Loaded:
    return idx_pair(idx_header(8, 30, 0, 5))


@case
def idx_huge() -> Loaded:
    return idx_pair(idx_header(8, 2**32 - 1, 2**32 - 1, 2**32 - 1) + b"\1" * 100)


@case
def idx_huge_gzipped() -> Loaded:
    return idx_pair(packed(idx_header(8, 60000, 2**16, 2**16) + b"\1" * 100))


@case
def idx_cut_header() -> Loaded:
    return idx_pair(idx_bytes(IMAGES)[:9])


@case
def idx_cut_by_one() -> Loaded:
    return idx_pair(idx_bytes(IMAGES)[:-1])


@case
def idx_one_too_many() -> Loaded:
    return idx_pair(idx_bytes(IMAGES) + b"\0")


@case
def idx_little_endian() -> Loaded:
    return idx_pair(struct.pack("<IIII", 2051, *IMAGES.shape) + IMAGES.tobytes())


@case
def idx_swapped() -> Loaded:
    return idx_pair(idx_bytes(LABELS), idx_bytes(IMAGES))


@case
def idx_empty() -> Loaded:
    return idx_pair(b"")


@case
def idx_text() -> Loaded:
    return idx_pair(b"hello, this is no image\n")


@case
def idx_is_html() -> Loaded:
    Path("set").mkdir()
    page = b"\n<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head></html>"
    (Path("set") / f"{NAME}.gz").write_bytes(page)
    (Path("set") / f"{LABEL_NAME}.gz").write_bytes(packed(idx_bytes(LABELS)))
    return "set", {}


@case
def gz_cut() -> Loaded:
    return idx_pair(packed(idx_bytes(IMAGES))[:-9])


@case
def gz_checksum() -> Loaded:
    content = bytearray(packed(idx_bytes(IMAGES)))
    content[-8] ^= 1
    return idx_pair(bytes(content))


@case
def gz_length() -> Loaded:
    content = bytearray(packed(idx_bytes(IMAGES)))
    content[-4] ^= 1
    return idx_pair(bytes(content))


@case
def gz_damaged() -> Loaded:
    content = bytearray(packed(idx_bytes(IMAGES)))
    content[10] |= 6
    return idx_pair(bytes(content))


@case
def gz_trailing() -> Loaded:
    return idx_pair(packed(idx_bytes(IMAGES)) + b"more")


@case
def gz_two_members() -> Loaded:
    content = idx_bytes(IMAGES)
    return idx_pair(packed(content) + packed(b"more"))


@case
def gz_bomb() -> Loaded:
    return idx_pair(packed(idx_bytes(IMAGES) + bytes(2**24)))


@case
def idx_counts_differ() -> Loaded:
    return idx_pair(idx_bytes(IMAGES), idx_bytes(LABELS[:-1]))


@case
def idx_images_alone() -> Loaded:
    Path("set").mkdir()
    (Path("set") / f"{NAME}.gz").write_bytes(packed(idx_bytes(IMAGES)))
    return "set", {}


@case
def idx_test_alone() -> Loaded:
    write_idx(Path("set"), "t10k", IMAGES, LABELS)
    return "set", {}


@case
def idx_test_class_unknown() -> Loaded:
    write_idx(Path("set"), "train", IMAGES, LABELS)
    write_idx(Path("set"), "t10k", IMAGES, LABELS + 1)
    return "set", {}


@case
def idx_test_size() -> Loaded:
    write_idx(Path("set"), "train", IMAGES, LABELS)
    write_idx(Path("set"), "t10k", IMAGES[:, :, :4], LABELS)
    return "set", {}


@case
def idx_file_is_labels() -> Loaded:
    write_idx(Path("set"), "train", IMAGES, LABELS)
    return f"set/{LABEL_NAME}", {}


@case
def idx_file_alone() -> Loaded:
    Path(NAME).write_bytes(idx_bytes(IMAGES))
    return NAME, {}


@case
def idx_file_without_a_name() -> Loaded:
    Path("numbers.bin").write_bytes(idx_bytes(IMAGES))
    return "numbers.bin", {}


# Named sets


@case
def mnist_no_folder() -> Loaded:
    return "mnist", {}


@case
def mnist_not_there() -> Loaded:
    Path("sets").mkdir()
    return "mnist", {"data_dir": "sets"}


@case
def mnist_one_lacking() -> Loaded:
    write_idx(Path("sets/mnist"), "train", IMAGES, LABELS, gz=True)
    write_idx(Path("sets/mnist"), "t10k", IMAGES, LABELS, gz=True)
    Path("sets/mnist/t10k-labels-idx1-ubyte.gz").unlink()
    return "mnist", {"data_dir": "sets"}


@case
def mnist_data_dir_lacking() -> Loaded:
    return "mnist", {"data_dir": "nowhere"}


@case
def mnist_label_ten() -> Loaded:
    labels = LABELS.copy()
    labels[[7, 9]] = 10
    write_idx(Path("sets/mnist"), "train", IMAGES, labels)
    write_idx(Path("sets/mnist"), "t10k", IMAGES, LABELS)
    return "mnist", {"data_dir": "sets"}


@case
def name_nearly() -> Loaded:
    return "fashion_mnist", {}


@case
def name_unknown() -> Loaded:
    return "imagenet", {}


@case
def name_later() -> Loaded:
    return "cifar10", {}


@case
def path_unknown() -> Loaded:
    return "photos/cats.npz", {}


@case
def folder_empty() -> Loaded:
    Path("set").mkdir()
    return "set", {}


@case
def folder_of_images() -> Loaded:
    Path("set/cat").mkdir(parents=True)
    Path("set/cat/1.png").write_bytes(b"\x89PNG")
    return "set", {}


@case
def folder_with_npz() -> Loaded:
    Path("set").mkdir()
    write_npz(Path("set/photos.npz"), x=IMAGES, y=LABELS)
    return "set", {}


@case
def file_is_image() -> Loaded:
    Path("cat.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    return "cat.png", {}


@case
def file_is_pickle() -> Loaded:
    Path("data.pkl").write_bytes(b"\x80\x04cos\nsystem\n(S'touch canary'\ntR.")
    return "data.pkl", {}


# .npz (section E)


@case
def npz_html() -> Loaded:
    return npz_file(b"<html><body>404</body></html>")


@case
def npz_is_npy() -> Loaded:
    return npz_file(X)


@case
def npz_cut() -> Loaded:
    return npz_file(zip_of(x=X, y=Y)[:-30])


@case
def npz_objects() -> Loaded:
    return npz_file(zip_of(x=npy_bytes(np.array([IMAGES, None], object)), y=Y))


@case
def npz_structured() -> Loaded:
    return npz_file(zip_of(x=npy_bytes(np.zeros(30, [("r", "u1"), ("g", "u1")])), y=Y))


@case
def npz_complex() -> Loaded:
    return arrays(x=IMAGES.astype(np.complex64), y=LABELS)


@case
def npz_text_for_images() -> Loaded:
    return arrays(x=np.full((30, 6, 5), "a"), y=LABELS)


@case
def npz_other_keys() -> Loaded:
    return arrays(images=IMAGES, labels=LABELS)


@case
def npz_capitals() -> Loaded:
    return arrays(X=IMAGES, Y=LABELS)


@case
def npz_no_labels() -> Loaded:
    return arrays(x_train=IMAGES, y_train=LABELS, x_test=IMAGES)


@case
def npz_only_test() -> Loaded:
    return arrays(x_test=IMAGES, y_test=LABELS)


@case
def npz_both_ways() -> Loaded:
    return arrays(x=IMAGES, y=LABELS, x_train=IMAGES, y_train=LABELS)


@case
def npz_no_array() -> Loaded:
    return npz_file(zip_of())


@case
def npz_encrypted() -> Loaded:
    content = bytearray(zip_of(x=X, y=Y))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return npz_file(bytes(content))


@case
def npz_checksum() -> Loaded:
    content = bytearray(zip_of(x=X, y=Y))
    content[len(X) // 2 + 100] ^= 1
    return npz_file(bytes(content))


@case
def npz_twice() -> Loaded:
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as archive:
        warnings.simplefilter("ignore")
        for name in ("x.npy", "x.npy", "y.npy"):
            archive.writestr(name, X)
    return npz_file(file.getvalue())


@case
def npz_overlap() -> Loaded:
    content = bytearray(zip_of(x=X, y=Y))
    second = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 1)
    content[second + 42 : second + 46] = struct.pack("<I", 40)
    return npz_file(bytes(content))


@case
def npz_many_members() -> Loaded:
    return npz_file(zip_of(**{f"a{k}": b"" for k in range(1500)}))


@case
def npz_bzip2() -> Loaded:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("x.npy", X)
        archive.writestr("y.npy", Y)
    return npz_file(file.getvalue())


@case
def npz_declares_too_much() -> Loaded:
    content = bytearray(zip_of(x=X, y=Y))
    entry = content.index(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = struct.pack("<I", 2**31)
    return npz_file(bytes(content))


@case
def npz_member_beyond_the_end() -> Loaded:
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (1048576, 32, 64)}"
    content = bytearray(zip_of(x=npy_with_header(header, bytes(100)), y=Y))
    size = struct.pack("<I", 2**31 + len(header) + 10)
    entry = content.index(b"PK\x01\x02")
    content[entry + 20 : entry + 28] = size + size
    return npz_file(bytes(content))


@case
def npz_shape_too_large() -> Loaded:
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (4194305, 4194305, 211106198978564)}"
    return npz_file(zip_of(x=npy_with_header(header, bytes(100)), y=Y))


@case
def npz_header_is_code() -> Loaded:
    return npz_file(zip_of(x=npy_with_header("__import__('os').system('touch canary')"), y=Y))


@case
def npz_header_is_long() -> Loaded:
    return npz_file(zip_of(x=npy_with_header(" " * 20_000), y=Y))


@case
def npz_member_is_no_array() -> Loaded:
    return npz_file(zip_of(x=b"not an array", y=Y))


@case
def npz_version_nine() -> Loaded:
    return npz_file(zip_of(x=b"\x93NUMPY\x09\x00" + X[8:], y=Y))


@case
def images_two_dimensions() -> Loaded:
    return arrays(x=IMAGES.reshape(30, 30), y=LABELS)


@case
def images_none() -> Loaded:
    return arrays(x=IMAGES[:0], y=LABELS[:0])


@case
def images_nan() -> Loaded:
    x = IMAGES / np.float32(255)
    x[4, 1, 1] = x[4, 2, 2] = np.nan
    x[20, 0, 0] = -np.inf
    return arrays(x=x, y=LABELS)


@case
def images_negative_integers() -> Loaded:
    return arrays(x=IMAGES.astype(np.int16) - 128, y=LABELS)


@case
def images_too_large_integers() -> Loaded:
    return arrays(x=IMAGES.astype(np.int32) * 1000, y=LABELS)


@case
def images_beyond_float32() -> Loaded:
    return arrays(x=IMAGES * 1e300, y=LABELS)


@case
def images_types_differ() -> Loaded:
    return arrays(x_train=IMAGES, y_train=LABELS, x_test=IMAGES / 255, y_test=LABELS)


@case
def images_scaled_differently() -> Loaded:
    return arrays(x_train=IMAGES / 255, y_train=LABELS, x_test=IMAGES / 1, y_test=LABELS)


@case
def labels_not_whole() -> Loaded:
    y = LABELS.astype(float)
    y[11] = 3.5
    return arrays(x=IMAGES, y=y)


@case
def labels_nan() -> Loaded:
    y = LABELS.astype(float)
    y[3] = np.nan
    return arrays(x=IMAGES, y=y)


@case
def labels_negative() -> Loaded:
    return arrays(x=IMAGES, y=LABELS.astype(int) - 1)


@case
def labels_soft() -> Loaded:
    y = np.eye(3)[LABELS]
    y[5] = 1 / 3
    return arrays(x=IMAGES, y=y)


@case
def labels_two_hot() -> Loaded:
    y = np.eye(3, dtype=int)[LABELS]
    y[8] = [1, 1, 0]
    return arrays(x=IMAGES, y=y)


@case
def labels_single() -> Loaded:
    return arrays(x=IMAGES, y=np.int64(3))


@case
def labels_fewer() -> Loaded:
    return arrays(x=IMAGES, y=LABELS[:29])


@case
def labels_complex() -> Loaded:
    return arrays(x=IMAGES, y=LABELS.astype("M8[s]"))


@case
def labels_empty_name() -> Loaded:
    return arrays(x=IMAGES, y=np.array(["cat", "dog", " "])[LABELS])


@case
def labels_spelled_differently() -> Loaded:
    names = np.array(["cat", "dog", "emu"])
    return arrays(x_train=IMAGES, y_train=names[LABELS], x_test=IMAGES, y_test=np.array(["cat", "Dog", "emu"])[LABELS])


@case
def labels_names_and_numbers() -> Loaded:
    return arrays(x_train=IMAGES, y_train=np.array(["cat", "dog", "emu"])[LABELS], x_test=IMAGES, y_test=LABELS)


@case
def labels_many() -> Loaded:
    x = np.zeros((20_000, 1, 1), np.uint8)
    return arrays(x=x, y=np.arange(20_000))


@case
def labels_one_class() -> Loaded:
    return arrays(x=IMAGES, y=LABELS * 0)


@case
def labels_terminal_codes() -> Loaded:
    return arrays({"classes": "0,1,9"}, x=IMAGES, y=np.array(["\x1b[31mred", "dog", "emu"])[LABELS])


# Cuts (section F)


def digits(**options: Any) -> Loaded:
    """Cut the digits, whose test set is 360 images."""
    return "digits", options


def small(**options: Any) -> Loaded:
    """Cut 30 images of three classes."""
    return arrays(options, x=IMAGES, y=LABELS)


CASES |= {
    "classes-unknown": lambda: digits(classes="0,10"),
    "classes-near": lambda: arrays({"classes": ["cat", "dgo"]}, x=IMAGES, y=np.array(["cat", "dog", "emu"])[LABELS]),
    "classes-one": lambda: digits(classes="3"),
    "classes-twice": lambda: digits(classes=("3", "4", "3")),
    "classes-empty": lambda: digits(classes=""),
    "test-brought": lambda: digits(test=0.2),
    "test-one": lambda: small(test=1.0),
    "test-percent": lambda: small(test=1.5),
    "test-negative": lambda: small(test=-0.1),
    "test-zero": lambda: small(test=0),
    "test-nan": lambda: small(test=float("nan")),
    "test-word": lambda: small(test="some"),
    "test-leaves-nothing": lambda: small(test=0.99),
    "test-number-too-large": lambda: small(test=29),
    "validation-leaves-nothing": lambda: small(test=12, validation=0.95),
    "validation-number-too-small": lambda: small(validation=2),
    "validation-class-of-one": lambda: arrays(x=IMAGES, y=np.array([*LABELS[:29], 7])),
    "limit-zero": lambda: digits(limit=0),
    "limit-word": lambda: digits(limit="many"),
    "limit-below-classes": lambda: digits(limit=9),
    "normalize-unknown": lambda: digits(normalize="minmax"),
    "seed-negative": lambda: digits(seed=-1),
    "test-class-gone": lambda: arrays(
        {"classes": "1,2"}, x_train=IMAGES, y_train=LABELS, x_test=IMAGES, y_test=LABELS * 0
    ),
}
