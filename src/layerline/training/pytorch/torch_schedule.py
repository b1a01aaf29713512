"""The learning rates that a PyTorch optimizer and its scheduler are going to set, from a copy that is stepped ahead."""

from __future__ import annotations

import collections
import copy
import math
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, final

import numpy as np
from torch.optim import lr_scheduler

from layerline.errors import CallError, RecipeError
from layerline.numbers import display

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch.optim import Optimizer

Every = Literal["epoch", "batch"]
_PER_BATCH: Final = (lr_scheduler.OneCycleLR, lr_scheduler.CyclicLR)
"""Schedulers that PyTorch documents to be stepped after every batch; all others after every epoch."""
_CONSTANT: Final = ("momentum", "betas", "weight_decay")
"""Settings of an optimizer's groups that a scheduler must leave as they are."""


@final
class TorchSchedule:
    """A PyTorch optimizer with its scheduler, if it has one; stepped only by `epoch_done`."""

    def __init__(self, optimizer: Optimizer, scheduler: Any, every: Every | None, steps: int) -> None:
        """Store both. every: how often the scheduler is stepped (None: as usual for it); steps: per epoch.

        Raises RecipeError for a scheduler that depends on more than the epoch, CallError for what is none.
        """
        self._optimizer, self._scheduler, self._steps = optimizer, scheduler, steps
        if scheduler is not None:
            _check(scheduler, optimizer)
        self._per_batch = _is_per_batch(scheduler) if every is None else every == "batch"

    def check(self, epochs: int) -> None:
        """Raise RecipeError if a learning rate of the next epochs cannot be used."""
        self._ahead(epochs)

    def rates(self) -> NDArray[np.float64]:
        """Return the learning rate of every step of the next epoch, float64 (steps,). Raises RecipeError."""
        return np.resize(np.array(self._ahead(1)), self._steps)

    def epoch_done(self) -> None:
        """Step the scheduler as PyTorch's loop would have done in an epoch."""
        if self._scheduler is None:
            return
        self._optimizer._opt_called = True  # type: ignore[attr-defined]  # as after a step: else the scheduler warns
        for _ in range(self._steps if self._per_batch else 1):
            self._scheduler.step()

    def _ahead(self, epochs: int) -> list[float]:
        """Return the next learning rates, one per epoch or step, from a copy. Raises RecipeError."""
        if self._scheduler is None:
            return [self._rate(self._optimizer)]
        scheduler = self._copied()
        held = scheduler.optimizer
        before = [[group.get(name) for name in _CONSTANT] for group in held.param_groups]
        rates: list[float] = []
        for _ in range(epochs * (self._steps if self._per_batch else 1)):
            rates.append(self._rate(held))
            try:
                scheduler.step()
            except ValueError as error:  # a cycle of a fixed number of steps is over
                self._refuse(
                    f"cannot be stepped that often: {display.name(str(error), 200)}",
                    f"the training has {display.counted(epochs, 'epoch')} of {display.counted(self._steps, 'step')}: "
                    f"total_steps={epochs * self._steps}",
                )
            if before != [[group.get(name) for name in _CONSTANT] for group in held.param_groups]:
                self._refuse(
                    "changes more than the learning rate",
                    "create optimizer and scheduler again, the scheduler with cycle_momentum=False"
                    if isinstance(scheduler, _PER_BATCH)
                    else "use one that sets only lr",
                )
        if not all(0 <= rate < math.inf for rate in rates):
            self._refuse("sets a learning rate that is negative or not finite", "check it for the number of epochs")
        return rates

    def _copied(self) -> Any:
        """Return a copy of the scheduler with its own optimizer, which shares the parameters and has no state."""
        memo: dict[int, Any] = {id(p): p for group in self._optimizer.param_groups for p in group["params"]}
        memo[id(self._optimizer.state)] = collections.defaultdict(dict)
        try:
            scheduler = copy.deepcopy(self._scheduler, memo)
        except (TypeError, AttributeError) as error:
            self._refuse(f"cannot be copied: {display.name(str(error), 200)}", "use one without open files or locks")

        def step() -> None: ...

        step._wrapped_by_lr_sched = True  # type: ignore[attr-defined]  # what schedulers look for, before they warn
        scheduler.optimizer.step, scheduler.optimizer._opt_called = step, True
        return scheduler

    def _rate(self, optimizer: Optimizer) -> float:
        """Return the learning rate of all groups. Raises RecipeError if they differ."""
        rates = {float(group["lr"]) for group in optimizer.param_groups}
        if len(rates) > 1:
            self._refuse("sets different learning rates for two groups", "use the same for all parameters")
        return rates.pop()

    def _refuse(self, found: str, fix: str) -> NoReturn:
        raise RecipeError(f"scheduler: {type(self._scheduler).__name__} {found}", fix)


def _parts(scheduler: Any) -> list[Any]:
    """Return a scheduler and those it is made of."""
    inner = getattr(scheduler, "_schedulers", ())
    return [scheduler, *(part for each in inner for part in _parts(each))]


def _is_per_batch(scheduler: Any) -> bool:
    return any(isinstance(part, _PER_BATCH) for part in _parts(scheduler))


def _check(scheduler: Any, optimizer: Optimizer) -> None:
    if not isinstance(scheduler, lr_scheduler.LRScheduler):
        found = f"the class {scheduler.__name__}" if isinstance(scheduler, type) else type(scheduler).__name__
        raise CallError(
            f"scheduler: found {found}, expected a scheduler of torch.optim.lr_scheduler",
            "for example torch.optim.lr_scheduler.StepLR(optimizer, 5); LambdaLR takes any function of the epoch",
        )
    if any(isinstance(part, lr_scheduler.ReduceLROnPlateau) for part in _parts(scheduler)):
        raise RecipeError(
            "scheduler: ReduceLROnPlateau depends on the results, which are not known before the training",
            "use one that depends on the epoch alone, such as CosineAnnealingLR; or set the learning rate in on_epoch=",
        )
    if scheduler.optimizer is not optimizer:
        raise RecipeError(
            f"scheduler: {type(scheduler).__name__} belongs to another optimizer",
            "create it with the optimizer that is passed: optimizer=optimizer, scheduler=scheduler",
        )
