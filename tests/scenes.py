"""Made-up photos, and masks as they are drawn for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def photos(n: int, shape: tuple[int, ...] = (40, 48, 3), seed: int = 0) -> NDArray[np.uint8]:
    """Return n images that are like photos in this: smooth shapes under noise, many colors."""
    rng = np.random.default_rng(seed)
    H, W = shape[0], shape[1]
    y, x = np.mgrid[:H, :W]
    waves = rng.uniform(0.05, 0.3, (n, 2, 3))
    fields = [np.sin(a[0, :, None, None] * y + a[1, :, None, None] * x) for a in waves]
    smooth = np.moveaxis(np.stack(fields), 1, -1) * 90 + 128
    pixels = np.clip(smooth + rng.normal(0, 12, smooth.shape), 0, 255).astype(np.uint8)
    return pixels if len(shape) == 3 else pixels[..., 0]


def drawn_mask(seed: int, size: tuple[int, int] = (40, 48), value: int = 255) -> NDArray[np.uint8]:
    """Return a mask: one blob on black, (H, W)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    center = rng.uniform(12, 28, 2)
    return np.where((y - center[0]) ** 2 + (x - center[1]) ** 2 < rng.uniform(40, 120), value, 0).astype(np.uint8)
