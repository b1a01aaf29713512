"""Models exported to C, compiled in a folder, and run."""

from __future__ import annotations

import ctypes
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from c_compiler import compiled, strictness

from layerline.compiler.dtype import DType
from layerline.compiler.machine import named
from layerline.data.dataset import ImageSet, Split
from layerline.engines.compiled import CompiledEngine
from layerline.engines.interface import State
from layerline.export.export_options import ExportOptions
from layerline.export.formats import FORMATS, paths_of, write
from layerline.export.subject import pixel_type
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerline.export.subject import Subject


CORTEX_M4: Final = (
    *("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"),
    *("-std=gnu99", "-O2", "-Wall", "-Wextra"),
)
STARTED: Final = Path(__file__).parent / "cortex_m4"
"""The files that start a program on such a chip."""


@dataclass(frozen=True)
class Exported:
    """A C file, its header next to it, and the model that it is of."""

    source: Path
    name: str
    lanes: int
    classes: int
    pixels: type
    """The type of an image's values in NumPy."""

    def object(self, compiler: str, *options: str) -> Path:
        """Return the object file."""
        out = self.source.with_name(f"{compiler}{'_'.join(options)}.o")
        return compiled(compiler, [*strictness(self.lanes), *options, "-c"], [self.source], out)

    def program(self, compiler: str, *options: str) -> Path:
        """Return the self-test as a program."""
        out = self.source.with_name(f"{compiler}{len(options)}")
        macro = f"-D{self.name.upper()}_SELFTEST"
        return compiled(compiler, [*strictness(self.lanes), macro, *options], [self.source], out)

    def self_test(self, compiler: str, *options: str) -> int:
        """Return the exit status of the self-test, which sanitizers raise."""
        program = self.program(compiler, *options)
        return subprocess.run([str(program)], check=False, capture_output=True).returncode  # noqa: S603

    def object_for_cortex_m4(self) -> Path:
        """Return the object file for a Cortex-M4."""
        out = self.source.with_name("cortex_m4.o")
        return compiled("arm-none-eabi-gcc", [*CORTEX_M4, "-c"], [self.source], out)

    def self_test_on_a_cortex_m4(self) -> int:
        """Return the exit status of the self-test on an emulated Cortex-M4."""
        linked = ["-nostdlib", "-nostartfiles", "-T", str(STARTED / "memory.ld"), f"-D{self.name.upper()}_SELFTEST"]
        out = self.source.with_name("cortex_m4.elf")
        program = compiled("arm-none-eabi-gcc", [*CORTEX_M4, *linked], [STARTED / "start.c", self.source], out)
        emulator = ["qemu-system-arm", "-M", "mps2-an386", "-nographic", "-semihosting", "-kernel", str(program)]
        return subprocess.run(emulator, stdin=subprocess.DEVNULL, timeout=100, check=False).returncode  # noqa: S603

    def library(self, compiler: str, *options: str) -> Callable[[np.ndarray], np.ndarray]:
        """Return a function from images (N, C, H, W) to probabilities (N, K)."""
        out = self.source.with_name(f"{compiler}.so")
        compiled(compiler, [*strictness(self.lanes), *options, "-shared", "-fPIC"], [self.source], out)
        function = ctypes.CDLL(str(out))[self.name]

        def run(images: np.ndarray) -> np.ndarray:
            stored = np.ascontiguousarray(images.transpose(0, 2, 3, 1), self.pixels)
            found = np.empty((len(images), self.classes), np.float32)
            for image, row in zip(stored, found, strict=True):
                function(ctypes.c_void_p(image.ctypes.data), ctypes.c_void_p(row.ctypes.data))
            return found

        return run


def exported(subject: Subject, folder: Path, **options: Any) -> Exported:
    """Export a model to C in a folder."""
    chosen = ExportOptions(**options)
    source = folder / "model.c"
    made = FORMATS["c"].export(subject, chosen)
    write(paths_of(source, FORMATS["c"]), made)
    name, image = made.files[".h"].decode().split("void ")[1].split("(const ")
    pixels = np.uint8 if image.startswith("uint8_t ") else np.float32
    return Exported(source, name, chosen.lanes, len(subject.card.classes), pixels)


def pixels_of(subject: Subject) -> type:
    """Return the type of an image's values in NumPy."""
    return {DType.U8: np.uint8, DType.F32: np.float32}[pixel_type(subject.card)]


def engine(subject: Subject, images: np.ndarray, lanes: int) -> np.ndarray:
    """Return the probabilities (N, K) by the engine for plain x86-64 at these lanes."""
    recipe = Recipe(exact=True, momentum=0.0)
    machine = named("x86-64", lanes)
    made = CompiledEngine(subject.network, subject.card.scaling, recipe, 1, machine=machine)
    made.set_state(State({name: np.asarray(value) for name, value in subject.weights.items()}, {}))
    stored, labels = images.astype(pixels_of(subject)), np.zeros(len(images), np.int32)
    split = Split(ImageSet(stored, labels), np.arange(len(images), dtype=np.int64))
    return made.evaluate(split).probabilities
