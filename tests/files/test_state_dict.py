"""Files with a state dict: which kinds there are, safetensors of other programs, and what is refused."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch_files import old_file, state, zip_file

from layerline.errors import UserError
from layerline.files import state_dict

if TYPE_CHECKING:
    from pathlib import Path

HELD = {
    "b.weight": torch.linspace(-3, 3, 24).reshape(2, 3, 4),
    "a.num_batches_tracked": torch.tensor(7),
    "a.weight": torch.tensor([0.5, -1.0, 6e-8, 1e-40, torch.inf]),
}


def parsed(content: bytes) -> state_dict.StateDict:
    return state_dict.parsed(content, "a.safetensors", "0")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_safetensors_of_other_programs_become_float32(dtype: torch.dtype) -> None:
    """The safetensors package's files have the values of PyTorch's `.float()`; their order is not the network's."""
    held = {name: value.to(dtype) if value.is_floating_point() else value for name, value in HELD.items()}
    found = parsed(safetensors.torch.save(held, {"format": "pt"}))
    assert not found.ordered
    assert found.arrays.keys() == held.keys()
    for name, value in held.items():
        expected = value.float().numpy() if value.is_floating_point() else value.numpy()
        np.testing.assert_array_equal(found.arrays[name], expected, strict=True)


def test_all_three_kinds_are_told_apart_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name does not matter, sockets are closed, and the digest is that of the file."""

    def no_socket(*_: Any, **__: Any) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", no_socket)
    arrays = {"w": np.arange(4, dtype="<f4")}
    contents = (old_file(*state(arrays)), zip_file(*state(arrays)), safetensors.torch.save({"w": torch.arange(4.0)}))
    for content in contents:
        (tmp_path / "some.bin").write_bytes(content)
        found = state_dict.read(tmp_path / "some.bin")
        np.testing.assert_array_equal(found.arrays["w"], arrays["w"], strict=True)
        assert (found.digest, found.size) == (hashlib.sha256(content).hexdigest(), len(content))


def file_of(header: dict[str, Any] | bytes, body: bytes = bytes(16)) -> bytes:
    """Return a safetensors file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def entry(dtype: str = "F32", shape: Any = (4,), offsets: Any = (0, 16)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


BROKEN = {
    "header longer than the file": (b"\xff" * 7 + b"\x00" + b'{"', "its first 8 bytes declare a header"),
    "no JSON": (file_of(b'{"a'), "its header is not JSON"),
    "a name twice": (file_of(b'{"a":{},"a":{}}'), "a duplicate name"),
    "nested": (file_of(b'{"a":' + b"[" * 100_000), "recursion"),
    "no entry": (file_of({"a": 3}), "tensor a: not described"),
    "no offsets": (file_of({"a": {"dtype": "F32", "shape": [4]}}), "tensor a: not described"),
    "offsets as text": (file_of({"a": entry(offsets=["0", "16"])}), "tensor a: not described"),
    "another type": (file_of({"a": entry("F8_E4M3")}), "found dtype F8_E4M3"),
    "a gap": (file_of({"a": entry(shape=[2], offsets=[8, 16])}), "tensor a: found offsets"),
    "an overlap": (file_of({"a": entry(), "b": entry()}), "tensor b: found offsets"),
    "more than the file": (file_of({"a": entry(shape=[10**9], offsets=[0, 4 * 10**9])}), "expected at most 16 bytes"),
    "beyond 64 bits": (file_of({"a": entry(shape=[2**40, 2**40])}), "tensor a: found offsets"),
    "a negative size": (file_of({"a": entry(shape=[-4])}), "its shape is not a list of whole numbers"),
    "bytes of no tensor": (file_of({"a": entry(shape=[2], offsets=[0, 8])}), "8 bytes belong to no tensor"),
    "many tensors": (file_of({str(k): entry(shape=[0], offsets=[0, 0]) for k in range(20_001)}, b""), "20,001 tensors"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_lying_safetensors_file_is_refused(name: str) -> None:
    """Sizes, offsets, types and names that cannot be: the tensor is named, and nothing else is raised."""
    content, reason = BROKEN[name]
    with pytest.raises(UserError, match=rf"^a\.safetensors: .*{reason}"):
        parsed(content)


def test_every_truncation_and_flip_of_safetensors_is_refused_or_read() -> None:
    """Nothing but a UserError is raised, and no array is larger than the file."""
    content = bytearray(safetensors.torch.save(HELD))
    for length in range(10, len(content)):
        with pytest.raises(UserError):
            parsed(bytes(content[:length]))
    for position in range(0, 8 + int.from_bytes(content[:8], "little"), 3):
        before = content[position]
        for value in (0, before ^ 1, before ^ 0x80, 0x22, 0x5B, 0x7B):
            content[position] = value
            with contextlib.suppress(UserError):
                assert sum(array.nbytes for array in parsed(bytes(content)).arrays.values()) <= 2 * len(content)
        content[position] = before


KINDS = {
    b"": "nothing: the file is empty",
    b"hello world": "something else",
    b"\x80\x02]q\x00.": "a pickle, which can run arbitrary code",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
    b"<html>": "an HTML or XML page",
    b"\x93NUMPY\x01": "a NumPy file",
    b"GGUF": "a GGUF file",
}


@pytest.mark.parametrize("content", KINDS)
def test_other_kinds_of_files_are_named(tmp_path: Path, content: bytes) -> None:
    """What the file is instead, and the line of PyTorch that writes the right one."""
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match=KINDS[content]) as caught:
        state_dict.read(path)
    assert "torch.save(model.state_dict()" in (caught.value.help or "")


def test_what_is_no_file_or_too_large_is_not_read(tmp_path: Path) -> None:
    """No file, a folder, a pipe that nobody writes to, and a gigabyte of zeros after a right or a wrong start."""
    os.mkfifo(tmp_path / "pipe")
    for name, start in (("large", b"PK\x03\x04"), ("other", b"hello")):
        (tmp_path / name).write_bytes(start)
        os.truncate(tmp_path / name, 10**9)
    reasons = {
        "none": "no such file",
        "": "directory",
        "pipe": "a pipe",
        "large": "larger than 537 MB",
        "other": "else",
    }
    for name, reason in reasons.items():
        with pytest.raises(UserError, match=reason):
            state_dict.read(tmp_path / name)
