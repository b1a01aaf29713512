"""What to train, on which data, and how: from experiment.toml, from flags, or from both (flags win)."""

from __future__ import annotations

import dataclasses
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from layerline import engines
from layerline.data.photos import sizing
from layerline.engines.placement import Placement
from layerline.errors import RecipeError, UserError
from layerline.experiment import toml_file
from layerline.experiment.options import BY_KEY, DATA_KEYS, RECIPE_KEYS, check_limit, check_split_seed
from layerline.network import find, presets
from layerline.network.pretrained.backbones import backbone, names_backbone
from layerline.network.pretrained.transfer import check_images, transfer_text
from layerline.network_file import Mistakes, formatted, read_tree
from layerline.network_file.unfreezing import unfrozen
from layerline.numbers import display
from layerline.numbers.scalars import is_whole
from layerline.recipe import Recipe
from layerline.recipe.together import check_epochs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from layerline.data.dataset import Dataset
    from layerline.data.folds import Fold
    from layerline.data.photos.decoding import Progress
    from layerline.data.photos.sizing import Sizing
    from layerline.network import Network

_SUFFIX: Final = ".toml"
ALLOW: Final = "allow"
NO_DATA: Final = (
    "--data: missing",
    "name the data: --data digits comes with the package, --data PATH is your own",
)
"""Message and help if the data is needed."""
DATA_FILES: Final = (
    *(
        ".npz",
        ".npy",
        ".mat",
        ".csv",
        ".tsv",
        ".parquet",
        ".zip",
        ".tar",
        ".gz",
        ".tgz",
        ".xz",
        ".txz",
        "ubyte",
        ".bin",
    ),
)
"""How the names of data files end, in lower case."""


@dataclass(frozen=True)
class Experiment:
    """A network's text, the data and its splits, and the recipe. Everything except the data has been checked."""

    file: str | None
    """The network's name in messages; None if the network is chosen to suit the data."""
    text: str
    source: str
    """The name or path of the data."""
    cuts: Mapping[str, Any]
    """The other data options that were specified."""
    recipe: Recipe = field(default_factory=Recipe)
    engine: str = "compiled"
    threads: int | None = None
    placement: Placement = field(default_factory=Placement)
    start_from: str | None = None
    """The run or model file whose weights the training starts from; None: drawn by the seed."""
    given: frozenset[str] = frozenset()
    """The keys of all options specified by flag or file; the others are chosen automatically."""
    exact: bool = False
    """Whether it comes from a file: options omitted there have their plain defaults, none is chosen automatically."""

    @property
    def allow(self) -> tuple[str, ...]:
        """Return the kinds of findings that do not prevent training."""
        return tuple(self.cuts.get(ALLOW, ()))

    def load(self, progress: Progress | None = None, cache: Path | None = None) -> Dataset:
        """Return the data, loaded, split and examined. Raises DataError.

        progress: see `load_data`; cache: the folder for decoded images, unless an option names one.
        """
        from layerline.data import load_data

        cuts = {key: value for key, value in self.cuts.items() if key != ALLOW}
        cuts = {"cache": cache, "input_shape": self._input_shape(), "sizing": self._sizing(), **cuts}
        cuts.pop("split_seed", None)
        return self._examined(load_data(self.source, seed=self.split_seed, progress=progress, **cuts))

    @property
    def split_seed(self) -> int:
        """Return the seed of the splits."""
        return int(self.cuts.get("split_seed", self.recipe.seed))

    def with_fold(self, fold: Fold) -> Experiment:
        """Return the same experiment with a fold as the test set."""
        return dataclasses.replace(self, cuts={**self.cuts, "test": str(fold)}, given=self.given | {"test"})

    def folds(self, data: Dataset) -> tuple[Dataset, ...]:
        """Return the loaded data with each of its folds as the test set, examined. Raises DataError."""
        return tuple(map(self._examined, data.folds()))

    def _examined(self, data: Dataset) -> Dataset:
        from layerline.data.checking import doctor

        command = doctor.command(self.source, {**self.cuts, "seed": self.split_seed})
        return doctor.examined(data, self.allow, command)

    def _input_shape(self) -> tuple[int, int, int] | None:
        """Return the input shape of the network's Input line, None if it has none."""
        return None if self.file is None else read_tree(Mistakes(self.file, self.text)).input_shape

    def _sizing(self) -> Sizing | None:
        """Return how image files are resized for pretrained layers, which were trained on crops; None for others."""
        shape = self._input_shape()
        if shape is None or not names_backbone(self.start_from):
            return None
        size, fit, gray = (self.cuts.get(key) for key in ("size", "fit", "gray"))
        return sizing.parse(size, fit or "crop", gray=gray).of_network(shape)

    def network(self, data: Dataset) -> Network:
        """Return the network for these images and classes. Raises NetworkError if it does not fit them."""
        from layerline.network import parse

        if names_backbone(self.start_from):
            check_images(backbone(str(self.start_from)), data.shape)
        if self.file is None:
            from layerline.network.fitted import choose

            file, text = choose(data.shape, len(data.classes), len(data.train))
            return parse(text, name=file, input_shape=data.shape, classes=len(data.classes))
        return parse(self.text, name=self.file, input_shape=data.shape, classes=len(data.classes))

    def with_features_of(self, name: str) -> Experiment:
        """Return the same experiment with a pretrained network and its usual head. Raises UserError like `settle`."""
        values = dict(self.cuts)
        file, text = _transferred(name, None, values)
        start_from = values.pop("start_from")
        return dataclasses.replace(self, file=file, text=text, cuts=values, start_from=start_from)


