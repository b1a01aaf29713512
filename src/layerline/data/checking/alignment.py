"""How similar two sketches are after one is shifted, rotated and stretched onto the other.

Baker and Matthews 2004, "Lucas-Kanade 20 years on: a unifying framework", section 3.2: the inverse compositional
algorithm, here for the six parameters of an affine map, for many pairs at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from layerline.data.checking.sketches import SIDE, gradients

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HALF: Final = SIDE // 2
_FARTHEST: Final = 3
"""Maximum shift of an image, in pixels of 16×16: 19% of its side."""
_STEPS: Final = 7
_OVERLAP: Final = 0.5
_STRETCH: Final = (0.6, 1.6)
"""Range of the area's change; beyond it, the images are considered different."""
_AXIS: Final = np.arange(SIDE, dtype=np.float32) - (SIDE - 1) / 2
_PIXELS: Final = np.stack([np.tile(_AXIS, SIDE), np.repeat(_AXIS, SIDE), np.ones(SIDE * SIDE, np.float32)])
"""(3, 1024): x and y relative to the center, and 1."""


def spectra(grays: NDArray[np.uint8]) -> NDArray[np.complex64]:
    """Return the Fourier transforms of the edges of images (n, 32, 32) at 16×16, each normalized to length 1."""
    half = grays.reshape(-1, _HALF, 2, _HALF, 2).mean(axis=(2, 4), dtype=np.float32)
    right, down = _compressed(half)
    window = np.sqrt(np.hanning(_HALF + 2)[1:-1]).astype(np.float32)
    edges = (right + 1j * down) * (window[:, None] * window)
    length = np.sqrt((np.abs(edges) ** 2).sum(axis=(1, 2), keepdims=True))
    return np.fft.fft2(edges / np.maximum(length, 1e-6)).astype(np.complex64)


def moved(a: NDArray[np.complex64], b: NDArray[np.complex64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the largest correlation of two spectra over all shifts, and that shift (n, 2), in sketch pixels."""
    correlation = np.fft.ifft2(a * np.conj(b)).real
    near = np.r_[0 : _FARTHEST + 1, -_FARTHEST:0]
    some = correlation[:, near][:, :, near].reshape(len(a), -1)
    best = some.argmax(axis=1)
    shift = -np.stack([near[best % len(near)], near[best // len(near)]], axis=1) * (SIDE / _HALF)
    return some.max(axis=1).astype(np.float32), shift.astype(np.float32)


def likeness(a: NDArray[np.uint8], b: NDArray[np.uint8], shift: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the correlation of the edges of a and b (n, 32, 32), with b aligned to a from an initial shift, or −1.

    −1: the alignment failed, because less than half of the area overlaps, or b would change its size too much.
    """
    template = a.astype(np.float32).reshape(len(a), -1)
    image = b.astype(np.float32)
    warp = _fitted(template, image, shift)
    laid, inside = _laid(image, warp)
    here = inside.reshape(-1, SIDE, SIDE).copy()
    for axis in (1, 2):  # a central difference needs its neighbors
        here &= np.roll(here, 1, axis) & np.roll(here, -1, axis)
    here[:, [0, -1]] = here[:, :, [0, -1]] = False
    (ax, ay), (bx, by) = _compressed(template.reshape(-1, SIDE, SIDE)), _compressed(laid.reshape(-1, SIDE, SIDE))
    both = ((ax * bx + ay * by) * here).sum(axis=(1, 2))
    own = ((ax * ax + ay * ay) * here).sum(axis=(1, 2)) * ((bx * bx + by * by) * here).sum(axis=(1, 2))
    area = np.linalg.det(warp[:, :2, :2])
    fits = (here.mean(axis=(1, 2)) > _OVERLAP) & (area > _STRETCH[0]) & (area < _STRETCH[1])
    found: NDArray[np.float32] = np.where(fits, both / np.sqrt(np.maximum(own, 1e-12)), -1).astype(np.float32)
    return found


def _compressed(grays: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the gradients with the square roots of their lengths, so that a few strong edges do not dominate."""
    right, down = gradients(grays)
    length = np.sqrt(right * right + down * down)
    scale = 1 / np.sqrt(length + 0.02 * length.mean(axis=(1, 2), keepdims=True) + 1e-3)
    return right * scale, down * scale


def _fitted(
    template: NDArray[np.float32], image: NDArray[np.float32], shift: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return the least-squares affine maps (n, 3, 3) from the template's pixels to the image's."""
    n = len(template)
    right, down = gradients(_normal(template, np.ones_like(template)).reshape(-1, SIDE, SIDE))
    steepest = np.concatenate(
        [each.reshape(n, 1, -1) / 2 * _PIXELS for each in (right, down)], axis=1
    )  # ∂/∂ of the six parameters: (n, 6, 1024)
    hessian = np.einsum("nip,njp->nij", steepest, steepest, optimize=False).astype(np.float64)
    hessian += np.eye(6) * (1e-3 / 6 * np.trace(hessian, axis1=1, axis2=2) + 1e-12)[:, None, None]
    inverse = np.linalg.inv(hessian)
    warp = np.tile(np.eye(3), (n, 1, 1))
    warp[:, :2, 2] = shift
    for _ in range(_STEPS):
        laid, inside = _laid(image, warp)
        weights = inside.astype(np.float32)
        error = (_normal(laid, weights) - _normal(template, weights)) * weights
        step = np.einsum("nij,nj->ni", inverse, np.einsum("nip,np->ni", steepest, error))
        change = np.tile(np.eye(3), (n, 1, 1))
        change[:, :2] += step.reshape(n, 2, 3)
        change[np.abs(np.linalg.det(change)) < 0.2] = np.eye(3)
        warp = warp @ np.linalg.inv(change)
        warp[np.abs(warp).max(axis=(1, 2)) > SIDE] = np.diag([0.0, 0.0, 1.0])  # diverged: no area, and stays so
    return warp


def _laid(image: NDArray[np.float32], warp: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the images (n, 1024) warped by the maps, interpolated linearly, and which pixels are inside."""
    at = warp[:, :2].astype(np.float32) @ _PIXELS + (SIDE - 1) / 2
    inside = ((at >= 0) & (at <= SIDE - 1)).all(axis=1)
    at = np.clip(at, 0, SIDE - 1.001)
    whole = at.astype(np.int32)
    x, y = (at - whole).transpose(1, 0, 2)
    place = np.arange(len(image))[:, None] * (SIDE * SIDE) + whole[:, 1] * SIDE + whole[:, 0]
    pixels = image.reshape(-1)
    above, below = ((p := pixels.take(place + k)) + (pixels.take(place + k + 1) - p) * x for k in (0, SIDE))
    return above + (below - above) * y, inside


def _normal(rows: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the rows normalized to mean 0 and length 1 over the pixels that have a weight."""
    mean = (rows * weights).sum(axis=1, keepdims=True) / np.maximum(weights.sum(axis=1, keepdims=True), 1)
    centerd = rows - mean
    length = np.sqrt((centerd * centerd * weights).sum(axis=1, keepdims=True))
    found: NDArray[np.float32] = centerd / np.maximum(length, 1e-6)
    return found
