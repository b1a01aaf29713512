"""The rules that every Program keeps: each refuses what breaks it, and what the compiler makes breaks none."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Final

import pytest
from preset_shapes import SHAPES
from random_networks import draw
from test_golden_plans import MACHINES

from layerline.compiler import passes
from layerline.compiler.build import build
from layerline.compiler.dtype import DType
from layerline.compiler.kernels.activations import ActivationBackward
from layerline.compiler.kernels.conv import ConvForward
from layerline.compiler.kernels.conv_gradients import ConvFilters
from layerline.compiler.kernels.optimizers import Sgd
from layerline.compiler.kernels.update import Step, ToColumns
from layerline.compiler.passes import PASSES, optimize
from layerline.compiler.plane import Plane, capacity
from layerline.compiler.program import Op, Per, Program
from layerline.compiler.spec import RULES, check
from layerline.compiler.task import Task, task_of
from layerline.network import Network, parse
from layerline.network.source import presets, read
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerline.compiler.machine import Machine
    from layerline.compiler.program import Buffer

MACHINE = MACHINES[0]
NETWORK = "Input 1 12 12\nConv 6 3\nReLU\nPool 2\nFlat\nFC 10\n"
"""Its gradient by the convolution's filters is a sum over places."""
BRANCHES = "Input 3 8 8\nConv 3 3 padding=1\nResidual\nTanh\nConv 3 3 padding=1\nEnd\nFlat\nFC 4\n"
"""The gradient by the first convolution's output is set by one op and added to by another."""
TASK = Task(50, Sgd(decay=False))


def plain(text: str = NETWORK) -> Program:
    return build(parse(text, name="n"), MACHINE, TASK)


def changed(program: Program, name: str, /, **changes: object) -> Program:
    """Return the Program with another buffer under a name, wherever it was."""

    def new(buffer: Buffer) -> Buffer:
        return replace(buffer, **changes) if buffer.name == name else buffer

    assert any(buffer.name == name for buffer in program.buffers)
    tensors = tuple(
        replace(
            tensor,
            homes=tuple((new(home), layout) for home, layout in tensor.homes),
            slots=tuple((word, new(slot)) for word, slot in tensor.slots),
        )
        for tensor in program.tensors
    )
    ops = tuple(Op(op.kernel, tuple(map(new, op.buffers))) for op in program.ops)
    return replace(program, ops=ops, tensors=tensors)


def otherwise(program: Program, kind: type, **changes: object) -> Program:
    """Return the Program with the kernels of a class changed."""
    assert any(isinstance(op.kernel, kind) for op in program.ops)
    return replace(
        program,
        ops=tuple(
            Op(replace(op.kernel, **changes), op.buffers) if isinstance(op.kernel, kind) else op for op in program.ops
        ),
    )


def all_add() -> Program:
    """Return a Program whose gradients are all added to what nobody set."""
    ops = []
    for op in plain().ops:
        can = any(field.name == "add" for field in dataclasses.fields(op.kernel))
        ops.append(Op(replace(op.kernel, add=True), op.buffers) if can else op)
    return replace(plain(), ops=tuple(ops))


def read_too_early() -> Program:
    """Return a Program in which the last op that adds to a gradient comes after one that reads it."""
    program = plain(BRANCHES)
    (gradient,) = (b for b in program.buffers if b.name == "dy0")
    last = [op for op in program.ops if gradient in op.written][-1]
    rest = [op for op in program.ops if op is not last]
    reader = next(k for k, op in enumerate(rest) if gradient in op.read)
    return replace(program, ops=(*rest[: reader + 1], last, *rest[reader + 1 :]))


def without_copies() -> Program:
    """Return a Program in which a step leaves the columns of its filters as they were."""
    ops = tuple(op for op in plain().ops if not isinstance(op.kernel, ToColumns))
    assert len(ops) < len(plain().ops)
    return replace(plain(), ops=ops)


