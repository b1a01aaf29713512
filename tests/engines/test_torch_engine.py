"""The torch engine: PyTorch's own arithmetic behind the interface of every engine."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import small_data
import torch
from torch import nn
from torch.nn import functional

from layerline import engines
from layerline.data.dataset import ImageSet, Split
from layerline.engines.epoch import Epoch
from layerline.engines.interface import State
from layerline.engines.torch_engine import TorchEngine
from layerline.errors import RecipeError, UserError
from layerline.network import initial_weights, parse
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from numpy.typing import NDArray

TEXT = "Conv 3 3 1 1\nReLU\nPool 2\nFlat\nFC classes\n"
DATA = small_data.dataset()
IMAGES = DATA.train.source


def network(text: str = TEXT) -> Any:
    return parse(text, input_shape=DATA.shape, classes=3)


def engine(recipe: Recipe, text: str = TEXT, dtype: Any = "float32") -> TorchEngine:
    return TorchEngine(network(text), DATA.scaling, recipe, threads=1, dtype=dtype)


def by_hand(recipe: Recipe, order: NDArray[np.int64], rates: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Train the same network built by hand, in float64, the update written out from its formula."""
    module = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(27, 3))
    module.double().load_state_dict(
        {name: torch.tensor(value) for name, value in initial_weights(network(), recipe.seed).items()}
    )
    w = dict(module.named_parameters())
    v = {name: torch.zeros_like(p) for name, p in w.items()}
    pixels = torch.tensor((IMAGES.images * np.float32(1 / 255)).astype(np.float64))
    labels = torch.tensor(IMAGES.labels.astype(np.int64))
    for k, start in enumerate(range(0, len(order), recipe.batch_size)):
        part = torch.tensor(order[start : start + recipe.batch_size])
        loss = functional.nll_loss(functional.log_softmax(module(pixels[part]), 1), labels[part], reduction="sum")
        gradients = torch.autograd.grad(loss / len(part), list(w.values()))
        with torch.no_grad():
            for name, g in zip(w, gradients, strict=True):
                v[name] = recipe.momentum * v[name] + g + recipe.weight_decay * w[name]
                w[name] -= rates[k] * v[name]
    return {name: p.detach().numpy() for name, p in w.items()}


@pytest.mark.parametrize(("momentum", "weight_decay"), [(0.0, 0.0), (0.9, 0.0), (0.8, 0.01), (0.0, 0.1)])
def test_steps_follow_the_formula(momentum: float, weight_decay: float) -> None:
    """Nine steps, the last over one image, give the weights of v = μv + g + λw, w −= lr·v in float64."""
    recipe = Recipe(epochs=1, batch_size=8, momentum=momentum, weight_decay=weight_decay, learning_rate=0.2)
    order = np.random.default_rng(1).permutation(65).astype(np.int64)
    rates = recipe.learning_rates(65)
    subject = engine(recipe, dtype="float64")
    assert subject.train(Epoch(IMAGES, order, rates), 0) == 9
    expected = by_hand(recipe, order, rates)
    weights = subject.state().weights
    assert list(weights) == list(expected)
    for name, value in expected.items():
        # Both are float64; 9 steps of sums of at most 8·36 terms below 1 differ by less than 9·288·2⁻⁵³ = 3e-13.
        np.testing.assert_allclose(weights[name], value, rtol=0, atol=1e-12)


def test_gradients_are_slopes() -> None:
    """`gradients` is the slope of the mean loss: central differences in float64 agree, and nothing is updated."""
    subject = engine(Recipe(), "Flat\nFC 5\nTanh\nFC classes\n", "float64")
    indices = np.arange(7, dtype=np.int64)
    before = subject.state()
    found = subject.gradients(IMAGES, indices)
    h = 1e-5
    for name, gradient in found.items():
        for at in ((0,) * gradient.ndim, tuple(extent - 1 for extent in gradient.shape)):
            losses = []
            for step in (h, -h):
                weights = {key: value.copy() for key, value in before.weights.items()}
                weights[name][at] += step
                subject.set_state(State(weights, before.optimizer))
                losses.append(subject.evaluate(Split(IMAGES, indices)).losses.mean())
            # The error of a central difference is h²/6 · f''' ≈ 2e-11, and 2⁻⁵³ / h ≈ 1e-11 from rounding.
            assert gradient[at] == pytest.approx((losses[0] - losses[1]) / (2 * h), abs=1e-8)
    subject.set_state(before)
    subject.gradients(IMAGES, indices)
    assert all((subject.state().weights[name] == value).all() for name, value in before.weights.items())


def test_state_goes_round() -> None:
    """Steps after `set_state` give the bits that they give without it: the momentum is part of the state."""
    recipe = Recipe(batch_size=8)
    order, rates = DATA.train.indices, np.full(9, 0.1)
    first, second = engine(recipe), engine(recipe)
    first.train(Epoch(IMAGES, order[:32], rates), 0)
    second.set_state(first.state())
    for subject in (first, second):
        subject.train(Epoch(IMAGES, order, rates), 4)
    ours, theirs = first.state(), second.state()
    for left, right in ((ours.weights, theirs.weights), (ours.optimizer, theirs.optimizer)):
        assert list(left) == list(right)
        assert all(np.array_equal(left[name], right[name]) for name in left)
    assert list(ours.optimizer) == [f"momentum.{name}" for name in ours.weights]


