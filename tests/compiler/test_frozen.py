"""Frozen layers in a training: computed as in a prediction, to the bit, without gradients or optimizer state."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import numpy as np
import oracle
import pytest
import random_networks
from oracle import DIRECT, TRANSFORMED, Verdicts, judge, random_case, wide_case
from random_networks import with_frozen_part
from test_ends import Ended
from test_vocabulary import EVERYTHING, inside

from layerline.compiler.compilation import plan
from layerline.compiler.dtype import DType
from layerline.compiler.machine import host
from layerline.compiler.task import End, task_of
from layerline.data.dataset import ImageSet, Scaling, Split
from layerline.engines.compiled import CompiledEngine
from layerline.engines.epoch import Epoch
from layerline.engines.interface import State
from layerline.engines.torch_engine import TorchEngine
from layerline.network import parse
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.engines.interface import Engine
    from layerline.network import Network

FROZEN = """Input 3 16 16
Freeze
    Conv 32 3 padding=1 bias=no
    BatchNorm
    ReLU
    Residual
        Conv 32 3 padding=1
        BatchNorm
        ReLU6
        Dropout 0.3
        Depthwise 3 padding=1 bias=no
        BatchNorm
    End
    Pool 3 2 1
    BatchNorm
    SiLU
End
"""
"""BatchNorms that fold into three kinds of layers, one that does not, transformed tiles, a Dropout."""
HEADS = {
    "conv": "Conv 24 3 padding=1\nBatchNorm\nReLU\nPool 2\nDropout 0.2\nFlat\nFC 5\n",
    "norm": "BatchNorm\nReLU\nGlobalPool\nFlat\nFC 5\n",
    "flat": "Flat\nDropout 0.2\nFC 5\n",
}
RECIPES = {
    "sgd": {"momentum": 0.9, "weight_decay": 0.01, "learning_rate": 0.05},
    "plain": {"momentum": 0.0, "learning_rate": 0.05},
    "adamw": {"optimizer": "adamw", "clip_norm": 0.5, "ema": 0.9, "learning_rate": 0.01},
    "muon": {"optimizer": "muon", "clip_norm": 0.5, "ema": 0.9, "learning_rate": 0.01},
    "slow backbone": {"optimizer": "muon", "weight_decay": 0.01, "learning_rate": 0.01, "backbone_rate": 0.1},
}
N, BATCH = 40, 16
SCALING = (1 / 255, -0.5)


@pytest.fixture
def always_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw only networks with a frozen part, where there is a line for it."""
    monkeypatch.setattr(random_networks, "with_frozen_part", lambda text: with_frozen_part(text, 1.0))


def images(network: Network) -> ImageSet:
    numbers = np.random.default_rng(1)
    pixels = numbers.integers(0, 256, (N, *network.input_shape), dtype=np.uint8)
    return ImageSet(pixels, numbers.integers(0, network.classes, N).astype(np.int32))


def engine(network: Network, recipe: Recipe, threads: int = 2, *, peer: bool = False) -> Engine:
    """Return an engine whose BatchNorms have statistics of their own."""
    made = TorchEngine if peer else CompiledEngine
    scale, shift = SCALING
    found = made(network, Scaling((scale,) * 3, (shift,) * 3), recipe, threads)
    found.set_state(State(weights_of(found), found.state().optimizer))
    return found


def weights_of(of: Engine) -> dict[str, NDArray[np.float32]]:
    numbers, found = np.random.default_rng(2), of.state().weights
    for name, value in found.items():
        if name.endswith("running_mean"):
            value[...] = numbers.normal(0, 0.1, value.shape)
        elif name.endswith("running_var"):
            value[...] = numbers.uniform(0.2, 1, value.shape)
    return found


@pytest.mark.usefixtures("always_frozen")
def test_gradients_after_a_frozen_part() -> None:
    """Every trained tensor is within twice PyTorch's error of the truth in float64, where frozen BatchNorms use their
    running statistics: 40 networks; there is no gradient of a frozen one."""
    rng, verdicts, frozen = Random("frozen"), Verdicts(), 0
    for _ in range(40):
        case = random_case(rng, verdicts)
        frozen += case.network.frozen_parameter_count > 0
        assert set(oracle.our_gradients(case)) == {name for name, w in case.network.weights.items() if w.trained}
        judge(case, verdicts, rule=DIRECT)
    assert frozen >= 20
    assert verdicts.geometric_mean <= 1.2
    assert verdicts.ill <= 2


@pytest.mark.usefixtures("always_frozen")
def test_gradients_after_frozen_transformed_tiles() -> None:
    """The same of 12 wide networks with Winograd's convolutions, by their rule."""
    rng, verdicts = Random("frozen and wide"), Verdicts()
    for _ in range(12):
        judge(wide_case(rng, verdicts), verdicts, rule=TRANSFORMED)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("batch", [1, BATCH])
def test_the_frozen_part_has_the_bits_of_a_prediction(head: str, batch: int) -> None:
    """What a training step computes at the end of the frozen part is what the network that ends there predicts."""
    network = parse(FROZEN + HEADS[head], name="frozen")
    some, recipe = images(network), Recipe(batch_size=batch, momentum=0.9)
    subject = engine(network, recipe, 1)
    weights = subject.state().weights
    last = [node for node in network.nodes if node.frozen][-1]
    subject.train(Epoch(some, np.arange(batch), np.full(1, 0.1)), 0)
    found = last_values(subject, last.index)
    part = network.until(last.index + 1)
    ended = Ended(part, End.VALUES, weights, DType.U8, SCALING)
    expected = ended.predictor.values(ended.memory, some, np.arange(batch))
    assert found.tobytes() == expected[batch - len(found) :].tobytes()


