"""Values given in Python: NumPy's numbers are plain ones, and images without a value are refused everywhere."""

from __future__ import annotations

import dataclasses
import pickle
import warnings
from typing import TYPE_CHECKING, Any

import image_files
import numpy as np
import pytest
import small_data
import torch

import layerline
from layerline import engines
from layerline.data.augment.augmentation import Augmentation
from layerline.data.dataset import Dataset, Scaling
from layerline.data.splitting import Own
from layerline.errors import DataError, RecipeError, UserError
from layerline.experiment.experiment import settle
from layerline.network import initial_weights
from layerline.numbers.scalars import plain
from layerline.recipe import Recipe
from layerline.runs.checkpoint import Identity
from layerline.runs.model_file import Preprocessing
from layerline.training import Model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NET = "Conv 2 3\nReLU\nFlat\nFC classes\nSoftmax\n"
RECIPE: dict[str, Any] = {
    "epochs": 3,
    "within": "5m",
    "best": "macro_f1",
    "patience": 2,
    "batch_size": 7,
    "learning_rate": 0.5,
    "schedule": "cosine",
    "warmup": 0.25,
    "step_epochs": 1.5,
    "step_factor": 0.5,
    "optimizer": "adamw",
    "momentum": 0.5,
    "nesterov": True,
    "beta1": 0.5,
    "beta2": 0.75,
    "eps": 0.125,
    "weight_decay": 0.5,
    "decay": "weights",
    "clip_norm": 2.5,
    "ema": 0.5,
    "label_smoothing": 0.25,
    "backbone_rate": 0.5,
    "class_weights": (0.5, 1.0, 2.0),
    "augment": "flip",
    "init": "he",
    "seed": 5,
    "exact": True,
}
"""A value of each field that float16 holds too, so that every width of NumPy's says the same."""
AUGMENTATION: dict[str, Any] = {
    "shift": 2,
    "padding": "reflect",
    "flip": "alternate",
    "cutout": 3,
    "brightness": 0.5,
    "contrast": 0.25,
    "rotate": 10.0,
    "scale": 0.5,
}


def forms(value: Any) -> Iterator[Any]:
    """Yield a value as NumPy's scalars of every width, and as arrays without dimensions."""
    if isinstance(value, tuple):
        columns = [list(forms(item)) for item in value]
        yield from zip(*columns, strict=True)
        yield np.array(value)
        return
    kinds: dict[type, tuple[Any, ...]] = {
        bool: (np.bool_,),
        int: (np.int64, np.int32, np.uint8),
        float: (np.float64, np.float32, np.float16, np.longdouble),
        str: (np.str_,),
    }
    for kind in kinds[type(value)]:
        yield kind(value)
        yield np.array(kind(value))


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Recipe)])
def test_a_recipe_holds_plain_values(name: str) -> None:
    """Whatever form a field's value has, the recipe is the same in ==, in its text, pickled and as a dictionary."""
    expected = Recipe(**{name: RECIPE[name]})
    assert RECIPE[name] != getattr(Recipe(), name)
    for form in forms(RECIPE[name]):
        found = Recipe(**{name: form})
        assert found == expected
        assert type(getattr(found, name)) is type(getattr(expected, name))
        assert (repr(found), found.as_dict()) == (repr(expected), expected.as_dict())
        assert pickle.dumps(found) == pickle.dumps(expected)
        assert dataclasses.replace(Recipe(), **{name: form}) == expected


@pytest.mark.parametrize(("name", "value"), AUGMENTATION.items())
def test_an_augmentation_holds_plain_values(name: str, value: Any) -> None:
    """Likewise what is done to images, and the text that says it."""
    other = {"shift": 1} if name == "padding" else {}
    for form in forms(value):
        found = Augmentation(**{name: form}, **other)
        assert type(getattr(found, name)) is type(value)
        assert found.text == Augmentation(**{name: value}, **other).text


