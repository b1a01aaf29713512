"""A state dict in a file of another program: PyTorch's (`.pth`, `.pt`), or safetensors; read as data."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

from layerline.errors import UserError
from layerline.files import regular, tensors, torch_file
from layerline.numbers import display

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_SAFETENSORS: Final = b'{"'
"""Bytes 8 and 9 of a safetensors file: its header is a JSON object."""
_START: Final = 300
"""Bytes that show the kind of a file."""


@final
@dataclass(frozen=True, eq=False)
class StateDict:
    """The tensors of a file by name, in its order: float32, or int64."""

    arrays: dict[str, NDArray[Any]]
    digest: str
    """SHA-256 (hex) of the file."""
    size: int
    """Of the file, in bytes."""
    taken: str | None = None
    """The key under which they are, if the file has more than them: `state_dict`."""
    ordered: bool = True
    """Whether the tensors are in the order of the network's layers; else sorted by name."""


def read(path: Path) -> StateDict:
    """Return the state dict in a file. Raises UserError with place and reason; nothing in the file is executed."""
    content = content_of(path)
    return parsed(content, str(path), hashlib.sha256(content).hexdigest())


def content_of(path: Path) -> bytes:
    """Return the bytes of a file, after checking its first bytes and its size. Raises UserError."""
    place = display.name(str(path), 200)
    try:
        with regular.opened(path) as file:
            _check_kind(file.read(_START), place)
        content = regular.content(path, torch_file.MOST_BYTES)
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror or str(error)
        raise UserError(f"{place}: {reason}", "pass a file with weights: .pth, .pt or .safetensors") from error
    if content is None:
        raise UserError(
            f"{place}: larger than {display.size(torch_file.MOST_BYTES)}, which no supported network needs",
            torch_file.SAVE_WEIGHTS,
        )
    return content


def parsed(content: bytes, place: str, digest: str) -> StateDict:
    """Return the state dict in the bytes of a file. Raises UserError. digest: their SHA-256 (hex)."""
    place = display.name(place, 200)
    _check_kind(content[:_START], place)
    if torch_file.is_torch(content):
        arrays, taken = torch_file.tensors(content, place)
        return StateDict(arrays, digest, len(content), taken)
    arrays = tensors.foreign_arrays(content, place, torch_file.MOST_TENSORS)
    return StateDict(arrays, digest, len(content), ordered=False)


def _check_kind(start: bytes, place: str) -> None:
    """Raise UserError if a file is none that can have a state dict, by its first bytes."""
    if torch_file.is_torch(start) or start[8:10] == _SAFETENSORS:
        return
    kind = tensors.foreign(start) or ("nothing: the file is empty" if not start else "something else")
    raise UserError(
        f"{place}: found {kind}; expected a state dict: .pth or .pt as torch.save writes it, or .safetensors",
        torch_file.SAVE_WEIGHTS,
    )
