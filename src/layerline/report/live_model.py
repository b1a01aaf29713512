"""The section of a report that runs the model in the browser, from a module in the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.errors import UserError
from layerline.export.subject import Subject
from layerline.export.web import panel
from layerline.export.web.module import web_module
from layerline.numbers import display
from layerline.runs import model_file
from layerline.runs.names import MODEL

if TYPE_CHECKING:
    from pathlib import Path

LARGEST: Final = 2_000_000
"""Maximum bytes of a module; in a page it takes 4/3 of them, and the images have what remains of `page.LARGEST`."""


@dataclass(frozen=True)
class LiveModel:
    """The section, or why there is none."""

    html: str = ""
    why: str = ""


def of_run(folder: Path) -> LiveModel:
    """Return the section for the model in a run's folder."""
    path = folder / MODEL
    if not path.is_file():
        return LiveModel(why="the folder has no model")
    try:
        found = model_file.read(path)
        weights = sum(array.nbytes for array in found.weights.values())
        if weights > LARGEST:
            return _too_large(weights)
        subject = Subject(found.network, found.card, found.weights)
        made = web_module(subject)
        return _too_large(len(made.content)) if len(made.content) > LARGEST else LiveModel(panel.panel(subject, made))
    except UserError as error:
        return LiveModel(why=error.message.splitlines()[0])


def _too_large(size: int) -> LiveModel:
    return LiveModel(why=f"it has {display.size(size)}, expected at most {display.size(LARGEST)}")
