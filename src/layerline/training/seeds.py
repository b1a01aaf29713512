"""One recipe with several seeds: the mean scores with their intervals."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack, cast, final

from layerline.engines.placement import Placement
from layerline.errors import DivergedError, RecipeError, UnwrittenError, UserError
from layerline.errors.wrong_calls import answered
from layerline.files import whole
from layerline.measure.student import mean_of
from layerline.numbers import display
from layerline.numbers.scalars import is_whole, plain
from layerline.recipe import RecipeOptions
from layerline.runs.folder import RunFolder
from layerline.runs.names import SEEDS
from layerline.runs.seed_runs import FIGURES, SeedRuns
from layerline.training import by_name
from layerline.training.interrupt import Interrupt
from layerline.training.prepared import prepare
from layerline.training.session import recipe_of, run
from layerline.training.time_limit import fit_epochs
from layerline.training.watch import Watcher

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection

    from layerline.data.dataset import Dataset
    from layerline.network import Network
    from layerline.recipe import Recipe
    from layerline.runs.seed_runs import Mean
    from layerline.training.prepared import Prepared
    from layerline.training.run import Run

FEWEST: Final = 2
MOST: Final = 1000


@final
@dataclass(frozen=True, eq=False)
class Seeds:
    """Trainings that differ only in their seed. The means exclude those that diverged or were stopped."""

    asked: tuple[int, ...]
    """The seeds to train with."""
    runs: dict[int, Run] = field(default_factory=dict)
    """The finished runs by seed."""
    diverged: tuple[int, ...] = ()
    """Seeds with which the loss became NaN or infinite."""
    stopped: int | None = None
    """The signal that stopped the last training, so that no other was started; or None."""
    split_seed: int | None = None
    """The seed of the splits, the same for all; None if the data was split before, in Python."""
    folder: Path | None = None
    """The folder with the run folders and seeds.json, or None if nothing was written."""

    def values(self, metric: str) -> list[float]:
        """Return a metric of each run, in the order of the seeds, without those that are None."""
        found = [_value(run, metric) for run in self.runs.values()]
        return [value for value in found if value is not None]

    def mean(self, metric: str) -> Mean | None:
        """Return the mean of validation_loss, test_accuracy or test_macro_f1 with its interval; None without values."""
        values = self.values(metric)
        return mean_of(values) if values else None

    def as_dict(self) -> dict[str, Any]:
        """Return the contents of seeds.json."""
        return self.saved().as_dict()

    def saved(self) -> SeedRuns:
        """Return the summary that is written to seeds.json."""
        return SeedRuns(
            tuple(name(seed) for seed in self.runs),
            self.asked,
            self.split_seed,
            tuple(self.runs),
            self.diverged,
            self.stopped,
            {metric: self.mean(metric) for metric in FIGURES},
        )

    def __repr__(self) -> str:
        """Return one row per run, the mean and its interval."""
        return "\n".join(table(self))


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
    net, loaded, experiment = by_name.both_of(network, data, recipe, requested.seed, allow, "train_seeds")
    prepared = prepare(
        *(net, loaded, requested),
        given=chosen if recipe is None else None,
        engine=engine,
        threads=threads,
        placement=Placement(str(device), str(precision)),
        allow=allow,
        experiment=experiment,
    )
    series = Series(prepared, seeds, folder)
    found = series.run(lambda _: (Watcher(), Interrupt()), lambda _, run: on_run(run) if run and on_run else None)
    if not found.runs and series.error is not None and found.stopped is None:
        raise series.error
    return found


@final
class Series:
    """Runs the training runs one after the other, and updates seeds.json after each."""

    def __init__(self, prepared: Prepared, count: int, folder: RunFolder | None) -> None:
        """Store the training with the first seed; the records of all runs get the seed of the splits."""
        first, experiment = prepared.recipe.seed, prepared.experiment
        self.error: DivergedError | None = None
        """The error of the last seed that diverged."""
        split = None
        if experiment is not None:
            split = experiment.cuts.get("split_seed", first)
            experiment = dataclasses.replace(experiment, cuts={**experiment.cuts, "split_seed": split})
        self._prepared, self._folder = dataclasses.replace(prepared, experiment=experiment), folder
        where = None if folder is None else folder.path
        self._found = Seeds(tuple(range(first, first + count)), split_seed=split, folder=where)

    @property
    def found(self) -> Seeds:
        """Return the results so far."""
        return self._found

    def run(self, watch: Callable[[int], tuple[Watcher, Interrupt]], ended: Callable[[int, Run | None], None]) -> Seeds:
        """Train with every seed and return the results.

        watch: returns watcher and interrupt for a seed's training. ended: called with every finished run, or None if it
        diverged. A stopped training ends the series. Raises UnwrittenError with the results so far if the folder of a
        training that has started, or of one after the first, cannot be written to.
        """
        prepared = self._prepared
        if prepared.recipe.within is not None:  # once, so that all train for as many epochs
            files = self._folder is not None
            prepared = fit_epochs(prepared, time.perf_counter, time.perf_counter(), files=files)
        self._keep(self._found)
        for seed in self._found.asked:
            try:
                stopped = self._one(prepared.with_seed(seed), watch, ended)
            except UserError as error:
                if not self._found.runs:
                    raise
                raise UnwrittenError(error.message, error.help, self._found) from error
            if stopped:
                break
        return self._found

    def _one(
        self,
        prepared: Prepared,
        watch: Callable[[int], tuple[Watcher, Interrupt]],
        ended: Callable[[int, Run | None], None],
    ) -> bool:
        """Train with one seed and store the result; return whether it was stopped."""
        seed, unwritten = prepared.recipe.seed, None
        folder = None if self._folder is None else self._folder.inner(name(seed))
        try:
            ran = run(prepared, folder, *watch(seed))
        except DivergedError as error:
            self.error = error
            self._keep(dataclasses.replace(self._found, diverged=(*self._found.diverged, seed)))
            ended(seed, None)
            return False
        except UnwrittenError as error:
            ran, unwritten = cast("Run", error.run), error
        complete = ran.stopped is None or ran.result.test_loss is not None
        runs = self._found.runs | ({seed: ran} if complete else {})
        self._found = dataclasses.replace(self._found, runs=runs, stopped=ran.stopped)
        if unwritten is None:
            self._keep(self._found)
        if complete:
            ended(seed, ran)
        if unwritten is not None:
            raise unwritten
        return ran.stopped is not None

    def _keep(self, found: Seeds) -> None:
        self._found = found
        if self._folder is None:
            return
        path = self._folder.path
        with self._folder.named_as_given():
            try:
                path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise whole.unwritable(path, error) from error
            found.saved().write(path / SEEDS)


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


def name(seed: int) -> str:
    """Return the name of a seed's folder."""
    return f"seed-{seed}"


