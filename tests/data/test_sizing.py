"""Images of any size in one: which size, which part of the image, and that nothing else is done to it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from image_files import fitted_pixels, jpeg, picture, png, saved
from PIL import Image

from layerline.data.photos.image_file import decode
from layerline.data.photos.sizing import Sizing, cut, drafted, parse, settled, usual, written

ROUNDING = 1.02
"""Pillow rounds to whole numbers after each of two passes, half a step each, and holds its weights in 22 bits."""


def weights(n: int, first: float, last: float, N: int) -> np.ndarray:
    """Return float64 (N, n): what each of n values weighs in each of N that lie between `first` and `last`.

    A triangle around the middle of each result, as wide to either side as results are apart, and at least one value.
    """
    step = (last - first) / N
    middle = first + (np.arange(N)[:, None] + 0.5) * step
    weight = np.maximum(0, 1 - np.abs(np.arange(n)[None] + 0.5 - middle) / max(step, 1.0))
    return weight / weight.sum(axis=1, keepdims=True)


def resized(pixels: np.ndarray, size: tuple[int, int], box: tuple[float, float, float, float]) -> np.ndarray:
    """Return the part `box` (top, left, bottom, right) of an image in another size, in float64."""
    top, left, bottom, right = box
    rows = weights(pixels.shape[0], top, bottom, size[0])
    columns = weights(pixels.shape[1], left, right, size[1])
    return np.einsum("ph,hw...,qw->pq...", rows, pixels.astype(np.float64), columns)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("size", "target", "box"),
    [
        ((40, 60), (20, 20), (0, 10, 40, 50)),
        ((60, 40), (20, 20), (10, 0, 50, 40)),
        ((41, 60), (16, 16), (0, 9.5, 41, 50.5)),
        ((30, 30), (10, 20), (7.5, 0, 22.5, 30)),
        ((5, 7), (20, 20), (0, 1, 5, 6)),
        ((1, 90), (4, 4), (0, 44.5, 1, 45.5)),
    ],
)
def test_crop_takes_the_middle_antialiased(channels, size, target, box):
    """`crop`: the largest part of the target's proportions, from the middle, weighed by a triangle."""
    pixels = picture(1, size, channels)
    found = fitted_pixels(pixels, target, "crop")
    assert (found.dtype, found.shape[:2]) == (np.uint8, target)
    assert np.abs(found - resized(pixels, target, box)).max() <= ROUNDING


@pytest.mark.parametrize("channels", [1, 3])
def test_pad_keeps_all_with_black_on_both_sides(channels):
    """`pad`: the whole image in its own proportions, in the middle, and 0 elsewhere."""
    pixels = picture(1, (40, 60), channels)
    found = fitted_pixels(pixels, (30, 30), "pad")
    assert not found[:5].any()
    assert not found[25:].any()
    assert np.abs(found[5:25] - resized(pixels, (20, 30), (0, 0, 40, 60))).max() <= ROUNDING
    assert fitted_pixels(picture(1, (1, 6000), 1), (8, 8), "pad").shape == (8, 8)


def test_stretch_keeps_all_and_no_proportions():
    """`stretch`: all of the image, each side by its own factor."""
    pixels = picture(1, (40, 60))
    found = fitted_pixels(pixels, (32, 20), "stretch")
    assert np.abs(found - resized(pixels, (32, 20), (0, 0, 40, 60))).max() <= ROUNDING


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_an_image_of_the_size_is_not_touched(fit):
    """What has the size already has the same bytes behind it."""
    pixels = picture(1, (17, 23))
    np.testing.assert_array_equal(fitted_pixels(pixels, (17, 23), fit), pixels)


