"""RUN: engines by name. Each is imported only when it is created, so that one that is not installed is no problem."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Final

from layerline.engines.placement import Placement
from layerline.engines.ranks import ALONE
from layerline.errors import RecipeError, UserError, other_words
from layerline.network.pytorch import INSTALL
from layerline.numbers import display
from layerline.numbers.scalars import is_whole, plain
from layerline.system.workers import IMPORTS

if TYPE_CHECKING:
    from layerline.data.dataset import Scaling
    from layerline.engines.interface import Engine
    from layerline.engines.ranks import Ranks
    from layerline.network import Network
    from layerline.network.start import Start
    from layerline.recipe import Recipe

NAMES: Final = ("compiled", "torch")
MOST_THREADS: Final = 1024

__all__ = ["MOST_THREADS", "NAMES", "Placement", "check", "make", "ranks_of_environment", "stores_features"]


def check(name: str, threads: int | None, placement: Placement | None = None) -> None:
    """Raise RecipeError if the engine is unknown, `threads` is out of range, or it does not support the placement."""
    if name not in NAMES:
        raise RecipeError(f"--engine {display.name(str(name))}: unknown", other_words.hint("engine", str(name), NAMES))
    if threads is not None and not (is_whole(threads) and 1 <= threads <= MOST_THREADS):
        written, advice = display.number_as_passed("threads", threads)
        raise RecipeError(f"--threads {written}: must be a whole number from 1 to {MOST_THREADS:,d}", advice)
    if placement is not None:
        placement.check(name)


def make(
    name: str,
    network: Network,
    scaling: Scaling,
    recipe: Recipe,
    threads: int | None = None,
    *,
    placement: Placement | None = None,
    start: Start | None = None,
    ranks: Ranks = ALONE,
) -> Engine:
    """Return the engine called `name`, with the recipe's initial weights, or those of `start` as far as it has them.

    threads: all cores by default. placement: of the torch engine; automatic by default. ranks: the processes that train
    together. Raises RecipeError like `check`, NetworkError if the engine cannot run a layer, and UserError if engine or
    device are not available.
    """
    threads = plain(threads)
    check(name, threads, placement)
    made = _made(name, network, scaling, recipe, threads, placement or Placement(), ranks)
    if start is not None and start.weights is not None:
        state = made.state()
        made.set_state(state.with_averaged({**state.weights, **start.weights}))
    return made


def stores_features(network: Network, recipe: Recipe) -> bool:
    """Whether a training should store features: they exist, are the same in every epoch, and no larger than images.

    As float32 they must take no more bytes than the pixels of the images. With flips there are those of two images.
    """
    end, augment = network.frozen_end, recipe.augment
    if not end or (augment is not None and not augment.only_flips):
        return False
    versions = 1 if augment is None else 2
    return 4 * versions * math.prod(network.nodes[end - 1].shape) <= math.prod(network.input_shape)


def _made(
    name: str,
    network: Network,
    scaling: Scaling,
    recipe: Recipe,
    threads: int | None,
    placement: Placement,
    ranks: Ranks,
) -> Engine:
    threads = threads or ranks.threads
    if name == "compiled":
        with IMPORTS:
            _need("llvmlite.binding", "--engine compiled: llvmlite", "pip install --force-reinstall llvmlite")
            from layerline.engines.compiled import CompiledEngine
            from layerline.engines.frozen_features import FeatureEngine

        kind = FeatureEngine if stores_features(network, recipe) else CompiledEngine
        return kind(network, scaling, recipe, threads, ranks=ranks)
    with IMPORTS:
        _need("torch", "--engine torch: PyTorch", INSTALL)
        from layerline.engines.torch_device import TorchDevice
        from layerline.engines.torch_engine import TorchEngine

    return TorchEngine(network, scaling, recipe, threads, place=TorchDevice.of(placement), ranks=ranks)


def ranks_of_environment() -> Ranks:
    """Return the ranks that this process was started as one of, by torchrun for example; usually ALONE.

    Raises UserError if PyTorch is not installed, or the others do not come in time.
    """
    size = os.environ.get("WORLD_SIZE", "1")
    if size.isdecimal() and int(size) <= 1:
        return ALONE
    with IMPORTS:
        _need("torch", f"WORLD_SIZE={size}: several processes need PyTorch, which", INSTALL)
        from layerline.engines.torch_ranks import TorchRanks

    return TorchRanks()


def _need(module: str, what: str, fix: str) -> None:
    """Import a module. Raises UserError if it is not installed or its library cannot be loaded."""
    from importlib import import_module

    try:
        import_module(module)
    except ModuleNotFoundError as error:
        raise UserError(f"{what} is not installed", fix) from error
    except (ImportError, OSError) as error:
        reason = str(error).splitlines()[0][:200]
        raise UserError(
            f"{what} cannot be loaded: {reason}", f"raise the memory limit if there is one, or {fix}"
        ) from error
