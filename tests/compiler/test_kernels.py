"""Each kernel alone: machine code, for the host's vectors and for single numbers, against its definition.

What a kernel sets begins as NaN, and so does all that it is to leave alone: what lies behind an image, a row or a list.
A result may err by so many roundings, 2⁻²⁴ (of float64 2⁻⁵³) each, of the sum of its terms' sizes: the definition of
the sizes of all values, where that is a sum of products.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest
from int8_cases import INT8
from kernel_cases import CASES, DRAWN, GIVEN, IMAGES, Case, sizes
from kernel_definitions import told
from kernel_runner import Packed, Strided, aligned, image, listed, run

from layerline.compiler import kernels
from layerline.compiler.dtype import DType
from layerline.compiler.kernel import Access, Kernel
from layerline.compiler.kernels.exchange import Exchange
from layerline.compiler.kernels.optimizers import HYPER_NAMES
from layerline.compiler.kernels.peak import Peak
from layerline.compiler.kernels.timed import Timed
from layerline.compiler.layout import Layout
from layerline.compiler.machine import Machine, host, named
from layerline.compiler.plane import Plane, capacity

if TYPE_CHECKING:
    from kernel_cases import Lies

ALL: Final = {**CASES, **INT8}
MACHINES: Final = (host(), named(lanes=1))
TYPES: Final = {
    DType.F32: np.float32, DType.F64: np.float64, DType.I32: np.int32, DType.I64: np.int64, DType.U8: np.uint8,
    DType.I8: np.int8,
}  # fmt: skip
BEGIN_UNKNOWN: Final = (Access.SETS, Access.OWNS)
ROUNDING: Final = {np.float32: 2.0**-24, np.float64: 2.0**-53}


def where(case: Case, kernel: Kernel, machine: Machine) -> dict[str, Lies]:
    """Return where the values of each argument lie."""
    found = case.lies(kernel, machine)
    for name, argument in kernel.arguments.items():
        lies = argument.layout
        if name in found:
            continue
        if name in GIVEN:
            found[name] = GIVEN[name](kernel)
        elif isinstance(lies, Plane):
            found[name] = image(lies, IMAGES)
        elif isinstance(lies, Layout):
            found[name] = Packed(lies, lies.shape)
        else:
            assert isinstance(lies, int)
            found[name] = listed(lies) if kernel.slices else listed(IMAGES, lies, padded=capacity(lies))
    return found


def begun(case: Case, kernel: Kernel, places: dict[str, Lies]) -> dict[str, np.ndarray]:
    """Return the memory that a kernel finds: values that are drawn, NaN in what it sets and in what is nobody's."""
    numbers, memory = np.random.default_rng(1), {}
    for name, argument in kernel.arguments.items():
        lies, dtype = places[name], TYPES[argument.dtype]
        memory[name] = aligned(
            lies.elements, dtype, 0.0 if name in case.zeros or argument.access is Access.UPDATES else np.nan
        )
        if isinstance(lies, Strided) and lies.border:
            memory[name].reshape(len(memory[name]) // capacity(lies.border), -1)[:, : lies.border] = 0
        drawn = {**DRAWN, **case.drawn}.get(name)
        if argument.access not in BEGIN_UNKNOWN:
            values = np.broadcast_to(drawn, lies.shape) if drawn is not None else numbers.standard_normal(lies.shape)
            lies.write(memory[name], values.astype(dtype))
        elif isinstance(lies, Strided) and memory[name].dtype.kind == "f":
            lies.values(memory[name])[...] = np.nan
    return memory


def known(case: Case, kernel: Kernel, places: dict[str, Lies], memory: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return what a definition is told: all that the kernel reads, as numbers that are exact."""
    found: dict[str, Any] = {}
    for name, argument in kernel.arguments.items():
        if argument.access not in BEGIN_UNKNOWN:
            values = places[name].read(memory[name])
            found[name] = values.astype(np.float64) if argument.dtype is DType.F32 else values.copy()
    if "hyper" in found:
        found["hyper"] = SimpleNamespace(**dict(zip(HYPER_NAMES, found["hyper"].tolist(), strict=True)))
    numbers = {name: case.numbers[name] for name in kernel.extra_scalars if name in case.numbers}
    return {"k": kernel, **found, **numbers}


def held(case: Case, kernel: Kernel, places: dict[str, Lies], given: dict[str, Any], memory: dict[str, Any]) -> None:
    """Raise AssertionError where a result is not what the definition says."""
    expected = told(case.definition, given)
    terms = told(case.terms, given) if case.terms else told(case.definition, sizes(given))
    for name, argument in kernel.arguments.items():
        if argument.access in (Access.READS, Access.OWNS):
            continue
        found, exact = places[name].read(memory[name]), np.broadcast_to(expected[name], places[name].shape)
        if case.roundings and found.dtype.kind == "f":
            error = np.abs(found - exact)
            assert (error <= case.roundings * ROUNDING[found.dtype.type] * terms[name]).all(), (name, error.max())
        else:
            np.testing.assert_array_equal(found, exact, name)


def still_zero(name: str, access: Access, lies: Lies, memory: np.ndarray) -> None:
    """Raise AssertionError where the border of an image was written, or what parameters are padded with."""
    rest = memory.copy()
    lies.write(rest, np.zeros(lies.shape, memory.dtype))
    if access is Access.UPDATES:
        assert not rest.any(), f"{name} was written where it is padded"
    elif access is Access.SETS and isinstance(lies, Strided) and lies.border and name in ("x", "y", "planes"):
        border = rest.reshape(-1, capacity(lies.border))[:, : lies.border]
        assert not border.any(), f"the border of {name} was written"


TABLE: Final = [
    pytest.param(case, machine, id=f"{kernel.__name__}-{number}-{machine.lanes}")
    for kernel, cases in ALL.items()
    for number, case in enumerate(cases)
    for machine in MACHINES
    if case.lanes <= machine.lanes
]


@pytest.mark.parametrize(("case", "machine"), TABLE)
def test_a_kernel_is_what_its_definition_says(case: Case, machine: Machine) -> None:
    """Every result, within the roundings of its terms; borders and padding stay zero."""
    kernel = case.kernel(machine)
    places = where(case, kernel, machine)
    memory = begun(case, kernel, places)
    given = known(case, kernel, places, memory)
    for item in range(kernel.slices or 1):
        run(kernel, machine, memory, **{"images": IMAGES, **case.numbers, "item": item})
    held(case, kernel, places, given, memory)
    for name, argument in kernel.arguments.items():
        still_zero(name, argument.access, places[name], memory[name])


def test_no_kernel_is_without_a_definition() -> None:
    """Every final class of kernels is in the table, except what the engine does for machine code, and those that read
    the clock, which no definition knows: `test_kernel_times.py` has them."""
    modules = [importlib.import_module(f"{kernels.__name__}.{m.name}") for m in pkgutil.iter_modules(kernels.__path__)]
    there = {one for module in modules for one in vars(module).values() if isinstance(one, type)}
    final = {one for one in there if issubclass(one, Kernel) and not inspect.isabstract(one)}
    assert {*CASES, *INT8} == final - {Exchange, Peak, Timed}
    assert all(
        type(case.kernel(MACHINES[0])) is kernel for kernel, cases in {**CASES, **INT8}.items() for case in cases
    )
