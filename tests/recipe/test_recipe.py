"""The recipe: what it refuses and with which words, its learning rates, its class weights."""

from __future__ import annotations

import dataclasses
import os
import pickle
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import command
import numpy as np
import pytest
import torch
from places import SOURCES
from torch.optim import lr_scheduler

from layerline.data.augment.augmentation import Augmentation
from layerline.errors import RecipeError
from layerline.recipe import Recipe, check_together

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

ALONE: dict[str, Any] = {
    "epochs": (0, 1_000_001, 2.5, True, "many"),
    "within": ("5", "0s", "5 days", "-1m", "1e9h", -300, True, float("nan")),
    "best": ("precision", "f1"),
    "patience": (0, 1.5, "soon", True),
    "batch_size": (0, 2**31, "all"),
    "learning_rate": (0.0, -1.0, 2e6, float("nan"), float("inf"), "fast", True),
    "schedule": ("liner", "onecycle", "poly"),
    "warmup": (-0.5, float("nan"), "long"),
    "step_epochs": (0.0, -1.0, "often"),
    "step_factor": (0.0, 1.5, "half"),
    "optimizer": ("SGD", "lion"),
    "momentum": (1.0, -0.1, "none"),
    "nesterov": ("maybe", 1),
    "beta1": (1.0, -0.1),
    "beta2": (1.0, "none"),
    "eps": (0.0, 2.0),
    "weight_decay": (-0.1, float("inf")),
    "decay": ("weight", "biases"),
    "clip_norm": (0.0, -1.0, 2e9, "off"),
    "ema": (0.0, 1.0, "on"),
    "label_smoothing": (1.0, -0.1),
    "backbone_rate": (0.0, -0.5, 1.5, "none"),
    "class_weights": ("balance", "1,x", ("1", "x"), (1.0, 0.0), (1.0, float("nan")), (1.0, True, -1.0), 3),
    "augment": (3,),
    "init": ("kaiming", "xavie"),
    "seed": (-1, 2**64, 0.5),
    "exact": ("maybe", 1),
}
"""Every option → values that are out of its range."""

TOGETHER: dict[str, dict[str, Any]] = {
    "muon without filters": {"optimizer": "muon", "filters": False},
    "nesterov with adamw": {"optimizer": "adamw", "nesterov": True},
    "nesterov with muon": {"optimizer": "muon", "nesterov": True},
    "nesterov without momentum": {"nesterov": True, "momentum": 0.0},
    "beta1 with sgd": {"beta1": 0.8},
    "momentum with adamw": {"optimizer": "adamw", "momentum": 0.8},
    "beta2 with sgd": {"beta2": 0.99},
    "eps with sgd": {"eps": 1e-6},
    "decay of nothing": {"decay": "weights"},
    "step without epochs": {"schedule": "step", "epochs": 30},
    "step of a short run": {"schedule": "step", "epochs": 1},
    "step epochs without step": {"step_epochs": 3.0},
    "step factor without step": {"step_factor": 0.5},
    "one-cycle of two steps": {"schedule": "one-cycle", "epochs": 2, "batch_size": 100},
    "one-cycle of one step": {"schedule": "one-cycle", "epochs": 1, "batch_size": 64, "images": 50},
    "one-cycle with warm-up": {"schedule": "one-cycle", "warmup": 1.0},
    "warm-up of the whole run": {"warmup": 3.0, "epochs": 3},
    "patience without validation": {"patience": 3, "validation": False},
    "a rate of no backbone": {"backbone_rate": 0.1},
    "too few class weights": {"class_weights": (1.0, 2.0)},
    "too many class weights": {"class_weights": (1.0, 2.0, 3.0, 4.0)},
}
"""Values that are each in their range, and make no sense beside each other, the network or the data."""

