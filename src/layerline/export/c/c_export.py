"""Export to C: a file and a header."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from layerline.compiler.c_pen import CPen
from layerline.compiler.driver import module_of
from layerline.compiler.machine import Machine
from layerline.errors import UserError
from layerline.export import on_host
from layerline.export.c import c_facts, c_self_test
from layerline.export.c.c_identifiers import function_name
from layerline.export.c.c_source import CSource
from layerline.export.formats import Exported
from layerline.export.forward import forward
from layerline.files.versions import versions
from layerline.numbers import display

if TYPE_CHECKING:
    from layerline.export.export_options import ExportOptions
    from layerline.export.subject import Subject


def export(subject: Subject, options: ExportOptions) -> Exported:
    """Return the files. Raises UserError if the model cannot be written in C."""
    name = function_name(options.name, subject.card.network_name)
    _check_finite(subject)
    machine = c_machine(options.lanes)
    card, source = subject.card, c_facts.source_of(subject.card)
    made = forward(subject, machine, source, channels_last=True)
    module = module_of(made.schedule, machine, CPen)
    largest = card.preprocessing.maximum if np.isfinite(card.preprocessing.maximum) else 1.0
    C, H, W = card.input_shape
    stored = c_self_test.images((H, W, C), source, largest)
    test = c_self_test.SelfTest(source, largest, on_host.probabilities(made, machine, card.scaling, stored))
    sizes = c_facts.sizes(made.schedule, "".join(module.functions), card.classes, options.lanes)
    written = CSource(name, card.input_shape, source, card.classes, card.scaling, made, module)
    title = f"{name}: an image classifier, written by layerline {versions()['layerline']}"
    rows = tuple(c_facts.rows(subject, name, sizes))
    files = {".c": written.file(title, rows, test), ".h": written.header(title, rows)}
    return Exported({suffix: text.encode() for suffix, text in files.items()}, sizes.rows)


def c_machine(lanes: int) -> Machine:
    """Return C as a machine: at one lane for small CPUs, at four for those with vectors of 16 bytes.

    Twelve registers keep the code small: lenet5 for a Cortex-M4 has 2.9 kB rather than 4.0 kB with sixteen.
    """
    return Machine("c99", "c99", "", lanes, 12 if lanes == 1 else 16, fma=False)


def _check_finite(subject: Subject) -> None:
    for name, value in subject.weights.items():
        if not np.isfinite(value).all():
            count = display.count(int((~np.isfinite(value)).sum()))
            raise UserError(
                f"{name} has {count} NaN or infinite values, which C has no constants for",
                "train again with a lower learning rate",
            )
