"""Where data comes from: a name that is known, or a path."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from layerline import figures
from layerline.data import idx, idx_folder, npz, recognise
from layerline.data.part import Found, Part, Parts
from layerline.data.recognise import shown
from layerline.errors import DataError

if TYPE_CHECKING:
    import os

    from layerline.data.part import SplitName

READ: Final = "what is read: digits, mnist, fashion-mnist; or a path: an .npz file, an IDX file, a folder of IDX files"

_DIGITS: Final = Path(__file__).parent / "digits"
_DIGITS_TEST: Final = 360
_LATER: Final = {"cifar10", "cifar-10", "cifar100", "cifar-100"}
_IMAGES: Final = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}
_TEN: Final = tuple("0123456789")


@dataclass(frozen=True)
class Named:
    """A published set of four IDX files."""

    name: str
    folders: tuple[str, ...]
    """Where in the data folder they are looked for, in this order."""
    classes: tuple[str, ...]
    official: dict[tuple[SplitName, str], str]
    """SHA-256 of the (unpacked) files, where it is known."""


MNIST: Final = Named(
    "mnist",
    ("mnist", "MNIST/raw", "MNIST"),
    _TEN,
    {
        ("train", "images"): "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ("train", "labels"): "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ("test", "images"): "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ("test", "labels"): "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
)
FASHION: Final = Named(
    "fashion-mnist",
    ("fashion-mnist", "FashionMNIST/raw", "FashionMNIST", "fashion_mnist"),
    ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    {},
)
NAMED: Final = {named.name: named for named in (MNIST, FASHION)}
NAMES: Final = ("digits", *NAMED)


def read(source: str | os.PathLike[str], data_dir: str | os.PathLike[str] | None) -> Parts:
    """Return what `source` brings: a set known by name, or what lies at a path. Raises DataError."""
    if isinstance(source, str):
        if source == "digits":
            return _digits()
        if source in NAMED:
            return _named(NAMED[source], None if data_dir is None else Path(data_dir))
        if not source.strip():
            raise DataError("--data: found nothing, expected a name or a path", READ)
    path = Path(source)
    try:
        if path.is_dir():
            return _folder(path)
        if path.exists():
            return _file(path)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise DataError(f"--data {figures.name(str(source))}: cannot be read: {reason}", "check the path") from error
    raise _unknown(str(source))


def _digits() -> Parts:
    images = _DIGITS / "digits-images-idx3-ubyte.gz"
    labels = _DIGITS / "digits-labels-idx1-ubyte.gz"
    part = Part(Found(idx.read(images, "images"), "digits"), Found(idx.read(labels, "labels"), "digits"))
    return Parts("digits", {"train": part}, _TEN, maximum=16.0, last_for_test=_DIGITS_TEST)


def _named(named: Named, data_dir: Path | None) -> Parts:
    files = ", ".join(f"{name}.gz" for name in idx_folder.OFFICIAL)
    if data_dir is None:
        here = f", or write --data ./{named.name} for the folder that is here" if Path(named.name).is_dir() else ""
        raise DataError(
            f"--data {named.name}: found no --data-dir, expected the folder that its files are in",
            f"put {files} (gzipped or not) into DIR/{named.folders[0]}, "
            f"then add --data-dir DIR or set LAYERLINE_DATA=DIR{here}",
        )
    if not data_dir.is_dir():
        raise DataError(f"--data-dir {shown(data_dir)}: found no folder there, expected one", "check the path")
    folders = [data_dir / name for name in (*named.folders, ".")]
    best = max(folders, key=lambda folder: len(idx_folder.present(folder)))
    lacking = [f"{name}.gz" for name in idx_folder.OFFICIAL if name not in idx_folder.present(best)]
    if len(lacking) == len(idx_folder.OFFICIAL):
        raise DataError(
            f"--data {named.name}: found no files of it in {shown(data_dir)}, expected them in {shown(folders[0])}",
            f"put {files} (gzipped or not) there",
        )
    if lacking:
        raise DataError(
            f"--data {named.name}: found no {', '.join(lacking)} in {shown(best)}, expected all four files",
            "put it there, gzipped or not",
        )
    parts = idx_folder.read(best)
    return Parts(named.name, parts.splits, named.classes, official=named.official)


def _folder(path: Path) -> Parts:
    if idx_folder.is_one(path):
        return idx_folder.read(path)
    names = sorted(child.name for child in path.iterdir())
    arrays = [name for name in names if name.lower().endswith(".npz")]
    if len(arrays) == 1:
        raise DataError(
            f"{shown(path)}: found a folder, expected the file in it", f"write --data {shown(path / arrays[0])}"
        )
    raise DataError(
        f"{shown(path)}: found {_contents(path, names)}, expected IDX files such as {idx_folder.OFFICIAL[0]}.gz", READ
    )


def _contents(path: Path, names: list[str]) -> str:
    if not names:
        return "an empty folder"
    for name in names[:1000]:
        child = path / name
        inside = child.iterdir() if child.is_dir() else iter([child])
        if any(item.suffix.lower() in _IMAGES for item, _ in zip(inside, range(100), strict=False)):
            return "a folder of images, which are not read yet"
    some = ", ".join(figures.name(name, 30) for name in names[:4])
    return f"a folder with {some}" + (", …" if len(names) > 4 else "")


def _file(path: Path) -> Parts:
    if not path.is_file():
        raise DataError(
            f"{shown(path)}: found something that is not a file, expected a file or a folder", "check the path"
        )
    try:
        with path.open("rb") as file:
            start = file.read(300)
    except OSError as error:
        raise recognise.unreadable(path, error) from error
    if start.startswith(recognise.ZIP) or path.suffix.lower() == ".npz":
        return npz.read(path)
    what = recognise.kind(start)
    if what and not start.startswith(recognise.GZIP) and "idx" not in path.name.lower():
        raise DataError(f"{shown(path)}: found {what}, expected IDX or .npz", f"{recognise.remedy(what)}; {READ}")
    return idx_folder.read_file(path)


def _unknown(source: str) -> DataError:
    asked = figures.name(source, 200)
    if source.lower() in _LATER:
        return DataError(f"--data {asked}: not read yet", READ)
    if any(mark in source for mark in "/\\."):
        return DataError(f"--data {asked}: found no file or folder there", f"check the path; {READ}")
    near = difflib.get_close_matches(source.lower(), NAMES, n=1)
    return DataError(
        f"--data {asked}: found no file or folder, and no data set of this name",
        f"did you mean {near[0]}?" if near else READ,
    )
