"""Sample images of each class on one sheet, original and augmented, as the network sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.data.augment.augmentation import apply
from layerline.data.dataset import FITTED, Scaling
from layerline.numbers import display
from layerline.report import sheet
from layerline.report.sheet import Sheet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.data.augment.augmentation import Augmentation
    from layerline.data.dataset import Dataset, Resized

MOST_CLASSES: Final = 30
"""Maximum rows of a sheet."""
PLAIN: Final = 12
"""Images per class without augmentation."""
GROUPS: Final = 2
"""Images per class with augmentation, each followed by its versions in the first `EPOCHS` epochs."""
EPOCHS: Final = 5

_DOTS: Final = 200
"""Pixels per inch of the sheet."""
_TILE: Final = 96
"""Approximate size of an image's longer side, in pixels of the sheet."""
_WHOLE: Final = 128
"""Size of the longer side of an original image (before resizing), in pixels of the sheet."""
_GAP: Final = 6
_APART: Final = 24
_MARGIN: Final = 30
_WIDEST_NAME: Final = 26
_TITLE: Final = 8.5
_SMALL: Final = 5.5
_BOLD: Final = 1.2
"""Bold text is at most this many times as wide as regular text."""


@dataclass(frozen=True, eq=False)
class Row:
    """The images of a class."""

    name: str
    count: int
    """Training images of the class."""
    tiles: NDArray[np.float32]
    """(k, H, W, 1 or 3), from 0 (black) to 1 (white)."""


@dataclass(frozen=True, eq=False)
class Pair:
    """An image as in its file, and as the network sees it."""

    original: NDArray[np.float32]
    """(h, w, 1 or 3), from 0 (black) to 1 (white)."""
    fitted: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Samples:
    """The contents of a sheet: one row per class, with the same columns."""

    title: str
    notes: tuple[str, ...]
    headings: tuple[str, ...]
    columns: int
    group: int
    """Columns per image; a gap follows."""
    rows: tuple[Row, ...]
    pairs: tuple[Pair, ...] = ()
    """Some images that a crop cuts."""
    pairing: str = ""
    """The heading above them."""


def fitting(resized: Resized) -> str:
    """Return a sentence on how much a crop cuts off, or would cut off."""
    share = display.percent(resized.cut)
    if resized.fit == "crop":
        return f"Cropping cuts off {share} of the average image"
    return f"Cropping would cut off {share} of the average image; all images are {FITTED[resized.fit]} instead"


