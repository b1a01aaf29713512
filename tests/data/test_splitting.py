"""The cuts: in proportion, by the image and the seed, in their order, and nothing twice."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from data_files import pictures, write_npz
from hypothesis import given
from hypothesis import strategies as st

from layerline.data import ImageSet, load_data
from layerline.data.quotas import proportional
from layerline.data.splitting import Remaining, limit, take
from layerline.errors import DataError
from layerline.numbers.randomness import Purpose, uint64


def pool(labels) -> Remaining:
    """Return a pool of images of one pixel with these labels."""
    labels = np.asarray(labels, np.int32)
    images = np.zeros((len(labels), 1, 1, 1), np.uint8)
    names = tuple(f"c{k}" for k in range(labels.max() + 1))
    return Remaining(ImageSet(images, labels), np.arange(len(labels)), names)


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=12), st.data())
def test_quotas_are_in_proportion(counts, data):
    """Quotas add up to the total and differ from the exact share by less than 1, but where a class would have none."""
    total = data.draw(st.integers(len(counts), sum(counts))) if sum(counts) >= len(counts) else sum(counts)
    quotas = proportional(counts, total)
    assert sum(quotas) == total
    assert all(1 <= quota <= count for quota, count in zip(quotas, counts, strict=True))
    exact = [Fraction(total * count, sum(counts)) for count in counts]
    if min(exact) >= 1:
        assert all(abs(quota - share) < 1 for quota, share in zip(quotas, exact, strict=True))


def test_largest_remainders_get_what_is_left():
    """7 of 10, 20 and 30: the exact shares 1.17, 2.33 and 3.5 become 1, 2 and 4."""
    assert proportional([10, 20, 30], 7) == [1, 2, 4]
    assert proportional([5, 5, 5], 7) == [3, 2, 2]
    assert proportional([1000, 1], 10) == [9, 1]


def test_a_share_takes_the_smallest_numbers_of_each_class():
    """Of each class those images are taken whose random number at (seed, purpose, image) is smallest."""
    everything = pool(np.arange(60) % 3)
    taken, left = take(everything, 0.2, Purpose.TEST_SPLIT, "test", 5)
    keys = uint64(5, Purpose.TEST_SPLIT, image=np.arange(60))
    expected = sorted(i for k in range(3) for i in sorted(range(k, 60, 3), key=keys.__getitem__)[:4])
    assert taken.indices.tolist() == expected
    assert sorted([*taken.indices, *left.indices]) == list(range(60))


def test_each_cut_has_its_own_numbers(tmp_path):
    """Test, validation and limit are drawn for their own purposes, each from what is left."""
    images, labels = pictures(60, K=2)
    write_npz(tmp_path / "set.npz", x=images, y=labels)
    data = load_data(tmp_path / "set.npz", test=10, validation=10, limit=10, seed=9)
    left = set(range(60))
    for split, purpose in zip((data.test, data.validation, data.train), (3, 4, 5), strict=True):
        keys = uint64(9, Purpose(purpose), image=np.arange(60))
        expected = [i for k in (0, 1) for i in sorted((i for i in left if i % 2 == k), key=keys.__getitem__)[:5]]
        assert split.indices.tolist() == sorted(expected)
        left -= set(expected)


@pytest.mark.parametrize("seed", range(5))
def test_images_stay_where_they_are_when_others_are_added(seed):
    """1,000 images added to 10,000: of the 1,500 test images at most 5 % leave the test set.

    The 15 % quantile of n uniform numbers of a class has deviation √(p(1−p)/n); adding a tenth moves it by about
    √(p(1−p)/n · 1/11) ≈ 0.0034 for n = 1,000, so that of ten classes about 0.4 · 0.0034/0.15 ≈ 1 % leave.
    """
    labels = np.random.default_rng(seed).integers(0, 10, 11_000)
    before, _ = take(pool(labels[:10_000]), 0.15, Purpose.TEST_SPLIT, "test", seed)
    after, _ = take(pool(labels), 0.15, Purpose.TEST_SPLIT, "test", seed)
    gone = np.setdiff1d(before.indices, after.indices)
    assert len(before.indices) == 1500
    assert 0 < len(gone) <= 75


def test_seeds_and_purposes_draw_differently():
    """Another seed, or another purpose, takes other images."""
    everything = pool(np.arange(300) % 3)
    draws = [
        take(everything, 60, purpose, "test", seed)[0].indices.tolist()
        for purpose in (Purpose.TEST_SPLIT, Purpose.VALIDATION_SPLIT)
        for seed in (0, 1, 2**64 - 1)
    ]
    assert len({tuple(draw) for draw in draws}) == 6


def test_a_smaller_limit_is_part_of_a_larger_one():
    """Where the classes are alike, 30 images are among the 60 of a larger limit; too large a limit is all."""
    everything = pool(np.arange(300) % 3)
    few, more = limit(everything, 30, 1), limit(everything, 60, 1)
    assert set(few.indices) < set(more.indices)
    assert limit(everything, 301, 1) is everything


def test_the_order_of_the_cuts(tmp_path):
    """Classes, then test, then validation, then limit: each takes its share of what the one before leaves."""
    images, labels = pictures(400, K=4)
    write_npz(tmp_path / "set.npz", x=images, y=labels)
    data = load_data(tmp_path / "set.npz", classes="3,1", test=0.25, validation=0.2, limit=20, seed=3)
    assert data.classes == ("1", "3")
    assert (len(data.test), len(data.validation), len(data.train)) == (50, 30, 20)
    for split in (data.test, data.validation, data.train):
        np.testing.assert_array_equal(split.labels, labels[split.indices] // 2)
        assert set(labels[split.indices].tolist()) == {1, 3}
        assert np.all(np.diff(split.indices) > 0)
        assert np.bincount(split.labels).tolist() == [len(split) // 2] * 2
    everyone = np.concatenate([split.indices for split in (data.test, data.validation, data.train)])
    assert len(set(everyone.tolist())) == 100
    assert data.train.source.images is data.test.source.images
    unlimited = load_data(tmp_path / "set.npz", classes="3,1", test=0.25, validation=0.2, seed=3)
    np.testing.assert_array_equal(unlimited.test.indices, data.test.indices)
    np.testing.assert_array_equal(unlimited.validation.indices, data.validation.indices)
    assert len(unlimited.train) == 120
    assert set(data.train.indices) < set(unlimited.train.indices)
    assert data.cuts == {"classes": ("1", "3"), "test": 0.25, "validation": 0.2, "limit": 20, "normalize": "max"}


def test_classes_go_by_name_then_by_number(tmp_path):
    """A word is a class's name if it can be, else its number; classes keep the data's order."""
    images, labels = pictures(40, K=4)
    write_npz(tmp_path / "set.npz", x=images, y=np.array(["cat", "dog", "emu", "1"])[labels])
    assert load_data(tmp_path / "set.npz").classes == ("1", "cat", "dog", "emu")
    assert load_data(tmp_path / "set.npz", classes=("emu", 1)).classes == ("1", "emu")
    assert load_data(tmp_path / "set.npz", classes=" dog , 1").classes == ("1", "dog")
    assert load_data(tmp_path / "set.npz", classes=[3, "2"]).classes == ("dog", "emu")


def test_a_number_is_never_a_position_among_numbers(tmp_path):
    """Where the classes are called 1, 2 and 3, `1,2` means these two; 0, which none is called, is refused."""
    images, labels = pictures(60)
    write_npz(tmp_path / "set.npz", x=images, y=labels + 1)
    assert load_data(tmp_path / "set.npz", classes="1,2").classes == ("1", "2")
    with pytest.raises(DataError, match="classes=0: not a class"):
        load_data(tmp_path / "set.npz", classes="0,2")


def test_numbers_may_be_numpy_s():
    """NumPy's numbers cut as Python's do, and `cuts` holds Python's, which any file can hold."""
    plain = load_data("digits", validation=0.25, limit=100, seed=3)
    numpy = load_data("digits", validation=np.float32(0.25), limit=np.int64(100), seed=np.uint64(3))
    np.testing.assert_array_equal(plain.train.indices, numpy.train.indices)
    assert {name: type(value) for name, value in numpy.cuts.items()} == {
        "validation": float,
        "limit": int,
        "normalize": str,
    }


