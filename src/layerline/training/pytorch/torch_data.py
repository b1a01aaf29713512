"""Images and labels as PyTorch users have them: arrays, tensors, a Dataset or a DataLoader, read once into memory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch.utils.data import TensorDataset

from layerline.data.dataset import ImageSet
from layerline.errors import CallError, DataError
from layerline.network.memory import free_bytes
from layerline.numbers import display
from layerline.training.pytorch.torch_loader import Loading, loading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_LOOKED_AT: Final = 32
"""Items that are read twice, to notice random transforms: one that changes an item with a probability of 0.1 is missed
once in a thousand times."""
_PAIR: Final = "pass images and labels together: (x, y)"
_TENSOR: Final = (
    "let the data set return (image, label), the image as a tensor (C, H, W): transforms.ToTensor() makes one"
)


@dataclass(frozen=True, eq=False)
class FitImages:
    """Images with labels in memory, and how a DataLoader would put them into batches; None: not determined."""

    images: ImageSet
    batch_size: int | None = None
    shuffle: bool | None = None
    drop_last: bool | None = None
    note: str = ""
    """The number and size of images that were copied into memory, and whether they are uint8."""


def read(value: Any, place: str, *, read_once: bool = False) -> FitImages:
    """Return images and labels. Raises DataError; CallError for what is no data.

    Arrays and tensors are used where they are; the items of a data set are read one by one. place: the argument, as
    messages name it. read_once: whether a data set may draw at random.
    """
    if isinstance(value, str | os.PathLike):
        raise CallError(
            f"{place}: found {display.name(os.fspath(value))}, expected data in memory",
            f'load it first: layerline.load_data("{display.name(os.fspath(value))}")',
        )
    found = loading(value, place)
    pair = _pair(found.items, place)
    if pair is None:
        x, y = _read_items(found, place, read_once=read_once)
        note = f"{place}: read once: {display.count(len(x))} images of {_times(x.shape[1:])}, {x.dtype}, "
        note += f"{display.size(x.nbytes)} of memory"
    else:
        (x, y), note = (_array(each, f"{place}: {name}") for each, name in zip(pair, "xy", strict=True)), ""
        if found.indices is not None:
            chosen = np.asarray(found.indices, np.int64)
            x, y = x[chosen], y[chosen]
    images = ImageSet(_images(x, f"{place}: x"), _labels(y, len(x), f"{place}: y"))
    if x.dtype == np.uint8:
        note = f"{note or f'{place}: images'}; uint8 reaches the module as it is, from 0 to 255"
    return FitImages(images, found.batch_size, found.shuffle, found.drop_last, note)


def check_classes(images: ImageSet, place: str, classes: int) -> None:
    """Raise DataError unless every label is one of the module's outputs."""
    labels = images.labels
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise DataError(
            f"{place}: y: found the label {labels[first]} at image {first}, expected 0 to {classes - 1}, because the "
            f"module has {display.count(classes)} outputs",
            "number the classes from 0, and give the module one output per class; remove images without a class",
        )


def _pair(value: Any, place: str) -> tuple[Any, Any] | None:
    """Return images and labels if they are arrays already; None for a data set with items. Raises an error."""
    if isinstance(value, TensorDataset):
        if len(value.tensors) != 2:
            count = display.counted(len(value.tensors), "tensor")
            raise DataError(f"{place}: found a TensorDataset of {count}, expected images and labels", _PAIR)
        return value.tensors[0], value.tensors[1]
    items = isinstance(value, list) and isinstance(value[0] if value else None, tuple | list | Mapping)
    if isinstance(value, tuple | list) and len(value) == 2 and not items:
        return value[0], value[1]
    if isinstance(value, torch.Tensor | np.ndarray):
        raise CallError(f"{place}: found images without labels", _PAIR)
    if not hasattr(value, "__getitem__") or not hasattr(value, "__len__") or isinstance(value, Mapping | tuple):
        raise CallError(
            f"{place}: found {type(value).__name__}, expected (x, y), a Dataset or a DataLoader",
            "pass two tensors (x, y), or a data set that has a length and returns (image, label) for each index",
        )
    return None


def _array(value: Any, place: str) -> NDArray[Any]:
    if isinstance(value, torch.Tensor):
        held = value.detach().cpu()
        return np.asarray((held.float() if held.dtype == torch.bfloat16 else held).numpy())
    try:
        return np.asarray(value)
    except ValueError as error:
        raise DataError(f"{place}: cannot be converted to one array: {error}", "pass one tensor") from error


