"""Find image files: in the folders below a path, or in an archive that is read in order."""

from __future__ import annotations

import contextlib
import itertools
import os
import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from layerline.data.formats.recognize import shown, unreadable
from layerline.data.photos import folder_tables, image_file, image_format, image_stack
from layerline.data.photos.decoding import File
from layerline.data.photos.headers import Outlines
from layerline.data.photos.image_names import RUN, is_junk, is_run, is_text, layout
from layerline.data.photos.image_options import EXCLUDED, check_used, matching
from layerline.data.photos.image_parts import parts
from layerline.data.photos.kept_images import CachedImages, stamp
from layerline.data.photos.layout_refusal import Folders, LayoutError, Surroundings
from layerline.data.photos.pictures import IgnoredFiles, ImageCollector, from_cache
from layerline.data.photos.sizing import LARGEST_USUAL
from layerline.errors import DataError
from layerline.files import regular
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from contextlib import AbstractContextManager

    from layerline.data.formats.members import Member, Members
    from layerline.data.part import SourceArrays
    from layerline.data.photos.decoding import Progress
    from layerline.data.photos.file_labels import FileLabels
    from layerline.data.photos.image_names import FolderLayout
    from layerline.data.photos.image_options import ImageOptions, LabelSource
    from layerline.data.photos.pictures import Inventory, Pictures

_DEEPEST: Final = 8
_ARCHIVES: Final = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz")
MAX_IGNORED: Final = 10_000
"""Maximum number of files in an archive that are not images."""
_PEEK: Final = 20
_MAX_HELD: Final = 2**26
"""Bytes of an archive's images kept in memory while headers are read; a larger archive is read a second time."""
_JUNK, _TEXT, _LOOSE, _LINKS, _RUNS = (
    "hidden or system files",
    "text files",
    "files outside any class folder",
    "links and devices",
    "run folders",
)


def read_folder(
    path: Path, options: ImageOptions, progress: Progress | None, most: int | None = None
) -> SourceArrays | None:
    """Return the images below a folder; None if there are none. Raises DataError, also for more files than `most`."""
    ignored, files, empty = IgnoredFiles(root=os.path.realpath(path)), list[File](), set[Folders]()
    try:
        _walk(path, (), ignored, files, empty, most)
    except OSError as error:
        raise unreadable(path, error) from error
    if not files or not _are_images(files):
        return None
    place = shown(path)
    options = options.for_files(place, path.resolve().parts, [file.path for file in files])
    options, files, found = _labeled(path, files, empty, options, ignored)
    files.sort(key=lambda file: (*found.rank(file.folders, file.name), file.folders, file.name))
    cached = (
        CachedImages(options.cache, options.key, files)
        if options.cache is not None and _are_many(files, options)
        else None
    )
    pictures = _from_cache(cached)
    if pictures is None:
        collector = ImageCollector(place, options, _outlines(files, options), len(files))
        collector.fill(files, progress)
        if not collector.inventory.files:
            raise DataError(f"{place}: no image can be read", "fix the files")
        pictures = collector.sorted_by(found, cached, {})
    return parts(place, path.resolve().name or "data", pictures, found, ignored, options)


def _labeled(
    path: Path, files: list[File], empty: set[Folders], options: ImageOptions, ignored: IgnoredFiles
) -> tuple[ImageOptions, list[File], FolderLayout | FileLabels]:
    """Return the files to read, and their labels from a table, from names or from folders.

    If folders have no meaning, a table inside them is used, and the returned options have its labels.
    """
    place = shown(path)
    ignored.drop(_TEXT, _own_table(path, options))
    if options.labels is not None:
        return options, _wanted(files, options, ignored, place), options.labels
    texts = ignored.files.get(_TEXT, [])
    wanted = _wanted(files, options, ignored, place)
    surroundings = Surroundings([(file.folders, file.name) for file in wanted], texts)
    try:
        return options, wanted, layout(place, {file.folders for file in wanted}, empty, surroundings)
    except LayoutError:
        excluded = {file.path for file in files if options.excludes(file.path)}
        labels = folder_tables.labels_of(path, texts, [file.path for file in files], excluded, options.skip_bad)
        if labels is None:
            raise
    options = replace(options, labels=labels)
    ignored.files.pop(EXCLUDED, None)
    ignored.drop(_TEXT, labels.tables)
    return options, _wanted(files, options, ignored, place), labels


