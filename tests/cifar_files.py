"""CIFAR-10 in small, written byte by byte as the published files are; and what is no CIFAR-10."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
STEMS = (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch")

Batch = tuple["NDArray[np.uint8]", "NDArray[np.uint8]"]


def batches(n: int = 20) -> dict[str, Batch]:
    """Return six batches of n random images (n, 3, 32, 32) and labels 0 … 9, 0, …."""
    rng = np.random.default_rng(0)
    labels = (np.arange(n) % 10).astype(np.uint8)
    return {stem: (rng.integers(0, 256, (n, 3, 32, 32)).astype(np.uint8), labels) for stem in STEMS}


def binary(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> bytes:
    """Return a binary batch: a byte of label and 3,072 of pixels for each image."""
    return np.concatenate([labels[:, None], images.reshape(len(labels), -1)], axis=1).tobytes()


def text(value: bytes) -> bytes:
    """Return the step of a pickle that makes a str of Python 2."""
    return (b"U" + bytes([len(value)]) if len(value) < 256 else b"T" + struct.pack("<i", len(value))) + value


def whole(value: int) -> bytes:
    """Return the step of a pickle that makes a whole number."""
    if 0 <= value < 256:
        return b"K" + bytes([value])
    return b"M" + struct.pack("<H", value) if 0 <= value < 65536 else b"J" + struct.pack("<i", value)


def array(content: bytes, shape: tuple[int, ...], kind: bytes = b"u1", fortran: bytes = b"\x89") -> bytes:
    """Return the steps of a pickle that make an array, as Python 2 and NumPy 1 wrote them."""
    made = b"cnumpy.core.multiarray\n_reconstruct\nq\x10cnumpy\nndarray\nq\x11K\x00\x85q\x12U\x01bq\x13\x87q\x14Rq\x15"
    sizes = b"(" + b"".join(whole(size) for size in shape) + b"t"
    dtype = b"cnumpy\ndtype\nq\x16" + text(kind) + b"K\x00K\x01\x87q\x17Rq\x18"
    state = b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x19b"
    return made + b"(K\x01" + sizes + dtype + state + fortran + text(content) + b"tb"


def listed(items: list[bytes]) -> bytes:
    """Return the steps of a pickle that make a list."""
    return b"]q\x05(" + b"".join(items) + b"e"


def dictionary(items: dict[bytes, bytes]) -> bytes:
    """Return a whole pickle of a dictionary."""
    body = b"".join(text(key) + b"r\x00\x01\x00\x00" + value for key, value in items.items())
    return b"\x80\x02}q\x01(" + body + b"u."


def pickled(images: NDArray[np.uint8], numbers: NDArray[np.uint8], **changes: bytes) -> bytes:
    """Return a Python batch; changes replace the steps that make an item."""
    n = len(numbers)
    items = {
        b"batch_label": text(b"training batch 1 of 5"),
        b"labels": listed([whole(int(number)) for number in numbers]),
        b"data": array(images.tobytes(), (n, 3072)),
        b"filenames": listed([text(b"leptodactylus_%d.png" % k) for k in range(n)]),
    }
    items |= {key.encode(): value for key, value in changes.items()}
    return dictionary({key: value for key, value in items.items() if value})


def binary_files(n: int = 20) -> dict[str, bytes]:
    """Return the files of `cifar-10-batches-bin`."""
    files = {f"{stem}.bin": binary(*batch) for stem, batch in batches(n).items()}
    return files | {"batches.meta.txt": "\n".join((*CLASSES, "")).encode()}


def python_files(n: int = 20) -> dict[str, bytes]:
    """Return the files of `cifar-10-batches-py`."""
    meta = dictionary({b"num_vis": whole(3072), b"label_names": listed([text(name.encode()) for name in CLASSES])})
    return {stem: pickled(*batch) for stem, batch in batches(n).items()} | {"batches.meta": meta}


def write(folder: Path, files: dict[str, bytes]) -> None:
    """Write files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def tar_of(files: dict[str, bytes], *extra: tarfile.TarInfo, form: int = tarfile.GNU_FORMAT) -> bytes:
    """Return a tar archive of files by name, other members first."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for info in extra:
            archive.addfile(info)
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def packed(content: bytes) -> bytes:
    """Return content gzipped."""
    return gzip.compress(content, 1, mtime=0)


def special(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    """Return a member that is no file: a link, a folder, a device."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def within(folder: str, files: dict[str, Any]) -> dict[str, Any]:
    """Return files under the names they have inside a folder."""
    return {f"{folder}/{name}": content for name, content in files.items()}
