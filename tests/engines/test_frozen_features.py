"""The engine that stores the features of frozen layers: bits of a live computation, each image once."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import layerline
from layerline import engines
from layerline.data.augment.augmentation import Augmentation
from layerline.data.dataset import ImageSet, Scaling, Split
from layerline.engines.compiled import CompiledEngine
from layerline.engines.epoch import plan_epoch
from layerline.engines.frozen_features import FeatureEngine
from layerline.engines.interface import State
from layerline.engines.predictor import Predictor
from layerline.network import parse
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.engines.epoch import Epoch
    from layerline.engines.interface import Engine
    from layerline.network import Network

DATA = layerline.load_data("digits", limit=200)
CASES = {
    "a pool after the End": "Freeze\nConv 32 3 padding=1\nEnd\nReLU\nPool 2\nConv 4 3\nFlat\nFC classes\n",
    "wide convolutions": "Freeze\nConv 32 3 padding=1\nReLU\nConv 32 3 padding=1\nEnd\nPool 4\nFlat\nFC classes\n",
    "vectors": "Freeze\nConv 4 3\nFlat\nFC 9\nReLU\nEnd\nFC classes\n",
    "two readers": "Freeze\nConv 8 3 padding=1\nEnd\nResidual\nConv 8 1\nEnd\nPool 8\nFlat\nFC classes\n",
}
FROZEN = "Freeze\nConv 8 3 padding=1 bias=no\nBatchNorm\nReLU\nResidual\nConv 8 1\nEnd\nPool 2\nConv 4 3\nReLU\nEnd\n"
HEAD = "Flat\nFC 12\nBatchNorm\nReLU\nFC classes\n"
PLAIN = Recipe(batch_size=16, learning_rate=0.05, augment="none")
FLIPPED = dataclasses.replace(PLAIN, augment=Augmentation(flip="random"))
RECIPES = {
    "sgd": PLAIN,
    "adamw, averages": dataclasses.replace(PLAIN, optimizer="adamw", learning_rate=0.004, ema=0.9, weight_decay=0.01),
    "weighted": dataclasses.replace(PLAIN, class_weights="balanced", label_smoothing=0.1, clip_norm=1.0),
}


def network(text: str = FROZEN + HEAD) -> Network:
    return parse(text, input_shape=DATA.shape, classes=len(DATA.classes))


def trained(engine: Engine, recipe: Recipe) -> Engine:
    for number in (1, 2):
        engine.train(plan_epoch(recipe, DATA.train, number, 10), 0)
    return engine


def same(a: dict[str, NDArray[Any]], b: dict[str, NDArray[Any]]) -> bool:
    return list(a) == list(b) and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("threads", [1, 3])
def test_stored_features_change_no_bit(name: str, threads: int) -> None:
    """State, running metrics, evaluation and predictions are those of the engine that computes frozen layers live."""
    recipe, net = RECIPES[name], network()
    made = engines.make("compiled", net, DATA.scaling, recipe, threads)
    assert isinstance(made, FeatureEngine)
    live = trained(CompiledEngine(net, DATA.scaling, recipe, 2), recipe)
    stored = trained(made, recipe)
    assert same(stored.state().weights, live.state().weights)
    assert same(stored.state().optimizer, live.state().optimizer)
    assert stored.running().loss == live.running().loss
    assert np.array_equal(stored.running().tallies, live.running().tallies)
    assert DATA.test is not None
    a, b = stored.evaluate(DATA.test), live.evaluate(DATA.test)
    assert np.array_equal(a.probabilities, b.probabilities)
    assert np.array_equal(a.losses, b.losses)
    assert np.array_equal(stored.probabilities(DATA.test.images), b.probabilities)


def flips_of(plan: Epoch) -> NDArray[np.int32]:
    """Return which images an epoch flips, in the order of the images."""
    assert plan.drawn is not None
    return plan.drawn.moves[np.argsort(plan.order), 2]


@pytest.mark.parametrize("flip", ["random", "alternate"])
@pytest.mark.parametrize("text", [FROZEN + HEAD, CASES["wide convolutions"]])
@pytest.mark.parametrize("last", [False, True])
def test_flips_choose_among_stored_features(monkeypatch: pytest.MonkeyPatch, flip: str, text: str, last: bool) -> None:
    """Three epochs with flips have the bits of live ones, of grayscale images and of color ones stored as H, W, C; an
    image passes the frozen layers once as it is, and once mirrored."""
    source = DATA.train.source
    if last:
        pixels = np.random.default_rng(1).integers(0, 256, (len(source.labels), 8, 8, 3), np.uint8)
        source = ImageSet(pixels.transpose(0, 3, 1, 2), source.labels)
    split, scaling = (
        Split(source, DATA.train.indices),
        Scaling((1 / 255,) * (3 if last else 1), (0.0,) * (3 if last else 1)),
    )
    recipe = dataclasses.replace(PLAIN, augment=Augmentation(flip=flip))
    net = parse(text, input_shape=source.images.shape[1:], classes=10)
    live, stored = CompiledEngine(net, scaling, recipe, 2), FeatureEngine(net, scaling, recipe, 2)
    seen: list[int] = []
    values = Predictor.values

    def counted(self: Predictor, weights: Any, images: Any, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        seen.extend(indices.tolist())
        return values(self, weights, images, indices)

    for engine in (live, stored):
        with monkeypatch.context() as patch:
            patch.setattr(Predictor, "values", counted)
            for number in (1, 2, 3):
                engine.train(plan_epoch(recipe, split, number, 10), 0)
    assert same(stored.state().weights, live.state().weights)
    assert same(stored.state().optimizer, live.state().optimizer)
    assert stored.running().loss == live.running().loss
    flipped = np.stack([flips_of(plan_epoch(recipe, split, number, 10)) for number in (1, 2, 3)])
    assert len(seen) == sum(len(np.unique(column)) for column in flipped.T)
    whole = Split(source, np.arange(20))
    assert np.array_equal(stored.evaluate(whole).losses, live.evaluate(whole).losses)


@pytest.mark.parametrize("name", CASES)
def test_no_network_changes_its_bits(name: str) -> None:
    """Wherever the frozen part ends: in a fused or transformed convolution, a vector, or a value with two readers."""
    net = network(CASES[name])
    assert net.frozen_end
    live = trained(CompiledEngine(net, DATA.scaling, PLAIN, 2), PLAIN)
    stored = trained(FeatureEngine(net, DATA.scaling, PLAIN, 2), PLAIN)
    assert same(stored.state().weights, live.state().weights)


def test_each_image_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two epochs, an evaluation of other images and one of the same ones: every image passes the frozen layers once."""
    seen: list[int] = []
    values = Predictor.values

    def counted(self: Predictor, weights: Any, images: Any, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        seen.extend(indices.tolist())
        return values(self, weights, images, indices)

    monkeypatch.setattr(Predictor, "values", counted)
    engine = trained(engines.make("compiled", network(), DATA.scaling, PLAIN, 2), PLAIN)
    assert sorted(seen) == sorted(DATA.train.indices.tolist())
    assert DATA.validation is not None
    for split in (DATA.validation, DATA.train):
        engine.evaluate(split)
    assert sorted(seen) == sorted([*DATA.train.indices.tolist(), *DATA.validation.indices.tolist()])


def test_a_stop_among_features_ends_the_call_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """`stop` while features are computed: no step is done; the next call continues, and the bits are the usual ones."""
    engine = engines.make("compiled", network(), DATA.scaling, PLAIN, 2)
    values = Predictor.values

    def stopping(self: Predictor, weights: Any, images: Any, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        engine.stop()
        return values(self, weights, images, indices)

    plan = plan_epoch(PLAIN, DATA.train, 1, 10)
    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "values", stopping)
        patch.setattr("layerline.engines.feature_store.WORK", 1)
        assert engine.train(plan, 0) == 0
    done = 0
    while done < PLAIN.steps(len(DATA.train)):
        done += engine.train(plan, done)
    engine.train(plan_epoch(PLAIN, DATA.train, 2, 10), 0)
    usual = trained(CompiledEngine(network(), DATA.scaling, PLAIN, 2), PLAIN)
    assert same(engine.state().weights, usual.state().weights)


def test_other_frozen_weights_give_other_features() -> None:
    """After `set_state` with other frozen weights, the outputs are those of these weights, not of stored features."""
    engine = trained(engines.make("compiled", network(), DATA.scaling, PLAIN, 2), PLAIN)
    state = engine.state()
    first = next(iter(state.weights))
    changed = State({**state.weights, first: state.weights[first] * 2}, state.optimizer)
    assert DATA.test is not None
    before = engine.evaluate(DATA.test).probabilities
    engine.set_state(changed)
    live = CompiledEngine(network(), DATA.scaling, PLAIN, 2)
    live.set_state(changed)
    after = engine.evaluate(DATA.test).probabilities
    assert np.array_equal(after, live.evaluate(DATA.test).probabilities)
    assert not np.array_equal(after, before)


@pytest.mark.parametrize(
    ("text", "recipe", "stored"),
    [
        pytest.param(FROZEN + HEAD, PLAIN, True, id="frozen part, no augmentation"),
        pytest.param(FROZEN + HEAD, dataclasses.replace(PLAIN, augment=Augmentation(shift=1)), False, id="augmented"),
        pytest.param("Freeze\nConv 8 3\nGlobalPool\nEnd\nFlat\nFC 10\n", FLIPPED, True, id="flipped"),
        pytest.param("Freeze\nConv 9 3\nGlobalPool\nEnd\nFlat\nFC 10\n", FLIPPED, False, id="flipped, and larger"),
        pytest.param(HEAD, PLAIN, False, id="nothing frozen"),
        pytest.param("Freeze\nConv 8 3\nEnd\nFlat\nFC 10\n", PLAIN, False, id="larger than the image"),
    ],
)
def test_features_are_stored_if_they_are_constant_and_small(text: str, recipe: Recipe, stored: bool) -> None:
    """They are stored if at most flips change the images, and as float32 they take at most the bytes of the pixels."""
    assert engines.stores_features(network(text), recipe) is stored


def test_memory_counts_the_features() -> None:
    """The memory check of an engine with features counts 4 bytes per image and value."""
    engine = engines.make("compiled", network(), DATA.scaling, PLAIN, 2)
    end = network().nodes[network().frozen_end - 1]
    more = 4 * len(DATA.train.source.labels) * int(np.prod(end.shape))
    assert engine.memory(DATA.train.source, 16) > more
    head = network().after(network().frozen_end)
    assert head.input_shape == end.shape
    assert head.classes == 10


def test_old_sets_are_forgotten_and_models_store_no_features() -> None:
    """An engine holds the features of four sets of images at most; a model that predicts holds none."""
    engine = engines.make("compiled", network(), DATA.scaling, PLAIN, 1)
    assert isinstance(engine, FeatureEngine)
    for _ in range(6):
        engine.evaluate(Split(ImageSet(DATA.train.images, DATA.train.labels), np.arange(len(DATA.train))))
    assert len(engine._store._found) == 4
    model = layerline.Model(network(), DATA.classes, DATA.scaling, engine.state().weights)
    model.predict(DATA.train.images)
    assert isinstance(model.engine_with_weights(), CompiledEngine)
