"""Every optimizer under every schedule and option: machine code in float32 against PyTorch in float64."""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from layerline.compiler import compilation
from layerline.data.dataset import ImageSet, Scaling, Split
from layerline.engines.compiled import CompiledEngine
from layerline.engines.epoch import plan_epoch
from layerline.engines.torch_engine import TorchEngine
from layerline.network import parse
from layerline.recipe import Recipe, check_together

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerline.engines.interface import Engine, State

TEXT = """Input 2 6 6
Conv 4 3 1 1 bias=no
BatchNorm
ReLU
Pool 2
Conv 24 1
Tanh
Conv 5 2
ReLU
Flat
FC 7
Tanh
FC 4
"""
"""Filters that are wide, high (24×4: Muon turns them) and wide. No bias stands in front of BatchNorm: its gradient is
zero but for rounding, and Adam would make steps of full length of that."""

NET = parse(TEXT, name="net").with_backbone(11)
"""All layers but the last may have their own rate: filters, a matrix, biases and norms."""
N, B = 46, 10
"""Five steps, the last over six images."""
RNG = np.random.default_rng(0)
IMAGES = ImageSet(
    RNG.standard_normal((60, 2, 6, 6)).astype(np.float32),
    RNG.choice(4, 60, p=[0.4, 0.3, 0.2, 0.1]).astype(np.int32),
)
SPLIT = Split(IMAGES, np.arange(3, 3 + N, dtype=np.int64))
SCALING = Scaling((1.0, 0.5), (0.0, 0.1))

EXACT = 1 - 2**-10
"""Of β₂: float32 holds it and 1 − β₂. Of 0.999 it does not; see the last test."""

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"learning_rate": 0.05},
    "nesterov": {"learning_rate": 0.05, "nesterov": True},
    "no-momentum": {"learning_rate": 0.1, "momentum": 0.0},
    "adamw": {"optimizer": "adamw", "learning_rate": 0.01, "beta2": EXACT},
    "muon": {"optimizer": "muon", "learning_rate": 0.01, "beta2": EXACT},
}
CONSTANT = {"schedule": "constant"}
SCHEDULES: dict[str, dict[str, Any]] = {
    "constant": CONSTANT,
    "linear": {"schedule": "linear"},
    "cosine": {"schedule": "cosine"},
    "one-cycle": {"schedule": "one-cycle"},
    "step": {"schedule": "step", "step_epochs": 0.4, "step_factor": 0.3},
}
WARM = {name: {**values, "warmup": 0.6} for name, values in SCHEDULES.items() if name != "one-cycle"}
OPTIONS: dict[str, dict[str, Any]] = {
    "decay-all": {"weight_decay": 0.1},
    "decay-weights": {"weight_decay": 0.1, "decay": "weights"},
    "clipped": {"clip_norm": 0.3},
    "not-clipped": {"clip_norm": 1e6},
    "ema": {"ema": 0.8},
    "backbone": {"backbone_rate": 0.1, "weight_decay": 0.1, "ema": 0.8},
    "smoothing": {"label_smoothing": 0.1},
    "balanced": {"class_weights": "balanced"},
    "numbers": {"class_weights": (1.0, 2.0, 0.5, 3.0)},
    "all": {
        "weight_decay": 0.1,
        "decay": "weights",
        "clip_norm": 0.5,
        "ema": 0.9,
        "label_smoothing": 0.2,
        "class_weights": "sqrt",
    },
}

TOLERANCE = 2e-6
"""Of a tensor's norm, after five steps. With u = 2⁻²⁴: a step rounds the weights once, u, and moves them by the share
of their norm that the rate allows, at most 0.3 here, along a gradient that sums up to 10·36 rounded products; their
errors add up as a random walk, √360·u = 19 u. Five steps: 5 · (1 + 0.3 · 19) u = 34 u = 2.0e-6. A formula that is wrong
in one place errs by 1e-5 (the last test) and more."""


@pytest.fixture(scope="module", autouse=True)
def _compiled_once() -> Iterator[None]:
    """Write the code of a task once: a schedule changes none of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compilation, "plan", functools.cache(compilation.plan))
        patch.setattr(compilation, "compile_schedule", functools.cache(compilation.compile_schedule))
        yield


def trained(kind: type[Engine], recipe: Recipe, **named: Any) -> Any:
    check_together(recipe, N, NET.classes, filters=NET.has_filters, validation=False, backbone=NET.trains_backbone)
    subject = kind(NET, SCALING, recipe, 1, **named)  # type: ignore[call-arg]  # every engine takes these four
    run_epochs(subject, recipe, 1)
    return subject


def run_epochs(subject: Engine, recipe: Recipe, first: int) -> None:
    for number in range(first, recipe.epochs + 1):
        subject.reset_running()
        plan = plan_epoch(recipe, SPLIT, number, NET.classes)
        assert subject.train(plan, 0) == recipe.steps(N)


def recipe_of(*parts: dict[str, Any], epochs: int = 1) -> Recipe:
    values = {"batch_size": B, "epochs": epochs, "seed": 3, **{k: v for part in parts for k, v in part.items()}}
    return Recipe(**values)


def error(ours: Any, theirs: Any) -> float:
    """Return ‖ours − theirs‖ / ‖theirs‖."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


