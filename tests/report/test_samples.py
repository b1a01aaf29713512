"""`layerline data show`: the sheet shows the images that are trained on, pixel by pixel."""

from __future__ import annotations

import dataclasses
import io
import itertools
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from image_files import picture, png, tree
from PIL import Image
from places import SOURCES

from layerline.data import load_data
from layerline.data.augment.augmentation import Augmentation, apply
from layerline.data.dataset import Scaling
from layerline.engines.epoch import plan_epoch
from layerline.errors import RecipeError
from layerline.recipe import Recipe
from layerline.report import samples
from layerline.report.marks import Pixels, Text
from layerline.report.sheet import Sheet

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from layerline.data.dataset import Dataset

WORDS = "shift=2,padding=reflect,flip=alternate,cutout=3,contrast=0.3,rotate=20"


def data(folder: Path, shape: tuple[int, ...] = (9, 12, 3), classes: int = 3, names: tuple[str, ...] = ()) -> Dataset:
    """Return images whose every pixel is another, read from a file; class k is `names[k]`, or the number."""
    numbers = np.random.default_rng(5)
    x = numbers.integers(0, 256, (20 * classes, *shape), dtype=np.uint8)
    y = np.arange(20 * classes) % classes
    np.savez(folder / "noise.npz", x=x, y=np.array(names)[y] if names else y)
    return load_data(folder / "noise.npz")


