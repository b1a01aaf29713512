"""One training in several processes: each takes its part of every batch, and all have what one would have alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_compiled_engine import digest
from thread_ranks import together

from layerline.compiler.compilation import plan
from layerline.compiler.kernels.exchange import Exchange
from layerline.compiler.machine import host
from layerline.compiler.task import task_of
from layerline.data.dataset import ImageSet, Scaling, Split
from layerline.engines.compiled import CompiledEngine
from layerline.engines.epoch import plan_epoch
from layerline.engines.ranks import ALONE, Ranks
from layerline.engines.torch_engine import TorchEngine
from layerline.network import parse
from layerline.network.source import presets, read
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from layerline.engines.interface import Engine, Outputs, Running, State

PLAIN = "Input 3 12 12\nConv 8 3\nReLU\nPool 2\nFlat\nFC 5\nSoftmax\n"
NORMED = """Input 3 12 12
Conv 8 3 padding=1 bias=no
BatchNorm
ReLU
Pool 2
Dropout 0.3
Residual
    Conv 8 3 padding=1 bias=no
    BatchNorm
End
ReLU
GlobalPool
Flat
FC 16 bias=no
BatchNorm
ReLU
FC 5
Softmax
"""
RECIPES = {
    "sgd": {"learning_rate": 0.05, "weight_decay": 1e-3},
    "clipped": {"learning_rate": 0.05, "clip_norm": 0.5, "ema": 0.9},
    "muon": {"optimizer": "muon", "learning_rate": 0.01},
    "weighted": {"class_weights": (1, 2, 1, 1, 0.5), "label_smoothing": 0.1, "learning_rate": 0.02},
    "augmented": {"augment": "flip,shift=2", "learning_rate": 0.05},
}
WITHIN = {"muon": 5e-3}
"""Muon's five rounds enlarge a small singular value, and its rounding with it, by up to 3.4445⁵ = 485; AdamW divides
the gradient of a bias by its size, however small that is."""
IMAGES, BATCH = 203, 40
"""The last batch has 3 images: with four ranks, one has none."""


def data() -> Split:
    numbers = np.random.default_rng(0)
    images = numbers.integers(0, 256, (IMAGES, 3, 12, 12), dtype=np.uint8)
    return Split(ImageSet(images, numbers.integers(0, 5, IMAGES).astype(np.int32)), np.arange(IMAGES))


def engine(ranks: Ranks, text: str, recipe: Recipe, threads: int = 1, *, peer: bool = False) -> Engine:
    """Return an engine for images of bytes; `peer`: PyTorch's."""
    parts = (parse(text, name="net"), Scaling((1 / 255,) * 3, (-0.5,) * 3), recipe, threads)
    return TorchEngine(*parts, ranks=ranks) if peer else CompiledEngine(*parts, ranks=ranks)


def trained(
    ranks: Ranks, text: str, recipe: Recipe, threads: int = 1, *, peer: bool = False
) -> tuple[State, list[Running], Outputs]:
    split = data()
    e = engine(ranks, text, recipe, threads, peer=peer)
    running = []
    for number in (1, 2):
        e.reset_running()
        assert e.train(plan_epoch(recipe, split, number, 5), 0) == 6
        running.append(e.running())
    return e.state(), running, e.evaluate(split)


def relative(found: Any, expected: Any) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("text", [PLAIN, NORMED], ids=["plain", "normed"])
@pytest.mark.parametrize("peer", [False, True], ids=["compiled", "torch"])
def test_ranks_train_what_one_process_does(text: str, name: str, *, peer: bool) -> None:
    """Two, three and four ranks: weights within 10⁻⁵ (PyTorch, which sums gradients in float32: 3 · 10⁻⁵), losses
    within 10⁻⁶, the same tallies; all ranks have the same bits."""
    most = WITHIN.get(name, 3e-5 if peer else 1e-5)
    recipe = Recipe(batch_size=BATCH, epochs=2, **RECIPES[name])
    alone, running, outputs = trained(ALONE, text, recipe, peer=peer)
    for size in (2, 3, 4):
        found = together(size, lambda ranks: trained(ranks, text, recipe, peer=peer))
        assert len({digest(state) for state, _, _ in found}) == 1
        state, others, predicted = found[-1]
        for key, value in alone.weights.items():
            assert relative(state.weights[key], value) < most, (size, key)
        for mine, other in zip(running, others, strict=True):
            assert other.loss == pytest.approx(mine.loss, rel=WITHIN.get(name, 1e-6))
            np.testing.assert_array_equal(other.tallies, mine.tallies)
        assert relative(predicted.probabilities, outputs.probabilities) < 10 * most
        assert all(each[2].losses.tobytes() == predicted.losses.tobytes() for each in found)


