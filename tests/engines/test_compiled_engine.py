"""What the compiled engine promises beside right gradients: the same bits always, state in and out, nothing read
past."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import textwrap
from random import Random
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from oracle import Verdicts, engine_for, random_case
from torch import nn

from layerline.compiler.compilation import compiled_alone
from layerline.compiler.machine import host, named
from layerline.data.dataset import ImageSet, Scaling, Split
from layerline.engines.compiled import CompiledEngine
from layerline.engines.epoch import Epoch
from layerline.network import parse
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from layerline.engines.interface import State

SIX_LAYER = "Input 1 12 12\nConv 6 5 1 2\nReLU\nPool 2 2\nFlat\nFC 10\nSoftmax\n"
DEEP = "Input 2 11 13\nConv 5 3 1 1\nReLU\nConv 20 3 2\nPool 3 2 1\nReLU\nFlat\nFC 17\nReLU\nFC 4\n"


def images_for(text: str, n: int, seed: int = 0) -> ImageSet:
    network = parse(text, name="net")
    numbers = np.random.default_rng(seed)
    images = numbers.integers(0, 256, (n, *network.input_shape), dtype=np.uint8)
    return ImageSet(images, numbers.integers(0, network.classes, n).astype(np.int32))


def engine(text: str, threads: int = 2, **recipe: object) -> CompiledEngine:
    network = parse(text, name="net")
    C = network.input_shape[0]
    scaling = Scaling((1 / 255,) * C, (0.0,) * C)
    return CompiledEngine(network, scaling, Recipe(**{"batch_size": 8, **recipe}), threads)


def digest(state: State) -> str:
    arrays = [*state.weights.values(), *state.optimizer.values()]
    return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()


def epoch(e: CompiledEngine, images: ImageSet, first: int = 0, seed: int = 3) -> int:
    order = np.random.default_rng(seed).permutation(len(images.labels)).astype(np.int64)
    steps = -(-len(order) // e._recipe.batch_size)
    return e.train(Epoch(images, order, np.linspace(0.1, 0.01, steps)), first)


@pytest.mark.parametrize("text", [SIX_LAYER, DEEP])
def test_threads_do_not_change_the_bits(text: str) -> None:
    """One, two, three and four threads, and a second run, end in the same weights, momenta, loss and tallies
    matrix."""
    images = images_for(text, 91)
    results = set()
    for threads in (1, 2, 3, 4, 2):
        e = engine(text, threads, batch_size=20, weight_decay=1e-3)
        assert epoch(e, images) == 5
        running = e.running()
        results.add((digest(e.state()), running.loss, running.tallies.tobytes()))
    assert len(results) == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_phases_in_pieces_change_no_bit(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    """A network whose phases are cut into functions of two calls ends in the bits of one whose phases are whole."""
    images, digests = images_for(DEEP, 91), set()
    for piece in (64, 2):
        monkeypatch.setattr("layerline.compiler.driver.PIECE", piece)
        compiled_alone.cache_clear()
        e = engine(DEEP, threads, batch_size=20, weight_decay=1e-3)
        epoch(e, images)
        said = e.evaluate(Split(images, np.arange(91)))
        digests.add((digest(e.state()), said.probabilities.tobytes()))
    assert len(digests) == 1


def test_engines_that_share_code_share_nothing_else() -> None:
    """Two engines of one network, which run the same machine code in turn, end as each would alone."""
    sets = [images_for(DEEP, 40, seed) for seed in (1, 2)]
    alone = [engine(DEEP, seed=seed) for seed in (1, 2)]
    together = [engine(DEEP, seed=seed) for seed in (1, 2)]
    for e, images in zip(alone, sets, strict=True):
        epoch(e, images)
        epoch(e, images)
    for _ in range(2):
        for e, images in zip(together, sets, strict=True):
            epoch(e, images)
    assert together[0]._trainer is not None
    assert together[1]._trainer is not None
    assert together[0]._trainer.compiled is together[1]._trainer.compiled
    assert [digest(e.state()) for e in together] == [digest(e.state()) for e in alone]
    assert digest(alone[0].state()) != digest(alone[1].state())


@pytest.mark.parametrize(("momentum", "weight_decay"), [(0.0, 0.0), (0.9, 0.0), (0.0, 0.01), (0.5, 0.01)])
def test_twenty_steps_end_where_pytorch_does(momentum: float, weight_decay: float) -> None:
    """After 20 steps, the last batch of each epoch ragged, weights are within 1e-5 of PyTorch's, by their norm."""
    for text in (SIX_LAYER, DEEP):
        images = images_for(text, 78)
        e = engine(text, momentum=momentum, weight_decay=weight_decay)
        model = parse(text, name="net").to_torch()
        model.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in e.state().weights.items()})
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=momentum, weight_decay=weight_decay)
        x, y = (
            torch.from_numpy(images.images.astype(np.float32) / 255),
            torch.from_numpy(images.labels.astype(np.int64)),
        )
        for seed in range(2):
            epoch(e, images, seed=seed)
            order = np.random.default_rng(seed).permutation(78)
            for step, rate in enumerate(np.linspace(0.1, 0.01, 10)):
                some = order[8 * step : 8 * step + 8]
                optimizer.param_groups[0]["lr"] = rate
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x[some]), y[some]).backward()
                optimizer.step()
        for name, theirs in model.state_dict().items():
            ours = e.state().weights[name]
            assert np.linalg.norm(ours - theirs.numpy()) <= 1e-5 * np.linalg.norm(theirs.numpy()), name


