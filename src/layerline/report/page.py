"""report.html: a whole run in one file, made from the files in its folder and the pixels of its images."""

from __future__ import annotations

import dataclasses
import functools
import re
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline import __version__
from layerline.data.dataset import FITTED
from layerline.export.web import panel, templates
from layerline.files import whole
from layerline.measure import remarks
from layerline.numbers import display
from layerline.report import (
    confusion_table,
    filters,
    fold_table,
    gallery,
    headline,
    learning_curves,
    samples,
    tables,
    thumbnails,
)
from layerline.report.suspects import SURE
from layerline.runs import metrics, saved
from layerline.runs.names import REPORT
from layerline.system.workers import check

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import jinja2
    import markupsafe
    from numpy.typing import NDArray

    from layerline.report.gallery import Images
    from layerline.runs.fold_runs import FoldRuns
    from layerline.runs.metrics import Counts
    from layerline.runs.saved import SavedRun

LARGEST: Final = 3_000_000
"""Maximum size of the page in bytes, whatever the run."""
MARK: Final = "<!-- Written by layerline: the report of a run. -->"
"""The second line of the page: identifies it as ours."""
HAS_IMAGES: Final = '<ul class="images">'
"""Markup that only a page with images contains."""

_FLAG: Final = re.compile(r"(?<![\w-])(--[a-z][a-z-]{1,30})(?![\w-])")
_SPARE: Final = 20_000
_LARGEST_FILTERS: Final = 640
_OLD: Final = "the run is from an older version, which did not record the test images"


def write(
    folder: Path,
    *,
    pixels: Callable[[str, int], NDArray[np.uint8]] | None,
    assumptions: Sequence[tuple[str, str]] = (),
    out: Path | None = None,
    why: str = "",
    live: str = "",
) -> Path:
    """Write the report of the run in `folder` to `out`, or to its report.html, and return the path.

    pixels: from a split and an image's index in the loaded data to its pixels, uint8 (H, W) or (H, W, 3); None omits
    the images, and the page gives `why` as the reason. assumptions: (option, reason) pairs of automatic choices; empty:
    those of the record. live: the section that runs the model, see live_model. Raises UserError if the folder is not a
    run, a file in it is damaged, or the page cannot be written.
    """
    path = out or folder / REPORT
    content = render(saved.read(folder), pixels, assumptions, why, live)
    check()  # after a request to stop, nothing more is written
    whole.write(path, (content,))
    return path


def render(
    run: SavedRun,
    pixels: Callable[[str, int], NDArray[np.uint8]] | None = None,
    assumptions: Sequence[tuple[str, str]] = (),
    why: str = "",
    live: str = "",
) -> bytes:
    """Return the page, at most LARGEST bytes; the same files and pixels give the same bytes.

    Without enough room for `live`, it is omitted.
    """
    if isinstance(pixels, thumbnails.PageImages):
        predictions = {split: pixels.indexed(part) for split, part in run.predictions.items()}
        run = dataclasses.replace(run, predictions=predictions)
    fixed = _fixed(run, assumptions) | {"fitted": _fitted(pixels), "folds": None, "live": live}
    if run.folds is not None:
        fixed |= _of_folds(run, run.folds, fixed["title"])
    chosen = gallery.choose(run)
    images = gallery.bare(run, chosen)
    if live and len(_page(fixed, gallery.empty_cells(images), chosen, why)) > LARGEST - _SPARE:
        fixed["live"] = ""
    indexed = all(part.index is not None for part in run.predictions.values())
    if pixels is not None and not indexed:
        pixels, why = None, _OLD
    if pixels is not None and (chosen.worst or chosen.pairs):
        room = LARGEST - _SPARE - len(_page(fixed, gallery.empty_cells(images), chosen, ""))
        images = gallery.filled(run, chosen, thumbnails.Thumbnails(pixels), room)
    page = _page(fixed, images, chosen, why)
    if len(page) > LARGEST:  # many long names: the cells only show their counts
        page = _page(fixed, gallery.empty_cells(gallery.bare(run, chosen)), chosen, why)
    return page


def _fitted(pixels: Callable[[str, int], NDArray[np.uint8]] | None) -> dict[str, Any] | None:
    """Return example images before and after resizing, if a crop cuts something off; else None."""
    resized = pixels.resized if isinstance(pixels, thumbnails.PageImages) else None
    if resized is None or not isinstance(pixels, thumbnails.PageImages):
        return None
    side = max(thumbnails.SMALL)
    images = [
        (display.name(name, 100), thumbnails.encoded(original, side), thumbnails.encoded(fitted, side))
        for name, original, fitted in pixels.examples()
    ]
    return {"heading": samples.fitting(resized), "seen": FITTED[resized.fit], "images": images}


