"""Images embedded in the page as PNG or JPEG, as many and as large as there is room for."""

from __future__ import annotations

import abc
import base64
import io
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from layerline.data.dataset import Dataset, Resized
    from layerline.runs.predictions import Predictions

SIDES: Final = (256, 192, 160, 128, 96, 64)
"""Possible longer sides of the large images, largest first."""
SMALL: Final = (128, 96, 64)
"""Possible longer sides of the images in the cells of the confusion matrix."""
_EXACT: Final = 64
"""Images whose longer side is at most this are lossless PNGs; larger ones are JPEGs."""
_QUALITY: Final = 85


@dataclass(frozen=True)
class Thumbnail:
    """An image as a data URI, with its size in pixels."""

    uri: str
    width: int
    height: int


@final
@dataclass
class Thumbnails:
    """Makes thumbnails and caches them; an image that is shown twice is encoded once."""

    pixels: Callable[[str, int], NDArray[np.uint8]]
    _cached: dict[tuple[str, int, int], Thumbnail] = field(default_factory=dict)

    def one(self, split: str, index: int, side: int) -> Thumbnail:
        """Return the image with a longer side of at most `side`; images are never enlarged."""
        key = (split, index, side)
        if key not in self._cached:
            self._cached[key] = encoded(self.pixels(split, index), side)
        return self._cached[key]

    def side(self, images: Sequence[tuple[str, int]], room: int) -> int:
        """Return the largest of SIDES at which these images take at most `room` bytes in total; 0 if none does."""
        for side in SIDES:
            if sum(len(self.one(split, index, side).uri) for split, index in images) <= room:
                return side
        return 0


def encoded(pixels: NDArray[np.uint8], side: int) -> Thumbnail:
    """Return an image (H, W) or (H, W, 3) as a thumbnail, shrunk if a side is longer than `side`."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(pixels))
    longest = max(image.size)
    if longest > side:
        width, height = (max(1, round(length * side / longest)) for length in image.size)
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    if max(image.size) <= _EXACT and longest <= side:
        kind = "png"
        image.save(buffer, "PNG", optimize=True)
    else:
        kind = "jpeg"
        image.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return Thumbnail(uri(kind, buffer.getvalue()), *image.size)


def uri(kind: str, content: bytes) -> str:
    """Return the bytes of an image as a data URI."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def png(pixels: NDArray[np.uint8]) -> str:
    """Return the pixels (H, W), (H, W, 3) or (H, W, 4) as the data URI of a lossless PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", optimize=True)
    return uri("png", buffer.getvalue())


Example = tuple[str, "NDArray[np.uint8]", "NDArray[np.uint8]"]
"""Name, pixels as in the file, pixels as the network sees them."""


class PageImages(abc.ABC):
    """The images of a data set, as `page.write` takes them. Abstract."""

    @abc.abstractmethod
    def __call__(self, split: str, index: int) -> NDArray[np.uint8]:
        """Return the pixels of an image by its index in the loaded data, (H, W) or (H, W, 3)."""

    @property
    @abc.abstractmethod
    def resized(self) -> Resized | None:
        """Return how the images were resized, if a crop cuts something off, or would; else None."""

    @abc.abstractmethod
    def examples(self) -> tuple[Example, ...]:
        """Return example images before and after resizing."""

    def indexed(self, predictions: Predictions) -> Predictions:
        """Return the predictions with the indices and names of their images, if they can be found out."""
        return predictions


@final
class Asked(PageImages):
    """The images of a data set in another process, which sends each one when it is needed."""

    def __init__(
        self,
        ask: Callable[[str, int], NDArray[np.uint8]],
        resized: Resized | None,
        examples: tuple[Example, ...],
    ) -> None:
        """Keep what else the page displays of the data set."""
        self._ask, self._resized, self._examples = ask, resized, examples

    def __call__(self, split: str, index: int) -> NDArray[np.uint8]:
        """Ask for an image."""
        return self._ask(split, index)

    @property
    def resized(self) -> Resized | None:
        """Return what was passed."""
        return self._resized

    def examples(self) -> tuple[Example, ...]:
        """Return what was passed."""
        return self._examples


@final
class Stored(PageImages):
    """The images of a loaded data set, with black and white as stored.

    Three channels are RGB; if there are neither one nor three, the first is shown.
    """

    def __init__(self, data: Dataset) -> None:
        """Keep a reference to the data; nothing is copied."""
        self._data = data

    def __call__(self, split: str, index: int) -> NDArray[np.uint8]:
        """Return the pixels of an image by its index in the loaded data, (H, W) or (H, W, 3)."""
        source = getattr(self._data, split).source
        image: NDArray[Any] = source.images[index]
        return _bytes(np.moveaxis(image, 0, -1) if len(image) == 3 else image[0], source.maximum)

    @property
    def resized(self) -> Resized | None:
        """Return how the images were resized, if a crop cuts something off, or would; else None."""
        found = self._data.resized
        return found if found is not None and found.cut else None

    def examples(self) -> tuple[Example, ...]:
        """Return example images before and after resizing."""
        maximum = self._data.train.source.maximum
        found = () if self.resized is None else self.resized.examples
        return tuple((each.name, _bytes(each.original, maximum), _bytes(each.fitted, maximum)) for each in found)

    def indexed(self, predictions: Predictions) -> Predictions:
        """Return the predictions with the indices and names of their images, if the split has the same labels in order.

        Older versions did not record them; their predictions are in the order of the split.
        """
        split = getattr(self._data, predictions.split)
        if predictions.index is not None or split is None or not np.array_equal(split.labels, predictions.truth):
            return predictions
        listed = split.source.names
        names = None if listed is None else tuple(str(listed[k]) for k in split.indices.tolist())
        return replace(predictions, index=split.indices, names=names)


def _bytes(pixels: NDArray[Any], maximum: float) -> NDArray[np.uint8]:
    """Return pixels (H, W) or (H, W, 3) as uint8, `maximum` being white."""
    if pixels.dtype == np.uint8 and maximum == 255:
        return np.asarray(pixels)
    values = np.nan_to_num(pixels.astype(np.float64)) / maximum * 255
    return np.asarray(values.clip(0, 255).round().astype(np.uint8))


def of(data: Dataset) -> Stored:
    """Return the `pixels` argument of `page.write` for a loaded data set."""
    return Stored(data)
