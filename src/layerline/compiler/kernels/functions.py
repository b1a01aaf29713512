"""Our own elementary functions, so that results are bit-identical on all machines with the same vector width.

exp    e^x = 2^n · e^r with n the integer nearest to x / ln 2 and |r| ≤ ln 2 / 2; e^r by Taylor series to r⁷ / 7!, whose
       remainder is at most 0.3466⁸ / 8! = 5.2·10⁻⁹. Error at most 1.5 units in the last place for −87 ≤ x ≤ 0; a
       smaller x is clamped to −87 (1.6·10⁻³⁸).
e^x−1  x + x² · P(x) for −½ < x ≤ 0, P by Taylor series to x⁶ / 8!, whose remainder is at most 1.4·10⁻⁸ of the result;
       else exp less 1. Error at most 4 units in the last place.
log    ln x = e · ln 2 + 2 artanh s, s = (m − 1) / (m + 1), x = 2^e · m, √½ ≤ m < √2, by its series to s²¹ (where
       |s| ≤ 0.1716 the remainder is below 2·10⁻¹⁸). Error at most 4 units in the last place of float64: two from s,
       one from the series, one from the sum.
tanh   x + x³ · P(x²) for |x| < 0.6, P of degree 5 (minimax, relative error 5.5·10⁻⁹); else (1 − t) / (1 + t) with
       t = e^(−2|x|) and the sign of x. Error at most 4 units in the last place.
σ      1 / (1 + e^−x) as 1 / (1 + t) for x ≥ 0 and t / (1 + t) below, t = e^−|x|. Error at most 4 units.
Φ      the normal distribution: ½ + x · P(x²) for |x| < 1.2, P of degree 5 (minimax, relative error 6·10⁻⁹); else
       (1 + erf(x / √2)) / 2 = erfc(−x / √2) / 2, with erfc z = e^(−z²) · u · Q(u) for z ≥ 0,
       u = 1 / (1 + 0.4 z), Q of degree 9 (minimax up to z = 9.5, relative error 6.7·10⁻⁹). Absolute
       error at most 2⁻²³; GELU is x · Φ(x).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from layerline.compiler.dtype import DType

if TYPE_CHECKING:
    from layerline.compiler.pen import Pen
    from layerline.compiler.values import Value

LOWEST: Final = -87.0
_LESS_ONE: Final = tuple(1 / math.factorial(k + 2) for k in range(7))
_TANH: Final = (-0.33333334, 0.133333, -0.053958446, 0.021762416, -0.008322982, 0.002269324)
_ERFC: Final = (
    0.22571066, 0.22488007, 0.21551062, 0.1269454, 0.27990872,
    -0.29886788, 0.56475496, -0.51172197, 0.20347467, -0.030595234,
)  # fmt: skip
_NORMAL: Final = (0.3989423, -0.06649026, 0.00997262, -0.0011845434, 0.0001116382, -6.9845364e-06)
_SLOPE: Final = 0.4
_MAGIC: Final = 1.5 * 2**23  # adding it rounds a small float32 to an integer, in the low bits
_LN2_HIGH: Final = 0.693359375  # nine bits: n times it is exact
_LN2_LOW: Final = math.log(2) - _LN2_HIGH


def exp(pen: Pen, x: Value) -> Value:
    """Return e^x for float32 lanes x ≤ 0; NaN propagates."""
    lanes = x.lanes

    def number(value: float) -> Value:
        return pen.constant(value, lanes)

    x = pen.select(pen.greater(number(LOWEST), x), number(LOWEST), x)
    shifted = pen.fma(x, number(1 / math.log(2)), number(_MAGIC))
    n = pen.sub(shifted, number(_MAGIC))
    r = pen.fma(n, number(-_LN2_LOW), pen.fma(n, number(-_LN2_HIGH), x))
    power = number(1 / math.factorial(7))
    for k in range(6, -1, -1):
        power = pen.fma(power, r, number(1 / math.factorial(k)))
    exponent = pen.sub(pen.bits(shifted, DType.I32), pen.constant(0x4B400000 - 127, lanes, DType.I32))
    return pen.mul(power, pen.bits(pen.shifted_left(exponent, 23), DType.F32))


def less_one(pen: Pen, x: Value) -> Value:
    """Return e^x − 1 for float32 lanes x ≤ 0; NaN stays NaN."""
    lanes = x.lanes
    near = pen.fma(pen.mul(x, x), _polynomial(pen, _LESS_ONE, x), x)
    far = pen.sub(exp(pen, x), pen.constant(1.0, lanes))
    return pen.select(pen.greater(x, pen.constant(-0.5, lanes)), near, far)


def decay(pen: Pen, x: Value) -> Value:
    """Return e^−|x| for float32 lanes, 0 where it is below e^LOWEST; NaN stays NaN."""
    size = pen.magnitude(x)
    t = exp(pen, pen.negative(size))
    return pen.select(pen.greater(size, pen.constant(-LOWEST, x.lanes)), pen.constant(0.0, x.lanes), t)


def _polynomial(pen: Pen, coefficients: tuple[float, ...], x: Value) -> Value:
    """Return Σ coefficients[k] · x^k by Horner's rule."""
    lanes = x.lanes
    result = pen.constant(coefficients[-1], lanes)
    for coefficient in coefficients[-2::-1]:
        result = pen.fma(result, x, pen.constant(coefficient, lanes))
    return result