@pytest.mark.parametrize("peer", [False, True], ids=["compiled", "torch"])
def test_ranks_exchange_nothing_of_frozen_layers(*, peer: bool) -> None:
    """With a frozen part the same holds of two and three ranks: frozen weights keep their bits, and of two BatchNorms
    the compiled engine exchanges the sums of the one that is trained."""
    text = NORMED.replace("Conv", "Freeze\nConv", 1).replace("GlobalPool", "End\nGlobalPool")
    recipe = Recipe(batch_size=BATCH, epochs=2, **RECIPES["clipped"])
    alone, running, _ = trained(ALONE, text, recipe, peer=peer)
    first = engine(ALONE, text, recipe, peer=peer).state()
    for size in (2, 3):
        found = together(size, lambda ranks: trained(ranks, text, recipe, peer=peer))
        assert len({digest(state) for state, _, _ in found}) == 1
        state, others, _ = found[0]
        for node in parse(text).nodes:
            for key in node.weights:
                if node.frozen:
                    assert state.weights[key].tobytes() == first.weights[key].tobytes(), key
                else:
                    assert relative(state.weights[key], alone.weights[key]) < (3e-5 if peer else 1e-5), key
        assert [each.loss for each in others] == pytest.approx([each.loss for each in running], rel=1e-6)
    task = replace(task_of(recipe), exchanges=True)
    ops = plan(parse(text), host(), task).program.ops
    assert sum(isinstance(op.kernel, Exchange) for op in ops) == 3  # forward and backward, and the gradients


def test_threads_of_a_rank_do_not_change_the_bits() -> None:
    """Two ranks of one thread and two of three: the same weights."""
    recipe = Recipe(batch_size=BATCH, epochs=2, learning_rate=0.05)
    found = {
        digest(state)
        for threads in (1, 3)
        for state, _, _ in together(2, lambda ranks, n=threads: trained(ranks, NORMED, recipe, n))  # type: ignore[misc]
    }
    assert len(found) == 1


@pytest.mark.parametrize("peer", [False, True], ids=["compiled", "torch"])
def test_evaluation_is_dealt_out_without_a_change(*, peer: bool) -> None:
    """With equal weights, ranks predict the same bits as one process, of more images than one piece has."""
    numbers = np.random.default_rng(1)
    images = numbers.integers(0, 256, (700, 3, 12, 12), dtype=np.uint8)
    split = Split(ImageSet(images, numbers.integers(0, 5, 700).astype(np.int32)), np.arange(700))

    def outputs(ranks: Ranks) -> bytes:
        found = engine(ranks, PLAIN, Recipe(batch_size=8), peer=peer).evaluate(split)
        return found.probabilities.tobytes() + found.losses.tobytes()

    assert {outputs(ALONE), *together(3, outputs)} == {outputs(ALONE)}


@pytest.mark.parametrize("peer", [False, True], ids=["compiled", "torch"])
def test_a_stop_on_one_rank_stops_all_after_the_same_step(*, peer: bool) -> None:
    """Rank 1 asks before the epoch begins: all do one step, and then the rest, to the bits of an epoch in one piece."""
    recipe = Recipe(batch_size=BATCH, epochs=1, learning_rate=0.05)

    def stopped(ranks: Ranks) -> tuple[int, int, str]:
        e = engine(ranks, PLAIN, recipe, peer=peer)
        epoch = plan_epoch(recipe, data(), 1, 5)
        if ranks.rank == 1:
            e.stop()
        done = e.train(epoch, 0)
        return done, e.train(epoch, done), digest(e.state())

    def whole(ranks: Ranks) -> str:
        e = engine(ranks, PLAIN, recipe, peer=peer)
        e.train(plan_epoch(recipe, data(), 1, 5), 0)
        return digest(e.state())

    assert set(together(3, stopped)) == {(1, 5, together(3, whole)[0])}


