"""One fit of a module: from what was passed to a recipe and an optimization, and then to the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

from torch.optim import Optimizer

from layerline.engines.agreement import checked
from layerline.engines.memory_check import check_memory
from layerline.errors import CallError, DataError, RecipeError, UnsupportedError
from layerline.errors.python_terms import in_python
from layerline.network.pytorch.carried import carried
from layerline.network.start import Start, digest
from layerline.recipe import Recipe
from layerline.training.automatic import complete
from layerline.training.interrupt import Interrupt
from layerline.training.pytorch import torch_optimizer
from layerline.training.pytorch.fit import Fit
from layerline.training.pytorch.fit_data import FitData, first_images
from layerline.training.pytorch.fit_loop import FitLoop
from layerline.training.pytorch.fit_memory import FitMemory, constant, remembered
from layerline.training.pytorch.fit_options import check_own
from layerline.training.pytorch.optimization import RecipeOptimization, TorchOptimization
from layerline.training.pytorch.torch_schedule import TorchSchedule
from layerline.training.pytorch.torch_weights import TorchWeights, check_frozen, check_module, check_outputs

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from layerline.data.dataset import Dataset
    from layerline.network import Network
    from layerline.runs.history import EpochRow
    from layerline.training.pytorch.fit_data import Batches
    from layerline.training.pytorch.optimization import Optimization

_BATCH: Final = 64
_EVERY: Final = ("epoch", "batch")


def fitted(
    module: nn.Module,
    data: Any,
    chosen: dict[str, Any],
    validation: Any,
    test: Any,
    *,
    optimizer: Optimizer | str | None,
    scheduler: Any,
    scheduler_step: Any,
    shuffle: bool | None,
    read_once: bool,
    threads: int | None,
    on_epoch: Callable[[EpochRow], object] | None,
) -> Fit:
    """Return the result of a fit; see `fit_torch`. chosen: values of the recipe that were passed."""
    check_module(module)
    torch_optimizer.check_type(optimizer)
    _check_together(chosen, optimizer, scheduler, scheduler_step)
    if isinstance(optimizer, Optimizer):
        check_own(chosen)
        chosen |= torch_optimizer.recipe_values(optimizer, dict(module.named_parameters()))
    elif optimizer is not None:
        chosen["optimizer"] = optimizer
    Recipe(**chosen)  # raises for values out of range before data is read
    try:
        found = FitData.read(data, validation, test, read_once=read_once)
        batches = found.batches(chosen.pop("batch_size", None), shuffle)
        moved = carried(module, found.shape, of_data=True)
        check_frozen(moved.not_frozen)
    except (DataError, UnsupportedError):
        check_outputs(module)  # labels for a single output would need other advice
        raise
    weights = TorchWeights(module, moved.network, moved.names)
    dataset = found.dataset(moved.network.classes)
    with remembered(module) as memory:
        fit = _ModuleFit(moved.network, dataset, batches, weights, threads, memory)
        if isinstance(optimizer, Optimizer):
            fit.use_torch(chosen, dict(module.named_parameters()), optimizer, scheduler, scheduler_step)
        else:
            fit.use_recipe(chosen)
        return fit.run(on_epoch, (*moved.notes, *found.notes, *found.light_note(fit.recipe.augment)))


@final
class _ModuleFit:
    """A fit whose data and module are ready."""

    def __init__(
        self,
        network: Network,
        data: Dataset,
        batches: Batches,
        weights: TorchWeights,
        threads: int | None,
        memory: FitMemory,
    ) -> None:
        self._network, self._data, self._batches = network, data, batches
        self._weights, self._threads, self._memory = weights, threads, memory
        self.recipe = Recipe()
        self._optimization: Optimization
        self._notes: tuple[str, ...] = ()

    def use_torch(
        self, chosen: dict[str, Any], named: dict[str, nn.Parameter], optimizer: Optimizer, scheduler: Any, every: Any
    ) -> None:
        """Use the user's optimizer and scheduler. named: the module's parameters. Raises UserError."""
        size = _BATCH if self._batches.size is None else self._batches.size
        recipe = Recipe(**{**chosen, "batch_size": size, "schedule": "constant"})
        images = self._images(recipe)
        self._batches.check(self._network, images, size)
        schedule = TorchSchedule(optimizer, scheduler, every, recipe.steps(images))
        schedule.check(recipe.epochs)
        checked(self._network, first_images(self._data, images), recipe)
        self.recipe = recipe
        shapes = {name: weight.shape for name, weight in self._network.weights.items()}
        self._optimization = TorchOptimization(optimizer, schedule, self._weights.parameters, named, shapes)
        self._memory.optimizer = ("", {}, 0)

    def use_recipe(self, chosen: dict[str, Any]) -> None:
        """Use an optimizer by name; whatever is not chosen is completed. Raises UserError."""
        size = {} if self._batches.size is None else {"batch_size": self._batches.size}
        given = {"augment": None, "class_weights": None, **chosen, **size}
        recipe = Recipe(**given)
        data = first_images(self._data, self._images(recipe))
        if "batch_size" in given:  # one that is chosen is large enough
            self._batches.check(self._network, len(data.train), recipe.batch_size)
        weights = self._weights.read()
        start = Start(digest(weights), weights)
        found = complete(self._network, data, recipe, given, threads=self._threads, start=start)
        self.recipe = found.recipe
        self._notes = tuple(
            in_python(f"--{key.replace('_', '-')} {value}: {found.reasons[key]}")
            for key, value in found.recipe.as_dict().items()
            if key in found.reasons
        )
        name, tensors, steps = self._memory.optimizer
        before = (tensors, steps) if name == found.recipe.optimizer else ({}, 0)
        self._optimization = RecipeOptimization(found.recipe, len(data.train), before)

    def run(self, on_epoch: Callable[[EpochRow], object] | None, notes: tuple[str, ...]) -> Fit:
        """Train and test. Raises DivergedError."""
        memory, data, plain = self._memory, self._data, constant(self.recipe)
        engine = memory.engine(self._network, data.scaling, plain, self._threads)
        check_memory(engine, data, plain)
        images = self._images(plain)
        parts = (self._weights, self._optimization, memory.epochs)
        loop = FitLoop(engine, data, plain, images, *parts, shuffle=self._batches.shuffle)
        test = None
        with Interrupt() as interrupt:
            try:
                loop.run(self.recipe.epochs, interrupt, on_epoch)
            finally:
                memory.epochs = loop.epochs
                if isinstance(self._optimization, RecipeOptimization):
                    memory.optimizer = (self.recipe.optimizer, *self._optimization.start())
            if data.test is not None and interrupt.signal is None:
                test = loop.measure(data.test)
        return Fit(
            tuple(loop.history),
            self._network,
            None if test is None else test.loss,
            None if test is None else test.scores.accuracy,
            None if test is None else test.scores.macro_f1,
            (*notes, *self._notes),
            interrupt.signal,
        )

    def _images(self, recipe: Recipe) -> int:
        return self._batches.images(len(self._data.train), recipe.batch_size)


def _check_together(chosen: dict[str, Any], optimizer: Any, scheduler: Any, every: Any) -> None:
    """Raise an error if arguments are missing or contradict each other."""
    if isinstance(optimizer, Optimizer) and "epochs" not in chosen:
        raise CallError("fit_torch() needs epochs, because a PyTorch optimizer is passed", "for example epochs=14")
    if scheduler is not None and not isinstance(optimizer, Optimizer):
        found = "none is" if optimizer is None else f'optimizer="{optimizer}" is'
        raise CallError(
            f"scheduler: needs its optimizer, but {found} passed",
            "pass both: optimizer=optimizer, scheduler=scheduler; or omit scheduler= and use schedule=, such as "
            'schedule="cosine"',
        )
    if every is not None and scheduler is None:
        raise CallError(f"scheduler_step={every!r}: there is no scheduler", "pass it too: scheduler=scheduler")
    if every is not None and every not in _EVERY:
        raise RecipeError(f"scheduler_step={every!r}: unknown", 'one of: "epoch", "batch"')
