"""`layerline evaluate` and `Model.evaluate`: on a run's own data they give the run's figures, to the last bit."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import data_files
import numpy as np
import pytest
import small_data
from click.testing import CliRunner, Result
from command import run as process
from PIL import Image

import layerline
from layerline.cli.entry_point import layerline as command
from layerline.data.dataset import Dataset, ImageSet, Split
from layerline.data.splitting import Own
from layerline.engines.compiled import CompiledEngine
from layerline.errors import UserError
from layerline.training import run_of_model
from layerline.training.run_of_model import RunOfModel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from layerline.engines.interface import Outputs

CLASSES = ("cat", "dog", "emu")
NET = "Conv 4 3 1 1\nReLU\nPool 2\nFlat\nFC classes\n"
FIGURES = ("test_loss", "test_accuracy", "test_macro_f1", "classes", "per_class", "confusion", "intervals", "baselines")
"""All that result.json has but the remarks, which there are also of the training."""
LINES = {
    "idx": ["--data", "idx"],
    "digits": ["--data", "digits", "--classes", "0,3,7"],
    "photos": ["--data", "photos", "--size", "16x20", "--fit", "pad", "--normalize", "standard", "--cache", "no"],
}
"""How each run is trained: arrays that bring a test set, as MNIST; digits; image files of many sizes, cut by us."""


def photo(rng: np.random.Generator, k: int, path: Path) -> None:
    """Write a photo of some size, some of them on their side by EXIF; class k is brighter than the ones before."""
    H, W = rng.integers(20, 60, 2)
    pixels = rng.integers(0, 90, (H, W, 3)) + 60 * k
    exif = Image.Exif()
    exif[0x0112] = int(rng.choice([1, 6]))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path, exif=exif)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with data of each kind, a run on each, called after it, and the model of `photos` in no run."""
    folder = tmp_path_factory.mktemp("evaluate")
    rng = np.random.default_rng(5)
    for k, name in enumerate(CLASSES):
        for number in range(22):
            photo(rng, k, folder / "photos" / name / f"{number:02}.jpg")
    for split, n in (("train", 90), ("t10k", 41)):
        found = small_data.images(n, shape=(1, 9, 9), seed=n)
        data_files.write_idx(folder / "idx", split, found.images[:, 0], found.labels.astype(np.uint8))
    (folder / "net.cnn").write_text(NET)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, words in LINES.items():
            line = ["train", "net.cnn", *words, "--seed", "3", "--epochs", "2", "--lr", "0.02", "--threads", "1"]
            ended = CliRunner().invoke(command, [*line, "--quiet", "--out", f"run-{name}"], catch_exceptions=False)
            assert ended.exit_code == 0, ended.output
    shutil.copy(folder / "run-photos" / "model.safetensors", folder / "bare.safetensors")
    return folder