def test_defaults_are_written_out(tmp_path):
    """Without options 15 % are for the test and 10 % of the rest for validation; `cuts` makes the same cuts again."""
    images, labels = pictures(1000, K=5)
    write_npz(tmp_path / "set.npz", x=images, y=labels)
    data = load_data(tmp_path / "set.npz")
    assert (len(data.test), len(data.validation), len(data.train)) == (150, 85, 765)
    assert data.cuts == {"test": 0.15, "validation": 0.1, "normalize": "max"}
    again = load_data(tmp_path / "set.npz", **data.cuts)
    np.testing.assert_array_equal(data.train.indices, again.train.indices)


def test_a_whole_number_is_a_number_of_images(tmp_path):
    """--test 30 and --validation 20.0 take 30 and 20 images; `none` takes none."""
    images, labels = pictures(100, K=4)
    write_npz(tmp_path / "set.npz", x=images, y=labels)
    data = load_data(tmp_path / "set.npz", test=30, validation=20.0)
    assert (len(data.test), len(data.validation), len(data.train)) == (30, 20, 50)
    assert repr(data.cuts["validation"]) == "20"
    none = load_data(tmp_path / "set.npz", test="none", validation="none")
    assert (none.test, none.validation, len(none.train)) == (None, None, 100)


def test_every_class_is_in_every_set(tmp_path):
    """A class of three images has one in each set, however small the shares are."""
    images, labels = pictures(500, K=2)
    labels[:3] = 2
    write_npz(tmp_path / "set.npz", x=images, y=labels)
    data = load_data(tmp_path / "set.npz", test=0.01, validation=0.01, limit=3)
    for split in (data.test, data.validation, data.train):
        assert set(split.labels.tolist()) == {0, 1, 2}
