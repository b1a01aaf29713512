"""What kernels on 8-bit values compute, in NumPy's integers; as in `kernel_definitions`, `k` is the kernel.

`beside` is what an image has in its border: its zero point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from kernel_definitions import patches

if TYPE_CHECKING:
    from kernel_definitions import Array, Results

HEAD = 3


def value(t: Array, a: Array, factor: Array) -> Array:
    """q = min(max(⌊(a · M + 2³¹) / 2³²⌋ + z, low), high); a is a sum of 32 bits."""
    assert (np.abs(a) < 2**31).all()
    zero, low, high = (int(number) for number in t[:HEAD])
    rounded = (np.asarray(a, np.int64) * np.asarray(factor, np.int64) + 2**31) >> 32
    return np.clip(rounded + zero, low, high).astype(np.int8)


def sums(k: Any, x8: Array, w8: Array, beside: int) -> Array:
    """Σ w[o, c, r, s] · x[c, p·sh + r·dh, q·sw + s·dw], group by group."""
    s = k.shape
    x = np.round(patches(s, x8.astype(np.float64), beside)).astype(np.int64)
    groups = zip(np.split(x, s.groups, 1), np.split(w8.astype(np.int64), s.groups), strict=True)
    return np.concatenate([np.einsum("ncpqrs,ocrs->nopq", *group) for group in groups], 1)


def of_filters(t: Array, filters: int) -> tuple[Array, Array]:
    """Return b and M, to be added to and multiplied with (n, o, p, q)."""
    b, factor = np.split(t[HEAD : HEAD + 2 * filters].astype(np.int64), 2)
    return b[:, None, None], factor[:, None, None]


def conv(k: Any, x8: Array, w8: Array, t: Array, beside: int = 0) -> Results:
    """The values of the sums, or of the largest of each window."""
    b, factor = of_filters(t, k.shape.filters)
    a, (i, j), (P, Q) = sums(k, x8, w8, beside) + b, k.pool, (k.y.height, k.y.width)
    a = a[:, :, : P * i, : Q * j].reshape(len(a), -1, P, i, Q, j).max((3, 5))
    return {"y8": value(t, a, factor)}


def scores(k: Any, x8: Array, w8: Array, t: Array, s: Array) -> Results:
    """(b + Σ w · x) · s, in float32."""
    a = sums(k, x8, w8, 0)[:, :, 0, 0] + t[: k.shape.filters]
    return {"z": a.astype(np.float32) * s[: k.shape.filters].astype(np.float32)}


def depthwise(k: Any, x8: Array, w8: Array, t: Array, beside: int = 0) -> Results:
    """The values of b[c] + Σ w[c, r, s] · x[c, …]."""
    b, factor = of_filters(t, k.shape.filters)
    x = np.round(patches(k.shape, x8.astype(np.float64), beside)).astype(np.int64)
    return {"y8": value(t, b + np.einsum("ncpqrs,cirs->ncpq", x, w8.astype(np.int64)), factor)}


def pool(k: Any, x8: Array) -> Results:
    """The largest of each window inside the image."""
    return {"y8": patches(k.shape, x8.astype(np.float64), -np.inf).max((-2, -1)).astype(np.int8)}


def average(k: Any, x8: Array, t: Array) -> Results:
    """The values of the means of the points inside the image."""
    inside = patches(k.shape, np.ones(x8.shape)).sum((-2, -1)).astype(np.int64)
    entry = inside - 1 if k.entries > 1 else inside * 0
    a = 16 * patches(k.shape, x8.astype(np.float64)).sum((-2, -1)).astype(np.int64)
    b, factor = np.split(t[HEAD : HEAD + 2 * k.entries].astype(np.int64), 2)
    return {"y8": value(t, a + b[entry], factor[entry])}


def table(x8: Array, table: Array) -> Results:
    """table[x + 128]."""
    return {"y8": table[x8.astype(np.int64) + 128]}


def total(a8: Array, b8: Array, t: Array) -> Results:
    """The values of A₁ · a + A₂ · b + B, in units of 2⁻²⁰."""
    of_a, of_b, constant = t[HEAD : HEAD + 3].astype(np.int64)
    return {"y8": value(t, of_a * a8 + of_b * b8 + constant, 1 << 12)}


def product(a8: Array, b8: Array, t: Array) -> Results:
    """The values of (a − z₁) · (b − z₂)."""
    zero_a, zero_b, factor = t[HEAD : HEAD + 3].astype(np.int64)
    return {"y8": value(t, (a8 - zero_a) * (b8 - zero_b), factor)}


def scaled_channels(g8: Array, x8: Array, t: Array) -> Results:
    """The same, with one factor for each channel."""
    return product(g8, x8, t)


def concatenate(k: Any, t: Array, **xs: Array) -> Results:
    """The values of A · x + B of each x."""
    numbers = t[HEAD : HEAD + 2 * len(k.xs)].astype(np.int64).reshape(-1, 2)
    images = [xs[f"x8_{i}"] for i in range(len(k.xs))]
    parts = [value(t, x * ratio + constant, 1 << 12) for x, (ratio, constant) in zip(images, numbers, strict=True)]
    return {"y8": np.concatenate(parts, 1)}


def load(k: Any, images: Array, order: Array, table: Array | None = None) -> Results:
    """image − 128, or table[c, image]."""
    chosen = images[order].astype(np.int64)
    if table is None:
        return {"x8": (chosen - 128).astype(np.int8)}
    tables = table[: 256 * k.x.channels].reshape(-1, 256)
    return {"x8": tables[np.arange(k.x.channels)[:, None, None], chosen]}


def flatten(x8: Array) -> Results:
    """C, H, W order."""
    return {"y8": x8.reshape(len(x8), -1, 1, 1)}


def values(x8: Array, s: Array) -> Results:
    """(x − zero) · scale in float32, C, H, W order."""
    zero, scale = s[:2].astype(np.float32)
    return {"z": ((x8.reshape(len(x8), -1).astype(np.float32) - zero) * scale).astype(np.float32)}