def _own_table(folder: Path, options: ImageOptions) -> tuple[str, ...]:
    """Return the path of the table of --labels below the folder of the images; none if it is elsewhere."""
    if options.source.table is None or not options.source.path:
        return ()
    table, root = Path(options.source.path).resolve(), folder.resolve()
    return (table.relative_to(root).as_posix(),) if table.is_relative_to(root) else ()


class RunsInsideError(Exception):
    """An archive contains run folders, some of whose files were read as images before that was noticed."""

    def __init__(self, runs: set[Folders]) -> None:
        """Store the run folders."""
        super().__init__(runs)
        self.runs = runs


def read_archive(
    path: Path,
    archive: Members,
    members: Iterable[Member],
    options: ImageOptions,
    cached: CachedImages | None,
    progress: Progress | None,
    runs: Collection[Folders] = (),
) -> SourceArrays:
    """Return the images in an archive, from its members. Raises DataError; nothing is written except the cache.

    The archive is read twice, first for the image headers, unless its images are few or the options decide everything.
    runs: run folders to skip. Raises RunsInsideError if there are others.
    """
    if options.source.table is not None or options.source.pattern is not None:
        options = options.for_files(archive.name, (_stem(path),), _paths(archive, runs))
    others, outlines, held, size = _Others.without(runs), Outlines(options.sizing), list[File](), 0
    files = _files(archive, _outside(members, runs), options, others)
    for file in files:
        outlines.add(file)
        held.append(file)
        size += len(bytes(file.content))
        if size > _MAX_HELD:
            break
    whole = size <= _MAX_HELD
    source: AbstractContextManager[Iterable[File]]
    if whole or outlines.enough:
        source = contextlib.nullcontext(held if whole else itertools.chain(held, files))
    else:
        held.clear()
        for file in files:
            outlines.add(file)
        others = _Others.without(runs)
        source = _again(archive, options, others, runs)
    collector = ImageCollector(archive.name, options, outlines, len(outlines.sizes) if not outlines.enough else 0)
    with source as content:
        collector.fill(content, progress)
    if not collector.folders:
        raise _without_images(archive.name, others.ignored)
    others.ignored.recoded = list(archive.recoded)
    arranged = _arranged(archive.name, options, others, collector.inventory)
    pictures = collector.sorted_by(arranged, cached, others.to_json())
    return parts(archive.name, _stem(path), pictures, arranged, others.ignored, options)


def _without_images(place: str, ignored: IgnoredFiles) -> DataError:
    """Return the error for an archive without images, with the archive in it if there is one."""
    inner = sorted(name for names in ignored.files.values() for name in names if name.lower().endswith(_ARCHIVES))
    if not inner:
        return DataError(f"{place}: no images found", "pass an archive with images arranged as class/image")
    first, count = display.name(inner[0], 100), display.counted(len(inner), "archive")
    return DataError(
        f"{place}: found no images, but {count} inside: {first}",
        f"unpack {place}, then pass --data {shlex.quote(first)}",
    )


def _paths(archive: Members, runs: Collection[Folders]) -> list[str]:
    """Return the paths of all files of an archive that should be images, which takes a reading of its own."""
    with archive.again() as opened:
        return [_join(*_split(member.name)) for member in _outside(opened, runs) if is_candidate(member)]


@contextlib.contextmanager
def _again(
    archive: Members, options: ImageOptions, others: _Others, runs: Collection[Folders]
) -> Iterator[Iterator[File]]:
    """Open an archive again and give its image files, from the start."""
    with archive.again() as opened:
        yield _files(opened, _outside(opened, runs), options, others)


def _outlines(files: list[File], options: ImageOptions) -> Outlines:
    """Return the sizes and depth of image files, read from their headers."""
    outlines = Outlines(options.sizing)
    for file in files:
        outlines.add(file)
    return outlines


def read_cached_archive(path: Path, options: ImageOptions, cached: CachedImages) -> SourceArrays | None:
    """Return the cached images of an archive, None if they are not cached."""
    found = cached.find()
    if found is None:
        return None
    try:
        pictures, others = from_cache(found, cached), _Others.from_json(found.metadata)
    except (KeyError, TypeError, ValueError):
        return None
    options = options.for_files(shown(path), (_stem(path),), others.paths)
    arranged = _arranged(shown(path), options, others, pictures.inventory)
    return parts(shown(path), _stem(path), pictures, arranged, others.ignored, options)


def _from_cache(cached: CachedImages | None) -> Pictures | None:
    """Return the cached images of a folder, None if they are not cached."""
    found = cached.find() if cached is not None else None
    if found is None or cached is None:
        return None
    try:
        return from_cache(found, cached)
    except (KeyError, TypeError, ValueError):
        return None