def choose(data: Dataset, augmentation: Augmentation | None, seed: int) -> Samples:
    """Return images of each class, evenly spaced over the training images, with their versions in epochs 1, 2, …

    An image is augmented exactly as in training with this seed. Raises RecipeError if images are too small for it.
    """
    C, H, W = data.shape
    if augmentation is not None:
        augmentation.check(data.shape)
    count, epochs = (PLAIN, 0) if augmentation is None else (GROUPS, EPOCHS)
    labels = data.train.labels
    most = max(np.bincount(labels, minlength=1))
    count = min(count, int(most))
    rows = []
    for k, name in enumerate(data.classes[:MOST_CLASSES]):
        members = data.train.indices[labels == k]
        images = members[np.arange(min(count, len(members))) * len(members) // max(1, min(count, len(members)))]
        rows.append(Row(name, len(members), _displayed(_versions(data, augmentation, seed, images))))
    channels = display.counted(C, "channel")
    count_of = f"{display.count(len(data.train))} training images"
    title = f"{display.name(data.name)}: {count_of}, {display.picture(H, W)}, {channels}"
    names = ("original", *(f"epoch {number}" for number in range(1, epochs + 1)))
    headings = names * count if augmentation is not None else ()
    pairing = "" if data.resized is None or not data.resized.cut else fitting(data.resized)
    return Samples(
        *(title, _notes(data, augmentation, seed), headings, len(names) * count, len(names), tuple(rows)),
        _pairs(data) if pairing else (),
        f"{pairing}. Original and {FITTED[data.resized.fit]}:" if pairing and data.resized else "",
    )


def _pairs(data: Dataset) -> tuple[Pair, ...]:
    """Return the example images before and after resizing."""
    maximum = data.train.source.maximum
    found = () if data.resized is None else data.resized.examples

    def displayed(pixels: NDArray[Any]) -> NDArray[np.float32]:
        channels = pixels[..., None] if pixels.ndim == 2 else pixels
        values: NDArray[np.float32] = (np.moveaxis(channels, -1, 0)[None] / maximum).astype(np.float32)
        return np.asarray(_displayed(values)[0])

    return tuple(Pair(displayed(each.original), displayed(each.fitted)) for each in found)


def _notes(data: Dataset, augmentation: Augmentation | None, seed: int) -> tuple[str, ...]:
    notes = []
    if augmentation is not None:
        notes.append(f"--augment {augmentation.text} --seed {seed}")
    if len(data.classes) > MOST_CLASSES:
        notes.append(f"first {MOST_CLASSES} of {len(data.classes)} classes")
    if data.shape[0] not in (1, 3):
        notes.append(f"first of {data.shape[0]} channels")
    return tuple(notes)


def _versions(
    data: Dataset, augmentation: Augmentation | None, seed: int, images: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return each image followed by its versions in the first epochs, float32 (k, C, H, W), 1 being the maximum."""
    source, C = data.train.source, data.shape[0]
    scaling = Scaling((1 / source.maximum,) * C, (0.0,) * C)
    values = source.images[images]
    found = [scaling.apply(values)]
    if augmentation is not None:
        for number in range(1, EPOCHS + 1):
            drawn = augmentation.draw(seed, number, images, data.shape, source.maximum)
            found.append(apply(values, drawn, slice(0, len(images)), scaling))
    return np.stack(found, axis=1).reshape(-1, *data.shape)


def _displayed(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return images (k, C, H, W) as they are drawn, (k, H, W, 1 or 3), clipped to black and white."""
    colors = images if images.shape[1] == 3 else images[:, :1]
    return np.nan_to_num(np.moveaxis(colors, 1, -1)).clip(0.0, 1.0)


def picture(samples: Samples) -> bytes:
    """Return the sheet as a PNG; the same samples give the same bytes. Small images are enlarged without blurring."""
    return _drawn(samples).png(_DOTS)


def _drawn(samples: Samples) -> Sheet:
    """Return the sheet; positions are in its pixels, from the upper left corner."""
    tiles = [[_sized(tile) for tile in row.tiles] for row in samples.rows]
    h, w, _ = _sized(np.zeros(samples.rows[0].tiles.shape[1:], np.float32)).shape
    names = [display.name(row.name, _WIDEST_NAME) for row in samples.rows]
    letters = sheet.TEXT / 72 * _DOTS
    left = _MARGIN + round(sheet.longest([*names, "00,000 images"], sheet.TEXT) * _DOTS) + 16
    apart = _APART if samples.group > 1 else 0
    wide = max(w, round(sheet.longest(samples.headings, _SMALL) * _DOTS) if samples.headings else 0)
    place = [left + k * (wide + _GAP) + k // samples.group * apart for k in range(samples.columns)]
    texts = [samples.title, *samples.notes]
    top = _MARGIN + round(letters * (1.9 * len(texts) + (1.6 if samples.headings else 0.6)))
    high = max(h, round(2.8 * letters))
    longest = max(sheet.longest([*texts, samples.pairing], sheet.TEXT), sheet.longest(texts[:1], _TITLE * _BOLD))
    widest = max(place[-1] + wide, _MARGIN + round(longest * _DOTS))
    below = top + len(tiles) * (high + _GAP) - _GAP + _MARGIN
    strip = _Strip.of(samples.pairs, widest - _MARGIN)
    width, height = widest + _MARGIN, below + (round(1.9 * letters) + strip.height + _MARGIN if samples.pairing else 0)
    paper = Sheet(width / _DOTS, height / _DOTS)

    def write(text: str, x: float, y: float, **look: Any) -> None:
        paper.text(x / _DOTS, (height - y) / _DOTS, text, up="center", **look)

    for k, text in enumerate(texts):
        look = {"size": _TITLE, "bold": True} if k == 0 else {"color": sheet.FAINT}
        write(text, _MARGIN, _MARGIN + (0.6 + 1.9 * k) * letters, **look)
    for x, heading in zip(place, samples.headings, strict=False):
        write(heading, x + wide / 2, top - 0.8 * letters, across="center", size=_SMALL, color=sheet.FAINT)
    for k, (row, name) in enumerate(zip(samples.rows, names, strict=True)):
        y = top + k * (high + _GAP) + (high - h) // 2
        write(name, _MARGIN, y + h / 2 - 0.65 * letters)
        images = display.counted(row.count, "image")
        write(images, _MARGIN, y + h / 2 + 0.65 * letters, size=_SMALL, color=sheet.FAINT)
        for x, tile in zip(place, tiles[k], strict=False):
            left, bottom = x + (wide - w) // 2, height - y - h
            paper.pixels(sheet.Frame(left / _DOTS, bottom / _DOTS, w / _DOTS, h / _DOTS), tile)
    if samples.pairing:
        write(samples.pairing, _MARGIN, below + 0.6 * letters)
        strip.draw(paper, below + round(1.9 * letters), height)
    return paper


@dataclass(frozen=True, eq=False)
class _Strip:
    """Pairs of images in lines, positioned in pixels."""

    images: tuple[tuple[int, int, NDArray[np.uint8]], ...]
    """Each with its left edge, and the distance of its upper edge from that of the strip."""
    height: int

    @classmethod
    def of(cls, pairs: tuple[Pair, ...], width: int) -> _Strip:
        """Place as many pairs per line as fit."""
        step = 2 * _WHOLE + _GAP + _APART
        line = max(1, (width + _APART) // step)
        images = []
        for k, pair in enumerate(pairs):
            x, y = _MARGIN + k % line * step, k // line * (_WHOLE + _APART)
            for at, tile in ((x, pair.original), (x + _WHOLE + _GAP, pair.fitted)):
                sized = _boxed(tile)
                h, w, _ = sized.shape
                images.append((at + (_WHOLE - w) // 2, y + (_WHOLE - h) // 2, sized))
        return cls(tuple(images), -(-len(pairs) // line) * (_WHOLE + _APART) - _APART if pairs else 0)

    def draw(self, paper: Sheet, top: int, height: int) -> None:
        """Draw them on a sheet of this height in pixels."""
        for x, y, tile in self.images:
            h, w, _ = tile.shape
            paper.pixels(sheet.Frame(x / _DOTS, (height - top - y - h) / _DOTS, w / _DOTS, h / _DOTS), tile)


def _boxed(tile: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return an image (H, W, 1 or 3) as uint8 (h, w, 3) whose longer side is _WHOLE."""
    from PIL import Image

    bytes_ = np.repeat((tile * 255).round().astype(np.uint8), 3 // tile.shape[2], axis=2)
    H, W = bytes_.shape[:2]
    size = (max(1, round(W * _WHOLE / max(H, W))), max(1, round(H * _WHOLE / max(H, W))))
    return np.asarray(Image.fromarray(bytes_).resize(size, Image.Resampling.BILINEAR))


def _sized(tile: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return an image (H, W, 1 or 3) as uint8 (h, w, 3): each pixel a square; larger ones than a tile are shrunk."""
    from PIL import Image

    bytes_ = np.repeat((tile * 255).round().astype(np.uint8), 3 // tile.shape[2], axis=2)
    H, W = bytes_.shape[:2]
    longer = max(H, W)
    if longer > 2 * _TILE:
        small = (max(1, round(W * 2 * _TILE / longer)), max(1, round(H * 2 * _TILE / longer)))
        return np.asarray(Image.fromarray(bytes_).resize(small, Image.Resampling.BOX))
    times = max(1, round(_TILE / longer))
    return bytes_.repeat(times, axis=0).repeat(times, axis=1)
