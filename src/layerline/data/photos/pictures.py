"""Decode image files, resize them to one size, count them, and sort them."""

from __future__ import annotations

import base64
import itertools
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from layerline.data import content
from layerline.data.dataset import Example
from layerline.data.part import Digested
from layerline.data.photos.bad_images import MAX_BAD, BadFile, check_bad
from layerline.data.photos.cache import digest_of
from layerline.data.photos.decoding import Decoded, Decoder, File, read
from layerline.data.photos.image_file import decode
from layerline.data.photos.image_stack import ImageStack, reorder
from layerline.files import user_folder
from layerline.files.private import Unfinished
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from layerline.data.dataset import Fit
    from layerline.data.photos.cache import CacheEntry
    from layerline.data.photos.decoding import Progress
    from layerline.data.photos.file_labels import FileLabels
    from layerline.data.photos.headers import Outlines
    from layerline.data.photos.image_names import FolderLayout
    from layerline.data.photos.image_options import ImageOptions
    from layerline.data.photos.kept_images import CachedImages
    from layerline.data.photos.layout_refusal import Folders

_EVERY: Final = 100
"""Number of images between two progress reports."""
_EXAMPLE: Final = 160
"""Maximum rows and columns of the original of an example."""


@dataclass
class IgnoredFiles:
    """Files that are not used, by kind: reported in a note, never ignored silently."""

    files: dict[str, list[str]] = field(default_factory=dict)
    elsewhere: list[str] = field(default_factory=list)
    """Links that point outside the folder. They are followed."""
    root: str = ""
    """The folder, without links in its path."""
    recoded: list[str] = field(default_factory=list)
    """Names in a zip archive that were not stored as Unicode."""

    def add(self, kind: str, name: str) -> int:
        """Record a file; return the number of files of all kinds."""
        self.files.setdefault(kind, []).append(name)
        return sum(map(len, self.files.values()))

    def drop(self, kind: str, names: Collection[str]) -> None:
        """Remove files that are used after all."""
        left = [name for name in self.files.get(kind, []) if name not in names]
        if left:
            self.files[kind] = left
        else:
            self.files.pop(kind, None)

    def notes(self, place: str) -> tuple[str, ...]:
        """Return a note for each kind."""
        notes = [
            f"ignored in {place}: {kind} ({display.count(len(names))}), such as {display.name(names[0], 100)}"
            for kind, names in self.files.items()
        ]
        if self.elsewhere:
            some = f"({display.count(len(self.elsewhere))}), such as {display.name(self.elsewhere[0], 100)}"
            notes.append(f"links that point outside {place} are followed {some}")
        if self.recoded:
            notes.append(
                f"names in {place} that are not Unicode are read as code page 437 "
                f"({display.count(len(self.recoded))}), such as {display.name(self.recoded[0], 100)}"
            )
        return tuple(notes)


