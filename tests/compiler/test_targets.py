"""Code for other kinds of machines: each gets its own instructions, indices and Program."""

from __future__ import annotations

import pytest

from layerline.compiler.code_key import key_of
from layerline.compiler.compilation import plan
from layerline.compiler.machine import host, target
from layerline.compiler.show import show
from layerline.compiler.task import task_of
from layerline.errors import UserError
from layerline.network import parse
from layerline.recipe import Recipe

NETWORK = parse("Input 1 8 8\nConv 4 3\nReLU\nFlat\nFC 3\n", name="n")
RECIPE = Recipe(batch_size=8)
INSTRUCTIONS = {
    "x86-64": "mulps",
    "aarch64": "fmla",
    "cortex-m4": "vfma.f32",
    "wasm32": "f32x4.mul",
}


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_a_target_has_its_own_instructions(name: str) -> None:
    """The assembly multiplies with an instruction that only this architecture has."""
    text = show(NETWORK, RECIPE, "asm", to=name, training=False)
    assert INSTRUCTIONS[name] in text
    assert not [other for key, other in INSTRUCTIONS.items() if key != name and other in text]


@pytest.mark.parametrize("name", ["cortex-m4", "wasm32"])
def test_a_target_that_cannot_train_only_predicts(name: str) -> None:
    """Its Program is that of an export: no labels, no losses, no gradients, indices of 32 bits."""
    text = show(NETWORK, RECIPE, "llvm", to=name)
    assert "@train" not in text
    assert "define void @predict(" in text.replace('"', "")
    assert "e-m:e-p:32:32" in text
    plan_text = show(NETWORK, RECIPE, to=name)
    assert "batch" not in plan_text
    assert "probabilities_alone" in plan_text
    assert f"n on {name}: " in plan_text


def test_one_lane_has_no_vectors() -> None:
    """--lanes narrows a target, too."""
    assert "f32x4" not in show(NETWORK, RECIPE, "asm", to="wasm32", lanes=1)


def test_unknown_targets_are_refused() -> None:
    """A target is refused with the known ones, lanes with those it has; a CPU and a target exclude each other."""
    with pytest.raises(UserError, match="--target riscv: unknown target") as error:
        show(NETWORK, RECIPE, to="riscv")
    assert error.value.help == "one of: x86-64, aarch64, cortex-m4, wasm32"
    with pytest.raises(UserError, match="lanes=8: wasm32 has no vectors of that width"):
        target("wasm32", 8)
    with pytest.raises(UserError, match="both specified"):
        show(NETWORK, RECIPE, cpu="haswell", to="wasm32")


def test_cached_code_is_of_one_machine() -> None:
    """The same Program for two machines has two keys in the cache of machine code, also if only features differ."""
    machines = [host(), *map(target, INSTRUCTIONS), target("wasm32", 1)]
    planned = plan(NETWORK, host(), task_of(RECIPE, training=False))
    keys = {key_of(planned, machine) for machine in machines}
    assert len(keys) == len(machines)
