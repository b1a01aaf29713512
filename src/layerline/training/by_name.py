"""TRAIN: what `train` is called with: a network or its name, and data or where it is."""

from __future__ import annotations

import inspect
import os
import sys
from typing import TYPE_CHECKING, Any, Final, TypeVar, final

from layerline.data import Dataset, load_data
from layerline.data.data_options import ModelDataOptions
from layerline.data.networks import parse, read
from layerline.data.photos.sizing import Sizing
from layerline.errors import CallError, RecipeError, other_calls, other_words, wrong_calls
from layerline.experiment.experiment import ALLOW, Experiment
from layerline.experiment.options import BY_KEY, RECIPE_KEYS
from layerline.network import Network, find
from layerline.network.fitted import choose
from layerline.network.pretrained.backbones import names_backbone
from layerline.network_file import Mistakes, read_tree
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping


Function = TypeVar("Function", bound="Callable[..., Any]")
USAGE: Final = 'train("lenet5", "mnist", epochs=3)'
CALL: Final = f"{USAGE}; train(None, data) chooses a network that suits the images"
_ALSO: Final = {name.removeprefix("--"): key for key in RECIPE_KEYS for name in BY_KEY[key].also}
"""Other names of options that are understood everywhere: `lr`."""
_IMAGES_ONLY: Final = ("size", "fit", "gray", "input_shape", "sizing")
_OF_DATA: Final = {*ModelDataOptions.__annotations__, *_IMAGES_ONLY} - {"seed"}


@final
class ChosenDefault:
    """The default of an option in a signature: it is chosen for the network and data."""

    def __repr__(self) -> str:
        """Return what `help` displays."""
        return "<chosen>"


def with_options(options: type) -> Callable[[Function], Function]:
    """Return a decorator: the function has the keys of a TypedDict, which are options of the recipe, in its signature,
    for `help` and for completion in a notebook."""

    def decorator(function: Function) -> Function:
        signature = inspect.signature(function)
        own = [one for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
        by_word, default = inspect.Parameter.KEYWORD_ONLY, ChosenDefault()
        more = [
            inspect.Parameter(name, by_word, default=default, annotation=type_.__forward_arg__)
            for name, type_ in options.__annotations__.items()
        ]
        function.__signature__ = signature.replace(parameters=[*own, *more])  # type: ignore[attr-defined]  # inspect reads it
        return function

    return decorator


def options_of(options: Mapping[str, Any], function: Callable[..., Any]) -> dict[str, Any]:
    """Return options of the recipe under our names. Raises RecipeError for one that the function does not have."""
    found: dict[str, Any] = {}
    for name, value in options.items():
        ours = _ALSO.get(name, name)
        if ours in found or (ours != name and ours in options):
            raise RecipeError(f"{name}= and {ours}= are the same option", "pass one of them")
        if ours not in RECIPE_KEYS:
            raise _unknown(function, name)
        found[ours] = value
    return found


def _unknown(function: Callable[..., Any], name: str) -> RecipeError:
    called = function.__name__
    if name in other_calls.TRAIN:
        return RecipeError(f"{called}() has no option {name}", other_calls.TRAIN[name])
    ours = (other_words.ours(name) or name).replace("-", "_")
    if ours in _OF_DATA:
        first = next(iter(inspect.signature(function).parameters))
        advice = f"it is an option of load_data: {called}({first}, layerline.load_data(…, {ours}=…))"
        return RecipeError(f"{called}() has no option {name}", advice)
    return RecipeError(*wrong_calls.unknown(called, name, inspect.signature(function).parameters))


def both_of(
    network: Any, data: Any, recipe: Any, seed: int, allow: Collection[str], function: str = "train"
) -> tuple[Network, Dataset, Experiment | None]:
    """Return the network and the data, read and loaded if they are named, and then the experiment that they are.

    Without a network, one that suits the images is chosen, as on the command line.

    seed: of the splits of data that is loaded here. allow: kinds of findings to accept. Raises UserError, also for
    arguments that are swapped.
    """
    _check_order(network, data, recipe, function)
    named = isinstance(network, str | os.PathLike)
    file, text = _text(network) if named else (None, "")
    if not isinstance(data, Dataset):
        shape = network.input_shape if isinstance(network, Network) else None
        shape = read_tree(Mistakes(file or "", text)).input_shape if named else shape
        crop = None if shape is None or not names_backbone(file) else Sizing(shape[1:], "crop", gray=False)
        loaded = load_data(data, seed=seed, input_shape=shape, sizing=crop)
    else:
        loaded = data
    if network is None:
        file, text = choose(loaded.shape, len(loaded.classes), len(loaded.train))
    if isinstance(network, Network):
        found = network
    else:
        found = read(str(file), loaded) if names_backbone(file) else parse(text, loaded, name=file or "network")
    if not isinstance(data, str | os.PathLike):
        return found, loaded, None
    cuts = {ALLOW: tuple(allow)} if allow else {}
    return found, loaded, Experiment(file, found.text, os.fspath(data), cuts)


def _text(network: Any) -> tuple[str, str]:
    """Return the name in messages and the text of a network: a preset, a file, or text of several lines."""
    if isinstance(network, str) and "\n" in network.strip():
        return "network", network
    return find(network)


def _is_module(value: Any) -> bool:
    """Whether a value is a PyTorch module, without importing PyTorch."""
    torch = sys.modules.get("torch.nn")
    return torch is not None and isinstance(value, torch.Module)


def _check_order(network: Any, data: Any, recipe: Any, function: str) -> None:
    """Raise CallError if an argument is surely another one, or nothing that is understood."""
    call = f"{function}(network, data)"
    if isinstance(network, Dataset) or isinstance(data, Network):
        raise CallError(f"{function}(): found the data first, then the network", f"swap them: {call}")
    if isinstance(getattr(network, "network", None), Network):  # a model
        raise CallError(
            f"{function}(): found {type(network).__name__} as the network",
            f"to continue from its weights: {function}(model.network, data, start_from=model)",
        )
    if _is_module(network):
        module = type(network).__name__
        raise CallError(
            f"{function}(): found the PyTorch module {module} as the network",
            f"{function}(layerline.from_torch(module, (C, H, W)), data) trains its layers from its weights; "
            "layerline.fit_torch(module, data) trains the module itself",
        )
    if not isinstance(network, Network | str | os.PathLike | None):
        raise CallError(
            f"{function}(): found {type(network).__name__} as the network; expected a network, a preset or a file",
            f"for example {USAGE}; layerline.presets() lists presets, layerline.parse(text, data) reads text",
        )
    if recipe is not None and not isinstance(recipe, Recipe):
        what = type(recipe).__name__
        pair = f"pass images and labels together: {function}(network, (x, y))"
        words = f"pass options by name: {function}(network, data, epochs=3)"
        raise CallError(
            f"{function}(): found {what} as the recipe, expected a layerline.Recipe or nothing",
            pair if hasattr(recipe, "shape") or isinstance(recipe, list | tuple) else words,
        )
