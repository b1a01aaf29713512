"""The images of the page: worst mistakes, possible label errors, confusion cells; and the bytes that each gets."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

from layerline.numbers import display
from layerline.report import confusion_table
from layerline.report.suspects import suspects
from layerline.report.thumbnails import SMALL

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from layerline.report.confusion_table import ClassPair
    from layerline.report.thumbnails import Thumbnail, Thumbnails
    from layerline.runs.predictions import Predictions
    from layerline.runs.saved import SavedRun

MOST: Final = 24
"""Maximum images in the list of mistakes, and in that of possible label errors."""
_MARKUP: Final = 320
"""Maximum bytes of markup for an image of a cell, besides its name and pixels."""


@dataclass(frozen=True)
class Entry:
    """An image with its caption."""

    name: str
    split: str
    truth: str
    prediction: str
    """The predicted class; in the list of possible label errors, the class that the image seems to belong to."""
    probability: str
    of_truth: str
    thumbnail: Thumbnail | None = None

    @property
    def alt(self) -> str:
        """Return the alternative text of the image."""
        return f"{self.name}: true {self.truth}, predicted {self.prediction}"


@dataclass(frozen=True)
class Panel:
    """The images of a cell, opened from the matrix."""

    id: str
    truth: str
    prediction: str
    right: bool
    count: int
    images: tuple[Entry, ...]


@dataclass(frozen=True, eq=False)
class Chosen:
    """Which images are on the page, as positions in their split, before their pixels are read."""

    worst: tuple[tuple[Predictions, int, int], ...]
    """Each with its split and its predicted class."""
    suspected: tuple[tuple[Predictions, int, int], ...]
    """Likewise, with the class that the image seems to belong to."""
    mistakes: int
    """The total number of mistakes."""
    suspicious: int
    """The total number of possible label errors."""
    pairs: tuple[ClassPair, ...]
    predictions: Predictions | None
    """The split of the pairs and the mistakes: the test set, or without one the validation set."""


def choose(run: SavedRun) -> Chosen:
    """Return the images to show, if there is room."""
    predictions = run.predictions.get("test") or run.predictions.get("validation")
    split = "test" if run.tested or predictions is None else predictions.split
    confusion = run.confusion(split)
    found = [] if confusion is None else confusion_table.pairs(confusion, predictions)
    worst = (
        ()
        if predictions is None
        else tuple((predictions, int(k), int(predictions.prediction[k])) for k in predictions.worst(MOST))
    )
    listed = []
    for part in run.predictions.values():
        doubted = suspects(part)
        listed += [
            (float(margin), part, int(place), int(other))
            for place, other, margin in zip(doubted.places, doubted.other, doubted.margin, strict=True)
        ]
    listed.sort(key=lambda entry: -entry[0])
    return Chosen(
        tuple(worst),
        tuple((part, place, other) for _, part, place, other in listed[:MOST]),
        0 if predictions is None else int((predictions.prediction != predictions.truth).sum()),
        len(listed),
        tuple(found),
        predictions,
    )


@dataclass(frozen=True)
class Images:
    """All images of the page, with their pixels if there was room."""

    worst: tuple[Entry, ...]
    suspected: tuple[Entry, ...]
    panels: tuple[Panel, ...]
    side: int
    """The longer side of the large images; 0 if there are no pixels."""


def bare(run: SavedRun, chosen: Chosen) -> Images:
    """Return the images without pixels: only names, and in the cells as many as a page without images may have."""
    lists = confusion_table.named(chosen.pairs)
    return Images(
        tuple(_entry(run, *image) for image in chosen.worst),
        tuple(_entry(run, *image) for image in chosen.suspected),
        tuple(_panel(run, chosen, pair, [(k, None) for k in lists.get(pair.panel, [])]) for pair in chosen.pairs),
        0,
    )


def empty_cells(images: Images) -> Images:
    """Return the images without those of the cells, to find the number of bytes left for pixels."""
    panels = tuple(Panel(p.id, p.truth, p.prediction, p.right, p.count, ()) for p in images.panels)
    return Images(images.worst, images.suspected, panels, images.side)


def filled(run: SavedRun, chosen: Chosen, makes: Thumbnails, room: int) -> Images:
    """Return the images with pixels, at most `room` bytes in total.

    The large ones take at most half of it, at the largest size at which all fit. The rest goes to the cells: all their
    images at the largest size at which they fit, else one image per cell in turn, mistakes first, until it is used up.
    """
    large = [*chosen.worst, *chosen.suspected]
    side = makes.side(list({_key(split, place) for split, place, _ in large}), room // 4) if large else SMALL[-1]
    if not side:
        return bare(run, chosen)
    spent = 0
    lists: tuple[list[Entry], list[Entry]] = ([], [])
    for entries, source in zip(lists, (chosen.worst, chosen.suspected), strict=True):
        for split, place, other in source:
            thumbnail = makes.one(*_key(split, place), side)
            spent += len(thumbnail.uri)
            entries.append(_entry(run, split, place, other, thumbnail))
    return Images(tuple(lists[0]), tuple(lists[1]), _panels(run, chosen, makes, room - spent), side)


def _panels(run: SavedRun, chosen: Chosen, makes: Thumbnails, room: int) -> tuple[Panel, ...]:
    taken: dict[str, list[tuple[int, Thumbnail | None]]] = {}
    for side in SMALL:
        taken, whole = _taken(run, chosen, makes, side, room)
        if whole:
            break
    return tuple(_panel(run, chosen, pair, taken.get(pair.panel, [])) for pair in chosen.pairs)


def _taken(
    run: SavedRun, chosen: Chosen, makes: Thumbnails, side: int, room: int
) -> tuple[dict[str, list[tuple[int, Thumbnail | None]]], bool]:
    """Return the images of the cells that fit at this size, and whether all do."""
    taken: dict[str, list[tuple[int, Thumbnail | None]]] = {}
    if chosen.predictions is not None:
        for pair, place in confusion_table.in_turn(chosen.pairs):
            thumbnail = makes.one(*_key(chosen.predictions, place), side)
            entry = _entry(run, chosen.predictions, place, pair.prediction)
            room -= len(thumbnail.uri) + _MARKUP + len(escape(entry.name + entry.alt).encode("utf-8", "replace"))
            if room < 0:
                return taken, False
            taken.setdefault(pair.panel, []).append((place, thumbnail))
    return taken, True


def _panel(run: SavedRun, chosen: Chosen, pair: ClassPair, places: Iterable[tuple[int, Thumbnail | None]]) -> Panel:
    predictions = chosen.predictions
    entries = (
        [] if predictions is None else [_entry(run, predictions, k, pair.prediction, image) for k, image in places]
    )
    names = _names(run.classes, pair.truth, pair.prediction)
    return Panel(pair.panel, *names, pair.truth == pair.prediction, pair.count, tuple(entries))


def _entry(
    run: SavedRun, predictions: Predictions, place: int, other: int, thumbnail: Thumbnail | None = None
) -> Entry:
    truth = int(predictions.truth[place])
    index = place if predictions.index is None else int(predictions.index[place])
    name = display.name(predictions.names[place]) if predictions.names is not None else f"image {display.count(index)}"
    names = _names(run.classes, truth, other)
    probability, of_truth = (display.percent(predictions.probability(place, k), 1) for k in (other, truth))
    return Entry(name, predictions.split, *names, probability, of_truth, thumbnail)


def _names(classes: Sequence[str], truth: int, prediction: int) -> tuple[str, str]:
    return display.name(classes[truth], 40), display.name(classes[prediction], 40)


def _key(predictions: Predictions, place: int) -> tuple[str, int]:
    assert predictions.index is not None  # noqa: S101 - pixels are only read if the images are known
    return predictions.split, int(predictions.index[place])
