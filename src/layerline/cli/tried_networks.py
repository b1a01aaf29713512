"""`layerline train` on photos without NET: pretrained features and a network from scratch are both tried."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, final

from layerline.cli.screen import bottom_line
from layerline.training import Watcher
from layerline.training.feature_trials import available, hint, suits
from layerline.training.prepared import prepare_experiment
from layerline.training.trials import best_of, trial

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerline.cli.screen import Screen
    from layerline.data.dataset import Dataset
    from layerline.experiment.experiment import Experiment
    from layerline.training import Interrupt, Progress
    from layerline.training.prepared import Prepared


@final
class _Trying(Watcher):
    """Shows the progress of a trial on the screen's bottom line."""

    def __init__(self, screen: Screen, name: str) -> None:
        self._screen, self._name = screen, name

    def progress(self, progress: Progress) -> None:
        """Show it."""
        self._screen.waiting(f"trying {self._name}: {bottom_line(progress)}")


def prepared_of(
    experiment: Experiment,
    data: Dataset,
    load: Callable[[Experiment], Dataset],
    screen: Screen,
    interrupt: Interrupt,
) -> Prepared:
    """Return the training of an experiment, whose network is tried if it is to be chosen and the data are photos.

    data: loaded for the experiment as it is. load: loads the images for another network. Raises UserError.
    """
    began = time.perf_counter()
    scratch = prepare_experiment(experiment, experiment.network(data), data, screen.waiting)
    spent = time.perf_counter() - began
    if not suits(experiment, data):
        return scratch
    name = available()
    if name is None:
        return dataclasses.replace(scratch, reasons={**scratch.reasons, "network": hint()})
    other = experiment.with_features_of(name)
    images = load(other)
    began = time.perf_counter()
    features = prepare_experiment(other, other.network(images), images, screen.waiting)
    first = features.engine.state()
    if data.validation is None:
        reason = f"without a validation set, {name} was chosen without trying a network from scratch"
        return dataclasses.replace(features, reasons={**features.reasons, "network": reason})
    trials = []
    for each, seconds in ((features, time.perf_counter() - began), (scratch, spent)):
        done = trial(each, _Trying(screen, each.network.name), interrupt, seconds)
        if interrupt.signal is not None:  # the run of the features then stops before its first step, and can be resumed
            features.engine.set_state(first)
            features.engine.reset_running()
            return features
        trials += [] if done is None else [done]
    return best_of(trials) if trials else features
