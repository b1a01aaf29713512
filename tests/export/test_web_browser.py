"""The exported page in a headless Chromium, opened from a file, without a network."""

from __future__ import annotations

import base64
import contextlib
import functools
import re
import struct
import threading
import zlib
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import numpy as np
import pytest
import trained_like
from browser import browser, needs_chromium
from PIL import Image
from places import DOCS

from layerline.data.photos.image_file import decode
from layerline.export.export_options import ExportOptions
from layerline.export.web import wasm, web_page
from layerline.runs.model_file import Preprocessing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from browser import Page

    from layerline.export.subject import Subject

CLASSES = tuple(f"class {k}" for k in range(10))
LISTEN = (
    "globalThis.found = null; document.getElementById('try-result').addEventListener('classified', "
    "(event) => { globalThis.found = [...event.detail]; }); 0"
)


@pytest.fixture(scope="module")
def model() -> Subject:
    return trained_like.subject_of(trained_like.network_of("lenet5"), 1, classes=CLASSES)


@pytest.fixture(scope="module")
def tab(model: Subject, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_bytes(web_page.export(model, ExportOptions()).files[".html"])
    with browser() as opened:
        opened.open(path)
        opened.run(LISTEN)
        yield opened


def status(tab: Page) -> str:
    text: str = tab.run("document.getElementById('try-status').textContent")
    return text


@needs_chromium
def test_images_of_the_networks_size_have_the_hosts_bits(model: Subject, tab: Page, tmp_path: Path) -> None:
    """A PNG is classified with the bits of the host's code, and the most probable class is displayed."""
    images = trained_like.images_of(model.network, 5, 2)
    expected = trained_like.probabilities(model, images, 4)
    for image, row in zip(images, expected, strict=True):
        path = tmp_path / "image.png"
        Image.fromarray(image[0]).save(path)
        answer = tab.choose([path])
        assert np.array(tab.run("globalThis.found"), np.float32).tobytes() == row.tobytes()
        assert answer == f"{CLASSES[row.argmax()]}: {100 * row.max():.1f}%"


@needs_chromium
def test_a_photo_is_upright_and_its_colors_are_as_stored(tab: Page, tmp_path: Path) -> None:
    """EXIF orientation is applied: what the file stores at the left is at the top."""
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.zeros((56, 112, 3), np.uint8)
    pixels[:, :56] = 255
    path = tmp_path / "photo.jpg"
    Image.fromarray(pixels).save(path, exif=exif, quality=95)
    assert tab.choose([path]).startswith("class ")
    seen = tab.run(
        "(() => { const c = document.getElementById('try-pixels'); "
        "const d = c.getContext('2d').getImageData(0, 0, 28, 28).data; return [d[4 * 14], d[4 * (27 * 28 + 14)]]; })()"
    )
    assert seen[0] > 240
    assert seen[1] < 15


@needs_chromium
def test_a_large_photo_has_the_pixels_of_training(tab: Page, tmp_path: Path) -> None:
    """Training decoded a large JPEG at a part of its size, from the block that its file begins with: in all eight
    orientations and at odd sizes the page has these pixels, up to rounding."""
    rng = np.random.default_rng(4)
    for turn, (w, h) in zip(range(1, 9), [(501, 397), (397, 501), (130, 131), (170, 95)] * 2, strict=True):
        noise = Image.fromarray(rng.integers(0, 256, (12, 12), dtype=np.uint8))
        exif = Image.Exif()
        exif[0x0112] = turn
        path = tmp_path / f"photo{turn}.jpg"
        noise.resize((w, h), Image.Resampling.BICUBIC).save(path, exif=exif, quality=95)
        expected = decode(path.read_bytes(), Preprocessing().sizing((1, 28, 28))).pixels
        tab.choose([path])
        seen = tab.run(
            "[...document.getElementById('try-pixels').getContext('2d').getImageData(0, 0, 28, 28).data]"
            ".filter((_, k) => k % 4 === 0)"
        )
        assert np.abs(np.array(seen).reshape(28, 28) - expected).max() <= 1, (turn, w, h)


@needs_chromium
@pytest.mark.parametrize("way", ["drop", "paste"])
def test_images_are_dropped_and_pasted(model: Subject, tab: Page, tmp_path: Path, way: str) -> None:
    """Of several files the first is classified, and the page says so; text is no image."""
    images = trained_like.images_of(model.network, 1, 9)
    expected = trained_like.probabilities(model, images, 4)
    Image.fromarray(images[0, 0]).save(tmp_path / "image.png")
    content = base64.b64encode((tmp_path / "image.png").read_bytes()).decode()
    event = {
        "drop": "new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true })",
        "paste": "new ClipboardEvent('paste', { clipboardData: data, bubbles: true })",
    }[way]
    tab.run("globalThis.found = null; 0")
    tab.run(
        f"{{ const data = new DataTransfer(); for (const name of ['a.png', 'b.png']) data.items.add(new File("
        f"[Uint8Array.from(atob('{content}'), (c) => c.charCodeAt(0))], name)); "
        f"document.body.dispatchEvent({event}); }} 0"
    )
    tab.wait("globalThis.found !== null && /of 2/.test(document.getElementById('try-status').textContent)")
    assert np.array(tab.run("globalThis.found"), np.float32).tobytes() == expected.tobytes()
    assert status(tab).endswith("(the first of 2 files: one at a time)")
    tab.run(
        f"{{ const data = new DataTransfer(); data.setData('text/plain', 'x'); document.dispatchEvent({event}); }} 0"
    )
    assert status(tab) in (
        "That is not a file: save the image first, or copy and paste it.",
        "There is no image in the clipboard.",
    )


@needs_chromium
def test_what_is_no_image_is_refused(tab: Page, tmp_path: Path) -> None:
    """A gigabyte, a text, a huge, a damaged and a truncated image: a message that says why, and the page goes on."""

    def png(width: int, height: int) -> bytes:
        def chunk(name: bytes, content: bytes) -> bytes:
            check = struct.pack(">I", zlib.crc32(name + content))
            return struct.pack(">I", len(content)) + name + content + check

        head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
        end = chunk(b"IEND", b"")
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 9)) + end

    size = struct.pack(">I4sIII", 20, b"ispe", 0, 64, 64)
    heic = struct.pack(">I4s4sI4s", 20, b"ftyp", b"heic", 0, b"mif1") + size + b"\0" * 32
    path = tmp_path / "file.png"
    for content, message in (
        (b"a text\n" * 99, "file.png: it is not an image that this page can read"),
        (b"", "not an image"),
        (png(50_000, 50_000), "it has 50,000×50,000 pixels; at most 80 million are read."),
        (png(20_000, 2), "browsers draw at most 16,384"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 4, "it is truncated."),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "damaged JPEG"),
        (png(500, 500)[:-20], "this browser cannot decode it; it may be damaged."),
        (heic, "this browser cannot decode it; save the HEIC photo as JPEG."),
    ):
        path.write_bytes(content)
        assert message in tab.choose([path])
        assert tab.run("document.getElementById('try-result').hidden")
    with path.open("wb") as file:
        file.truncate(10**9)
    assert "it has 1,000 MB; at most 268 MB are read." in tab.choose([path])


