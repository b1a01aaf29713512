"""The torch engine's recipes: against PyTorch's optimizers in a plain loop, and against NumPy where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import small_data
import torch
from torch import nn

from layerline.data.augment.augmentation import Augmentation
from layerline.data.dataset import ImageSet, Split
from layerline.engines.epoch import Epoch, plan_epoch
from layerline.engines.interface import State
from layerline.engines.torch_engine import TorchEngine
from layerline.engines.torch_steps import orthogonal
from layerline.network import initial_weights, parse
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from numpy.typing import NDArray

DATA = small_data.dataset()
IMAGES = DATA.train.source
B = 16
"""Of 70 images: five steps, the last over six."""
PLAIN = "Conv 12 3 1 1 bias=no\nBatchNorm\nTanh\nConv 3 1\nTanh\nFlat\nFC classes\n"
"""Filters that are higher than wide, (12, 9), and wider than high, (3, 12)."""


def engine(recipe: Recipe, text: str = PLAIN) -> TorchEngine:
    return TorchEngine(parse(text, input_shape=DATA.shape, classes=3), DATA.scaling, recipe, 1, "float64")


def plain_module(recipe: Recipe) -> nn.Sequential:
    """Return the same network, written out by hand, with the first weights."""
    layers = nn.Conv2d(1, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12), nn.Tanh(), nn.Conv2d(12, 3, 1), nn.Tanh()
    module = nn.Sequential(*layers, nn.Flatten(), nn.Linear(108, 3)).double()
    network = parse(PLAIN, input_shape=DATA.shape, classes=3)
    first = initial_weights(network, recipe.seed, recipe.init)
    module.load_state_dict({name: torch.tensor(value) for name, value in first.items()})
    return module


def batches(order: NDArray[np.int64]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    pixels = torch.tensor((IMAGES.images * np.float32(1 / 255)).astype(np.float64))
    labels = torch.tensor(IMAGES.labels.astype(np.int64))
    parts = [torch.tensor(order[start : start + B]) for start in range(0, len(order), B)]
    return [(pixels[part], labels[part]) for part in parts]


OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {},
    "nesterov": {"nesterov": True, "momentum": 0.8},
    "no-momentum": {"momentum": 0.0},
    "adamw": {"optimizer": "adamw", "learning_rate": 0.01, "beta1": 0.8, "beta2": 0.99, "eps": 1e-6},
}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "decay": {"weight_decay": 0.1},
    "decay-weights": {"weight_decay": 0.1, "decay": "weights"},
    "clipped": {"clip_norm": 0.1},
    "ema": {"ema": 0.7},
    "smoothing": {"label_smoothing": 0.1},
    "weighted": {"label_smoothing": 0.1, "class_weights": (1.0, 0.5, 3.0)},
}


def torch_optimizer(recipe: Recipe, module: nn.Module) -> torch.optim.Optimizer:
    named = dict(module.named_parameters())
    spared = ["1.weight", "1.bias", "3.bias", "6.bias"] if recipe.decay == "weights" else []
    groups = [
        {"params": [p for name, p in named.items() if name not in spared], "weight_decay": recipe.weight_decay},
        {"params": [named[name] for name in spared], "weight_decay": 0.0},
    ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=1.0, momentum=recipe.momentum, nesterov=recipe.nesterov)
    return torch.optim.AdamW(groups, lr=1.0, betas=(recipe.beta1, recipe.beta2), eps=recipe.eps)


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_steps_are_those_of_a_plain_loop(optimizer: str, option: str) -> None:
    """Two epochs give the weights, averages and losses of PyTorch's optimizer and CrossEntropyLoss in a plain loop."""
    recipe = Recipe(epochs=2, batch_size=B, **{**OPTIMIZERS[optimizer], **OPTIONS[option]})
    subject, module = engine(recipe), plain_module(recipe)
    theirs = torch_optimizer(recipe, module)
    given = recipe.class_weights
    weight = torch.tensor(given, dtype=torch.float64) if isinstance(given, tuple) else None
    loss_of = nn.CrossEntropyLoss(weight, label_smoothing=recipe.label_smoothing)
    averages = {name: p.detach().clone() for name, p in module.named_parameters()}
    for number in (1, 2):
        plan = plan_epoch(recipe, DATA.train, number, 3)
        subject.reset_running()
        subject.train(plan, 0)
        total = 0.0
        for (x, labels), rate in zip(batches(plan.order), plan.learning_rates, strict=True):
            for group in theirs.param_groups:
                group["lr"] = rate
            theirs.zero_grad()
            loss = loss_of(module(x), labels)
            loss.backward()
            total += loss.item() * (len(labels) if weight is None else weight[labels].sum().item())
            if recipe.clip_norm is not None:
                nn.utils.clip_grad_norm_(module.parameters(), recipe.clip_norm)
            theirs.step()
            for name, p in module.named_parameters():
                averages[name] = 0.7 * averages[name] + 0.3 * p.detach()
        assert subject.running().loss == pytest.approx(total, rel=1e-12)
    state = subject.state()
    # float64 on both sides: ten steps of sums of at most 16·36 terms differ by 10·576·2⁻⁵³ = 6e-13 of their terms.
    for name, value in module.state_dict().items():
        np.testing.assert_allclose(state.weights[name], value.numpy(), rtol=0, atol=1e-11)
    for name, average in averages.items() if recipe.ema is not None else ():
        np.testing.assert_allclose(state.optimizer[f"ema.{name}"], average.numpy(), rtol=0, atol=1e-11)


