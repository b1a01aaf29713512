"""RUN: engines by name. Each is imported only when it is created, so that one that is not installed is no problem."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from layerline.errors import RecipeError, UserError, other_words
from layerline.numbers import display
from layerline.numbers.scalars import is_whole, plain
from layerline.system.workers import IMPORTS

if TYPE_CHECKING:
    from layerline.data.dataset import Scaling
    from layerline.engines.interface import Engine
    from layerline.network import Network
    from layerline.network.start import Start
    from layerline.recipe import Recipe

NAMES: Final = ("compiled", "torch")
MOST_THREADS: Final = 1024

__all__ = ["MOST_THREADS", "NAMES", "check", "make"]


def check(name: str, threads: int | None) -> None:
    """Raise RecipeError if the engine is unknown or `threads` is out of range."""
    if name not in NAMES:
        raise RecipeError(f"--engine {display.name(str(name))}: unknown", other_words.hint("engine", str(name), NAMES))
    if threads is not None and not (is_whole(threads) and 1 <= threads <= MOST_THREADS):
        written, advice = display.number_as_passed("threads", threads)
        raise RecipeError(f"--threads {written}: must be a whole number from 1 to {MOST_THREADS:,d}", advice)


def make(
    name: str,
    network: Network,
    scaling: Scaling,
    recipe: Recipe,
    threads: int | None = None,
    *,
    start: Start | None = None,
) -> Engine:
    """Return the engine called `name`, with the recipe's initial weights, or those of `start` and a new optimizer.

    threads: all cores by default. Raises RecipeError like `check`, NetworkError if the engine cannot run a layer, and
    UserError if the engine is not installed.
    """
    threads = plain(threads)
    check(name, threads)
    made = _made(name, network, scaling, recipe, threads)
    if start is not None and start.weights is not None:
        made.set_state(made.state().with_averaged(start.weights))
    return made


def _made(name: str, network: Network, scaling: Scaling, recipe: Recipe, threads: int | None) -> Engine:
    if name == "compiled":
        with IMPORTS:
            _need("llvmlite.binding", "--engine compiled: llvmlite", "pip install --force-reinstall llvmlite")
            from layerline.engines.compiled import CompiledEngine

        return CompiledEngine(network, scaling, recipe, threads)
    with IMPORTS:
        _need("torch", "--engine torch: PyTorch", "pip install 'torch>=2.4'")
        from layerline.engines.torch_engine import TorchEngine

    return TorchEngine(network, scaling, recipe, threads)


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
