"""The note that jumping validation scores will settle: while the learning rate is high and will fall, and only then."""

from __future__ import annotations

import dataclasses

import pytest
import small_data

import layerline
from layerline.recipe import Recipe
from layerline.runs.history import EpochRow
from layerline.training import Watcher, settling
from layerline.training.prepared import prepare
from layerline.training.session import run

LINEAR = Recipe(epochs=10, batch_size=10, learning_rate=0.1)
ROW = EpochRow(1, 1.0, 0.5, 0.5, 1.0, 0.5, 0.5, 0.1, 1.0, 1.0, 1.0, best=True)


def history(validation: list[float | None], train: list[float] | None = None) -> list[EpochRow]:
    trained = train or [0.5 + 0.01 * k for k in range(len(validation))]
    return [
        dataclasses.replace(ROW, epoch=k, validation_accuracy=held, train_accuracy=seen)
        for k, (held, seen) in enumerate(zip(validation, trained, strict=True), 1)
    ]


@pytest.mark.parametrize(
    ("rows", "recipe", "images", "said"),
    [
        (history([0.6, 0.8, 0.5]), LINEAR, 1000, True),
        (history([0.6, 0.8, 0.77]), LINEAR, 1000, False),  # less than 5 points
        (history([0.6, 0.8, 0.7]), LINEAR, 100, False),  # 2.5 standard errors of 0.04
        (history([0.6, 0.8, 0.9]), LINEAR, 1000, False),
        (history([0.6, 0.8, 0.5], [0.6, 0.8, 0.5]), LINEAR, 1000, False),  # the training fell too: too high a rate
        (history([0.6, 0.8, 0.5]), dataclasses.replace(LINEAR, schedule="constant"), 1000, False),
        (history([0.6, 0.8, 0.5]), dataclasses.replace(LINEAR, schedule="one-cycle"), 1000, True),
        (history([0.6, 0.8, 0.5]), dataclasses.replace(LINEAR, schedule="step", step_epochs=4.0), 1000, True),
        (history([0.8] * 8 + [0.5]), LINEAR, 1000, False),  # near the end, where the rate is low
        (history([0.8] * 9 + [0.5]), LINEAR, 1000, False),
        (history([0.5]), LINEAR, 1000, False),
        (history([None, None]), LINEAR, 0, False),
    ],
)
def test_it_is_said_only_if_it_is_likely_to_come_true(
    rows: list[EpochRow], recipe: Recipe, images: int, said: bool
) -> None:
    """A fall beyond chance of the validation alone, at a rate of at least half the highest that falls to a fifth."""
    found = settling.note(rows, recipe, 100, images)
    assert (found is not None) == said
    if found is not None:
        assert found.startswith("the validation scores jump while the learning rate is high (0.")
        assert found.endswith("in epoch 10")


def test_it_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training whose scores jump in several epochs has one such note."""
    monkeypatch.setattr(settling, "jumped", lambda rows, images: len(rows) > 1 and images == 20)
    data, notes = small_data.dataset(70), []

    class Noting(Watcher):
        def note(self, text: str) -> None:
            notes.append(text)

    network = layerline.parse("Flat\nFC classes\n", data)
    run(prepare(network, data, Recipe(epochs=5, learning_rate=0.01), threads=1), None, Noting())
    assert len([note for note in notes if "jump" in note]) == 1
