"""The plan of an epoch: everything that is decided in Python before it is run, so that machine code decides nothing."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from layerline.numbers.randomness import epoch_order

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.data.augment.augmentation import Drawn
    from layerline.data.dataset import ImageSet, Split
    from layerline.engines.ranks import Ranks
    from layerline.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Epoch:
    """One pass over images: their order and the learning rates. Step k takes order[k·B : (k+1)·B], B the batch size."""

    images: ImageSet
    order: NDArray[np.int64]
    """(M,): image indices."""
    learning_rates: NDArray[np.float64]
    """(steps,)"""
    number: int = 1
    """Of the epoch, from 1: part of the key of per-image random numbers."""
    first_step: int = 0
    """Steps of the run before this epoch."""
    class_weights: NDArray[np.float64] | None = None
    """(K,), or None if every class counts the same."""
    weights: NDArray[np.float64] | None = None
    """(steps,): the sum of the class weights of each batch, which divides its loss; None: its number of images."""
    drawn: Drawn | None = None
    """The augmentation of each image, by its position in `order`; None without augmentation."""

    def first(self, images: int) -> Epoch:
        """Return the epoch with only its first `images` images."""
        drawn = None if self.drawn is None else self.drawn.at(slice(images))
        return dataclasses.replace(self, order=self.order[:images], drawn=drawn)

    def part(self, ranks: Ranks, batch_size: int) -> Epoch:
        """Return the epoch with only this rank's images of each batch: see `Ranks.bounds`.

        Learning rates and weights stay those of the whole batches.
        """
        starts = range(0, len(self.order), batch_size)
        parts = [(start, *ranks.part(min(batch_size, len(self.order) - start))) for start in starts]
        places = np.concatenate([np.arange(start + first, start + last) for start, first, last in parts])
        drawn = None if self.drawn is None else self.drawn.at(places)
        return dataclasses.replace(self, order=self.order[places], drawn=drawn)


def plan_epoch(recipe: Recipe, split: Split, number: int, classes: int) -> Epoch:
    """Return epoch `number` (from 1) of a recipe over the images of a split."""
    order = epoch_order(recipe.seed, number, split.indices)
    drawn = None
    if recipe.augment is not None:
        _, C, H, W = split.source.images.shape
        drawn = recipe.augment.draw(recipe.seed, number, order, (C, H, W), split.source.maximum)
    class_weights = recipe.weights_of(np.bincount(split.labels, minlength=classes))
    weights = None
    if class_weights is not None:
        begins = np.arange(0, len(order), recipe.batch_size)
        weights = np.add.reduceat(class_weights[split.source.labels[order]], begins)
    return Epoch(
        images=split.source,
        order=order,
        learning_rates=recipe.learning_rates(len(split), number),
        number=number,
        first_step=(number - 1) * recipe.steps(len(split)),
        class_weights=class_weights,
        weights=weights,
        drawn=drawn,
    )
