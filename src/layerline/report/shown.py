"""The images of the page: the worst mistakes, the labels to look at, the cells; and how much room each gets."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

from layerline import figures
from layerline.report import cells
from layerline.report.judged import suspects
from layerline.report.thumbnails import SMALL

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from layerline.report.cells import Pair
    from layerline.report.judged import Judged
    from layerline.report.run_files import RunFiles
    from layerline.report.thumbnails import Thumbnail, Thumbnails

MOST: Final = 24
"""Images in the list of mistakes, and in that of labels to look at."""
_MARKUP: Final = 320
"""Bytes that the page spends on an image of a cell besides its name and its pixels, at most."""


@dataclass(frozen=True)
class Shown:
    """An image with what stands under it."""

    name: str
    split: str
    truth: str
    prediction: str
    """What the model says; in the list of labels to look at, the class that the image is counted to."""
    probability: str
    of_truth: str
    thumbnail: Thumbnail | None = None

    @property
    def alt(self) -> str:
        """Return what stands for the image where it is not seen."""
        return f"{self.name}: labelled {self.truth}, model says {self.prediction}"


@dataclass(frozen=True)
class Panel:
    """What opens from a cell."""

    id: str
    truth: str
    prediction: str
    right: bool
    count: int
    images: tuple[Shown, ...]


@dataclass(frozen=True, eq=False)
class Chosen:
    """Which images are on the page, as places in their split, before their pixels are asked for."""

    worst: tuple[tuple[Judged, int, int], ...]
    """Each with its split and the class that is said of it."""
    suspected: tuple[tuple[Judged, int, int], ...]
    mistakes: int
    """How many mistakes there are in all."""
    suspicious: int
    pairs: tuple[Pair, ...]
    judged: Judged | None
    """The split of the pairs and the mistakes: the test, or without one the validation set."""


def choose(run: RunFiles) -> Chosen:
    """Return the images that the page would like to show."""
    judged = run.judged.get("test") or run.judged.get("validation")
    split = "test" if run.tested or judged is None else judged.split
    confusion = run.confusion(split)
    found = [] if confusion is None else cells.pairs(confusion, judged)
    worst = () if judged is None else tuple((judged, int(k), int(judged.prediction[k])) for k in judged.worst(MOST))
    listed = []
    for part in run.judged.values():
        doubted = suspects(part)
        listed += [
            (float(margin), part, int(place), int(other))
            for place, other, margin in zip(doubted.places, doubted.other, doubted.margin, strict=True)
        ]
    listed.sort(key=lambda entry: -entry[0])
    return Chosen(
        worst,
        tuple((part, place, other) for _, part, place, other in listed[:MOST]),
        0 if judged is None else int((judged.prediction != judged.truth).sum()),
        len(listed),
        tuple(found),
        judged,
    )


@dataclass(frozen=True)
class Images:
    """All images of the page, with their pixels where there was room."""

    worst: tuple[Shown, ...]
    suspected: tuple[Shown, ...]
    panels: tuple[Panel, ...]
    side: int
    """The longer side of the large images; 0 where there are no pixels."""


def bare(run: RunFiles, chosen: Chosen) -> Images:
    """Return the images without pixels: names alone, and in the cells as many as a page without images may have."""
    lists = cells.named(chosen.pairs)
    return Images(
        tuple(_entry(run, *image) for image in chosen.worst),
        tuple(_entry(run, *image) for image in chosen.suspected),
        tuple(_panel(run, chosen, pair, [(k, None) for k in lists.get(pair.panel, [])]) for pair in chosen.pairs),
        0,
    )


def empty_cells(images: Images) -> Images:
    """Return the images without those of the cells: what the room for pixels is measured by."""
    panels = tuple(Panel(p.id, p.truth, p.prediction, p.right, p.count, ()) for p in images.panels)
    return Images(images.worst, images.suspected, panels, images.side)


def filled(run: RunFiles, chosen: Chosen, makes: Thumbnails, room: int) -> Images:
    """Return the images with pixels that take at most `room` bytes together.

    The large ones take at most half of it: the largest of the sides at which all fit. What is left goes to the cells:
    all their images at the largest size at which they fit, else an image a cell in turn, mistakes first, until it is
    spent.
    """
    large = [*chosen.worst, *chosen.suspected]
    side = makes.side(list({_key(judged, place) for judged, place, _ in large}), room // 4) if large else SMALL[-1]
    if not side:
        return bare(run, chosen)
    spent = 0
    lists: tuple[list[Shown], list[Shown]] = ([], [])
    for entries, source in zip(lists, (chosen.worst, chosen.suspected), strict=True):
        for judged, place, other in source:
            thumbnail = makes.one(*_key(judged, place), side)
            spent += len(thumbnail.uri)
            entries.append(_entry(run, judged, place, other, thumbnail))
    return Images(tuple(lists[0]), tuple(lists[1]), _panels(run, chosen, makes, room - spent), side)


def _panels(run: RunFiles, chosen: Chosen, makes: Thumbnails, room: int) -> tuple[Panel, ...]:
    taken: dict[str, list[tuple[int, Thumbnail | None]]] = {}
    for side in SMALL:
        taken, whole = _taken(run, chosen, makes, side, room)
        if whole:
            break
    return tuple(_panel(run, chosen, pair, taken.get(pair.panel, [])) for pair in chosen.pairs)


def _taken(
    run: RunFiles, chosen: Chosen, makes: Thumbnails, side: int, room: int
) -> tuple[dict[str, list[tuple[int, Thumbnail | None]]], bool]:
    """Return the images of the cells at this size as far as they fit, and whether all do."""
    taken: dict[str, list[tuple[int, Thumbnail | None]]] = {}
    if chosen.judged is not None:
        for pair, place in cells.in_turn(chosen.pairs):
            thumbnail = makes.one(*_key(chosen.judged, place), side)
            entry = _entry(run, chosen.judged, place, pair.prediction)
            room -= len(thumbnail.uri) + _MARKUP + len(escape(entry.name + entry.alt).encode("utf-8", "replace"))
            if room < 0:
                return taken, False
            taken.setdefault(pair.panel, []).append((place, thumbnail))
    return taken, True


def _panel(run: RunFiles, chosen: Chosen, pair: Pair, places: Iterable[tuple[int, Thumbnail | None]]) -> Panel:
    judged = chosen.judged
    entries = [] if judged is None else [_entry(run, judged, k, pair.prediction, image) for k, image in places]
    names = _names(run.classes, pair.truth, pair.prediction)
    return Panel(pair.panel, *names, pair.truth == pair.prediction, pair.count, tuple(entries))


def _entry(run: RunFiles, judged: Judged, place: int, other: int, thumbnail: Thumbnail | None = None) -> Shown:
    truth = int(judged.truth[place])
    index = place if judged.index is None else int(judged.index[place])
    said = figures.name(judged.names[place]) if judged.names is not None else f"image {figures.count(index)}"
    names = _names(run.classes, truth, other)
    probability, of_truth = (figures.percent(judged.of(place, k), 1) for k in (other, truth))
    return Shown(said, judged.split, *names, probability, of_truth, thumbnail)


def _names(classes: Sequence[str], truth: int, prediction: int) -> tuple[str, str]:
    return figures.name(classes[truth], 40), figures.name(classes[prediction], 40)


def _key(judged: Judged, place: int) -> tuple[str, int]:
    assert judged.index is not None  # noqa: S101 - pixels are asked for only where the images are known
    return judged.split, int(judged.index[place])