@pytest.mark.parametrize("value", [False, np.bool_(False), np.array([0.0, 1.0]), np.ma.masked])
@pytest.mark.parametrize("name", [name for name, value in AUGMENTATION.items() if type(value) in (int, float)])
def test_no_number_of_an_augmentation_stays_refused(name: str, value: Any) -> None:
    """False is not 0 there, and neither is what is masked, nor an array."""
    with pytest.raises(RecipeError, match=f'^augment="{name}=.*": must be '):
        Augmentation(**{name: value})


@pytest.mark.parametrize("value", [True, np.bool_(True), np.array(True), np.ma.masked, np.float32("nan"), [3], "three"])
@pytest.mark.parametrize("name", [name for name, value in RECIPE.items() if type(value) in (int, float)])
def test_no_number_stays_refused(name: str, value: Any) -> None:
    """Truth values, masked ones, NaN, lists and words are no numbers, in whatever form."""
    with pytest.raises(RecipeError, match=f"^{name}="):
        Recipe(**{name: value})


@pytest.mark.parametrize("value", [2.0, np.float32(2), np.array(2.0), np.array([2]), np.array([2, 3])])
def test_no_whole_number_stays_refused(value: Any) -> None:
    """2.0 is no number of epochs, of images, of threads or of seeds, and an array of one number is none either."""
    data = small_data.dataset()
    network = layerline.parse(NET, data)
    calls: tuple[Callable[[], Any], ...] = (
        lambda: Recipe(epochs=value),
        lambda: Recipe(patience=value),
        lambda: Recipe(batch_size=value),
        lambda: Recipe(seed=value),
        lambda: Augmentation(shift=value),
        lambda: engines.make("compiled", network, data.scaling, Recipe(), value),
        lambda: layerline.train_seeds(network, data, seeds=value),
        lambda: layerline.load_data("digits", limit=value),
        lambda: layerline.load_data("digits", seed=value),
        lambda: model().evaluate(data, seed=value),
    )
    for call in calls:
        with pytest.raises(UserError, match="must be a whole number"):
            call()


def test_other_values_stay_as_they_are() -> None:
    """Only single numbers, truth values and texts are made plain: nothing is guessed of dates, bytes or objects."""
    for value in (np.datetime64("2026-01-01"), np.bytes_(b"a"), np.complex64(1), np.array([1, 2]), np.ma.masked, None):
        assert plain(value) is value
    assert plain([np.int64(1), (np.float32(0.5), "a")]) == [1, (0.5, "a")]
    assert type(plain(np.longdouble(0.5))) is float
    assert layerline.parse(NET, input_shape=torch.Size([1, 6, 6]), classes=3).input_shape == (1, 6, 6)


def trained(folder: Path, **values: Any) -> layerline.Run:
    data = small_data.dataset()
    return layerline.train(layerline.parse(NET, data), data, out=folder, live=False, **values)


def test_a_run_of_such_values_is_the_same_run(tmp_path: Path) -> None:
    """experiment.toml, what a checkpoint is known by, and the weights are those of plain values, to the byte."""
    values: dict[str, Any] = {"epochs": 2, "learning_rate": 0.125, "batch_size": 16, "seed": 3, "nesterov": True}
    one = trained(tmp_path / "one", **values, threads=1)
    two = trained(
        tmp_path / "two", **{name: list(forms(each))[1] for name, each in values.items()}, threads=np.int64(1)
    )
    texts = [(tmp_path / name / "experiment.toml").read_bytes() for name in ("one", "two")]
    assert texts[0] == texts[1]
    for name, weight in one.model.weights.items():
        assert two.model.weights[name].tobytes() == weight.tobytes()
    data = small_data.dataset()
    network = layerline.parse(NET, data, input_shape=np.int64([1, 6, 6]).tolist(), classes=np.int64(3))
    plain_one, same = Recipe(**values), Recipe(**{name: np.array(each) for name, each in values.items()})
    engine = engines.make("compiled", network, data.scaling, plain_one, 1)
    assert Identity.of(network, data, plain_one, engine) == Identity.of(network, data, same, engine)


