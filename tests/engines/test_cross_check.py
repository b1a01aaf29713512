"""`layerline engine check`: what is compared with float64, and that a wrong engine is found."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
import small_data

from layerline.engines import features
from layerline.engines.compiled import CompiledEngine
from layerline.engines.cross_check import BATCHES, cross_checked
from layerline.network import parse
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerline.engines.interface import State

TEXT = """
Conv 4 3 1 1
BatchNorm
ReLU
Residual
  Conv 4 3 1 1
  ReLU
End
Pool 2
Dropout 0.3
Flat
FC classes
Softmax
"""
DATA = small_data.dataset()
NETWORK = parse(TEXT, input_shape=DATA.shape, classes=3)
RECIPE = Recipe(batch_size=16)


def changed(monkeypatch: pytest.MonkeyPatch, change: Callable[[int, State], None]) -> None:
    """Let the compiled engine's state be changed after its step number 1, 2, …"""
    train, state, done = CompiledEngine.train, CompiledEngine.state, [0]

    def counted(self: CompiledEngine, *arguments: Any) -> int:
        done[0] += 1
        return train(self, *arguments)

    def altered(self: CompiledEngine) -> State:
        found = state(self)
        if done[0]:
            change(done[0], found)
        return found

    monkeypatch.setattr(CompiledEngine, "train", counted)
    monkeypatch.setattr(CompiledEngine, "state", altered)


def test_both_engines_are_near_float64() -> None:
    """Every layer outside of branches that computes something, and every parameter, of a network with everything."""
    found = cross_checked(NETWORK, DATA, RECIPE, 1)
    assert (found.failed, found.out, found.images) == ((), ((),), 16)
    kinds = [each.node.layer.kind for each in found.layers]
    assert kinds == ["conv", "batch_norm", "relu", "add", "pool", "fc"]
    assert [each.name for each in found.parameters] == [
        name for name in NETWORK.weights if name.endswith(("weight", "bias"))
    ]
    # Sums of at most 64 float32 terms, six layers deep: 64·6·2⁻²⁴ = 2e-5 of the largest value.
    for each in (*(layer.output for layer in found.layers), *(one.weight for one in found.parameters)):
        assert each.compiled is not None
        assert each.torch is not None
        assert max(each.compiled, each.torch) < 2e-5
    assert any(each.gradient.compiled for each in found.parameters)


def test_a_bias_before_batch_norm_has_no_gradient() -> None:
    """Its gradient is rounding alone, which is not compared with itself."""
    found = {each.name: each for each in cross_checked(NETWORK, DATA, RECIPE, 1).parameters}
    assert (found["0.bias"].gradient.compiled, found["0.bias"].gradient.torch) == (None, None)
    assert found["0.weight"].gradient.compiled is not None


def test_a_wrong_gradient_fails_in_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gradient that is 1e-4 too large is named, and the numbers are those of the first batch."""

    def larger(_: int, state: State) -> None:
        state.optimizer["momentum.3.body.0.weight"] *= 1.0001

    changed(monkeypatch, larger)
    found = cross_checked(NETWORK, DATA, RECIPE, 1)
    assert found.failed == ("3.body.0.weight",)
    assert len(found.out) == BATCHES
    wrong = next(each for each in found.parameters if each.name == "3.body.0.weight")
    assert wrong.gradient.compiled == pytest.approx(1e-4, rel=0.1)
    assert wrong.gradient.torch is not None
    assert wrong.gradient.torch < 2e-5


def test_a_gradient_that_is_not_finite_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """NaN is not within any tolerance."""
    name = next(name for name in NETWORK.weights if name.endswith("bias") and NETWORK.weights[name].shape == (3,))
    changed(monkeypatch, lambda _, state: state.optimizer[f"momentum.{name}"].fill(float("nan")))
    assert cross_checked(NETWORK, DATA, RECIPE, 1).failed == (name,)


def test_what_happens_in_one_batch_alone_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a ReLU that rounding tips over: the batch is reported, and the verdict is that of the next."""

    def once(step: int, state: State) -> None:
        if step == 1:
            state.optimizer["momentum.0.weight"] *= 1.001

    changed(monkeypatch, once)
    found = cross_checked(NETWORK, DATA, RECIPE, 1)
    assert found.out == (("0.weight",), ())
    assert found.failed == ()


def test_a_wrong_layer_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that reach the compiled engine 1 % too large make the outputs from there on differ by as much."""
    folded = features.folded_weights

    def larger(*arguments: Any) -> Any:
        return {name: value * (1.01 if name == "0.weight" else 1) for name, value in folded(*arguments).items()}

    monkeypatch.setattr(features, "folded_weights", larger)
    found = cross_checked(NETWORK, DATA, RECIPE, 1)
    assert found.layers[0].output.compiled == pytest.approx(0.01, rel=0.3)
    assert found.layers[0].output.torch is not None
    assert found.layers[0].output.torch < 1e-6


def test_a_batch_has_at_most_the_training_images() -> None:
    """Fewer images than a batch are one batch; then there is no other to try."""
    found = cross_checked(NETWORK, DATA, dataclasses.replace(RECIPE, batch_size=500), 1)
    assert found.images == len(DATA.train)
