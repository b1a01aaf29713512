"""TRAIN: from a network, data and a recipe to a run with its history, result, model and folder.

Each name is imported when it is first used: predicting does not import what trains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from layerline.training.interrupt import Interrupt
    from layerline.training.model import Model
    from layerline.training.resuming import resume
    from layerline.training.run import Run
    from layerline.training.seeds import Seeds, train_seeds
    from layerline.training.session import train
    from layerline.training.stored import load
    from layerline.training.watch import Progress, Stage, Watcher

__all__ = [
    "Interrupt",
    "Model",
    "Progress",
    "Run",
    "Seeds",
    "Stage",
    "Watcher",
    "load",
    "resume",
    "train",
    "train_seeds",
]

_HOMES: Final = {
    "Interrupt": "interrupt",
    "Model": "model",
    "Progress": "watch",
    "Run": "run",
    "Seeds": "seeds",
    "Stage": "watch",
    "Watcher": "watch",
    "load": "stored",
    "resume": "resuming",
    "train": "session",
    "train_seeds": "seeds",
}


def __getattr__(name: str) -> Any:
    """Import the module of `name` when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'layerline.training' has no attribute {name!r}")
    from importlib import import_module

    from layerline.system.workers import IMPORTS

    with IMPORTS:
        value = getattr(import_module(f"layerline.training.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
