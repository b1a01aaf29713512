"""What is to be trained, on what, and how: from experiment.toml, from flags, or from both, where flags win."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from layerline import engines
from layerline.errors import UserError
from layerline.experiment import toml_file
from layerline.experiment.options import BY_KEY, DATA_KEYS, RECIPE_KEYS, check_limit, check_split_seed
from layerline.network import find
from layerline.network_file import Mistakes, formatted, read_tree
from layerline.recipe import Recipe
from layerline.recipe.together import check_epochs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from layerline.data.dataset import Dataset
    from layerline.data.photos.decoding import Progress
    from layerline.network import Network

_SUFFIX: Final = ".toml"
ALLOW: Final = "allow"


@dataclass(frozen=True)
class Experiment:
    """A network's text, where the data is and how it is cut, and how to train. Everything but the data is checked."""

    file: str | None
    """What messages call the network; None where the data decides which it is."""
    text: str
    source: str
    """The data: a name or a path."""
    cuts: Mapping[str, Any]
    """The other data options that were given."""
    recipe: Recipe = field(default_factory=Recipe)
    engine: str = "compiled"
    threads: int | None = None
    given: frozenset[str] = frozenset()
    """The keys of all options that were given, by flag or file; the others are assumed."""
    exact: bool = False
    """Whether it comes from a file: what that leaves out has its plain default, and nothing is assumed."""

    @property
    def allow(self) -> tuple[str, ...]:
        """Return the kinds of findings that do not keep it from being trained."""
        return tuple(self.cuts.get(ALLOW, ()))

    def load(self, progress: Progress | None = None, cache: Path | None = None) -> Dataset:
        """Return the data, loaded, cut and examined. Raises DataError.

        progress: see `load_data`; cache: where decoded images are kept, where no option says it.
        """
        from layerline.data import load_data
        from layerline.data.checking.doctor import examined

        cuts = {key: value for key, value in self.cuts.items() if key != ALLOW}
        cuts = {"cache": cache, "input_shape": self._input_shape(), **cuts}
        seed = cuts.pop("split_seed", self.recipe.seed)
        return examined(load_data(self.source, seed=seed, progress=progress, **cuts), self.allow)

    def _input_shape(self) -> tuple[int, int, int] | None:
        """Return what the network's line Input says, None where it has none."""
        return None if self.file is None else read_tree(Mistakes(self.file, self.text)).input_shape

    def network(self, data: Dataset) -> Network:
        """Return the network for these images and classes. Raises NetworkError where it does not fit them."""
        from layerline.network import parse

        if self.file is None:
            from layerline.network.fitted import choose

            file, text = choose(data.shape, len(data.classes), len(data.train))
            return parse(text, name=file, input_shape=data.shape, classes=len(data.classes))
        return parse(self.text, name=self.file, input_shape=data.shape, classes=len(data.classes))


def settle(net: str | None, flags: Mapping[str, Any]) -> Experiment:
    """Return the experiment of a command line: NET is a network, or an experiment.toml whose values `flags` override.

    None: a preset that suits the images, which the experiment chooses when it has seen them.

    flags: values by the keys of OPTIONS, only those that were given. Raises UserError for whatever is wrong with them;
    the network is read as far as that goes without the data.
    """
    values: dict[str, Any] = {}
    text: tuple[str, str] | None = None
    exact = net is not None and net.lower().endswith(_SUFFIX)
    if net is not None and exact:
        written = toml_file.read(Path(net))
        text = written.text or find(written.net or "")
        values = dict(written.values)
    values.update({key: BY_KEY[key].value(given) for key, given in flags.items()})
    check_epochs(values)
    recipe = Recipe(**{key: value for key, value in values.items() if key in RECIPE_KEYS})
    engine, threads = values.get("engine", "compiled"), values.get("threads")
    engines.check(engine, threads)
    file, content = text or (find(net) if net is not None else (None, ""))
    if file is not None:
        formatted(content, file)  # raises where a line cannot be read, before the data is loaded
    check_limit(values.get("limit"))
    check_split_seed(values.get("split_seed"))
    if "data" not in values:
        raise UserError("--data: missing", "name the data: --data digits is in the package, --data PATH is your own")
    cuts = {key: values[key] for key in DATA_KEYS if key in values and key != "data"}
    return Experiment(file, content, values["data"], cuts, recipe, engine, threads, frozenset(values), exact)