@needs_chromium
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".gif", ".bmp", ".avif"])
def test_every_format_is_read(tab: Page, tmp_path: Path, suffix: str) -> None:
    """What Pillow writes in each format that the page names is classified, progressive and lossless files, too."""
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 30, 3), dtype=np.uint8))
    options: list[dict[str, object]] = [{}]
    if suffix == ".jpg":
        options += [{"progressive": True}, {"comment": b"x" * 60_000, "quality": 100, "icc_profile": b"\0" * 200_000}]
    if suffix == ".webp":
        options += [{"lossless": True}, {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0"}]
    for each in options:
        image.save(tmp_path / f"image{suffix}", **each)
        assert re.fullmatch(r"class \d: [\d.]+%", tab.choose([tmp_path / f"image{suffix}"])), each


@needs_chromium
def test_the_keyboard_draws(tab: Page) -> None:
    """Tab reaches the pad; arrows and the space bar draw on it, and the drawing is classified; Delete clears."""
    tab.run("document.activeElement.blur(); scrollTo(0, 0); 0")
    for _ in range(9):
        tab.key("Tab", 9)
        if tab.run("document.activeElement.id") == "try-pad":
            break
    assert tab.run("document.activeElement.id") == "try-pad"
    tab.run("globalThis.found = null; 0")
    tab.key(" ", 32, " ")
    for _ in range(6):
        tab.key("ArrowDown", 40)
    tab.key(" ", 32, " ")
    tab.wait("globalThis.found !== null && /%/.test(document.getElementById('try-status').textContent)")
    assert re.fullmatch(r"class \d: [\d.]+%", status(tab))
    tab.key("Delete", 46)
    assert status(tab) == "The pad is empty."


@needs_chromium
def test_the_page_asks_for_nothing(tab: Page) -> None:
    """After all that: no request but for the page itself, no exception, no violation of its policy; and none can be
    sent."""
    assert {url for url in tab.requests if not url.endswith("/page.html")} == set()
    assert tab.faults == []
    assert tab.run("fetch('data:,x').then(() => 'sent', () => 'refused')") == "refused"


@needs_chromium
def test_the_page_of_the_docs_works(model: Subject, tmp_path: Path) -> None:
    """The example of docs/export-web.md, served by a web server, classifies an image of the network's size."""
    (example,) = re.findall(r"```html\n(.*?)```", (DOCS / "export-web.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "index.html").write_text(example, encoding="utf-8")
    for suffix, content in wasm.export(model, ExportOptions()).files.items():
        (tmp_path / f"digits{suffix}").write_bytes(content)
    images = trained_like.images_of(model.network, 1, 4)
    Image.fromarray(images[0, 0]).save(tmp_path / "image.png")
    best = int(trained_like.probabilities(model, images, 4).argmax())
    with served(tmp_path) as address, browser(online=True) as opened:
        opened.send("Page.navigate", url=f"{address}/index.html")
        opened.wait("document.querySelector('output')?.textContent === 'Choose an image.'")
        opened.give("input", [tmp_path / "image.png"])
        opened.wait("document.querySelector('output').textContent !== 'Choose an image.'")
        assert opened.run("document.querySelector('output').textContent") == CLASSES[best]
        assert [fault for fault in opened.faults if "favicon" not in fault] == []


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder, and yield its address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the library
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