def test_fused_updates_change_no_bit() -> None:
    """Whole gradients in memory and gradients that stay in registers lead to the same weights."""
    rng, verdicts = Random(5), Verdicts()
    for _ in range(8):
        case = random_case(rng, verdicts)
        images, batch = ImageSet(case.images, case.labels), max(1, len(case.images) // 2)
        digests = set()
        for fuse_updates in (True, False):
            e = engine_for(case, Recipe(batch_size=batch, momentum=0.9), fuse_updates=fuse_updates)
            e.train(Epoch(images, np.arange(len(case.images)), np.full(20, 0.1)), 0)
            digests.add(digest(e.state()))
        assert len(digests) == 1, case.network.text


def test_gradients_can_be_read_where_updates_are_not_fused() -> None:
    """`gradients` gives the last step's, which after one step from rest is the momentum as well."""
    images = images_for(DEEP, 8)
    e = engine(DEEP)
    plain = CompiledEngine(e._network, e._scaling, e._recipe, 2, fuse_updates=False)
    epoch(plain, images)
    gradients = plain.gradients()
    for name, value in plain.state().optimizer.items():
        np.testing.assert_array_equal(gradients[name.removeprefix("momentum.")], value)


def test_running_figures_are_those_before_each_update() -> None:
    """Loss and tallies of an epoch with learning rate 0 are the evaluation's."""
    images = images_for(DEEP, 61)
    e = engine(DEEP)
    e.train(Epoch(images, np.arange(61), np.zeros(8)), 0)
    outputs = e.evaluate(Split(images, np.arange(61)))
    tallies = np.zeros((3, 4), np.int64)
    for label, said in zip(images.labels, outputs.probabilities.argmax(1), strict=True):
        tallies[0, label] += 1
        tallies[1, said] += 1
        tallies[2, label] += label == said
    running = e.running()
    np.testing.assert_array_equal(running.tallies, tallies)
    assert running.loss == pytest.approx(outputs.losses.sum(), rel=1e-12)
    e.reset_running()
    assert e.running().images == 0
    assert e.running().loss == 0


@pytest.mark.parametrize("threads", [1, 3])
def test_running_figures_can_be_taken_over(threads: int) -> None:
    """An engine that is given state and figures after step 3 ends the epoch with the figures of one that did it all."""
    images, order = images_for(DEEP, 61), np.arange(61)
    whole, before, after = engine(DEEP), engine(DEEP), engine(DEEP, threads=threads)
    epoch = Epoch(images, order, np.full(8, 0.01))
    whole.train(epoch, 0)
    before.train(Epoch(images, order[:24], epoch.learning_rates), 0)
    after.set_state(before.state())
    after.set_running(before.running())
    after.train(epoch, 3)
    assert after.running().loss == whole.running().loss
    np.testing.assert_array_equal(after.running().tallies, whole.running().tallies)
    np.testing.assert_equal(after.state().weights, whole.state().weights)


@pytest.mark.parametrize("text", [SIX_LAYER, DEEP])
def test_a_prediction_does_not_depend_on_its_batch(text: str) -> None:
    """An image alone, among others, in another order, by other threads: the same bits."""
    images = images_for(text, 300)
    e = engine(text)
    together = e.evaluate(Split(images, np.arange(300)))
    backwards = e.evaluate(Split(images, np.arange(299, -1, -1)))
    np.testing.assert_array_equal(together.probabilities, backwards.probabilities[::-1])
    for index in (0, 7, 299):
        alone = e.evaluate(Split(images, np.array([index])))
        np.testing.assert_array_equal(alone.probabilities[0], together.probabilities[index])
        np.testing.assert_array_equal(alone.losses[0], together.losses[index])


def test_going_on_from_a_state_is_as_if_nothing_had_happened() -> None:
    """State out after two epochs and a half, into a new engine with other threads: the same bits at the end."""
    images = images_for(DEEP, 50)
    whole = engine(DEEP, threads=1)
    for seed in range(4):
        epoch(whole, images, seed=seed)
    first = engine(DEEP, threads=2)
    for seed in range(2):
        epoch(first, images, seed=seed)
    order = np.random.default_rng(2).permutation(50).astype(np.int64)
    first.train(Epoch(images, order[:24], np.linspace(0.1, 0.01, 7)), 0)
    second = engine(DEEP, threads=3)
    second.set_state(first.state())
    assert epoch(second, images, first=3, seed=2) == 4
    epoch(second, images, seed=3)
    assert digest(second.state()) == digest(whole.state())


@pytest.mark.parametrize("layers", ["Depthwise 3\nFlat", "Conv 16 1 bias=no\nBatchNorm\nFlat", "GlobalPool\nFlat"])
@pytest.mark.parametrize("channels", [1, 3, 16, 32])
def test_a_state_does_not_change_with_the_engine(layers: str, channels: int) -> None:
    """It is a copy also where weights lie in memory as PyTorch has them, without padding."""
    text = f"Input {channels} 4 4\n{layers}\nFC 16\nReLU\nFC 3\n"
    e = engine(text)
    images = images_for(text, 32)
    epoch(e, images)
    state = e.state()
    before = digest(state)
    epoch(e, images)
    assert digest(state) == before != digest(e.state())
    e.set_state(state)
    assert digest(e.state()) == before


def test_a_state_of_another_network_is_refused() -> None:
    """Names and shapes must be the network's."""
    with pytest.raises(ValueError, match="does not match this network"):
        engine(DEEP).set_state(engine(SIX_LAYER).state())


def test_a_prediction_draws_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that is given its state only to predict never draws a first one: that takes longer than predicting."""
    network, scaling = parse(DEEP, name="net"), Scaling((1 / 255,) * 2, (0.0,) * 2)
    state = CompiledEngine(network, scaling, Recipe()).state()
    monkeypatch.setattr("layerline.network.start.initial_weights", None)
    engine = CompiledEngine(network, scaling, Recipe())
    engine.set_state(state)
    assert np.isfinite(engine.probabilities(images_for(DEEP, 3).images)).all()
    with pytest.raises(TypeError):
        CompiledEngine(network, scaling, Recipe()).state()


def test_stop_ends_after_the_running_step() -> None:
    """`stop` before a call lets one step be done; the weights are those after it."""
    images = images_for(SIX_LAYER, 80)
    stopped, whole = engine(SIX_LAYER), engine(SIX_LAYER)
    stopped.stop()
    assert epoch(stopped, images) == 1
    assert stopped.progress() == 1
    order = np.random.default_rng(3).permutation(80).astype(np.int64)
    whole.train(Epoch(images, order[:8], np.linspace(0.1, 0.01, 10)), 0)
    assert digest(stopped.state()) == digest(whole.state())
    assert epoch(stopped, images, first=1) == 9


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_stops_at_its_step(poison: float) -> None:
    """NaN goes through ReLU and max pool and shows in the loss of the step whose batch holds it."""
    numbers = np.random.default_rng(0)
    images = numbers.standard_normal((40, 1, 12, 12)).astype(np.float32)
    images[21, 0, 6, 6] = poison
    e = engine(SIX_LAYER)
    steps = e.train(Epoch(ImageSet(images, np.zeros(40, np.int32)), np.arange(40), np.full(5, 0.1)), 0)
    assert steps == 3
    assert e.diverged_step == 2


@pytest.mark.parametrize("pool", ["Pool 2", "Pool 3 1"])
def test_one_nan_anywhere_in_a_pool_window_wins(pool: str) -> None:
    """A single NaN behind a 1×1 convolution reaches the loss from every place in the image, and from no other image."""
    text = f"Input 1 4 4\nConv 2 1\n{pool}\nReLU\nFlat\nFC 2\n"
    images = np.ones((17, 1, 4, 4), np.float32)
    for place in range(16):
        images[place, 0, place // 4, place % 4] = np.nan
    losses = engine(text).evaluate(Split(ImageSet(images, np.zeros(17, np.int32)), np.arange(17))).losses
    assert np.isnan(losses[:16]).all()
    assert np.isfinite(losses[16])


def test_indices_out_of_range_are_refused() -> None:
    """Machine code checks nothing, so the engine does."""
    images = images_for(SIX_LAYER, 8)
    with pytest.raises(ValueError, match="outside"):
        engine(SIX_LAYER).train(Epoch(images, np.array([0, 8]), np.ones(1)), 0)


def test_labels_and_memory_that_do_not_fit_are_refused() -> None:
    """A label outside the classes would be counted outside the tallies; gaps would be read as images."""
    images = images_for(SIX_LAYER, 8)
    for label in (-1, 10):
        labels = images.labels.copy()
        labels[3] = label
        with pytest.raises(ValueError, match="labels outside"):
            engine(SIX_LAYER).train(Epoch(ImageSet(images.images, labels), np.arange(8), np.ones(1)), 0)
    with pytest.raises(ValueError, match="must be contiguous"):
        engine(SIX_LAYER).train(Epoch(ImageSet(images.images[:, :, ::-1], images.labels), np.arange(8), np.ones(1)), 0)
    with pytest.raises(ValueError, match="the network's input"):
        engine(DEEP).train(Epoch(images, np.arange(8), np.ones(1)), 0)


@pytest.mark.skipif(sys.platform != "linux", reason="protects memory with mprotect")
def test_no_byte_past_the_images_is_read() -> None:
    """Images that end with a page, before one that may not be read, for widths below and above a vector's."""
    program = textwrap.dedent("""
        import ctypes, mmap
        import numpy as np
        from layerline.data.dataset import ImageSet, Scaling, Split
        from layerline.engines.compiled import CompiledEngine
        from layerline.engines.epoch import Epoch
        from layerline.network import parse
        from layerline.recipe import Recipe
        for C, H, W in ((1, 5, 3), (1, 28, 28), (3, 7, 9), (1, 4, 17), (2, 3, 1)):
            size = 4 * C * H * W
            pages = -(-size // mmap.PAGESIZE) + 1
            memory = mmap.mmap(-1, pages * mmap.PAGESIZE)
            whole = np.frombuffer(memory, np.uint8)
            libc = ctypes.CDLL(None, use_errno=True)
            guard = whole.ctypes.data + (pages - 1) * mmap.PAGESIZE
            assert libc.mprotect(ctypes.c_void_p(guard), mmap.PAGESIZE, 0) == 0
            end = (pages - 1) * mmap.PAGESIZE
            images = whole[end - size : end].reshape(4, C, H, W)
            last = whole[end - size : end].reshape(4, H, W, C).transpose(0, 3, 1, 2)
            for order in (images, last):
                network = parse(f"Input {C} {H} {W}\\nConv 3 3 1 1\\nFlat\\nFC 2\\n", name="net")
                e = CompiledEngine(network, Scaling((1.0,) * C, (0.0,) * C), Recipe(batch_size=4), 1)
                data = ImageSet(order, np.zeros(4, np.int32))
                e.train(Epoch(data, np.arange(4), np.ones(1)), 0)
                e.evaluate(Split(data, np.arange(4)))
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)  # noqa: S603
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not host().triple.startswith("x86_64"), reason="asks for older x86-64 CPUs")
def test_each_width_keeps_its_bits() -> None:
    """Code for a CPU with fewer lanes gives the same bits with one thread and with two."""
    images = images_for(DEEP, 40)
    for cpu, lanes in (("haswell", None), ("x86-64", None), ("x86-64", 1)):
        network = parse(DEEP, name="net")
        digests = set()
        for threads in (1, 2):
            e = CompiledEngine(
                network, Scaling((1 / 255,) * 2, (0.0,) * 2), Recipe(batch_size=8), threads, machine=named(cpu, lanes)
            )
            epoch(e, images)
            digests.add(digest(e.state()))
        assert len(digests) == 1


def test_a_data_set_larger_than_a_float_can_count_is_counted_exactly() -> None:
    """Counts are whole 64-bit numbers: 2²⁴ + 16 images of one pixel all count."""
    n = 2**24 + 16
    e = engine("Input 1 1 1\nFlat\nFC 2\n", batch_size=4096)
    images = ImageSet(np.zeros((n, 1, 1, 1), np.uint8), np.zeros(n, np.int32))
    e.train(Epoch(images, np.arange(n), np.zeros(-(-n // 4096))), 0)
    assert e.running().images == n