def _is_data(net: str) -> bool:
    """Return whether a word that should be a network names a data set, a folder or a file of data."""
    from layerline.data.sources import NAMES

    if net in presets():
        return False
    path = Path(net)
    return net in NAMES or path.is_dir() or (net.lower().endswith(DATA_FILES) and path.is_file())


def _unfrozen(count: Any, text: tuple[str, str]) -> tuple[str, str]:
    """Return name and text of a network with its last frozen layers trained. Raises UserError."""
    if not is_whole(count) or count < 1:
        raise RecipeError(f"--unfreeze {display.name(str(count))}: must be a whole number, 1 or more")
    name, content = text
    return name, unfrozen(content, count, name)


def _transferred(name: str, head: tuple[str, str] | None, values: dict[str, Any]) -> tuple[str, str]:
    """Return name and text of a pretrained network with its head; set the options that belong to it.

    head: name and text of the layers that follow; None for the usual ones.
    """
    known = backbone(name)
    if "start_from" in values:
        raise UserError(
            f"--from {name}: starts with the weights of {known.title}, so it cannot be combined with --start-from",
            f"--start-from alone continues from a run whose network was made by --from {name}",
        )
    values["start_from"] = name
    size = sizing.parse(values.get("size"), None, gray=None).size
    if head is None:
        return name, transfer_text(known, size)
    return f"{name} + {head[0]}", transfer_text(known, size, head[1])


def settle(net: str | None, flags: Mapping[str, Any]) -> Experiment:
    """Return the experiment of a command line: NET is a network, or an experiment.toml whose values `flags` override.

    If NET is None, the experiment chooses a preset that suits the images once it has seen them.

    flags: values by the keys of OPTIONS, only those that were specified. Raises UserError if any of them is invalid;
    the network is checked as far as that is possible without the data.
    """
    if net is not None and "data" not in flags and not net.lower().endswith(_SUFFIX) and _is_data(net):
        found = display.name(net, 200)
        raise UserError(
            f"{found}: data, not a network", f"name it with --data: layerline train --data {shlex.quote(found)}"
        )
    values: dict[str, Any] = {}
    text: tuple[str, str] | None = None
    exact = net is not None and net.lower().endswith(_SUFFIX)
    if net is not None and exact:
        written = toml_file.read(Path(net))
        values = dict(written.values)
        if names_backbone(written.net):
            values.setdefault("from", written.net)
        else:
            text = written.text or find(written.net or "")
        if "within" in flags:
            values.pop("epochs", None)  # the number that the file has is no longer wanted
    values.update({key: BY_KEY[key].value(given) for key, given in flags.items()})
    check_epochs(values)
    given = frozenset(values)
    if "from" in values:
        head = text if exact or net is None else find(net)
        text = _transferred(str(values.pop("from")), head, values)
    elif text is None and names_backbone(net):
        text = _transferred(str(net), None, values)
    if "unfreeze" in values:
        count = values.pop("unfreeze")
        if text is None and net is None:
            raise UserError(
                f"--unfreeze {display.name(str(count))}: no network with frozen layers is named",
                "add --from lite0, or name a run that started from one as NET",
            )
        text = _unfrozen(count, text or find(net or ""))
    recipe = Recipe(**{key: value for key, value in values.items() if key in RECIPE_KEYS})
    engine, threads = values.get("engine", "compiled"), values.get("threads")
    placement = Placement(*(str(values.get(key, BY_KEY[key].default)) for key in ("device", "precision")))
    engines.check(engine, threads, placement)
    file, content = text or (find(net) if net is not None else (None, ""))
    if file is not None:
        formatted(content, file)  # raises if a line cannot be read, before the data is loaded
    check_limit(values.get("limit"))
    check_split_seed(values.get("split_seed"))
    if "data" not in values:
        raise UserError(*NO_DATA)
    cuts = {key: values[key] for key in DATA_KEYS if key in values and key != "data"}
    parts = (recipe, engine, threads, placement, values.get("start_from"), given, exact)
    return Experiment(file, content, values["data"], cuts, *parts)
