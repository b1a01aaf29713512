"""Augmentation through the engines: what is trained on are the reference's images, whoever loads them."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

import layerline
from layerline.data import load_data
from layerline.data.augment.augmentation import Augmentation, apply
from layerline.data.dataset import ImageSet, Scaling, Split
from layerline.engines import make
from layerline.engines.compiled import CompiledEngine
from layerline.engines.epoch import Epoch, plan_epoch
from layerline.engines.torch_engine import TorchEngine
from layerline.errors import RecipeError
from layerline.network import parse
from layerline.recipe import Recipe
from layerline.training.prepared import Prepared
from layerline.training.time_limit import fit_epochs

if TYPE_CHECKING:
    from pathlib import Path

    from layerline.engines.interface import Engine

NETWORK = parse("Input 3 11 14\nConv 5 3 1 1\nReLU\nPool 2\nFlat\nFC 4\n", name="net")
WORDS = (
    "shift=3,flip,cutout=4",
    "shift=2,padding=reflect,flip=alternate,brightness=0.3,contrast=0.3",
    "rotate=20,scale=0.2,flip,cutout=3,padding=reflect",
)
SCALING = Scaling((1 / 255, 0.02, 1 / 100), (-0.5, -1.1, 0.1))


def images(n: int = 46, *, channels_last: bool = True) -> ImageSet:
    numbers = np.random.default_rng(4)
    values = numbers.integers(0, 256, (n, 11, 14, 3) if channels_last else (n, 3, 11, 14), dtype=np.uint8)
    labels = numbers.integers(0, 4, n).astype(np.int32)
    return ImageSet(values.transpose(0, 3, 1, 2) if channels_last else values, labels)


def bits(engine: Engine) -> str:
    state, running = engine.state(), engine.running()
    arrays = [*state.weights.values(), *state.optimizer.values(), running.tallies]
    return hashlib.sha256(b"".join(a.tobytes() for a in arrays) + repr(running.loss).encode()).hexdigest()


def planned(recipe: Recipe, source: ImageSet, number: int) -> Epoch:
    return plan_epoch(recipe, Split(source, np.arange(2, len(source.labels), dtype=np.int64)), number, 4)


def ready(epoch: Epoch, scaling: Scaling) -> Epoch:
    """Return the same epoch of images that are augmented and scaled already, in its order."""
    assert epoch.drawn is not None
    order = epoch.order
    values = np.ascontiguousarray(apply(epoch.images.images[order], epoch.drawn, slice(0, len(order)), scaling))
    done = ImageSet(values, epoch.images.labels[order])
    return dataclasses.replace(epoch, images=done, order=np.arange(len(order)), drawn=None)


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("words", WORDS)
def test_machine_code_trains_on_the_reference_s_images(words: str, channels_last: bool) -> None:
    """Three epochs with augmentation in the loader, with 1 and 3 threads, end in the bits of three epochs on the
    reference's images given as float32: weights, momenta, loss, tallies."""
    recipe, source, found = Recipe(batch_size=8, augment=words, epochs=3), images(channels_last=channels_last), set()
    for threads in (1, 3):
        engine = CompiledEngine(NETWORK, SCALING, recipe, threads)
        for number in (1, 2, 3):
            assert engine.train(planned(recipe, source, number), 0) == 6
        found.add(bits(engine))
    plain = dataclasses.replace(recipe, augment="none")
    oracle = CompiledEngine(NETWORK, Scaling((1.0,) * 3, (0.0,) * 3), plain, 2)
    for number in (1, 2, 3):
        oracle.train(ready(planned(recipe, source, number), SCALING), 0)
    found.add(bits(oracle))
    assert len(found) == 1
    unaugmented = CompiledEngine(NETWORK, SCALING, plain, 2)
    for number in (1, 2, 3):
        unaugmented.train(planned(plain, source, number), 0)
    assert bits(unaugmented) not in found


def test_an_epoch_goes_on_where_it_stopped() -> None:
    """Steps 0 to 2 in one engine and 3 to 5 in another that was given its state: the tables are those of the place."""
    recipe, source = Recipe(batch_size=8, augment=WORDS[0]), images()
    epoch = planned(recipe, source, 2)
    whole, first, second = (CompiledEngine(NETWORK, SCALING, recipe, 2) for _ in range(3))
    whole.train(epoch, 0)
    assert first.train(epoch.first(24), 0) == 3
    second.set_state(first.state())
    assert second.train(epoch, 3) == 3
    for name, value in whole.state().weights.items():
        np.testing.assert_array_equal(second.state().weights[name], value)


@pytest.mark.parametrize("words", WORDS)
def test_pytorch_trains_on_the_same_images(words: str) -> None:
    """Two epochs of the torch engine and of the compiled one end within 1e-5 of each other, by the norm."""
    recipe, source = Recipe(batch_size=8, augment=words, epochs=2, learning_rate=0.02), images()
    engines = CompiledEngine(NETWORK, SCALING, recipe, 2), TorchEngine(NETWORK, SCALING, recipe, 1)
    for engine in engines:
        for number in (1, 2):
            engine.train(planned(recipe, source, number), 0)
    ours, theirs = (engine.state().weights for engine in engines)
    for name, value in theirs.items():
        assert np.linalg.norm(ours[name] - value) <= 1e-5 * np.linalg.norm(value), name
    assert abs(engines[0].running().loss - engines[1].running().loss) < 1e-3