def compare(ours: State, theirs: State, tolerance: float) -> None:
    """Weights, and averages where there are any, are near for every tensor; what is kept has the same names."""
    assert list(ours.weights) == list(theirs.weights)
    assert set(ours.optimizer) == set(theirs.optimizer)
    pairs = {name: (ours.weights[name], theirs.weights[name]) for name in theirs.weights}
    pairs |= {name: (ours.optimizer[name], kept) for name, kept in theirs.optimizer.items() if name[:4] == "ema."}
    errors = {name: error(*pair) for name, pair in pairs.items()}
    assert all(found < tolerance for found in errors.values()), errors  # in this sense: nan is not below


CASES = [
    pytest.param(recipe_of(values, schedule), id=f"{name}-{curve}{'-warm' * warm}")
    for warm, schedules in enumerate((SCHEDULES, WARM))
    for (name, values), (curve, schedule) in itertools.product(OPTIMIZERS.items(), schedules.items())
]


@pytest.mark.parametrize("recipe", CASES)
def test_every_optimizer_follows_every_schedule(recipe: Recipe) -> None:
    """Five steps, a whole run of the schedule, give the weights of PyTorch in float64."""
    compare(trained(CompiledEngine, recipe).state(), trained(TorchEngine, recipe, dtype="float64").state(), TOLERANCE)


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_takes_every_option(optimizer: str, option: str) -> None:
    """Two epochs, ten steps, give the weights, averages, losses and predictions of PyTorch in float64."""
    recipe = recipe_of(OPTIMIZERS[optimizer], OPTIONS[option], {"schedule": "cosine"}, epochs=2)
    ours, theirs = trained(CompiledEngine, recipe), trained(TorchEngine, recipe, dtype="float64")
    compare(ours.state(), theirs.state(), 2 * TOLERANCE)
    left, right = ours.running(), theirs.running()
    assert (left.tallies == right.tallies).all()
    # An image's loss moves by its logits' error: those of weights that err by 4e-6 at the end, through four layers.
    assert left.loss == pytest.approx(right.loss, rel=4 * 2 * TOLERANCE)
    seen = ours.evaluate(SPLIT).losses, theirs.evaluate(SPLIT).losses
    np.testing.assert_allclose(*seen, rtol=0, atol=4 * 2 * TOLERANCE * seen[1].max())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_run_goes_on_in_the_other_engine(optimizer: str) -> None:
    """The second epoch on the state of either engine, under its names, gives what the run gives in one engine."""
    recipe = recipe_of(OPTIMIZERS[optimizer], {"ema": 0.7, "weight_decay": 0.01}, epochs=2)
    half = recipe_of(OPTIMIZERS[optimizer], {"ema": 0.7, "weight_decay": 0.01}, {"schedule": "constant"})
    states = [trained(CompiledEngine, half).state(), trained(TorchEngine, half).state()]
    engines = [CompiledEngine(NET, SCALING, recipe, 1), TorchEngine(NET, SCALING, recipe, 1)]
    ended = []
    for engine, state in zip(engines, reversed(states), strict=True):
        engine.set_state(state)
        run_epochs(engine, recipe, 2)
        ended.append(engine.state())
    compare(*ended, 2 * TOLERANCE)


@pytest.mark.parametrize("option", ["ema", "all"])
def test_what_is_evaluated_are_the_averages(option: str) -> None:
    """The losses of an engine with averages are those of an engine without them that has `averaged` as weights."""
    recipe = recipe_of(OPTIMIZERS["sgd"], OPTIONS[option], CONSTANT)
    for kind in (CompiledEngine, TorchEngine):
        subject = trained(kind, recipe)
        plain = kind(NET, SCALING, Recipe(momentum=0.0, batch_size=B), 1)
        state = subject.state()
        assert error(state.averaged["0.weight"], state.weights["0.weight"]) > 1e-3
        assert np.array_equal(state.averaged["1.running_var"], state.weights["1.running_var"])
        plain.set_state(type(state)(state.averaged, {}))
        assert np.array_equal(subject.evaluate(SPLIT).losses, plain.evaluate(SPLIT).losses)


def test_dropout_drops_the_same_in_both_engines() -> None:
    """Ten steps with Dropout on images, of whole channels and on a list give PyTorch's weights in float64: the masks
    are ours."""
    text = "Input 2 6 6\nConv 4 3\nDropout 0.3\nTanh\nDropout2d 0.3\nFlat\nDropout 0.5\nFC 7\nTanh\nDropout 0.1\nFC 4\n"
    net, recipe = parse(text, name="net"), recipe_of(OPTIMIZERS["sgd"], epochs=2)
    engines = [CompiledEngine(net, SCALING, recipe, 1), TorchEngine(net, SCALING, recipe, 1, dtype="float64")]
    for engine in engines:
        run_epochs(engine, recipe, 1)
    compare(engines[0].state(), engines[1].state(), 2 * TOLERANCE)


def test_adam_s_usual_beta_is_as_exact_as_any() -> None:
    """With β₂ = 0.999, too, five steps give the second moments of PyTorch in float64."""
    recipe = recipe_of({"optimizer": "adamw", "learning_rate": 0.01}, CONSTANT)
    ours, theirs = trained(CompiledEngine, recipe).state(), trained(TorchEngine, recipe, dtype="float64").state()
    # A square doubles the relative error of a gradient; five of them are averaged.
    assert error(ours.optimizer["exp_avg_sq.9.weight"], theirs.optimizer["exp_avg_sq.9.weight"]) < 2 * TOLERANCE
