"""LOAD: from a name or a path to a data set that is read, checked, split and ready to be scaled."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from layerline.data import content, groups, in_memory, pixels, scaling, sources, splitting
from layerline.data import labels as classes_of
from layerline.data.checking import near
from layerline.data.dataset import Dataset, ImageSet, Split
from layerline.data.folds import Fold
from layerline.data.photos.image_options import image_options
from layerline.data.splitting import Own, Remaining, SplitOptions
from layerline.errors import DataError, other_calls
from layerline.errors.wrong_calls import answered
from layerline.numbers import display
from layerline.numbers.randomness import Purpose
from layerline.numbers.scalars import plain

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Mapping, Sequence

    from layerline.data.part import SourceArrays, SplitName
    from layerline.data.photos.cache import Cache
    from layerline.data.photos.image_options import ImageOptions
    from layerline.data.photos.sizing import Sizing
    from layerline.data.splitting import Share

Sets = dict["SplitName", ImageSet]
_TOGETHER: Final = "copies stay in the same split (--group-by none splits image by image)"


@answered(in_memory.USAGE, "layerline.train", other_calls.LOAD_DATA)
def load_data(
    source: str | os.PathLike[str] | Any,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    classes: str | Sequence[str | int] | None = None,
    test: Share | Any = None,
    validation: Share | Any = None,
    limit: int | None = None,
    normalize: Literal["max", "standard"] | None = None,
    seed: int = 0,
    size: int | str | None = None,
    fit: Literal["crop", "pad", "stretch"] | None = None,
    gray: bool | None = None,
    labels: str | os.PathLike[str] | None = None,
    file_column: str | None = None,
    label_column: str | None = None,
    label_by: str | None = None,
    group_by: str | None = None,
    exclude: str | None = None,
    skip_bad: float | None = None,
    cache: str | os.PathLike[str] | Literal[False] | None = None,
    input_shape: tuple[int, int, int] | None = None,
    sizing: Sizing | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Dataset:
    """Read a data set, check it, and split it into training, validation and test. Raises DataError.

    source: `digits`, `mnist`, `fashion-mnist`, `cifar10`, or a path to an image folder, an archive of one, CIFAR, IDX,
        .npz, .npy, .mat or Parquet files, or a .csv of pixels. Or data in memory (docs/python.md): a pair (x, y) of
        images and labels; a DataFrame, or a pair (paths, labels); or an iterable of batches (x, y), read once.
    data_dir: the folder in which named sets, or the files of a DataFrame, are looked up.
    classes: use only these, by name or number, as "0,1" or [0, 1]; they keep the data's order.
    test, validation: a fraction (0.1), a number of images (200), or "none"; taken from the training images if the data
        has no such split, 0.15 and 0.1 by default. validation is a fraction of what remains after test. Own(0.3): take
        it only if the data has none. test="2/5": the second of five folds. For data in memory also test=(xt, yt).
    limit: train on at most this many images.
    normalize: "max" (divide by the largest possible pixel value; the default) or "standard" (mean 0, deviation 1).
    seed: the random seed of the splits, 0 to 2⁶⁴ − 1.
    size, fit, gray, labels, file_column, label_column, label_by, group_by, exclude, skip_bad, cache, input_shape: for
        image files, see `image_options.image_options`.
    sizing: replaces size, fit, gray and input_shape by a model's preprocessing of image files; arrays stay as they are.
    progress: called while image files are decoded, with the number done and the total (None if unknown).
    """
    given: tuple[tuple[SplitName, Any], ...] = (("test", test), ("validation", validation))
    others = {split: value for split, value in given if in_memory.is_data(value)}
    in_memory.check_source(source, others)
    test, validation = (None if split in others else value for split, value in given)
    scale = scaling.check(normalize)
    classes = plain(classes)
    named = classes.split(",") if isinstance(classes, str) else classes
    wanted = SplitOptions(None if named is None else tuple(map(str, named)), test, validation, limit, seed)
    images = image_options(
        *(size, fit, gray, labels, file_column, label_column, label_by),
        *(group_by, exclude, skip_bad, cache, input_shape),
    )
    if sizing is not None:
        images = replace(images, sizing=sizing)
    named_source = isinstance(source, str | os.PathLike)
    read = sources.read if named_source else functools.partial(in_memory.read, others=others)
    return _loaded(read(source, data_dir=data_dir, options=images, progress=progress), wanted, images, scale)


@dataclass(frozen=True, eq=False)
class _Checked:
    """A source with everything checked that does not depend on how it is split."""

    parts: SourceArrays
    images: ImageOptions
    normalize: str
    sets: Sets
    """With groups, if images stay together."""
    classes: tuple[str, ...]
    maximum: float
    fingerprint: str
    many: str
    """A message with the number of near copies, if there are so many that they stay together; else empty."""
    notes: tuple[str, ...]


def _loaded(parts: SourceArrays, wanted: SplitOptions, images: ImageOptions, normalize: str) -> Dataset:
    """Return the data set of a source, checked and split. Raises DataError."""
    sets, names, maximum, notes = _settled(parts, images.cache)
    if images.group_by is not None:
        sets = _grouped(sets, images.group_by)
    known = {split: part.images.known.digest for split, part in parts.splits.items() if part.images.known is not None}
    digests = content.digests(sets, names, known)
    notes += (*groups.check_apart(sets), *_unofficial(parts, digests))
    chosen = splitting.choose(wanted.classes, names)
    selected = tuple(names[k] for k in chosen)
    notes += classes_of.similar(selected)
    selected_sets = {split: splitting.keep(item, chosen, len(names)) for split, item in sets.items()}
    grouped, many = _near_grouped(selected_sets, parts.last_for_test, wanted, images)
    fingerprint = content.fingerprint(digests, names, parts.last_for_test)
    return _divided(
        _Checked(parts, images, normalize, grouped, selected, maximum, fingerprint, many, notes), wanted, wanted.test
    )


def _divided(checked: _Checked, wanted: SplitOptions, test: Share) -> Dataset:
    """Return the data set split with `test` as its test set."""
    parts, images, many, notes = checked.parts, checked.images, checked.many, checked.notes
    wanted = replace(wanted, test=test)
    group_by = "near" if many else images.near
    pools = _pools(checked.sets, checked.classes, parts.last_for_test)
    notes += _unused(pools, wanted)
    try:
        splits, made = _split(pools, wanted)
    except splitting.GroupsError as e:
        if not many:
            raise
        group_by = "none"
        many += (
            f", but class {display.name(e.name)} has too few groups to keep copies together: images are split singly"
        )
        alone = {split: replace(item, groups=None) for split, item in checked.sets.items()}  # near copies stay known
        splits, made = _split(_pools(alone, checked.classes, parts.last_for_test), wanted)
    if parts.of_files:
        made |= images.options(splits["train"].source.images.shape[2:], parts.resized)
    if group_by is not None:
        made["group_by"] = group_by
    if many:
        notes += (many if group_by == "none" else f"{many}: {_TOGETHER}",)
    return Dataset(
        parts.name,
        checked.classes,
        splits["train"],
        splits.get("validation"),
        splits.get("test"),
        scaling.scaling(splits["train"], checked.maximum, checked.normalize),
        checked.fingerprint,
        notes + _incomplete(splits, checked.classes),
        {**made, "normalize": checked.normalize},
        parts.resized,
        parts.skipped,
        functools.partial(_divided, checked, wanted) if isinstance(test, Fold) else None,
    )


def _grouped(sets: Sets, pattern: re.Pattern[str]) -> Sets:
    """Return the sets with the groups from --group-by. Raises DataError if they already have groups."""
    if any(item.groups is not None for item in sets.values()):
        raise DataError("--group-by: the --labels file already has the column group", "omit --group-by")
    return {split: replace(item, groups=groups.of_names(item.names or (), pattern)) for split, item in sets.items()}


def _near_grouped(sets: Sets, last_for_test: int, wanted: SplitOptions, images: ImageOptions) -> tuple[Sets, str]:
    """Return the sets with near copies as groups if requested, or if there are many and a split has to be drawn.

    If not requested, a message with their number is returned too.
    """
    train, by_default = sets["train"], images.near is None
    shares = {"test": wanted.test, "validation": wanted.validation}
    brought = {*sets, *(("test",) if last_for_test else ())}
    drawn = [
        split
        for split, share in shares.items()
        if isinstance(share, Fold) or (split not in brought and splitting.draws(share))
    ]
    if images.near == "none" or not drawn or (by_default and train.groups is not None):
        return sets, ""
    if train.groups is not None:
        raise DataError("--group-by near: the --labels file already has the column group", "use only one of the two")
    sets = near.looked_at(sets, every=not by_default)
    found, looked = near.share(sets["train"])
    if by_default and found < max(near.MANY * looked, near.FEWEST):
        return sets, ""
    if by_default and looked < len(train.labels):
        sets = near.looked_at(sets, every=True)
        found, looked = near.share(sets["train"])
    grouped = {split: replace(item, groups=near.together(item)) for split, item in sets.items()}
    if not by_default:
        return grouped, ""
    return grouped, (
        f"{display.count(found)} of {display.count(looked)} images have near copies, more than "
        f"{display.percent(near.MANY, 0)}"
    )


def _settled(parts: SourceArrays, cache: Cache | None) -> tuple[Sets, tuple[str, ...], float, tuple[str, ...]]:
    """Return images and labels of each split, checked against each other, class names, maximum and notes."""
    folder = None if cache is None else cache.folder
    images, maximum, notes = pixels.settle({split: part.images for split, part in parts.splits.items()}, parts.maximum)
    targets, names = classes_of.settle(parts.splits, parts.classes)
    sets = {
        split: ImageSet(images[split], targets[split], maximum, part.names, part.groups, parts.deep, cache=folder)
        for split, part in parts.splits.items()
    }
    if len(names) < 2:
        raise DataError(
            f"{parts.splits['train'].labels.place}: found only class {display.name(names[0])}, "
            "expected at least 2 classes",
            "add images of another class",
        )
    return sets, names, maximum, parts.notes + notes


def _unofficial(parts: SourceArrays, digests: Mapping[tuple[SplitName, str], str]) -> tuple[str, ...]:
    """Return a note if the content of a named set is not the published one."""
    other = [" ".join(key) for key, official in parts.official.items() if digests[key] != official]
    if not other:
        return ()
    return (f"this is not the official {parts.name}: {display.name(', '.join(other), 100)} differ (SHA-256)",)


def _pools(sets: Sets, classes: tuple[str, ...], last_for_test: int) -> dict[SplitName, Remaining]:
    """Return the images of the chosen classes in each set, a conventional test set separated from training."""
    pools: dict[SplitName, Remaining] = {}
    for split, item in sets.items():
        pools[split] = Remaining(item, np.flatnonzero(item.labels >= 0).astype(np.int64), classes)
    if last_for_test:
        everything = pools["train"]
        first = len(everything.source.labels) - last_for_test
        is_test = everything.indices >= first
        pools["train"] = Remaining(everything.source, everything.indices[~is_test], classes)
        pools["test"] = Remaining(everything.source, everything.indices[is_test], classes)
    for split, pool in pools.items():
        counts = pool.counts
        if split == "train" and not counts.all():
            raise DataError(
                f"--classes: no training images of {display.name(classes[int(np.argmin(counts))])}; "
                "every class needs at least one",
                "exclude this class with --classes",
            )
        if not len(pool.indices):
            named = ", ".join(display.name(name, 30) for name in classes[:8])
            raise DataError(
                f"--classes: the {split} set has no images of {named}",
                f"choose other classes, or use --{split} none",
            )
    return pools


def _unused(pools: Mapping[SplitName, Remaining], wanted: SplitOptions) -> tuple[str, ...]:
    """Return a note if the data has a test set, but the test set is a fold of the training images."""
    own = pools.get("test")
    if own is None or not isinstance(wanted.test, Fold):
        return ()
    count = display.counted(len(own.indices), "image")
    return (f"the data's own test set of {count} is not used: the test set is a fold of the training images",)


def _split(pools: dict[SplitName, Remaining], wanted: SplitOptions) -> tuple[dict[SplitName, Split], dict[str, Any]]:
    """Return the splits, and the options that reproduce them."""
    left = pools["train"]
    splits: dict[SplitName, Split] = {}
    made: dict[str, Any] = {} if wanted.classes is None else {"classes": left.classes}
    steps: tuple[tuple[SplitName, Share, float, Purpose], ...] = (
        ("test", wanted.test, splitting.DEFAULT_TEST, Purpose.TEST_SPLIT),
        ("validation", wanted.validation, splitting.DEFAULT_VALIDATION, Purpose.VALIDATION_SPLIT),
    )
    for split, share, default, purpose in steps:
        brought = pools.get(split)
        if isinstance(share, Own):
            share = None if brought is not None else share.otherwise
        if share == "none":
            made[split] = "none"
        elif isinstance(share, Fold):
            made[split] = str(share)
            taken, left = splitting.take(left, share, purpose, split, wanted.seed)
            splits[split] = taken.split()
        elif brought is not None:
            if share is not None:
                raise DataError(
                    f"--{split} {share:g}: the data has its own {split} set of {display.count(len(brought.indices))} "
                    "images",
                    f"omit --{split} to use it, or use --{split} none to ignore it",
                )
            splits[split] = brought.split()
        else:
            amount = default if share is None else share
            made[split] = int(amount) if amount >= 1 else amount
            taken, left = splitting.take(left, amount, purpose, split, wanted.seed)
            splits[split] = taken.split()
    if wanted.limit is not None:
        left = splitting.limit(left, wanted.limit, wanted.seed)
        made["limit"] = wanted.limit
    splits["train"] = left.split()
    return splits, made


def _incomplete(splits: Mapping[SplitName, Split], classes: tuple[str, ...]) -> tuple[str, ...]:
    """Return a note for each split that lacks a class."""
    notes = []
    for name, split in splits.items():
        counts = np.bincount(split.labels, minlength=len(classes))
        if not counts.all():
            missing = np.flatnonzero(counts == 0)
            shown = ", ".join(display.name(classes[k], 30) for k in missing[:4]) + (", …" if len(missing) > 4 else "")
            occurring = display.classes(len(classes) - len(missing), len(classes))
            notes.append(f"{name} has {occurring}: no images of {shown}")
    return tuple(notes)
