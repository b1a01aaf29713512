"""What is said of two models on the same images, and of one recipe with several seeds: the figures."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sklearn_metrics

from layerline.comparison import paired
from layerline.comparison.paired import Difference
from layerline.measure import student
from layerline.numbers.randomness import Purpose, uniform

PUBLISHED = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 9: 2.262, 10: 2.228, 29: 2.045, 120: 1.980}
"""The 97.5 % quantiles of t as textbooks print them."""


def test_quantiles_are_the_printed_ones() -> None:
    """The 97.5 % quantiles agree with the printed table to its three decimals, and end at the normal's 1.95996."""
    assert {nu: round(student.quantile(0.975, nu), 3) for nu in PUBLISHED} == PUBLISHED
    assert student.quantile(0.975, 1) == pytest.approx(math.tan(math.pi * 0.475), rel=1e-12)
    assert student.quantile(0.975, 200_000) == pytest.approx(1.959964, abs=2e-5)
    assert student.quantile(0.5, 3) == pytest.approx(0, abs=1e-12)
    for p, nu in ((0.4, 3), (1.0, 3), (0.9, 0), (math.nan, 3)):
        with pytest.raises(ValueError, match="no quantile"):
            student.quantile(p, nu)


def test_quantiles_are_scipy_s() -> None:
    """So do other probabilities and degrees of freedom, to ten digits."""
    for nu in (1, 2, 3, 4, 7, 30, 99, 1000):
        for p in (0.6, 0.9, 0.975, 0.9995):
            assert student.quantile(p, nu) == pytest.approx(stats.t.ppf(p, nu), rel=1e-10)


def test_the_mean_of_runs_has_student_s_interval() -> None:
    """Worked by hand: 1, 2, 3 have mean 2, s = 1, and 2 ± 4.3027 / √3; one value has no interval."""
    mean = student.mean_of([1.0, 2.0, 3.0])
    assert (mean.mean, mean.deviation) == (2.0, 1.0)
    assert mean.low == pytest.approx(2 - 4.302653 / math.sqrt(3), abs=1e-6)
    assert mean.high == pytest.approx(2 + 4.302653 / math.sqrt(3), abs=1e-6)
    assert student.mean_of([0.5]) == student.Mean((0.5,), 0.5, None, None, None)


def test_the_interval_covers_the_truth_in_19_of_20() -> None:
    """Of 4,000 intervals of five normal values 95 % hold the mean they were drawn around, within four deviations."""
    drawn = np.random.default_rng(5).normal(3.0, 0.7, (4000, 5))
    held = [mean.low < 3.0 < mean.high for mean in map(student.mean_of, drawn.tolist()) if mean.low and mean.high]
    assert abs(np.mean(held) - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 4000)


@given(st.integers(0, 150), st.integers(0, 150))
def test_mcnemar_is_the_binomial_tail(only_a: int, only_b: int) -> None:
    """p is twice the smaller tail of a fair coin, added exactly; the order of the two does not matter."""
    n, m = only_a + only_b, min(only_a, only_b)
    tail = sum(Fraction(math.comb(n, k), 2**n) for k in range(m + 1))
    assert paired.mcnemar(only_a, only_b) == pytest.approx(float(min(Fraction(1), 2 * tail)), rel=1e-11)
    assert paired.mcnemar(only_a, only_b) == paired.mcnemar(only_b, only_a)


def test_mcnemar_is_scipy_s() -> None:
    """So it is for many images: the tail neither vanishes nor overflows."""
    for only_a, only_b in ((0, 0), (0, 5), (0, 6), (49_700, 50_300), (400, 700), (0, 2000), (123_456, 123_456)):
        n = only_a + only_b
        expected = stats.binomtest(only_a, n, 0.5).pvalue if n else 1.0
        assert paired.mcnemar(only_a, only_b) == pytest.approx(expected, rel=1e-9, abs=1e-320)


def test_six_discordant_images_are_the_fewest_that_show_anything() -> None:
    """Five on one side and none on the other are not shown, six are."""
    assert paired.mcnemar(0, 5) == pytest.approx(0.0625)
    assert paired.mcnemar(6, 7) == 1
    assert paired.mcnemar(0, 6) == pytest.approx(0.03125)


@pytest.mark.parametrize(("shares", "N"), [((0.90, 0.06, 0.04), 300), ((0.55, 0.15, 0.30), 80)])
def test_the_accuracy_s_interval_covers_the_truth(shares: tuple[float, float, float], N: int) -> None:
    """Of 4,000 tests drawn with known shares, at least 94 % of the intervals hold the true difference."""
    drawn = np.random.default_rng(1).multinomial(N, shares, 4000)
    true = shares[2] - shares[1]
    found = [paired.accuracy_difference(N, int(a), int(b)) for _, a, b in drawn]
    assert np.mean([each.low <= true <= each.high for each in found]) > 0.94
    assert np.mean([each.value for each in found]) == pytest.approx(true, abs=0.01)


def test_the_accuracy_s_interval_is_never_empty() -> None:
    """Where both are right of the same images it still has a width: 3.9 over N + 2; it ends at −1 and 1."""
    even = paired.accuracy_difference(100, 0, 0)
    assert (even.value, even.high) == (0.0, pytest.approx(1.959964 / 102))
    assert not even.significant
    assert paired.accuracy_difference(3, 0, 3).high == 1.0


