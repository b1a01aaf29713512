"""`layerline train` on photos without NET: pretrained features and a network from scratch are both tried."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from layerline.cli.screen import bottom_line
from layerline.training import Watcher
from layerline.training.feature_trials import chosen, suits
from layerline.training.prepared import prepare_experiment
from layerline.training.warm_start import pretrained_start

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerline.cli.screen import Screen
    from layerline.data.dataset import Dataset
    from layerline.experiment.experiment import Experiment
    from layerline.network.pretrained import Pretrained
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

    def scratch() -> Prepared:
        return prepare_experiment(experiment, experiment.network(data), data, screen.waiting)

    def features(found: Pretrained) -> Callable[[], Prepared]:
        other = experiment.with_features_of(found.name)
        images = load(other)
        network = other.network(images)
        return lambda: prepare_experiment(other, network, images, screen.waiting, pretrained_start(found, network))

    if not suits(experiment, data):
        return scratch()
    return chosen(scratch, features, lambda name: _Trying(screen, name), interrupt)
