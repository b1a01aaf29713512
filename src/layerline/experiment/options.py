"""The table of all training options: the command line, experiment.toml and a run's record are made from it."""

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
    """The key in experiment.toml: `batch_size`."""
    section: str
    """The section in experiment.toml: data or train."""
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
        """Return the meaning of a flag's text or of a value in experiment.toml; unknown text is returned unchanged.

        Ranges and unknown text are checked where the value is used; that check names the option.
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


def _or(words: tuple[str, ...]) -> str:
    """Return the words as a list in a sentence: `sgd, adamw or muon`."""
    return f"{', '.join(words[:-1])} or {words[-1]}"


_SWITCH: Final = {"yes": True, "true": True, "no": False, "false": False}
_R: Final = Recipe()
CHOSEN: Final = "chosen"
"""The default of what is chosen automatically (training.automatic); in a file, the default is the recipe's own."""

OPTIONS: Final[tuple[Option, ...]] = (
    Option(
        "data",
        "data",
        "text",
        "DATA",
        "a name (digits, mnist, cifar10) or a path: image folder, zip, tar, IDX, .npz, .mat, CSV or Parquet",
    ),
    Option("data_dir", "data", "text", "DIR", "folder of the named data sets (or $LAYERLINE_DATA)"),
    Option("classes", "data", "list", "A,B,…", "use only these classes, by name or number [all]"),
    Option(
        "test",
        "data",
        "share",
        "SIZE",
        "test set: a fraction, a number of images, none, or a fold such as 2/5 [the data's own, or 0.15]",
    ),
    Option("validation", "data", "share", "SIZE", "validation set, from the training images: SIZE as for --test [0.1]"),
    Option("limit", "data", "whole", "N", "use only N training images, keeping the class proportions [all]"),
    Option("split_seed", "data", "whole", "N", "random seed for the splits and --limit [same as --seed]"),
    Option("normalize", "data", "text", "HOW", "max: divide by the largest value; standard: mean 0, std 1 [max]"),
    Option(
        "size",
        "data",
        "count",
        "SIZE",
        "resize to this size, such as 128 or 96x128 (height × width) [median side, at most 128]",
    ),
    Option("fit", "data", "text", "HOW", "crop, pad or stretch to that size [stretch if crop loses >20%]"),
    Option("gray", "data", "switch", "YES", "read images as grayscale, or as RGB [gray if all files are]"),
    Option("labels", "data", "text", "FILE", "CSV with columns file,label (and split,group) [folder names]"),
    Option("file_column", "data", "text", "NAME", "--labels: column of the files [found by content]"),
    Option("label_column", "data", "text", "NAME", "--labels: column of the labels [found by content]"),
    Option("label_by", "data", "text", "REGEX", "label from the file's path: '([a-z]+)_' [folder names]"),
    Option(
        "group_by",
        "data",
        "text",
        "REGEX",
        "keep files with the same match in one split; near: keep near copies together [near if many]",
    ),
    Option("exclude", "data", "text", "NAMES", "image files to skip: *_mask.png,old [none]"),
    Option("skip_bad", "data", "number", "FRACTION", "skip unusable files and labels, up to this fraction [0]"),
    Option(
        "cache",
        "data",
        "text",
        "DIR",
        "cache folder for large sets of decoded images and for pretrained features, or no [your user cache]",
    ),
    Option(
        "allow", "data", "list", "KINDS", "proceed despite these findings, such as leak,mask: docs/data-check.md [none]"
    ),
    Option(
        "augment",
        "train",
        "text",
        "WORDS",
        "random changes to the training images: flip,shift=4,…",
        CHOSEN,
    ),
    Option("epochs", "train", "whole", "N", "number of epochs", CHOSEN),
    Option("within", "train", "text", "TIME", "train for as many epochs as fit in a time such as 90s, 5m or 1h", NONE),
    Option("best", "train", "text", "WHAT", f"validation score that selects the best epoch: {_or(BESTS)}", _R.best),
    Option("patience", "train", "count", "N", "early stopping: stop after N epochs without improvement", NONE),
    Option("batch_size", "train", "whole", "N", "batch size", CHOSEN),
    Option("learning_rate", "train", "number", "RATE", "highest learning rate", CHOSEN, also=("--lr",)),
    Option(
        "backbone_rate",
        "train",
        "number",
        "FACTOR",
        "learning rate multiplier of trained layers before the head, if they are pretrained; 0.1 with --unfreeze",
        _R.backbone_rate,
    ),
    Option("schedule", "train", "text", "NAME", f"learning rate schedule: {_or(SCHEDULES)}", CHOSEN),
    Option("warmup", "train", "number", "EPOCHS", "epochs of linear warmup", _R.warmup),
    Option("step_epochs", "train", "share", "EPOCHS", "--schedule step: epochs between steps", NONE),
    Option(
        "step_factor", "train", "number", "FACTOR", "--schedule step: learning rate multiplier per step", _R.step_factor
    ),
    Option("optimizer", "train", "text", "NAME", _or(OPTIMIZERS), CHOSEN),
    Option("momentum", "train", "number", "μ", "sgd, muon: momentum, below 1", _R.momentum),
    Option("nesterov", "train", "switch", "YES", "sgd: Nesterov momentum", _R.nesterov),
    Option("beta1", "train", "number", "β₁", "adamw, muon: decay rate of the gradient average", _R.beta1),
    Option("beta2", "train", "number", "β₂", "adamw, muon: decay rate of the squared gradient average", _R.beta2),
    Option("eps", "train", "number", "ε", "adamw, muon: added to the denominator", _R.eps),
    Option("weight_decay", "train", "number", "λ", "weight decay", _R.weight_decay),
    Option("decay", "train", "text", "WHAT", "what to decay: all, or weights (not biases or norms)", _R.decay),
    Option("clip_norm", "train", "share", "NORM", "gradient clipping: maximum global norm", NONE),
    Option("ema", "train", "share", "DECAY", "keep a moving average of the weights, with a decay such as 0.999", NONE),
    Option("label_smoothing", "train", "number", "ε", "label smoothing, below 1", _R.label_smoothing),
    Option("class_weights", "train", "list", "HOW", "none, balanced, sqrt, or one number per class", CHOSEN),
    Option("init", "train", "text", "NAME", f"weight initialization: {_or(INITS)}", _R.init),
    Option(
        "from",
        "train",
        "text",
        "NAME",
        "classify by the features of a pretrained network: lite0, resnet18 or mobilenetv2; NET is then what follows",
        NONE,
    ),
    Option(
        "unfreeze",
        "train",
        "whole",
        "N",
        "train the last N frozen convolutions or blocks as well, at --backbone-rate",
        NONE,
    ),
    Option(
        "start_from",
        "train",
        "text",
        "RUN",
        "start with the weights of a run, a model file or a pretrained network; a new last layer for other classes "
        "[random]",
    ),
    Option("seed", "train", "whole", "N", "random seed (splits, initial weights, shuffling)", _R.seed),
    Option("engine", "train", "text", "NAME", "compiled, or torch (needs PyTorch)", "compiled"),
    Option(
        "device", "train", "text", "NAME", "--engine torch: cpu, cuda, cuda:1 or mps (not yet run on a GPU)", "auto"
    ),
    Option("precision", "train", "text", "NAME", "--engine torch: float32, or bf16 (autocast)", "float32"),
    Option("threads", "train", "whole", "N", "number of threads [all cores this process may use]"),
    Option(
        "exact", "train", "switch", "YES", "compute every convolution directly, none by transformed tiles", _R.exact
    ),
)

BY_KEY: Final = {option.key: option for option in OPTIONS}
DATA_KEYS: Final = tuple(option.key for option in OPTIONS if option.section == "data")
RECIPE_KEYS: Final = tuple(_R.as_dict())


def check_split_seed(seed: Any) -> None:
    """Raise RecipeError if the split seed is specified and is not a valid seed."""
    if seed is not None and not (is_whole(seed) and 0 <= seed < 2**64):
        raise RecipeError(f"--split-seed {display.name(str(seed))}: must be a whole number from 0 to {2**64 - 1:,d}")


def check_limit(limit: Any) -> None:
    """Raise RecipeError if a limit is specified and is not a number of images."""
    if limit is not None and not (is_whole(limit) and limit >= 1):
        raise RecipeError(f"--limit {display.name(str(limit))}: must be a whole number, 1 or more")