def _images(x: NDArray[Any], place: str) -> NDArray[Any]:
    """Return images as uint8 or float32 (N, C, H, W), without a copy if they are that already. Raises DataError."""
    if x.ndim != 4:
        fixes = {
            3: "if they have one channel, add it: x[:, None]",
            2: "if each row is an image, reshape them to (N, C, H, W), and let the module begin with nn.Flatten()",
        }
        raise DataError(
            f"{place}: found {_times(x.shape)}, expected images (N, C, H, W)", fixes.get(x.ndim, "pass one tensor")
        )
    if not x.size:
        raise DataError(f"{place}: found {_times(x.shape)}, expected at least one image", "check the data set")
    if x.dtype.kind != "f" and x.dtype != np.uint8:
        raise DataError(f"{place}: found {x.dtype}, expected float32 or uint8", "convert the images: x.float()")
    if x.dtype.kind == "f":
        x = x.astype(np.float32, copy=False)
        if not (np.isfinite(x.min()) and np.isfinite(x.max())):
            first = int(np.argmin(np.isfinite(x).reshape(len(x), -1).all(axis=1)))
            raise DataError(f"{place}: found NaN or infinity in image {first}", "remove the image, or fix its values")
    rows = x.transpose(0, 2, 3, 1)
    return x if x.flags.c_contiguous or rows.flags.c_contiguous else np.ascontiguousarray(x)


def _labels(y: NDArray[Any], images: int, place: str) -> NDArray[np.int32]:
    """Return labels as int32 (N,). Raises DataError."""
    if y.ndim == 2 and y.shape[1] > 1:
        raise DataError(
            f"{place}: found {y.dtype} of {_times(y.shape)} (one-hot rows or probabilities?), expected one class "
            "number per image",
            "pass y.argmax(1); soft targets are not supported, label_smoothing= is",
        )
    if y.ndim != 1:
        raise DataError(f"{place}: found {_times(y.shape)}, expected one class number per image", "pass y.flatten()")
    if y.dtype.kind not in "iu":
        raise DataError(
            f"{place}: found {y.dtype}, expected integer class numbers", "if the values are class numbers: y.long()"
        )
    if len(y) != images:
        raise DataError(
            f"{place}: found {display.counted(len(y), 'label')} for {display.counted(images, 'image')}",
            "pass one label per image",
        )
    return np.asarray(np.clip(y, -(2**31), 2**31 - 1), np.int32)


def _read_items(found: Loading, place: str, *, read_once: bool) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the images and labels of a map-style data set, read one by one. Raises DataError."""
    indices: Sequence[int] = range(len(found.items)) if found.indices is None else found.indices
    if not indices:
        raise DataError(f"{place}: found no items, expected at least one image", "check the data set")
    first, _ = _item(found.items, indices[0], place)
    size, free = len(indices) * first.nbytes, free_bytes()
    if size > free:
        raise DataError(
            f"{place}: {display.count(len(indices))} images of {_times(first.shape)} need {display.size(size)} of "
            f"memory, but only {display.size(free)} are free",
            "use smaller images, images as uint8, or a torch.utils.data.Subset",
        )
    x, y = np.empty((len(indices), *first.shape), first.dtype), np.empty(len(indices), np.int64)
    for k, index in enumerate(indices):
        image, y[k] = _item(found.items, index, place)
        if (image.shape, image.dtype) != (first.shape, first.dtype):
            raise DataError(
                f"{place}: item {index} is {image.dtype} of {_times(image.shape)}, the first is {first.dtype} of "
                f"{_times(first.shape)}",
                "resize and convert all images the same way",
            )
        x[k] = image
    if not read_once:
        _check_still(found.items, indices, x, place)
    return x, y


def _check_still(items: Any, indices: Sequence[int], x: NDArray[Any], place: str) -> None:
    """Raise DataError if an item is another one when it is read again."""
    for k in np.unique(np.linspace(0, len(indices) - 1, _LOOKED_AT).astype(int)).tolist():
        if not np.array_equal(_item(items, indices[k], place)[0], x[k]):
            raise DataError(
                f"{place}: item {indices[k]} differs when it is read twice: the data set draws at random (RandomCrop, "
                "flips, …), but it is read only once, before the training",
                'remove the random transforms and use augment="flip,shift=4", or accept the images as first read: '
                "read_once=True",
            )


def _item(items: Any, index: int, place: str) -> tuple[NDArray[Any], int]:
    """Return an image and its class number. Raises DataError."""
    item = items[index]
    if not isinstance(item, tuple | list) or len(item) != 2:
        count = f" of {len(item)}" if isinstance(item, tuple | list | Mapping) else ""
        raise DataError(f"{place}: item {index} is a {type(item).__name__}{count}, expected (image, label)", _TENSOR)
    image, label = item
    if not isinstance(image, torch.Tensor | np.ndarray):
        library = type(image).__module__.partition(".")[0].replace("builtins", "")
        found = f"{library} {type(image).__name__}".strip()
        raise DataError(f"{place}: the image of item {index} is {found}, expected a tensor", _TENSOR)
    number = _array(label, f"{place}: the label of item {index}")
    if number.ndim or number.dtype.kind not in "iu":
        count = display.counted(number.size, "number")
        what = f"a {number.dtype} tensor of {count}" if number.ndim else f"{number.dtype} {label}"
        raise DataError(
            f"{place}: the label of item {index} is {what}, expected an integer class number",
            "soft and one-hot targets are not supported: use the number of the class, and label_smoothing=",
        )
    return _array(image, f"{place}: item {index}"), int(number)


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) if shape else "a single value"
