"""The words of the pen that writes C: each, compiled, does what NumPy does, and nothing that C leaves undefined."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest
from c_compiler import library, needed, strictness
from kernel_runner import aligned
from test_pen import BODIES, F32, F64, NUMPY, OPERATORS, PLACES, WORDS, Alone, Body, N, Places, expected, some

from layerline.compiler.c_pen import CPen
from layerline.compiler.c_values import TYPES
from layerline.compiler.kernels.exchange import Exchange
from layerline.compiler.kernels.timed import Timed
from layerline.compiler.machine import Machine
from layerline.compiler.pen import FLOATS

if TYPE_CHECKING:
    from layerline.compiler.kernel import Kernel

pytestmark = [needed("gcc"), needed("clang")]

ONLY_IN_TRAINING: Final = {"sqrt"}
"""Words for values that no forward-only Program needs: C has them in its library only."""
LANES: Final = (1, 4)
COMPILERS: Final = ("gcc", "clang")


def kernels(lanes: int) -> dict[str, Kernel]:
    found: dict[str, Kernel] = {name: Alone(name, lanes) for name in WORDS if name not in ONLY_IN_TRAINING}
    found |= {f"places {name}": Places(name) for name in (*OPERATORS, *PLACES)}
    return found | {f"body {name}": Body(name) for name in BODIES}


class Calls:
    """All kernels of a machine in one library, which reports undefined behavior."""

    def __init__(self, lanes: int, compiler: str, folder: pytest.TempPathFactory) -> None:
        machine = Machine("c99", "c99", "", lanes, 16, fma=False)
        module, self.numbers, public = CPen.module(machine), {}, []
        for number, (name, kernel) in enumerate(kernels(lanes).items()):
            pen = CPen.begin(module, machine, kernel.symbol, kernel.pointers, kernel.scalars)
            kernel.write(pen)
            pen.end()
            typed = [f"{TYPES[dtype]} *{pointer}" for pointer, dtype in kernel.pointers.items()]
            typed += [f"{'float' if scalar in FLOATS else 'int32_t'} {scalar}" for scalar in kernel.scalars]
            names = ", ".join((*kernel.pointers, *kernel.scalars))
            public.append(f"void call{number}({', '.join(typed)}) {{ {pen.function.name}({names}); }}")
            self.numbers[name] = number
        sanitizer = ["-fsanitize=undefined"] * (compiler == "gcc")  # Clang's is for programs, not for libraries
        options = [*strictness(lanes), "-O2", *sanitizer]
        self.library = library(compiler, options, module.file(public="\n".join(public)), folder.mktemp("pen"))
        self.lanes = lanes

    def run(self, name: str, arrays: dict[str, np.ndarray], **scalars: float) -> None:
        function = self.library[f"call{self.numbers[name]}"]
        numbers = [ctypes.c_float(v) if k in FLOATS else ctypes.c_int32(int(v)) for k, v in scalars.items()]
        function(*(ctypes.c_void_p(array.ctypes.data) for array in arrays.values()), *numbers)


@pytest.fixture(scope="module", params=[(lanes, compiler) for lanes in LANES for compiler in COMPILERS], ids=str)
def calls(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Calls:
    return Calls(*request.param, tmp_path_factory)


def undisturbed(capfd: pytest.CaptureFixture[str]) -> None:
    """Raise AssertionError if the sanitizer reported something."""
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", [name for name in WORDS if name not in ONLY_IN_TRAINING])
def test_a_word_for_values_does_what_numpy_does(name: str, calls: Calls, capfd: pytest.CaptureFixture[str]) -> None:
    """On NaN, infinities and negative zero too, bit for bit but for the sign of a NaN."""
    word, lanes = WORDS[name], calls.lanes
    arrays = {f"x{k}": some(dtype, k, odd=word.odd) for k, dtype in enumerate(word.of)}
    y = aligned(4 * N, NUMPY[word.makes])
    calls.run(name, {**arrays, "y": y}, images=N // lanes)
    with np.errstate(all="ignore"):
        wanted = np.asarray(word.numpy(*(x.reshape(-1, lanes) for x in arrays.values()))).astype(y.dtype).reshape(-1)
    np.testing.assert_array_equal(y[: len(wanted)], wanted)
    if word.makes in (F32, F64):
        numbers = ~np.isnan(wanted)
        np.testing.assert_array_equal(np.signbit(y[: len(wanted)])[numbers], np.signbit(wanted)[numbers])
        assert np.isnan(y[len(wanted) :]).all()
    undisturbed(capfd)


@pytest.mark.parametrize("name", [*OPERATORS, *PLACES])
def test_indices_are_numbers(name: str, calls: Calls, capfd: pytest.CaptureFixture[str]) -> None:
    """Of either sign, as Python's are; what is divided is not negative."""
    a, b, y = aligned(N, np.int64), aligned(N, np.int32), aligned(N, np.int64)
    a[:], b[:] = np.arange(N) - 12, np.arange(N) * 7 % 11 - 5
    calls.run(f"places {name}", {"a": a, "b": b, "y": y}, images=N)
    wanted = OPERATORS[name] if name in OPERATORS else PLACES[name][1]
    assert y.tolist() == [int(wanted(int(p), int(q))) for p, q in zip(a, b, strict=True)]
    undisturbed(capfd)


@pytest.mark.parametrize("name", BODIES)
def test_loops_conditions_and_memory(name: str, calls: Calls, capfd: pytest.CaptureFixture[str]) -> None:
    """What is to be written is, and everything else is as it was: a tail of each length touches nothing after it."""
    x, y = some(F32, 0, odd=False), aligned(16 * N)
    calls.run(f"body {name}", {"x": x, "y": y}, images=8, rate=3.0)
    wanted = np.full(16 * N, np.nan, np.float32)
    for place, value in expected(name, x, calls.lanes).items():
        wanted[place] = value
    np.testing.assert_array_equal(y, wanted)
    undisturbed(capfd)


@pytest.mark.parametrize(
    ("kernel", "what"),
    [
        (Exchange(7, ((3, F64), (2, F32))), "calls"),
        (Timed(Alone("add", 1)), "reads the clock"),
        (Alone("sqrt", 1), "√"),
    ],
)
def test_words_of_training_are_refused(kernel: Kernel, what: str) -> None:
    """A Program that needs them is not a forward-only one: that is a mistake of the compiler's, and named."""
    machine = Machine("c99", "c99", "", 1, 16, fma=False)
    pen = CPen.begin(CPen.module(machine), machine, kernel.symbol, kernel.pointers, kernel.scalars)
    with pytest.raises(TypeError, match=what):
        kernel.write(pen)
