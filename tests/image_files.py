"""Small image files for the tests, and folders and archives of them."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from layerline.data.photos.sizing import fitted

if TYPE_CHECKING:
    from numpy.typing import NDArray


def picture(seed: int = 0, size: tuple[int, int] = (6, 5), channels: int = 3) -> NDArray[np.uint8]:
    """Return random pixels (H, W, channels), or (H, W) with one channel."""
    shape = size if channels == 1 else (*size, channels)
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def saved(image: Image.Image | NDArray[Any], form: str, **options: Any) -> bytes:
    """Return an image as a file, written by Pillow."""
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, form, **options)
    return file.getvalue()


def png(pixels: NDArray[Any]) -> bytes:
    """Return a PNG file."""
    return saved(pixels, "PNG")


def jpeg(pixels: NDArray[Any]) -> bytes:
    """Return a JPEG file."""
    return saved(pixels, "JPEG")


def tiff(pixels: NDArray[Any]) -> bytes:
    """Return a TIFF file."""
    return saved(pixels, "TIFF")


def apng(frames: list[NDArray[Any]]) -> bytes:
    """Return an animated PNG file."""
    first, *rest = [Image.fromarray(frame) for frame in frames]
    return saved(first, "PNG", save_all=True, append_images=rest)


def png_chunk(name: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG file, its checksum right."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def tree(folder: str | Path, files: dict[str, bytes]) -> None:
    """Write files below a folder."""
    for name, content in files.items():
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def folder_of(files: dict[str, bytes]) -> tuple[str, dict[str, Any]]:
    """Write files into the folder `set`, and return it as what is loaded."""
    tree("set", files)
    return "set", {}


def fitted_pixels(pixels: NDArray[Any], target: tuple[int, int], fit: Any) -> NDArray[Any]:
    """Return uint8 (H, W) or (H, W, 3) in another size, as an image that comes of a file without draft mode gets it."""
    return np.asarray(fitted(Image.fromarray(pixels), target, fit))
