"""Images for the page: as PNG or JPEG inside it, as many and as large as there is room for."""

from __future__ import annotations

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
"""The longer sides that the large images may have, largest first."""
SMALL: Final = (128, 96, 64)
"""The longer sides that the images in the cells of the confusion matrix may have."""
_EXACT: Final = 64
"""Images whose longer side is at most this are PNG, every pixel as it is; larger ones are JPEG."""
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
    """Makes thumbnails and remembers them; an image that is shown twice is encoded once."""

    pixels: Callable[[str, int], NDArray[np.uint8]]
    _made: dict[tuple[str, int, int], Thumbnail] = field(default_factory=dict)

    def one(self, split: str, index: int, side: int) -> Thumbnail:
        """Return the image with a longer side of at most `side`; it is never enlarged."""
        key = (split, index, side)
        if key not in self._made:
            self._made[key] = encoded(self.pixels(split, index), side)
        return self._made[key]

    def side(self, images: Sequence[tuple[str, int]], room: int) -> int:
        """Return the largest of SIDES at which these images together take at most `room` bytes; 0 where none does."""
        for side in SIDES:
            if sum(len(self.one(split, index, side).uri) for split, index in images) <= room:
                return side
        return 0


def encoded(pixels: NDArray[np.uint8], side: int) -> Thumbnail:
    """Return an image (H, W) or (H, W, 3), made smaller where a side is longer than `side`."""
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
    """Return the pixels (H, W), (H, W, 3) or (H, W, 4) as a data URI, exactly as they are."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", optimize=True)
    return uri("png", buffer.getvalue())


@final
class Stored:
    """The images of a loaded data set, as `page.write` takes them: black to white as they are stored.

    Three channels are colors; of another number than one and three the first is shown.
    """

    def __init__(self, data: Dataset) -> None:
        """Keep the data; nothing is copied."""
        self._data = data

    def __call__(self, split: str, index: int) -> NDArray[np.uint8]:
        """Return the pixels of an image by its index in the loaded data, (H, W) or (H, W, 3)."""
        source = getattr(self._data, split).source
        image: NDArray[Any] = source.images[index]
        return _bytes(np.moveaxis(image, 0, -1) if len(image) == 3 else image[0], source.maximum)

    @property
    def resized(self) -> Resized | None:
        """Return what was cut away of the images, or would be by a crop; None where that is nothing."""
        found = self._data.resized
        return found if found is not None and found.cut else None

    def examples(self) -> tuple[tuple[str, NDArray[np.uint8], NDArray[np.uint8]], ...]:
        """Return the name of some images, each as its file has it and as the network sees it."""
        maximum = self._data.train.source.maximum
        found = () if self.resized is None else self.resized.examples
        return tuple((each.name, _bytes(each.original, maximum), _bytes(each.fitted, maximum)) for each in found)

    def indexed(self, predictions: Predictions) -> Predictions:
        """Return them with the indices and names of their images, where the split has just these labels in order.

        Runs of older versions did not keep them; their predictions are in the order of the split.
        """
        split = getattr(self._data, predictions.split)
        if predictions.index is not None or split is None or not np.array_equal(split.labels, predictions.truth):
            return predictions
        listed = split.source.names
        names = None if listed is None else tuple(str(listed[k]) for k in split.indices.tolist())
        return replace(predictions, index=split.indices, names=names)


def _bytes(pixels: NDArray[Any], maximum: float) -> NDArray[np.uint8]:
    """Return pixels (H, W) or (H, W, 3) from black to white, the largest value being white."""
    if pixels.dtype == np.uint8 and maximum == 255:
        return np.asarray(pixels)
    values = np.nan_to_num(pixels.astype(np.float64)) / maximum * 255
    return np.asarray(values.clip(0, 255).round().astype(np.uint8))


def of(data: Dataset) -> Stored:
    """Return what `page.write` takes as `pixels` for a data set that is loaded."""
    return Stored(data)
