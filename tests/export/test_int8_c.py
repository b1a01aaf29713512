"""C with 8-bit integers: strict C99 without undefined behavior, the bits of the host, a quarter of the memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from c_compiler import needed, symbols
from c_models import exported
from int8_networks import EVERY_LAYER, of_text
from preset_shapes import SHAPES

from layerline.compiler.lifetimes import shared
from layerline.compiler.machine import named
from layerline.data.dataset import Dataset
from layerline.errors import UserError
from layerline.export.c.c_export import c_machine
from layerline.export.forward import forward
from layerline.export.int8.host_accuracy import probabilities
from layerline.export.subject import Subject
from layerline.network import source
from layerline.runs.model_file import Card

if TYPE_CHECKING:
    from pathlib import Path

    from c_models import Exported
    from int8_networks import Int8Network


def subject_of(of: Int8Network) -> Subject:
    """Return a network for tests as if it were trained."""
    network = of.network
    classes = tuple(map(str, range(network.classes)))
    card = Card("every-layer", network.text, network.input_shape, classes, of.scaling, {"layerline": "0"})
    return Subject(network, card, of.weights)


def data_of(of: Int8Network) -> Dataset:
    """Return its images as data, which is also its validation set."""
    classes = tuple(map(str, range(of.network.classes)))
    return Dataset("drawn", classes, of.split, of.split, None, of.scaling, "")


def written(of: Int8Network, folder: Path) -> Exported:
    """Export a network for tests."""
    return exported(subject_of(of), folder, int8=True, data=data_of(of), max_loss=1.0)


@needed("gcc", "clang", "nm")
@pytest.mark.parametrize("seed", [0, 1])
def test_every_layer_in_c_has_the_bits_of_the_host(seed: int, tmp_path: Path) -> None:
    """Strict C99 by two compilers, optimized or not, clean for sanitizers, without a symbol of a library."""
    of = of_text(EVERY_LAYER, seed)
    made = written(of, tmp_path)
    expected = probabilities(
        of.network, of.scaling, lambda machine, last: of.program(machine, channels_last=last), of.split,
        named("x86-64", 1),
    )  # fmt: skip
    images = of.split.source.images
    for compiler, *options in (("gcc", "-O0"), ("gcc", "-O3"), ("clang", "-O2")):
        found = made.library(compiler, *options)(images)
        np.testing.assert_array_equal(found.view(np.int32), expected.view(np.int32))
    sanitizers = ("-fsanitize=undefined,address", "-fno-sanitize-recover=all")
    assert [made.self_test(compiler, *sanitizers) for compiler in ("gcc", "clang")] == [0, 0]
    assert symbols(made.object("gcc", "-O3")) == []


@needed("arm-none-eabi-gcc", "qemu-system-arm")
@pytest.mark.parametrize("seed", [0, 1])
def test_a_cortex_m4_has_the_same_bits(seed: int, tmp_path: Path) -> None:
    """Emulated: of a network with every kernel, dense, depthwise and of a Residual, and of FC; without a library. Of
    other images the bits differ."""
    made = written(of_text(EVERY_LAYER, seed), tmp_path)
    assert symbols(made.object_for_cortex_m4(), "arm-none-eabi-nm") == []
    assert made.self_test_on_a_cortex_m4() == 0
    text = made.source.read_text()
    made.source.write_text(text.replace("seed = 1,", "seed = 2,"))
    assert made.self_test_on_a_cortex_m4() != 0


@pytest.mark.parametrize("preset", SHAPES)
def test_presets_take_a_quarter_of_the_memory(preset: str) -> None:
    """Weights and RAM of int8 are at most 1 / 3.5 of those of float32."""
    C, H, W = SHAPES[preset]
    text = f"Input {C} {H} {W}\n{source.preset(preset).replace('FC classes', 'FC 10')}"
    of = of_text(text)
    machine = c_machine(1)
    floats = forward(subject_of(of), machine, channels_last=True).schedule
    bytes_ = shared(of.program(machine).program, machine)
    assert floats.arena_bytes / bytes_.arena_bytes >= 3.5
    assert floats.scratch_bytes / bytes_.scratch_bytes >= 3.5


def test_vectors_are_refused(tmp_path: Path) -> None:
    """Int8 code is for compilers to vectorize."""
    of = of_text("Input 1 4 4\nFlat\nFC 3\n")
    with pytest.raises(UserError, match="lanes=4: not with"):
        exported(subject_of(of), tmp_path, int8=True, data=data_of(of), max_loss=1.0, lanes=4)
