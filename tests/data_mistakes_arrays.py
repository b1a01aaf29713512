"""What can be wrong with arrays, labels and cuts: the cases of data_mistakes.py go on."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from data_files import npy_bytes, npy_with_header, write_npz, zip_of
from data_mistakes import CASES, IMAGES, LABELS, case

if TYPE_CHECKING:
    from data_mistakes import Loaded

X, Y = npy_bytes(IMAGES), npy_bytes(LABELS)


def npz_file(content: bytes) -> Loaded:
    """Write an .npz file of these bytes."""
    Path("set.npz").write_bytes(content)
    return "set.npz", {}


def arrays(options: dict[str, Any] | None = None, **content: Any) -> Loaded:
    """Write an .npz file of these arrays."""
    write_npz(Path("set.npz"), **content)
    return "set.npz", options or {}


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
    return arrays(photos=IMAGES, kinds=LABELS, ids=np.arange(30))


@case
def npz_capitals() -> Loaded:
    return arrays(X=IMAGES, Images=IMAGES, Y=LABELS)


@case
def npz_no_labels() -> Loaded:
    return arrays(x_train=IMAGES, x_test=IMAGES, y_test=LABELS)


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
    "classes-numbers-are-names": lambda: arrays({"classes": "0,2"}, x=IMAGES, y=LABELS + 1),
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
