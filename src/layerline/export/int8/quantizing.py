"""A model on 8-bit values, with its accuracy: refused if it loses more than is accepted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from layerline.compiler.folding import folded_weights
from layerline.compiler.int8.lower import int8_program
from layerline.compiler.lifetimes import shared
from layerline.engines.compiled import CompiledEngine
from layerline.engines.interface import State
from layerline.errors import UserError
from layerline.export.forward import Forward
from layerline.export.int8.host_accuracy import accuracy, probabilities
from layerline.export.int8.observing import activation, chosen, observed
from layerline.numbers import display
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from layerline.compiler.int8.int8_builder import Int8Program
    from layerline.compiler.machine import Machine
    from layerline.data.dataset import Dataset, Split
    from layerline.export.export_options import ExportOptions
    from layerline.export.subject import Subject


@dataclass(frozen=True)
class Accuracy:
    """The accuracy on the validation images, before and after."""

    float32: float
    int8: float
    images: int

    @property
    def loss(self) -> float:
        """Return what is lost; negative if int8 is better."""
        return self.float32 - self.int8

    def __str__(self) -> str:
        """Return it as a line."""
        lost = f"{abs(self.loss):.4f} {'lost' if self.loss > 0 else 'gained'}" if self.loss else "nothing lost"
        images = display.counted(self.images, "validation image")
        return f"accuracy {self.float32:.4f} → {self.int8:.4f} in int8: {lost} ({images})"


class LossError(UserError):
    """An export to 8-bit integers that loses more accuracy than is accepted."""

    def __init__(self, message: str, help: str, accepted: float) -> None:  # noqa: A002 - as in UserError
        """Store the limit that would accept it."""
        super().__init__(message, help)
        self.accepted = accepted


def loss_error(found: Accuracy, limit: float) -> LossError:
    """Return the refusal of a loss above a limit, with a limit that accepts it."""
    accepted = min((math.floor(found.loss * 1000) + 1) / 1000, 1.0)
    return LossError(f"--max-loss {limit:g}: {found}", f"to accept this loss: --max-loss {accepted:g}", accepted)


@dataclass(frozen=True, eq=False)
class Quantized:
    """A Program on 8-bit values, and what to report about it."""

    program: Int8Program
    accuracy: Accuracy
    observed: int
    """The number of training images that gave the ranges of its values."""

    def forward(self, machine: Machine) -> Forward:
        """Return it with shared memory, like a Program in float32."""
        planned = shared(self.program.program, machine)
        return Forward(planned, self.program.arena(planned))

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what to report."""
        return str(self.accuracy), f"ranges of 8-bit values from {display.counted(self.observed, 'training image')}"


def quantized(subject: Subject, options: ExportOptions, machine: Machine) -> Quantized:
    """Return a model's Program on 8-bit values for a machine; images are uint8 in H, W, C order.

    Raises UserError if the model or the data is not what int8 needs, or if the accuracy on the validation images drops
    by more than `options.max_loss`.
    """
    data, validation = _needed(subject, options.data)
    network, scaling = subject.network.unfrozen, subject.card.scaling
    folded = folded_weights(network, subject.weights)
    seen = observed(network, scaling, subject.weights, data.train)

    def made(target: Machine, channels_last: bool) -> Int8Program:
        return int8_program(network, target, folded, seen, scaling, activation, channels_last=channels_last)

    engine = CompiledEngine(network, scaling, Recipe(exact=True, momentum=0.0))
    engine.set_state(State({name: np.asarray(value) for name, value in subject.weights.items()}, {}))
    before = accuracy(engine.evaluate(validation).probabilities, validation)
    after = accuracy(probabilities(network, scaling, made, validation), validation)
    found = Accuracy(before, after, len(validation))
    if not found.loss <= options.max_loss:  # nor if that is NaN
        raise loss_error(found, options.max_loss)
    return Quantized(made(machine, True), found, len(chosen(data.train)))


def _needed(subject: Subject, data: Dataset | None) -> tuple[Dataset, Split]:
    """Return the data, and its validation set. Raises UserError if one is missing, or is not what int8 needs."""
    if data is None:
        raise UserError(
            "int8: no data; the ranges of values are taken from training images",
            "pass it as model.export(path, int8=True, data=model.load_data(photos))",
        )
    name = display.name(data.name)
    if data.shape != subject.network.input_shape or data.classes != subject.card.classes:
        raise UserError(f"int8: {name} has other images or classes than the model", "pass the data it was trained on")
    if data.train.source.images.dtype != np.uint8:
        raise UserError(
            "int8: the model takes pixels that are not 8-bit integers", "export it in float32, without int8"
        )
    if data.validation is None or not len(data.validation):
        raise UserError(
            f"int8: {name} has no validation set, which measures the loss of accuracy",
            "train again with --validation 0.1",
        )
    return data, data.validation
