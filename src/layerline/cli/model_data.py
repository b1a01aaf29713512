"""The data that a model is evaluated on: read as the model needs it, and split as in its training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from layerline.cli.data_progress import Reading, cache_folder
from layerline.errors import DataError, UserError

if TYPE_CHECKING:
    from layerline.cli.terminal import Terminal
    from layerline.data.dataset import Dataset
    from layerline.training import Model
    from layerline.training.run_of_model import RunOfModel

OF_THE_MODEL: Final = ("size", "fit", "gray", "normalize")
"""Data options of a training run that the model determines here."""


def data_of(loaded: Model, run: RunOfModel | None, flags: dict[str, Any], which: str, terminal: Terminal) -> Dataset:
    """Return the data, read as the model needs it and split as in its training. Raises DataError."""
    from layerline.data import sources
    from layerline.experiment.options import DATA_KEYS

    requested = _splits(run, flags, which)
    seed = flags.get("seed", requested.get("split_seed", requested.get("seed", 0)))
    omitted = (*OF_THE_MODEL, "data", "allow", "split_seed")
    splits = {key: value for key, value in requested.items() if key in DATA_KEYS and key not in omitted}
    try:
        return loaded.load_data(
            requested["data"],
            allow=requested.get("allow", ()),
            seed=seed,
            progress=Reading(terminal),
            **{"cache": cache_folder(), **splits},
        )
    except DataError as error:
        there = "data" in flags or requested["data"] in sources.NAMES or Path(str(requested["data"])).exists()
        if not there:
            help_line = "if the data has moved, add --data PATH or --data-dir DIR"
        elif error.message.startswith(f"--{which} ") and which not in flags:
            help_line = "--split all evaluates every image, without splitting"
        else:
            raise
        raise DataError(error.message, help_line) from error


def _splits(run: RunOfModel | None, flags: dict[str, Any], which: str) -> dict[str, Any]:
    """Return which data to read and how to split it: as requested, else as for the run, else as by default.

    If the data is not the run's, no validation set is split off for a test, because there may be too few images. With
    --split all, nothing is split off.
    """
    from layerline.data.splitting import Own

    found: dict[str, Any] = {} if run is None else run.reading(flags.get("data"))
    if which == "all":
        found = {key: value for key, value in found.items() if key != "limit"} | {"test": Own(), "validation": Own()}
    elif which == "test":
        found.setdefault("validation", Own())
    found |= flags
    if "data" not in found:
        raise UserError("--data: missing", "specify labeled images, or pass a run's folder, which records its data")
    return found
