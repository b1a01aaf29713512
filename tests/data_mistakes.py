"""What can be wrong with data: each case writes its files into the folder that is here, and returns what is loaded."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_files import idx_bytes, packed, pictures, write_idx, write_npz

if TYPE_CHECKING:
    from collections.abc import Callable

Loaded = tuple[str, dict[str, Any]]
CASES: dict[str, Callable[[], Loaded]] = {}

IMAGES, LABELS = pictures(30)
NAME, LABEL_NAME = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


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
def idx_no_dimensions() -> Loaded:
    return idx_pair(idx_header(8))


@case
def idx_labels_of_two_dimensions() -> Loaded:
    return idx_pair(idx_bytes(IMAGES), idx_bytes(LABELS.reshape(30, 1)))


@case
def idx_labels_not_whole() -> Loaded:
    return idx_pair(idx_bytes(IMAGES), idx_bytes(LABELS.astype("f4") + 0.5))


@case
def idx_labels_negative() -> Loaded:
    return idx_pair(idx_bytes(IMAGES), idx_bytes(LABELS.astype("i1") - 1))


@case
def idx_one_value_is_nan() -> Loaded:
    images = IMAGES.astype("f4")
    images[3, 1, 1] = float("nan")
    return idx_pair(idx_bytes(images))


@case
def idx_is_a_folder() -> Loaded:
    (Path("set") / NAME).mkdir(parents=True)
    (Path("set") / LABEL_NAME).write_bytes(idx_bytes(LABELS))
    return "set", {}


@case
def idx_is_a_pipe() -> Loaded:
    Path("set").mkdir()
    os.mkfifo(Path("set") / NAME)
    (Path("set") / LABEL_NAME).write_bytes(idx_bytes(LABELS))
    return "set", {}


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
def idx_little_endian_sizes() -> Loaded:
    return idx_pair(b"\0\0\x08\x03" + struct.pack("<III", *IMAGES.shape) + IMAGES.tobytes())


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
def cifar_100_not_there() -> Loaded:
    return "cifar100", {}


@case
def name_blank() -> Loaded:
    return "", {}


@case
def path_too_long() -> Loaded:
    return "photos" * 1000, {}


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
