"""Models on 8-bit values: what they lose on real images, and when they are refused."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest

import layerline
from layerline.compiler.machine import named
from layerline.data.dataset import ImageSet, Split
from layerline.errors import DataError, UserError
from layerline.export.export_options import ExportOptions
from layerline.export.int8.observing import IMAGES, chosen
from layerline.export.int8.quantizing import Accuracy, quantized
from layerline.export.subject import Subject
from layerline.training.model import card_of

if TYPE_CHECKING:
    from pathlib import Path

    from layerline.data.dataset import Dataset
    from layerline.training import Model

DEPTHWISE = """Input 1 8 8
Conv 8 3 padding=1 bias=no
BatchNorm
ReLU
Depthwise 3 padding=1
BatchNorm
ReLU6
Conv 12 1 bias=no
BatchNorm
ReLU
Residual
    Depthwise 3 padding=1
    BatchNorm
    SiLU
    Conv 12 1
End
ReLU
GlobalPool
Flat
FC 10
"""


@pytest.fixture(scope="module")
def data() -> Dataset:
    return layerline.load_data("digits", validation=0.3)


@pytest.fixture(scope="module")
def models(data: Dataset) -> dict[str, Model]:
    networks = {"digits": layerline.read("digits", data), "depthwise": layerline.parse(DEPTHWISE)}
    return {
        name: layerline.train(network, data, epochs=12, learning_rate=0.05, batch_size=32).model
        for name, network in networks.items()
    }


def subject_of(model: Model) -> Subject:
    card = card_of(model.network, model.classes, model.scaling, model.preprocessing)
    return Subject(model.network, card, model.weights)


@pytest.mark.parametrize("name", ["digits", "depthwise"])
def test_a_trained_model_loses_less_than_half_a_percent(name: str, models: dict[str, Model], data: Dataset) -> None:
    """Dense, depthwise and residual layers alike; the accuracy is that of `Model.evaluate`."""
    found = quantized(subject_of(models[name]), ExportOptions(int8=True, data=data), named(lanes=1))
    assert found.accuracy.float32 == models[name].evaluate(data, "validation").test_accuracy
    assert found.accuracy.loss <= 0.005
    assert found.notes[0] == str(found.accuracy)


def test_a_loss_above_the_limit_is_refused(models: dict[str, Model], data: Dataset) -> None:
    """With both accuracies, and a limit that accepts it; one whose labels are those that int8 misses."""
    model = models["digits"]
    options = ExportOptions(int8=True, data=data, max_loss=-1.0)
    with pytest.raises(UserError) as error:
        quantized(subject_of(model), options, named(lanes=1))
    told = str(error.value)
    found = quantized(subject_of(model), dataclasses.replace(options, max_loss=1.0), named(lanes=1)).accuracy
    assert str(found) in told
    accepted = float(told.rpartition("max_loss=")[2].split()[0])
    assert found.loss <= accepted
    assert quantized(subject_of(model), dataclasses.replace(options, max_loss=accepted), named(lanes=1))


def test_missing_data_is_told_with_the_call(models: dict[str, Model]) -> None:
    """In Python no run says which data a model had."""
    with pytest.raises(UserError, match=r"model\.export\(path, int8=True, data="):
        quantized(subject_of(models["digits"]), ExportOptions(int8=True), named(lanes=1))


def test_data_that_int8_cannot_use_is_refused(models: dict[str, Model], data: Dataset) -> None:
    """Without a validation set, of other classes, or with pixels that are not bytes."""
    subject = subject_of(models["digits"])
    floats = ImageSet(data.train.source.images.astype(np.float32), data.train.source.labels)
    cases = {
        "has no validation set": dataclasses.replace(data, validation=None),
        "has other images or classes": dataclasses.replace(data, classes=tuple("abcdefghij")),
        "not 8-bit integers": dataclasses.replace(data, train=Split(floats, data.train.indices)),
    }
    for message, wrong in cases.items():
        with pytest.raises(UserError, match=message):
            quantized(subject, ExportOptions(int8=True, data=wrong), named(lanes=1))


def test_values_that_are_not_finite_are_refused(models: dict[str, Model], data: Dataset) -> None:
    """As after a divergence: weights that are finite may make values that are not."""
    subject = subject_of(models["digits"])
    weights = {name: weight * np.float32(1e30) for name, weight in subject.weights.items()}
    with pytest.raises(UserError, match="values that are not finite"), np.errstate(all="ignore"):
        quantized(dataclasses.replace(subject, weights=weights), ExportOptions(int8=True, data=data), named(lanes=1))


def test_data_of_another_shape_is_refused_as_by_evaluate(models: dict[str, Model], tmp_path: Path) -> None:
    """With the words that `Model.evaluate` has."""
    images = np.zeros((40, 9, 9), np.uint8)
    other = layerline.load_data((images, np.arange(40) % 10), validation=0.5, test="none")
    with pytest.raises(DataError, match="9×9 images, but the model expects"):
        models["digits"].export(tmp_path / "net.c", int8=True, data=other)


def test_observed_images_are_spread_over_the_training_images() -> None:
    """All of few; of many, evenly spaced ones, so that sorted classes are all among them."""
    source = ImageSet(np.zeros((5000, 1, 1, 1), np.uint8), np.zeros(5000, np.int32))
    few, many = Split(source, np.arange(40)), Split(source, np.arange(100, 5000))
    assert chosen(few).tolist() == list(range(40))
    steps = np.diff(chosen(many))
    assert len(steps) == IMAGES - 1
    assert {9, 10} == set(steps.tolist())


def test_an_accuracy_is_told_in_words() -> None:
    """Lost or gained, of so many images."""
    assert str(Accuracy(0.95, 0.945, 5000)) == "accuracy 0.9500 → 0.9450 in int8: 0.0050 lost (5,000 validation images)"
    assert "0.0050 gained" in str(Accuracy(0.945, 0.95, 10))
    assert str(Accuracy(0.5, 0.5, 1)).endswith("nothing lost (1 validation image)")