def test_an_image_is_turned_before_it_is_fitted():
    """An image that lies on its side is cropped as it is looked at, and its size is that of the upright one."""
    upright = picture(3, (90, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    for form in ("PNG", "TIFF"):
        content = saved(np.ascontiguousarray(np.rot90(upright)), form, exif=exif)
        found = decode(content, Sizing((30, 20)))
        assert found.size == (90, 40)
        np.testing.assert_array_equal(found.pixels, fitted_pixels(upright, (30, 20), "crop"))


def test_transparency_is_laid_over_white_before_it_is_fitted():
    """Pixels that are not seen have no part in the average."""
    pixels = np.zeros((60, 60, 4), np.uint8)
    pixels[:, ::2, 3] = 255
    found = decode(png(pixels), Sizing((20, 20))).pixels
    over = np.zeros((60, 60, 3), np.uint8)
    over[:, 1::2] = 255
    np.testing.assert_array_equal(found, fitted_pixels(over, (20, 20), "crop"))


@pytest.mark.parametrize(
    ("size", "target", "fit", "least"),
    [
        ((400, 600), (128, 128), "crop", (192, 288)),
        ((400, 600), (128, 128), "pad", (128, 192)),
        ((400, 600), (96, 128), "stretch", (144, 192)),
        ((100, 600), (128, 128), "crop", (100, 600)),
        ((180, 270), (128, 128), "crop", (180, 270)),
        ((100, 600), (128, 128), "stretch", (100, 192)),
    ],
)
def test_a_decoder_is_asked_for_half_as_much_again_as_is_needed(size, target, fit, least):
    """The least size is 1.5 times that of the whole image at the scale it is fitted with, or the image's own."""
    assert drafted(size, target, fit) == least


@pytest.mark.parametrize("turn", [1, 6])
@pytest.mark.parametrize(("size", "eighths"), [((400, 600), 4), ((520, 760), 2), ((900, 400), 2), ((380, 380), 8)])
def test_draft_mode_is_what_its_decoder_gives_at_that_scale(size, eighths, turn):
    """A JPEG is decoded at so many eighths and resized; that is off the whole one, resized, by less than 1 of 255."""
    smooth = Image.fromarray(picture(5, (13, 19))).resize(size[::-1], Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = turn
    file = io.BytesIO()
    smooth.save(file, "JPEG", quality=90, exif=exif)
    target = (64, 64) if eighths < 4 else (128, 128)
    found = decode(file.getvalue(), Sizing(target))
    drafts = Image.open(file)
    drafts.draft(None, (-(-size[1] * eighths // 8), -(-size[0] * eighths // 8)))
    assert drafts.height == -(-size[0] * eighths // 8)
    upright = np.rot90(np.asarray(drafts), -1) if turn == 6 else np.asarray(drafts)
    np.testing.assert_array_equal(found.pixels, fitted_pixels(np.ascontiguousarray(upright), target, "crop"))
    full = decode(file.getvalue(), Sizing())
    assert found.size == full.size
    assert np.abs(found.pixels.astype(int) - fitted_pixels(full.pixels, target, "crop")).mean() < 1


def test_gray_and_rgb_can_be_asked_for():
    """gray=True gives one channel by ITU-R 601's weights, False three, None what the file has."""
    color, gray = picture(1, (8, 8)), picture(1, (8, 8), 1)
    luma = decode(png(color), Sizing(gray=True)).pixels
    assert np.abs(luma - color @ np.array([0.299, 0.587, 0.114])).max() <= 1
    repeated = decode(png(gray), Sizing(gray=False)).pixels
    np.testing.assert_array_equal(repeated, np.repeat(gray[..., None], 3, axis=2))
    assert decode(png(gray), Sizing()).pixels.ndim == 2
    assert decode(jpeg(color), Sizing((4, 4), gray=True)).pixels.shape == (4, 4)


def test_what_may_stay():
    """Equal images of at most 64 rows and columns stay; others become squares that half of them need not grow for."""
    assert usual({(64, 40): 9}) == (64, 40)
    assert usual({(65, 64): 9}) == usual({(64, 65): 9}) == usual({(64, 64): 1, (65, 65): 1}) == (64, 64)
    assert usual({(100, 100): 2059, (3024, 3024): 3}) == (96, 96)
    assert usual({(400, 600): 5}) == usual({(600, 400): 5}) == (128, 128)
    assert usual({(28, 28): 9, (30, 31): 8, (500, 500): 1}) == (28, 28)
    assert usual({(1, 300): 3, (2, 3): 1}) == (16, 16)


@pytest.mark.parametrize("shorter", range(1, 140))
def test_sides_that_are_chosen_are_4_to_7_times_a_power_of_two(shorter):
    """The largest of 16, 20, 24, 28, 32, … 112, 128 that is not above the median, or 16."""
    sides = {k * 2**power for k in (4, 5, 6, 7) for power in range(2, 6)}
    best = max(side for side in sides if side <= min(max(shorter, 16), 128))
    assert usual({(shorter, 400): 3}) == (best, best)


@pytest.mark.parametrize(
    ("sizes", "fit"),
    [
        ({(100, 100): 9}, "crop"),
        ({(100, 125): 9}, "crop"),
        ({(100, 126): 9}, "stretch"),
        ({(300, 400): 5, (400, 400): 4}, "stretch"),
        ({(300, 400): 4, (400, 400): 5}, "crop"),
        ({(300, 400): 5, (400, 400): 5}, "crop"),
    ],
)
def test_what_is_cropped_where_nothing_is_asked_for(sizes, fit):
    """A fit that is asked for stays; else it is stretch where the median image would lose more than a fifth."""
    assert settled(Sizing(), sizes, deep=False).fit == fit
    assert settled(Sizing(fit="pad"), sizes, deep=False).fit == "pad"
    assert settled(Sizing(fit="crop"), sizes, deep=False).fit == "crop"


def test_what_a_crop_cuts_away():
    """The share of the image that is beyond the largest part of the target's proportions."""
    for size, target, share in (((3, 4), (1, 1), 1 / 4), ((4, 3), (128, 128), 1 / 4), ((50, 100), (10, 20), 0)):
        assert cut(size, target) == pytest.approx(share)
    assert cut((100, 100), (96, 128)) == pytest.approx(1 / 4)


def test_sizes_as_they_are_written():
    """128, "128", "96x128" and "96×128" are read, height first; what is written is read as the same."""
    for given, size in ((128, (128, 128)), ("96x128", (96, 128)), (" 96×128 ", (96, 128)), ("7", (7, 7))):
        wanted = parse(given, None, gray=None)
        assert wanted == Sizing(size)
        assert parse(written(size), None, gray=None) == wanted
