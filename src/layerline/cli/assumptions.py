"""The settings of a training run in a few lines; automatic choices come with the flag that changes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from layerline.data.dataset import FITTED
from layerline.experiment.options import BY_KEY
from layerline.network.table import parameters
from layerline.numbers import display
from layerline.recipe import Recipe
from layerline.training.automatic.rules import UNBALANCED

if TYPE_CHECKING:
    from layerline.data.dataset import Dataset, Resized
    from layerline.engines.interface import Engine
    from layerline.experiment.experiment import Experiment
    from layerline.network.start import Start
    from layerline.training.prepared import Prepared


_PLAIN: Final = Recipe()


def facts(prepared: Prepared) -> list[tuple[str, str]]:
    """Return label and text of each line, for a training run started from the command line."""
    experiment, data = prepared.experiment, prepared.data
    assert experiment is not None  # noqa: S101 - the command line always has one
    return [
        ("data", _data(data)),
        *([] if data.resized is None else [("", _sizes(experiment, data.resized))]),
        ("split", _split(experiment, data)),
        *(("", note) for note in data.notes),
        ("network", _network(experiment, prepared)),
        *(("", prepared.reasons[key]) for key in ("network",) if key in prepared.reasons),
        *([] if prepared.start is None else [("start", _start(prepared, prepared.start))]),
        ("recipe", _recipe(experiment, prepared)),
        ("engine", _engine(experiment, prepared.engine)),
    ]


def _data(data: Dataset) -> str:
    C, H, W = data.shape
    count = sum(len(split) for split in (data.train, data.validation, data.test) if split is not None)
    named = ", ".join(display.name(name, 20) for name in data.classes[:6]) + (", …" if len(data.classes) > 6 else "")
    images = f"{display.count(count)} images ({C}×{H}×{W})"
    return f"{display.name(data.name)}: {images}, {len(data.classes)} classes ({named}){_spread(data)}"


def _spread(data: Dataset) -> str:
    """Return the fractions of the largest and the smallest class, if they differ much."""
    counts = np.bincount(data.train.labels, minlength=len(data.classes))
    if counts.max() < UNBALANCED * counts.min():
        return ""
    shares = [display.percent(float(share), 1) for share in (counts.max() / counts.sum(), counts.min() / counts.sum())]
    return f"; largest {shares[0]}, smallest {shares[1]} of the training images"


def _sizes(experiment: Experiment, resized: Resized) -> str:
    """Return the original sizes of the images, and how they were resized."""
    least, most, now = (display.picture(*each) for each in (resized.smallest, resized.largest, resized.size))
    many = f"{display.count(resized.sizes)} sizes from {least} to {most}" if resized.sizes > 1 else least
    size, fit = _flag(experiment, "size"), _flag(experiment, "fit")
    return f"{many} (width × height) resized to {now}{size}, {FITTED[resized.fit]}{fit}"


def _split(experiment: Experiment, data: Dataset) -> str:
    parts = [f"train {display.count(len(data.train))}"]
    for key, split in (("validation", data.validation), ("test", data.test)):
        size = "none" if split is None else display.count(len(split))
        brought = split is not None and key not in data.cuts
        parts.append(f"{key} {size}" + (" (the data's own)" if brought else _flag(experiment, key)))
    return ", ".join(parts)


def _network(experiment: Experiment, prepared: Prepared) -> str:
    network = prepared.network
    chosen, work = " (NET)" if experiment.file is None else "", display.count(network.multiply_adds)
    return f"{display.name(network.name)}{chosen}: {parameters(network)}, {work} multiply-adds per image"


def _start(prepared: Prepared, start: Start) -> str:
    """Return which weights the training starts with, and that nothing else of their training remains."""
    if prepared.resumed is not None:
        return f"started with the weights from {display.name(start.text, 200)}"
    if start.title is not None:
        fresh = ", ".join(node.label for node in start.fresh(prepared.network))
        return f"pretrained weights of {start.title}" + (fresh and f"; {fresh} starts with random weights")
    more = display.counted(prepared.recipe.epochs, "more epoch")
    epochs = "" if prepared.recipe.within is not None else f"; {more}"
    return f"weights from {display.name(start.text, 200)}: the optimizer starts anew{epochs}"


def _recipe(experiment: Experiment, prepared: Prepared) -> str:
    """Return the recipe: the settings of every training, then other choices, automatic or requested."""
    recipe = prepared.recipe
    parts = [_optimizer(recipe) + _flag(experiment, "optimizer") * (recipe.optimizer != "sgd")]
    if recipe.optimizer != "adamw":
        parts.append(f"momentum {display.rate(recipe.momentum)}{_flag(experiment, 'momentum')}")
    rate = f"learning rate {display.rate(recipe.learning_rate)}{_flag(experiment, 'learning_rate')}"
    curve = _CURVES[recipe.schedule]
    parts.append(rate + curve + _flag(experiment, "schedule") * bool(curve))
    written = recipe.as_dict()
    parts += [
        words.format(_text(written[key])) + _flag(experiment, key) * (key in prepared.reasons)
        for key, words in _EXTRA.items()
        if getattr(recipe, key) != getattr(_PLAIN, key)
    ]
    parts += [f"no {words}{_flag(experiment, key)}" for key, words in _OFF.items() if _is_off(key, prepared)]
    parts.append(f"batch {display.count(recipe.batch_size)}{_flag(experiment, 'batch_size')}")
    if recipe.within is not None:
        parts.append(f"as many epochs as fit in {written['within']}")
    else:
        time = "" if prepared.seconds is None else f" ≈ {display.seconds(prepared.seconds)} here"
        parts.append(f"{display.counted(recipe.epochs, 'epoch')}{time}{_flag(experiment, 'epochs')}")
    parts.append(f"seed {recipe.seed}{_flag(experiment, 'seed')}")
    return ", ".join(parts)


def _optimizer(recipe: Recipe) -> str:
    """Return its name; adamw without weight decay is Adam, and may have been requested as that."""
    return (
        "adamw without weight decay, which is Adam"
        if recipe.optimizer == "adamw" and not recipe.weight_decay
        else recipe.optimizer
    )


_CURVES: Final = {
    "linear": " decaying linearly to 0",
    "cosine": " with cosine decay to 0",
    "one-cycle": " with one-cycle schedule",
    "step": " decaying in steps",
    "constant": "",
}
_EXTRA: Final = {
    "backbone_rate": "times {} before the head",
    "warmup": "warmup of {} epochs",
    "nesterov": "Nesterov",
    "exact": "exact convolutions",
    "weight_decay": "weight decay {}",
    "clip_norm": "gradient norm clipped at {}",
    "ema": "moving average of the weights ({})",
    "label_smoothing": "label smoothing {}",
    "class_weights": "class weights {}",
    "augment": "augmentation {}",
    "best": "best epoch by {}",
    "patience": "patience {}",
}
"""Settings that not every training has, and their names on the screen."""


_OFF: Final = {"class_weights": "class weights", "augment": "augmentation"}
"""Settings that may be turned off automatically."""


def _is_off(key: str, prepared: Prepared) -> bool:
    return key in prepared.reasons and getattr(prepared.recipe, key) == getattr(_PLAIN, key)


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return display.rate(value) if isinstance(value, float) else str(value)


def _engine(experiment: Experiment, engine: Engine) -> str:
    known = engine.facts()
    parts = [engine.name]
    if "ranks" in known:
        parts.append(f"{known['ranks']} ranks")
    if "device" in known:
        parts.append(f"{known['device']}{_flag(experiment, 'device')}")
    if "gpu" in known:
        parts.append(known["gpu"])
    if known.get("precision", "float32") != "float32":
        parts.append(known["precision"])
    if "threads" in known:
        parts.append(f"{display.counted(known['threads'], 'thread')}{_flag(experiment, 'threads')}")
    if "lanes" in known:
        parts.append(f"{known['lanes']} lanes ({known.get('cpu')})")
    return ", ".join(parts)


def _flag(experiment: Experiment, key: str) -> str:
    """Return ` (--flag)` for an automatic choice, nothing for an option that was specified."""
    return "" if key in experiment.given else f" ({BY_KEY[key].flag})"
