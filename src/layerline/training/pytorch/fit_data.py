"""The images of a fit: training, validation and test, as one data set, and how they are put into batches."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from layerline.data.dataset import Dataset, Scaling, Split
from layerline.data.pixels import divisor
from layerline.engines.agreement import larger_batch, single_value
from layerline.errors import CallError, DataError, RecipeError
from layerline.training.pytorch.torch_data import FitImages, check_classes, read

if TYPE_CHECKING:
    from layerline.data.augment.augmentation import Augmentation
    from layerline.data.dataset import ImageSet
    from layerline.network import Network


@dataclass(frozen=True)
class Batches:
    """How the training images are put into batches."""

    size: int | None
    """None: to be chosen."""
    shuffle: bool
    drop_last: bool
    of_loader: bool = False
    """Whether they are those of a DataLoader."""

    def check(self, network: Network, images: int, size: int) -> None:
        """Raise DataError if BatchNorm would get a last batch of one image. images: trained on in an epoch."""
        if single_value(network, images, size) is None:
            return
        fix = f"pass batch_size={larger_batch(images, size)}"
        if self.of_loader:
            dropped = size > 1 and images > 1
            fix = f"create the DataLoader with {'drop_last=True' if dropped else 'a larger batch_size'}"
        raise DataError(
            f"data: with batch_size={size}, the last batch of {images:,d} images has only one image: BatchNorm needs "
            "more in training",
            fix,
        )

    def images(self, images: int, size: int) -> int:
        """Return the number of images trained on in an epoch. Raises DataError if it is 0."""
        if not self.drop_last:
            return images
        if images < size:
            raise DataError(
                f"data: {images} images are fewer than batch_size={size}, and the DataLoader has drop_last=True: no "
                "batch is left",
                "create it with drop_last=False or a smaller batch_size",
            )
        return images - images % size


@final
@dataclass(frozen=True, eq=False)
class FitData:
    """The data of a fit as it was passed, in memory."""

    own: Dataset | None
    """What `load_data` returned, if that was passed."""
    sets: dict[str, FitImages]
    """Else the images of each split."""

    @classmethod
    def read(cls, data: Any, validation: Any, test: Any, *, read_once: bool) -> FitData:
        """Return the data in memory. Raises DataError, and CallError for what is no data."""
        others = {"validation": validation, "test": test}
        given = {name: value for name, value in others.items() if value is not None}
        if isinstance(data, Dataset):
            if given:
                name = next(iter(given))
                raise CallError(
                    f"{name}: the data is a layerline Dataset, which has its own splits",
                    f"pass it to load_data: load_data((x, y), {name}=(xt, yt)), or load_data(path, {name}=0.2)",
                )
            return cls(data, {})
        sets = {name: read(value, name, read_once=read_once) for name, value in {"data": data, **given}.items()}
        first = sets["data"].images.images
        for name, each in sets.items():
            found = each.images.images
            if (found.shape[1:], found.dtype) != (first.shape[1:], first.dtype):
                has, needs = (f"{x.dtype} of {'×'.join(map(str, x.shape[1:]))}" for x in (found, first))
                raise DataError(
                    f"{name}: x: found {has}, but the training images are {needs}", "prepare them the same way"
                )
        return cls(None, sets)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (C, H, W) of an image."""
        if self.own is not None:
            return self.own.shape
        _, C, H, W = self.sets["data"].images.images.shape
        return C, H, W

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what was read into memory."""
        return tuple(each.note for each in self.sets.values() if each.note)

    def dataset(self, classes: int) -> Dataset:
        """Return all images as a data set of that many classes. Raises DataError if a label is not one of them."""
        if self.own is not None:
            if len(self.own.classes) != classes:
                raise DataError(
                    f"data: found {len(self.own.classes)} classes, but the module has {classes} outputs",
                    "give the module one output per class",
                )
            return self.own
        for name, each in self.sets.items():
            check_classes(each.images, name, classes)
        low, high = self._range
        maximum = divisor(low, high)
        splits = {name: _all(dataclasses.replace(each.images, maximum=maximum)) for name, each in self.sets.items()}
        C = self.shape[0]
        return Dataset(
            "data",
            tuple(map(str, range(classes))),
            splits["data"],
            splits.get("validation"),
            splits.get("test"),
            Scaling((1.0,) * C, (0.0,) * C),  # images reach the module as they are
            fingerprint="",
        )

    def light_note(self, augment: Augmentation | None) -> tuple[str, ...]:
        """Return which pixel values brightness and contrast refer to, if they are changed."""
        if self.own is not None or augment is None or not (augment.brightness or augment.contrast):
            return ()
        low, high = self._range
        maximum = divisor(low, high)
        span = f"the images have values from {low:.4g} to {high:.4g}"
        changed = f"brightness and contrast treat {maximum:.4g} as the maximum and {maximum / 2:.4g} as medium gray"
        return (f"augment: {span}; {changed}",)

    @property
    def _range(self) -> tuple[float, float]:
        """Return the smallest and largest value; of uint8, those that are possible."""
        arrays = [each.images.images for each in self.sets.values()]
        if arrays[0].dtype == np.uint8:
            return 0.0, 255.0
        return min(float(x.min()) for x in arrays), max(float(x.max()) for x in arrays)

    def batches(self, size: int | None, shuffle: bool | None) -> Batches:
        """Return the batches for the options of a fit. Raises RecipeError for two batch sizes."""
        train = self.sets.get("data")
        if train is None:
            return Batches(size, shuffle is not False, drop_last=False)
        if None not in (size, train.batch_size) and size != train.batch_size:
            raise RecipeError(
                f"batch_size={size}, but the DataLoader has batch_size={train.batch_size}", "set it in the DataLoader"
            )
        order = train.shuffle is not False if shuffle is None else shuffle
        loaded = train.batch_size is not None
        return Batches(train.batch_size if size is None else size, order, bool(train.drop_last), loaded)


def first_images(data: Dataset, images: int) -> Dataset:
    """Return the data set with only the first training images."""
    split = data.train
    return dataclasses.replace(data, train=Split(split.source, split.indices[:images]))


def _all(images: ImageSet) -> Split:
    return Split(images, np.arange(len(images.labels), dtype=np.int64))