@dataclass
class _Others:
    """The members of an archive other than images, collected while it is read."""

    ignored: IgnoredFiles = field(default_factory=IgnoredFiles)
    empty: set[Folders] = field(default_factory=set)
    used: set[str] = field(default_factory=set)
    """Patterns of --exclude that matched."""
    paths: list[str] = field(default_factory=list)
    """Of all files that should be images, if labels do not come from folders."""

    def to_json(self) -> dict[str, Any]:
        """Return the content as JSON values."""
        return {
            "left": self.ignored.files,
            "recoded": self.ignored.recoded,
            "empty": sorted(map(list, self.empty)),
            "used": sorted(self.used),
            "paths": self.paths,
        }

    @classmethod
    def without(cls, runs: Collection[Folders]) -> _Others:
        """Return an empty record for an archive of which some run folders are skipped."""
        others = cls()
        for run in sorted(runs):
            others.ignored.add(_RUNS, "/".join(run))
        return others

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> _Others:
        """Return what `to_json` was called on."""
        ignored = IgnoredFiles(record["left"], recoded=record["recoded"])
        return cls(ignored, set(map(tuple, record["empty"])), set(record["used"]), record["paths"])


def _arranged(place: str, options: ImageOptions, others: _Others, inventory: Inventory) -> FolderLayout | FileLabels:
    """Return the class and split of each file, after a whole archive has been read."""
    check_used(others.used, options.exclude, place)
    folders = {folders for folders, _ in inventory.files}
    if options.labels is None:
        known = Surroundings(inventory.files, others.ignored.files.get(_TEXT, []), is_folder=False)
        return layout(place, folders, _without_any(others.empty, folders), known)
    return options.labels


def _without_any(empty: set[Folders], filled: set[Folders]) -> set[Folders]:
    """Return the folders of an archive that contain neither images nor folders."""
    outer = {path[:depth] for path in empty | filled for depth in range(len(path))}
    return empty - filled - outer


def _wanted(files: list[File], options: ImageOptions, ignored: IgnoredFiles, place: str) -> list[File]:
    """Return the files to read; the others are recorded. Raises DataError if --exclude or --labels do not fit."""
    if not options.exclude and options.labels is None:
        return files
    wanted, used = list[File](), set[str]()
    for file in files:
        used |= matching(file, options.exclude)
        reason = options.unwanted(file)
        if reason:
            ignored.add(reason, file.path)
        else:
            wanted.append(file)
    check_used(used, options.exclude, place)
    if not wanted:
        raise DataError(f"{place}: --exclude matches every file", "exclude fewer files")
    return wanted


def is_candidate(member: Member) -> bool:
    """Return whether a member of an archive should be an image, and is not just another file."""
    return not _kind(member, *_split(member.name))


def _walk(
    path: Path,
    folders: Folders,
    ignored: IgnoredFiles,
    files: list[File],
    empty: set[Folders],
    most: int | None = None,
) -> None:
    """Collect the files below a folder; folders without files are added to `empty`."""
    before = len(files)
    inner = False
    with os.scandir(path) as opened:
        entries = sorted(opened, key=lambda entry: entry.name)
    if folders and is_run([entry.name for entry in entries]):
        ignored.add(_RUNS, "/".join(folders))
        return
    for entry in entries:
        name = entry.name
        if is_junk(name):
            ignored.add(_JUNK, _join(folders, name))
            continue
        if entry.is_symlink() and not _is_below(entry.path, ignored.root):
            ignored.elsewhere.append(_join(folders, name))
        if _is_dir(entry):
            inner = True
            if len(folders) == _DEEPEST:
                raise DataError(
                    f"{shown(path)}: folders are nested more than {_DEEPEST} levels deep; expected class/image",
                    "pass the folder that contains the classes, and check for links that lead back to it",
                )
            _walk(Path(entry.path), (*folders, name), ignored, files, empty, most)
        elif is_text(name):
            ignored.add(_TEXT, _join(folders, name))
        elif not folders and not name.lower().endswith(image_format.EXPECTED):
            ignored.add(_LOOSE, name)
        elif not Path(entry.path).exists() or entry.is_file():  # a broken link: reading it reports the error
            files.append(File(folders, name, Path(entry.path), _stamp(entry)))
            if most is not None and len(files) > most:
                raise DataError(
                    f"{ignored.root}: found more than {display.count(most)} files", "pass the folder of the images"
                )
        else:
            ignored.add(_LINKS, _join(folders, name))
    if len(files) == before and not inner:
        empty.add(folders)


