"""Where image files are found: in the folders below a path, or in a tar that is read as it comes."""

from __future__ import annotations

import contextlib
import itertools
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from layerline.data.formats.recognize import shown, unreadable
from layerline.data.formats.stream import open_stream
from layerline.data.formats.tar import Tar
from layerline.data.photos import image_file, image_stack
from layerline.data.photos.decoding import File
from layerline.data.photos.headers import Outlines
from layerline.data.photos.image_names import RUN, is_junk, is_run, is_text, layout
from layerline.data.photos.image_options import check_used, matching
from layerline.data.photos.image_parts import parts
from layerline.data.photos.kept_images import KeptImages, stamp
from layerline.data.photos.layout_refusal import Folders, Surroundings
from layerline.data.photos.pictures import Album, Left, of_kept
from layerline.data.photos.sizing import LARGEST_USUAL
from layerline.errors import DataError
from layerline.files import regular
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from contextlib import AbstractContextManager

    from layerline.data.formats.tar import Member
    from layerline.data.part import SourceArrays
    from layerline.data.photos.decoding import Progress
    from layerline.data.photos.image_names import FolderLayout
    from layerline.data.photos.image_options import ImageOptions
    from layerline.data.photos.label_file import LabelFile
    from layerline.data.photos.pictures import Pictures, Roll

_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
_DEEPEST: Final = 8
MOST_LEFT: Final = 10_000
"""Files in an archive that are no images."""
_PEEK: Final = 20
_MOST_HELD: Final = 2**26
"""Bytes of an archive's images that are held after the headers were looked at; of more, the archive is read again."""
_JUNK, _TEXT, _LOOSE, _LINKS, _RUNS = (
    "hidden or system files",
    "text files",
    "files in no folder of a class",
    "links and devices",
    "folders of runs",
)


def read_folder(path: Path, asked: ImageOptions, progress: Progress | None) -> SourceArrays | None:
    """Return the images below a folder; None where there are none. Raises DataError."""
    left, files, empty = Left(root=os.path.realpath(path)), list[File](), set[Folders]()
    try:
        _walk(path, (), left, files, empty)
    except OSError as error:
        raise unreadable(path, error) from error
    if not files or not _are_images(files):
        return None
    place = shown(path)
    files = _wanted(files, asked, left, place)
    if asked.labels is None:
        beside = Surroundings([(file.folders, file.name) for file in files], left.files.get(_TEXT, []))
        found: FolderLayout | LabelFile = layout(place, {file.folders for file in files}, empty, beside)
    else:
        found = asked.labels
    files.sort(key=lambda file: (*found.rank(file.folders, file.name), file.folders, file.name))
    keeper = KeptImages(asked.cache, asked.key, files) if asked.cache is not None and _are_many(files, asked) else None
    pictures = kept(keeper)
    if pictures is None:
        album = Album(place, asked, _outlines(files, asked), len(files))
        album.fill(files, progress)
        if not album.roll.files:
            raise DataError(f"{place}: found no image that can be read, expected some", "mend the files")
        pictures = album.sorted_by(found, keeper, {})
    return parts(place, path.resolve().name or "data", pictures, found, left, asked)


class RunsInsideError(Exception):
    """An archive has folders of runs, of which some files were taken for images before that was seen."""

    def __init__(self, runs: set[Folders]) -> None:
        """Take the folders."""
        super().__init__(runs)
        self.runs = runs


def read_tar(
    path: Path,
    tar: Tar,
    members: Iterable[Member],
    asked: ImageOptions,
    keeper: KeptImages | None,
    progress: Progress | None,
    runs: Collection[Folders] = (),
) -> SourceArrays:
    """Return the images in an archive, from its members. Raises DataError; nothing is written beside the cache.

    It is read twice, the first time for the headers of its images, unless these are few or options say all.
    runs: folders that are passed over. Raises RunsInsideError where there are others.
    """
    beside, outlines, held, size = _Beside.without(runs), Outlines(asked.sizing), list[File](), 0
    files = _files(tar, _outside(members, runs), asked, beside)
    for file in files:
        outlines.add(file)
        held.append(file)
        size += len(bytes(file.content))
        if size > _MOST_HELD:
            break
    whole = size <= _MOST_HELD
    source: AbstractContextManager[Iterable[File]]
    if whole or outlines.enough:
        source = contextlib.nullcontext(held if whole else itertools.chain(held, files))
    else:
        held.clear()
        for file in files:
            outlines.add(file)
        beside = _Beside.without(runs)
        source = _again(path, asked, beside, runs)
    album = Album(tar.name, asked, outlines, len(outlines.sizes) if not outlines.enough else 0)
    with source as content:
        album.fill(content, progress)
    if not album.folders:
        raise DataError(f"{tar.name}: found no image in it, expected some", "name an archive of class/image")
    asked_for = _arranged(tar.name, asked, beside, album.roll)
    pictures = album.sorted_by(asked_for, keeper, beside.facts())
    return parts(tar.name, _stem(path), pictures, asked_for, beside.left, asked)


@contextlib.contextmanager
def _again(path: Path, asked: ImageOptions, beside: _Beside, runs: Collection[Folders]) -> Iterator[Iterator[File]]:
    """Open an archive and give its files from its beginning."""
    with open_stream(path) as stream, Tar(stream) as tar:
        yield _files(tar, _outside(tar, runs), asked, beside)