def test_evaluation_is_not_augmented() -> None:
    """An engine with augmentation says of images what one without says, at the same weights."""
    source = images()
    split = Split(source, np.arange(46, dtype=np.int64))
    augmented, plain = (
        CompiledEngine(NETWORK, SCALING, Recipe(batch_size=8, augment=words), 2) for words in (WORDS[0], "none")
    )
    augmented.train(planned(Recipe(batch_size=8, augment=WORDS[0]), source, 1), 0)
    plain.set_state(augmented.state())
    np.testing.assert_array_equal(augmented.evaluate(split).probabilities, plain.evaluate(split).probabilities)


def test_tables_of_another_recipe_are_refused() -> None:
    """Machine code that reads tables never runs without them, nor with those of other words or another order."""
    source = images()
    recipe, plain = Recipe(batch_size=8, augment=WORDS[0]), Recipe(batch_size=8)
    epoch = planned(recipe, source, 1)
    assert epoch.drawn is not None
    short = dataclasses.replace(epoch.drawn, moves=epoch.drawn.moves[:-1])
    for its, wrong in (
        (recipe, dataclasses.replace(epoch, drawn=None)),
        (plain, epoch),
        (recipe, planned(dataclasses.replace(recipe, augment=WORDS[2]), source, 1)),
        (recipe, dataclasses.replace(epoch, drawn=short)),
    ):
        with pytest.raises(ValueError, match="augment"):
            CompiledEngine(NETWORK, SCALING, its, 1).train(wrong, 0)


def test_an_epoch_draws_for_its_number_its_order_and_its_seed() -> None:
    """What `plan_epoch` hands on is the augmentation's own draw for the images in the epoch's order."""
    recipe, source = Recipe(batch_size=8, augment=WORDS[2], seed=11), images()
    epoch, augmentation = planned(recipe, source, 3), Augmentation.parse(WORDS[2])
    assert augmentation is not None
    assert epoch.drawn is not None
    drawn = augmentation.draw(11, 3, epoch.order, (3, 11, 14))
    np.testing.assert_array_equal(epoch.drawn.moves, drawn.moves)
    np.testing.assert_array_equal(epoch.drawn.numbers, drawn.numbers)
    assert (planned(recipe, source, 2).drawn.numbers != drawn.numbers).any()  # type: ignore[union-attr]


def test_brightness_is_measured_by_what_the_data_can_have() -> None:
    """digits has values to 16: brightness=0.5 moves by at most 8, and nearly that."""
    data = load_data("digits", classes="0,1")
    assert data.train.source.maximum == 16
    drawn = plan_epoch(Recipe(augment="brightness=0.5"), data.train, 1, 2).drawn
    assert drawn is not None
    assert 7 < np.abs(drawn.numbers[:, 1]).max() <= 8


@pytest.mark.parametrize("engine", ["compiled", "torch"])
def test_words_that_do_not_fit_are_refused_before_anything_is_written(engine: str, tmp_path: Path) -> None:
    """A word that is not known is refused before the data is read, a shift out of sight before the folder is made."""
    folder, common = tmp_path / "run", ["train", "digits", "--engine", engine, "--out"]
    for words, source, wrong, repair in (
        ("flap", "nowhere", "flap: unknown augmentation", "did you mean flip?"),
        ("shift=8", "digits", "shift=8: 8×8 images could be shifted out of view", "use at most shift=7"),
    ):
        ran = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "layerline", *common, str(folder), "--data", source, "--augment", words],
            capture_output=True,
            text=True,
        )
        assert (ran.returncode, ran.stderr) == (2, f"--augment {wrong}\n  help: {repair}\n")
        assert not folder.exists()
    data = load_data("digits")
    with pytest.raises(RecipeError, match="use at most shift=7"):
        layerline.train(layerline.read("digits", data), data, augment="shift=8", engine=engine)


@pytest.mark.parametrize("name", ["compiled", "torch"])
def test_epochs_that_fit_into_a_time_are_measured_with_augmentation(name: str) -> None:
    """--within trains on a part of an epoch first, whose tables are that part's; then the run ends in the bits of one
    of as many epochs."""
    data = load_data("digits", limit=300)
    network = layerline.read("digits", data)
    recipe = Recipe(augment="shift=1,flip", class_weights="balanced", within="2s", batch_size=32)
    times = iter(np.arange(0, 1e4, 0.02))
    engine = make(name, network, data.scaling, recipe, 2)
    prepared = Prepared(network, data, recipe, engine)
    fitted = fit_epochs(prepared, lambda: float(next(times)), 0.0, files=False).recipe
    assert fitted.epochs > 2
    found = []
    for used in (engine, make(name, network, data.scaling, fitted, 2)):
        used.train(plan_epoch(fitted, data.train, 1, 10), 0)
        found.append(bits(used))
    assert found[0] == found[1]


def test_what_surrounds_the_epochs_takes_part_of_the_time() -> None:
    """--within counts from the beginning of the training to its last file; one epoch is trained in any case."""
    data = load_data("digits", limit=300)
    network = layerline.read("digits", data)
    recipe = Recipe(within="4s")
    prepared = Prepared(network, data, recipe, make("compiled", network, data.scaling, recipe, 2))

    def epochs(began: float, *, files: bool) -> int:
        times = iter(np.arange(0, 1e4, 0.02))
        fitted = fit_epochs(prepared, lambda: float(next(times)), began, files=files)
        assert fitted.baselines is not None
        assert fitted.recipe.within is None
        return fitted.recipe.epochs

    assert epochs(0, files=False) > epochs(-1, files=False) > epochs(-1, files=True) > 1
    assert epochs(-100, files=False) == 1
