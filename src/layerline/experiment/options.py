"""Every option of a training, once: the command line, experiment.toml and a run's record are made from this table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Literal

from layerline.errors import RecipeError
from layerline.numbers import display
from layerline.numbers.scalars import is_whole, plain
from layerline.recipe import BESTS, INITS, OPTIMIZERS, SCHEDULES, Recipe
from layerline.recipe.words import NONE

Kind = Literal["whole", "number", "share", "text", "list", "switch", "count"]
"""share: a number, or a word such as `none`; count: a whole number, or a word; switch: yes or no."""

_WHOLE: Final = re.compile(r"[+-]?[0-9]+")
_NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?inf|nan", re.ASCII)


@dataclass(frozen=True)
class Option:
    """An option: a flag on the command line, and a key of a section of experiment.toml."""

    key: str
    """In experiment.toml: `batch_size`."""
    section: str
    """Of experiment.toml: data or train."""
    kind: Kind
    metavar: str
    help: str
    default: Any = None
    also: tuple[str, ...] = ()
    """Other names of the flag."""

    @property
    def flag(self) -> str:
        """Return its flag: `--batch-size`."""
        return "--" + self.key.replace("_", "-")

    def value(self, given: Any) -> Any:
        """Return what a flag's text, or a value of experiment.toml, means; what is not understood stays as it is.

        Ranges, and what was not understood, are for the part that the value goes to: it names the option.
        """
        if self.kind == "list":
            parts = given if isinstance(given, list) else str(given).split(",")
            return tuple(str(part).strip() for part in parts)
        given = plain(given)
        if not isinstance(given, str):
            return float(given) if self.kind in ("number", "share") and is_whole(given) else given
        text = given.strip()
        if self.kind == "switch" and text.lower() in _SWITCH:
            return _SWITCH[text.lower()]
        if self.kind in ("whole", "count") and _WHOLE.fullmatch(text) and len(text) < 40:
            return int(text)
        if self.kind in ("number", "share") and _NUMBER.fullmatch(text):
            return float(text)
        return text if self.kind == "share" else given


_SWITCH: Final = {"yes": True, "true": True, "no": False, "false": False}
_R: Final = Recipe()

OPTIONS: Final[tuple[Option, ...]] = (
    Option(
        "data",
        "data",
        "text",
        "DATA",
        "a name (digits, mnist, cifar10) or a path: folder or tar of images, IDX, .npz",
    ),
    Option("data_dir", "data", "text", "DIR", "where named sets lie (or $LAYERLINE_DATA)"),
    Option("classes", "data", "list", "A,B,…", "only these classes, by name or number [all]"),
    Option(
        "test", "data", "share", "SHARE", "for the test: a share, a number of images, or none [the data's own, or 0.15]"
    ),
    Option("validation", "data", "share", "SHARE", "of the training images, for validation: likewise [0.1]"),
    Option("limit", "data", "whole", "N", "train on N images, in proportion to the classes [all]"),
    Option("split_seed", "data", "whole", "N", "which images go to test, validation and --limit [as --seed]"),
    Option("normalize", "data", "text", "HOW", "max: divide by the largest value; standard: mean 0, deviation 1 [max]"),
    Option("size", "data", "count", "SIZE", "resize images to 128×128, or 96x128 [median side, at most 128]"),
    Option("fit", "data", "text", "HOW", "crop, pad or stretch to that size [stretch if crop cuts > 20 %]"),
    Option("gray", "data", "switch", "YES", "all images gray, or with no all RGB [gray where all files are]"),
    Option("labels", "data", "text", "FILE", "a CSV with file,label (split,group) [folders are the classes]"),
    Option(
        "group_by",
        "data",
        "text",
        "REGEX",
        "files with the same match stay in the same split; near: near copies do [near where many]",
    ),
    Option("exclude", "data", "text", "NAMES", "image files to leave out: *_mask.png,old [none]"),
    Option("skip_bad", "data", "number", "SHARE", "leave out files that cannot be read, up to this share [0]"),
    Option("cache", "data", "text", "DIR", "where many decoded images are kept, or no [the user's cache]"),
    Option(
        "allow", "data", "list", "KINDS", "train despite these findings, such as leak,mask: docs/data-check.md [none]"
    ),
    Option(
        "augment",
        "train",
        "text",
        "WORDS",
        "what is done to images as they are loaded: flip,shift=4,…",
        NONE,
    ),
    Option("epochs", "train", "whole", "N", "how often every training image is seen", _R.epochs),
    Option("within", "train", "text", "TIME", "train as many epochs as fit: 90s, 5m, 1h [none]", NONE),
    Option("best", "train", "text", "WHAT", f"what tells the best epoch in validation: {', '.join(BESTS)}", _R.best),
    Option("patience", "train", "count", "N", "stop after N epochs without a better one [none]", NONE),
    Option("batch_size", "train", "whole", "N", "images a step", _R.batch_size),
    Option("learning_rate", "train", "number", "RATE", "the highest", _R.learning_rate, also=("--lr",)),
    Option("schedule", "train", "text", "NAME", f"of the learning rate: {', '.join(SCHEDULES)}", _R.schedule),
    Option("warmup", "train", "number", "EPOCHS", "over which the rate rises first", _R.warmup),
    Option("step_epochs", "train", "share", "EPOCHS", "between the steps of --schedule step [none]", NONE),
    Option("step_factor", "train", "number", "SHARE", "of the rate that is left after a step", _R.step_factor),
    Option("optimizer", "train", "text", "NAME", ", ".join(OPTIMIZERS), _R.optimizer),
    Option("momentum", "train", "number", "μ", "of sgd and muon, below 1", _R.momentum),
    Option("nesterov", "train", "switch", "YES", "whether sgd looks ahead: yes or no", _R.nesterov),
    Option("beta1", "train", "number", "β₁", "of adamw: how slowly the mean of gradients moves", _R.beta1),
    Option("beta2", "train", "number", "β₂", "of adamw: how slowly the mean of their squares moves", _R.beta2),
    Option("eps", "train", "number", "ε", "of adamw: added to the root", _R.eps),
    Option("weight_decay", "train", "number", "λ", "how much of a weight decays, times the rate", _R.weight_decay),
    Option("decay", "train", "text", "WHAT", "what decays: all, or weights (no biases and norms)", _R.decay),
    Option("clip_norm", "train", "share", "NORM", "the most that all gradients together may be [none]", NONE),
    Option("ema", "train", "share", "SHARE", "keep a moving average of the weights, such as 0.999 [none]", NONE),
    Option(
        *("label_smoothing", "train", "number", "ε", "of the target that goes to all classes alike"), _R.label_smoothing
    ),
    Option("class_weights", "train", "list", "HOW", "none, balanced, sqrt, or a number a class", NONE),
    Option("init", "train", "text", "NAME", f"of the weights: {', '.join(INITS)}", _R.init),
    Option("seed", "train", "whole", "N", "of the cuts, the first weights and the order of images", _R.seed),
    Option("engine", "train", "text", "NAME", "compiled, or torch (needs PyTorch)", "compiled"),
    Option("threads", "train", "whole", "N", "threads that work [all cores this process may use]"),
)

BY_KEY: Final = {option.key: option for option in OPTIONS}
DATA_KEYS: Final = tuple(option.key for option in OPTIONS if option.section == "data")
RECIPE_KEYS: Final = tuple(_R.as_dict())


def check_split_seed(seed: Any) -> None:
    """Raise RecipeError where a seed of the cuts is given that is none."""
    if seed is not None and not (is_whole(seed) and 0 <= seed < 2**64):
        raise RecipeError(f"--split-seed {display.name(str(seed))}: must be a whole number from 0 to {2**64 - 1:,d}")


def check_limit(limit: Any) -> None:
    """Raise RecipeError where a limit is given that is no number of images."""
    if limit is not None and not (is_whole(limit) and limit >= 1):
        raise RecipeError(f"--limit {display.name(str(limit))}: must be a whole number from 1")
