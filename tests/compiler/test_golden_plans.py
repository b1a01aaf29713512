"""What the compiler makes of every preset, for CPUs of four vector widths: a change of structure leaves it as it is.

`scripts/golden tests/compiler/test_golden_plans.py` writes the files anew. The digest is that of the text that LLVM
is given.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from preset_shapes import SHAPES

from layerline.compiler.compilation import plan
from layerline.compiler.driver import write_module
from layerline.compiler.machine import Machine
from layerline.compiler.show import plan_text
from layerline.compiler.task import task_of
from layerline.network.source import presets, read
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

LINUX = "x86_64-unknown-linux-gnu"
MACHINES = (
    Machine(LINUX, "x86-64-v4", "", lanes=16, registers=32, fma=True),
    Machine(LINUX, "x86-64-v3", "", lanes=8, registers=16, fma=True),
    Machine(LINUX, "x86-64", "", lanes=4, registers=16, fma=False),
    Machine("riscv64-unknown-linux-gnu", "generic", "", lanes=1, registers=16, fma=False),
)


@pytest.mark.parametrize("preset", presets())
def test_the_plan_of_a_preset_is_what_it_was(preset: str, golden: Callable[[str, str], None]) -> None:
    """Phases, kernels, memory and code, to train and to predict."""
    network = read(preset, input_shape=SHAPES[preset], classes=10)
    recipe = Recipe(momentum=0.9, batch_size=50)
    written = []
    for training in (True, False):
        for machine in MACHINES:
            schedule = plan(network, machine, task_of(recipe, training=training))
            digest = hashlib.sha256(write_module(schedule, machine).encode()).hexdigest()
            written.append(f"{plan_text(network, machine, schedule)}code: {digest}")
    golden(f"plans/{preset}.txt", "\n\n".join(written))
