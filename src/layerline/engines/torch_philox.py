"""Philox4x32-10 in tensors: the numbers of `numbers.randomness`, bit for bit, computed on the device.

PyTorch has no unsigned 64-bit arithmetic on every device, so a product of two 32-bit words is put together from halves
of 16 bits: no intermediate value exceeds 2⁴⁹, and int64 is exact.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import torch

from layerline.numbers.randomness import ROUNDS, Purpose

if TYPE_CHECKING:
    from collections.abc import Sequence

_MULTIPLIERS: Final = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS: Final = (0x9E3779B9, 0xBB67AE85)
_LOW: Final = 0xFFFFFFFF
_HALF: Final = 0xFFFF
_LANES: Final = 16
"""Elements that use the same word of consecutive blocks: see `randomness.dropout_keep`."""


Word = torch.Tensor | int
"""A 32-bit word: the same for all numbers (an int, which is never copied to the device), or one each (int64)."""


def philox(counter: Sequence[Word], key: tuple[int, int]) -> list[Any]:
    """Return the four 32-bit words (in int64) for a counter of four words, which broadcast."""
    words, keys = list(counter), list(key)
    for number in range(ROUNDS):
        if number:
            keys = [(k + step) & _LOW for k, step in zip(keys, _KEY_STEPS, strict=True)]
        (high0, low0), (high1, low1) = _product(words[0], _MULTIPLIERS[0]), _product(words[2], _MULTIPLIERS[1])
        words = [high1 ^ words[1] ^ keys[0], low1, high0 ^ words[3] ^ keys[1], low0]
    return words


def _product(word: Word, m: int) -> tuple[Any, Any]:
    """Return the upper and lower 32 bits of a word's product with m."""
    lower, upper = (word & _HALF) * m, (word >> 16) * m
    middle = upper + (lower >> 16)
    return middle >> 16, ((middle & _HALF) << 16) | (lower & _HALF)


def dropout_keep(
    seed: int, epoch: int, images: torch.Tensor, layer: int, shape: tuple[int, ...], p: float
) -> torch.Tensor:
    """Return `randomness.dropout_keep` on the device of `images` (int64): bool (len(images), *shape)."""
    C, H, W = shape if len(shape) == 3 else (shape[0], 1, 1)
    E, device = C * H * W, images.device
    groups = math.ceil(E / (4 * _LANES))
    element = torch.arange(groups * _LANES, device=device).view(1, groups, _LANES)
    counter = (element, images.view(-1, 1, 1), epoch, (Purpose.DROPOUT << 24) | layer)
    words = philox(counter, (seed & _LOW, seed >> 32))
    drawn = torch.stack(words, 2).flatten(1)[:, :E]  # word 0 of 16 elements, then word 1 of the next 16, …
    kept = (drawn >= min(round(p * 2**32), _LOW)).view(-1, H, W, C).permute(0, 3, 1, 2)
    return kept.reshape(len(images), *shape)
