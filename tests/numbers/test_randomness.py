"""The random numbers: published answers, a second implementation in plain integers, and what statistics demand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from layerline.numbers import randomness
from layerline.numbers.randomness import Purpose

# kat_vectors of Random123 1.14 (D. E. Shaw Research), philox4x32, 10 rounds: counter, key, result.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def plain_philox(counter: tuple[int, ...], key: tuple[int, int]) -> tuple[int, ...]:
    """Return Philox4x32-10 by its definition, one number at a time."""
    L0, R0, L1, R1 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * L0, 0xCD9E8D57 * L1
        L0, R0, L1, R1 = (p1 >> 32) ^ R0 ^ k0, p1 % 2**32, (p0 >> 32) ^ R1 ^ k1, p0 % 2**32
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return L0, R0, L1, R1


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_published_answers(counter, key, result):
    """Philox4x32-10 gives the answers published with it."""
    assert tuple(int(word) for word in randomness.philox(counter, key)) == result
    assert plain_philox(counter, key) == result


def test_counter_and_key_are_packed_as_documented():
    """A number's counter is (element, image, epoch, purpose · 2²⁴ + layer), its key the two halves of the seed."""
    seed, epoch, layer = 0xFEDCBA9876543210, 77, 2**24 - 1
    image = np.array([[0], [3], [2**32 - 1]])
    element = np.array([0, 1, 2**32 - 1])
    numbers = randomness.uint64(seed, Purpose.LIMIT, epoch=epoch, image=image, layer=layer, element=element)
    assert numbers.shape == (3, 3)
    assert numbers.dtype == np.uint64
    for place, number in np.ndenumerate(numbers):
        counter = (int(element[place[1]]), int(image[place[0], 0]), epoch, 5 * 2**24 + layer)
        words = plain_philox(counter, (0x76543210, 0xFEDCBA98))
        assert int(number) == words[0] + 2**32 * words[1]


def test_the_example_in_the_documents():
    """The worked example of docs/conventions.md holds."""
    number = randomness.uint64(1, Purpose.ORDER, epoch=3, image=5)
    assert int(number) == 0x641B65F63A4A8B6E
    assert float(randomness.uniform(1, Purpose.ORDER, epoch=3, image=5)) == (0x641B65F63A4A8B6E >> 11) / 2**53


def test_purposes_keep_their_numbers():
    """The numbers of the purposes are part of every result, and never change."""
    assert {purpose.name: purpose.value for purpose in Purpose} == {
        "INIT": 1,
        "ORDER": 2,
        "TEST_SPLIT": 3,
        "VALIDATION_SPLIT": 4,
        "LIMIT": 5,
        "DROPOUT": 6,
        "AUGMENT": 7,
        "BOOTSTRAP": 8,
        "COMPARE": 9,
    }


@pytest.mark.parametrize("place", [{"seed": -1}, {"seed": 2**64}, {"epoch": 2**32}, {"layer": 2**24}, {"epoch": -1}])
def test_what_does_not_fit_is_refused(place):
    """A seed, epoch or layer that would wrap is refused, so no two places share a number."""
    with pytest.raises(ValueError, match="does not fit"):
        randomness.uint64(**{"seed": 0, "purpose": Purpose.INIT, **place})


@pytest.mark.parametrize("place", ["image", "element"])
@pytest.mark.parametrize("value", [-1, 2**32])
def test_images_and_elements_that_do_not_fit_are_refused(place, value):
    """An image or element outside 0 … 2³²−1 is refused, in an array or alone, so no two places share a number."""
    for given in (value, np.array([0, value, 1])):
        with pytest.raises(ValueError, match="does not fit"):
            randomness.uint64(0, Purpose.INIT, **{place: given})


def test_uniform_is_uniform():
    """10⁶ numbers lie in [0, 1); mean, variance and each of 100 bins are within 5 standard errors."""
    n = 10**6
    u = randomness.uniform(7, Purpose.INIT, layer=3, element=np.arange(n))
    assert u.dtype == np.float64
    assert 0 <= u.min() < u.max() < 1
    assert abs(u.mean() - 1 / 2) < 5 * math.sqrt(1 / 12 / n)
    assert abs(u.var() - 1 / 12) < 5 * math.sqrt(1 / 180 / n)
    bins = np.bincount((u * 100).astype(int), minlength=100)
    assert np.abs(bins - n / 100).max() < 5 * math.sqrt(n * 0.01 * 0.99)


def test_normal_is_normal():
    """Mean, variance, fourth moment and share within one deviation of 10⁶ numbers are right to 5 standard errors."""
    n = 10**6
    z = randomness.normal(7, Purpose.INIT, element=np.arange(n))
    assert np.isfinite(z).all()
    assert abs(z.mean()) < 5 / math.sqrt(n)
    assert abs(z.var() - 1) < 5 * math.sqrt(2 / n)
    assert abs((z**4).mean() - 3) < 5 * math.sqrt(96 / n)
    share = math.erf(1 / math.sqrt(2))
    assert abs((np.abs(z) < 1).mean() - share) < 5 * math.sqrt(share * (1 - share) / n)


def test_epoch_order_is_a_sort_by_the_documented_keys():
    """The order is that of the images' numbers, keyed by the image and not by its place in the list."""
    indices = np.array([9, 2, 5, 40, 41, 7])
    order = randomness.epoch_order(11, 3, indices)
    keys = {int(i): (words := plain_philox((0, int(i), 3, 2 * 2**24), (11, 0)))[0] + 2**32 * words[1] for i in indices}
    assert order.tolist() == sorted(indices.tolist(), key=keys.__getitem__)
    assert order.dtype == np.int64
    np.testing.assert_array_equal(randomness.epoch_order(11, 3, indices[::-1]), order)
    assert randomness.epoch_order(11, 4, indices).tolist() != order.tolist()


def test_equal_images_keep_their_order():
    """An image that stands twice in the list stands twice in the order: every place is visited."""
    order = randomness.epoch_order(0, 1, np.array([3, 1, 3, 1, 1]))
    assert sorted(order.tolist()) == [1, 1, 1, 3, 3]
