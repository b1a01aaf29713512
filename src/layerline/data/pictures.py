"""Image files that lie in folders, on the disk or in a tar, become training, validation and test."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline import figures
from layerline.data.decoding import Decoded, Decoder, File
from layerline.data.image_stack import ImageStack
from layerline.data.part import SPLITS, Found, Part, Parts
from layerline.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from layerline.data.decoding import Progress
    from layerline.data.image_names import Folders, Layout
    from layerline.data.part import SplitName

_MOST_BAD: Final = 1000
"""With so many bad images there is no point in looking at the rest."""
_SHOWN_BAD: Final = 100
_SHOWN_SIZES: Final = 6
_EVERY: Final = 100
"""Images between two reports of progress."""


@dataclass
class Left:
    """What is there beside the images, by kind: told in a note, never silently passed over."""

    files: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, name: str) -> int:
        """Count a file; return how many there are of all kinds."""
        self.files.setdefault(kind, []).append(name)
        return sum(map(len, self.files.values()))

    def notes(self, place: str) -> tuple[str, ...]:
        """Return a sentence for each kind."""
        return tuple(
            f"not used of {place}: {kind} ({figures.count(len(names))}), such as {figures.name(names[0], 100)}"
            for kind, names in self.files.items()
        )


class Album:
    """Images as they are decoded, with the folder and the name of each."""

    def __init__(self, place: str, expected: int = 0) -> None:
        """Begin empty; expected is how many images there will be, where it is known."""
        self._place = place
        self._expected = expected
        self._stack = ImageStack(place, expected)
        self._files: list[tuple[Folders, str]] = []
        self._digests: list[bytes] = []
        self._bad: list[str] = []
        self._sizes: Counter[tuple[int, int]] = Counter()
        self._several: list[str] = []

    def fill(self, files: Iterable[File], progress: Progress | None) -> None:
        """Decode all files. Raises DataError with all that are bad, or where the images are not of one size."""
        decoder = Decoder()
        for done, item in enumerate(decoder(files), 1):
            self._add(item, decoder)
            if progress is not None and (done % _EVERY == 0 or done == self._expected):
                progress(done, self._expected or None)
            if len(self._bad) == _MOST_BAD:
                break
        self._check()

    def parts(self, name: str, found: Layout, left: Left) -> Parts:
        """Return the images by split, sorted by class and name."""
        keys = [(*found.rank(folders), folders, file) for folders, file in self._files]
        order = sorted(range(len(keys)), key=keys.__getitem__)
        pixels = self._stack.taken()
        if order != list(range(len(order))):
            pixels = pixels[order]
        splits: dict[SplitName, Part] = {}
        ranks = np.array([keys[k][:2] for k in order], np.int32)
        for split in found.splits:
            first, last = np.searchsorted(ranks[:, 0], [SPLITS.index(split), SPLITS.index(split) + 1])
            images = Found(
                pixels[first:last], f"{self._place}: {split}" if len(found.splits) > 1 else self._place, "HWC"
            )
            names = ["/".join((*keys[k][2][found.top :], keys[k][3])) for k in order[first:last]]
            splits[split] = Part(images, Found(ranks[first:last, 1], images.place), names)
        notes = (*left.notes(self._place), *found.notes, *self._told(), *self._shared(ranks[:, 0], order))
        return Parts(name, splits, found.classes, notes=notes)

    @property
    def folders(self) -> set[Folders]:
        """Return the folders that images are in."""
        return {folders for folders, _ in self._files}

    def _add(self, item: Decoded, decoder: Decoder) -> None:
        file, picture = item.file, item.picture
        if picture is None:
            self._bad.append(f"{_path(file.folders, file.name)}: found {item.reason}")
            return
        self._sizes[picture.size] += 1
        if len(self._sizes) > 1:
            decoder.only_sizes()
            return
        assert picture.pixels is not None  # noqa: S101 - the decoder gives them until it is told to stop
        self._stack.add(picture.pixels)
        self._files.append((file.folders, file.name))
        self._digests.append(item.digest)
        if picture.several:
            self._several.append(_path(file.folders, file.name))

    def _check(self) -> None:
        if self._bad:
            raise self._all_bad()
        if len(self._sizes) > 1:
            largest = [f"{W}×{H} ({figures.count(n)})" for (H, W), n in self._sizes.most_common(_SHOWN_SIZES)]
            more = f" and {len(self._sizes) - _SHOWN_SIZES} more" if len(self._sizes) > _SHOWN_SIZES else ""
            raise DataError(
                f"{self._place}: found images of {figures.count(len(self._sizes))} sizes, width × height: "
                f"{', '.join(largest)}{more}; expected one size",
                "bring all images to one size first; images of many sizes are not read yet",
            )

    def _all_bad(self) -> DataError:
        count = (
            f"{figures.count(_MOST_BAD)} bad images or more"
            if len(self._bad) == _MOST_BAD
            else ("1 bad image" if len(self._bad) == 1 else f"{figures.count(len(self._bad))} bad images")
        )
        lines = sorted(self._bad)[:_SHOWN_BAD]
        rest = len(self._bad) - len(lines)
        also = [f"… and {figures.count(rest)} more"] * bool(rest)
        return DataError(
            "\n    ".join([f"{self._place}: found {count}, expected that all can be read", *lines, *also]),
            "mend these files, or take them out",
        )

    def _told(self) -> tuple[str, ...]:
        notes = []
        if 0 < self._stack.gray < len(self._files):
            notes.append(
                f"{figures.count(self._stack.gray)} of {figures.count(len(self._files))} images are gray, "
                "and taken as RGB like the others"
            )
        if self._several:
            notes.append(
                f"{_images(len(self._several))} such as {self._several[0]} has several frames or pages: "
                "the first is taken"
            )
        return tuple(notes)

    def _shared(self, splits: NDArray[Any], order: list[int]) -> tuple[str, ...]:
        """Return a note where a file is in two splits: figures of the test set are then too good."""
        by_split = {
            split: {self._digests[order[k]] for k in np.flatnonzero(splits == rank).tolist()}
            for rank, split in enumerate(SPLITS)
        }
        notes = []
        for split in ("validation", "test"):
            both = len(by_split[split] & by_split["train"])
            if both:
                notes.append(f"{_images(both)} of {split} also in train: its figures will look too good")
        return tuple(notes)


def _path(folders: Folders, name: str) -> str:
    return figures.name("/".join((*folders, name)), 100)


def _images(count: int, kind: str = "") -> str:
    return f"1 {kind}image" if count == 1 else f"{figures.count(count)} {kind}images"
