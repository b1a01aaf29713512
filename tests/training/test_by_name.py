"""`train` by name: what the command line does with the same words; and what a run gives to its program."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner
from image_files import tree
from PIL import Image
from small_data import dataset

import layerline
from layerline.cli.entry_point import layerline as command
from layerline.errors import DataError, RecipeError, UserError
from layerline.recipe import BESTS, DECAYS, INITS, OPTIMIZERS, SCHEDULES, Recipe, RecipeOptions
from layerline.training import by_name

if TYPE_CHECKING:
    from pathlib import Path

    from layerline.runs.history import EpochRow

NET = "Flat\nFC classes\nSoftmax\n"


def test_by_name_is_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """train("digits", "digits") has the splits, the automatic choices and the weights of the command, to the last bit,
    and its folder can be repeated without the data, also if on_epoch stopped the run."""
    monkeypatch.chdir(tmp_path)
    line = ["train", "digits", "--data", "digits", "--epochs", "1", "--seed", "3", "--lr", "0.02", "--quiet"]
    assert CliRunner().invoke(command, [*line, "--out", "a"], catch_exceptions=False).exit_code == 0
    ended = layerline.train("digits", "digits", epochs=1, seed=3, lr=0.02, out="b")
    asked = layerline.load("a")
    for name, weights in ended.model.weights.items():
        np.testing.assert_array_equal(weights, asked.weights[name])

    def options(run: str) -> list[str]:
        text = (tmp_path / run / "experiment.toml").read_text(encoding="utf-8")
        return [line for line in text.splitlines() if line.startswith(("data =", "seed", "learning_rate", "epochs"))]

    assert options("a") == options("b")
    assert CliRunner().invoke(command, ["rerun", "b", "--check"], catch_exceptions=False).exit_code == 0
    layerline.train("digits", "digits", epochs=9, lr=0.02, out="c", on_epoch=lambda row: row.epoch == 2)
    repeated = CliRunner().invoke(command, ["rerun", "c", "--check"], catch_exceptions=False)
    assert "bit-identical to c: weights, history (2 epochs), test" in repeated.output


def test_a_path_and_a_text_are_networks(tmp_path: Path) -> None:
    """A network is a file, its text, or read before; arrays are data."""
    x = np.random.default_rng(0).integers(0, 256, (60, 6, 6)).astype(np.uint8)
    y = np.arange(60) % 3
    (tmp_path / "net.cnn").write_text(NET)
    data = layerline.load_data((x, y))
    found = [
        layerline.train(net, source, epochs=2, lr=0.01, momentum=0.9)
        for net, source in (
            *((layerline.parse(NET, data), data), (tmp_path / "net.cnn", data), (str(tmp_path / "net.cnn"), (x, y))),
            (NET, (x, y)),
        )
    ]
    for run in found[1:]:
        np.testing.assert_array_equal(run.model.weights["1.weight"], found[0].model.weights["1.weight"])
    seeds = layerline.train_seeds(NET, (x, y), seeds=2, epochs=1, lr=0.01)
    assert sorted(seeds.runs) == [0, 1]


def test_the_input_line_decides_the_size_of_photos(tmp_path: Path) -> None:
    """A network with an Input line gets photos of that size, as on the command line."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 20, 24, 3)).astype(np.uint8)
    for k, image in enumerate(pixels):
        (tmp_path / "photos" / "ab"[k % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "photos" / "ab"[k % 2] / f"{k}.png")
    run = layerline.train("Input 1 7 9\n" + NET, tmp_path / "photos", epochs=1, lr=0.01)
    assert run.model.network.input_shape == (1, 7, 9)


def test_on_epoch_stops_a_run() -> None:
    """A run finishes with the epoch after which on_epoch returns True: it is tested, and not called stopped. Any other
    value changes nothing."""
    data = dataset()
    network = layerline.parse(NET, data)
    seen: list[int] = []

    def stop(row: EpochRow) -> bool:
        seen.append(row.epoch)
        return row.epoch == 3

    options: dict[str, Any] = {"epochs": 6, "lr": 0.01, "live": False}
    run = layerline.train(network, data, on_epoch=stop, **options)
    assert seen == [1, 2, 3]
    assert len(run.history) == 3
    assert run.stopped is None
    assert run.result.test_accuracy is not None
    whole = layerline.train(network, data, on_epoch=lambda row: row, **options)
    assert [row.train_loss for row in whole.history[:3]] == [row.train_loss for row in run.history]
    assert len(whole.history) == 6


def test_mistakes_are_the_misclassified_images() -> None:
    """mistakes() has every misclassified image of the test set, with the probabilities that the model gives, the worst
    first; without a test set those of the validation set."""
    data = dataset()
    network = layerline.parse(NET, data)
    run = layerline.train(network, data, epochs=1, lr=1e-5)
    assert data.test is not None
    p = run.model.predict_proba(data.test.images)
    wrong = np.flatnonzero(p.argmax(axis=1) != data.test.labels)
    assert len(wrong) > 3
    found = run.mistakes()
    assert {mistake.position for mistake in found} == set(wrong.tolist())
    assert [mistake.of_truth for mistake in found] == sorted(mistake.of_truth for mistake in found)
    for mistake in found:
        k = mistake.position
        assert (mistake.truth, mistake.prediction) == ("abc"[data.test.labels[k]], "abc"[p[k].argmax()])
        np.testing.assert_array_equal([mistake.probability, mistake.of_truth], [p[k].max(), p[k, data.test.labels[k]]])
    with pytest.raises(DataError, match=r"the validation set was not evaluated\n  help: evaluated: test"):
        run.mistakes("validation")
    alone = layerline.train(network, dataclasses.replace(data, test=None), epochs=1, lr=1e-5)
    assert data.validation is not None
    wrong = alone.model.predict_proba(data.validation.images).argmax(axis=1) != data.validation.labels
    assert len(alone.mistakes()) == wrong.sum()


def test_figures_are_png_that_a_notebook_displays(tmp_path: Path) -> None:
    """plot() and show() give a figure: a notebook displays its PNG, and save() writes the same."""
    data = dataset()
    run = layerline.train(layerline.parse(NET, data), data, epochs=2, lr=0.01)
    for number, figure in enumerate((run.plot(), data.show(), data.show("flip,shift=1", seed=2))):
        figure.save(tmp_path / f"{number}.png")
        assert (tmp_path / f"{number}.png").read_bytes() == figure._repr_png_()
        with Image.open(tmp_path / f"{number}.png") as image:
            assert image.format == "PNG"
            assert image.width > 300
            assert len(image.convert("RGB").getcolors(2**24) or ()) > 10
        assert 'save("figure.png")' in repr(figure)
    with pytest.raises(RecipeError, match='augment="fly": unknown'):
        data.show("fly")
    with pytest.raises(UserError, match="nothing to plot"):
        dataclasses.replace(run, history=()).plot()


def test_network_and_model_display_themselves() -> None:
    """print(network) is the table; both have a line as repr, and HTML in which names from outside are escaped."""
    data = dataclasses.replace(dataset(), classes=("<a>", "b", "c"))
    network = layerline.parse(NET, data)
    assert str(network) == network.describe()
    assert repr(network) == "<Network network: input 1×6×6, 3 classes, 3 layers, 111 parameters>"
    model = layerline.train(network, data, epochs=1, lr=0.01).model
    assert repr(model) == "<Model network: input 1×6×6, 3 classes (<a>, b, c), 111 parameters>"
    assert "<a>" not in model._repr_html_()
    assert "&lt;a&gt;" in model._repr_html_()
    assert network._repr_html_() in model._repr_html_()


def test_a_photo_is_what_the_command_says(tmp_path: Path) -> None:
    """model.predict(path) gives the class that `layerline predict` prints: turned by EXIF, cropped, resized."""
    rng = np.random.default_rng(3)
    files = {}
    for k in range(30):
        H, W = rng.integers(20, 60, 2)
        image = Image.fromarray((rng.integers(0, 200, (H, W, 3)) + 25 * (k % 3)).astype(np.uint8))
        exif = Image.Exif()
        exif[0x0112] = int(rng.choice([1, 3, 6, 8]))
        files[tmp_path / "abc"[k % 3] / f"{k}.jpg"] = (image, exif)
    tree(tmp_path, {f"{name}/none.txt": b"" for name in "abc"})
    for path, (image, exif) in files.items():
        image.save(path, exif=exif)
    data = layerline.load_data(tmp_path, size=12, fit="crop")
    run = layerline.train("Conv 4 3\nReLU\n" + NET, data, epochs=2, lr=0.01)
    run.model.save(tmp_path / "model.safetensors")
    ended = CliRunner().invoke(
        command, ["predict", str(tmp_path / "model.safetensors"), *map(str, files), "--format", "csv"]
    )
    said = [line.split(",")[1] for line in ended.stdout.splitlines()[1:]]
    assert [str(run.model.predict(str(path))[0]) for path in files] == said
    assert run.model.predict(list(files)).tolist() == said
    assert len(set(said)) > 1


def _types(annotation: str) -> list[Any]:
    """Return the alternatives of a type, with the values of literals."""
    return list(typing.get_args(annotation)) or [annotation]


def test_the_typed_options_are_the_recipe() -> None:
    """RecipeOptions has the recipe's fields and the other names that are understood, with the words that each takes."""
    fields = {field.name: field.default for field in dataclasses.fields(Recipe)}
    hints = typing.get_type_hints(RecipeOptions, localns={"Sequence": typing.Sequence, "Augmentation": str})
    assert set(hints) == set(fields) | set(by_name._ALSO)
    for name, words in (
        *(("best", BESTS), ("schedule", SCHEDULES), ("optimizer", OPTIMIZERS), ("decay", DECAYS), ("init", INITS)),
    ):
        assert set(_types(hints[name])) == set(words)
    for name, default in fields.items():
        if isinstance(default, bool | int | float):
            assert hints[name] in (type(default), float)
        elif default is None:
            assert type(None) in _types(hints[name]) or "None" in str(hints[name])


def test_help_and_notebooks_list_the_options() -> None:
    """The signatures of train and train_seeds have every option of the recipe, with its type."""
    for function in (layerline.train, layerline.train_seeds):
        parameters = inspect.signature(function).parameters
        assert set(RecipeOptions.__annotations__) < set(parameters)
        assert str(parameters["epochs"]) == "epochs: 'int' = <chosen>"
        assert "options" not in parameters
