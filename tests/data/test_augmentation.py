"""What --augment means: its words, what is drawn and from what, and what happens to pixels."""

from __future__ import annotations

import re
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from places import ROOT
from torch.nn import functional
from work import Work

from layerline.data.augment.augmentation import ELEMENTS, Augmentation, Drawn, Steps, apply
from layerline.data.augment.steps import MOVES, NUMBERS, STILL
from layerline.data.dataset import Scaling
from layerline.errors import RecipeError
from layerline.numbers.randomness import Purpose, uint64, uniform

if TYPE_CHECKING:
    from collections.abc import Callable

EVERYTHING = "flip,shift=4,padding=reflect,cutout=8,brightness=0.2,contrast=0.2,rotate=10,scale=0.1"


def parsed(text: str) -> Augmentation:
    augmentation = Augmentation.parse(text)
    assert augmentation is not None
    return augmentation


def draw(text: str, n: int = 2000, seed: int = 1, epoch: int = 1, shape: tuple[int, int, int] = (1, 20, 24)) -> Drawn:
    return parsed(text).draw(seed, epoch, np.arange(n), shape)


def column(drawn: Drawn, name: str) -> np.ndarray:
    table, names = (drawn.moves, MOVES) if name in MOVES else (drawn.numbers, NUMBERS)
    return table[:, names.index(name)]


def told(steps: Steps, **values: float) -> Drawn:
    """Return tables of one image that say exactly this."""
    moves = [int(values.get(name, 0)) for name in MOVES]
    numbers = [values.get(name, still) for name, still in zip(NUMBERS, STILL, strict=True)]
    return Drawn(steps, np.array([moves], np.int32), np.array([numbers], np.float32))


def picture(H: int = 5, W: int = 6, C: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 256, (1, C, H, W), dtype=np.uint8)


def once(values: np.ndarray, steps: Steps, **told_values: float) -> np.ndarray:
    C = values.shape[1]
    return apply(values, told(steps, **told_values), slice(0, 1), Scaling((1.0,) * C, (0.0,) * C))


# What the words do to pixels


def test_a_shift_moves_down_and_to_the_right_and_leaves_zeros() -> None:
    """Two down and one to the left: the first two rows and the last column are 0, the rest is the image."""
    image = picture(5, 6)
    moved = once(image, Steps(), down=2, right=-1)
    np.testing.assert_array_equal(moved[0, 0, 2:, :-1], image[0, 0, :-2, 1:])
    assert not moved[0, 0, :2].any()
    assert not moved[0, 0, :, -1].any()


@pytest.mark.parametrize(("down", "right"), [(2, 3), (-2, -3), (4, -5), (0, 1)])
def test_reflection_does_not_repeat_the_edge(down: int, right: int) -> None:
    """A shifted image is a window of NumPy's `reflect` padding, in which the outermost pixels occur once."""
    image = picture(5, 6)
    padded = np.pad(image[0, 0], ((4, 4), (5, 5)), mode="reflect")
    window = padded[4 - down : 9 - down, 5 - right : 11 - right]
    np.testing.assert_array_equal(once(image, Steps(mirrored=True), down=down, right=right)[0, 0], window)


def test_a_flip_turns_left_to_right_before_the_shift() -> None:
    """Columns are reversed, channels and rows are not; a shift to the right then moves the flipped image right."""
    image = picture(4, 5, C=3)
    np.testing.assert_array_equal(once(image, Steps(), flip=1), image[:, :, :, ::-1])
    moved = once(image, Steps(), flip=1, right=2)
    np.testing.assert_array_equal(moved[..., 2:], image[..., ::-1][..., :-2])


def test_cutout_is_a_hole_of_stored_zeros() -> None:
    """The pixels of the rectangle are 0 in every channel, before light and scaling; no other pixel changes."""
    image = picture(6, 7, C=2)
    steps = Steps(cutout=True, light=True)
    cut = once(image, steps, top=1, bottom=3, left=2, end=7, offset=5.0)
    expected = image.astype(np.float32)
    expected[:, :, 1:3, 2:7] = 0
    np.testing.assert_array_equal(cut, expected + 5)


