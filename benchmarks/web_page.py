"""Does the exported page compute what `predict` does? In a headless Chromium, from a file, without a network.

    python benchmarks/web_page.py MODEL --images FOLDER-OR-TAR [--enlarge] [--shots FOLDER]

MODEL is a model file or a run's folder. Images of the network's size must give the bits of the host's code with four
lanes; photos of other sizes must give the class that `predict` gives. Then files that are no images, or far too large.
"""

from __future__ import annotations

import argparse
import io
import random
import struct
import sys
import tarfile
import tempfile
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from conditions import write
from PIL import Image

import layerline
from layerline.data.photos.image_file import decode
from layerline.export.export_options import ExportOptions
from layerline.export.formats import format_of
from layerline.training.model import card_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layerline.training import Model

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".webp")
_LISTEN: Final = (
    "globalThis.found = null; document.getElementById('try-result').addEventListener('classified', "
    "(event) => { globalThis.found = [...event.detail]; }); 0"
)


def main() -> int:
    """Check one model and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--images", help="a folder or tar with images")
    parser.add_argument("--enlarge", action="store_true", help="enlarge the images first, as JPEG and PNG")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--shots", help="folder for screenshots")
    options = parser.parse_args()
    model = layerline.load(options.model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        page = folder / "page.html"
        exported = model.exported(format_of("web"), ExportOptions(), Path(options.model))
        page.write_bytes(exported.files[".html"])
        photos = list(_photos(options.images, folder, options.count, enlarge=options.enlarge))
        about = {"what": "the exported page in Chromium", "network": model.network.name, "sizes": dict(exported.sizes)}
        result = {**about, **_checked(model, page, photos)}
        if options.shots is not None:
            _shots(page, photos[0], Path(options.shots))
    write(f"web_page_{model.network.name}", result)
    print(result)
    return int(bool(result["different_bits"]) or result["same_class"] < 0.99 * result["photos"])


def _photos(source: str, folder: Path, count: int, *, enlarge: bool) -> Iterator[Path]:
    """Yield image files, a random choice of `count`; enlarged: by 3 to 9, as PNG and JPEG in turn."""
    rng = random.Random(1)  # noqa: S311 - a choice of files
    for number, (suffix, content) in enumerate(_contents(source, rng, count)):
        path = folder / f"photo{number}{suffix}"
        if not enlarge:
            path.write_bytes(content)
        else:
            image = Image.open(io.BytesIO(content))
            sides = (image.width * rng.randint(3, 9), image.height * rng.randint(3, 9))
            path = path.with_suffix(".png" if number % 2 else ".jpg")
            image.resize(sides, Image.Resampling.BICUBIC).save(path, quality=90)
        yield path


def _contents(source: str, rng: random.Random, count: int) -> list[tuple[str, bytes]]:
    if Path(source).is_dir():
        paths = sorted(path for path in Path(source).rglob("*") if path.suffix.lower() in SUFFIXES)
        return [(path.suffix, path.read_bytes()) for path in rng.sample(paths, min(count, len(paths)))]
    with tarfile.open(source) as archive:
        members = sorted((m for m in archive if Path(m.name).suffix.lower() in SUFFIXES), key=lambda m: m.name)
        some = rng.sample(members, min(count, len(members)))
        return [(Path(m.name).suffix, file.read()) for m in some if (file := archive.extractfile(m)) is not None]


def _checked(model: Model, page: Path, photos: Sequence[Path]) -> dict[str, Any]:
    """Return the counts for all images."""
    from browser import browser  # type: ignore[import-not-found]  # in tests/
    from trained_like import probabilities  # type: ignore[import-not-found]  # in tests/

    from layerline.export.subject import Subject

    C, H, W = model.network.input_shape
    sizing = model.preprocessing.sizing(model.network.input_shape)
    pixels = [decode(photo.read_bytes(), sizing).pixels for photo in photos]
    card = card_of(model.network, model.classes, model.scaling, model.preprocessing)
    images = np.stack(pixels).reshape(-1, H, W, C).transpose(0, 3, 1, 2)
    expected = probabilities(
        Subject(model.network, card, model.weights), np.ascontiguousarray(model.preprocessing.scaled(images)), 4
    )
    of_predict = model.predict_proba([str(photo) for photo in photos]).argmax(axis=1)
    small = [page.parent / f"small{k}.png" for k in range(min(100, len(photos)))]
    for path, each in zip(small, pixels, strict=False):
        Image.fromarray(each).save(path)
    with browser() as tab:
        tab.open(page)
        tab.run(_LISTEN)
        bits = sum(_found(tab, path).tobytes() != expected[k].tobytes() for k, path in enumerate(small))
        found = np.stack([_found(tab, path) for path in photos])
        hostile = _hostile(tab, page.parent)
        faults, requests = tab.faults, sorted({url for url in tab.requests if url != page.resolve().as_uri()})
    same = int((found.argmax(axis=1) == of_predict).sum())
    return {
        "images_of_the_networks_size": len(small),
        "different_bits": int(bits),
        "photos": len(photos),
        "same_class": same,
        "photos_with_the_same_bits": int((found == expected).all(axis=1).sum()),
        "largest_difference_of_a_probability": float(np.abs(found - expected).max()),
        "hostile": hostile,
        "faults": faults,
        "requests": requests,
    }


def _found(tab: Any, path: Path) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return the probabilities that the page computes for a file."""
    tab.run("globalThis.found = null; 0")
    answer = tab.choose([path])
    found = tab.run("globalThis.found")
    if found is None:
        raise RuntimeError(f"{path}: {answer}")
    return np.array(found, np.float32)


def _hostile(tab: Any, folder: Path) -> dict[str, list[Any]]:
    """Return what the page says to files that it cannot read, and after how many seconds."""
    found: dict[str, list[Any]] = {}
    for path in _hostile_files(folder):
        start = time.perf_counter()
        answer = tab.choose([path])
        found[path.name] = [answer, round(time.perf_counter() - start, 2), tab.run("1 + 1") == 2]
    return found


def _hostile_files(folder: Path) -> Iterator[Path]:
    path = folder / "one-gigabyte.jpg"
    with path.open("wb") as file:
        file.truncate(10**9)
    yield path
    path.unlink()
    path = folder / "text.png"
    path.write_text("This is not an image.\n" * 100)
    yield path
    path = folder / "empty.png"
    path.write_bytes(b"")
    yield path
    path = folder / "huge.png"
    path.write_bytes(_png(50_000, 50_000, b""))
    yield path
    path = folder / "wide.png"
    path.write_bytes(_png(30_000, 10, b""))
    yield path
    path = folder / "damaged.png"
    path.write_bytes(_png(1000, 1000, b"\0" * 50))
    yield path
    path = folder / "truncated.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0\0\x10JFIF")
    yield path


def _png(width: int, height: int, pixels: bytes) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def _shots(page: Path, photo: Path, folder: Path) -> None:
    """Save the page at two widths, light and dark."""
    from browser import browser

    folder.mkdir(parents=True, exist_ok=True)
    with browser() as tab:
        for width, height in ((1280, 900), (390, 844)):
            for dark in (False, True):
                tab.open(page, width, height, dark=dark)
                tab.choose([photo])
                tab.screenshot(folder / f"{page.stem}-{width}-{'dark' if dark else 'light'}.png")


if __name__ == "__main__":
    sys.exit(main())
