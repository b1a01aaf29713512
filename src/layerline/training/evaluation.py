"""TRAIN: a model on images whose classes are known: which of them, by the names of whose classes, on whose scale."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from layerline.data import pixels
from layerline.data.checking import brightness
from layerline.data.dataset import ImageSet, Split
from layerline.errors import DataError
from layerline.measure import baselines, intervals, remarks
from layerline.numbers import display
from layerline.numbers.scalars import plain
from layerline.recipe import checks
from layerline.runs import metrics
from layerline.runs.result import Result
from layerline.training.scale import OF_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from layerline.data.dataset import Dataset
    from layerline.engines.interface import Engine, Outputs
    from layerline.runs.model_file import Preprocessing
    from layerline.runs.result import Baselines

Which = Literal["test", "validation", "train", "all"]
WHICH: Final[tuple[Which, ...]] = ("test", "validation", "train", "all")

_SHORT: Final = 65535.0
_AT_ONCE: Final = 1 << 24
"""Values of images that are looked at between two words of progress."""
_MOST_NAMES: Final = 8


def which_of(word: str) -> Which:
    """Return which images a word names. Raises DataError where it names none."""
    for which in WHICH:
        if word == which:
            return which
    raise DataError(f"--split {display.name(word)}: not known", "one of: " + ", ".join(WHICH))


def parts(data: Dataset, which: str) -> list[tuple[str, Split]]:
    """Return the sets that are looked at, each with its name. Raises DataError where the data has none."""
    which_of(which)
    found = [("train", data.train), ("validation", data.validation), ("test", data.test)]
    chosen = [(name, split) for name, split in found if split is not None and which in (name, "all")]
    if not chosen:
        some = ", ".join(name for name, split in found if split is not None and name != "train")
        raise DataError(
            f"--split {which}: {display.name(data.name)} has no {which} set (--{which} none), expected one",
            f"--split {some} looks at what it has; --split all at every image"
            if some
            else "--split all looks at every image",
        )
    return chosen


def check(data: Dataset, shape: tuple[int, int, int], classes: Sequence[str], preprocessing: Preprocessing) -> None:
    """Raise DataError where the data is not what a model takes: its images, what became of them, its classes.

    Images by hand may be NaN or infinite; `load_data` has refused such already.
    """
    name = display.name(data.name)
    if data.shape != shape:
        raise DataError(
            f"{name}: found images of {_times(data.shape)}, and the model takes {_times(shape)}",
            "arrays stay as they are: give it some of that shape; image files are brought to it, in Python by "
            "model.load_data(path)",
        )
    if data.resized is not None and data.resized.fit != preprocessing.fit:
        raise DataError(
            f"{name}: found images fitted by {data.resized.fit}, and the model's were by {preprocessing.fit}",
            "read them as the model's were: model.load_data(path)",
        )
    for images in _images(data):
        pixels.check_finite(images, name)
    _check_scale(data, preprocessing)
    _check_classes(data, classes)


def _check_scale(data: Dataset, preprocessing: Preprocessing) -> None:
    """Raise DataError where it cannot be told how pixels come to the scale of the training: see `largest`."""
    has, needs, seen = data.train.source.maximum, preprocessing.maximum, preprocessing.seen
    normalized = seen is not None and seen.normalized
    found = ""
    if has != needs and needs in OF_TYPES and not _typed(data.train.source, needs):
        found = f"pixels up to {has:.4g}"
    elif has != needs and normalized:
        found = f"pixels from 0 to {has:.4g}"
    elif has == 1 and (has != needs or (seen is not None and not normalized)):
        low = min(float(images.min()) for images in _images(data))
        found = "pixels below 0" if low < (brightness.BELOW if has == needs else 0) else ""
    if found:
        were = (
            f"from {seen.low:.4g} to {seen.high:.4g}" if seen is not None and normalized else f"from 0 to {needs:.4g}"
        )
        raise DataError(
            f"{display.name(data.name)}: found {found}, and the model's were {were}: how one becomes the other cannot "
            "be told",
            "normalize them as the training images were"
            if normalized
            else "save them as uint8, or as floats from 0 to 1",
        )


def _images(data: Dataset) -> list[NDArray[np.generic]]:
    splits = [split for split in (data.train, data.validation, data.test) if split is not None]
    return list({id(split.source): split.source.images for split in splits}.values())


def largest(source: ImageSet, needs: float) -> float:
    """Return the value of these pixels that becomes the training's largest, `needs`.

    What a type says: 255 of bytes, 1 of floats up to 1. Where only the images themselves say it, of both, no more than
    chance makes them differ, and pixels stay as they are.
    """
    return source.maximum if _typed(source, needs) else needs


def _typed(source: ImageSet, needs: float) -> bool:
    """Return whether these pixels have their largest value by their type, and not by what was found in them.

    Images of 16 bits that reach the end of their range are taken so only for a training on other types.
    """
    if source.maximum == _SHORT:
        return needs in OF_TYPES
    return source.maximum in OF_TYPES and not source.deep


def _check_classes(data: Dataset, classes: Sequence[str]) -> None:
    """Raise DataError where the names of the classes are others; with --classes some of the model's may be missing."""
    unknown = [name for name in data.classes if name not in classes]
    missing = [name for name in classes if name not in data.classes]
    if not unknown and (not missing or "classes" in data.cuts):
        return
    differences = [f"{_listed(unknown)}, which the model does not know"] if unknown else []
    differences += [f"no {_listed(missing)}"] if missing else []
    both = [name for name in data.classes if name in classes]
    plain = len(both) > 1 and not any("," in name or name != display.name(name) for name in both)
    raise DataError(
        f"{display.name(data.name)}: found other classes than the model's: it has {', and '.join(differences)}",
        f"classes go by their names, spelled alike; --classes {','.join(both)} looks at what both know"
        if plain and len(both) <= _MOST_NAMES
        else f"classes go by their names, spelled alike: the model knows {_listed(classes)}",
    )


