"""A module is made of an object only if nothing is left for a linker to do."""

from __future__ import annotations

import functools

import pytest
import trained_like

from layerline.compiler import wasm_module
from layerline.compiler.jit import object_code
from layerline.compiler.machine import target
from layerline.compiler.object_code import object_of
from layerline.compiler.wasm_module import Contents, ObjectError, module
from layerline.export.forward import forward

NOTHING = Contents(wasm_module.STACK, (), {}, {})
WASM = target("wasm32")

REFUSED = {
    "constant data": (
        "@table = internal constant [4 x i32] [i32 1, i32 2, i32 3, i32 4]\n"
        "define void @predict(i32 %k) {\n %p = getelementptr i32, ptr @table, i32 %k\n %v = load i32, ptr %p\n"
        " store i32 %v, ptr inttoptr (i32 64 to ptr)\n ret void\n}",
        "constant data",
    ),
    "a variable": (
        "@count = global i32 7\ndefine void @predict(i32 %k) {\n store i32 %k, ptr @count\n ret void\n}",
        "constant data",
    ),
    "a variable of zeros": (
        "@count = global i32 0\ndefine void @predict(i32 %k) {\n store i32 %k, ptr @count\n ret void\n}",
        "need",
    ),
    "a function of a library": (
        "declare float @expf(float)\n"
        "define void @predict(i32 %k) {\n %x = call float @expf(float 1.0)\n"
        " store float %x, ptr inttoptr (i32 64 to ptr)\n ret void\n}",
        "expf",
    ),
    "memset": (
        "declare void @llvm.memset.p0.i32(ptr, i8, i32, i1)\n"
        "define void @predict(i32 %k) {\n call void @llvm.memset.p0.i32(ptr inttoptr (i32 64 to ptr), i8 0, i32 %k, "
        "i1 false)\n ret void\n}",
        "memset",
    ),
    "a table of functions": (
        "define internal void @other() {\n ret void\n}\n"
        "define void @predict(i32 %k) {\n store ptr @other, ptr inttoptr (i32 64 to ptr)\n ret void\n}",
        "need",
    ),
    "another function": ("define void @other(i32 %k) {\n ret void\n}", "0 functions predict"),
}
"""What → IR, and a word of the refusal."""


def compiled(text: str, features: str = WASM.features) -> bytes:
    machine = type(WASM)(WASM.triple, WASM.cpu, features, WASM.lanes, WASM.registers, WASM.fma)
    return object_code(f'target triple = "{WASM.triple}"\n{text}\n', machine)


@functools.cache
def sound() -> bytes:
    """Return the object of a network."""
    subject = trained_like.subject_of(trained_like.network_of("digits"), 1)
    return object_of(forward(subject, WASM).schedule, WASM)


@pytest.mark.parametrize("what", REFUSED)
def test_what_needs_a_linker_is_refused(what: str) -> None:
    """Constant data, libraries, addresses of functions: refused, never written into a module that would be wrong."""
    text, word = REFUSED[what]
    features = "-bulk-memory,-bulk-memory-opt" if what == "memset" else WASM.features
    with pytest.raises(ObjectError, match=word):
        module(compiled(text, features), "predict", [0], NOTHING)


def test_no_prefix_of_an_object_is_taken() -> None:
    """A truncated object is refused at every length: what is missing is noticed."""
    code = sound()
    arguments = [0] * 9
    module(code, "predict", arguments, NOTHING)
    for length in [*range(200), *range(200, len(code), 211)]:
        with pytest.raises(ObjectError):
            module(code[:length], "predict", arguments, NOTHING)


def test_an_index_that_does_not_match_its_symbol_is_refused() -> None:
    """If the code calls another function than its relocation names, the object is not what we think."""
    code = bytearray(sound())
    place = code.index(b"\x10\x80\x80\x80\x80\x00")  # call 0, padded to five bytes
    code[place + 1] = 0x81
    with pytest.raises(ObjectError, match="expected 0"):
        module(bytes(code), "predict", [0] * 9, NOTHING)


@pytest.mark.parametrize("number", [0, 1, 63, 64, 127, 128, 8191, 8192, 2**31 - 1])
def test_numbers_are_written_as_they_are_read(number: int) -> None:
    """LEB128: unsigned numbers come back; signed ones stay nonnegative, whatever their highest bits are."""
    content = wasm_module._unsigned(number)
    assert wasm_module._Bytes(content).unsigned() == number
    signed = wasm_module._signed(number)
    assert wasm_module._Bytes(signed).unsigned() == number
    assert not signed[-1] & 0x40