def test_as_many_images_as_needed_show_it_in_8_of_10() -> None:
    """With the number that `images_needed` gives, 4,000 tests drawn with these shares are shown in about 80 %."""
    N, only_a, only_b = 1000, 30, 40
    needed = paired.images_needed(N, only_a, only_b)
    assert needed is not None
    assert needed > N
    drawn = np.random.default_rng(2).multinomial(needed, (0.93, 0.03, 0.04), 4000)
    shown = [paired.mcnemar(int(a), int(b)) < 0.05 for _, a, b in drawn]
    assert 0.77 < np.mean(shown) < 0.83
    assert paired.images_needed(N, 7, 7) is None
    assert paired.images_needed(5, 0, 5) == 6


def predictions(N: int, K: int, seed: int, right: float = 0.7) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, K, N)
    a, b = (np.where(rng.random(N) < share, truth, rng.integers(0, K, N)) for share in (right, right + 0.1))
    return truth, a, b


def f1(truth: np.ndarray, said: np.ndarray) -> float:
    return float(sklearn_metrics.f1_score(truth, said, average="macro", zero_division=0))


def test_the_bootstrap_of_macro_f1_is_what_it_says() -> None:
    """Each draw takes image ⌊N u⌋ with the documented numbers; scikit-learn gives the same quantiles of F1."""
    truth, a, b = predictions(60, 4, 0)
    differences = []
    for draw in range(50):
        taken = (uniform(9, Purpose.COMPARE, image=draw, element=np.arange(60)) * 60).astype(int)
        differences.append(f1(truth[taken], b[taken]) - f1(truth[taken], a[taken]))
    low, high = np.quantile(differences, [0.025, 0.975])
    found = paired.macro_f1_difference(truth, a, b, 4, seed=9, draws=50)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-12), pytest.approx(high, abs=1e-12))
    assert found.value == pytest.approx(f1(truth, b) - f1(truth, a), abs=1e-12)


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_the_permutation_test_of_macro_f1_is_what_it_says(seed: int) -> None:
    """Each draw exchanges what the two say of the images with u < ½; scikit-learn counts the same draws as large."""
    truth, a, b = predictions(40, 3, 4)
    real, as_large = f1(truth, b) - f1(truth, a), 0
    for draw in range(150):
        swap = uniform(seed, Purpose.COMPARE, epoch=1, image=draw, element=np.arange(40)) < 0.5
        exchanged = f1(truth, np.where(swap, a, b)) - f1(truth, np.where(swap, b, a))
        as_large += abs(exchanged) >= abs(real) - 1e-12
    found = paired.macro_f1_difference(truth, a, b, 3, seed=seed, draws=150)
    assert found.p == (1 + as_large) / 151
    assert 0.02 < found.p < 0.98


def test_four_images_show_nothing() -> None:
    """Where four of 300 images tell A from B, the bootstrap leaves out 0, and still nothing is shown."""
    truth = np.arange(300) % 3
    a = np.where(np.arange(300) < 270, truth, (truth + 1) % 3)
    b = np.where(np.arange(300) < 4, (truth + 1) % 3, a)
    found = paired.paired(truth, a, b, 3)
    assert found.accuracy.p == 0.125
    assert found.macro_f1.high < 0
    assert found.macro_f1.p == pytest.approx(0.125, abs=0.03)
    assert not found.macro_f1.significant


def test_equal_models_are_told_apart_in_one_of_twenty() -> None:
    """Of 400 pairs of equally good models with a rare class, at most 7.5 % are shown to differ in macro F1."""
    shown = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        truth = (rng.random(150) < 0.1).astype(np.int64)
        a, b = (np.where(rng.random(150) < 0.85, truth, 1 - truth) for _ in range(2))
        shown += paired.macro_f1_difference(truth, a, b, 2, draws=200).significant
    assert 0.01 < shown / 400 < 0.075


def test_classes_that_do_not_occur_are_left_out_of_macro_f1() -> None:
    """With 10 classes of which 3 occur the difference is that of the 3."""
    truth, a, b = predictions(50, 3, 1)
    ten, three = (paired.macro_f1_difference(truth, a, b, K, draws=20) for K in (10, 3))
    assert ten == three


def test_two_models_in_all() -> None:
    """Every figure of `paired` agrees with counting by hand; equal models differ by nothing, and p is 1."""
    truth, a, b = predictions(400, 5, 3)
    found = paired.paired(truth, a, b, 5, draws=100)
    assert found.only_a == sum(x == t != y for t, x, y in zip(truth, a, b, strict=True))
    assert found.only_b == sum(y == t != x for t, x, y in zip(truth, a, b, strict=True))
    assert found.alike == sum(x == y for x, y in zip(a, b, strict=True))
    assert found.accuracy.value == pytest.approx(found.b.accuracy - found.a.accuracy)
    assert found.accuracy.significant == (found.needed is None)
    same = paired.paired(truth, a, a, 5, draws=100)
    assert (same.only_a, same.only_b, same.alike, same.accuracy.p, same.needed) == (0, 0, 400, 1.0, None)
    assert same.macro_f1 == Difference(0.0, 0.0, 0.0, 1.0)
    assert paired.paired(truth[:1], a[:1], b[:1], 5, draws=10).images == 1