def test_a_network_of_such_sizes_can_be_saved(tmp_path: Path) -> None:
    """Sizes and the number of classes may be NumPy's: they are written into the model file as plain ones."""
    network = layerline.parse(NET, input_shape=tuple(np.int64([1, 6, 6])), classes=np.array(3))
    assert (network.input_shape, network.classes) == ((1, 6, 6), 3)
    assert {type(each) for each in (*network.input_shape, network.classes)} == {int}
    made = Model(network, ("a", "b", "c"), Scaling((1.0,), (0.0,)), initial_weights(network, 0))
    made.save(tmp_path / "model.safetensors")
    assert layerline.load(tmp_path / "model.safetensors", threads=np.int64(1)).network.input_shape == (1, 6, 6)


def test_seeds_may_be_numpy_s() -> None:
    """The number of seeds, the threads and the seed of `evaluate` are plain numbers in any form."""
    data = small_data.dataset()
    network = layerline.parse(NET, data)
    found = layerline.train_seeds(
        network, data, Recipe(epochs=1, seed=np.int64(4)), seeds=np.array(2), threads=np.int8(1)
    )
    assert found.asked == (4, 5)
    assert {type(seed) for seed in found.asked} == {int}
    tested = model()
    assert tested.evaluate(data, seed=np.int64(7)).intervals == tested.evaluate(data, seed=7).intervals
    for seed in (True, -1, 2**64, "7"):
        with pytest.raises(RecipeError, match=r"seed=.*must be a whole number"):
            tested.evaluate(data, seed=seed)


def test_flags_may_be_numpy_s() -> None:
    """What is said again of a run that goes on, such as `resume(threads=…)`, is plain too."""
    found = settle("digits", {"data": "digits", "threads": np.int64(2), "epochs": np.array(3), "limit": np.int32(100)})
    assert repr((found.threads, found.recipe.epochs, dict(found.cuts))) == "(2, 3, {'limit': 100})"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("test", 0.25),
        ("test", 200),
        ("validation", 0.125),
        ("validation", 150),
        ("validation", Own(0.25)),
        ("limit", 100),
        ("seed", 7),
        ("classes", (3, 5)),
        ("classes", "3,5"),
    ],
)
def test_data_may_be_cut_by_such_values(name: str, value: Any, tmp_path: Path) -> None:
    """Every option of the cuts gives the same images and the same record in any form."""
    file = tmp_path / "set.npz"
    np.savez(file, x=small_data.images(700, K=6).images, y=np.arange(700) % 6)
    expected = layerline.load_data(file, **{name: value})
    wrapped = [Own(form) for form in forms(value.otherwise)] if isinstance(value, Own) else forms(value)
    for form in wrapped:
        found = layerline.load_data(file, **{name: form})
        assert repr(found.cuts) == repr(expected.cuts)
        assert found.classes == expected.classes
        assert [split and split.indices.tolist() for split in (found.train, found.validation, found.test)] == [
            split and split.indices.tolist() for split in (expected.train, expected.validation, expected.test)
        ]


def test_image_files_may_be_read_by_such_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Likewise the size, the colors, the network's shape and the share of bad files."""
    monkeypatch.chdir(tmp_path)
    pictures = {
        f"{name}/{k}.png": image_files.png(image_files.picture(k + at))
        for at, name in ((0, "a"), (20, "b"))
        for k in range(8)
    }
    source, _ = image_files.folder_of(pictures)
    options: dict[str, Any] = {"size": 4, "gray": True, "skip_bad": 0.25, "test": "none"}
    expected = layerline.load_data(source, **options)
    for form in (1, 0):
        given = {name: list(forms(value))[form] for name, value in options.items()}
        found = layerline.load_data(source, **given)
        assert repr(found.cuts) == repr(expected.cuts)
        assert found.shape == expected.shape
    shaped = layerline.load_data(source, input_shape=tuple(map(np.array, (1, 4, 4))))
    assert repr(shaped.cuts) == repr(layerline.load_data(source, input_shape=(1, 4, 4)).cuts)
    for wrong in (
        {"size": np.bool_(True)},
        {"size": np.float32(4)},
        {"gray": np.int64(1)},
        {"skip_bad": np.array(True)},
    ):
        with pytest.raises(DataError, match="must be"):
            layerline.load_data(source, **wrong)


