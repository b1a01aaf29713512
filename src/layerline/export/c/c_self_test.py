"""The self-test of an exported C function: three images, and the bits of the probabilities that it must compute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.compiler.c_values import TYPES, number
from layerline.compiler.dtype import DType
from layerline.data.dataset import ImageSet, Split

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

IMAGES: Final = 3
_FACTOR: Final = 1664525
_TERM: Final = 1013904223
"""Of the linear congruential generator of Numerical Recipes (Press et al. 1992, §7.1), modulo 2³²."""


@dataclass(frozen=True, eq=False)
class SelfTest:
    """Images that are computed rather than stored, and their probabilities."""

    source: DType
    largest: float
    """The largest value of an image."""
    probabilities: NDArray[np.float32]
    """(IMAGES, K)."""


def split(shape: tuple[int, int, int], source: DType, largest: float) -> Split:
    """Return the images as the C code computes them, (IMAGES, C, H, W), in memory in the order H, W, C."""
    C, H, W = shape
    images = _images((H, W, C), source, largest).transpose(0, 3, 1, 2)
    return Split(ImageSet(images, np.zeros(IMAGES, np.int32)), np.arange(IMAGES))


def _images(shape: tuple[int, ...], source: DType, largest: float) -> NDArray[Any]:
    count = IMAGES * int(np.prod(shape))
    words, seed = np.empty(count, np.uint32), 1
    for place in range(count):
        seed = (seed * _FACTOR + _TERM) % 2**32
        words[place] = seed
    if source is DType.U8:
        return (words >> np.uint32(24)).astype(np.uint8).reshape(IMAGES, *shape)
    return ((words >> np.uint32(8)).astype(np.float32) * _step(largest)).reshape(IMAGES, *shape)


def _step(largest: float) -> np.float32:
    """Return the distance of two values of an image, of which there are 2²⁴."""
    return np.float32(largest * 2.0**-24)


def lines(test: SelfTest, name: str, values: int) -> Iterator[str]:
    """Yield the text of the main function; values: the number of values of an image."""
    K = test.probabilities.shape[1]
    value = "(uint8_t)(seed >> 24)"
    if test.source is not DType.U8:
        value = f"(float)(seed >> 8) * {number(float(_step(test.largest)), DType.F32)}"
    yield f"#if defined({name.upper()}_SELFTEST)"
    yield f"static const uint32_t {name}_expected[{IMAGES}][{K}] = {{"
    for row in test.probabilities.view(np.uint32).tolist():
        texts = [f"0x{bits:08x}U" for bits in row]
        parts = [", ".join(texts[start : start + 8]) for start in range(0, K, 8)]
        yield "    {" + ",\n     ".join(parts) + "},"
    yield "};"
    yield f"""
/* Returns 0 if the function computes the bits that Layerline computes for three images. */
int main(void)
{{
    static {TYPES[test.source]} image[{values}];
    static union {{ float number; uint32_t bits; }} found[{K}];
    static float probabilities[{K}];
    uint32_t seed = 1, different = 0;
    int32_t i, k;
    for (k = 0; k < {IMAGES}; k++) {{
        for (i = 0; i < {values}; i++) {{
            seed = seed * {_FACTOR}U + {_TERM}U;
            image[i] = {value};
        }}
        {name}(image, probabilities);
        for (i = 0; i < {K}; i++) {{
            found[i].number = probabilities[i];
            different += found[i].bits != {name}_expected[k][i];
        }}
    }}
    return different != 0;
}}
#endif"""