def decoded(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def places(tile: np.ndarray, image: np.ndarray) -> list[tuple[int, int]]:
    """Return where a piece stands in an image, exactly."""
    h, w = tile.shape[:2]
    corner = (image[: len(image) - h + 1, : image.shape[1] - w + 1] == tile[0, 0]).all(axis=2)
    candidates = ((int(y), int(x)) for y, x in np.argwhere(corner))
    return [(y, x) for y, x in candidates if np.array_equal(image[y : y + h, x : x + w], tile)]


def test_a_sheet_shows_what_training_sees(tmp_path: Path) -> None:
    """Each row: images of the class, each followed by the reference's image of the place that training's epochs 1, 2, …
    give it."""
    loaded = data(tmp_path)
    found = samples.choose(loaded, Augmentation.parse(WORDS), seed=7)
    source, scaling = loaded.train.source, Scaling((1 / 255,) * 3, (0.0,) * 3)
    assert [row.name for row in found.rows] == ["0", "1", "2"]
    for k, row in enumerate(found.rows):
        assert row.count == (loaded.train.labels == k).sum()
        originals = row.tiles[:: found.group]
        for g, original in enumerate(originals):
            same = (source.images == np.round(original * 255).transpose(2, 0, 1)).all(axis=(1, 2, 3))
            (image,) = np.flatnonzero(same)
            assert source.labels[image] == k
            assert image in loaded.train.indices
            for number in range(1, found.group):
                epoch = plan_epoch(Recipe(seed=7, augment=WORDS), loaded.train, number, 3)
                at = np.flatnonzero(epoch.order == image)
                assert epoch.drawn is not None
                expected = apply(source.images[[image]], epoch.drawn, at, scaling)[0].transpose(1, 2, 0)
                np.testing.assert_array_equal(row.tiles[g * found.group + number], expected.clip(0, 1))


@pytest.mark.parametrize("shape", [(9, 12, 3), (5, 7), (1, 40, 1), (30, 2)])
@pytest.mark.parametrize("words", ["flip,brightness=0.4", "none"])
def test_no_pixel_is_blurred(shape: tuple[int, ...], words: str, tmp_path: Path) -> None:
    """Every tile stands on the sheet with each of its pixels a square of one color, in its row, left to right."""
    loaded = data(tmp_path, shape)
    found = samples.choose(loaded, Augmentation.parse(words), seed=0)
    image = decoded(samples.picture(found))
    times = round(96 / max(shape[:2]))
    before = 0
    for row in found.rows:
        assert len(row.tiles) == found.columns
        corners = []
        for tile in row.tiles:
            bytes_ = np.broadcast_to((tile * 255).round().astype(np.uint8), (*tile.shape[:2], 3))
            corners.append(places(np.kron(bytes_, np.ones((times, times, 1), np.uint8)), image))
        assert all(corners)
        y = corners[0][0][0]
        assert y > before
        assert [min(x for _, x in corner) for corner in corners] == sorted(
            {x for c in corners for y_, x in c if y_ == y}
        )
        before = y + shape[0] * times


def test_large_images_become_smaller(tmp_path: Path) -> None:
    """An image larger than a tile is drawn at two tiles' size: a pixel the mean of those it stands for.

    Rows and columns are averaged one after the other, each rounded to a whole number: at most 1 off.
    """
    loaded = data(tmp_path, (384, 576))
    found = samples.choose(loaded, None, seed=0)
    tile = found.rows[0].tiles[0][:, :, 0]
    mean = np.round(tile * 255).reshape(128, 3, 192, 3).mean(axis=(1, 3))
    image = decoded(samples.picture(found))[:, :, 0].astype(float)
    h, w = 128, 192
    close = [
        (y, x)
        for y, x in np.argwhere(np.abs(image[: len(image) - h + 1, : image.shape[1] - w + 1] - mean[0, 0]) <= 1.01)
        if np.abs(image[y : y + h, x : x + w] - mean).max() <= 1.01
    ]
    assert len(close) == 1


def test_a_sheet_ends_with_the_thirtieth_class_and_says_so(tmp_path: Path) -> None:
    """Of 40 classes 30 are drawn; of two channels one; names that would spoil the sheet are made fit for it."""
    names = tuple(f"{k:02d}\x1b[31m$x^{{2}}$ {'w' * 150}" for k in range(40))
    loaded = data(tmp_path, (6, 6, 2), 40, names)
    found = samples.choose(loaded, Augmentation.parse("flip"), seed=0)
    assert len(found.rows) == 30
    assert found.notes == ("--augment flip --seed 0", "first 30 of 40 classes", "first of 2 channels")
    assert decoded(samples.picture(found)).shape[1] < 2500
    first = loaded.train.source.images[:, 0].astype(np.float32) / np.float32(255)
    for row in found.rows:
        assert (np.abs(first - row.tiles[0, :, :, 0]).max(axis=(1, 2)) < 1e-6).any()


@pytest.mark.parametrize(
    ("shape", "words"),
    [((64, 9), "none"), ((64, 9), "flip"), ((3, 200), "flip"), ((1, 1), "flip"), ((8, 8), "shift=1")],
)
def test_no_text_leaves_the_sheet_or_touches_another(shape: tuple[int, ...], words: str, tmp_path: Path) -> None:
    """Title, notes, headings and names stand inside the margins, and no two of them overlap, nor a name an image."""
    loaded = dataclasses.replace(data(tmp_path, shape, names=("a", "W" * 40, "c")), name="W" * 50)
    found = samples.choose(loaded, Augmentation.parse(words), seed=0)
    drawn = samples._drawn(found)
    texts = [mark for mark in drawn.marks if isinstance(mark, Text)]
    boxes = [ink(drawn, text) for text in texts if text.words]
    width, height = drawn.width * 200, drawn.height * 200
    assert all(0 < x0 < x1 < width and 0 < y0 < y1 < height for x0, y0, x1, y1 in boxes)
    assert not [1 for a, b in itertools.combinations(boxes, 2) if overlap(a, b)]
    tiles = [
        (mark.left * 200, mark.bottom * 200, (mark.left + mark.width) * 200, (mark.bottom + mark.height) * 200)
        for mark in drawn.marks
        if isinstance(mark, Pixels)
    ]
    assert len(tiles) == 3 * found.columns
    for tile in tiles:
        assert 0 < tile[0] < tile[2] < width
        assert 0 < tile[1] < tile[3] < height
        assert not [box for box in boxes if overlap(box, tile)]


Box = tuple[float, float, float, float]


def ink(drawn: Sheet, text: Text) -> Box:
    """Return where the ink of one text is, in pixels from the lower left corner: it is painted alone, and looked at."""
    alone = decoded(Sheet(drawn.width, drawn.height, [dataclasses.replace(text, color="#000000")]).png(200))
    rows, columns = np.nonzero(alone[:, :, 0] < 128)
    return float(columns.min()), float(len(alone) - 1 - rows.max()), float(columns.max() + 1), len(alone) - rows.min()


def overlap(a: Box, b: Box) -> bool:
    return min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1])


def test_classes_with_few_images_have_few_tiles(tmp_path: Path) -> None:
    """A class of one image beside one of many: no image is shown twice."""
    x = np.random.default_rng(2).integers(0, 256, (41, 4, 4), dtype=np.uint8)
    np.savez(tmp_path / "few.npz", x=x, y=np.array([0] * 40 + [1]))
    found = samples.choose(load_data(tmp_path / "few.npz", test="none", validation="none"), None, seed=0)
    assert [len(row.tiles) for row in found.rows] == [samples.PLAIN, 1]
    assert len(np.unique(found.rows[0].tiles.reshape(samples.PLAIN, -1), axis=0)) == samples.PLAIN
    samples.picture(found)


