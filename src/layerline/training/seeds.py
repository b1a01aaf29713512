"""One recipe with several seeds: the mean scores with their intervals."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Unpack, final

from layerline.engines.placement import Placement
from layerline.errors import RecipeError
from layerline.errors.wrong_calls import answered
from layerline.numbers import display
from layerline.numbers.scalars import is_whole, plain
from layerline.recipe import RecipeOptions
from layerline.runs.folder import RunFolder
from layerline.runs.names import SEEDS
from layerline.runs.seed_runs import SeedRuns
from layerline.training import by_name
from layerline.training.call import TrainCall
from layerline.training.interrupt import Interrupt
from layerline.training.prepared import Prepared
from layerline.training.series import FEWEST, Series, Trainings
from layerline.training.session import recipe_of
from layerline.training.watch import Watcher

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection

    from layerline.data.dataset import Dataset
    from layerline.network import Network
    from layerline.recipe import Recipe
    from layerline.training.run import Run

MOST: Final = 1000


@final
@dataclass(frozen=True, eq=False, repr=False)
class Seeds(Trainings):
    """Trainings that differ only in their seed, which is their number."""

    WORD: ClassVar[str] = "seed"
    FILE: ClassVar[str] = SEEDS

    def saved(self) -> SeedRuns:
        """Return the summary that is written to seeds.json."""
        names = tuple(map(self.name, self.runs))
        common = (self.split_seed, tuple(self.runs), self.diverged, self.stopped, self.means())
        return SeedRuns(names, *common, seeds=self.asked)


@by_name.with_options(RecipeOptions)
@answered('train_seeds("lenet5", "mnist", seeds=5); train_seeds(None, data) chooses a network')
def train_seeds(
    network: Network | str | os.PathLike[str] | None,
    data: Dataset | str | os.PathLike[str] | Any,
    recipe: Recipe | None = None,
    *,
    seeds: int = 5,
    engine: str = "compiled",
    threads: int | None = None,
    device: str = "auto",
    precision: str = "float32",
    out: str | os.PathLike[str] | None = None,
    on_run: Callable[[Run], None] | None = None,
    allow: Collection[str] = (),
    **options: Unpack[RecipeOptions],
) -> Seeds:
    """Train `network` on `data` with `seeds` consecutive seeds from the recipe's on; return the runs with their means.

    The data is already split, so all runs train and test on the same images: the interval of the mean reflects the
    randomness of training (initial weights, order, dropout, augmentation), not of the splits. Automatic choices are
    made once.

    out: a folder to create, for the run folders and seeds.json; None writes nothing. on_run: called with each finished
    run. Otherwise like `train`, but a seed that diverges is listed in `diverged`; DivergedError only if all do. If the
    folder can no longer be written to, no other seed is started: the `run` of UnwrittenError has the results so far.
    """
    chosen, seeds = by_name.options_of(options, train_seeds), plain(seeds)
    requested = recipe_of(recipe, chosen)
    check_count(seeds, requested)
    folder = None if out is None else RunFolder.named(Path(out))
    parts, interrupt = (requested, engine, threads, Placement(str(device), str(precision)), allow), Interrupt()
    prepared = TrainCall("train_seeds", network, data, recipe, chosen, *parts).prepared(Watcher(), interrupt)
    trainings = series(prepared, seeds, folder)

    def ended(_: int, run: Run | None) -> None:
        if run is not None and on_run is not None:
            on_run(run)

    found = trainings.run(lambda _: (Watcher(), Interrupt()), ended, interrupt)
    if not found.runs and trainings.error is not None and found.stopped is None:
        raise trainings.error
    return found


def series(prepared: Prepared, count: int, folder: RunFolder | None) -> Series[Seeds]:
    """Return the trainings with `count` seeds from that of `prepared` on; all records get the seed of the splits."""
    first, experiment = prepared.recipe.seed, prepared.experiment
    split = None
    if experiment is not None:
        split = experiment.cuts.get("split_seed", first)
        experiment = dataclasses.replace(experiment, cuts={**experiment.cuts, "split_seed": split})
    none = Seeds(tuple(range(first, first + count)), split_seed=split, folder=None if folder is None else folder.path)
    return Series(dataclasses.replace(prepared, experiment=experiment), none, folder, Prepared.with_seed)


def check_count(count: object, recipe: Recipe) -> None:
    """Raise RecipeError if the number of seeds is invalid."""
    if not is_whole(count) or not FEWEST <= count <= MOST:
        hint = "an interval needs at least two training runs; five are usual"
        raise RecipeError(
            f"--seeds {display.name(str(count))}: must be a whole number from {FEWEST} to {MOST:,d}", hint
        )
    if recipe.seed + count > 2**64:
        raise RecipeError(
            f"--seeds {count}: the last seed would be above 2⁶⁴ - 1", f"use --seed {2**64 - count} or less"
        )
