"""Where image files are found: in the folders below a path, or in a tar that is read as it comes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from layerline import figures
from layerline.data import image_file
from layerline.data.decoding import File
from layerline.data.image_names import Folders, is_junk, is_text, layout
from layerline.data.pictures import Album, Left
from layerline.data.recognise import shown, unreadable
from layerline.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from layerline.data.decoding import Progress
    from layerline.data.part import Parts
    from layerline.data.tar import Member, Tar

_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
_DEEPEST: Final = 8
MOST_LEFT: Final = 10_000
"""Files in an archive that are no images."""
_PEEK: Final = 20
_JUNK, _TEXT, _LOOSE, _LINKS = (
    "hidden or system files",
    "text files",
    "files in no folder of a class",
    "links and devices",
)


def read_folder(path: Path, progress: Progress | None) -> Parts | None:
    """Return the images below a folder; None where there are none. Raises DataError."""
    left, files, empty = Left(), list[File](), set[Folders]()
    try:
        _walk(path, (), left, files, empty)
    except OSError as error:
        raise unreadable(path, error) from error
    if not files or not _are_images(files):
        return None
    found = layout(shown(path), {file.folders for file in files}, empty)
    files.sort(key=lambda file: (*found.rank(file.folders), file.folders, file.name))
    album = Album(shown(path), len(files))
    album.fill(files, progress)
    return album.parts(path.resolve().name or "data", found, left)


def read_tar(path: Path, tar: Tar, members: Iterable[Member], progress: Progress | None) -> Parts:
    """Return the images in an archive, from its members. Raises DataError; nothing is written anywhere."""
    left, empty = Left(), set[Folders]()
    album = Album(tar.name)
    album.fill(_files(tar, members, left, empty), progress)
    if not album.folders:
        raise DataError(f"{tar.name}: found no image in it, expected some", "name an archive of class/image")
    found = layout(tar.name, album.folders, empty - album.folders)
    return album.parts(_stem(path), found, left)


def is_candidate(member: Member) -> bool:
    """Return whether a member of an archive should be an image, and does not just lie beside them."""
    return not _kind(member, *_split(member.name))


def _walk(path: Path, folders: Folders, left: Left, files: list[File], empty: set[Folders]) -> None:
    """Collect the files below a folder; `empty` gets the folders without any."""
    before = len(files)
    inner = False
    with os.scandir(path) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            name = entry.name
            if is_junk(name):
                left.add(_JUNK, _join(folders, name))
            elif entry.is_dir():
                inner = True
                if len(folders) == _DEEPEST:
                    raise DataError(
                        f"{shown(path)}: found folders more than {_DEEPEST} deep, expected class/image",
                        "name the folder that holds the classes; a link may lead back to it",
                    )
                _walk(Path(entry.path), (*folders, name), left, files, empty)
            elif is_text(name):
                left.add(_TEXT, _join(folders, name))
            elif not folders and not name.lower().endswith(_SUFFIXES):
                left.add(_LOOSE, name)
            else:
                files.append(File(folders, name, Path(entry.path)))
    if len(files) == before and not inner:
        empty.add(folders)


def _are_images(files: list[File]) -> bool:
    """Return whether there are images among the files: by a name, or by the content of some."""
    if any(file.name.lower().endswith(_SUFFIXES) for file in files):
        return True
    for file in files[:_PEEK]:
        with Path(str(file.content)).open("rb") as opened:
            if image_file.is_image(opened.read(16)):
                return True
    return False


def _files(tar: Tar, members: Iterable[Member], left: Left, empty: set[Folders]) -> Iterator[File]:
    """Yield the files of an archive that should be images."""
    seen: set[tuple[Folders, str]] = set()
    for member in members:
        folders, name = _split(member.name)
        place = f"{tar.name}: {figures.name(member.name, 100)}"
        if member.kind == "folder":
            empty.add((*folders, name))
            continue
        kind = _kind(member, folders, name)
        if kind:
            if left.add(kind, member.name) > MOST_LEFT:
                raise DataError(
                    f"{tar.name}:{member.offset}: found more than {figures.count(MOST_LEFT)} files that are no images",
                    "make an archive of the images alone",
                )
            continue
        if (folders, name) in seen:
            raise DataError(f"{place}: found twice, expected every name once", "make the archive anew")
        if member.size > image_file.LARGEST_FILE:
            raise DataError(
                f"{place}: found {figures.size(member.size)}, "
                f"expected an image of at most {figures.size(image_file.LARGEST_FILE)}",
                "take it out",
            )
        seen.add((folders, name))
        yield File(folders, name, tar.read(member))


def _kind(member: Member, folders: Folders, name: str) -> str:
    """Return what a member is that is not read; nothing where it should be an image."""
    if member.name.startswith("/") or ".." in folders or name == "..":
        return "files outside the archive's folder"
    if any(map(is_junk, (*folders, name))):
        return _JUNK
    if member.kind != "file":
        return _LINKS
    if is_text(name):
        return _TEXT
    return _LOOSE if not folders and not name.lower().endswith(_SUFFIXES) else ""


def _split(name: str) -> tuple[Folders, str]:
    parts = [part for part in name.split("/") if part not in ("", ".")] or [""]
    return tuple(parts[:-1]), parts[-1]


def _join(folders: Folders, name: str) -> str:
    return "/".join((*folders, name))


def _stem(path: Path) -> str:
    name = path.resolve().name
    for ending in (".gz", ".xz", ".tgz", ".txz", ".tar"):
        name = name.removesuffix(ending)
    return name or "data"