def tanh(pen: Pen, x: Value) -> Value:
    """Return tanh x for float32 lanes; NaN propagates."""
    lanes = x.lanes
    one = pen.constant(1.0, lanes)
    magnitude = pen.magnitude(x)
    t = exp(pen, pen.mul(magnitude, pen.constant(-2.0, lanes)))
    far = pen.with_sign(pen.div(pen.sub(one, t), pen.add(one, t)), x)
    square = pen.mul(x, x)
    near = pen.fma(pen.mul(x, square), _polynomial(pen, _TANH, square), x)
    return pen.select(pen.greater(magnitude, pen.constant(0.6, lanes)), far, near)


def sigmoid(pen: Pen, x: Value) -> Value:
    """Return 1 / (1 + e^−x) for float32 lanes; NaN propagates."""
    lanes = x.lanes
    one = pen.constant(1.0, lanes)
    t = decay(pen, x)
    above = pen.select(pen.greater(pen.constant(0.0, lanes), x), t, one)
    return pen.div(above, pen.add(one, t))


def normal(pen: Pen, x: Value) -> tuple[Value, Value]:
    """Return Φ(x) and e^(−x² / 2) for float32 lanes; NaN propagates."""
    lanes = x.lanes
    one, half = pen.constant(1.0, lanes), pen.constant(0.5, lanes)
    bell = exp(pen, pen.mul(pen.mul(x, x), pen.constant(-0.5, lanes)))
    z = pen.mul(pen.magnitude(x), pen.constant(math.sqrt(0.5), lanes))
    u = pen.div(one, pen.fma(z, pen.constant(_SLOPE, lanes), one))
    tail = pen.mul(half, pen.mul(bell, pen.mul(u, _polynomial(pen, _ERFC, u))))
    far = pen.select(pen.greater(x, pen.constant(0.0, lanes)), pen.sub(one, tail), tail)
    near = pen.fma(x, _polynomial(pen, _NORMAL, pen.mul(x, x)), half)
    outside = pen.either(pen.greater(z, pen.constant(1.2 * math.sqrt(0.5), lanes)), pen.not_a_number(x))
    return pen.select(outside, far, near), bell


def log(pen: Pen, x: Value) -> Value:
    """Return ln x for a float64 x ≥ 1; NaN propagates."""

    def number(value: float) -> Value:
        return pen.constant(value, 1, DType.F64)

    bits = pen.bits(x, DType.I64)
    exponent = pen.sub(pen.shifted_right(bits, 52), pen.constant(1023, 1, DType.I64))
    mantissa = pen.masked(bits, (1 << 52) - 1)
    m = pen.bits(pen.add(mantissa, pen.constant(1023 << 52, 1, DType.I64)), DType.F64)
    large = pen.greater(m, number(math.sqrt(2)))
    m = pen.select(large, pen.mul(m, number(0.5)), m)
    e = pen.convert(exponent, DType.F64)
    e = pen.select(large, pen.add(e, number(1.0)), e)
    s = pen.div(pen.sub(m, number(1.0)), pen.add(m, number(1.0)))
    square, series = pen.mul(s, s), number(1 / 21)
    for k in range(19, 0, -2):
        series = pen.add(pen.mul(series, square), number(1 / k))
    result = pen.add(pen.mul(e, number(math.log(2))), pen.mul(pen.mul(number(2.0), s), series))
    return pen.select(pen.not_a_number(x), x, result)
