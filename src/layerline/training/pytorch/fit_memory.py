"""What is remembered of a module's fits, as long as the module exists, so that the next one can continue them."""

from __future__ import annotations

import contextlib
import dataclasses
import weakref
from typing import TYPE_CHECKING, Any, Final, final

from layerline import engines

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from layerline.data.dataset import Scaling
    from layerline.engines.interface import Engine
    from layerline.network import Network
    from layerline.recipe import Recipe

Tensors = dict[str, "NDArray[np.float32]"]


@final
class FitMemory:
    """A module's fits so far."""

    def __init__(self) -> None:
        """Start without any."""
        self.epochs = 0
        """Finished epochs, of all fits."""
        self.optimizer: tuple[str, Tensors, int] = ("", {}, 0)
        """Name, tensors and steps of the last optimizer, if it was not PyTorch's, which has its own state."""
        self._made: tuple[Any, ...] = ()
        self._engine: Engine | None = None

    def engine(self, network: Network, scaling: Scaling, recipe: Recipe, threads: int | None) -> Engine:
        """Return the engine of the last fit if it was made for the same, or a new one."""
        made = (network, scaling, recipe, threads)
        if self._engine is None or self._made != made:
            self._engine, self._made = engines.make("compiled", *made), made
        return self._engine


_MEMORIES: Final[weakref.WeakKeyDictionary[nn.Module, FitMemory]] = weakref.WeakKeyDictionary()


@contextlib.contextmanager
def remembered(module: nn.Module) -> Iterator[FitMemory]:
    """Give the memory of a module, which is not kept alive by it; to one fit at a time, another one gets a new one."""
    memory = _MEMORIES.pop(module, None) or FitMemory()
    try:
        yield memory
    finally:
        _MEMORIES[module] = memory


def constant(recipe: Recipe) -> Recipe:
    """Return the recipe without what changes from fit to fit: its epochs and learning rates."""
    schedule: dict[str, Any] = {"schedule": "constant", "warmup": 0.0, "step_epochs": None, "step_factor": 0.1}
    return dataclasses.replace(recipe, epochs=1, learning_rate=1.0, **schedule)
