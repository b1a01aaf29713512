"""TRAIN: evaluating a model on labeled images: choosing the split, matching classes by name and pixels by scale."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from layerline.data import pixels
from layerline.data.checking import brightness
from layerline.data.dataset import ImageSet, Split
from layerline.errors import DataError, spelling
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
"""Pixel values processed between two progress reports."""
_MOST_NAMES: Final = 8


def which_of(word: str) -> Which:
    """Return the name of a split as a Which. Raises DataError if it is unknown."""
    for which in WHICH:
        if word == which:
            return which
    raise DataError(f"--split {display.name(word)}: unknown split", spelling.hint(word, WHICH))


def parts(data: Dataset, which: str) -> list[tuple[str, Split]]:
    """Return the splits to evaluate, each with its name. Raises DataError if the data does not have them."""
    which_of(which)
    found = [("train", data.train), ("validation", data.validation), ("test", data.test)]
    chosen = [(name, split) for name, split in found if split is not None and which in (name, "all")]
    if not chosen:
        some = ", ".join(name for name, split in found if split is not None and name != "train")
        raise DataError(
            f"--split {which}: {display.name(data.name)} has no {which} set (--{which} none)",
            f"use --split {some}, or --split all for every image" if some else "use --split all for every image",
        )
    return chosen


def check(data: Dataset, shape: tuple[int, int, int], classes: Sequence[str], preprocessing: Preprocessing) -> None:
    """Raise DataError if data does not fit a model: the shape, preprocessing or scale of its images, or its classes.

    A Dataset made in Python may contain NaN or infinite values; `load_data` already refuses them.
    """
    name = display.name(data.name)
    if data.shape != shape:
        raise DataError(
            f"{name} has {_times(data.shape)} images, but the model expects {_times(shape)}",
            "arrays are not resized: use arrays of that shape, or image files, which are resized (in Python: "
            "model.load_data(path))",
        )
    if data.resized is not None and data.resized.fit != preprocessing.fit:
        raise DataError(
            f"{name}: its images were resized with fit={data.resized.fit}, but the training images with "
            f"fit={preprocessing.fit}",
            "load them like the training images: model.load_data(path)",
        )
    for images in _images(data):
        pixels.check_finite(images, name)
    _check_scale(data, preprocessing)
    _check_classes(data, classes)


def _check_scale(data: Dataset, preprocessing: Preprocessing) -> None:
    """Raise DataError if it is ambiguous how pixels are converted to the training scale: see `largest`."""
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
            f"{display.name(data.name)} has {found}, but the training images had pixels {were}: "
            "the conversion is ambiguous",
            "normalize them like the training images" if normalized else "save them as uint8, or as floats from 0 to 1",
        )


def _images(data: Dataset) -> list[NDArray[np.generic]]:
    splits = [split for split in (data.train, data.validation, data.test) if split is not None]
    return list({id(split.source): split.source.images for split in splits}.values())


def largest(source: ImageSet, needs: float) -> float:
    """Return the pixel value that corresponds to the training's largest, `needs`.

    It follows from the type: 255 for bytes, 1 for floats up to 1. If it was only estimated from the images, for both,
    any difference is mere chance, and pixels are not scaled.
    """
    return source.maximum if _typed(source, needs) else needs


def _typed(source: ImageSet, needs: float) -> bool:
    """Return whether the largest value of these pixels follows from their type, instead of from the images.

    For 16-bit images that use their full range, this holds only if the training images had another type.
    """
    if source.maximum == _SHORT:
        return needs in OF_TYPES
    return source.maximum in OF_TYPES and not source.deep


def _check_classes(data: Dataset, classes: Sequence[str]) -> None:
    """Raise DataError if the class names differ; with --classes some of the model's may be missing."""
    unknown = [name for name in data.classes if name not in classes]
    missing = [name for name in classes if name not in data.classes]
    if not unknown and (not missing or "classes" in data.cuts):
        return
    differences = [f"unknown to the model: {_listed(unknown)}"] if unknown else []
    differences += [f"missing: {_listed(missing)}"] if missing else []
    both = [name for name in data.classes if name in classes]
    plain = len(both) > 1 and not any("," in name or name != display.name(name) for name in both)
    raise DataError(
        f"{display.name(data.name)}: its classes do not match the model's ({'; '.join(differences)})",
        f"class names must match exactly; --classes {','.join(both)} selects the common ones"
        if plain and len(both) <= _MOST_NAMES
        else f"class names must match exactly: the model has {_listed(classes)}",
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
    """Return the result of an engine on images, like the test of a training run; see `Model.evaluate`."""
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
    predicted = np.concatenate([each.probabilities.argmax(axis=1) for each in outputs])
    truth = np.concatenate([split.labels for _, split in chosen])
    confusion = metrics.confusion(truth, predicted, len(classes))
    result = Result.of(classes, float(losses.mean()), confusion)
    compared = _baselines(data, chosen) if with_baselines else None
    result = dataclasses.replace(result, intervals=intervals.intervals(confusion, seed), baselines=compared)
    unlike = look.remark()
    return dataclasses.replace(result, remarks=(*((unlike,) if unlike else ()), *remarks.of_evaluation(result)))


def _baselines(data: Dataset, chosen: list[tuple[str, Split]]) -> Baselines | None:
    """Return the baselines, fitted to the training images; None if these are evaluated themselves."""
    ((name, _), *more) = chosen
    if more or name == "train":
        return None
    return baselines.measured(data if name == "test" else dataclasses.replace(data, test=data.validation))


def _named(split: Split, has: Sequence[str], needs: Sequence[str]) -> Split:
    """Return a split with its labels renumbered from the class order of `has` to that of `needs`."""
    if tuple(has) == tuple(needs):
        return split
    numbers = np.array([needs.index(name) for name in has], np.int32)
    labels = split.source.labels
    renamed: NDArray[np.int32] = np.where(labels < 0, labels, numbers[labels]).astype(np.int32)
    return Split(dataclasses.replace(split.source, labels=renamed), split.indices)


def _pieces(split: Split, preprocessing: Preprocessing) -> Iterator[Split]:
    """Yield the images of a split in order, in chunks, on the training scale."""
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
    """Return a sample of a split's images for the brightness check, evenly spaced."""
    indices = split.indices
    return split.source.images[indices[:: -(-len(indices) // brightness.AT_ONCE)]]


def _listed(names: Sequence[str]) -> str:
    listed = [display.name(name, 30) for name in names[:_MOST_NAMES]]
    return ", ".join(listed) + (f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else "")


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
