"""Export to C: a file and a header."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from layerline.compiler.c_pen import CPen
from layerline.compiler.driver import module_of
from layerline.compiler.dtype import DType
from layerline.compiler.machine import Machine
from layerline.errors import UserError
from layerline.export.c import c_facts, c_self_test
from layerline.export.c.c_identifiers import function_name
from layerline.export.c.c_source import CSource
from layerline.export.formats import Exported
from layerline.export.forward import forward
from layerline.export.int8.quantizing import quantized
from layerline.export.on_host import HostProgram, plain_host
from layerline.export.subject import pixel_type
from layerline.files.versions import versions
from layerline.numbers import display

if TYPE_CHECKING:
    from layerline.compiler.program import Schedule
    from layerline.export.export_options import ExportOptions
    from layerline.export.forward import Forward
    from layerline.export.subject import Subject

LARGEST: Final = 2**31 - 1
"""Maximum bytes of weights, and of values."""


def export(subject: Subject, options: ExportOptions) -> Exported:
    """Return the files. Raises UserError if the model cannot be written in C."""
    name = function_name(options.name, subject.card.network_name)
    machine, card = c_machine(options.lanes), subject.card
    made, source, notes = _made(subject, options, machine)
    _check_addresses(made.schedule)
    module = module_of(made.schedule, machine, CPen)
    largest = card.preprocessing.maximum if np.isfinite(card.preprocessing.maximum) else 1.0
    stored = c_self_test.split(card.input_shape, source, largest)
    here = HostProgram(made, subject.network, card.scaling, plain_host(machine))
    test = c_self_test.SelfTest(source, largest, here.probabilities(stored))
    sizes = c_facts.sizes(made.schedule, "".join(module.functions), card.classes, options.lanes)
    written = CSource(name, card.input_shape, source, card.classes, card.scaling, made, module)
    title = f"{name}: an image classifier, written by layerline {versions()['layerline']}"
    rows = tuple(c_facts.rows(subject, name, sizes, notes))
    files = {".c": written.file(title, rows, test), ".h": written.header(title, rows)}
    microseconds = display.count(max(1, round(1e6 * here.seconds(stored))))
    lanes = "" if options.lanes == 1 else f", {options.lanes} lanes"
    speed = ("time", f"{microseconds} µs per image on this CPU (one thread{lanes})")
    return Exported({suffix: text.encode() for suffix, text in files.items()}, (*sizes.rows, speed), notes)


def _made(subject: Subject, options: ExportOptions, machine: Machine) -> tuple[Forward, DType, tuple[str, ...]]:
    """Return the Program in float32 or on 8-bit values, the type of its input, and notes."""
    if not options.int8:
        source = pixel_type(subject.card)
        return forward(subject, machine, source, channels_last=True), source, ()
    if options.lanes > 1:
        raise UserError(f"--lanes {options.lanes}: not with 8-bit integers, which are not in vectors", "omit --lanes")
    found = quantized(subject, options, machine)
    return found.forward(machine), DType.U8, found.notes


def c_machine(lanes: int) -> Machine:
    """Return C as a machine: at one lane for small CPUs, at four for those with vectors of 16 bytes.

    Twelve registers keep the code small: lenet5 for a Cortex-M4 has 2.9 kB rather than 4.0 kB with sixteen.
    """
    return Machine("c99", "c99", "", lanes, 12 if lanes == 1 else 16, fma=False)


def _check_addresses(planned: Schedule) -> None:
    """Raise UserError if an offset does not fit in 32 bits, which all integers in the file have."""
    for what, size in (("weights", planned.arena_bytes), ("values", planned.scratch_bytes)):
        if size > LARGEST:
            raise UserError(f"{display.size(size)} of {what}: more than the 2.15 GB that a C file can address")