@dataclass
class Inventory:
    """Facts about decoded images, in their order."""

    files: list[tuple[Folders, str]] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    """Digests of the bytes of their files."""
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    """(H, W) of their files → number of images."""
    several: list[str] = field(default_factory=list)
    """Files with several frames or pages."""
    bad: list[BadFile] = field(default_factory=list)
    gray: int = 0
    halved: int = 0
    """Number of files with 16 bits of which the upper 8 are used."""
    fit: Fit = "crop"
    """How the images were resized."""
    examples: list[Example] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the content as JSON values."""
        return {
            "files": [[*folders, name] for folders, name in self.files],
            "digests": [digest.hex() for digest in self.digests],
            "sizes": [[*size, count] for size, count in self.sizes.items()],
            "several": self.several,
            "bad": [[*file.folders, file.name, file.reason] for file in self.bad],
            "gray": self.gray,
            "halved": self.halved,
            "fit": self.fit,
            "examples": [[each.name, _text_of(each.original), _text_of(each.fitted)] for each in self.examples],
        }

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Inventory:
        """Return what `to_json` was called on."""
        return cls(
            [(tuple(parts[:-1]), parts[-1]) for parts in record["files"]],
            [bytes.fromhex(digest) for digest in record["digests"]],
            Counter({(H, W): count for H, W, count in record["sizes"]}),
            record["several"],
            [BadFile(tuple(folders), name, reason) for *folders, name, reason in record["bad"]],
            record["gray"],
            record["halved"],
            record["fit"],
            [Example(name, _array_of(original), _array_of(fitted)) for name, original, fitted in record["examples"]],
        )

    def sorted_by(self, order: list[int]) -> Inventory:
        """Return the inventory of the images in another order."""
        return replace(self, files=[self.files[k] for k in order], digests=[self.digests[k] for k in order])


@dataclass(frozen=True, eq=False)
class Pictures:
    """Decoded images in the order of the data set."""

    pixels: NDArray[Any]
    """uint8 or uint16 (N, H, W) or (N, H, W, 3)."""
    inventory: Inventory
    known: dict[tuple[int, int], Digested] = field(default_factory=dict)
    """(first, last) → digest and range of these images."""
    note: str = ""
    """Where they are cached, or why they are not."""


@final
class ImageCollector:
    """Decodes image files and collects the images, with the folder and name of each."""

    def __init__(self, place: str, options: ImageOptions, outlines: Outlines, expected: int = 0) -> None:
        """Start empty; expected: the number of images, if it is known."""
        self._place, self._options, self._expected = place, options, expected
        self._sizing = outlines.settled()
        self._examples = outlines.examples(self._sizing.size or (1, 1))
        self._stack = ImageStack(place, expected, options.cache)
        self._read: list[bytes] = []
        self.inventory = Inventory(fit=self._sizing.how)

    def fill(self, files: Iterable[File], progress: Progress | None) -> None:
        """Decode all files. Raises DataError that lists the bad ones, if they are more than may be skipped."""
        decoder = Decoder(self._sizing)
        try:
            for done, item in enumerate(decoder(files), 1):
                self._add(item)
                if progress is not None and (done % _EVERY == 0 or done == self._expected):
                    progress(done, self._expected or None)
                if len(self.inventory.bad) == MAX_BAD and not self._options.skip_bad:
                    break
            check_bad(self.inventory.bad, self.inventory.files, self._options, self._place)
        except BaseException:
            self._stack.drop()
            raise
        self.inventory.gray = self._stack.gray

    @property
    def folders(self) -> set[Folders]:
        """Return the folders that contain images."""
        return {folders for folders, _ in self.inventory.files}

    def sorted_by(
        self, found: FolderLayout | FileLabels, cached: CachedImages | None, more: dict[str, Any]
    ) -> Pictures:
        """Return the images by split, class and name, cached if `cached` is given and they are large enough.

        more: metadata to store along with them.
        """
        keys = [(*found.rank(folders, name), folders, name) for folders, name in self.inventory.files]
        order = sorted(range(len(keys)), key=keys.__getitem__)
        moved = order != list(range(len(order)))
        inventory = self.inventory.sorted_by(order)
        bounds = _bounds(np.array([keys[k][0] for k in order]))
        shape, kind = (len(order), *self._stack.shape), self._stack.type
        if moved and self._stack.in_file:
            self._stack.change(lambda pixels: pixels, order)
            moved = False
        failed, taken = self._stack.failed, self._stack.taken()
        if not isinstance(taken, Unfinished):
            note = f"the decoded images are not cached: {failed}" if failed else ""
            if moved:
                reorder(taken, order)
            return Pictures(taken, inventory, note=note)
        assert cached is not None  # noqa: S101 - nothing is in a file without one
        try:
            known = {}
            size = int(np.prod(shape[1:]))
            for first, last in bounds if kind == np.uint8 else ():  # other types are converted before they are used
                header = content.header((last - first, *shape[1:]))
                known[first, last] = Digested(*digest_of(taken, header, first * size, last * size))
            metadata = {
                **more,
                **inventory.to_json(),
                "shape": shape,
                "type": kind.name,
                "known": [[*bound, k.digest, k.low, k.high] for bound, k in known.items()],
            }
            return from_cache(cached.keep(taken, metadata, self._read), cached)
        except OSError as error:
            whole = taken.read(0, int(np.prod(shape)) * kind.itemsize)
            pixels = np.frombuffer(whole, kind).reshape(shape)
            return Pictures(pixels, inventory, note=f"the decoded images are not cached: {error.strerror or error}")
        finally:
            taken.drop()

    def _add(self, item: Decoded) -> None:
        file, picture, inventory = item.file, item.picture, self.inventory
        self._read.append(item.digest)
        if picture is None:
            inventory.bad.append(BadFile(file.folders, file.name, item.reason))
            return
        inventory.sizes[picture.size] += 1
        self._stack.add(picture.pixels)
        inventory.files.append((file.folders, file.name))
        inventory.digests.append(item.digest)
        inventory.halved += picture.halved
        if picture.several:
            inventory.several.append(display.name(file.path, 100))
        if file.path in self._examples:
            inventory.examples.append(Example(file.path, self._whole(file, picture.size), picture.pixels))

    def _whole(self, file: File, size: tuple[int, int]) -> NDArray[Any]:
        """Return the whole image, scaled down."""
        smaller = min(1.0, _EXAMPLE / max(size))
        h, w = (max(1, round(side * smaller)) for side in size)
        return decode(read(file), replace(self._sizing, size=(h, w), fit="stretch")).pixels


def from_cache(entry: CacheEntry, cached: CachedImages) -> Pictures:
    """Return cached images."""
    known = {(first, last): Digested(digest, low, high) for first, last, digest, low, high in entry.metadata["known"]}
    where = _without_names(cached.cache.folder)
    note = f"the decoded images are cached in {where} for the next run: {display.size(entry.bytes)} (--cache)"
    return Pictures(entry.pixels, Inventory.from_json(entry.metadata), known, note)


def _text_of(pixels: NDArray[Any]) -> list[Any]:
    """Return pixels as JSON values."""
    return [pixels.dtype.name, pixels.shape, base64.b64encode(pixels.tobytes()).decode()]


def _array_of(text: list[Any]) -> NDArray[Any]:
    """Return the pixels that `_text_of` was called on."""
    name, shape, content = text
    return np.frombuffer(base64.b64decode(content), np.dtype(name)).reshape(shape)


def _without_names(folder: Path) -> str:
    """Return a folder for a note, without user names: the note is stored with the run."""
    text = user_folder.shown(folder)
    return text if text.startswith("~") else display.name(folder.name or text)


def _bounds(splits: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return the first and last index of the images of each split."""
    edges = [0, *(np.flatnonzero(np.diff(splits)) + 1).tolist(), len(splits)]
    return list(itertools.pairwise(edges))
