"""Reading of a network file from disk, with checks of its size and that it is text."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from typing import TYPE_CHECKING, Final

from layerline.errors import NetworkError
from layerline.files import regular
from layerline.numbers import display

if TYPE_CHECKING:
    from pathlib import Path

LARGEST_FILE: Final = 2**20
"""In bytes."""

_ONNX: Final = b"\x08"
_MAGIC: Final = {
    _ONNX: "an ONNX file, judging by its first byte",
    b"PK\x03\x04": "a zip archive or a PyTorch model",
    b"\x89HDF": "an HDF5 file or a Keras model",
    b"\x1f\x8b": "a gzip archive",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x80": "a Python pickle",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}
_EXPERIMENT: Final = re.compile(r"^\[(network|data|train)\]", re.MULTILINE)
"""A section of an experiment file."""


def read_text(path: Path) -> str:
    """Return the text of a network file, without a byte order mark. Raises NetworkError if it is not text."""
    shown = display.name(os.fspath(path), 200)
    try:
        with regular.opened(path) as file:
            content = file.read(LARGEST_FILE + 1)
            size = max(len(content), os.fstat(file.fileno()).st_size)
    except IsADirectoryError:
        advice = "a folder of images is passed with --data, not as the network"
        with contextlib.suppress(OSError):
            if inside := sorted(path.glob("*.cnn")):
                advice = f"it contains {display.name(os.fspath(inside[0]), 200)}"
        raise NetworkError(f"{shown} is a folder, not a network file", advice) from None
    except OSError as error:
        raise NetworkError(f"{shown}: cannot be read: {error.strerror or error}") from error
    _check_kind(shown, content)
    check_size(shown, len(content), size)
    text = _decoded(shown, content)
    if path.suffix == ".toml" and _EXPERIMENT.search(text):
        advice = f"layerline train {shlex.quote(shown)} trains it; its [network] says which network file this needs"
        raise NetworkError(f"{shown} is an experiment file, not a network file", advice)
    return text


def check_size(shown: str, read: int, size: int) -> None:
    """Raise NetworkError if a file of `size` bytes, of which `read` were read, is too large."""
    if read > LARGEST_FILE:
        raise NetworkError(
            f"{shown} has {display.size(size)}, but a network file can have at most 1 MiB",
            "check that this is the right file: a network has one line per layer",
        )


def _check_kind(shown: str, content: bytes) -> None:
    """Raise NetworkError for a file that begins as those of another kind do."""
    if content[8:10] == b'{"':
        advice = f"a training starts from a model with layerline train NET --start-from {shlex.quote(shown)}"
        raise NetworkError(f"{shown} is a safetensors file, not a network file", advice)
    for magic, what in _MAGIC.items():
        if content.startswith(magic):
            advice = "a network file is plain text in UTF-8"
            if magic == _ONNX:
                advice = f"layerline import {shlex.quote(shown)} makes a network file and a model of it"
            raise NetworkError(f"{shown} is {what}, not a network file", advice)


def _decoded(shown: str, content: bytes) -> str:
    zero = content.find(0)
    if zero >= 0:
        raise NetworkError(f"{shown} is not text: byte {zero:,d} is 0", "a network file is plain text in UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise NetworkError(
            f"{shown}:{line}: byte 0x{content[error.start]:02x} at offset {error.start:,d} is not UTF-8",
            "save the file as UTF-8, or use only ASCII characters",
        ) from None
