"""Layerline: write a convolutional image classifier as a text file, one layer per line, and train it fast on a CPU.

    data = layerline.load_data("digits")
    network = layerline.read("digits", data)
    run = layerline.train(network, data, epochs=10)

Importing this package imports nothing else, not even NumPy: each name is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from layerline.data import load_data
    from layerline.data.networks import parse, read
    from layerline.errors import (
        CodeCacheWarning,
        DataError,
        DivergedError,
        ImagesWarning,
        NetworkError,
        RecipeError,
        UnsupportedError,
        UnwrittenError,
        UserError,
    )
    from layerline.network import Network, presets
    from layerline.network.from_torch import from_torch, torch_support
    from layerline.recipe import Recipe
    from layerline.report.figure import samples_figure as samples_figure
    from layerline.training import Model, Progress, Run, Seeds, load, resume, train, train_seeds
    from layerline.training.from_onnx import from_onnx
    from layerline.training.pytorch.fitting import fit_torch

__version__: Final = "0.1.0"

__all__ = [
    "CodeCacheWarning",
    "DataError",
    "DivergedError",
    "ImagesWarning",
    "Model",
    "Network",
    "NetworkError",
    "Progress",
    "Recipe",
    "RecipeError",
    "Run",
    "Seeds",
    "UnsupportedError",
    "UnwrittenError",
    "UserError",
    "__version__",
    "fit_torch",
    "from_onnx",
    "from_torch",
    "load",
    "load_data",
    "parse",
    "presets",
    "read",
    "resume",
    "torch_support",
    "train",
    "train_seeds",
]

_HOMES: Final = {
    "CodeCacheWarning": "errors",
    "DataError": "errors",
    "DivergedError": "errors",
    "ImagesWarning": "errors",
    "Model": "training",
    "Network": "network",
    "NetworkError": "errors",
    "Progress": "training",
    "Recipe": "recipe",
    "RecipeError": "errors",
    "Run": "training",
    "Seeds": "training",
    "UnsupportedError": "errors",
    "UnwrittenError": "errors",
    "UserError": "errors",
    "fit_torch": "training.pytorch.fitting",
    "from_onnx": "training.from_onnx",
    "from_torch": "network.from_torch",
    "load": "training",
    "load_data": "data",
    "parse": "data.networks",
    "presets": "network",
    "read": "data.networks",
    "resume": "training",
    "samples_figure": "report.figure",  # not public: Dataset.show calls what comes after it in the package's order
    "torch_support": "network.from_torch",
    "train": "training",
    "train_seeds": "training",
}


def __getattr__(name: str) -> Any:
    """Import the module of `name` when it is first used (PEP 562)."""
    if name not in _HOMES:
        from layerline.errors.other_calls import advice

        raise AttributeError(f"module 'layerline' has no attribute {name!r}{advice('layerline', name)}")
    from importlib import import_module

    from layerline.system.workers import IMPORTS

    with IMPORTS:
        value = getattr(import_module(f"layerline.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names."""
    return __all__