FINE: dict[str, dict[str, Any]] = {
    "defaults": {},
    "muon with filters": {"optimizer": "muon", "filters": True, "beta1": 0.8},
    "adamw without filters": {"optimizer": "adamw", "filters": False, "eps": 1e-6, "beta2": 0.99},
    "nesterov": {"nesterov": True},
    "decay of weights": {"decay": "weights", "weight_decay": 0.1},
    "step": {"schedule": "step", "step_epochs": 0.5},
    "one-cycle of three steps": {"schedule": "one-cycle", "epochs": 3, "batch_size": 100},
    "warm-up of nearly all": {"warmup": 2.9, "epochs": 3},
    "warm-up where time decides": {"warmup": 20.0, "within": "5m"},
    "a rate of a backbone": {"backbone_rate": 0.1, "backbone": True},
    "class weights": {"class_weights": ("1", "2", "0.5")},
    "class weights as text": {"class_weights": "1,2,0.5"},
    "a word in a list": {"class_weights": ("sqrt",)},
    "edges": {
        "optimizer": "muon",
        "learning_rate": 1e6,
        "schedule": "step",
        "step_epochs": 1.0,
        "step_factor": 1.0,
        "eps": 1.0,
        "seed": 2**64 - 1,
        "within": "1.5h",
    },
}


def check(
    filters: bool = True, images: int = 100, validation: bool = True, backbone: bool = False, **values: Any
) -> None:
    check_together(Recipe(**values), images, 3, filters=filters, validation=validation, backbone=backbone)


def test_every_refusal_has_its_message(golden: Callable[[str, str], None]) -> None:
    """Each value out of range, and each combination without sense, is refused with the words that were read."""
    said = []
    for option, values in ALONE.items():
        for value in values:
            with pytest.raises(RecipeError) as caught:
                Recipe(**{option: value})
            said.append(caught.value.with_flags)
            assert caught.value.with_flags.startswith(f"--{option.replace('_', '-')} ")
    for name, values in TOGETHER.items():
        Recipe(**{key: value for key, value in values.items() if key not in ("filters", "images", "validation")})
        with pytest.raises(RecipeError) as caught:
            check(**values)
        assert caught.value.help is not None, name
        said.append(f"\n--- {name}\n{caught.value.with_flags}")
    golden("recipe.txt", "\n".join(said))


@pytest.mark.parametrize("name", FINE)
def test_what_makes_sense_is_taken(name: str) -> None:
    """Values at the edge of what is refused are taken."""
    check(**FINE[name])


def test_every_option_is_tried() -> None:
    """The table above has each value of a recipe."""
    assert set(ALONE) == set(Recipe().as_dict())


def test_the_help_of_one_cycle_is_enough() -> None:
    """The epochs that the message about too few steps advises are the fewest that are taken."""
    with pytest.raises(RecipeError) as caught:
        check(schedule="one-cycle", epochs=1, batch_size=64)
    found = re.search(r"--epochs (\d+)", caught.value.with_flags)
    assert found is not None
    check(schedule="one-cycle", epochs=int(found[1]), batch_size=64)
    with pytest.raises(RecipeError):
        check(schedule="one-cycle", epochs=int(found[1]) - 1, batch_size=64)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("5m", 300), (" 1.5 H ", 5400), ("none", None)])
def test_times_are_read(text: str, seconds: float | None) -> None:
    """A time is a number and s, m or h."""
    assert Recipe(within=text).within == seconds


WORDED: dict[str, tuple[Any, Any, Any]] = {
    "no time": ("within", "none", None),
    "minutes": ("within", "5m", 300.0),
    "odd seconds": ("within", "90s", 90.0),
    "a part of a second": ("within", "0.5s", 0.5),
    "whole hours": ("within", "2h", 7200.0),
    "no patience": ("patience", "none", None),
    "patience": ("patience", 3, 3),
    "no steps": ("step_epochs", "none", None),
    "no clipping": ("clip_norm", "none", None),
    "no average": ("ema", "none", None),
    "an average": ("ema", 0.9, 0.9),
    "no augmentation": ("augment", "none", None),
    "an augmentation": ("augment", "flip,shift=4", Augmentation(shift=4, flip="random")),
    "no class weights": ("class_weights", "none", None),
    "a way of weighing": ("class_weights", "sqrt", "sqrt"),
    "a number a class": ("class_weights", [1.0, 2.5], (1.0, 2.5)),
}
"""What stands in experiment.toml, and what a recipe holds."""