def test_light_is_a_gain_and_an_offset_before_the_scaling() -> None:
    """(v · gain + offset) · scale + shift, each product and sum rounded by itself."""
    image = picture(4, 4, C=2)
    scaling = Scaling((0.1, 0.3), (-0.7, 0.2))
    lit = apply(image, told(Steps(light=True), gain=0.9, offset=-3.7), slice(0, 1), scaling)
    f = np.float32
    for c in range(2):
        for v, found in zip(image[0, c].ravel(), lit[0, c].ravel(), strict=True):
            assert f(f(f(f(f(v) * f(0.9)) + f(-3.7)) * f(scaling.scale[c])) + f(scaling.shift[c])) == found


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("text", ["rotate=180,scale=0.9", "rotate=30,flip", "scale=0.5,shift=3", "rotate=90"])
def test_a_warped_image_is_pytorch_s_grid_sample(text: str, mirrored: bool) -> None:
    """Bilinear at the places of the affine map, which `grid_sample` is given from the angle and size drawn.

    Tolerance: a place is off by at most a few units of float32 in the size of the sums (under 2⁻²⁰ · 200 pixels), and
    v changes by at most 255 · 2 from pixel to pixel; weights add a few roundings of 255 · 2⁻²⁴.
    """
    H, W, n = 12, 17, 40
    values = np.random.default_rng(1).integers(0, 256, (n, 2, H, W), dtype=np.uint8)
    augmentation = parsed(text + (",padding=reflect" if mirrored else ""))
    drawn = augmentation.draw(3, 2, np.arange(n), (2, H, W))
    u = {
        name: uniform(3, Purpose.AUGMENT, epoch=2, image=np.arange(n), element=element)
        for element, name in ((7, "rotate"), (8, "scale"))
    }
    angle = np.deg2rad(augmentation.rotate * (2 * u["rotate"] - 1))
    size = 1 + augmentation.scale * (2 * u["scale"] - 1)
    h, w = np.meshgrid(np.arange(H), np.arange(W), indexing="ij")
    grid = np.empty((n, H, W, 2))
    for k in range(n):
        up, across = h - column(drawn, "down")[k] - (H - 1) / 2, w - column(drawn, "right")[k] - (W - 1) / 2
        y = (np.cos(angle[k]) * up + np.sin(angle[k]) * across) / size[k]
        x = (np.cos(angle[k]) * across - np.sin(angle[k]) * up) / size[k] * (1 - 2 * column(drawn, "flip")[k])
        grid[k, ..., 0], grid[k, ..., 1] = x / ((W - 1) / 2), y / ((H - 1) / 2)
    exact = functional.grid_sample(
        *(torch.from_numpy(a.astype(np.float64)) for a in (values, grid)),
        padding_mode="reflection" if mirrored else "zeros",
        align_corners=True,
    ).numpy()
    found = apply(values, drawn, slice(0, n), Scaling((1.0,) * 2, (0.0,) * 2))
    assert np.abs(found - exact).max() <= 200 * 2.0**-20 * 510
    assert np.abs(found - values).max() > 50


def test_a_positive_angle_turns_counter_clockwise() -> None:
    """By a quarter on a square: NumPy's rot90."""
    image = picture(7, 7)
    turned = once(image, Steps(warp=True), a=0.0, b=1.0, c=0.0, d=-1.0, e=0.0, f=6.0)
    np.testing.assert_array_equal(turned[0, 0], np.rot90(image[0, 0]))


def test_nothing_drawn_changes_nothing() -> None:
    """Every step with its neutral numbers gives the scaled image, bit for bit, stored either way."""
    image = picture(6, 5, C=3)
    scaling = Scaling((1 / 255, 0.3, 2.0), (0.1, 0.0, -1.0))
    for values in (image, np.ascontiguousarray(image.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)):
        for steps in (Steps(), Steps(mirrored=True, cutout=True, light=True), Steps(warp=True, mirrored=True)):
            np.testing.assert_array_equal(apply(values, told(steps), slice(0, 1), scaling), scaling.apply(image))


def test_rows_are_positions_in_the_epoch() -> None:
    """An image takes what was drawn for its position, given as a slice or as numbers."""
    values = np.random.default_rng(0).integers(0, 256, (6, 3, 9, 9), dtype=np.uint8)
    drawn = draw(EVERYTHING.replace("=8", "=3"), 50, shape=(3, 9, 9))
    scaling = Scaling((0.1,) * 3, (0.5,) * 3)
    together = apply(values, drawn, slice(20, 26), scaling)
    for k in range(6):
        np.testing.assert_array_equal(apply(values[k : k + 1], drawn, np.array([20 + k]), scaling)[0], together[k])


# What is drawn


def test_what_is_drawn_depends_on_seed_epoch_and_image_alone() -> None:
    """Another order or a part of the images draws the same for each; another seed, epoch or image draws anew."""
    augmentation, shape = parsed(EVERYTHING), (3, 32, 32)
    images = np.arange(500)
    whole = augmentation.draw(5, 2, images, shape)
    some = np.random.default_rng(0).permutation(500)[:90]
    part = augmentation.draw(5, 2, some, shape)
    np.testing.assert_array_equal(part.moves, whole.moves[some])
    np.testing.assert_array_equal(part.numbers, whole.numbers[some])
    for other in (augmentation.draw(6, 2, images, shape), augmentation.draw(5, 3, images, shape)):
        assert (other.numbers[:, 0] != whole.numbers[:, 0]).mean() > 0.99
        assert (other.moves != whole.moves).any(axis=1).mean() > 0.95