def model(maximum: float = 1.0) -> Model:
    network = layerline.parse(NET, small_data.dataset())
    weights, scaled = initial_weights(network, 0), Preprocessing(maximum=maximum)
    return Model(network, ("a", "b", "c"), Scaling((1.0,), (0.0,)), weights, threads=1, preprocessing=scaled)


def floats(n: int = 3000) -> np.ndarray:
    """Return float32 (n, 1, 6, 6): more than one block of what is looked at together."""
    return np.random.default_rng(1).random((n, *small_data.SHAPE), dtype=np.float32)


def set_of(images: np.ndarray) -> Dataset:
    """Return a data set made by hand, all of it the test set."""
    data = small_data.dataset()
    labels = (np.arange(len(images)) % 3).astype(np.int32)
    source = dataclasses.replace(data.train.source, images=images, labels=labels, maximum=1.0)
    split = dataclasses.replace(data.train, source=source, indices=np.arange(len(images)))
    return dataclasses.replace(data, train=split, test=split, validation=None)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 29_500, 29_999])
def test_images_that_are_not_finite_are_refused(value: float, at: int, tmp_path: Path) -> None:
    """predict, predict_proba and evaluate refuse NaN and infinity in the words of load_data, with the first image."""
    images = floats(30_000)
    images[at, 0, 2, 3] = value
    images[at + 1 :: 400, 0, 0, 0] = value
    count = int(np.count_nonzero(~np.isfinite(images)))
    np.savez(tmp_path / "set.npz", x=images, y=np.arange(len(images)) % 3)
    found = f"found {count:,d} NaN or infinite value{'s' * (count > 1)} (first: image {at});"
    calls: dict[str, Callable[[], Any]] = {
        "the images": lambda: model().predict(images),
        "bands": lambda: model().evaluate(set_of(images)),
        f"{tmp_path / 'set.npz'}: x": lambda: layerline.load_data(tmp_path / "set.npz"),
    }
    for place, call in calls.items():
        with np.errstate(all="raise"), warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(DataError) as caught:
                call()
        assert caught.value.message == f"{place}: {found} expected finite numbers"
        assert caught.value.help == "remove these images, or fix the code that produced them"


@pytest.mark.parametrize("layout", ["NCHW", "NHWC", "NHW"])
def test_every_layout_is_looked_at(layout: str) -> None:
    """The first image is counted alike in every order; finite images, however large, and no image at all pass."""
    images = floats(20)
    shaped = images[:, 0] if layout == "NHW" else images.transpose(0, 2, 3, 1) if layout == "NHWC" else images
    expected = model().predict_proba(images)
    np.testing.assert_array_equal(model().predict_proba(shaped, layout), expected)
    assert model().predict_proba(shaped[:0], layout).shape == (0, 3)
    largest = np.finfo(np.float32).max
    images[3, 0, 5, 5], images[4, 0, 0, 0] = largest, -largest
    assert len(model().predict_proba(shaped, layout)) == 20
    images[7, 0, 5, 5] = np.nan
    with pytest.raises(DataError, match=r"found 1 NaN or infinite value \(first: image 7\);"):
        model().predict_proba(shaped, layout)


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_masked_images(kind: type) -> None:
    """A masked array without a masked value is its data; one masked value is refused, with how many and what to do."""
    images = (floats(20) * 9).astype(kind)
    asked = model(255.0 if kind is np.uint8 else 1.0)
    for mask in (np.ma.nomask, np.zeros(images.shape, bool)):
        found = asked.predict_proba(np.ma.MaskedArray(images, mask))
        np.testing.assert_array_equal(found, asked.predict_proba(images))
    masked = np.ma.MaskedArray(images, np.zeros(images.shape, bool))
    masked[3, 0, 1] = np.ma.masked
    for call in (asked.predict, asked.predict_proba):
        with pytest.raises(DataError) as caught:
            call(masked)
        assert str(caught.value) == (
            "the images: found 6 masked values, expected no missing values\n"
            "  help: fill them, for example with 0: array.filled(0)"
        )
    assert len(asked.predict(masked.filled(0))) == 20