def last_values(subject: Engine, node: int) -> NDArray[np.float32]:
    """Return what a node put out in the last step, of the last images: a thread keeps that of one group, the arena that
    of the whole batch."""
    trainer = subject._trainer  # type: ignore[attr-defined]
    schedule = trainer.compiled.schedule
    (buffer,) = [each for each in schedule.program.buffers if each.name == f"y{node}"]
    held = buffer in schedule.in_arena
    memory, at = (trainer.memory.arena, schedule.in_arena[buffer]) if held else (trainer.scratches[0], None)
    at = schedule.in_scratch[buffer] if at is None else at
    count = schedule.program.batch_size if held else 1
    values = memory[at : at + 4 * buffer.size * count].view(np.float32)
    return np.ascontiguousarray(inside(values, buffer.plane, count).transpose(0, 3, 1, 2))


@pytest.mark.parametrize("name", RECIPES)
def test_frozen_layers_keep_their_bits_on_any_number_of_threads(name: str) -> None:
    """Frozen weights and statistics stay as they are, there is no optimizer state of them, and everything else is the
    same for 1, 2, 3 and 5 threads."""
    text = EVERYTHING.replace("Conv 8 3 padding=1 bias=no\n", "Freeze\nConv 8 3 padding=1 bias=no\n", 1)
    network = parse(text.replace("Pool 3 2 1\n", "Pool 3 2 1\nEnd\n", 1), name="everything")
    network = network.with_backbone(len(network.nodes) - 1)
    some, recipe = images(network), Recipe(batch_size=BATCH, **RECIPES[name])
    frozen = {key for node in network.nodes if node.frozen for key in node.weights}
    assert len(frozen) >= 19
    first: dict[str, NDArray[np.float32]] = {}
    for threads in (1, 2, 3, 5):
        subject = engine(network, recipe, threads)
        before = subject.state()
        assert subject.train(Epoch(some, np.arange(N), np.full(3, 0.2)), 0) == 3
        state = subject.state()
        assert list(state.weights) == list(before.weights) == list(network.weights)
        for key, value in state.weights.items():
            same = value.tobytes() == before.weights[key].tobytes()
            assert same is (key in frozen), key
        assert not [key for key in state.optimizer if key.partition(".")[2] in frozen]
        found = {**state.weights, **state.optimizer, "loss": np.array(subject.running().loss)}
        found["seen"] = subject.evaluate(Split(some, np.arange(N))).probabilities
        first = first or found
        for key, value in found.items():
            np.testing.assert_array_equal(value, first[key], err_msg=f"{key}, {threads} threads")


@pytest.mark.parametrize("name", RECIPES)
def test_the_torch_engine_keeps_frozen_layers_too(name: str) -> None:
    """Frozen tensors keep their bits, and SGD's steps are those of the compiled engine, within rounding, which other
    optimizers enlarge."""
    network = parse(FROZEN + HEADS["conv"], name="frozen")
    some, recipe = images(network), Recipe(batch_size=BATCH, **RECIPES[name])
    states = []
    for peer in (False, True):
        subject = engine(network, recipe, peer=peer)
        before = subject.state().weights
        subject.train(Epoch(some, np.arange(N), np.full(3, recipe.learning_rate)), 0)
        states.append(subject.state())
        for node in network.nodes:
            for key in node.weights if node.frozen else ():
                assert states[-1].weights[key].tobytes() == before[key].tobytes(), key
    ours, theirs = states
    assert ours.optimizer.keys() == theirs.optimizer.keys()
    for key, value in theirs.weights.items() if name in ("sgd", "plain") else ():
        moved = np.linalg.norm(value - before[key])
        assert np.linalg.norm(ours.weights[key] - value) <= 1e-4 * moved + 1e-6 * np.linalg.norm(value), key


def test_a_state_is_folded_again() -> None:
    """Other frozen weights that are set are those that the next step uses, and those that `state` returns."""
    network = parse(FROZEN + HEADS["flat"], name="frozen")
    some, recipe = images(network), Recipe(batch_size=BATCH, momentum=0.9)
    subject, fresh = engine(network, recipe), engine(network, recipe)
    step = Epoch(some, np.arange(BATCH), np.full(1, 0.1))
    subject.train(step, 0)
    other = {name: value * np.float32(1.25) for name, value in fresh.state().weights.items()}
    for each in (subject, fresh):
        each.set_state(State(other, fresh.state().optimizer))
    subject.train(step, 0)
    fresh.train(step, 0)
    for name, value in fresh.state().weights.items():
        np.testing.assert_array_equal(subject.state().weights[name], value, err_msg=name)
    assert subject.state().weights["0.weight"].tobytes() == other["0.weight"].tobytes()


def test_a_frozen_part_needs_less_memory_and_no_phases() -> None:
    """Its BatchNorms divide no step, its values are not kept for the batch, its weights have no copies."""
    text = FROZEN + HEADS["flat"]
    thawed = text.replace("Freeze\n", "").replace("SiLU\nEnd\n", "SiLU\n")
    frozen, trained = (
        plan(parse(each, name="n"), host(), task_of(Recipe(batch_size=64, momentum=0.9))) for each in (text, thawed)
    )
    assert len(frozen.phases) == 2
    assert len(trained.phases) > 10
    assert frozen.arena_bytes < trained.arena_bytes / 10
    assert [tensor.name for tensor in frozen.program.tensors if tensor.slots] == ["9.weight", "9.bias"]