def by_singular_values(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what five rounds do, by definition: the odd polynomial a·s + b·s³ + c·s⁵ of every singular value."""
    left, s, right = np.linalg.svd(u, full_matrices=False)
    s /= np.sqrt((u**2).sum()) + 1e-7
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return np.asarray((left * s) @ right)


@pytest.mark.parametrize("shape", [(3, 12), (12, 9), (5, 5), (1, 7), (7, 1)])
def test_muon_s_direction_is_nearly_orthogonal(shape: tuple[int, int]) -> None:
    """Newton and Schulz's rounds move singular values by their polynomial, and leave those of full size near 1."""
    u = np.random.default_rng(4).standard_normal(shape)
    found = orthogonal(torch.tensor(u)).numpy()
    # Each round grows an error of rounding at most by the polynomial's slope, 3.45: 3.45⁵ · 40·2⁻⁵³ = 2e-12.
    np.testing.assert_allclose(found, by_singular_values(u), rtol=0, atol=1e-11)
    values = np.linalg.svd(found, compute_uv=False)
    assert values.min() > 0.3
    assert values.max() < 1.3


def test_muon_follows_its_definition() -> None:
    """Five steps of clipped, decayed, averaged Muon are v = μv + g, u = g + μv, w −= ηλw + 0.2·√max·η·X in NumPy."""
    recipe = Recipe(
        epochs=1, batch_size=B, optimizer="muon", learning_rate=0.02, weight_decay=0.1, clip_norm=0.2, ema=0.7
    )
    subject, module = engine(recipe), plain_module(recipe)
    plan = plan_epoch(recipe, DATA.train, 1, 3)
    subject.train(plan, 0)
    w = {name: p.detach().numpy() for name, p in module.named_parameters()}  # views: a step moves the module
    kept: dict[str, Any] = {
        name: [np.zeros_like(value), np.zeros_like(value), value.copy()] for name, value in w.items()
    }
    for t, ((x, labels), rate) in enumerate(zip(batches(plan.order), plan.learning_rates, strict=True), 1):
        found = torch.autograd.grad(nn.functional.cross_entropy(module(x), labels), list(module.parameters()))
        norm = np.sqrt(sum(float((g**2).sum()) for g in found))
        assert norm > 0.2
        for name, gradient in zip(w, found, strict=True):
            g, (m, s, e) = gradient.numpy() * 0.2 / (norm + 1e-6), kept[name]
            w[name] *= 1 - rate * 0.1
            if name in ("0.weight", "3.weight"):
                m[:] = 0.9 * m + g
                u = (g + 0.9 * m).reshape(len(g), -1)
                w[name] -= rate * 0.2 * np.sqrt(max(u.shape)) * by_singular_values(u).reshape(g.shape)
            else:
                m[:], s[:] = 0.9 * m + 0.1 * g, 0.999 * s + 0.001 * g**2
                w[name] -= rate * (m / (1 - 0.9**t)) / (np.sqrt(s / (1 - 0.999**t)) + 1e-8)
            e[:] = 0.7 * e + 0.3 * w[name]
    state = subject.state()
    expected = {f"ema.{name}": e for name, (_, _, e) in kept.items()}
    expected |= {f"momentum.{name}": kept[name][0] for name in ("0.weight", "3.weight")}
    for name in set(w) - {"0.weight", "3.weight"}:
        expected |= {f"exp_avg.{name}": kept[name][0], f"exp_avg_sq.{name}": kept[name][1]}
    assert set(state.optimizer) == set(expected)
    # As above, 6e-13 of their terms; small singular values and small moments are scaled up, by up to 500 a step.
    for name, value in {**w, **expected}.items():
        found_value = {**state.weights, **state.optimizer}[name]
        np.testing.assert_allclose(found_value, value, rtol=0, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, "muon"])
