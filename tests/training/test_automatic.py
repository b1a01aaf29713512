"""What is assumed where nothing is asked for: each rule, the two measurements, and what the screen says of it."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scripted_engine import ScriptedEngine

import layerline
from layerline import engines
from layerline.cli import assumptions
from layerline.data import load_data
from layerline.data.dataset import Dataset, ImageSet, Resized, Scaling, Split
from layerline.errors import NetworkError
from layerline.experiment.experiment import Experiment
from layerline.network import find
from layerline.recipe import Recipe, check_together, words
from layerline.recipe.usual import RATES
from layerline.training import automatic
from layerline.training.automatic import Facts, epochs, learning_rate
from layerline.training.prepared import Prepared

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
DIGITS = tuple("0123456789")


def facts(**changes: Any) -> Facts:
    known: dict[str, Any] = {
        "shape": (3, 32, 32),
        "classes": CIFAR,
        "counts": (4500,) * 10,
        "filters": True,
        "uses_batch": False,
        "multiply_adds": 10**6,
    }
    return Facts(**{**known, **changes})


def chosen(given: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    choices = automatic.choose(facts(**changes), Recipe(**(given or {})), given or {})
    return {key: words.written(key, choice.value) for key, choice in choices.items()}


RULES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    # name: what is given, what the data is, what is chosen
    "color photos": (
        {},
        {},
        {"optimizer": "muon", "schedule": "one-cycle", "batch_size": 64, "augment": "flip,shift=2"},
    ),
    "gray images are not flipped": ({}, {"shape": (1, 28, 28), "classes": DIGITS}, {"augment": "shift=1"}),
    "small images are not moved": ({}, {"shape": (3, 8, 8)}, {"augment": "none"}),
    "color digits are not flipped": ({}, {"classes": ("1", "2"), "counts": (9000, 9000)}, {"augment": "shift=2"}),
    "sides are not flipped": (
        {},
        {"classes": ("hand-left", "hand-right"), "counts": (900, 900)},
        {"augment": "shift=2"},
    ),
    "a name that holds a side is none": (
        {},
        {"classes": ("leftover", "bright"), "counts": (9000, 9000)},
        {"augment": "flip,shift=2"},
    ),
    **{
        f"{pair} are sides": ({}, {"classes": tuple(pair.split("|")), "counts": (9000, 9000)}, {"augment": "shift=2"})
        for pair in (
            *(
                "digit_7|digit_1",
                "letter_b|other",
                "lefthand|none",
                "lhs|rhs",
                "OS|OD",
                "links|geradeaus",
                "eight|nine",
            ),
            *(
                "gauche|milieu",
                "hand_L|hand_R",
                "turnLeft|go",
                "Linksabbieger|x-ray",
                "sample_1|sample_2",
                "droite|haut",
            ),
            *(
                "Right lung|Left lung",
                "левый|другой",
                "左|上",
                "upper_B|lower_B",
                "d7|d8",
                "eye_OD|eye_OS",
                "RIGHT_TURN|go",
            ),
        )
    },
    **{
        f"{pair} are none": (
            {},
            {"classes": tuple(pair.split("|")), "counts": (9000, 9000)},
            {"augment": "flip,shift=2"},
        )
        for pair in (
            *("upright|fallen", "breast|lung", "os|windows", "Audi TT 2012|BMW 3 2010", "vitamin b|egg", "yeast|beast"),
            *("Boeing 747|Airbus A380", "cleft|normal", "E. coli|S. aureus", "Western Grebe|Bright Moth"),
        )
    },
    "no filters": ({}, {"filters": False}, {"optimizer": "adamw"}),
    "a high rate alone is sgd's": ({"learning_rate": 0.1}, {}, {"optimizer": "sgd"}),
    "a rate that suits any is for the one chosen": ({"learning_rate": 0.001}, {}, {"optimizer": "muon"}),
    "the highest of them": ({"learning_rate": 0.01}, {}, {"optimizer": "muon"}),
    "a little higher": ({"learning_rate": 0.011}, {}, {"optimizer": "sgd"}),
    "a low rate without filters": (
        {"learning_rate": 0.001},
        {"filters": False},
        {"optimizer": "adamw"},
    ),
    "a low rate beside a momentum": ({"learning_rate": 0.001, "momentum": 0.5}, {}, {"optimizer": "sgd"}),
    "momentum alone is sgd's": ({"momentum": 0.5}, {}, {"optimizer": "sgd"}),
    "betas are adamw's": ({"beta1": 0.8}, {}, {"optimizer": "adamw"}),
    "betas beside a rate, too": ({"beta1": 0.8, "learning_rate": 0.01}, {}, {"optimizer": "adamw"}),
    "what is given is not chosen": ({"optimizer": "sgd", "augment": "none"}, {}, {"optimizer": None, "augment": None}),
    "balanced": ({}, {"counts": (290, 100) + (200,) * 8}, {"class_weights": "none"}),
    "unbalanced": ({}, {"counts": (300, 100) + (200,) * 8}, {"class_weights": "sqrt"}),
    "few images": ({}, {"counts": (40,) * 10}, {"batch_size": 16}),
    "very few images": ({}, {"counts": (2,) * 10}, {"batch_size": 8}),
    "a last batch of one cannot be normalized": (
        {},
        {"counts": (6401,) * 5 + (6400,) * 5, "uses_batch": True, "classes": CIFAR},
        {"batch_size": 64},
    ),
    "an image too many": (
        {},
        {"counts": (6401,) + (6400,) * 9, "uses_batch": True},
        {"batch_size": 65},
    ),
    "steps": ({"step_epochs": 3.0}, {}, {"schedule": "step"}),
    "warm-up": ({"warmup": 1.0}, {}, {"schedule": "linear"}),
    "too few steps for a cycle": ({"epochs": 1}, {"counts": (30,) * 10, "classes": CIFAR}, {"schedule": "one-cycle"}),
    "much too few": ({"epochs": 1, "batch_size": 100}, {"counts": (30,) * 10}, {"schedule": "linear"}),
}


@pytest.mark.parametrize("name", RULES)
def test_rules(name: str) -> None:
    """Each rule chooses what docs/recipes.md says, and what it chooses goes together."""
    given, data, expected = RULES[name]
    found = chosen(given, **data)
    assert {key: found.get(key) for key in expected} == expected
    known = facts(**data)
    recipe = Recipe(**{"epochs": 30, **given, **found})
    more = {"learning_rate": 0.01} if "learning_rate" not in given else {}
    check_together(dataclasses.replace(recipe, **more), known.images, 10, filters=known.filters, validation=True)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"step_epochs": 3.0}, {"schedule": "step"}),
        ({"beta1": 0.8}, {"optimizer": "adamw"}),
        ({"warmup": 12.0}, {"schedule": "linear", "epochs": 50}),
        ({"warmup": 70.0}, {"schedule": "linear", "epochs": 71}),
    ],
)
def test_an_option_alone_is_no_mistake(digits: Dataset, given: dict[str, Any], expected: dict[str, Any]) -> None:
    """What goes with the values that are chosen is accepted, though it would not go with the plain defaults."""
    some = dataclasses.replace(digits, train=Split(digits.train.source, digits.train.indices[:128]))
    network = layerline.read("digits", some)
    found = automatic.complete(
        network, some, Recipe(**given), given, clock=itertools.count(0, 0.001).__next__
    ).recipe.as_dict()
    assert {key: found[key] for key in expected} == expected


def test_a_batch_size_is_chosen_that_can_be_normalized(digits: Dataset) -> None:
    """Of 129 images, batches of 64 or 8 leave one alone, in which a norm over one value a channel has no variance: the
    size is refused where it is asked for, and not chosen where none is."""
    some = dataclasses.replace(digits, train=Split(digits.train.source, digits.train.indices[:129]))
    network = layerline.parse("Flat\nFC 8\nBatchNorm\nFC classes", input_shape=some.shape, classes=10)
    assert automatic.complete(network, some, Recipe(), ()).recipe.batch_size == 9
    for size in (8, 64):
        with pytest.raises(NetworkError, match="the last batch of 129 images has only one image"):
            automatic.complete(network, some, Recipe(batch_size=size), {"batch_size"})


def test_every_choice_has_a_reason() -> None:
    """A reason is a phrase of its own, and mentions no value that is not there."""
    for given, data, _ in RULES.values():
        for key, choice in automatic.choose(facts(**data), Recipe(**given), given).items():
            assert key not in given
            assert 10 < len(choice.reason) < 90
            assert not choice.reason.endswith(".")


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_data("digits")


@pytest.mark.parametrize("optimizer", ["muon", "adamw", "sgd"])
def test_the_rate_is_one_that_trains(digits: Dataset, optimizer: str) -> None:
    """Half of a rate that was tried; the weights are those of before; twice the same; a run with it learns."""
    network = layerline.read("digits", digits)
    recipe = Recipe(optimizer=optimizer, schedule="one-cycle", batch_size=32)
    engine = engines.make("compiled", network, digits.scaling, recipe, 2)
    before = engine.state()
    choice = learning_rate.choose(engine, digits, recipe, network.step_multiply_adds)
    after = engine.state()
    for name, weight in before.weights.items():
        np.testing.assert_array_equal(after.weights[name], weight)
    assert engine.running().images == 0
    tried = [RATES[optimizer] * 2.0**k / 2 for k in learning_rate.DOUBLINGS]
    assert choice.value in tried
    assert learning_rate.choose(engine, digits, recipe, network.step_multiply_adds) == choice
    run = layerline.train(network, digits, Recipe(**{**recipe.as_dict(), "learning_rate": choice.value, "epochs": 12}))
    assert max(row.validation_accuracy or 0 for row in run.history) > 0.9


def test_a_rate_is_not_tested_where_that_would_take_long(digits: Dataset) -> None:
    """From so many multiply-adds on, the default is taken, and it says why; no step is taken."""
    recipe = Recipe(optimizer="muon")
    engine = ScriptedEngine([], 64)
    choice = learning_rate.choose(engine, digits, recipe, 10**9)
    assert choice.value == RATES["muon"]
    assert "too large" in choice.reason
    assert not engine.orders


def test_rates_that_all_fail_leave_the_default(digits: Dataset) -> None:
    """Where no rate learns, and where one diverges, nothing is concluded from it."""
    engine = ScriptedEngine([1.0] * 7, 64)
    choice = learning_rate.choose(engine, digits, Recipe(optimizer="adamw"), 3 * 10**6)
    assert choice.value == RATES["adamw"]
    assert "no rate from 0.0005 to 0.016 learned enough" in choice.reason


@pytest.mark.parametrize(
    ("images", "multiply_adds", "warmup", "expected", "reason"),
    [
        (54_000, 416_000, 0, 30, "enough for most data sets"),  # lenet5 on MNIST
        (54_000, 41_000_000, 0, 15, "limited to about 100·10¹² multiply-adds of work, at least 8 epochs"),
        (54_000, 10**9, 0, epochs.FEWEST, "limited to about 100·10¹² multiply-adds of work, at least 8 epochs"),
        (640, 10**6, 0, 60, "for 800 steps, at most 60 epochs"),
        (1_280, 10**6, 0, 40, "for 800 steps, at most 60 epochs"),
        (54_000, 10**6, 70, 71, "longer than the warm-up"),
    ],
)
def test_epochs_follow_from_the_work(
    images: int, multiply_adds: int, warmup: float, expected: int, reason: str
) -> None:
    """As many as a number of multiply-adds allows, within bounds; small sets get more."""
    recipe = Recipe(warmup=warmup, epochs=100)
    choice = epochs.choose(recipe, images, 3 * multiply_adds)
    assert (choice.value, choice.reason) == (expected, reason)


def test_what_is_chosen_does_not_depend_on_the_clock(digits: Dataset) -> None:
    """On a computer a thousand times as slow, the same is chosen; how long it will take is another matter."""
    network, ticks = layerline.read("vgg-small", digits), itertools.count()
    slow = automatic.complete(network, digits, Recipe(), (), clock=lambda: 50.0 * next(ticks))
    fast = automatic.complete(network, digits, Recipe(), (), clock=lambda: 0.05 * next(ticks))
    assert slow.recipe == fast.recipe
    assert slow.reasons == fast.reasons


def test_python_assumes_as_the_command_does(digits: Dataset, tmp_path: Path) -> None:
    """Without a recipe, what is left out is chosen and its reasons are written down; with one it is taken as it is."""
    import tomllib

    network = layerline.read("digits", digits)
    layerline.train(network, digits, epochs=1, out=tmp_path / "a")
    layerline.train(network, digits, Recipe(epochs=1), out=tmp_path / "b")
    first, second = (tomllib.loads((tmp_path / name / "experiment.toml").read_text()) for name in "ab")
    assert first["train"]["optimizer"] == "muon"
    assert set(first["about"]["assumed"]) == {
        *("optimizer", "batch_size", "schedule", "class_weights", "augment", "learning_rate"),
    }
    assert second["train"]["optimizer"] == "sgd"
    assert "assumed" not in second["about"]


def made(
    shape: tuple[int, int, int],
    classes: tuple[str, ...],
    counts: tuple[int, ...],
    name: str = "made",
    held: tuple[int, int] = (10, 10),
    **more: Any,
) -> Dataset:
    """Return a data set of black images: its numbers are what matters. held: of how many to validate and to test on."""
    N = sum(counts)
    images = np.broadcast_to(np.uint8(0), (N, *shape))
    source = ImageSet(images, np.repeat(np.arange(len(counts)), counts).astype(np.int32))
    indices = np.arange(N, dtype=np.int64)
    validation, test = (Split(source, np.arange(n, dtype=np.int64) % N) for n in held)
    scaling = Scaling((1 / 255,) * shape[0], (0.0,) * shape[0])
    return Dataset(name, classes, Split(source, indices), validation, test, scaling, "0" * 64, **more)


PHOTOS = made(
    (3, 128, 128),
    ("cat", "cow", "dog", "hen", "horse", "pig", "sheep"),
    (10_251, 2_500, 1_200, 600, 400, 181, 168),
    "photos",
    (1_700, 3_000),
    resized=Resized(412, (97, 120), (3_024, 4_032), (128, 128), "crop"),
    cuts={"test": 0.15, "validation": 0.1, "normalize": "max"},
)
DIGITS_COUNTS = (129, 131, 128, 131, 129, 130, 130, 129, 127, 129)
MNIST_COUNTS = (5_331, 6_068, 5_362, 5_518, 5_258, 4_879, 5_326, 5_638, 5_266, 5_354)
BLOCKS: dict[str, tuple[Dataset, str | None, float, int, float]] = {
    # the data, the network, and what was measured (docs/recipes.md): learning rate, epochs, seconds
    "digits": (
        made((1, 8, 8), DIGITS, DIGITS_COUNTS, "digits", (144, 360), cuts={"validation": 0.1}),
        *("digits", 0.008, 39, 3.0),
    ),
    "MNIST": (
        made((1, 28, 28), DIGITS, MNIST_COUNTS, "mnist", (6_000, 10_000), cuts={"validation": 0.1}),
        *("lenet5", 0.008, 30, 51.6),
    ),
    "CIFAR-10": (
        made((3, 32, 32), CIFAR, (4_500,) * 10, "cifar10", (5_000, 10_000), cuts={"validation": 0.1}),
        *("lenet5", 0.004, 30, 82.0),
    ),
    "photos of many sizes": (PHOTOS, None, 0.004, 30, 2460.0),
}


def test_the_block(golden: Callable[[str, str], None]) -> None:
    """Every value that was chosen stands there with the flag that changes it."""
    said = []
    for title, (data, net, learned, count, seconds) in BLOCKS.items():
        file, text = (None, "") if net is None else find(net)
        experiment = Experiment(file, text, data.name, {}, given=frozenset({"data"}))
        network = experiment.network(data)
        choices = automatic.choose(Facts.of(network, data), Recipe(), ())
        values = {key: choice.value for key, choice in choices.items()}
        recipe = dataclasses.replace(Recipe(), **values, learning_rate=learned, epochs=count)
        reasons = {key: choice.reason for key, choice in choices.items()}
        prepared = Prepared(
            *(network, data, recipe, ScriptedEngine([], 64)),
            reasons={**reasons, "learning_rate": "", "epochs": ""},
            seconds=seconds,
            experiment=experiment,
        )
        lines = [f"{label:9}{text}" for label, text in assumptions.facts(prepared)]
        said.append(f"--- {title}\n" + "\n".join(lines))
        for key in reasons:
            assert f"(--{key.replace('_', '-')}" in "\n".join(lines)
    golden("assumed.txt", "\n\n".join(said))
