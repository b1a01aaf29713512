"""The members of a PyTorch file in the zip format: their table is checked before anything is read.

`torch.save` writes every member uncompressed, so none can be larger than the file; others are refused.
"""

from __future__ import annotations

import io
import zipfile
from typing import Final, final

from layerline.errors import UserError
from layerline.files.zip_table import BROKEN, MemberFault, check_members, declared_size
from layerline.numbers import display

_EXTRA_MEMBERS: Final = 100
"""Members besides the storages."""
_ENTRY: Final = 46 + 300
"""Bytes of a member's entry in the table of contents, with a long name."""
_PICKLE: Final = "/data.pkl"
_CONSTANTS: Final = "/constants.pkl"
"""A member that torch.jit.save writes, besides the code, and torch.save does not."""
_LARGEST_PICKLE: Final = 2**26
_AGAIN: Final = "the file is damaged or incomplete: download or copy it again"
_AS_SAVED: Final = "pass the file as torch.save wrote it"
_OF_SCRIPT: Final = 'save its weights: torch.save(torch.jit.load("program.pt").state_dict(), "weights.pth")'


@final
class TorchZip:
    """An archive in memory."""

    def __init__(self, content: bytes, place: str, most: int) -> None:
        """Read the table of contents. most: the maximum number of storages. Raises UserError."""
        self._place = place
        self._size = len(content)
        self._check_table(content, most + _EXTRA_MEMBERS)
        try:
            self._archive = zipfile.ZipFile(io.BytesIO(content))
        except BROKEN as error:
            raise UserError(f"{place}: cannot read the table of contents at the end of this file", _AGAIN) from error
        infos = self._archive.infolist()
        if len(infos) > most + _EXTRA_MEMBERS:
            raise self._too_many(len(infos), most + _EXTRA_MEMBERS)
        if any(info.filename.endswith(_CONSTANTS) for info in infos):
            raise UserError(f"{place}: found a TorchScript program; expected a state dict", _OF_SCRIPT)
        self._infos = self._checked(infos)
        pickles = [name for name in self._infos if name.endswith(_PICKLE) and name.count("/") == 1]
        if len(pickles) != 1:
            raise UserError(
                f"{place}: found {len(pickles)} members <name>{_PICKLE} in this zip archive; expected one",
                "pass a file written by torch.save",
            )
        self._folder = pickles[0].removesuffix(_PICKLE)
        order = self._infos.get(f"{self._folder}/byteorder")
        if order is not None and self._content(order, 10) != b"little":
            raise UserError(f"{place}: written on a machine with another byte order", "save it again on this machine")

    def pickle(self) -> tuple[bytes, str]:
        """Return the pickle, and its name in the archive. Raises UserError."""
        info = self._infos[self._folder + _PICKLE]
        return self._content(info, _LARGEST_PICKLE), info.filename

    def storage(self, key: str, size: int) -> bytes:
        """Return the `size` bytes of a storage. Raises UserError if it is missing, or has another size."""
        info = self._infos.get(f"{self._folder}/data/{key}")
        if info is None:
            raise UserError(f"{self._place}: storage {display.name(key)} is missing", _AGAIN)
        if info.file_size != size:
            raise UserError(
                f"{self._name(info)}: found {display.count(info.file_size)} bytes; expected {display.count(size)}",
                _AGAIN,
            )
        return self._content(info, size)

    def _check_table(self, content: bytes, most: int) -> None:
        """Raise UserError if the table of contents is larger than that of any state dict: it is read as a whole."""
        size = declared_size(io.BytesIO(content))
        if size > most * _ENTRY:
            raise UserError(
                f"{self._place}: found a table of contents of {display.size(size)}; "
                f"expected at most {display.size(most * _ENTRY)}",
                _AS_SAVED,
            )

    def _checked(self, infos: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
        """Return the members by name, after checking them against each other and the file's size."""
        infos = sorted(infos, key=lambda info: info.header_offset)
        stored = (zipfile.ZIP_STORED,)
        try:
            check_members(infos, self._size, lambda info: display.name(info.filename), methods=stored)
        except MemberFault as fault:
            remedy = _AGAIN if fault.kind == "size" else _AS_SAVED
            raise UserError(f"{self._name(fault.info)}{fault.reason}", remedy) from None
        return {info.filename: info for info in infos}

    def _content(self, info: zipfile.ZipInfo, most: int) -> bytes:
        """Return a member's bytes, with their checksum verified."""
        if info.file_size > most:
            raise UserError(
                f"{self._name(info)}: found {display.size(info.file_size)}; expected at most {display.size(most)}",
                _AS_SAVED,
            )
        try:
            return self._archive.read(info)
        except BROKEN as error:
            reason = "does not match its checksum (CRC-32)" if "CRC" in str(error) else "cannot be read"
            raise UserError(f"{self._name(info)}: the data {reason}", _AGAIN) from error

    def _name(self, info: zipfile.ZipInfo) -> str:
        return f"{self._place}: {display.name(info.filename)}"

    def _too_many(self, found: int, most: int) -> UserError:
        return UserError(
            f"{self._place}: found {display.count(found)} members; expected at most {display.count(most)}", _AS_SAVED
        )