@pytest.fixture
def here(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to the folder of the runs, and return it."""
    monkeypatch.chdir(trained)
    return trained


def run(*words: str) -> Result:
    return CliRunner().invoke(command, ["evaluate", *words])


def figures(*words: str) -> dict[str, Any]:
    ended = run(*words, "--json")
    assert ended.exit_code == 0, ended.output + str(ended.exception)
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def written(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(f"run-{name}") / "result.json").read_text("utf-8"))
    return found


def refused(*words: str) -> str:
    """Return the message of a mistake, after which nothing was printed."""
    ended = run(*words)
    assert isinstance(ended.exception, UserError), ended.output
    assert ended.stdout == ""
    return str(ended.exception)


@pytest.mark.smoke
@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", LINES)
def test_a_run_on_its_own_data_gives_its_own_result(name: str) -> None:
    """Every figure of result.json comes again, to the last bit: for the folder, the file, --data, threads."""
    expected = written(name)
    file = f"run-{name}/model.safetensors"
    data = LINES[name][:2]
    for words in ((f"run-{name}",), (f"run-{name}", *data), (file, *data), (file, "--threads", "2")):
        found = figures(*words)
        assert {key: found[key] for key in FIGURES} == {key: expected[key] for key in FIGURES}, words
        assert found["split"] == "test"
        assert found["images"] == sum(map(sum, expected["confusion"]))


@pytest.mark.usefixtures("here")
def test_a_model_without_its_run_gives_the_same_where_it_is_told_the_seed() -> None:
    """The model alone sizes, pads and scales as in its training; the same seed cuts off the same sets."""
    words = ("bare.safetensors", "--data", "photos", "--seed", "3", "--validation", "0.1")
    found, expected = figures(*words), written("photos")
    assert {key: found[key] for key in FIGURES} == {key: expected[key] for key in FIGURES}


@pytest.mark.parametrize("name", LINES)
def test_the_validation_set_gives_the_loss_of_the_best_epoch(name: str, here: Path) -> None:
    """`--split validation` is, to the last bit, what history.jsonl has of the epoch that the model is of."""
    rows = [json.loads(line) for line in (here / f"run-{name}" / "history.jsonl").read_text().splitlines()]
    best = [row for row in rows if row["best"]][-1]
    found = figures(f"run-{name}", "--split", "validation")
    for figure in ("loss", "accuracy", "macro_f1"):
        assert found[f"test_{figure}"] == best[f"validation_{figure}"]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", LINES)
def test_all_is_every_image_once(name: str) -> None:
    """The matrix of `--split all` is the sum of those of the three sets, which have every image of the data."""
    parts = [
        np.array(figures(f"run-{name}", "--split", which)["confusion"]) for which in ("train", "validation", "test")
    ]
    whole = figures(f"run-{name}", "--split", "all")
    assert np.array_equal(whole["confusion"], sum(parts))
    assert whole["images"] == {"idx": 131, "digits": 540, "photos": 66}[name]
    assert whole["baselines"] is None


def heard(monkeypatch: pytest.MonkeyPatch, model: layerline.Model, data: Dataset) -> NDArray[np.float32]:
    """Return the probabilities that the engine gives while `model` is evaluated on the test set, one row an image."""
    said: list[NDArray[np.float32]] = []
    own = CompiledEngine.evaluate

    def evaluate(self: CompiledEngine, split: Split) -> Outputs:
        outputs = own(self, split)
        said.append(outputs.probabilities)
        return outputs

    with monkeypatch.context() as patch:
        patch.setattr(CompiledEngine, "evaluate", evaluate)
        patch.setattr("layerline.training.evaluation._AT_ONCE", 4 * data.train.source.images[0].size)
        model.evaluate(data)
    assert len(said) > 1
    return np.concatenate(said)


def test_the_probabilities_are_those_of_predict(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the engine says while evaluating is, bit for bit, what predict and predict_proba say of the same images."""
    model = layerline.load("run-photos")
    data = model.load_data("photos", seed=3, cache="no")
    assert data.test is not None
    probabilities = heard(monkeypatch, model, data)
    with np.load(here / "run-photos" / "predictions.npz") as file:
        kept = dict(file)
    assert kept["probabilities"].tobytes() == probabilities.tobytes()
    assert model.predict_proba(data.test.source.images[data.test.indices]).tobytes() == probabilities.tobytes()
    line = ["predict", "run-photos", *(f"photos/{name}" for name in kept["names"].tolist()), "--format", "jsonl"]
    rows = [json.loads(text) for text in CliRunner().invoke(command, [*line, "--top", "3"]).stdout.splitlines()]
    predicted = [{each["class"]: np.float32(each["probability"]) for each in row["top"]} for row in rows]
    assert [[row[name] for name in CLASSES] for row in predicted] == probabilities.tolist()
    counted = np.zeros((3, 3), np.int64)
    for name, row in zip(kept["names"].tolist(), predicted, strict=True):
        counted[CLASSES.index(name.partition("/")[0]), CLASSES.index(max(row, key=row.__getitem__))] += 1
    assert np.array_equal(model.evaluate(data).confusion, counted)


def test_the_estimator_and_its_model_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """scikit-learn's predict_proba gives the bits that its model says while it is evaluated, and the same accuracy."""
    from layerline.sklearn import ConvNetClassifier

    data = small_data.dataset()
    assert data.test is not None
    images, labels = data.train.source.images, np.array(data.classes)[data.train.source.labels]
    fitted = ConvNetClassifier(network=NET, epochs=2, threads=1).fit(images[:70], labels[:70])
    tested = images[data.test.indices]
    assert heard(monkeypatch, fitted.to_model(), data).tobytes() == fitted.predict_proba(tested).tobytes()
    assert fitted.to_model().evaluate(data).test_accuracy == fitted.score(tested, labels[data.test.indices])


def model_of_bands(fit: str = "crop") -> layerline.Model:
    data = small_data.dataset()
    ended = layerline.train(layerline.parse(NET, data), data, epochs=2, batch_size=8, learning_rate=0.02, threads=1)
    model = ended.model
    preprocessing = dataclasses.replace(model.preprocessing, fit=fit)  # type: ignore[arg-type]
    return dataclasses.replace(model, preprocessing=preprocessing)


def changed(data: Dataset, source: ImageSet, **others: Any) -> Dataset:
    """Return a data set whose splits have the same indices in another set of images."""
    splits = {name: Split(source, getattr(data, name).indices) for name in ("train", "validation", "test")}
    return dataclasses.replace(data, **splits, **others)


def test_classes_go_by_name() -> None:
    """Data that numbers its classes in another order gives the same result, in the model's order; so does predict."""
    model, data = model_of_bands(), small_data.dataset()
    source = data.train.source
    order = [2, 0, 1]
    labels = np.array([order.index(k) for k in range(3)], np.int32)[source.labels]
    turned = changed(data, dataclasses.replace(source, labels=labels), classes=tuple("abc"[k] for k in order))
    expected, found = model.evaluate(data), model.evaluate(turned)
    assert found.as_dict() == expected.as_dict()
    assert found.classes == ("a", "b", "c")
    assert expected.test_accuracy != 1 / 3


@pytest.mark.parametrize("maximum", [1.0, 16.0, 65535.0])
def test_pixels_come_to_the_scale_of_the_training(maximum: float) -> None:
    """Images whose largest value is another than in the training are scaled to it before anything else is done."""
    model, data = model_of_bands(), small_data.dataset()
    source = data.train.source
    images = (source.images.astype(np.float64) * maximum / 255).astype(np.float32)
    found = model.evaluate(changed(data, ImageSet(images, source.labels, maximum)))
    expected = model.evaluate(data)
    assert np.array_equal(found.confusion, expected.confusion)
    assert found.test_loss == pytest.approx(expected.test_loss, rel=1e-5)
    back = images * np.float32(255 / maximum)
    exactly = model.evaluate(changed(data, ImageSet(back, source.labels)))
    assert found.test_loss == exactly.test_loss


def test_what_cannot_be_scaled_is_refused_and_what_floats_are_by_chance_is_not() -> None:
    """Floats up to 100, or below 0, are not brought to bytes; of two sets of such floats each stays as it is."""
    model, data = model_of_bands(), small_data.dataset()
    source = data.train.source
    floats = source.images.astype(np.float32)
    with pytest.raises(
        layerline.DataError, match=r"has pixels up to 100, but the training images had pixels from 0 to 255"
    ):
        model.evaluate(changed(data, ImageSet(floats, source.labels, 100.0)))
    with pytest.raises(
        layerline.DataError, match=r"has pixels below 0, but the training images had pixels from 0 to 255"
    ):
        model.evaluate(changed(data, ImageSet(floats / 128 - 1, source.labels, 1.0)))
    model = dataclasses.replace(model, preprocessing=dataclasses.replace(model.preprocessing, maximum=239.5))
    as_it_is = model.evaluate(changed(data, ImageSet(floats, source.labels, 239.5)))
    assert model.evaluate(changed(data, ImageSet(floats, source.labels, 238.0))).test_loss == as_it_is.test_loss


@pytest.mark.usefixtures("here")
def test_python_refuses_what_is_not_the_model_s() -> None:
    """Another fit, shape, set or size is refused with what to do; `model.load_data` reads what the model takes."""
    model = layerline.load("run-photos")
    cropped = layerline.load_data("photos", size="16x20", fit="crop", cache="no")
    with pytest.raises(layerline.DataError, match=r"resized with fit=crop, but the training images with fit=pad"):
        model.evaluate(cropped)
    with pytest.raises(layerline.DataError, match=r"has 3×40×40 images, but the model expects 3×16×20"):
        model.evaluate(layerline.load_data("photos", size=40, cache="no"))
    with pytest.raises(layerline.DataError, match=r'split="testing": unknown split'):
        model.evaluate(model.load_data("photos", cache="no"), "testing")  # type: ignore[arg-type]
    with pytest.raises(layerline.DataError, match=r"size: determined by the model"):
        model.load_data("photos", size=20)
    data = model.load_data("photos", test="none", cache="no")
    assert data.shape == (3, 16, 20)
    with pytest.raises(layerline.DataError, match=r"photos has no test set"):
        model.evaluate(data)
    assert model.evaluate(data, "all", baselines=False).baselines is None


@pytest.mark.usefixtures("here")
def test_a_set_is_the_data_s_own_where_it_brings_one() -> None:
    """`Own` takes the set that is brought, and else cuts off what it says, or nothing."""
    assert len(layerline.load_data("idx", test=Own(0.3)).test or ()) == 41
    assert len(layerline.load_data("photos", test=Own(0.5), cache="no").test or ()) == 33
    assert layerline.load_data("photos", test=Own(), cache="no").test is None
    with pytest.raises(layerline.DataError, match=r"test=2.5: must be a fraction"):
        layerline.load_data("photos", test=Own(2.5))


def remarked(*words: str) -> str:
    return " ".join(figures(*words)["remarks"])


def test_what_the_model_was_trained_on_is_said(here: Path) -> None:
    """Images that were used in training are counted; where it is not known, that is said; of a test set nothing is."""
    (here / "more").mkdir(exist_ok=True)
    for k, name in enumerate(CLASSES):
        photo(np.random.default_rng(k), k, here / "more" / name / "a.jpg")
        photo(np.random.default_rng(k + 9), k, here / "more" / name / "b.jpg")
    assert "used in training" not in remarked("run-photos")
    assert "50 of these 66 images were used in training" in remarked("run-photos", "--split", "all")
    assert "All of these images were used in training" in remarked("run-photos", "--split", "train")
    assert "These images were used to choose the epoch" in remarked("run-photos", "--split", "validation")
    assert "81 of these 131 images were used in training" in remarked("run-idx", "--split", "all")
    other = re.search(r"(\d+) of these 10 images were used in training", remarked("run-photos", "--seed", "4"))
    assert other is not None
    assert int(other[1]) == len(set(cut(4)) - set(cut(3)) - set(cut(3, "validation")))
    assert "The model file is not in a run folder" in remarked("bare.safetensors", "--data", "photos")
    assert "--test 0.15 holds out" in remarked("bare.safetensors", "--data", "photos")
    assert "The data is not, or no longer, the training data." in remarked("run-photos", "--data", "more")
    assert "not in a run folder" in remarked("bare.safetensors", "--data", "more", "--split", "all")


def cut(seed: int, which: str = "test") -> list[int]:
    split = getattr(layerline.load_data("photos", seed=seed, size="16x20", cache="no"), which)
    return list(split.indices.tolist())


def test_after_a_limit_images_only_may_have_been_used() -> None:
    """With --limit some images of the training set were not trained on, so the remark does not say that all were."""
    data = layerline.load_data("digits")
    held = np.concatenate([split.indices for split in (data.validation, data.test) if split is not None])
    for options, text in (
        ({}, "images were used in training"),
        ({"limit": 100}, "images may have been used in training"),
    ):
        run = RunOfModel(options, data.fingerprint, held)
        assert text in str(run_of_model.remark(run, data, [("train", data.train)]))


@pytest.mark.usefixtures("here")
def test_some_of_the_classes_are_looked_at_where_that_is_asked_for() -> None:
    """`--classes` leaves out what only one of both knows; what did not occur is null, and said."""
    for name in ("cat", "dog"):
        shutil.copytree(f"photos/{name}", f"some/{name}", dirs_exist_ok=True)
    for number in range(3):
        photo(np.random.default_rng(number), 1, Path(f"some/yak/{number}.jpg"))
    assert "(unknown to the model: yak; missing: emu)" in refused("run-photos", "--data", "some")
    found = figures("run-photos", "--data", "some", "--classes", "cat,dog", "--split", "all")
    assert found["classes"] == list(CLASSES)
    assert [row["support"] for row in found["per_class"]] == [22, 22, 0]
    assert found["images"] == 44


MISTAKES: dict[str, list[str]] = {
    "no model": [],
    "no such file": ["nothing.safetensors", "--data", "photos"],
    "a folder that is no run": ["photos", "--data", "photos"],
    "a network": ["net.cnn", "--data", "photos"],
    "no data": ["bare.safetensors"],
    "unknown data": ["run-photos", "--data", "nowhere"],
    "data without labels": ["run-photos", "--data", "photos/cat"],
    "other classes": ["run-photos", "--data", "others"],
    "a class of one image": ["run-photos", "--data", "few"],
    "the same, asked for": ["run-photos", "--data", "few", "--test", "0.5"],
    "other channels": ["run-photos", "--data", "idx"],
    "other size of arrays": ["run-idx", "--data", "digits"],
    "unknown split": ["run-photos", "--split", "tests"],
    "no test set": ["run-photos", "--test", "none"],
    "test beside the data's own": ["run-idx", "--test", "0.2"],
    "size": ["run-photos", "--size", "32"],
    "normalize": ["run-photos", "--normalize", "max"],
    "threads": ["run-photos", "--threads", "0"],
    "seed": ["run-photos", "--seed", "abc"],
    "allow": ["run-photos", "--allow", "leeks"],
    "an option of train": ["run-photos", "--epochs", "3"],
    "options of files with arrays": ["run-idx", "--exclude", "*.tmp"],
}


def test_mistakes_end_with_2_and_print_nothing(trained: Path, golden: Callable[[str, str], None]) -> None:
    """Every mistake: exit 2, nothing on stdout, no traceback, a message that says what to do."""
    for k, name in enumerate(("cat", "dog", "fox")):
        for number in range(3):
            photo(np.random.default_rng(3 * k + number), k, trained / "others" / name / f"{number}.jpg")
    photo(np.random.default_rng(20), 0, trained / "few" / "cat" / "a.jpg")
    shutil.copytree(trained / "others" / "dog", trained / "few" / "dog", dirs_exist_ok=True)
    said = []
    for name, words in MISTAKES.items():
        ended = process(trained, "evaluate", *words)
        assert (ended.returncode, ended.stdout) == (2, ""), (name, ended.stderr)
        assert "Traceback" not in ended.stderr
        said.append(f"== {name}: {' '.join(words)}\n{ended.stderr}")
    golden("evaluate-mistakes.txt", "\n".join(said))


def steady(text: str) -> str:
    text = re.sub(r"\d\.\d{4}(?!\d)", "#.####", text)
    text = re.sub(r"\d\.\d{3}(?!\d)", "#.###", text)
    return re.sub(r"^(\w+)(  +[\d·]+)+$", r"\1  COUNTS", text, flags=re.MULTILINE)


def test_what_is_printed(trained: Path, golden: Callable[[str, str], None]) -> None:
    """Piped: plain lines of at most 80 columns, which begin with what was tested on what; from any folder."""
    lines = []
    for words in (["run-photos"], ["run-digits", "--split", "all"], ["bare.safetensors", "--data", "photos"]):
        ended = process(trained, "evaluate", *words)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert max(map(len, ended.stdout.splitlines())) <= 80
        assert not {"\x1b", "\r"} & set(ended.stdout)
        lines.append(f"$ layerline evaluate {' '.join(words)}\n{steady(ended.stdout)}")
    golden("evaluate.txt", "\n".join(lines))
    elsewhere = process(trained / "photos", "evaluate", "../run-photos", "--json")
    assert (
        json.loads(elsewhere.stdout)["test_loss"]
        == json.loads((trained / "run-photos" / "result.json").read_text())["test_loss"]
    )


def test_a_run_whose_data_has_moved_says_how_to_name_it(trained: Path, tmp_path: Path) -> None:
    """Without its data a run asks for --data, and with it gives its result again: the path is no part of it."""
    for name in ("run-photos", "photos"):
        shutil.copytree(trained / name, tmp_path / name)
    (tmp_path / "photos").rename(tmp_path / "moved")
    lost = process(tmp_path, "evaluate", "run-photos")
    assert lost.returncode == 2
    assert "add --data PATH" in lost.stderr
    (tmp_path / "moved").rename(tmp_path / "run-photos" / "photos")
    found = process(tmp_path, "evaluate", "run-photos", "--data", "run-photos/photos", "--json")
    assert (
        json.loads(found.stdout)["test_loss"]
        == json.loads((trained / "run-photos" / "result.json").read_text())["test_loss"]
    )


def test_describe_tells_what_a_model_takes(trained: Path, golden: Callable[[str, str], None]) -> None:
    """Of a run, and of a file in no run: classes, images, scaling, versions, digest, then the table of the layers."""
    described = process(trained, "describe", "run-photos")
    assert (described.returncode, described.stderr) == (0, "")
    assert process(trained, "describe", "bare.safetensors").stdout == described.stdout
    text = re.sub(r"(\w+) [\d.]+(?=,|$)", r"\1 #", described.stdout.replace("\n         ", " "), flags=re.MULTILINE)
    text = re.sub(r"(?m)^(total .*?)  [\d.]+ [kMG]?B$", r"\1  #", text)  # the engine's, which depends on the machine
    golden("describe-model.txt", re.sub(r"[0-9a-f]{64}|-?\d\.\d{3,}", "#", text))
    assert max(map(len, described.stdout.splitlines())) <= 80


def test_a_pipe_that_closes_is_no_mistake(trained: Path) -> None:
    """`layerline evaluate … | head -1` prints its first line and ends quietly."""
    import subprocess

    from command import COMMAND, PLAIN

    words: Sequence[str] = [*COMMAND, "evaluate", "run-photos"]
    with subprocess.Popen(words, cwd=trained, env=PLAIN, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as started:  # noqa: S603
        assert started.stdout is not None
        assert started.stderr is not None
        assert started.stdout.readline().startswith(b"model ")
        started.stdout.close()
        assert started.stderr.read() == b""
        assert started.wait() == 0


def test_a_run_that_does_not_say_what_it_held_back_is_not_believed(trained: Path, tmp_path: Path) -> None:
    """Without predictions.npz, as in a run that was stopped, that nothing is known is said, beside the figures."""
    for name in ("run-photos", "photos"):
        shutil.copytree(trained / name, tmp_path / name)
    (tmp_path / "run-photos" / "predictions.npz").unlink()
    ended = process(tmp_path, "evaluate", "run-photos")
    assert ended.returncode == 0
    assert "! The run does not record which images it held out." in ended.stdout
    assert "used in training:" not in ended.stdout


def test_a_training_from_python_that_cut_by_another_seed_is_found_out(here: Path) -> None:
    """Its record has the recipe's seed and not that of the cuts: the images that it was trained on are counted."""
    data = layerline.load_data("photos", size="16x20", cache="no")
    network = layerline.parse(NET, data)
    ended = layerline.train(network, data, layerline.Recipe(epochs=1, seed=3), out="from-python", threads=1, live=False)
    seen = re.search(r"(\d+) of these 10 images were used in training", remarked("from-python", "--data", "photos"))
    assert seen is not None
    assert int(seen[1]) == len(set(cut(3)) - set(cut(0)) - set(cut(0, "validation")))
    found = figures("from-python", "--data", "photos", "--seed", "0")
    assert found["test_loss"] == ended.result.test_loss
    shutil.rmtree(here / "from-python")


def test_describe_says_where_weights_are_not_numbers(tmp_path: Path) -> None:
    """A model that diverged is described all the same, and evaluated not."""
    model = model_of_bands()
    weights = {name: array.copy() for name, array in model.weights.items()}
    next(iter(weights.values())).reshape(-1)[:2] = np.nan
    model = dataclasses.replace(model, weights=weights)
    model.save(tmp_path / "model.safetensors")
    assert "weights  2 numbers are NaN or infinite\n" in process(tmp_path, "describe", "model.safetensors").stdout
    ended = process(tmp_path, "evaluate", "model.safetensors", "--data", "digits")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "2 NaN or infinite values" in ended.stderr
