"""What to do after a training run: commands with the names of this run, which work as they are."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from layerline.runs.names import EXPERIMENT, MODEL, REPORT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerline.training import Run
    from layerline.training.cross_validation import CrossValidation
    from layerline.training.prepared import Prepared


def photo(prepared: Prepared) -> str | None:
    """Return an image file that the model was not trained on, as seen from here; None if the data is not files."""
    data, experiment = prepared.data, prepared.experiment
    split = data.test or data.validation
    names = None if split is None else split.source.names
    if experiment is None or split is None or names is None:
        return None
    file = Path(experiment.source) / str(names[split.indices[0]])
    return str(file) if file.is_file() else None


def after(run: Run, folder: Path, photo: str | None) -> list[tuple[str, str]]:
    """Return labels and texts: the report and a command to try the model, or for a stopped run to resume it."""
    name = shlex.quote(str(folder))
    if run.stopped is not None and run.result.confusion is None:
        return [("next", f"layerline train --resume {name}")]
    steps = [f"open {folder / REPORT} in a browser"] if REPORT in run.files else []
    if MODEL in run.files:
        use = f"predict {name} {shlex.quote(photo)}" if photo else f"evaluate {name}"
        steps.append(f"layerline {use}")
    return _listed(steps)


def after_folds(found: CrossValidation, folder: Path, files: Sequence[str]) -> list[tuple[str, str]]:
    """Return labels and texts: the report of all folds, and the command that trains one model for use on all images.

    Its recipe is that of the folds, chosen with the first of them, so that their scores are about it.
    """
    steps = [f"open {folder / REPORT} in a browser"] if REPORT in files else []
    if found.runs and found.stopped is None:
        record = folder / found.name(min(found.runs)) / EXPERIMENT
        steps.append(f"layerline train {shlex.quote(str(record))} --test none")
    return _listed(steps)


def _listed(steps: Sequence[str]) -> list[tuple[str, str]]:
    return [("next" if step is steps[0] else "", step) for step in steps]