HEAD: Final = (
    "                    validation      test      test",
    "seed        epochs        loss  accuracy  macro F1    time",
)


def row(seed: int, run: Run | None) -> str:
    """Return a training run as a line below HEAD; run is None if it diverged."""
    if run is None:
        return f"{seed:<8}  diverged: the loss became NaN or infinite"
    epochs = f"{len(run.history)} ★{run.model_epoch}"
    cells = _cells(*(_value(run, key) for key in FIGURES))
    return f"{seed:<8}  {epochs:>8}  {cells}  {display.short_seconds(sum(each.seconds for each in run.history)):>6}"


def summary(found: Seeds) -> list[str]:
    """Return the lines below the rows: mean, half the width of its 95% interval, standard deviation of the runs."""
    means = [found.mean(metric) for metric in FIGURES]
    if not found.runs:
        return []
    lines = [f"{'mean':<18}  {_cells(*(None if mean is None else mean.mean for mean in means))}"]
    if len(found.runs) >= FEWEST:
        halves = (None if mean is None or mean.high is None else mean.high - mean.mean for mean in means)
        lines.append(f"{'± (95%)':<18}  {_cells(*halves)}")
        lines.append(f"{'deviation':<18}  {_cells(*(None if mean is None else mean.deviation for mean in means))}")
    return lines


def table(found: Seeds) -> list[str]:
    """Return the runs and their means as lines."""
    rows = [row(seed, found.runs.get(seed)) for seed in found.asked if seed in found.runs or seed in found.diverged]
    return [*HEAD, *rows, *summary(found)]


def _cells(loss: float | None, accuracy: float | None, macro_f1: float | None) -> str:
    return f"{display.loss(loss):>10}  {display.fraction(accuracy):>8}  {display.fraction(macro_f1):>8}"


def _value(run: Run, metric: str) -> float | None:
    if metric == "validation_loss":
        best = next((each for each in run.history if each.epoch == run.model_epoch), None)
        return None if best is None else best.validation_loss
    value: float | None = getattr(run.result, metric)
    return value
