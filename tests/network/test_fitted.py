"""The preset that suits images, and networks written for them."""

from __future__ import annotations

import re

import pytest

from layerline.network import parse, preset, presets
from layerline.network.fitted import choose, fitted, preset_for
from layerline.network_file import formatted

SHAPES = [
    (1, 1, 1),
    (3, 1, 65_500),
    (1, 3, 700),
    (3, 4, 4),
    (1, 8, 8),
    (1, 28, 28),
    (3, 32, 32),
    (4, 47, 48),
    (1, 96, 80),
    (3, 128, 128),
    (3, 200, 256),
    (3, 500, 700),
]
IMAGES = [4, 900, 4_000, 60_000, 1_000_000]


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        ((1, 2, 2), "six-layer"),
        ((3, 6, 300), "six-layer"),
        ((1, 8, 8), "digits"),
        ((3, 15, 15), "digits"),
        ((1, 28, 28), "lenet5"),
        ((1, 32, 32), "lenet5"),
        ((3, 32, 32), "vgg-small"),
        ((4, 47, 47), "vgg-small"),
        ((1, 48, 48), "photo-small"),
        ((3, 64, 64), "photo-small"),
        ((3, 256, 256), "photo-small"),
    ],
)
def test_presets_by_the_shape_of_images(shape, name):
    """The shorter side decides, and between 16 and 47 whether there are colors; what is named fits the images."""
    assert preset_for(shape) == name
    assert name in presets()
    parse(preset(name), name=name, input_shape=shape, classes=7)
    assert choose(shape, 7, 500) == (name, preset(name))


@pytest.mark.parametrize("side", range(2, 70))
def test_every_size_has_a_preset_that_fits(side):
    """From 2×2 on the preset of each size is a network for images of that size, gray or in color, long or square."""
    for shape in ((1, side, side), (3, side, side), (3, side, 10 * side)):
        parse(preset(preset_for(shape)), input_shape=shape, classes=2)


def test_where_no_preset_fits_a_network_is_written():
    """Images of a single row or column get a network of their own."""
    name, text = choose((3, 1, 40), 4, 100)
    assert name == "fitted"
    assert parse(text, name=name, input_shape=(3, 1, 40), classes=4).classes == 4


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("images", IMAGES)
def test_a_fitted_network_takes_the_images(shape, images):
    """For every size and number of images the text is a network for them, in its readable form, within 120 columns."""
    text = fitted(shape, 7, images)
    network = parse(text, input_shape=shape, classes=7)
    assert (network.input_shape, network.classes, network.notes) == (shape, 7, ())
    assert formatted(text) == text
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_sizes_that_comments_name_are_those_behind_the_lines(shape):
    """What a comment says comes out of a line is what the checker finds, and the last line says the classes."""
    text = fitted(shape, 7, 4_000)
    behind = {node.line: node.shape for node in parse(text, input_shape=shape, classes=7).nodes}
    said = 0
    for number, line in enumerate(text.splitlines(), 1):
        found = re.search(r"# → ([0-9,×]+)", line)
        if found:
            said += 1
            assert tuple(int(size.replace(",", "")) for size in found[1].split("×")) == behind[number]
    assert said >= 3


def test_every_word_is_explained():
    """Each line has a comment, or is a word that had one above."""
    told = set()
    for line in fitted((3, 128, 128), 7, 60_000).splitlines():
        code, _, comment = line.partition("#")
        if code.strip():
            assert comment.strip() or code.strip() in told, line
            told.add(code.strip())
    assert {"ReLU", "BatchNorm", "GlobalPool", "Flat", "FC classes"} <= told


def test_depth_goes_by_size_and_width_by_number():
    """Larger images get more stages, more images wider ones, and an epoch stays within the work that is allowed."""

    def pools(side):
        return fitted((3, side, side), 5, 2_000).count("\nPool")

    assert pools(8) < pools(32) < pools(128)
    narrow, wide = (parse(fitted((3, 64, 64), 5, n), input_shape=(3, 64, 64), classes=5) for n in (500, 3_000))
    assert narrow.parameter_count < wide.parameter_count
    for n in (500, 20_000, 100_000):
        network = parse(fitted((3, 96, 96), 5, n), input_shape=(3, 96, 96), classes=5)
        assert network.multiply_adds * n <= 1.2e12
