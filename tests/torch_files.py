"""PyTorch's files in small, written byte by byte in both formats; and what is none."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
PROTOCOL = b"\x80\x02M\xe9\x03."
MACHINE = b"\x80\x02}(X\x0d\x00\x00\x00little_endian\x88u."
KINDS = {"<f4": b"FloatStorage", "<f8": b"DoubleStorage", "<f2": b"HalfStorage", "<i8": b"LongStorage"}

Storages = dict[str, "NDArray[np.generic]"]


def text(value: str) -> bytes:
    """Return the step of a pickle that makes a str."""
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def whole(value: int) -> bytes:
    """Return the step of a pickle that makes a whole number."""
    raw = value.to_bytes(9, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def tuple_of(*steps: bytes) -> bytes:
    """Return the steps that make a tuple."""
    return b"(" + b"".join(steps) + b"t"


def storage(key: str, count: int, kind: bytes = b"FloatStorage") -> bytes:
    """Return the steps that refer to a storage."""
    parts = (text("storage"), b"ctorch\n" + kind + b"\n", text(key), text("cpu"), whole(count))
    return tuple_of(*parts) + b"Q"


def tensor(
    source: bytes, shape: tuple[int, ...], strides: tuple[int, ...] | None = None, offset: int = 0, version: int = 2
) -> bytes:
    """Return the steps that make a tensor of a storage; in C order, if no strides are given."""
    if strides is None:
        strides = tuple(int(np.prod(shape[k + 1 :])) for k in range(len(shape)))
    sizes = [tuple_of(*map(whole, numbers)) for numbers in (shape, strides)]
    if version == 1:
        return b"ctorch._utils\n_rebuild_tensor\n" + tuple_of(source, whole(offset), *sizes) + b"R"
    hooks = b"ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + tuple_of(source, whole(offset), *sizes, b"\x89", hooks) + b"R"


def dictionary(items: Mapping[str, bytes], after: bytes = b"") -> bytes:
    """Return a whole pickle of an OrderedDict; `after` are further steps on it."""
    body = b"".join(text(key) + value for key, value in items.items())
    return b"\x80\x02ccollections\nOrderedDict\n)R(" + body + b"u" + after + b"."


def state(arrays: Mapping[str, NDArray[np.generic]]) -> tuple[bytes, Storages]:
    """Return the pickle of a state dict, and its storages."""
    items, storages = {}, {}
    for k, (name, array) in enumerate(arrays.items()):
        items[name] = tensor(storage(str(k), array.size, KINDS[array.dtype.str]), array.shape)
        storages[str(k)] = array.reshape(-1)
    return dictionary(items), storages


def old_file(pickle: bytes, storages: Storages, *, keys: bytes | None = None, machine: bytes = MACHINE) -> bytes:
    """Return a file of the format before PyTorch 1.6."""
    listed = keys or b"\x80\x02](" + b"".join(text(key) for key in storages) + b"e."
    raw = b"".join(struct.pack("<q", len(values)) + values.tobytes() for values in storages.values())
    with_views = pickle.replace(b"tQ", b"NtQ")  # here the ID of a storage also says of what it is a view: of none
    return MAGIC + PROTOCOL + machine + with_views + listed + raw


def zip_file(pickle: bytes, storages: Storages, *, method: int = zipfile.ZIP_STORED, **more: bytes) -> bytes:
    """Return a file of the format since PyTorch 1.6; more: further members, `__` for `/`."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        archive.writestr("a/data.pkl", pickle)
        archive.writestr("a/byteorder", "little")
        for key, values in storages.items():
            archive.writestr(f"a/data/{key}", values.tobytes())
        archive.writestr("a/version", "3\n")
        for name, held in more.items():
            archive.writestr(f"a/{name.replace('__', '/')}", held)
    return content.getvalue()