def test_a_run_is_resumed_from_its_state(optimizer: str) -> None:
    """A new engine with the state, and Dropout on its way, goes on with the same bits: t is the epoch's to say."""
    text = PLAIN.replace("Flat\n", "Dropout 0.3\nFlat\n")
    more = OPTIMIZERS.get(optimizer, {"optimizer": "muon", "learning_rate": 0.01})
    recipe = Recipe(epochs=2, batch_size=B, ema=0.9, weight_decay=0.01, **more)
    first, second = engine(recipe, text), engine(recipe, text)
    plans = [plan_epoch(recipe, DATA.train, number, 3) for number in (1, 2)]
    first.train(plans[0], 0)
    second.set_state(first.state())
    for subject in (first, second):
        subject.train(plans[1], 0)
    ours, theirs = first.state(), second.state()
    for left, right in ((ours.weights, theirs.weights), (ours.optimizer, theirs.optimizer)):
        assert list(left) == list(right)
        assert all(np.array_equal(left[name], right[name]) for name in left)
    with pytest.raises(ValueError, match="does not match this network and optimizer"):
        second.set_state(State(ours.weights, {}))


def test_a_state_begins_with_zeros_and_averages_with_the_weights() -> None:
    """Before the first step everything beside the weights is 0, but for the averages: they are the weights."""
    state = engine(Recipe(optimizer="muon", ema=0.9)).state()
    for name, value in state.optimizer.items():
        kept, _, parameter = name.partition(".")
        assert np.array_equal(value, state.weights[parameter] if kept == "ema" else np.zeros_like(value))


def test_dropout_is_off_when_it_is_evaluated_and_keyed_by_the_image() -> None:
    """An image is dropped from alike in any batch of an epoch, otherwise in the next epoch, and never in evaluation."""
    text = "Flat\nDropout 0.5\nFC classes\n"
    recipe = Recipe(momentum=0.0, batch_size=1)
    moved = []
    for number, order in ((1, [5, 9]), (1, [9, 5]), (2, [5, 9])):
        subject = engine(recipe, text)
        before = subject.state().weights["2.weight"]
        subject.train(Epoch(IMAGES, np.array(order, np.int64), np.array([0.1, 0.0]), number=number), 0)
        moved.append((subject.state().weights["2.weight"] != before).any(axis=0))
    alone = engine(recipe, text)
    before = alone.state().weights["2.weight"]
    alone.train(Epoch(IMAGES, np.array([9, 5], np.int64), np.array([0.0, 0.1])), 0)
    assert np.array_equal(moved[0], (alone.state().weights["2.weight"] != before).any(axis=0))
    assert not np.array_equal(moved[0], moved[1])
    assert not np.array_equal(moved[0], moved[2])
    same = engine(Recipe(momentum=0.0), "Flat\nFC classes\n")
    weights = alone.state().weights
    same.set_state(State({name.replace("2.", "1."): value for name, value in weights.items()}, {}))
    part = Split(IMAGES, np.arange(20, dtype=np.int64))
    assert np.array_equal(same.evaluate(part).losses, alone.evaluate(part).losses)


def test_images_are_trained_on_as_they_were_drawn() -> None:
    """An epoch of flipped images takes the steps of an epoch of images that lie flipped."""
    recipe = Recipe(epochs=1, batch_size=B)
    order, rates = DATA.train.indices, recipe.learning_rates(len(DATA.train))
    drawn = Augmentation(flip="alternate", shift=1).draw(3, 1, order, DATA.shape)
    moved = IMAGES.images.copy()
    for image, row in zip(order, drawn.moves, strict=True):
        down, right, flip = (int(value) for value in row[:3])
        turned = IMAGES.images[image, 0, :, :: -1 if flip else 1]
        moved[image, 0] = np.pad(turned, 1)[1 - down :, 1 - right :][:6, :6]
    one, other = engine(recipe), engine(recipe)
    one.train(Epoch(IMAGES, order, rates, drawn=drawn), 0)
    other.train(Epoch(ImageSet(moved, IMAGES.labels), order, rates), 0)
    assert len(set(drawn.moves[:, 2])) == 2
    for name, value in other.state().weights.items():
        assert np.array_equal(one.state().weights[name], value)
