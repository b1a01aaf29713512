"""A warm start: a new training with the weights of another, and what is refused."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import signal
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import small_data
from click.testing import CliRunner, Result

import layerline
from layerline.cli.entry_point import layerline as command
from layerline.errors import UserError
from layerline.network import parse
from layerline.network.pretrained.backbones import BACKBONES
from layerline.network.pretrained.transfer import transfer_text
from layerline.network.start import Start, digest, initial_weights
from layerline.network_file.unfreezing import unfrozen
from layerline.recipe import Recipe
from layerline.runs.checkpoint import Identity
from layerline.runs.folder import RunFolder
from layerline.runs.record import AboutStart
from layerline.training import Interrupt, Watcher
from layerline.training.prepared import prepare, prepare_experiment
from layerline.training.session import run
from layerline.training.warm_start import further, leak, resumed, started

if TYPE_CHECKING:
    from layerline.data.dataset import Dataset
    from layerline.experiment.experiment import Experiment

DATA = small_data.dataset(120)
TEXT = "Conv 4 3\nBatchNorm\nReLU\nFlat\nFC classes\n"
RECIPE = Recipe(epochs=2, batch_size=16, learning_rate=0.01, optimizer="adamw", ema=0.9)


def network(data: Dataset = DATA, text: str = TEXT) -> layerline.Network:
    return parse(text, name="net", input_shape=data.shape, classes=len(data.classes))


@pytest.fixture(scope="module")
def first() -> layerline.Run:
    return layerline.train(network(), DATA, RECIPE, threads=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a network, and the run `a` of it on digits."""
    place = tmp_path_factory.mktemp("warm")
    (place / "net.cnn").write_text(TEXT)
    options = ["--data", "digits", "--limit", "200", "--epochs", "2", "--lr", "0.01", "--ema", "0.9", "--threads", "1"]
    done = CliRunner().invoke(command, ["train", str(place / "net.cnn"), *options, "--out", str(place / "a")])
    assert done.exit_code == 0, done.output
    return place


