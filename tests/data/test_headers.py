"""What is known of image files before any is decoded: their size, upright, and whether they are gray of 16 bits."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from cifar_files import tar_of
from image_files import fitted_pixels, jpeg, picture, png, saved, tiff, tree
from PIL import Image

from layerline.data import load_data
from layerline.data.photos import headers as outlines
from layerline.data.photos import image_folder
from layerline.data.photos.decoding import File
from layerline.data.photos.image_file import BadImageError, decode
from layerline.data.photos.sizing import Sizing


def outlined(content: bytes) -> tuple[tuple[int, int], bool]:
    (found,) = _of(content).sizes
    return found, _of(content).deep


def _of(*contents: bytes) -> outlines.Outlines:
    found = outlines.Outlines(Sizing())
    for k, content in enumerate(contents):
        found.add(File((), str(k), content))
    return found


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "BMP"])
def test_the_size_is_that_of_the_decoded_image(form, turn):
    """Of every format and orientation, also with more before the pixels than is read first."""
    exif = Image.Exif()
    exif[0x0112] = turn
    content = saved(picture(1, (30, 41)), form, exif=exif)
    assert outlined(content) == (decode(content).size, False)
    if form == "JPEG":
        more = b"".join(b"\xff\xec" + struct.pack(">H", 65000) + bytes(64998) for _ in range(2))
        assert outlined(content[:2] + more + content[2:]) == (decode(content).size, False)


def test_gray_of_sixteen_bits_is_known_by_the_header():
    """Of PNG and TIFF; RGB, 8 bits and JPEG are not."""
    wide = np.zeros((6, 5), np.uint16)
    assert all(outlined(content) == ((6, 5), True) for content in (png(wide), tiff(wide)))
    assert not any(outlined(content)[1] for content in (png(picture(1)), jpeg(picture(1)), tiff(picture(1, (6, 5), 1))))
    assert _of(png(wide), png(wide)).deep
    assert not _of(png(wide), jpeg(picture(1))).deep


@pytest.mark.parametrize("content", [b"", b"no image", b"\xff\xd8\xff\xe0", png(picture(1))[:20], tiff(picture(1))[:9]])
def test_what_has_no_header_is_left_to_the_decoder(content):
    """It is passed over here, and bad where it is decoded."""
    assert not _of(content).sizes
    with pytest.raises(BadImageError):
        decode(content)


def wide_photos(count: int = 8) -> dict[str, np.ndarray]:
    """Return images of two classes that are twice as wide as high, and one square, by their paths."""
    found = {f"{c}/{k}.png": picture(k + 50 * (c == "b"), (70, 140)) for c in "ab" for k in range(count)}
    return found | {"a/square.png": picture(99, (80, 80))}


@pytest.mark.parametrize("way", ["folder", "tar", "long tar", "cache"])
def test_images_that_a_crop_would_cut_are_stretched(tmp_path, way, monkeypatch):
    """Where the median image would lose more than a fifth, however they are packed; how much, and which, is told."""
    images = wide_photos()
    files = {name: png(pixels) for name, pixels in images.items()}
    source = tmp_path / "set"
    if "tar" in way:
        source.write_bytes(tar_of(files))
    else:
        tree(source, files)
    if way == "long tar":
        monkeypatch.setattr(image_folder, "_MAX_HELD", 100_000)
    if way == "cache":
        monkeypatch.setattr("layerline.data.photos.image_stack.MAX_IN_MEMORY", 10_000)
    for _ in range(2):
        data = load_data(source, cache=tmp_path / "kept" if way == "cache" else None)
        stored = data.train.source.images.transpose(0, 2, 3, 1)
        expected = np.stack([fitted_pixels(images[name], (64, 64), "stretch") for name in sorted(images)])
        np.testing.assert_array_equal(stored, expected)
        assert data.resized is not None
        assert (data.resized.size, data.resized.fit) == ((64, 64), "stretch")
        assert data.resized.cut == pytest.approx(16 / 17 / 2)
        assert (
            "a crop would remove 47% of the average image, and more than a fifth of most: stretched instead (--fit)"
            in (data.notes)
        )
        assert (data.cuts["size"], data.cuts["fit"]) == ("64", "stretch")
        assert len(data.resized.examples) == outlines.EXAMPLES
        for example in data.resized.examples:
            whole = images[example.name]
            np.testing.assert_array_equal(example.original, whole)
            np.testing.assert_array_equal(example.fitted, fitted_pixels(whole, (64, 64), "stretch"))


def test_what_a_crop_that_is_asked_for_cuts_away_is_told(tmp_path):
    """--fit crop is kept to, and a note says how much it costs; without a loss there is neither note nor example."""
    tree(tmp_path / "wide", {name: png(pixels) for name, pixels in wide_photos().items()})
    data = load_data(tmp_path / "wide", fit="crop")
    assert data.resized is not None
    assert data.resized.fit == "crop"
    assert "the crop removes 47% of the average image (--fit, --size)" in data.notes
    padded = load_data(tmp_path / "wide", fit="pad")
    assert not any("crop" in note for note in padded.notes)
    tree(tmp_path / "square", {f"{c}/{k}.png": png(picture(k, (70, 70))) for c in "ab" for k in range(9)})
    square = load_data(tmp_path / "square", group_by="none")
    assert square.resized is not None
    assert (square.resized.cut, square.resized.examples, square.notes) == (0, (), ())


def test_examples_are_the_whole_image_made_smaller(tmp_path):
    """A large one has 160 rows or columns at most; they are the ones that lose most and least are among them."""
    sizes = [(200, 200 + 40 * k) for k in range(12)]
    tree(tmp_path, {f"{c}/{k:02}.png": png(picture(k, size)) for c in "ab" for k, size in enumerate(sizes)})
    data = load_data(tmp_path, size=32)
    assert data.resized is not None
    found = {example.name: example.original.shape[:2] for example in data.resized.examples}
    assert len(found) == outlines.EXAMPLES
    assert {"a/11.png", "b/01.png"} <= set(found)
    assert found["a/11.png"] == (50, 160)


def test_an_archive_is_read_once_where_nothing_depends_on_its_headers(tmp_path, monkeypatch):
    """With --size and --fit, and images that are not of 16 bits, a long archive is not read a second time."""
    images = wide_photos()
    (tmp_path / "set.tar").write_bytes(tar_of({name: png(pixels) for name, pixels in images.items()}))
    monkeypatch.setattr(image_folder, "_MAX_HELD", 100_000)
    calls = []
    monkeypatch.setattr(image_folder, "_again", lambda *given: calls.append(given) or iter(()))
    data = load_data(tmp_path / "set.tar", size=32, fit="pad")
    assert (len(data.train.source.labels), calls) == (len(images), [])


def test_large_sets_with_a_few_huge_photos_are_not_enlarged(tmp_path):
    """Of 60 photos of 100×100 and three of 1500×1500 all become 96×96: the median decides, and no photo grows."""
    small, huge = jpeg(picture(1, (100, 100))), jpeg(np.full((1500, 1500, 3), 99, np.uint8))
    tree(tmp_path, {f"{c}/{k:02}.jpg": small for c in "ab" for k in range(30)})
    tree(tmp_path, {f"a/9{k}.jpg": huge for k in range(3)})
    data = load_data(tmp_path, group_by="none")
    assert (data.shape, data.notes) == ((3, 96, 96), ())