def stepped_twice() -> Program:
    """Return a Program in which a parameter is stepped twice."""
    (*_, last) = (op for op in plain().ops if isinstance(op.kernel, Step))
    return replace(plain(), ops=(*plain().ops, last))


def small_layout() -> Program:
    """Return a Program to predict whose depthwise filters have no room for the zeros behind each tap."""
    network = parse("Input 3 6 6\nDepthwise 3\nFlat\nFC 2\n", name="n")
    return changed(build(network, MACHINE, replace(TASK, training=False)), "w0", size=capacity(3 * 9))


def other_columns() -> Program:
    """Return a Program that convolves with another tile than the one that its filters lie for."""
    program = plain()
    (conv,) = (op.kernel for op in program.ops if isinstance(op.kernel, ConvForward))
    blocks = tuple(replace(block, lanes=4, vectors=2) for block in conv.tile.blocks)
    return otherwise(program, ConvForward, tile=replace(conv.tile, blocks=blocks))


BROKEN: Final[dict[str, tuple[Callable[[], Program], str, str]]] = {
    "two buffers of a name": (
        lambda: changed(plain(), "dy4", name="y4", size=48),
        "unique_names",
        r"softmax_loss_k10: buffer y4 shares its name with another buffer",
    ),
    "no op wrote what is read": (
        lambda: replace(plain(), ops=plain().ops[1:]),
        "written_before_read",
        r"conv_b_fwd_\S+: buffer x is read before any op writes it",
    ),
    "values of another type": (
        lambda: changed(plain(), "y0", dtype=DType.F64),
        "types",
        r"conv_b_fwd_\S+: buffer y0 has type f64, the argument f32",
    ),
    "a plane of another height": (
        lambda: changed(plain(), "y0", plane=Plane(6, 3, 10)),
        "planes",
        r"conv_b_fwd_\S+: buffer y0 has layout c6h3w10, the argument c6h10w10",
    ),
    "an image with a border as a list": (
        lambda: changed(plain(), "y4", plane=Plane(10, 1, 1, 1, 1, 1, 1)),
        "planes",
        r"fc_b_fwd_\S+: buffer y4 has layout c10h1w1b1_1_1_1, the argument a list of 10",
    ),
    "an image without its room": (
        lambda: changed(plain(), "y0", size=1),
        "sizes",
        r"conv_b_fwd_\S+: buffer y0 has 1 elements, the argument needs 624 for 600",
    ),
    "weights without their room": (
        lambda: changed(plain(), "w4", size=16),
        "sizes",
        r"fc_b_fwd_\S+: buffer w4 has 16 elements, the argument needs \d+ for \d+",
    ),
    "sums of shards too far from each other": (
        lambda: changed(plain(), "db4s", size=48),
        "sizes",
        r"reduce_r1l10p10: buffer db4s has 48 elements, the argument needs 32 for 10",
    ),
    "an array of the caller's with an item an image": (
        lambda: changed(plain(), "labels", per=Per.POSITION),
        "sizes",
        r"softmax_loss_k10: buffer labels is per position, the argument expects an array of the caller's",
    ),
    "an image's values there once, for all threads": (
        lambda: changed(plain(), "y0", per=Per.ONCE),
        "owners",
        r"conv_b_fwd_\S+: buffer y0 is per once, which a kernel over images never writes",
    ),
    "what a thread gathers read image by image": (
        lambda: changed(plain(), "y2", per=Per.THREAD),
        "owners",
        r"fc_b_fwd\S+: buffer y2 is per thread, which a kernel over images never reads",
    ),
    "gradients that nobody set": (
        all_add,
        "set_then_accumulated",
        r"fc_input_add_\S+: buffer dy2 is accumulated into before it is set",
    ),
    "a gradient set twice": (
        lambda: otherwise(plain(BRANCHES), ActivationBackward, add=False),
        "set_then_accumulated",
        r"tanh_bwd_\S+: buffer dy0 is set again, which discards its contents",
    ),
    "a gradient read before it is whole": (
        read_too_early,
        "complete_when_read",
        r"\S+: buffer dy0 is written after it is read",
    ),
    "a step taken twice": (
        stepped_twice,
        "one_writer",
        r"sgd_m_\S+: buffer \S+ is already written by sgd_m_\S+",
    ),
    "a slot of no parameter": (
        lambda: replace(plain(), tensors=tuple(replace(tensor, slots=()) for tensor in plain().tensors)),
        "only_parameters_updated",
        r"sgd_m_\S+: buffer momentum_\S+ is not a parameter, but the op updates it",
    ),
    "a copy left behind": (
        without_copies,
        "copies_in_sync",
        r"sgd_m_\S+: buffer w0c is a copy of w0r and is not updated with it",
    ),
    "a layout without its room": (
        small_layout,
        "layouts",
        r"parameter \S+\.weight: buffer w0 has 48 elements, the layout needs \d+",
    ),
    "filters in the columns of another tile": (
        other_columns,
        "layouts",
        r"conv_b_fwd_\S+: buffer w0c is accessed as Columns\(.*lanes=4.*\), its layout is Columns\(.*lanes=8.*\)",
    ),
    "places of another pool": (
        lambda: otherwise(optimize(plain(), MACHINE), ConvFilters, window=(3, 3)),
        "places",
        r"conv_at_filters_\S+: buffer at2 is read as Places\(.*\), but was written as Places\(.*window=\(2, 2\), .*\)",
    ),
}
"""What is wrong → how a Program gets so, the rule that it breaks, and what the refusal says of it."""


