"""LOAD: from a name or a path to a data set that is read, checked, cut and ready to be scaled."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from layerline.data import content, groups, pixels, scaling, sources, splitting
from layerline.data import labels as classes_of
from layerline.data.checking import near
from layerline.data.dataset import Dataset, ImageSet, Split
from layerline.data.photos.image_options import image_options
from layerline.data.splitting import Own, Remaining, SplitOptions
from layerline.errors import DataError
from layerline.numbers import display
from layerline.numbers.randomness import Purpose
from layerline.numbers.scalars import plain

if TYPE_CHECKING:
    import os
    import re
    from collections.abc import Callable, Mapping, Sequence

    from layerline.data.part import SourceArrays, SplitName
    from layerline.data.photos.image_options import ImageOptions
    from layerline.data.photos.sizing import Sizing
    from layerline.data.splitting import Share

Sets = dict["SplitName", ImageSet]
_TOGETHER: Final = "the sets are drawn so that copies stay together (--group-by none draws each image alone)"


def load_data(
    source: str | os.PathLike[str],
    *,
    data_dir: str | os.PathLike[str] | None = None,
    classes: str | Sequence[str | int] | None = None,
    test: Share = None,
    validation: Share = None,
    limit: int | None = None,
    normalize: str | None = None,
    seed: int = 0,
    size: int | str | None = None,
    fit: str | None = None,
    gray: bool | None = None,
    labels: str | os.PathLike[str] | None = None,
    group_by: str | None = None,
    exclude: str | None = None,
    skip_bad: float | None = None,
    cache: str | os.PathLike[str] | Literal[False] | None = None,
    input_shape: tuple[int, int, int] | None = None,
    sizing: Sizing | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Dataset:
    """Read a data set, check it, and cut it into training, validation and test. Raises DataError.

    source: `digits`, `mnist`, `fashion-mnist`, `cifar10`, or a path: a folder of images or a tar of one, CIFAR-10's
        batches, an .npz file, an IDX file of images, a folder of IDX files.
    data_dir: where named sets are looked for.
    classes: only these, by name or number, as "0,1" or [0, 1]; they keep the data's order.
    test, validation: a share (0.1), a number of images (200), or "none"; taken from the training images where the data
        brings no such set, 0.15 and 0.1 by default. validation is a share of what the test leaves. Own(0.3): only
        where it brings none.
    limit: train on so many images.
    normalize: "max" (divide by the largest value pixels can have; the default) or "standard" (mean 0, deviation 1).
    seed: what the cuts are drawn from, 0 to 2⁶⁴ − 1.
    size, fit, gray, labels, group_by, exclude, skip_bad, cache, input_shape: of image files, see `asked.asked`.
    sizing: in place of size, fit, gray and input_shape, what a model says of image files; arrays stay as they are.
    progress: called now and then while image files are decoded, with how many are done, and of how many (None where
        that is not known).
    """
    normalize = scaling.check(normalize)
    classes = plain(classes)
    named = classes.split(",") if isinstance(classes, str) else classes
    wanted = SplitOptions(None if named is None else tuple(map(str, named)), test, validation, limit, seed)
    images = image_options(size, fit, gray, labels, group_by, exclude, skip_bad, cache, input_shape)
    if sizing is not None:
        images = replace(images, sizing=sizing)
    return _loaded(sources.read(source, data_dir, images, progress), wanted, images, normalize)


def _loaded(parts: SourceArrays, wanted: SplitOptions, images: ImageOptions, normalize: str) -> Dataset:
    """Return what a source brought, checked and cut. Raises DataError."""
    sets, names, maximum, notes = _settled(parts)
    if images.group_by is not None:
        sets = _grouped(sets, images.group_by)
    known = {split: part.images.known.digest for split, part in parts.splits.items() if part.images.known is not None}
    digests = content.digests(sets, names, known)
    notes += (*groups.check_apart(sets), *_unofficial(parts, digests))
    chosen = splitting.choose(wanted.classes, names)
    kept = tuple(names[k] for k in chosen)
    kept_sets = {split: splitting.keep(item, chosen, len(names)) for split, item in sets.items()}
    grouped, many = _near_together(kept_sets, parts.last_for_test, wanted, images)
    group_by = "near" if many else images.near
    try:
        splits, made = _cut(_pools(grouped, kept, parts.last_for_test), wanted)
    except splitting.GroupsError as e:
        if not many:
            raise
        group_by = "none"
        many += f": each image is drawn alone all the same, since class {display.name(e.name)} has too few groups"
        alone = {split: replace(item, groups=None) for split, item in grouped.items()}  # what was seen of copies stays
        splits, made = _cut(_pools(alone, kept, parts.last_for_test), wanted)
    if parts.of_files:
        made |= images.options(splits["train"].source.images.shape[2:], parts.resized)
    if group_by is not None:
        made["group_by"] = group_by
    if many:
        notes += (many if group_by == "none" else f"{many}: {_TOGETHER}",)
    return Dataset(
        parts.name,
        kept,
        splits["train"],
        splits.get("validation"),
        splits.get("test"),
        scaling.scaling(splits["train"], maximum, normalize),
        content.fingerprint(digests, names, parts.last_for_test),
        notes + _incomplete(splits, kept),
        {**made, "normalize": normalize},
        parts.resized,
        parts.skipped,
    )


def _grouped(sets: Sets, pattern: re.Pattern[str]) -> Sets:
    """Return the sets with the groups that --group-by makes. Raises DataError where there are groups already."""
    if any(item.groups is not None for item in sets.values()):
        raise DataError("--group-by: found the column group in --labels, expected one of them", "leave --group-by out")
    return {split: replace(item, groups=groups.of_names(item.names or (), pattern)) for split, item in sets.items()}


def _near_together(sets: Sets, last_for_test: int, wanted: SplitOptions, images: ImageOptions) -> tuple[Sets, str]:
    """Return the sets with near copies as groups, where that is asked for, or they are many and something is drawn.

    Where nobody asked for it, how many they are is said too.
    """
    train, unasked = sets["train"], images.near is None
    shares = {"test": wanted.test, "validation": wanted.validation}
    brought = {*sets, *(("test",) if last_for_test else ())}
    drawn = [split for split, share in shares.items() if split not in brought and splitting.draws(share)]
    if images.near == "none" or not drawn or (unasked and train.groups is not None):
        return sets, ""
    if train.groups is not None:
        raise DataError("--group-by near: found the column group in --labels, expected one of them", "leave one out")
    sets = near.looked_at(sets, every=not unasked)
    found, looked = near.share(sets["train"])
    if unasked and found < max(near.MANY * looked, near.FEWEST):
        return sets, ""
    if unasked and looked < len(train.labels):
        sets = near.looked_at(sets, every=True)
        found, looked = near.share(sets["train"])
    grouped = {split: replace(item, groups=near.together(item)) for split, item in sets.items()}
    if not unasked:
        return grouped, ""
    return grouped, (
        f"{display.count(found)} of {display.count(looked)} images have near copies, more than "
        f"{display.percent(near.MANY, 0)}"
    )


def _settled(parts: SourceArrays) -> tuple[Sets, tuple[str, ...], float, tuple[str, ...]]:
    """Return images and labels of each split, checked against each other, class names, maximum and notes."""
    images, maximum, notes = pixels.settle({split: part.images for split, part in parts.splits.items()}, parts.maximum)
    targets, names = classes_of.settle(parts.splits, parts.classes)
    sets = {
        split: ImageSet(images[split], targets[split], maximum, part.names, part.groups, parts.deep)
        for split, part in parts.splits.items()
    }
    if len(names) < 2:
        raise DataError(
            f"{parts.splits['train'].labels.place}: found only the class {display.name(names[0])}, expected at least 2",
            "with one class there is nothing to tell apart: add images of another",
        )
    return sets, names, maximum, parts.notes + notes


def _unofficial(parts: SourceArrays, digests: Mapping[tuple[SplitName, str], str]) -> tuple[str, ...]:
    """Return a note where the content of a named set is not the published one."""
    other = [" ".join(key) for key, official in parts.official.items() if digests[key] != official]
    if not other:
        return ()
    return (f"this is not the official {parts.name}: its {display.name(', '.join(other), 100)} differ (SHA-256)",)


def _pools(sets: Sets, classes: tuple[str, ...], last_for_test: int) -> dict[SplitName, Remaining]:
    """Return the images of the chosen classes in each set, an agreed test set parted from training."""
    pools: dict[SplitName, Remaining] = {}
    for split, item in sets.items():
        pools[split] = Remaining(item, np.flatnonzero(item.labels >= 0).astype(np.int64), classes)
    if last_for_test:
        all_of_it = pools["train"]
        first = len(all_of_it.source.labels) - last_for_test
        is_test = all_of_it.indices >= first
        pools["train"] = Remaining(all_of_it.source, all_of_it.indices[~is_test], classes)
        pools["test"] = Remaining(all_of_it.source, all_of_it.indices[is_test], classes)
    for split, pool in pools.items():
        counts = pool.counts
        if split == "train" and not counts.all():
            raise DataError(
                f"--classes: found no training image of {display.name(classes[int(np.argmin(counts))])}, "
                "expected at least one of each class",
                "leave this class out with --classes",
            )
        if not len(pool.indices):
            named = ", ".join(display.name(name, 30) for name in classes[:8])
            raise DataError(
                f"--classes: found no {split} image of {named}, expected at least one",
                f"choose others, or --{split} none",
            )
    return pools


def _cut(pools: dict[SplitName, Remaining], wanted: SplitOptions) -> tuple[dict[SplitName, Split], dict[str, Any]]:
    """Return the splits, and the options that make them again."""
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
        elif brought is not None:
            if share is not None:
                raise DataError(
                    f"--{split} {share:g}: found a {split} set in the data, of {display.count(len(brought.indices))} "
                    "images, expected none",
                    f"leave --{split} out to use it, or --{split} none to leave the set out",
                )
            splits[split] = brought.split()
        else:
            image_options = default if share is None else share
            made[split] = int(image_options) if image_options >= 1 else image_options
            taken, left = splitting.take(left, image_options, purpose, split, wanted.seed)
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
            notes.append(f"{name} has {occurring}: no image of {shown}")
    return tuple(notes)
