"""The vocabulary: grammar, shapes and counts of every layer, by hand and by counting window places one at a time."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_networks import ARGUMENTS

from layerline.layers import LAYERS, Conv, Depthwise, GlobalMaxPool, Layer, Misfit, Pool
from layerline.layers.grammar import OutputCount, Real, Sizes, Whole, YesNo
from layerline.layers.windows import Window


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_is_a_final_frozen_dataclass_whose_fields_are_its_arguments(layer):
    """House rules: final, frozen; and the grammar's argument names are the dataclass's fields, in order."""
    assert layer.__final__
    assert layer.__dataclass_params__.frozen
    assert [field.name for field in dataclasses.fields(layer)] == [a.name for a in layer.word.arguments]


def test_words_and_kinds_are_unique():
    """No two layers share a kind, or a spelling in any case."""
    kinds = [layer.kind for layer in LAYERS]
    spellings = [name.lower() for layer in LAYERS for name in (layer.word.name, *layer.word.spellings)]
    assert len(set(kinds)) == len(kinds)
    assert len(set(spellings)) == len(spellings)


def test_every_argument_can_be_drawn():
    """The generator of random networks knows each argument of the vocabulary, and no other."""
    assert {argument.name for layer in LAYERS for argument in layer.word.arguments} == set(ARGUMENTS)


def test_defaults_in_python_are_those_of_the_file():
    """A dataclass's default is the grammar's default (Pool's stride, which is its window, has none)."""
    for layer in LAYERS:
        for field, argument in zip(dataclasses.fields(layer), layer.word.arguments, strict=True):
            if field.default is not dataclasses.MISSING:
                assert field.default == argument.default


def places(size: int, span: int, stride: int, before: int, after: int) -> int:
    """How many places a window has, by trying every one: its first row from −before, its last inside the padding."""
    return sum(
        1 for first in range(-before, size + after) if (first + before) % stride == 0 and first + span <= size + after
    )


sides = st.integers(1, 9)
pads = st.integers(0, 6)


@given(sides, sides, sides, sides, sides, sides, pads, pads, pads, pads, st.integers(1, 3))
def test_positions_are_those_found_by_trying(H, W, R, S, down, across, top, left, bottom, right, dilation):
    """Relation 6 counts exactly the places that a window has, with any stride, padding and dilation."""
    window = Window((R, S), (down, across), (top, left, bottom, right), (dilation, dilation))
    tall, wide = window.span
    expected = places(H, tall, down, top, bottom), places(W, wide, across, left, right)
    assert window.fits(H, W) == all(expected)
    if all(expected):
        assert window.positions(H, W) == expected


@given(sides, sides, sides, sides, st.integers(1, 3))
def test_padding_same_keeps_the_size_and_pads_the_end_more(H, W, R, S, dilation):
    """padding=same gives the input's size for every kernel; an even one pads one more at the bottom and right."""
    conv = Conv(2, (R, S), padding="same", dilation=(dilation, dilation))
    top, left, bottom, right = conv.window.around(H, W)
    assert conv.output_shape((1, H, W)) == (2, H, W)
    assert (bottom - top, right - left) == ((R - 1) * dilation % 2, (S - 1) * dilation % 2)


@given(sides, sides, sides, sides, sides, sides)
def test_padding_same_with_a_stride_is_the_least_that_keeps_every_point(H, W, R, S, down, across):
    """padding=same has ⌈n / stride⌉ places, with no more padding than that needs, of which the end gets the odd one."""
    window = Window((R, S), (down, across), None)
    assert Pool((R, S), (down, across), "same").output_shape((3, H, W)) == (3, -(-H // down), -(-W // across))
    top, left, bottom, right = window.around(H, W)
    for n, k, stride, before, after in ((H, R, down, top, bottom), (W, S, across, left, right)):
        needed = next(total for total in range(99) if places(n, k, stride, 0, total) >= -(-n // stride))
        assert (before, after) == (needed // 2, needed - needed // 2)


@pytest.mark.parametrize(
    ("layer", "arrives", "shape", "multiply_adds", "parameters"),
    [
        (Conv(6, (5, 5), padding=(2, 2)), (1, 28, 28), (6, 28, 28), 6 * 784 * 25, 156),
        (Conv(8, (3, 5), (2, 3), groups=4, bias=False), (4, 11, 20), (8, 5, 6), 8 * 30 * 15, 8 * 15),
        (Conv(3, (1, 1)), (5, 1, 1), (3, 1, 1), 15, 18),
        (Depthwise((3, 3), (2, 2), (1, 1)), (5, 7, 8), (5, 4, 4), 5 * 16 * 9, 50),
        (Depthwise((3, 3), (2, 2), "same", 3, bias=False), (5, 7, 8), (15, 4, 4), 15 * 16 * 9, 135),
        (GlobalMaxPool(), (4, 8, 7), (4, 1, 1), 0, 0),
        (Pool((3, 3), (2, 2)), (4, 8, 7), (4, 3, 3), 0, 0),
        (Pool((2, 2), (2, 2), (1, 1)), (4, 7, 8), (4, 4, 5), 0, 0),
    ],
)
def test_shapes_and_counts_by_hand(layer, arrives, shape, multiply_adds, parameters):
    """Output shape, multiply-adds and parameters of layers worked out on paper."""
    assert layer.output_shape(arrives) == shape
    assert layer.multiply_adds(arrives) == multiply_adds
    assert sum(weight.size for weight in layer.weights(arrives)) == parameters


def test_the_repair_in_a_message_repairs():
    """What a message says of kernels and padding is enough, and not more than needed."""
    for H, W, R, S, padding, dilation in [
        (12, 12, 13, 13, 0, 1),
        (5, 9, 8, 3, 1, 1),
        (7, 7, 4, 4, 0, 3),
        (1, 1, 9, 2, 0, 2),
    ]:
        conv = Conv(1, (R, S), padding=(padding, padding), dilation=(dilation, dilation))
        with pytest.raises(Misfit) as caught:
            conv.output_shape((1, H, W))
        kernel, pads = (text.split()[-1] for text in caught.value.help.split(" or "))
        kernel, pads = Sizes().read("kernel", kernel), Sizes(low=0).read("padding", pads)
        dataclasses.replace(conv, kernel=kernel).output_shape((1, H, W))
        dataclasses.replace(conv, padding=pads).output_shape((1, H, W))
        for axis in (0, 1):
            if kernel[axis] < conv.kernel[axis]:
                more = tuple(k + (a == axis) for a, k in enumerate(kernel))
                with pytest.raises(Misfit):
                    dataclasses.replace(conv, kernel=more).output_shape((1, H, W))
            if pads[axis] > padding:
                less = tuple(p - (a == axis) for a, p in enumerate(pads))
                with pytest.raises(Misfit):
                    dataclasses.replace(conv, padding=less).output_shape((1, H, W))


@given(st.floats(0, 1))
def test_a_decimal_number_is_written_so_that_it_reads_the_same(number):
    """Writing and reading a float64 gives the same float64."""
    kind = Real(0, 1)
    assert kind.read("p", kind.write(number)) == number


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Whole(), "1_000"),
        (Whole(), "+5"),
        (Whole(), "0x10"),
        (Whole(), " 5"),
        (Whole(), "٥"),
        (Whole(), "５"),
        (Whole(), "1e3"),
        (Whole(), ""),
        (Whole(), "9" * 10_000),
        (Whole(), "-" + "9" * 10_000),
        (Sizes(), "3x"),
        (Sizes(), "x3"),
        (Sizes(), "3x3x3"),
        (Sizes(), "3*3"),
        (Sizes(), "same"),
        (Sizes(), "3x" + "9" * 10_000),
        (Real(0, 1), "inf"),
        (Real(0, 1), "nan"),
        (Real(0, 1), "1e999"),
        (Real(0, 1), "0_1"),
        (Real(0, 1), "½"),
        (Real(0, 1, open_high=True), "1.0"),
        (Real(0, 1, open_low=True), "0"),
        (Real(0, 1, open_low=True), "1e-999"),
        (YesNo(), "maybe"),
        (OutputCount(), "0"),
        (OutputCount(), "class"),
    ],
)
def test_what_is_not_a_plain_number_in_range_is_refused(kind, text):
    """Only ASCII digits in range are numbers; a number of any length is refused, and the message stays short."""
    with pytest.raises(Misfit) as caught:
        kind.read("it", text)
    assert caught.value.reason.startswith("it must be ")
    assert len(caught.value.reason) < 140


@pytest.mark.parametrize("text", ["3", "3x3", "3X3", "3×3"])
def test_a_height_and_a_width_may_be_written_in_several_ways(text):
    assert Sizes().read("kernel", text) == (3, 3)


def test_a_layer_cannot_be_made_without_its_shape_rule():
    """Layer is abstract: one that does not say its output's shape cannot be made."""

    class Half(Layer):
        pass

    with pytest.raises(TypeError):
        Half()
