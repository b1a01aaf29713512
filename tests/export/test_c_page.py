"""docs/export-c.md: its programs for microcontrollers compile and run, and its table is right."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Final

import pytest
from c_compiler import compiled, needed
from c_models import exported
from places import DOCS
from preset_shapes import SHAPES
from trained_like import network_of, subject_of

import layerline
from layerline.compiler.c_pen import CPen
from layerline.compiler.driver import module_of
from layerline.compiler.dtype import DType
from layerline.export.c import c_facts
from layerline.export.c.c_export import c_machine
from layerline.export.forward import forward
from layerline.numbers import display
from layerline.runs.model_file import Preprocessing

PAGE: Final = (DOCS / "export-c.md").read_text(encoding="utf-8")
DIGITS: Final = Preprocessing(maximum=16.0)
BOARD: Final = """
#include <stdint.h>
#include <stdio.h>
struct SerialPort { void begin(int) {} void println(const char *text) { puts(text); } };
static SerialPort Serial;
enum { A0 };
static int analogRead(int) { return 512; }
static void delay(int) {}
#define delay delay
#include "sketch.ino"
int main() { setup(); loop(); return 0; }
"""
"""What an Arduino board has, as far as the sketch needs it."""


def block(language: str, start: str) -> str:
    """Return the block of the page in a language that contains a line."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return next(text for text in found if start in text)


def digits(folder: Path) -> Path:
    """Export a model of the digits, with its header as the page includes it."""
    model = subject_of(network_of("digits"), 3, preprocessing=DIGITS)
    source = exported(model, folder).source
    source.with_suffix(".h").rename(folder / "digits.h")
    return source.rename(folder / "digits.c")


@needed("gcc")
def test_the_sketch_compiles_and_prints_a_class(tmp_path: Path) -> None:
    """As C++, with the file compiled as C."""
    source = digits(tmp_path)
    compiled("gcc", ["-std=c99", "-O2", "-c"], [source], tmp_path / "digits.o")
    (tmp_path / "sketch.ino").write_text(block("cpp", "void setup()"))
    (tmp_path / "board.cpp").write_text(BOARD)
    options = ["-Wall", "-Wextra", "-Werror", "-O1", "-fno-exceptions"]
    program = compiled("g++", options, [tmp_path / "board.cpp", tmp_path / "digits.o"], tmp_path / "board")
    printed = subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout  # noqa: S603
    assert re.fullmatch(r"\d\n", printed)


@needed("arm-none-eabi-gcc", "qemu-system-arm", "gcc")
def test_the_program_without_an_operating_system_runs_on_a_cortex_m4(tmp_path: Path) -> None:
    """Emulated; it returns the class that it returns on a PC."""
    source, started = digits(tmp_path), Path(__file__).parents[1] / "cortex_m4"
    main = tmp_path / "main.c"
    main.write_text(block("c", "int main(void)"))
    strict = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-O2"]
    here = compiled("gcc", strict, [main, source], tmp_path / "here")
    options = ["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16", "-std=gnu99", "-O2"]
    linked = [*options, "-nostdlib", "-nostartfiles", "-T", str(started / "memory.ld")]
    there = compiled("arm-none-eabi-gcc", linked, [started / "start.c", main, source], tmp_path / "there")
    emulator = ["qemu-system-arm", "-M", "mps2-an386", "-nographic", "-semihosting", "-kernel", str(there)]
    found = [
        subprocess.run(command, stdin=subprocess.DEVNULL, timeout=100, check=False).returncode  # noqa: S603
        for command in ([str(here)], emulator)
    ]
    assert found[0] == found[1] < 10


def sizes_of(preset: str) -> str:
    """Return the row of a preset."""
    shape = SHAPES[preset]
    model, machine = subject_of(layerline.read(preset, input_shape=shape, classes=10), 3), c_machine(1)
    made = forward(model, machine, DType.U8, channels_last=True)
    functions = "".join(module_of(made.schedule, machine, CPen).functions)
    found = c_facts.sizes(made.schedule, functions, tuple("0123456789"), 1)
    kind = f"{display.picture(*shape[1:])} {display.colors(shape[0])}"
    work = display.count(model.network.multiply_adds)
    return f"| {preset} | {kind} | {display.size(found.flash)} | {display.size(found.scratch)} | {work} |"


@pytest.mark.parametrize("preset", SHAPES)
def test_the_table_of_presets_is_right(preset: str) -> None:
    """Flash, RAM and multiply-adds, as `--dry-run` prints them."""
    assert sizes_of(preset) in PAGE.splitlines()
