"""LLVM's IR as text: what is known is not computed again, and constants have their bits."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from layerline.compiler import jit
from layerline.compiler.dtype import DType
from layerline.compiler.llvm_pen import LlvmPen
from layerline.compiler.llvm_text import IrModule
from layerline.compiler.machine import host


def test_an_address_is_computed_once_where_it_is_known() -> None:
    """In a loop, what was computed before it is known; after the loop, what was computed in it is not, for it may not
    have been computed at all."""
    module = LlvmPen.module(host())
    pen = LlvmPen.begin(module, host(), "f", {"x": DType.F32}, ("images", "item"))
    images, item = pen.count("images"), pen.count("item")
    x = pen.pointer("x")
    pen.store(pen.load(x, item * 3), x, images * 5)
    with pen.loop("i", images):
        pen.store(pen.load(x, item * 3), x, item * 7)
        with pen.when(item > 2):
            pen.store(pen.load(x, item * 7), x, item * 11)
    pen.store(pen.load(x, item * 7), x, item * 11)
    pen.end()
    text = str(module)
    assert [text.count(f"mul i64 %item.number, {factor}\n") for factor in (3, 7, 11)] == [1, 2, 2]
    assert jit.object_code(text, host()), "every value is computed before it is used, or LLVM refuses the module"


@pytest.mark.parametrize("lanes", [1, 4])
def test_constants_have_their_bits(lanes: int) -> None:
    """Minus zero, the smallest and the largest number, numbers that float32 rounds, infinity and NaN."""
    numbers = [-0.0, 0.0, 1e-45, 3.4028234663852886e38, 0.1, -1 / 3, 16_777_217.0, float("inf"), float("nan")]
    module = LlvmPen.module(host())
    pen = LlvmPen.begin(module, host(), "f", {"x": DType.F32, "y": DType.F64}, ())
    for k, number in enumerate(numbers):
        pen.store(pen.constant(number, lanes), pen.pointer("x"), k * lanes)
        pen.store(pen.constant(number, lanes, DType.F64), pen.pointer("y"), k * lanes)
    pen.end()
    code = jit.linked(jit.object_code(str(module), host()), host(), ["f"])
    x, y = np.ones(len(numbers) * lanes, np.float32), np.ones(len(numbers) * lanes)
    code.function("f", [ctypes.c_void_p] * 2)(x.ctypes.data, y.ctypes.data)
    assert x.tobytes() == np.repeat(np.array(numbers, np.float32), lanes).tobytes()
    assert y.tobytes() == np.repeat(np.array(numbers), lanes).tobytes()


def test_two_functions_of_a_name_are_refused() -> None:
    """LLVM would rename one of them, or refuse the text."""
    module = IrModule("x86_64-unknown-linux-gnu")
    module.add("f", "void", ())
    with pytest.raises(ValueError, match="two functions f"):
        module.add("f", "void", ())
