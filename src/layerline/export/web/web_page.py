"""The format `web`: one HTML file that runs a model in any browser, without a network connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from layerline import __version__
from layerline.export.formats import Exported
from layerline.export.web import panel, templates
from layerline.export.web.module import web_module
from layerline.measure import score_rows
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerline.export.export_options import ExportOptions
    from layerline.export.subject import Origin, Subject
    from layerline.runs.result import Result

_FITS: Final = {
    "crop": "images of another shape are cropped around their center",
    "pad": "images of another shape are padded with black",
    "stretch": "images of another shape are stretched",
}
_MOST_NAMES: Final = 20
_DEEP: Final = "The training images had 16 bits per pixel; browsers read 8 of them."


def export(subject: Subject, options: ExportOptions) -> Exported:
    """Return the page."""
    del options
    made = web_module(subject)
    content = _page(subject, panel.panel(subject, made))
    without = len(content) - len(made.content) * 4 // 3
    sizes = (
        ("page", f"{display.size(len(content))}, {display.size(without)} of it without the model"),
        ("memory", f"{display.size(made.memory)} while it runs"),
    )
    return Exported({".html": content}, sizes, (_DEEP,) if subject.card.preprocessing.deep else ())


def _page(subject: Subject, inner: str) -> bytes:
    script, origin = panel.script(), subject.origin
    data = None if origin is None else origin.data
    page = templates.template("page.html").render(
        version=__version__,
        style=templates.text("look.css") + templates.text("panel.css"),
        script=script,
        script_hash=panel.hash_of(script),
        title=display.name(subject.network.name) + ("" if data is None else f" on {display.name(data)}"),
        panel=inner,
        facts=list(_facts(subject)),
        caution=_caution(subject),
    )
    return page.encode("utf-8", "backslashreplace")


def _facts(subject: Subject) -> Iterator[tuple[str, str]]:
    network, fit = subject.network, subject.card.preprocessing.fit
    yield "trained on", _trained_on(subject.origin)
    yield from _scores(None if subject.origin is None else subject.origin.result)
    yield "classes", f"{display.count(network.classes)}: {_names(subject.card.classes)}"
    yield "input", f"{panel.input_of(network)}; {_FITS[fit]}"
    yield "work", f"{display.count(network.multiply_adds)} multiply-adds per image"


def _trained_on(origin: Origin | None) -> str:
    if origin is None or origin.data is None:
        return "not known: the model was exported without its run"
    images = "" if origin.images is None else f": {display.counted(origin.images, 'image')}"
    return f"{display.name(origin.data)}{images}"


def _scores(result: Result | None) -> Iterator[tuple[str, str]]:
    """Yield accuracy and macro F1 of the test with their intervals."""
    if result is None or not result.tested:
        yield "test", "not known" if result is None else "none: there was no test set"
        return
    own = score_rows.own(result)
    tested = "" if result.confusion is None else f", on {display.counted(int(result.confusion.sum()), 'test image')}"
    for what, value, bounds in (
        ("test accuracy", own.accuracy, own.accuracy_interval),
        ("macro F1", own.macro_f1, own.macro_f1_interval),
    ):
        if value is not None:
            yield what, display.percent(value, 2) + _between(bounds) + tested
        tested = ""


def _between(bounds: tuple[float, float] | None) -> str:
    if bounds is None:
        return ""
    return f" (95% confidence interval: {display.percent(bounds[0], 2)} to {display.percent(bounds[1], 2)})"


def _names(classes: tuple[str, ...]) -> str:
    """Return the names of the first classes."""
    names = [display.name(each) for each in classes[:_MOST_NAMES]]
    return ", ".join(names) + (", …" if len(classes) > len(names) else "")


def _caution(subject: Subject) -> str:
    """Return what a user of the page has to know about its answers."""
    sentence = "The model only knows these classes: whatever an image shows, one of them is the answer."
    return f"{sentence} {_DEEP}" if subject.card.preprocessing.deep else sentence
