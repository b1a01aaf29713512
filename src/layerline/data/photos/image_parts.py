"""Divide decoded images into training, validation and test, with notes about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from layerline.data.dataset import Resized
from layerline.data.part import SPLITS, FoundArray, SourceArrays, SplitArrays
from layerline.data.photos import path_keys
from layerline.data.photos.bad_images import check_bad
from layerline.data.photos.file_labels import FileLabels
from layerline.data.photos.sizing import cut, smallest_and_largest
from layerline.errors import DataError
from layerline.numbers import display

if TYPE_CHECKING:
    from layerline.data.part import SplitName
    from layerline.data.photos.image_names import FolderLayout
    from layerline.data.photos.image_options import ImageOptions
    from layerline.data.photos.pictures import IgnoredFiles, Inventory, Pictures


def parts(
    place: str,
    name: str,
    pictures: Pictures,
    found: FolderLayout | FileLabels,
    ignored: IgnoredFiles,
    options: ImageOptions,
) -> SourceArrays:
    """Return images by split. Raises DataError if too many are bad, or a class has no image left."""
    inventory, pixels, maximum = pictures.inventory, pictures.pixels, None
    deep = pixels.dtype == np.uint16
    if deep:
        maximum = options.sizing.largest or float(max(1, pixels.max()))
        pixels = pixels.astype(np.float32)
    check_bad(inventory.bad, inventory.files, options, place)
    ranks = np.array([found.rank(folders, file) for folders, file in inventory.files], np.int32)
    resized = _resized(inventory, (pixels.shape[1], pixels.shape[2]))
    splits: dict[SplitName, SplitArrays] = {}
    for split in found.splits:
        first, last = np.searchsorted(ranks[:, 0], [SPLITS.index(split), SPLITS.index(split) + 1]).tolist()
        where = f"{place}: {split}" if len(found.splits) > 1 else place
        if first == last:
            raise DataError(f"{where}: no image can be read", "fix the files")
        images = FoundArray(pixels[first:last], where, "HWC", pictures.known.get((first, last)))
        names = ["/".join((*folders[found.top :], file)) for folders, file in inventory.files[first:last]]
        groups = _groups(found, inventory, first, last)
        splits[split] = SplitArrays(images, FoundArray(ranks[first:last, 1], where), names, groups)
    _check_classes(place, ranks, found.classes)
    notes = (
        *ignored.notes(place),
        *found.notes,
        *_notes(inventory, pixels.ndim > 3, options, resized),
        *_deep(inventory, maximum),
        *([pictures.note] if pictures.note else []),
    )
    return SourceArrays(
        *(name, splits, found.classes, maximum),
        notes=notes,
        resized=resized,
        skipped=tuple(sorted(file.text for file in inventory.bad)),
        of_files=True,
        deep=deep,
    )


def _groups(found: FolderLayout | FileLabels, inventory: Inventory, first: int, last: int) -> np.ndarray | None:
    """Return the groups from a label file; a file without one is its own group."""
    if not isinstance(found, FileLabels) or not found.has_groups:
        return None
    names = []
    for folders, file in inventory.files[first:last]:
        row = found.row(folders, file)
        names.append(f"group {row.group}" if row and row.group else f"file {'/'.join((*folders, file))}")
    return path_keys.groups(names)


def _check_classes(place: str, ranks: np.ndarray, classes: tuple[str, ...]) -> None:
    """Raise DataError if all training files of a class are bad."""
    counts = np.bincount(ranks[ranks[:, 0] == 0, 1], minlength=len(classes))
    if not counts.all():
        raise DataError(
            f"{place}: no training image of {display.name(classes[int(np.argmin(counts))])} can be read; "
            "expected at least one of each class",
            "fix its files, or omit the class with --classes",
        )


def _resized(inventory: Inventory, size: tuple[int, int]) -> Resized | None:
    if set(inventory.sizes) == {size}:
        return None
    share = sum(cut(each, size) * count for each, count in inventory.sizes.items()) / sum(inventory.sizes.values())
    examples = tuple(inventory.examples)
    return Resized(len(inventory.sizes), *smallest_and_largest(inventory.sizes), size, inventory.fit, share, examples)


def _deep(inventory: Inventory, maximum: float | None) -> tuple[str, ...]:
    """Return a note on how 16-bit images are handled."""
    if maximum is not None:
        return (f"16-bit pixels are divided by the largest value, {display.count(int(maximum))} (--normalize)",)
    if not inventory.halved:
        return ()
    have = "has" if inventory.halved == 1 else "have"
    return (
        f"{display.counted(inventory.halved, 'image')} of {display.count(len(inventory.files))} {have} 16 bits, "
        "but only the upper 8 are used: all 16 are used only if every image is 16-bit gray",
    )


def _notes(inventory: Inventory, color: bool, options: ImageOptions, resized: Resized | None) -> tuple[str, ...]:
    """Return notes on conversions, several frames, skipped files, crops and enlargements."""
    notes = []
    count = len(inventory.files)
    if 0 < inventory.gray < count and color:
        be = "is" if inventory.gray == 1 else "are"
        notes.append(
            f"{display.count(inventory.gray)} of {display.count(count)} images {be} gray, "
            f"and {be} converted to RGB like the others"
        )
    if inventory.several:
        have = "has" if len(inventory.several) == 1 else "have"
        notes.append(
            f"{display.counted(len(inventory.several), 'image')} such as {inventory.several[0]} {have} several "
            "frames or pages: only the first is used"
        )
    if inventory.bad:
        bad = len(inventory.bad)
        notes.append(
            f"{display.count(bad)} of {display.count(count + bad)} files cannot be used "
            f"and are skipped (--skip-bad {options.skip_bad:g}), such as {inventory.bad[0].text}"
        )
    if resized is not None:
        H, W = resized.size
        if resized.cut and resized.fit == "crop":
            notes.append(f"the crop removes {display.percent(resized.cut)} of the average image (--fit, --size)")
        elif resized.cut and options.sizing.fit is None:
            notes.append(
                f"a crop would remove {display.percent(resized.cut)} of the average image, "
                "and more than a fifth of most: stretched instead (--fit)"
            )
        grown = sum(count for (h, w), count in inventory.sizes.items() if h < H or w < W)
        if grown:
            notes.append(
                f"{display.counted(grown, 'image')} of {display.count(count)} smaller than "
                f"{display.picture(H, W)}: enlarged (--size, --fit)"
            )
    return tuple(notes)
