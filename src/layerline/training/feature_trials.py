"""TRAIN: when a network with pretrained features is worth trying, and which one there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from layerline.experiment.options import DATA_KEYS
from layerline.network import pretrained

if TYPE_CHECKING:
    from layerline.data.dataset import Dataset
    from layerline.experiment.experiment import Experiment

SMALLEST: Final = 96
"""Pixels of the shorter side of photos that pretrained features are for; smaller images are nothing like photos."""
_NEUTRAL: Final = frozenset(
    (*DATA_KEYS, "seed", "epochs", "best", "patience", "class_weights", "label_smoothing", "threads", "exact")
)
"""Options that suit a network from scratch as well as a head on features."""


def suits(experiment: Experiment, data: Dataset) -> bool:
    """Return whether the network is to be chosen, and the data are photos: image files of at least 96 pixels."""
    photos = data.train.source.names is not None and min(data.shape[1:]) >= SMALLEST
    open_choice = experiment.file is None and experiment.start_from is None and experiment.given <= _NEUTRAL
    return photos and open_choice and experiment.cuts.get("gray") is not True


def available() -> str | None:
    """Return the name of a backbone whose weights are on this machine; None if there is none. Raises UserError."""
    return next((name for name in pretrained.BACKBONES if pretrained.find(name) is not None), None)


def hint() -> str:
    """Return what to install, and what that usually brings."""
    first = next(iter(pretrained.BACKBONES))
    return (
        "with few photos, pretrained features are usually far better (clothing, 27 photos per class: 0.80 of the "
        f"validation images instead of 0.30): {pretrained.how_to_get(first)}"
    )