def _outlines(files: list[File], asked: ImageOptions) -> Outlines:
    """Return what the headers of files say."""
    outlines = Outlines(asked.sizing)
    for file in files:
        outlines.add(file)
    return outlines


def tar_that_was_kept(path: Path, asked: ImageOptions, keeper: KeptImages) -> SourceArrays | None:
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


def kept(keeper: KeptImages | None) -> Pictures | None:
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
    def without(cls, runs: Collection[Folders]) -> _Beside:
        """Return what an archive begins with of which some folders of runs are passed over."""
        beside = cls()
        for run in sorted(runs):
            beside.left.add(_RUNS, "/".join(run))
        return beside

    @classmethod
    def of(cls, facts: dict[str, Any]) -> _Beside:
        """Return what `facts` gave."""
        return cls(Left(facts["left"]), set(map(tuple, facts["empty"])), set(facts["used"]), facts["paths"])


def _arranged(place: str, asked: ImageOptions, beside: _Beside, roll: Roll) -> FolderLayout | LabelFile:
    """Return which files are of which class and split, now that all of an archive is known."""
    check_used(beside.used, asked.exclude, place)
    folders = {folders for folders, _ in roll.files}
    if asked.labels is None:
        known = Surroundings(roll.files, beside.left.files.get(_TEXT, []), is_folder=False)
        return layout(place, folders, _without_any(beside.empty, folders), known)
    rows = (asked.labels.row(*file) for file in roll.files)
    paths = ["/".join((*folders, name)) for folders, name in roll.files]
    asked.labels.check_met(place, {row.file for row in rows if row} | set(beside.paths), paths + beside.paths)
    asked.labels.check_once(place, roll.files)
    return asked.labels


def _without_any(empty: set[Folders], filled: set[Folders]) -> set[Folders]:
    """Return the folders of an archive that have neither images nor folders in them."""
    outer = {path[:depth] for path in empty | filled for depth in range(len(path))}
    return empty - filled - outer


def _wanted(files: list[File], asked: ImageOptions, left: Left, place: str) -> list[File]:
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
        asked.labels.check_once(place, ((file.folders, file.name) for file in wanted))
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
    with os.scandir(path) as opened:
        entries = sorted(opened, key=lambda entry: entry.name)
    if folders and is_run([entry.name for entry in entries]):
        left.add(_RUNS, "/".join(folders))
        return
    for entry in entries:
        name = entry.name
        if is_junk(name):
            left.add(_JUNK, _join(folders, name))
            continue
        if entry.is_symlink() and not _is_below(entry.path, left.root):
            left.elsewhere.append(_join(folders, name))
        if entry.is_dir():
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
        elif entry.is_file() or not Path(entry.path).exists():  # a link that leads nowhere: reading it says so
            files.append(File(folders, name, Path(entry.path), _stamp(entry)))
        else:
            left.add(_LINKS, _join(folders, name))
    if len(files) == before and not inner:
        empty.add(folders)


def _is_below(link: str, root: str) -> bool:
    """Return whether a link leads to something below a folder, both without links in their own paths."""
    target = os.path.realpath(link)
    return target == root or target.startswith(root.rstrip(os.sep) + os.sep)


def _are_many(files: list[File], asked: ImageOptions) -> bool:
    """Return whether images of all these files could be so many bytes that they are kept."""
    H, W = asked.sizing.size or (LARGEST_USUAL, LARGEST_USUAL)
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
        with regular.opened(Path(str(file.content))) as opened:
            if image_file.is_image(opened.read(16)):
                return True
    return False


def _outside(members: Iterable[Member], runs: Collection[Folders]) -> Iterator[Member]:
    """Yield the members that are in no folder of a run. Raises RunsInsideError where there are more such folders."""
    names: dict[Folders, set[str]] = {}
    found: set[Folders] = set()
    for member in members:
        folders, name = _split(member.name)
        path = (*folders, name) if member.kind == "folder" else folders
        if any(path[: len(run)] == run or (path == run[: len(path)] and member.kind == "folder") for run in runs):
            continue
        if name in RUN and member.kind == "file" and folders:
            names.setdefault(folders, set()).add(name)
            if is_run(names[folders]):
                found.add(folders)
        if not found:
            yield member
    if found:
        raise RunsInsideError(found)


def _files(tar: Tar, members: Iterable[Member], asked: ImageOptions, beside: _Beside) -> Iterator[File]:
    """Yield the files of an archive that should be images."""
    left = beside.left
    seen: set[tuple[Folders, str]] = set()
    for member in members:
        folders, name = _split(member.name)
        place = f"{tar.name}: {display.name(member.name, 100)}"
        if member.kind == "folder":
            beside.empty.add((*folders, name))
            continue
        kind = _kind(member, folders, name)
        if kind:
            if left.add(kind, member.name) > MOST_LEFT:
                raise DataError(
                    f"{tar.name}:{member.offset}: found more than {display.count(MOST_LEFT)} files that are no images",
                    "make an archive of the images alone",
                )
            continue
        if (folders, name) in seen:
            raise DataError(f"{place}: found twice, expected every name once", "make the archive anew")
        if member.size > image_file.LARGEST_FILE:
            raise DataError(
                f"{place}: found {display.size(member.size)}, "
                f"expected an image of at most {display.size(image_file.LARGEST_FILE)}",
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