def _is_dir(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder, or a link to one; a link to itself is neither that nor a file."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_below(link: str, root: str) -> bool:
    """Return whether a link points into a folder, whose own path has no links."""
    target = os.path.realpath(link)
    return target == root or target.startswith(root.rstrip(os.sep) + os.sep)


def _are_many(files: list[File], options: ImageOptions) -> bool:
    """Return whether the images of these files may be large enough to be cached."""
    H, W = options.sizing.size or (LARGEST_USUAL, LARGEST_USUAL)
    return len(files) * H * W * 3 >= image_stack.MAX_IN_MEMORY


def _stamp(entry: os.DirEntry[str]) -> tuple[int, ...]:
    """Return what changes when a file does; zeros if that is unknown: reading the file will report why."""
    try:
        return stamp(entry.stat() if os.name != "nt" else Path(entry.path).stat())
    except OSError:
        return (0,) * 5


def _are_images(files: list[File]) -> bool:
    """Return whether there are images among the files: by name, or by the content of the first few."""
    if any(file.name.lower().endswith(image_format.EXPECTED) for file in files):
        return True
    for file in files[:_PEEK]:
        with regular.opened(Path(str(file.content))) as opened:
            if image_format.is_image(opened.read(image_format.START)):
                return True
    return False


def _outside(members: Iterable[Member], runs: Collection[Folders]) -> Iterator[Member]:
    """Yield the members outside run folders. Raises RunsInsideError if there are run folders besides `runs`."""
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


def _files(archive: Members, members: Iterable[Member], options: ImageOptions, others: _Others) -> Iterator[File]:
    """Yield the files of an archive that should be images."""
    ignored = others.ignored
    seen: set[tuple[Folders, str]] = set()
    for member in members:
        folders, name = _split(member.name)
        place = f"{archive.name}: {display.name(member.name, 100)}"
        if member.kind == "folder":
            junk = any(map(is_junk, (*folders, name)))  # __MACOSX/ is no class without images
            if name and not junk:  # nor is `./`, which `tar -C photos -cf photos.tar .` puts first
                others.empty.add((*folders, name))
            continue
        kind = _kind(member, folders, name)
        if kind == _TEXT and _is_table(member, options.source):
            continue
        if kind:
            if ignored.add(kind, member.name) > MAX_IGNORED:
                raise DataError(
                    f"{archive.name}:{member.offset}: found more than {display.count(MAX_IGNORED)} files "
                    "that are not images",
                    "create an archive that contains only the images",
                )
            continue
        if (folders, name) in seen:
            raise DataError(f"{place} appears twice in the archive", "recreate the archive")
        if member.size > image_file.LARGEST_FILE:
            raise DataError(
                f"{place}: found {display.size(member.size)}, "
                f"expected an image of at most {display.size(image_file.LARGEST_FILE)}",
                "remove it",
            )
        seen.add((folders, name))
        file = File(folders, name, b"")
        others.used |= matching(file, options.exclude)
        if options.labels is not None:
            others.paths.append(file.path)
        reason = options.unwanted(file)
        if reason:
            ignored.add(reason, file.path)
        else:
            yield replace(file, content=archive.read(member))


def _is_table(member: Member, source: LabelSource) -> bool:
    """Return whether a text file of an archive is the table of --labels, by its name and size."""
    name = _split(member.name)[1]
    return source.table is not None and (name, member.size) == (Path(source.path).name, source.table.size)


def _kind(member: Member, folders: Folders, name: str) -> str:
    """Return why a member is not read; an empty string if it should be an image."""
    if member.name.startswith("/") or ".." in folders or name == "..":
        return "files outside the archive's folder"
    if any(map(is_junk, (*folders, name))):
        return _JUNK
    if member.kind != "file":
        return _LINKS
    if is_text(name):
        return _TEXT
    return _LOOSE if not folders and not name.lower().endswith(image_format.EXPECTED) else ""


def _split(name: str) -> tuple[Folders, str]:
    parts = [part for part in name.split("/") if part not in ("", ".")] or [""]
    return tuple(parts[:-1]), parts[-1]


def _join(folders: Folders, name: str) -> str:
    return "/".join((*folders, name))


def _stem(path: Path) -> str:
    name = path.resolve().name
    for ending in (".gz", ".xz", ".tgz", ".txz", ".tar", ".zip"):
        name = name.removesuffix(ending)
    return name or "data"
