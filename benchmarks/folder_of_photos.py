"""Write a realistic folder: photos of many sizes, unbalanced classes, and the usual clutter.

    python benchmarks/folder_of_photos.py DIR [--images 2400]

Five classes of shapes on natural-looking noise (its power falls with the square of the frequency); two of them,
vertical and horizontal stripes, differ only in orientation, and a fifth of the photos are stored rotated with an EXIF
orientation, so they cannot be learned without applying it. There are also masks, system files, text files and a few
damaged images. Everything is determined by --seed.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHARES = {"lying": 0.62, "upright": 0.2, "disc": 0.1, "ring": 0.05, "checks": 0.03}
MASKS, DAMAGED = 40, 5
SIDEWAYS = 6
"""EXIF: rotate the stored image 90° clockwise for display."""

Numbers = np.random.Generator


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=2_400)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    numbers = np.random.default_rng(options.seed)
    for name, share in SHARES.items():
        (options.folder / name).mkdir(parents=True)
        for k in range(round(share * options.images)):
            write(options.folder / name / f"IMG_{k:04d}.jpg", photo(name, numbers), numbers)
    litter(options.folder, numbers)


def photo(name: str, numbers: Numbers) -> NDArray[np.uint8]:
    """Return a photo of a class, uint8 (H, W, 3)."""
    H, W = (int(size) for size in numbers.integers(120, 640, 2))
    background, color = numbers.uniform(40, 215, (2, 3))
    grain = _noise(H, W, numbers)[..., None] * numbers.uniform(0.5, 1, 3)
    inside = _shape(name, H, W, numbers)[..., None]
    image: NDArray[Any] = np.where(inside, color + 14 * grain, background + 28 * grain)
    return image.clip(0, 255).astype(np.uint8)


def _noise(H: int, W: int, numbers: Numbers) -> NDArray[np.float64]:
    """Return noise of deviation 1 whose amplitude falls with the frequency."""
    frequency = np.hypot(np.fft.fftfreq(H)[:, None], np.fft.rfftfreq(W))
    spectrum = np.fft.rfft2(numbers.standard_normal((H, W))) / np.maximum(frequency, 1 / max(H, W))
    noise = np.fft.irfft2(spectrum, (H, W))
    return np.asarray((noise - noise.mean()) / noise.std())


def _shape(name: str, H: int, W: int, numbers: Numbers) -> Any:
    """Return the mask of the shape, bool (H, W)."""
    size = min(H, W) * numbers.uniform(0.25, 0.42)
    y = np.arange(H)[:, None] - H / 2 - numbers.uniform(-0.08, 0.08) * H
    x = np.arange(W)[None, :] - W / 2 - numbers.uniform(-0.08, 0.08) * W
    period = size / numbers.uniform(1.5, 3)
    box = (np.abs(y) < size) & (np.abs(x) < size)
    distance = np.hypot(y, x)
    match name:
        case "lying":
            return box & (y % period < period / 2)
        case "upright":
            return box & (x % period < period / 2)
        case "disc":
            return distance < size
        case "ring":
            return (distance < size) & (distance > 0.6 * size)
        case _:
            return box & ((y % period < period / 2) ^ (x % period < period / 2))


def write(path: Path, pixels: NDArray[np.uint8], numbers: Numbers) -> None:
    """Write a photo; every fifth is stored rotated with an EXIF orientation."""
    exif = Image.Exif()
    if numbers.random() < 0.2:
        pixels = np.rot90(pixels)
        exif[0x0112] = SIDEWAYS
    Image.fromarray(pixels).save(path, quality=int(numbers.integers(70, 95)), exif=exif)


def litter(folder: Path, numbers: Numbers) -> None:
    """Write the clutter."""
    some = sorted(folder.glob("lying/*.jpg"))[:MASKS]
    for path in some:
        with Image.open(path) as image:
            mask = Image.new("L", image.size)
        W, H = mask.size
        mask.paste(255, (W // 4, H // 4, 3 * W // 4, 3 * H // 4))
        mask.save(path.with_name(f"{path.stem}_mask.png"))
    for path in sorted(folder.glob("upright/*.jpg"))[:DAMAGED]:
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * numbers.uniform(0.2, 0.8))])
    for name in (".DS_Store", "disc/Thumbs.db", "ring/._IMG_0001.jpg", "notes.txt"):
        (folder / name).write_bytes(b"left behind\n")


if __name__ == "__main__":
    main()