def test_a_word_more_changes_nothing_of_the_others() -> None:
    """Every word has random numbers of its own: beside others it draws what it draws alone."""
    shape, images = (3, 32, 32), np.arange(300)
    together = parsed(EVERYTHING).draw(1, 1, images, shape)
    for text, names in (
        ("shift=4", ("down", "right")),
        ("flip", ("flip",)),
        ("cutout=8", ("top", "left", "bottom", "end")),
        ("contrast=0.2", ("gain",)),
    ):
        alone = parsed(text).draw(1, 1, images, shape)
        for name in names:
            np.testing.assert_array_equal(column(alone, name), column(together, name))
            assert len(np.unique(column(alone, name))) > 1


def test_drawn_numbers_are_those_of_the_document() -> None:
    """docs/augmentation.md's numbers: element k of (seed, AUGMENT, epoch, image) by the published formula."""
    u = [float(uniform(9, Purpose.AUGMENT, epoch=4, image=77, element=k)) for k in range(9)]
    drawn = parsed("shift=3,flip,cutout=6,brightness=0.3,contrast=0.4").draw(9, 4, np.array([77]), (1, 10, 12), 16.0)
    top, left = int(u[3] * 10) - 3, int(u[4] * 12) - 3
    moves = (int(u[0] * 7) - 3, int(u[1] * 7) - 3, u[2] < 0.5, max(top, 0), max(left, 0))
    assert tuple(drawn.moves[0]) == (*moves, min(top + 6, 10), min(left + 6, 12))
    gain = 1 + 0.4 * (2 * u[6] - 1)
    assert drawn.numbers[0, 0] == np.float32(gain)
    assert drawn.numbers[0, 1] == np.float32(16 * ((1 - gain) / 2 + 0.3 * (2 * u[5] - 1)))


def test_contrast_turns_about_the_middle_and_brightness_moves_by_a_share() -> None:
    """Half the largest value stays under contrast alone; brightness=0.3 moves by at most 0.3 of the largest value."""
    contrast = draw("contrast=0.4")
    middle = 127.5 * column(contrast, "gain") + column(contrast, "offset")
    np.testing.assert_allclose(middle, 127.5, atol=3 * 127.5 * 2**-24)
    for maximum in (16.0, 1.0):
        bright = parsed("brightness=0.3").draw(1, 1, np.arange(2000), (1, 9, 9), maximum)
        assert (column(bright, "gain") == 1).all()
        assert 0.29 * maximum < np.abs(column(bright, "offset")).max() <= 0.3 * maximum


def even(values: np.ndarray, count: int) -> None:
    """Hold counts of `count` equally likely values within five standard deviations."""
    found = np.bincount(values, minlength=count)
    n, p = len(values), 1 / count
    assert len(found) == count
    assert np.abs(found - n * p).max() <= 5 * sqrt(n * p * (1 - p))


def test_draws_are_even() -> None:
    """Every shift, either flip, every middle of a cutout is equally likely, and rows do not tell columns."""
    drawn = draw("shift=3,flip,cutout=1,rotate=20,scale=0.2", 40_000)
    down, right = column(drawn, "down") + 3, column(drawn, "right") + 3
    even(down * 7 + right, 49)
    even(column(drawn, "flip"), 2)
    even(column(drawn, "top") * 24 + column(drawn, "left"), 20 * 24)
    cos, sin = column(drawn, "a"), column(drawn, "b")
    size, angle = 1 / np.hypot(cos, sin), np.rad2deg(np.arctan2(sin, cos))
    for values, middle, most in ((angle, 0, 20), (size, 1, 0.2)):
        assert np.abs(values - middle).max() <= most * (1 + 1e-6)
        even(((values - middle) / most * 4.99999 + 5).astype(int), 10)


def test_a_cutout_may_lie_over_the_edge_but_covers_its_middle() -> None:
    """A square of side N around any pixel, cut at the edges: rows and columns within, at least ⌈N/2⌉ − 1 of them."""
    for N in (4, 5):
        drawn = draw(f"cutout={N}", 5000, shape=(1, 10, 12))
        for first, last, size in (("top", "bottom", 10), ("left", "end", 12)):
            a, b = column(drawn, first), column(drawn, last)
            assert a.min() == 0
            assert b.max() == size
            assert (b - a).max() == N
            assert (b - a).min() == (N + 1) // 2


