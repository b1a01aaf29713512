"""Where image files are found: in the folders below a path, or in a tar that is read as it comes."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from layerline import figures, regular_file
from layerline.data import image_file, image_stack
from layerline.data.asked import check_used, matching
from layerline.data.decoding import File
from layerline.data.image_names import Folders, is_junk, is_text, layout
from layerline.data.image_parts import parts
from layerline.data.keeper import Keeper, stamp
from layerline.data.pictures import Album, Left, of_kept
from layerline.data.recognise import shown, unreadable
from layerline.data.sizing import DEFAULT
from layerline.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from layerline.data.asked import Asked
    from layerline.data.decoding import Progress
    from layerline.data.image_names import Layout
    from layerline.data.label_file import LabelFile
    from layerline.data.part import Parts
    from layerline.data.pictures import Pictures, Roll
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


def read_folder(path: Path, asked: Asked, progress: Progress | None) -> Parts | None:
    """Return the images below a folder; None where there are none. Raises DataError."""
    left, files, empty = Left(), list[File](), set[Folders]()
    try:
        _walk(path, (), left, files, empty)
    except OSError as error:
        raise unreadable(path, error) from error
    if not files or not _are_images(files):
        return None
    place = shown(path)
    files = _wanted(files, asked, left, place)
    found = asked.labels or layout(place, {file.folders for file in files}, empty)
    files.sort(key=lambda file: (*found.rank(file.folders, file.name), file.folders, file.name))
    keeper = Keeper(asked.cache, asked.key, files) if asked.cache is not None and _are_many(files, asked) else None
    pictures = kept(keeper)
    if pictures is None:
        album = Album(place, asked, len(files))
        album.fill(files, progress)
        if not album.roll.files:
            raise DataError(f"{place}: found no image that can be read, expected some", "mend the files")
        pictures = album.sorted_by(found, keeper, {})
    return parts(place, path.resolve().name or "data", pictures, found, left, asked)


def read_tar(
    path: Path, tar: Tar, members: Iterable[Member], asked: Asked, keeper: Keeper | None, progress: Progress | None
) -> Parts:
    """Return the images in an archive, from its members. Raises DataError; nothing is written beside the cache."""
    beside = _Beside()
    album = Album(tar.name, asked)
    album.fill(_files(tar, members, asked, beside), progress)
    if not album.folders:
        raise DataError(f"{tar.name}: found no image in it, expected some", "name an archive of class/image")
    asked_for = _arranged(tar.name, asked, beside, album.roll)
    pictures = album.sorted_by(asked_for, keeper, beside.facts())
    return parts(tar.name, _stem(path), pictures, asked_for, beside.left, asked)


def tar_that_was_kept(path: Path, asked: Asked, keeper: Keeper) -> Parts | None:
    """Return the images of an archive that were kept, None where they are not."""
    found = keeper.find()
    if found is None:
        return None
    try:
        pictures, beside = of_kept(found, keeper), _Beside.of(found.facts)
    except (KeyError, TypeError, ValueError):
        return None
    arranged = _arranged(shown(path), asked, beside, pictures.roll)
    return parts(shown(path), _stem(path), pictures, arranged, beside.left, asked)


def kept(keeper: Keeper | None) -> Pictures | None:
    """Return images that were kept, None where they are not."""
    found = keeper.find() if keeper is not None else None
    if found is None or keeper is None:
        return None
    try:
        return of_kept(found, keeper)
    except (KeyError, TypeError, ValueError):
        return None


@dataclass
class _Beside:
    """What an archive has besides images."""

    left: Left = field(default_factory=Left)
    empty: set[Folders] = field(default_factory=set)
    used: set[str] = field(default_factory=set)
    """Patterns of --exclude that matched."""
    paths: list[str] = field(default_factory=list)
    """Of files that --labels does not name."""

    def facts(self) -> dict[str, Any]:
        """Return all of it as JSON takes it."""
        return {
            "left": self.left.files,
            "empty": sorted(map(list, self.empty)),
            "used": sorted(self.used),
            "paths": self.paths,
        }

    @classmethod
    def of(cls, facts: dict[str, Any]) -> _Beside:
        """Return what `facts` gave."""
        return cls(Left(facts["left"]), set(map(tuple, facts["empty"])), set(facts["used"]), facts["paths"])


def _arranged(place: str, asked: Asked, beside: _Beside, roll: Roll) -> Layout | LabelFile:
    """Return which files are of which class and split, now that all of an archive is known."""
    check_used(beside.used, asked.exclude, place)
    folders = {folders for folders, _ in roll.files}
    if asked.labels is None:
        return layout(place, folders, beside.empty - folders)
    rows = (asked.labels.row(*file) for file in roll.files)
    paths = ["/".join((*folders, name)) for folders, name in roll.files]
    asked.labels.check_met(place, {row.file for row in rows if row} | set(beside.paths), paths + beside.paths)
    return asked.labels


def _wanted(files: list[File], asked: Asked, left: Left, place: str) -> list[File]:
    """Return the files that are to be read; the others are counted. Raises DataError where options do not fit them."""
    if not asked.exclude and asked.labels is None:
        return files
    wanted, met, used = list[File](), set[str](), set[str]()
    for file in files:
        used |= matching(file, asked.exclude)
        row = asked.labels.row(file.folders, file.name) if asked.labels is not None else None
        met |= {row.file} if row else set()
        reason = asked.unwanted(file)
        if reason:
            left.add(reason, file.path)
        else:
            wanted.append(file)
    check_used(used, asked.exclude, place)
    if asked.labels is not None:
        asked.labels.check_met(place, met, [file.path for file in files])
    if not wanted:
        raise DataError(f"{place}: found only files that --exclude names, expected images", "exclude fewer")
    return wanted


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
                files.append(File(folders, name, Path(entry.path), _stamp(entry)))
    if len(files) == before and not inner:
        empty.add(folders)


def _are_many(files: list[File], asked: Asked) -> bool:
    """Return whether images of all these files could be so many bytes that they are kept."""
    H, W = asked.sizing.size or DEFAULT
    return len(files) * H * W * 3 >= image_stack.MOST_IN_MEMORY


def _stamp(entry: os.DirEntry[str]) -> tuple[int, ...]:
    """Return what changes when a file does; zeros where it cannot be told: reading it will say why."""
    try:
        return stamp(entry.stat() if os.name != "nt" else Path(entry.path).stat())
    except OSError:
        return (0,) * 5


def _are_images(files: list[File]) -> bool:
    """Return whether there are images among the files: by a name, or by the content of some."""
    if any(file.name.lower().endswith(_SUFFIXES) for file in files):
        return True
    for file in files[:_PEEK]:
        with regular_file.opened(Path(str(file.content))) as opened:
            if image_file.is_image(opened.read(16)):
                return True
    return False


def _files(tar: Tar, members: Iterable[Member], asked: Asked, beside: _Beside) -> Iterator[File]:
    """Yield the files of an archive that should be images."""
    left = beside.left
    seen: set[tuple[Folders, str]] = set()
    for member in members:
        folders, name = _split(member.name)
        place = f"{tar.name}: {figures.name(member.name, 100)}"
        if member.kind == "folder":
            beside.empty.add((*folders, name))
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
        file = File(folders, name, b"")
        beside.used |= matching(file, asked.exclude)
        reason = asked.unwanted(file)
        if reason:
            left.add(reason, file.path)
            row = asked.labels.row(folders, name) if asked.labels is not None else None
            beside.paths.append(row.file if row else file.path)
        else:
            yield replace(file, content=tar.read(member))


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