@pytest.mark.parametrize("name", WORDED)
def test_words_are_read_once_and_written_again(name: str) -> None:
    """A recipe holds what words mean, takes the same as values, and is written in the same words."""
    key, word, value = WORDED[name]
    said = Recipe(**{key: word})
    assert getattr(said, key) == value
    assert type(getattr(said, key)) is type(value)
    assert said == Recipe(**{key: value})
    assert said.as_dict()[key] == word
    assert dataclasses.replace(said, epochs=3, **{key: getattr(Recipe(), key)}) == Recipe(epochs=3)
    assert pickle.loads(pickle.dumps(said)) == said  # noqa: S301 - our own


def test_an_augmentation_that_does_nothing_is_none() -> None:
    """Nothing at all, said as an Augmentation, is what `none` is."""
    assert Recipe(augment=Augmentation()) == Recipe()


def test_adam_is_adamw_without_weight_decay() -> None:
    """It is understood where the two are the same, and only there; Adam's weight decay is another one."""
    assert Recipe(optimizer="Adam", learning_rate=0.001) == Recipe(optimizer="adam", learning_rate=0.001)
    assert Recipe(optimizer="adam", learning_rate=0.001) == Recipe(optimizer="adamw", learning_rate=0.001)
    with pytest.raises(RecipeError, match=r"adam.*: not available with a weight decay"):
        Recipe(optimizer="adam", weight_decay=0.01)


REFUSED: dict[str, list[str]] = {
    "--ema 1.0: must be a number above 0 and below 1, or none": ["--ema", "1"],
    "--nesterov maybe: must be yes or no": ["--nesterov=maybe"],
    "--optimizer adam: not available with a weight decay\n  help: use adamw": [
        *("--optimizer", "adam", "--weight-decay", "0.1"),
    ],
    "--within 5: must be a time such as 90s": ["--within", "5"],
    "--beta1 belongs to --optimizer adamw and muon, not sgd": ["--optimizer", "sgd", "--beta1", "0.8"],
    "--optimizer muon updates filters, but this network trains no Conv": ["--optimizer", "muon"],
    "--class-weights has 2 numbers for 10 classes": ["--class-weights", "1,2"],
    "--patience needs a validation set": ["--patience", "3", "--validation", "none"],
    "--within determines the number of epochs, but --epochs sets it too": ["--within", "5m", "--epochs", "3"],
}


@pytest.mark.parametrize("message", REFUSED)
def test_the_command_line_refuses_with_2(message: str, tmp_path: Path) -> None:
    """A value out of range or without sense ends the command with 2 and its message, and nothing is written."""
    (tmp_path / "net.cnn").write_text("Flat\nFC classes\n")
    ended = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "layerline", "train", "net.cnn", "--data", "digits", *REFUSED[message]],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCES), "LANG": "C.UTF-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, ""), ended.stderr
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["net.cnn"]


IMAGES, EPOCHS, B = 45, 7, 10
"""Five steps an epoch, the last smaller."""
STEPS = 35


def rates_of(**values: Any) -> NDArray[np.float64]:
    return Recipe(epochs=EPOCHS, batch_size=B, learning_rate=0.3, **values).learning_rates(IMAGES)


SCHEDULERS: dict[str, tuple[dict[str, Any], Callable[[Any], Any]]] = {
    "constant": ({}, lambda optimizer: lr_scheduler.ConstantLR(optimizer, factor=1.0)),
    "cosine": ({}, lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, T_max=STEPS)),
    "one-cycle": (
        {},
        lambda optimizer: lr_scheduler.OneCycleLR(optimizer, max_lr=0.3, total_steps=STEPS, cycle_momentum=False),
    ),
    "step": (
        {"step_epochs": 2.0, "step_factor": 0.2},
        lambda optimizer: lr_scheduler.StepLR(optimizer, step_size=10, gamma=0.2),
    ),
}