def test_alternate_flips_show_both_sides_in_any_two_epochs() -> None:
    """An image flipped in one epoch is not in the next; half of all are in the first, chosen by the image."""
    epochs = [column(draw("flip=alternate", 10_000, epoch=e), "flip") for e in (1, 2, 3)]
    even(epochs[0], 2)
    np.testing.assert_array_equal(epochs[1], 1 - epochs[0])
    np.testing.assert_array_equal(epochs[2], epochs[0])
    bit = uint64(1, Purpose.AUGMENT, image=np.arange(10_000), element=2) >> np.uint64(63)
    np.testing.assert_array_equal(epochs[0], bit)


def test_all_images_are_drawn_at_once() -> None:
    """An epoch of MNIST takes no more calls than one of ten images: nothing is done image by image."""
    augmentation, counts = parsed(EVERYTHING), []
    for images in (np.arange(10), np.arange(10), np.random.default_rng(0).permutation(60_000)):
        with Work() as work:
            augmentation.draw(1, 1, images, (1, 28, 28))
        counts.append(work.calls)
    assert counts[2] <= counts[1]


# The words


@st.composite
def augmentations(choose: Callable[..., object]) -> Augmentation:
    shares = st.floats(1e-6, 0.9)
    values = {
        "shift": choose(st.integers(0, 100)),
        "flip": choose(st.sampled_from(["none", "random", "alternate"])),
        "cutout": choose(st.integers(0, 100)),
        **{name: choose(st.just(0.0) | shares) for name in ("brightness", "contrast", "scale")},
        "rotate": choose(st.just(0.0) | st.floats(1e-6, 180)),
    }
    if values["shift"] or values["rotate"] or values["scale"]:
        values["padding"] = choose(st.sampled_from(["zero", "reflect"]))
    return Augmentation(**values)


@given(augmentations())
def test_text_and_parse_are_inverse(augmentation: Augmentation) -> None:
    """`text` is read as the same augmentation; nothing at all is `none`."""
    if augmentation == Augmentation():
        assert augmentation.text == "none"
        assert Augmentation.parse("none") is None
    else:
        assert Augmentation.parse(augmentation.text) == augmentation


def test_the_text_is_canonical() -> None:
    """Order, spaces, case and what is so anyway do not matter."""
    assert parsed(" Flip = random ,shift=04 , padding=ZERO,rotate=10.0").text == "flip,shift=4,rotate=10"
    assert parsed(EVERYTHING).text == EVERYTHING


BAD = (
    *("shfit=4", "crop=4", "sparkle", "flip shift=4", "", "flip,", "flip,flip=alternate", "\x1b[31mred"),
    *("shift", "shift=", "shift=0", "shift=-1", "shift=2.5", "shift=1e3", "shift=9999999999", "cutout", "cutout=big"),
    *("flip=4", "flip=alternat", "padding=reflect", "flip,padding=zero", "shift=2,padding=mirror"),
    *("brightness=0", "brightness=1.5", "contrast=1", "contrast=nan", "rotate=181", "rotate=١٠", "scale=0.95"),
    *("scale=inf", "brightness=1e-999", "flip" + "," * 2000),
)


def test_every_example_in_the_documents_is_understood() -> None:
    """What stands behind --augment in a document is parsed; the table of numbers has every element."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}
    examples = [text for page in texts.values() for text in re.findall(r"--augment ([a-z0-9=.,]+)", page)]
    assert len(examples) >= 4
    for text in examples:
        Augmentation.parse(text)
    rows = re.findall(r"^\| ([0-9, ]+) \| `(\w+)` \|", texts["augmentation.md"], re.MULTILINE)
    words = [word for numbers, word in rows for _ in numbers.split(",")]
    assert words == ["shift", "shift", "flip", "cutout", "cutout", *ELEMENTS[5:]]


def test_bad_words_are_refused_with_the_repair(golden: Callable[[str, str], None]) -> None:
    """Every mistake in --augment and what is said, which was read and found good."""
    said = []
    for text in BAD:
        with pytest.raises(RecipeError) as caught:
            Augmentation.parse(text)
        said.append(caught.value.with_flags)
        assert all(letter == "\n" or letter.isprintable() for letter in said[-1])
        assert max(map(len, said[-1].split("\n"))) <= 160
    for text, shape in (("shift=8", (1, 8, 8)), ("cutout=40", (3, 28, 40)), ("flip,shift=1", (1, 1, 30))):
        with pytest.raises(RecipeError) as caught:
            parsed(text).draw(0, 1, np.arange(3), shape)
        said.append(caught.value.with_flags)
    golden("augment.txt", "\n".join(said))


def test_what_is_made_in_python_is_checked_as_well() -> None:
    """The same ranges hold for the values as for the words."""
    for values in ({"shift": -1}, {"rotate": "10"}, {"flip": "yes"}, {"shift": True}, {"padding": "reflect"}):
        with pytest.raises(RecipeError):
            Augmentation(**values)