def evaluated(
    engine: Engine,
    data: Dataset,
    which: str,
    classes: Sequence[str],
    preprocessing: Preprocessing,
    *,
    seed: int,
    with_baselines: bool,
    progress: Callable[[int, int], None] | None,
) -> Result:
    """Return what an engine says of images, as the test of a training would; see `Model.evaluate`."""
    seed = plain(seed)
    checks.whole("seed", seed, 0, 2**64 - 1)
    chosen = [(name, _named(split, data.classes, classes)) for name, split in parts(data, which)]
    total, done = sum(len(split) for _, split in chosen), 0
    outputs: list[Outputs] = []
    look = brightness.Look(preprocessing.seen)
    for _, split in chosen:
        for piece in _pieces(split, preprocessing):
            if progress is not None:
                progress(done, total)
            outputs.append(engine.evaluate(piece))
            look.add(_some(piece), preprocessing.maximum)
            done += len(piece)
    if progress is not None:
        progress(done, total)
    losses = np.concatenate([each.losses for each in outputs])
    said = np.concatenate([each.probabilities.argmax(axis=1) for each in outputs])
    truth = np.concatenate([split.labels for _, split in chosen])
    confusion = metrics.confusion(truth, said, len(classes))
    result = Result.of(classes, float(losses.mean()), confusion)
    beside = _beside(data, chosen) if with_baselines else None
    result = dataclasses.replace(result, intervals=intervals.intervals(confusion, seed), baselines=beside)
    unlike = look.remark()
    return dataclasses.replace(result, remarks=(*((unlike,) if unlike else ()), *remarks.of_evaluation(result)))


def _beside(data: Dataset, chosen: list[tuple[str, Split]]) -> Baselines | None:
    """Return the baselines: only where the data has other images than those that are looked at to fit them to."""
    ((name, _), *more) = chosen
    if more or name == "train":
        return None
    return baselines.measured(data if name == "test" else dataclasses.replace(data, test=data.validation))


def _named(split: Split, has: Sequence[str], needs: Sequence[str]) -> Split:
    """Return a split whose labels are the numbers that the classes `has` have among `needs`."""
    if tuple(has) == tuple(needs):
        return split
    numbers = np.array([needs.index(name) for name in has], np.int32)
    labels = split.source.labels
    renamed: NDArray[np.int32] = np.where(labels < 0, labels, numbers[labels]).astype(np.int32)
    return Split(dataclasses.replace(split.source, labels=renamed), split.indices)


def _pieces(split: Split, preprocessing: Preprocessing) -> Iterator[Split]:
    """Yield the images of a split in order, some at a time, on the scale of the training."""
    source, indices = split.source, split.indices
    step = max(1, _AT_ONCE // (source.images.size // len(source.images)))
    for start in range(0, len(indices), step):
        some = indices[start : start + step]
        has = largest(source, preprocessing.maximum)
        if has == preprocessing.maximum:
            yield Split(source, some)
        else:
            images = preprocessing.scaled(np.ascontiguousarray(source.images[some]), has)
            scaled = ImageSet(images, source.labels[some], preprocessing.maximum)
            yield Split(scaled, np.arange(len(some), dtype=np.int64))


def _some(split: Split) -> NDArray[Any]:
    """Return as many images of a split as are looked at, evenly spread."""
    indices = split.indices
    return split.source.images[indices[:: -(-len(indices) // brightness.AT_ONCE)]]


def _listed(names: Sequence[str]) -> str:
    shown = [display.name(name, 30) for name in names[:_MOST_NAMES]]
    return ", ".join(shown) + (f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else "")


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
