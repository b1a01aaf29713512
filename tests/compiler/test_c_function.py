"""What becomes of a C function's statements: what nothing needs is left out, and what is moved means the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest
from trained_like import drawn

from layerline.compiler.c_function import WIDTH
from layerline.compiler.c_pen import CPen
from layerline.compiler.driver import module_of
from layerline.compiler.dtype import DType
from layerline.export.c.c_export import c_machine
from layerline.export.forward import forward

if TYPE_CHECKING:
    from collections.abc import Callable

POINTERS: Final = {"x": DType.F32, "y": DType.F32}


def written(write: Callable[[CPen], None]) -> list[str]:
    """Return the lines of a function's body."""
    machine = c_machine(1)
    module = CPen.module(machine)
    pen = CPen.begin(module, machine, "function", POINTERS, ("images",))
    write(pen)
    pen.end()
    body = module.functions[0].split("{", 1)[1].rsplit("}", 1)[0]
    return [line.strip() for line in body.strip().splitlines() if "(void)" not in line]


def unneeded(pen: CPen) -> None:
    x, y = pen.pointer("x"), pen.pointer("y")
    total = pen.variable(pen.constant(0.0))
    with pen.loop("i", pen.count("images") * 3) as i:
        pen.write(total, pen.add(pen.read(total), pen.load(x, i)))
        with pen.when(i > 3):
            pen.load(pen.at(x, i), 7)
    pen.store(pen.constant(2.0), y)


def test_what_nothing_needs_is_left_out() -> None:
    """Loads, a variable that only its own sum reads, and a loop and a condition around them; also their bounds."""
    assert written(unneeded) == ["y[0] = 2.0f;"]


def needed(pen: CPen) -> None:
    x, y = pen.pointer("x"), pen.pointer("y")
    total = pen.variable(pen.constant(0.0))
    with pen.loop("i", pen.count("images")) as i:
        pen.write(total, pen.add(pen.read(total), pen.load(x, i)))
    pen.store(pen.read(total), y)


def test_what_an_effect_depends_on_stays() -> None:
    """A sum that is stored, with its loop; loads stand where they are used."""
    assert written(needed) == [
        "float v_1 = 0.0f;",
        "for (int32_t i_2 = 0; i_2 < images; i_2++) {",
        "v_1 = v_1 + x[i_2];",
        "}",
        "y[0] = v_1;",
    ]


def swap(pen: CPen) -> None:
    y = pen.pointer("y")
    one, other = pen.load(y, 0), pen.load(y, 1)
    pen.store(other, y, 0)
    pen.store(one, y, 1)


def test_no_load_moves_past_a_store() -> None:
    """Two elements are swapped: the second one is read before it is overwritten."""
    lines = written(swap)
    assert lines == ["const float t_1 = y[0];", "y[0] = y[1];", "y[1] = t_1;"]


def overwritten(pen: CPen) -> None:
    x, y = pen.pointer("x"), pen.pointer("y")
    variable = pen.variable(pen.load(x, 0))
    before = pen.read(variable)
    pen.write(variable, pen.load(x, 1))
    pen.store(before, y, 0)
    pen.store(pen.read(variable), y, 1)


def test_no_variable_is_read_too_late() -> None:
    """What it held before it was assigned to is kept."""
    lines = written(overwritten)
    assert lines == ["float v_2 = x[0];", "const float t_3 = v_2;", "v_2 = x[1];", "y[0] = t_3;", "y[1] = v_2;"]


@pytest.mark.parametrize("lanes", [1, 4])
def test_a_product_is_never_part_of_a_sum(lanes: int) -> None:
    """In 20 networks: a compiler may round such an expression once. Indices and pointers are integers."""
    products = 0
    for seed in range(20):
        machine = c_machine(lanes)
        for function in module_of(forward(drawn(seed), machine).schedule, machine, CPen).functions:
            floats = set(re.findall(r"(?:float|f32x\d) (\w+_\d+) =", function))
            for value in re.findall(r"(?:(?:float|f32x\d) t_\d+|v_\d+|\]|\)) = (.*);", function):
                plain, groups = value, []
                while "[" in plain or "(" in plain:
                    groups += re.findall(r"[\[(]([^\[\]()]*)[\])]", plain)
                    plain = re.sub(r"[\[(][^\[\]()]*[\])]", "", plain)
                products += " * " in plain
                assert not (" * " in plain and re.search(r" [+-] ", plain)), value
                inner = " ".join(group for group in groups if " * " in group)
                assert floats.isdisjoint(re.findall(r"\w+", inner)), value
    assert products > 200


def test_arguments_that_are_only_read_are_const_and_lines_are_short() -> None:
    """In a network with every kind of call."""
    machine = c_machine(4)
    module = module_of(forward(drawn(8), machine).schedule, machine, CPen)
    text = "\n".join(module.functions)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "const uint8_t *arena, uint8_t *scratch" in " ".join(text.split())
    for head in re.findall(r"static void k\d+_\w+\(([^)]*)\)", text):
        assert re.search(r"(?<!const )(float|uint8_t) \*", " ".join(head.split())), head