def test_running_figures_are_from_before_the_update() -> None:
    """One step over all images gathers the loss and the predictions that the weights before it give."""
    recipe = Recipe(batch_size=70)
    subject = engine(recipe)
    before = subject.evaluate(DATA.train)
    subject.train(Epoch(IMAGES, DATA.train.indices, np.array([0.5])), 0)
    running = subject.running()
    assert running.images == 70
    # float32 logits are the same ones, up to the order of sums in the kernels: 36·2⁻²⁴ of values below 1, 70 images.
    assert running.loss == pytest.approx(before.losses.sum(), abs=70 * 36 * 2**-24)
    expected = np.zeros((3, 3), np.int64)
    for truth, row in zip(DATA.train.labels, before.probabilities, strict=True):
        expected[0, truth] += 1
        expected[1, row.argmax()] += 1
        expected[2, truth] += truth == row.argmax()
    assert (running.tallies == expected).all()
    subject.reset_running()
    assert subject.running().images == 0


def test_stop_ends_after_a_step() -> None:
    """`stop` before or while `train` runs lets it return after the step it is in; the next call runs to the end."""
    recipe = Recipe(batch_size=1)
    subject = engine(recipe)
    rates = np.full(70, 1e-3)
    subject.stop()
    assert subject.train(Epoch(IMAGES, DATA.train.indices, rates), 0) == 1
    timer = threading.Timer(0.05, subject.stop)
    order = np.tile(DATA.train.indices, 2000)
    timer.start()
    done = subject.train(Epoch(IMAGES, order, np.full(len(order), 1e-3)), 0)
    assert 0 < done < len(order)
    assert subject.progress() == done
    assert subject.train(Epoch(IMAGES, DATA.train.indices, rates), 68) == 2


def test_divergence_is_seen() -> None:
    """A learning rate beyond all reason ends `train` after the first step whose loss is not finite."""
    subject = engine(Recipe(batch_size=10, learning_rate=1e6))
    done = subject.train(Epoch(IMAGES, DATA.train.indices, np.full(7, 1e38)), 0)
    assert subject.diverged_step is not None
    assert done == subject.diverged_step + 1 < 7
    assert engine(Recipe()).diverged_step is None


def test_the_global_generator_is_left_alone() -> None:
    """Dropout draws the same for the same seed and images, however steps are parted, and nothing from PyTorch."""
    text = "Flat\nDropout 0.5\nFC classes\n"
    state = torch.get_rng_state()
    weights = []
    for seed in (3, 3, 4):
        torch.rand(5)
        subject = engine(Recipe(seed=seed, batch_size=8), text)
        before = torch.get_rng_state()
        subject.train(Epoch(IMAGES, DATA.train.indices, np.full(9, 0.1)), 0)
        assert torch.equal(torch.get_rng_state(), before)
        weights.append(subject.state().weights["2.weight"] - initial_weights(network(text), seed)["2.weight"])
    torch.set_rng_state(state)
    parted = engine(Recipe(seed=3, batch_size=8), text)
    parted.train(Epoch(IMAGES, DATA.train.indices[:32], np.full(4, 0.1)), 0)
    parted.train(Epoch(IMAGES, DATA.train.indices, np.full(9, 0.1)), 4)
    weights.append(parted.state().weights["2.weight"] - initial_weights(network(text), 3)["2.weight"])
    assert np.array_equal(weights[0], weights[1])
    assert np.array_equal(weights[0], weights[3])
    assert not np.allclose(weights[0], weights[2], atol=1e-4)


def test_channels_last_images_are_the_same_images() -> None:
    """Images that lie as H, W, C give the losses of the same images as C, H, W."""
    source = small_data.images(20, shape=(3, 6, 6))
    lying = ImageSet(np.ascontiguousarray(source.images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2), source.labels)
    assert lying.channels_last
    net = parse(TEXT, input_shape=(3, 6, 6), classes=3)
    scaling = type(DATA.scaling)((1 / 255,) * 3, (0.0, 0.1, 0.2))
    subject = TorchEngine(net, scaling, Recipe(), 1)
    indices = np.arange(20, dtype=np.int64)
    one, other = (subject.evaluate(Split(images, indices)) for images in (source, lying))
    assert np.array_equal(one.losses, other.losses)


def test_make_names_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that is not known, threads out of range, and PyTorch that is not there, each say what to do."""
    arguments = (network(), DATA.scaling, Recipe())
    with pytest.raises(RecipeError, match="did you mean torch"):
        engines.make("troch", *arguments)
    for threads in (0, -1, 10**6, True):
        with pytest.raises(RecipeError, match=r"threads=.*: must be a whole number from 1 to 1,024"):
            engines.make("torch", *arguments, threads)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match=r"pip install 'layerline\[torch\]'"):
        engines.make("torch", *arguments)