def _page(fixed: dict[str, Any], images: Images, chosen: gallery.Chosen, why: str) -> bytes:
    page = template().render(**fixed, images=images, chosen=chosen, why=why, most_wrong=confusion_table.MOST_WRONG)
    return page.encode("utf-8", "backslashreplace")


def _fixed(run: SavedRun, assumptions: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return the template variables that do not depend on the images."""
    split = "test" if run.tested or "test" in run.predictions else "validation"
    confusion = run.confusion(split)
    about = run.record.about
    network = about.network.name or (run.network.name if run.network else "network")
    script, panel_script = _file("sort.js").strip(), panel.script()
    return {
        "mark": MARK,
        "version": __version__,
        "style": templates.text("look.css") + _file("report.css"),
        "script": script,
        "script_hash": panel.hash_of(script),
        "panel_style": templates.text("panel.css"),
        "panel_script": panel_script,
        "panel_hash": panel.hash_of(panel_script),
        "title": f"{display.name(network)} on {display.name(about.data.name or 'data')}",
        "run": display.name(run.folder.resolve().name),
        "split": split,
        "splits": list(run.predictions),
        "headline": headline.of(run),
        "remarks": [] if run.result is None else remarks.shown(run.result.remarks),
        "curves": learning_curves.of(run) if run.history else None,
        "classes": [] if confusion is None else tables.classes(run, confusion),
        "class_count": len(run.classes),
        "matrix": _matrix(run, confusion),
        "turned": any(len(name) > 3 for name in run.classes),
        "heat": "" if confusion is None or _matrix(run, confusion) else confusion_table.picture(confusion),
        "confusion": confusion is not None,
        "sure": display.percent(SURE),
        "filters": _filters(run),
        "choices": tables.choices(run, assumptions),
        "settings": tables.settings(run),
        "data": tables.data(run),
        "layers": tables.layers(run),
        "text": tables.text(run),
        "environment": tables.environment(run),
    }


def _of_folds(run: SavedRun, folds: FoldRuns, title: str) -> dict[str, Any]:
    """Return the template variables that differ for a cross-validation."""
    data = tables.data(run)
    tested = sum(map(len, run.predictions.values()))
    summary = f"Out-of-fold: {display.count(tested)} images, each predicted by the training without it."
    return {
        "title": f"{title}, {folds.folds} folds",
        "folds": fold_table.of(folds),
        "headline": dataclasses.replace(headline.of(run), summary=summary),
        "data": dataclasses.replace(data, notes=(f"The splits are those of fold {folds.finished[0]}.", *data.notes)),
    }


def _matrix(run: SavedRun, confusion: Counts | None) -> list[confusion_table.MatrixRow]:
    if (
        confusion is None
        or isinstance(confusion, metrics.SparseCounts)
        or len(confusion) > confusion_table.MOST_CLASSES
    ):
        return []
    panels = frozenset(pair.panel for pair in confusion_table.pairs(confusion, None))
    return confusion_table.rows(confusion, run.classes, panels)


def _filters(run: SavedRun) -> dict[str, Any] | None:
    """Return the first layer's filters as an image, shown at about 12 pixels per weight; None without any."""
    if run.network is None or run.weights is None:
        return None
    try:
        found = filters.first_filters(run.network, run.weights)
    except (KeyError, ValueError):  # the model file is of another network
        return None
    if found is None or not np.isfinite(found.weights).all():
        return None
    pixels, note = filters.pixels(found)
    height, width, _ = pixels.shape
    every = -(-max(height, width) // _LARGEST_FILTERS)
    if every > 1:
        note = "; ".join(
            part for part in (note, f"every {display.count(every)}th weight of each row and column") if part
        )
    return {
        "title": found.title,
        "note": note,
        "uri": thumbnails.png(pixels[::every, ::every]),
        "width": min(12 * width, 640),
    }


@functools.cache
def template() -> jinja2.Template:
    """Return the page's template, compiled."""
    environment = templates.environment(_file)
    environment.filters["flags"] = _flags
    return environment.get_template("report.html")


def _flags(text: str) -> markupsafe.Markup:
    """Return the escaped text with flags such as --epochs marked as code, so that no line breaks inside one."""
    import markupsafe

    return markupsafe.Markup(_FLAG.sub(r"<code>\1</code>", str(markupsafe.escape(text))))  # noqa: S704 - is escaped


def _file(name: str) -> str:
    return (resources.files("layerline.report") / "templates" / name).read_text(encoding="utf-8")