@pytest.mark.parametrize("peer", [False, True], ids=["compiled", "torch"])
def test_a_loss_that_is_no_number_on_one_rank_stops_all_at_the_same_step(*, peer: bool) -> None:
    """The step is the one at which a single process diverges."""
    images = np.random.default_rng(2).standard_normal((120, 3, 12, 12)).astype(np.float32)
    images[70] = np.nan
    split = Split(ImageSet(images, np.zeros(120, np.int32) + np.arange(120, dtype=np.int32) % 5), np.arange(120))
    recipe = Recipe(batch_size=10, epochs=1, learning_rate=0.01)

    def diverged(ranks: Ranks) -> tuple[int | None, int]:
        e = engine(ranks, PLAIN, recipe, peer=peer)
        done = e.train(plan_epoch(recipe, split, 1, 5), 0)
        return e.diverged_step, done

    expected = diverged(ALONE)
    assert expected[0] is not None
    assert set(together(3, diverged)) == {expected}


def test_an_error_in_an_exchange_is_raised_where_the_training_was_called() -> None:
    """And the machine code of all threads has ended."""

    def failing(ranks: Ranks) -> None:
        e = engine(ranks, PLAIN, Recipe(batch_size=BATCH), 2)

        def gone(_: Any) -> None:
            raise ConnectionError("gone")

        ranks.add_up = gone  # type: ignore[method-assign]
        with pytest.raises(ConnectionError, match="gone"):
            e.train(plan_epoch(Recipe(batch_size=BATCH), data(), 1, 5), 0)

    together(2, failing)


@given(st.integers(1, 9), st.integers(0, 200), st.integers(1, 64))
def test_bounds_deal_out_everything_once(size: int, items: int, multiple: int) -> None:
    """From 0 to the end, parts of most equal number; a smaller batch gives no rank more than a larger one does."""
    ranks = [Part(rank, size) for rank in range(size)]
    bounds = ranks[0].bounds(items, multiple)
    assert (bounds[0], bounds[-1], len(bounds)) == (0, items, size + 1)
    parts = [part.part(items, multiple) for part in ranks]
    assert [first for first, _ in parts] == bounds[:-1]
    assert all(first % multiple == 0 or first == items for first in bounds)
    if multiple == 1:
        sizes = [last - first for first, last in parts]
        assert max(sizes) - min(sizes) <= 1
        assert all(b - a <= n for (a, b), n in zip((p.part(max(0, items - 1)) for p in ranks), sizes, strict=True))


class Part(Ranks):
    """A rank that only deals out."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size

    add_up = complete = gathered = leave = None  # type: ignore[assignment]


@pytest.mark.parametrize("preset", presets())
def test_a_step_of_every_preset_exchanges_all_gradients(preset: str) -> None:
    """Whatever a step of the optimizer reads comes out of an exchange, or follows from one; a norm exchanges twice."""
    network = read(preset, classes=10, input_shape=(3, 32, 32) if preset != "digits" else (1, 8, 8))
    program = plan(network, host(), replace(task_of(Recipe()), exchanges=True)).program
    exchanged = {b for op in program.ops if isinstance(op.kernel, Exchange) for b in op.written}
    norms = sum(node.layer.uses_batch for node in network.nodes)
    assert sum(isinstance(op.kernel, Exchange) for op in program.ops) == 2 * norms + 1
    trained = [t for t in program.tensors if t.slots]
    of_norms = {f"{n.path}.{w}" for n in network.nodes if n.layer.uses_batch for w in ("weight", "bias")}
    assert {t.name for t in trained if t.gradient not in exchanged} == of_norms