@pytest.mark.parametrize("wrong", BROKEN)
def test_a_program_that_breaks_a_rule_is_refused(wrong: str) -> None:
    """The refusal names the pass, the op, the buffer, what is wrong with it, and the rule."""
    make, rule, message = BROKEN[wrong]
    with pytest.raises(AssertionError) as refused:
        check(make(), "fuse_activation")
    assert re.fullmatch(rf"after fuse_activation: {message} \(rule {rule} of compiler/spec.py\)", str(refused.value))


def test_every_rule_has_a_program_that_breaks_it() -> None:
    """A new rule comes with a new line above."""
    assert {rule for _, rule, _ in BROKEN.values()} == {rule.__name__ for rule in RULES}


def test_the_pass_at_fault_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules are asked after each pass: what a pass breaks is said of it, not of a later one."""

    def lose_an_op(program: Program, _: Machine) -> Program:
        return replace(program, ops=program.ops[1:])

    monkeypatch.setattr(passes, "PASSES", (PASSES[0], lose_an_op, *PASSES[1:]))
    with pytest.raises(AssertionError, match=r"^after lose_an_op: .* buffer x is read"):
        optimize(plain(), MACHINE)


def kept_after_every_pass(network: Network, task: Task, machine: Machine) -> None:
    program = build(network, machine, task)
    check(program, "build")
    for run_pass in PASSES:
        program = run_pass(program, machine)
        check(program, run_pass.__name__)


RECIPES: Final = (
    Recipe(momentum=0.9, batch_size=50),
    Recipe(optimizer="muon", weight_decay=0.1, clip_norm=1.0, ema=0.9, batch_size=7),
    Recipe(optimizer="adamw", label_smoothing=0.1, class_weights="balanced", augment="flip", batch_size=3),
)


@pytest.mark.parametrize("preset", presets())
def test_presets_keep_the_rules(preset: str) -> None:
    """After every pass, to train and to predict, with every kind of step."""
    network = read(preset, input_shape=SHAPES[preset], classes=10)
    for recipe in RECIPES:
        for training in (True, False):
            kept_after_every_pass(network, task_of(recipe, training=training), MACHINE)


@pytest.mark.parametrize("seed", range(40))
def test_random_networks_keep_the_rules(seed: int) -> None:
    """After every pass, to train and to predict, at every width of vectors."""
    network = parse(draw(Random(seed)), name="n")
    for machine in MACHINES:
        for training in (True, False):
            kept_after_every_pass(network, task_of(RECIPES[seed % len(RECIPES)], training=training), machine)