def test_white_is_the_largest_value_that_the_data_can_have() -> None:
    """digits has values to 16: its whitest pixels are white, and brightness=0.5 moves black by up to half, no more."""
    found = samples.choose(load_data("digits"), Augmentation.parse("brightness=0.5"), seed=0)
    originals = np.array([row.tiles[:: found.group] for row in found.rows])
    assert originals.max() == 1
    assert len(np.unique(originals)) == 17
    black = [row.tiles.min(axis=(1, 2, 3)).max() for row in found.rows]
    assert 0.4 < max(black) <= 0.5


def test_images_too_small_are_refused(tmp_path: Path) -> None:
    """As a training would."""
    with pytest.raises(RecipeError, match="use at most shift=8"):
        samples.choose(data(tmp_path), Augmentation.parse("shift=9"), seed=0)


def show(folder: Path, *arguments: str) -> Any:
    """Run `layerline data show` in `folder`."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(SOURCES),
        "LANG": "C.UTF-8",
    }
    command = [sys.executable, "-m", "layerline", "data", "show", *arguments]
    return subprocess.run(  # noqa: S603
        command, cwd=folder, env=environment, capture_output=True, timeout=120, check=False, encoding="utf-8"
    )


@pytest.mark.smoke
def test_the_command_writes_one_file(tmp_path: Path) -> None:
    """The sheet under the data's name or --out's, the same bytes each time, and a line that says so."""
    ended = show(tmp_path, "digits", "--classes", "3,7", "--augment", "shift=1")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("digits.png: digits: ")
    assert [path.name for path in tmp_path.iterdir()] == ["digits.png"]
    assert show(tmp_path, "digits", "--classes", "3,7", "--augment", "shift=1", "--out", "b.PNG").returncode == 0
    assert (tmp_path / "b.PNG").read_bytes() == (tmp_path / "digits.png").read_bytes()
    other = show(tmp_path, "digits", "--classes", "3,7", "--augment", "shift=1", "--seed", "4", "--force")
    assert other.returncode == 0
    assert (tmp_path / "b.PNG").read_bytes() != (tmp_path / "digits.png").read_bytes()


MISTAKES = (
    ("digits", "--out", "here.png"),
    ("digits", "--out", "sheet.jpg"),
    ("digits", "--out", "."),
    ("digits", "--out", "folder.png"),
    ("digits", "--out", "nowhere/sheet.png"),
    ("digits", "--out", "n" * 300 + ".png"),
    ("digits", "--augment", "shfit=2"),
    ("digits", "--augment", "shift=8"),
    ("digits", "--seed", "many"),
    ("digits", "--limit", "0"),
    ("digitz",),
    ("digits", "--frce"),
    (),
)


def test_mistakes_write_nothing(golden: Callable[[str, str], None], tmp_path: Path) -> None:
    """Every mistake: exit 2, a message with a repair, no traceback, and the folder as it was."""
    (tmp_path / "here.png").write_bytes(b"a photograph")
    (tmp_path / "folder.png").mkdir()
    said = []
    for arguments in MISTAKES:
        ended = show(tmp_path, *arguments)
        assert (ended.returncode, ended.stdout) == (2, ""), (arguments, ended.stderr)
        assert "Traceback" not in ended.stderr
        assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.png", "here.png"]
        assert (tmp_path / "here.png").read_bytes() == b"a photograph"
        said.append(f"$ layerline data show {' '.join(arguments)[:40]}\n{ended.stderr.replace('n' * 290, 'n…')}")
    golden("data-show.txt", "\n".join(said))


def test_originals_stand_beside_what_is_left_of_them(tmp_path: Path) -> None:
    """Where a crop cuts away something, the sheet says how much, and ends with whole images beside fitted ones."""
    images = {f"{c}/{k}.png": picture(k + 10 * (c == "b"), (70, 140)) for c in "ab" for k in range(5)}
    tree(tmp_path / "wide", {name: png(pixels) for name, pixels in images.items()})
    for fit, text in (
        ("crop", "Cropping cuts off 50% of the average image. Original and cropped:"),
        (
            None,
            "Cropping would cut off 50% of the average image; all images are stretched instead. "
            "Original and stretched:",
        ),
    ):
        data = load_data(tmp_path / "wide", fit=fit)
        for augmentation in (None, Augmentation.parse("flip")):
            chosen = samples.choose(data, augmentation, 0)
            assert chosen.pairing == text
            assert len(chosen.pairs) == 6
            sheet = decoded(samples.picture(chosen))
            assert data.resized is not None
            for example in data.resized.examples[:3]:
                for pixels, size in ((example.original, (128, 64)), (example.fitted, (128, 128))):
                    whole = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR)
                    assert len(places(np.asarray(whole), sheet)) == 1
    square = samples.choose(load_data(tmp_path / "wide", size="35x70"), None, 0)
    assert (square.pairs, square.pairing) == ((), "")
