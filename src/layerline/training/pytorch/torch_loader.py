"""What a PyTorch DataLoader stands for: which items of its data set, in batches of which size, in which order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

from torch.utils import data as torch_data
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, RandomSampler, SequentialSampler

from layerline.errors import DataError
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Sequence

_ITSELF: Final = "pass the data set itself, or a torch.utils.data.Subset of it"


@dataclass(frozen=True, eq=False)
class Loading:
    """A map-style data set, and how its items are to be put into batches; None: not determined."""

    items: Any
    indices: Sequence[int] | None = None
    """The items that are used, in their order; None: all of them."""
    batch_size: int | None = None
    shuffle: bool | None = None
    drop_last: bool | None = None
    in_batches: bool = False
    """Whether items are read by `__getitems__`, as a DataLoader does if the data set has it."""


def loading(value: Any, place: str) -> Loading:
    """Return what a DataLoader stands for; any other value is a data set itself. Raises DataError."""
    if isinstance(value, IterableDataset):
        _refuse(place, "IterableDataset, which has no length and no items by number")
    if not isinstance(value, DataLoader):
        return Loading(value)
    if isinstance(value.dataset, IterableDataset):
        _refuse(place, "a DataLoader of an IterableDataset, which has no length and no items by number")
    batches = value.batch_sampler
    if batches is None:
        _refuse(place, "a DataLoader with batch_size=None", "create it with a batch_size")
    if type(batches) is not BatchSampler:
        _refuse(place, f"a DataLoader with the batch_sampler {type(batches).__name__}", _ITSELF)
    if value.collate_fn is not torch_data.default_collate:
        name = getattr(value.collate_fn, "__name__", type(value.collate_fn).__name__)
        _refuse(
            place,
            f"a DataLoader with the collate_fn {display.name(name)}, which may change the batches",
            "put what it does to single images into the data set, and create the DataLoader without collate_fn",
        )
    for name in ("__iter__", "_get_iterator"):
        if getattr(type(value), name) is not getattr(DataLoader, name):
            _refuse(
                place,
                f"the DataLoader subclass {type(value).__name__} with its own {name}, which may change the batches",
                "put what it does to single images into the data set, and pass a plain DataLoader",
            )
    indices, shuffle = _order(batches.sampler, place)
    in_batches = bool(getattr(value.dataset, "__getitems__", None))
    return Loading(value.dataset, indices, batches.batch_size, shuffle, batches.drop_last, in_batches)


def _order(sampler: Any, place: str) -> tuple[Sequence[int] | None, bool]:
    """Return the items that a sampler draws (None: all), and whether in random order. Raises DataError."""
    kind = type(sampler)
    if kind is SequentialSampler:
        return None, False
    if kind is torch_data.SubsetRandomSampler:
        return [int(index) for index in sampler.indices], True
    if kind is torch_data.WeightedRandomSampler:
        _refuse(
            place,
            "a DataLoader with a WeightedRandomSampler",
            'create it with shuffle=True, and use class_weights="balanced"',
        )
    if kind is not RandomSampler:
        _refuse(place, f"a DataLoader with the sampler {kind.__name__}", _ITSELF)
    if sampler.replacement:
        _refuse(place, "a DataLoader whose RandomSampler draws with replacement", "create it with shuffle=True")
    if sampler.num_samples != len(sampler.data_source):
        _refuse(
            place,
            f"a DataLoader whose RandomSampler draws {display.count(sampler.num_samples)} of "
            f"{display.count(len(sampler.data_source))} items per epoch",
            "create it with shuffle=True; an epoch here is one pass over all images",
        )
    return None, True


def _refuse(place: str, found: str, fix: str = "read it into two tensors (x, y) first") -> NoReturn:
    raise DataError(f"{place}: found {found}; expected items that can be read once, in any order", fix)
