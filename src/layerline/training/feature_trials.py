"""TRAIN: when pretrained features are worth trying, which there are, and the choice between them and a preset."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Final

from layerline.experiment.options import DATA_KEYS
from layerline.network import pretrained
from layerline.network.pretrained.transfer import SMALLEST
from layerline.training.trials import best_of, trial

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerline.data.dataset import Dataset
    from layerline.experiment.experiment import Experiment
    from layerline.network.pretrained import Pretrained
    from layerline.training.interrupt import Interrupt
    from layerline.training.prepared import Prepared
    from layerline.training.watch import Watcher

_THUMBNAIL: Final = 96
"""Pixels of the shorter side, below which an image is a thumbnail: enlarged for a backbone, it takes far more memory
and time than for a network from scratch."""
_MOST_THUMBNAILS: Final = 5_000
"""750 MB of pixels at 224×224, and 11 s for features of lite0 (2.2 ms each, two threads, Zen 5, 2026-11-30)."""
_NEUTRAL: Final = frozenset(
    (*DATA_KEYS, "seed", "epochs", "best", "patience", "class_weights", "label_smoothing", "threads", "exact")
)
"""Options that suit a network from scratch as well as a head on features."""


def suits(experiment: Experiment, data: Dataset) -> bool:
    """Return whether the network is to be chosen, and the data are photos, or few thumbnails of at least 32 pixels."""
    smaller, source = min(data.shape[1:]), data.train.source
    few = len(source.labels) <= _MOST_THUMBNAILS
    photos = source.names is not None and (smaller >= _THUMBNAIL or (smaller >= SMALLEST and few))
    open_choice = experiment.file is None and experiment.start_from is None and experiment.given <= _NEUTRAL
    return photos and open_choice and experiment.cuts.get("gray") is not True


def available() -> Pretrained | None:
    """Return the first backbone whose weights are on this machine; None if there is none. Raises UserError."""
    return next((found for name in pretrained.BACKBONES if (found := pretrained.find(name)) is not None), None)


def hint() -> str:
    """Return what to install, and what that usually brings."""
    first = next(iter(pretrained.BACKBONES))
    return (
        "with few photos, pretrained features are usually far better (clothing, 27 photos per class: 0.80 of the "
        f"validation images instead of 0.30): {pretrained.how_to_get(first)}"
    )


def chosen(
    scratch: Callable[[], Prepared],
    features: Callable[[Pretrained], Callable[[], Prepared]],
    watch: Callable[[str], Watcher],
    interrupt: Interrupt,
) -> Prepared:
    """Return the training of a network from scratch or of a head on pretrained features: the better on validation.

    Both are trained completely. scratch: prepares the first. features: loads the images for a backbone, and returns
    what prepares the second. watch: returns the watcher of a trial, by its network's name. If a signal
    arrives, it is that of the features, with its initial weights.
    """
    plain, found = _timed(scratch), available()
    if found is None:
        return _because(plain[0], hint())
    head = _timed(features(found))
    if plain[0].data.validation is None:
        return _because(
            head[0], f"without a validation set, {found.name} was chosen without trying a network from scratch"
        )
    first, trials = head[0].engine.state(), []
    with interrupt:
        for each, seconds in (head, plain):
            done = trial(each, watch(each.network.name), interrupt, seconds)
            if interrupt.signal is not None:  # the run then stops before its first step, and can be resumed
                head[0].engine.set_state(first)
                head[0].engine.reset_running()
                return head[0]
            trials += [] if done is None else [done]
    return best_of(trials) if trials else head[0]


def _timed(prepare: Callable[[], Prepared]) -> tuple[Prepared, float]:
    """Return a prepared training, and how many seconds that took."""
    began = time.perf_counter()
    return prepare(), time.perf_counter() - began


def _because(prepared: Prepared, reason: str) -> Prepared:
    return dataclasses.replace(prepared, reasons={**prepared.reasons, "network": reason})
