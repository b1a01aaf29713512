"""`--test 2/5`: folds are disjoint, cover every image, and are drawn like any other split."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from data_files import pictures, write_npz
from hypothesis import given
from hypothesis import strategies as st

import layerline
from layerline.data import ImageSet, load_data
from layerline.data.folds import Fold
from layerline.data.splitting import GroupsError, Own, Remaining, take
from layerline.errors import DataError
from layerline.numbers.randomness import Purpose

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def folds(labels: NDArray[np.int64], n: int, groups: NDArray[np.int64] | None = None, seed: int = 0) -> list[Remaining]:
    """Return the test sets of all folds; each is checked to be what its training images lack."""
    images = np.zeros((len(labels), 1, 1, 1), np.uint8)
    names = tuple(f"c{k}" for k in range(labels.max() + 1))
    pool = Remaining(ImageSet(images, labels.astype(np.int32), groups=groups), np.arange(len(labels)), names)
    found = []
    for k in range(1, n + 1):
        taken, others = take(pool, Fold(k, n), Purpose.TEST_SPLIT, "test", seed)
        assert sorted([*taken.indices, *others.indices]) == list(range(len(labels)))
        found.append(taken)
    return found


@given(st.integers(2, 8), st.lists(st.integers(0, 40), min_size=2, max_size=6), st.integers(0, 3))
def test_folds_are_a_partition(n, more, seed):
    """Every image is in exactly one of them, their sizes differ by 1 at most, and every class is in every fold."""
    labels = np.repeat(np.arange(len(more)), [n + each for each in more])
    found = folds(np.random.default_rng(seed).permutation(labels), n, seed=seed)
    assert sorted(np.concatenate([fold.indices for fold in found])) == list(range(len(labels)))
    sizes = [len(fold.indices) for fold in found]
    assert max(sizes) - min(sizes) <= 1
    counts = np.array([fold.counts for fold in found])
    assert counts.min() >= 1
    assert (np.ptp(counts, axis=0) <= 2).all()


@given(st.integers(2, 6), st.lists(st.lists(st.integers(1, 12), min_size=6, max_size=15), min_size=2, max_size=4))
def test_folds_of_groups_are_a_partition(n, sizes):
    """Groups stay whole, also where they differ in size and each class has hardly more of them than folds."""
    labels = np.repeat(np.arange(len(sizes)), list(map(sum, sizes)))
    groups = np.repeat(np.arange(sum(map(len, sizes))), [size for each in sizes for size in each])
    found = folds(labels, n, groups)
    assert sorted(np.concatenate([fold.indices for fold in found])) == list(range(len(labels)))
    assert np.array([fold.counts for fold in found]).min() >= 1
    assert sum(len(np.unique(groups[fold.indices])) for fold in found) == len(np.unique(groups))


def test_the_first_fold_is_the_fraction(tmp_path: Path) -> None:
    """`--test 1/5` tests on the images of `--test 0.2`, by key and seed."""
    images, labels = pictures(107, K=3)
    write_npz(tmp_path / "set.npz", x=images, y=labels)
    for seed in (0, 7):
        one, other = (load_data(tmp_path / "set.npz", test=test, seed=seed) for test in ("1/5", 0.2))
        assert one.test is not None
        assert other.test is not None
        assert one.test.indices.tolist() == other.test.indices.tolist()
        assert one.cuts["test"] == "1/5"


@pytest.mark.parametrize("seed", range(3))
def test_images_stay_in_their_fold_when_others_are_added(seed):
    """100 images added to 1,000: of five folds at most a tenth of the images change to another.

    A boundary at the quantile p of n uniform numbers moves by about √(p(1−p)/n · 1/11) ≈ 0.014 for a class of 100; over
    the four boundaries, and with a rounding of half an image each, that is about 6 %.
    """
    labels = np.random.default_rng(seed).integers(0, 10, 1_100)
    before, after = (
        {image: k for k, fold in enumerate(folds(some, 5, seed=seed)) for image in fold.indices.tolist()}
        for some in (labels[:1_000], labels)
    )
    moved = sum(after[image] != k for image, k in before.items())
    assert 0 < moved <= 100


def test_the_seed_draws_them():
    """Another seed makes other folds."""
    labels = np.arange(200) % 2
    one, other = (folds(labels, 4, seed=seed) for seed in (0, 1))
    assert one[0].indices.tolist() != other[0].indices.tolist()


def test_the_test_set_of_the_data_is_left_alone() -> None:
    """The folds of digits are of its training images alone; a note says so, and `Own` takes the test set."""
    data = load_data("digits", test="2/5")
    assert data.test is not None
    assert data.test.indices.max() < 1437
    assert "the data's own test set of 360 images is not used" in " ".join(data.notes)
    own = load_data("digits", test=Own("2/5"))  # type: ignore[arg-type]
    assert own.test is not None
    assert len(own.test) == 360


def test_near_copies_stay_in_one_fold(tmp_path: Path) -> None:
    """Copies are kept together where the data has a test set, too, and no other split is drawn."""
    rng = np.random.default_rng(0)
    x = np.repeat(rng.integers(0, 253, (120, 32, 32)), 2, axis=0) + np.tile([0, 3], 120)[:, None, None]
    y = np.repeat([0, 1], 120)
    own = rng.integers(0, 256, (20, 32, 32), np.uint8)
    write_npz(tmp_path / "set.npz", x_train=x.astype(np.uint8), y_train=y, x_test=own, y_test=np.arange(20) % 2)
    for k in (1, 2, 3):
        data = load_data(tmp_path / "set.npz", test=f"{k}/3", validation="none")
        assert data.cuts["group_by"] == "near"
        assert data.test is not None
        _, counts = np.unique(data.test.indices // 2, return_counts=True)
        assert (counts == 2).all()


@pytest.mark.parametrize(
    ("options", "message", "help_"),
    [
        ({"test": "0/5"}, "--test 0/5: there is no such fold", "use a fold from 1/5 to 5/5"),
        ({"test": "6/5"}, "--test 6/5: there is no such fold", "use a fold from 1/5 to 5/5"),
        ({"test": "2/1"}, "--test 2/1: the number of folds must be from 2 to 100", "for example 2/5"),
        ({"test": "1/1"}, "--test 1/1: the number of folds must be from 2 to 100", "for example 2/5"),
        ({"test": "1/0"}, "--test 1/0: the number of folds must be from 2 to 100", "for example 2/5"),
        ({"test": "-1/5"}, "--test -1/5: must be a fraction between 0 and 1", "None"),
        ({"validation": "1/5"}, "--validation 1/5: only test sets can be folds", "as a fraction it is 0.2"),
        ({"test": "3/9"}, "9 folds: class b has only 4 images; each fold needs at least 1", "at most 4 folds"),
    ],
)
def test_folds_that_there_are_not(options, message, help_):
    """Refused with what there is, also where a fold before it would still have an image of every class."""
    x = np.random.default_rng(0).integers(0, 256, (24, 8, 8), np.uint8)
    y = np.array(["a"] * 20 + ["b"] * 4)
    with pytest.raises(DataError) as error:
        layerline.load_data((x, y), **options)
    in_command = message.replace("--test ", 'test="').replace("--validation ", 'validation="')
    assert error.value.message.startswith(message) or str(error.value).startswith(in_command)
    assert help_ in str(error.value.help)


def test_too_few_groups():
    """A class whose images are in fewer groups than folds cannot be in all of them: which class, and how many."""
    labels, groups = np.repeat([0, 1], 30), np.concatenate([np.arange(30), np.repeat([30, 31, 32], 10)])
    with pytest.raises(GroupsError, match=r"5 folds: the 30 images of class c1 are in only 3 groups"):
        folds(labels, 5, groups)


def test_all_folds_come_from_one_reading(tmp_path: Path) -> None:
    """`folds` gives what loading each one gives, of the same pixels in memory; other test sets have none."""
    images, labels = pictures(60, K=3)
    write_npz(tmp_path / "set.npz", x=images, y=labels)
    data = load_data(tmp_path / "set.npz", test="2/3", seed=3, limit=20)
    for k, fold in enumerate(data.folds(), 1):
        alone = load_data(tmp_path / "set.npz", test=f"{k}/3", seed=3, limit=20)
        assert fold.train.source.images is data.train.source.images
        assert fold.cuts == alone.cuts
        for name, split in alone.splits.items():
            assert fold.splits[name].indices.tolist() == split.indices.tolist()
    with pytest.raises(DataError, match="the test set is not a fold"):
        load_data(tmp_path / "set.npz").folds()
