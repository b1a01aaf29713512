"""Images that were saved column by column: turned upright where they are, so that they are in memory only once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BLOCK: Final = 2**20
"""Values that are turned at once."""


def upright(images: NDArray[Any]) -> NDArray[Any]:
    """Return images (…, W, H) as (…, H, W): the same memory if they are square, else a copy."""
    if images.shape[-1] != images.shape[-2]:
        return np.ascontiguousarray(images.swapaxes(-1, -2))
    step = max(1, _BLOCK // max(1, images[:1].size))
    for start in range(0, len(images), step):
        block = images[start : start + step]
        block[...] = block.swapaxes(-1, -2).copy()
    return images
