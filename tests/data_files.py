"""Data files for the tests, written byte by byte: nothing here uses the readers that are tested."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx_bytes(array: NDArray[Any]) -> bytes:
    """Return the IDX file of an array: header and values big-endian."""
    array = np.asarray(array)
    code = CODES[array.dtype.str[1:]]
    header = struct.pack(">BBBB", 0, 0, code, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def packed(content: bytes) -> bytes:
    """Return content gzipped, without a time in it."""
    return gzip.compress(content, mtime=0)


def pictures(n: int, K: int = 3, shape: tuple[int, ...] = (6, 5), seed: int = 0) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return n random uint8 images whose brightest value is 255, and labels 0, 1, …, K−1, 0, 1, …."""
    images = np.random.default_rng(seed).integers(0, 256, (n, *shape)).astype(np.uint8)
    images[0].reshape(-1)[0] = 255
    return images, (np.arange(n) % K).astype(np.uint8)


def write_idx(folder: Path, split: str, images: NDArray[Any], labels: NDArray[Any], *, gz: bool = False) -> None:
    """Write the two IDX files of a split (`train` or `t10k`) under their official names."""
    folder.mkdir(parents=True, exist_ok=True)
    for what, array in (("images-idx3", images), ("labels-idx1", labels)):
        content = idx_bytes(array)
        name = f"{split}-{what}-ubyte" + (".gz" if gz else "")
        (folder / name).write_bytes(packed(content) if gz else content)


def write_npz(path: Path, **arrays: Any) -> None:
    """Write an .npz file."""
    np.savez(path, **arrays)


def npy_bytes(array: Any) -> bytes:
    """Return the .npy file of an array."""
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), allow_pickle=True)
    return file.getvalue()


def npy_with_header(text: str, values: bytes = b"") -> bytes:
    """Return a .npy file whose header is `text`, whatever that says."""
    header = text.encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + values


def zip_of(**members: bytes) -> bytes:
    """Return an uncompressed zip archive with `.npy` members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content)
    return file.getvalue()


def zip_of_files(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip archive of files, written by Python; a name that ends in `/` is a folder."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            archive.writestr(info, content)
    return file.getvalue()