@pytest.mark.parametrize("schedule", SCHEDULERS)
def test_schedules_are_pytorch_s(schedule: str) -> None:
    """Every step's rate is what PyTorch's scheduler of the same name gives."""
    values, make = SCHEDULERS[schedule]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    scheduler, expected = make(optimizer), []
    for _ in range(STEPS):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    found = rates_of(schedule=schedule, **values)
    # PyTorch's cosine goes on from the last rate: 35 products of float64, 35·2⁻⁵³·0.3 = 1e-15, grown by differences.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_linear_falls_to_a_last_step_above_zero() -> None:
    """Step t of T has the rate times 1 − t / T, exactly."""
    expected = [0.3 * (1 - t / STEPS) for t in range(STEPS)]
    assert rates_of(schedule="linear").tolist() == expected


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine", "step"])
@pytest.mark.parametrize(("warmup", "steps"), [(0.2, 1), (1.0, 5), (2.5, 12), (0.01, 1)])
def test_warm_up_rises_by_equal_steps(schedule: str, warmup: float, steps: int) -> None:
    """While it warms up, the schedule's rate of step t is times (t + 1) / W; afterwards it is the schedule's."""
    more: dict[str, Any] = {"step_epochs": 2.0} if schedule == "step" else {}
    share = [min(1.0, (t + 1) / steps) for t in range(STEPS)]
    plain = rates_of(schedule=schedule, **more)
    np.testing.assert_allclose(rates_of(schedule=schedule, warmup=warmup, **more), plain * share, rtol=1e-15)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine", "one-cycle"])
def test_an_epoch_s_rates_are_a_piece_of_the_run_s(schedule: str) -> None:
    """The rates of epochs 1, 2, … joined are those of the run, bit for bit."""
    recipe = Recipe(epochs=EPOCHS, batch_size=B, schedule=schedule, warmup=0.0 if schedule == "one-cycle" else 1.5)
    pieces = [recipe.learning_rates(IMAGES, epoch) for epoch in range(1, EPOCHS + 1)]
    assert np.array_equal(np.concatenate(pieces), recipe.learning_rates(IMAGES))


def test_class_weights_make_up_for_numbers() -> None:
    """balanced: each class weighs the same in all; sqrt: by the root of that; both 1 on the mean; none of no images."""
    counts = np.array([60, 30, 0, 10], np.int64)
    balanced = Recipe(class_weights="balanced").weights_of(counts)
    root = Recipe(class_weights="sqrt").weights_of(counts)
    assert balanced is not None
    assert root is not None
    np.testing.assert_allclose(balanced * counts, [100 / 3, 100 / 3, 0, 100 / 3], rtol=1e-14)
    np.testing.assert_allclose(root[[1, 3]] / root[0], np.sqrt([2, 6]), rtol=1e-14)
    for weights in (balanced, root):
        assert weights[2] == 0
        assert (weights * counts).sum() == pytest.approx(100, rel=1e-14)
    given = Recipe(class_weights=(1.0, 2.0)).weights_of(counts)
    assert given is not None
    assert given.tolist() == [1, 2]
    assert Recipe().weights_of(counts) is None


@pytest.mark.parametrize("option", ["--step-epochs 1", "--beta1 0.8", "--warmup 12"])
def test_the_command_line_takes_an_option_alone(option: str, tmp_path: Path) -> None:
    """What would not go with the plain defaults goes with the values that are chosen for it, and trains."""
    (tmp_path / "net.cnn").write_text("Flat\nFC classes\n")
    options = ["--data", "digits", "--limit", "40", "--learning-rate", "0.01", *option.split()]
    for more in ((), ("--seeds", "2")):
        ended = command.run(tmp_path, "train", "net.cnn", *options, *more)
        assert ended.returncode == 0, ended.stderr