@pytest.fixture
def place(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of `folder`, the current directory."""
    shutil.copytree(folder, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return Path()


def invoke(*words: str) -> Result:
    return CliRunner().invoke(command, words, standalone_mode=False)


def stopped_after_an_epoch(experiment: Experiment, out: Path) -> None:
    """Train an experiment in the folder `out`, and stop it, as by Ctrl-C, after its first epoch."""
    data = experiment.load()
    prepared, interrupt = prepare_experiment(experiment, experiment.network(data), data), Interrupt()

    class Stopping(Watcher):
        def epoch(self, *_: object) -> None:
            interrupt.signal = signal.SIGINT

    assert run(prepared, RunFolder.named(out), Stopping(), interrupt).stopped == signal.SIGINT


@pytest.mark.parametrize("engine", ["compiled", "torch"])
def test_an_engine_starts_with_the_weights_and_nothing_else(first: layerline.Run, engine: str) -> None:
    """Weights and averages are the model's, momenta are zero; with another seed too, and in both engines."""
    start = started(first, network(), DATA)
    prepared = prepare(network(), DATA, RECIPE, engine=engine, threads=1, start=start)
    for one in (prepared, prepared.with_seed(5)):
        state = one.engine.state()
        for name, weight in first.model.weights.items():
            np.testing.assert_array_equal(state.weights[name], weight)
        for name, slot in state.optimizer.items():
            kind, _, weight = name.partition(".")
            np.testing.assert_array_equal(slot, first.model.weights[weight] if kind == "ema" else 0 * slot)


def test_learning_rates_are_tried_from_these_weights(first: layerline.Run) -> None:
    """A recipe that is chosen leaves the engine with the weights of the start."""
    start = started(first.model, network(), DATA)
    prepared = prepare(network(), DATA, Recipe(), given=("epochs",), threads=1, start=start)
    np.testing.assert_array_equal(prepared.engine.state().weights["0.weight"], first.model.weights["0.weight"])


def test_the_digest_is_of_names_types_shapes_and_bytes() -> None:
    """Written out by hand for two arrays; each of the four changes it, the byte order of the machine does not."""
    a, b = np.array([[1, 2]], np.float32), np.array(3, np.int64)
    text = b"a float32 1x2\n" + a.astype("<f4").tobytes() + b"b int64 \n" + b.astype("<i8").tobytes()
    assert digest({"a": a, "b": b}) == hashlib.sha256(text).hexdigest() == digest({"a": a.astype(">f4"), "b": b})
    others = ({"x": a, "b": b}, {"a": a.astype(np.float64), "b": b}, {"a": a.T, "b": b}, {"a": a + 1, "b": b})
    assert len({digest(each) for each in ({"a": a, "b": b}, *others)}) == 5


def test_the_identity_has_the_start(first: layerline.Run) -> None:
    """Other weights are a difference; an identity without a start, as of an older version, is one of drawn weights."""
    warm = prepare(network(), DATA, RECIPE, start=started(first, network(), DATA)).identity
    drawn = prepare(network(), DATA, RECIPE).identity
    older = {key: value for key, value in json.loads(drawn.text).items() if key != "start"}
    assert Identity.read(json.dumps(older)) == drawn
    assert warm.differences(drawn) == [
        f"start: the initial weights are {str(warm.start)[:12]}… (SHA-256), were drawn from the seed"
    ]
    with pytest.raises(TypeError, match="start must be a digest"):
        Identity.read(json.dumps(older | {"start": 3}))


@pytest.mark.parametrize(
    ("data", "text", "message"),
    [
        (DATA, TEXT.replace("Conv 4", "Conv 5"), "0.weight is 4×1×3×3 there and 5×1×3×3 here"),
        (DATA, TEXT.replace("BatchNorm\n", ""), "1.weight is 4 there and missing here"),
    ],
)
def test_other_layers_are_refused(first: layerline.Run, data: Dataset, text: str, message: str) -> None:
    """With what differs, before anything is trained; in Python's terms in Python."""
    with pytest.raises(UserError, match=message) as caught:
        layerline.train(network(data, text), data, RECIPE, start_from=first)
    assert "--start-from" in caught.value.with_flags
    assert str(caught.value).startswith('start_from="a model in memory": ')
    assert "omit start_from" in str(caught.value)


def test_python_takes_a_run_a_model_or_a_path(first: layerline.Run, tmp_path: Path) -> None:
    """All three start with the same weights, and train to the same bits."""
    first.model.save(tmp_path / "m.safetensors")
    runs = [
        layerline.train(network(), DATA, RECIPE, start_from=each, threads=1)
        for each in (first, first.model, tmp_path / "m.safetensors", str(tmp_path / "m.safetensors"))
    ]
    assert len({digest(run.model.weights) for run in runs}) == 1
    assert runs[0].history[0].train_loss < first.history[0].train_loss


@pytest.mark.smoke
def test_a_run_is_trained_further(place: Path) -> None:
    """`train RUN --epochs 3`: network, data and recipe of the run, a new folder, and the screen says it."""
    ended = invoke("train", "a", "--epochs", "3", "--threads", "1", "--out", "b")
    assert ended.exception is None, ended.output
    assert "start    weights from a (epoch 2): the optimizer starts anew; 3 more epochs" in ended.output
    old, new = (tomllib.loads((place / name / "experiment.toml").read_text()) for name in ("a", "b"))
    assert new["train"] == old["train"] | {"epochs": 3, "start_from": "../a"}
    assert new["data"] == old["data"]
    assert (place / "a" / "network.cnn").read_text() == (place / "b" / "network.cnn").read_text()
    weights = layerline.load("a").weights
    assert new["about"]["start"] == {"digest": digest(weights), "epoch": 2}
    assert new["about"]["network"]["name"] == old["about"]["network"]["name"]
    first, last = (json.loads((place / name / "history.jsonl").read_text().splitlines()[0]) for name in ("a", "b"))
    assert last["train_loss"] < first["train_loss"]


def test_another_seed_keeps_the_splits(place: Path) -> None:
    """No image that the weights were trained on is tested, whatever the seed: the splits are those of the run."""
    (place / "net.cnn").write_text("Flat\nFC classes\n")
    data = layerline.load_data("digits")
    np.savez(place / "d.npz", x=data.train.source.images[:300, 0], y=data.train.source.labels[:300])
    for words in (("net.cnn", "--data", "d.npz", "--out", "c"), ("c", "--seed", "4", "--out", "d")):
        ended = invoke("train", *words, "--epochs", "1", "--lr", "0.01", "--quiet")
        assert ended.exception is None, ended.exception
    held = [np.load(place / name / "predictions.npz")["index"].tolist() for name in ("c", "d")]
    assert held[0] == held[1]
    ended = invoke("train", "net.cnn", "--data", "d.npz", "--seed", "4", "--start-from", "c", "--epochs", "1")
    said = " ".join(ended.output.split())
    assert "test images were not held out when the weights of c were trained: the test scores are too high" in said


def test_a_rerun_starts_with_the_same_weights_or_is_refused(place: Path) -> None:
    """Bit-identical; if the weights have changed, refused with both digests, and so is resuming from the start."""
    assert invoke("train", "a", "--epochs", "2", "--quiet", "--out", "b").exception is None
    assert invoke("rerun", "b", "--check").return_value == 0
    before = digest(layerline.load("a").weights)
    shutil.copy(place / "b" / "model.safetensors", place / "a" / "model.safetensors")
    ended = invoke("rerun", "b", "--check")
    assert isinstance(ended.exception, UserError)
    for one in (before, digest(layerline.load("a").weights)):
        assert one[:12] in ended.exception.message
    assert "layerline train b/experiment.toml" in str(ended.exception.help)


def test_a_warm_start_is_resumed_to_the_bit_without_its_source(place: Path) -> None:
    """Stopped after its first epoch, and the run that it started from deleted: the result is that of the whole run."""
    assert invoke("train", "a", "--epochs", "3", "--quiet", "--threads", "1", "--out", "b").exception is None
    stopped_after_an_epoch(further(Path("a"), {"epochs": 3, "threads": 1}), Path("c"))
    shutil.rmtree(place / "a")
    ended = invoke("train", "--resume", "c", "--threads", "1")
    assert ended.exception is None, ended.exception
    assert "started with the weights from ../a (epoch 2)" in " ".join(ended.output.split())
    assert (place / "b" / "model.safetensors").read_bytes() == (place / "c" / "model.safetensors").read_bytes()


def test_a_run_that_did_not_finish_is_refused_with_both_ways(place: Path) -> None:
    """To resume it or to start from it are two things: the message has both commands."""
    (place / "a" / "result.json").unlink()
    ended = invoke("train", "a", "--epochs", "3")
    assert isinstance(ended.exception, UserError)
    assert "layerline train --resume a finishes it" in str(ended.exception.help)
    assert "layerline train a/network.cnn --data digits --start-from a starts a new run" in str(ended.exception.help)


@pytest.mark.usefixtures("place")
def test_a_finished_run_is_not_resumed_but_trained_further() -> None:
    """What to type for more epochs is in the refusal; and --resume takes no other weights."""
    ended = invoke("train", "--resume", "a", "--epochs", "9")
    assert "layerline train a --epochs N" in str(getattr(ended.exception, "help", ""))
    assert "--start-from" in str(invoke("train", "--resume", "a", "--start-from", "a").exception)


@pytest.mark.parametrize(
    "data", [dataclasses.replace(DATA, classes=("a", "x", "c")), small_data.dataset(60, K=2)], ids=["names", "number"]
)
def test_with_other_classes_only_the_last_layer_is_new(first: layerline.Run, data: Dataset) -> None:
    """Its weights are those of a training from scratch with that seed, all others those of the run; a note says so."""
    notes: list[str] = []

    class Noted(Watcher):
        def note(self, text: str) -> None:
            notes.append(text)

    net = network(data)
    start = started(first, net, data)
    prepared = prepare(net, data, dataclasses.replace(RECIPE, epochs=1), start=start, threads=1)
    weights, drawn = prepared.engine.state().weights, initial_weights(net, RECIPE.seed)
    new = {"4.weight", "4.bias"}
    for name, array in weights.items():
        assert np.array_equal(array, drawn[name] if name in new else first.model.weights[name]), name
    run(prepared, None, Noted())
    layer = f"FC {len(data.classes)} (line 5)"
    assert notes == [
        f"{layer} starts with random weights, not with those of a model in memory (epoch 2): classes differ"
    ]


def test_a_resumed_start_from_a_backbone_is_no_leak() -> None:
    """Pretrained weights get no remark about test images, also where a checkpoint has newer ones."""
    cut = dataclasses.replace(DATA, cuts={"test": 0.2})
    assert leak(Start("0" * 64, None, "lite0"), cut) is None
    assert leak(Start("0" * 64, None, "no-such-run"), cut) is not None


def test_a_resumed_start_knows_its_title_and_the_head() -> None:
    """Without the weights of a backbone, which a checkpoint has: what they are, and which layers were new."""
    backbone = BACKBONES["lite0"]
    text = unfrozen(transfer_text(backbone, (64, 64), "Flat\nFC 5\nReLU\nFC classes\n"), 1, "lite0")
    start = resumed("lite0", AboutStart("0" * 64, None), parse(text, classes=3))
    assert start.text == "EfficientNet-Lite0 (ImageNet)"
    assert [node.label.split(" (")[0] for node in start.fresh(parse(text, classes=3))] == ["FC 5", "FC 3"]
    other = resumed("../a", AboutStart("0" * 64, 4), parse(text, classes=3))
    assert (other.text, other.head) == ("../a (epoch 4)", None)
