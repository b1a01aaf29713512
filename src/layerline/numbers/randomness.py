"""Random numbers: one documented generator, Philox4x32-10, keyed by the purpose of a number, never by time or thread.

Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", §3.3 and table 2. A number is a pure
function of (seed, purpose, epoch, image, layer, element), so that every engine draws the same ones in any order:

    key      (seed mod 2³², seed div 2³²)
    counter  (element, image, epoch, purpose · 2²⁴ + layer)      each word below 2³², layer below 2²⁴
    number   word 0 + 2³² · word 1 of the result
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

ROUNDS: Final = 10
_MULTIPLIERS: Final = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_KEY_STEPS: Final = (np.uint64(0x9E3779B9), np.uint64(0xBB67AE85))
_LOW: Final = np.uint64(0xFFFFFFFF)
_HALF: Final = np.uint64(32)


class Purpose(enum.IntEnum):
    """The purpose of a random number; its code is never changed or reused, because all results depend on it."""

    INIT = 1
    ORDER = 2
    TEST_SPLIT = 3
    VALIDATION_SPLIT = 4
    LIMIT = 5
    DROPOUT = 6
    AUGMENT = 7
    BOOTSTRAP = 8
    COMPARE = 9


def philox(counter: tuple[ArrayLike, ...], key: tuple[int, int]) -> tuple[NDArray[np.uint64], ...]:
    """Return the four 32-bit words (in uint64) of Philox4x32-10 for a counter of four words, which broadcast."""
    words = [np.asarray(word, np.uint64) & _LOW for word in counter]
    keys = [np.uint64(key[0]), np.uint64(key[1])]
    for number in range(ROUNDS):
        if number:
            keys = [(k + step) & _LOW for k, step in zip(keys, _KEY_STEPS, strict=True)]
        first, second = (m * w for m, w in zip(_MULTIPLIERS, (words[0], words[2]), strict=True))
        words = [
            (second >> _HALF) ^ words[1] ^ keys[0],
            second & _LOW,
            (first >> _HALF) ^ words[3] ^ keys[1],
            first & _LOW,
        ]
    return tuple(words)


def _words(
    seed: int, purpose: Purpose, epoch: int, image: ArrayLike, layer: int, element: ArrayLike
) -> tuple[NDArray[np.uint64], ...]:
    if not 0 <= seed < 2**64 or not 0 <= epoch < 2**32 or not 0 <= layer < 2**24:
        raise ValueError(f"seed {seed}, epoch {epoch} or layer {layer} does not fit in the counter")
    for name, given in (("image", image), ("element", element)):
        numbers = np.asarray(given)
        if numbers.size and (numbers.min() < 0 or numbers.max() >= 2**32):
            raise ValueError(f"the {name} {numbers.min()} or {numbers.max()} does not fit in the counter")
    return philox((element, image, epoch, (purpose << 24) | layer), (seed & 0xFFFFFFFF, seed >> 32))


def uint64(
    seed: int, purpose: Purpose, *, epoch: int = 0, image: ArrayLike = 0, layer: int = 0, element: ArrayLike = 0
) -> NDArray[np.uint64]:
    """Return random 64-bit numbers, one for each image and element (the two broadcast)."""
    words = _words(seed, purpose, epoch, image, layer, element)
    return words[0] | words[1] << _HALF


def uniform(seed: int, purpose: Purpose, **place: Any) -> NDArray[np.float64]:
    """Return numbers in [0, 1), float64: the upper 53 bits of `uint64` times 2⁻⁵³."""
    return np.asarray((uint64(seed, purpose, **place) >> np.uint64(11)) * 2.0**-53, np.float64)


def normal(
    seed: int, purpose: Purpose, *, epoch: int = 0, image: ArrayLike = 0, layer: int = 0, element: ArrayLike = 0
) -> NDArray[np.float64]:
    """Return standard normal numbers, float64, by Box and Muller: √(−2 ln u) · cos 2πv.

    u and v are the upper 53 bits of words 0 and 1, and of words 2 and 3, in steps of 2⁻⁵³; u is half a step more.
    """
    words = _words(seed, purpose, epoch, image, layer, element)
    u, v = ((low | high << _HALF) >> np.uint64(11) for low, high in (words[:2], words[2:]))
    return np.asarray(np.sqrt(-2 * np.log((u + 0.5) * 2.0**-53)) * np.cos(2 * np.pi * (v * 2.0**-53)))


def epoch_order(seed: int, epoch: int, indices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return `indices` in the order of an epoch: a stable sort by (seed, ORDER, epoch, image)'s 64-bit numbers."""
    keys = uint64(seed, Purpose.ORDER, epoch=epoch, image=indices)
    return np.asarray(indices[np.argsort(keys, kind="stable")], np.int64)


def dropout_keep(
    seed: int, epoch: int, images: NDArray[np.int64], layer: int, shape: tuple[int, ...], p: float
) -> NDArray[np.bool_]:
    """Return which elements Dropout keeps: bool (len(images), *shape), shape (C, H, W) or (K,).

    Elements e of an image are counted in the order H, W, C. Element e uses word (e // 16) mod 4 of the block of four
    words (e // 64) · 16 + e mod 16, so that a vector of counters yields four vectors of neighbors. It is kept if the
    word is at least p · 2³².
    """
    C, H, W = shape if len(shape) == 3 else (shape[0], 1, 1)
    e = np.arange(C * H * W)
    words = _words(seed, Purpose.DROPOUT, epoch, images[:, None], layer, e // 64 * 16 + e % 16)
    chosen = np.choose(e // 16 % 4, words)
    kept = (chosen >= min(round(p * 2**32), 2**32 - 1)).reshape(len(images), H, W, C).transpose(0, 3, 1, 2)
    return np.asarray(kept.reshape(len(images), *shape))
