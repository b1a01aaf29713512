"""TRAIN: the epochs, the best of them, how a training ends, and what it leaves."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import signal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import small_data
from scripted_engine import ScriptedEngine

import layerline
from layerline import training
from layerline.errors import DataError, DivergedError, NetworkError, RecipeError, UserError
from layerline.files import tensors
from layerline.numbers.randomness import epoch_order
from layerline.recipe import Recipe
from layerline.runs.folder import RunFolder
from layerline.training.prepared import Prepared
from layerline.training.session import run

if TYPE_CHECKING:
    from pathlib import Path

TEXT = "Conv 4 3 1 1\nReLU\nPool 2\nFlat\nFC classes\n"
ENGINES = ("compiled", "torch")


def scripted(
    losses: list[float], *, epochs: int = 4, out: Path | None = None, validation: int | None = 20, test: int | None = 25
) -> tuple[Any, Any]:
    """Return a scripted engine, and a function that runs a training on it."""
    data = small_data.dataset(70, validation, test)
    network = layerline.parse("Flat\nFC classes\n", data)
    recipe = Recipe(epochs=epochs, batch_size=16, learning_rate=0.5, best="loss")
    engine = ScriptedEngine(losses, recipe.batch_size)
    ticks = itertools.count()

    def train() -> training.Run:
        folder = None if out is None else RunFolder.named(out)
        prepared = Prepared(network, data, recipe, engine)
        return run(prepared, folder, training.Watcher(), clock=lambda: float(next(ticks)) / 1000)

    return engine, train


def test_an_epoch_visits_every_training_image_once() -> None:
    """The order of epoch n (from 1) is `epoch_order(seed, n, …)` of the training images; the rates go by the step."""
    engine, train = scripted([1.0] * 5)
    train()
    for epoch, order in enumerate(engine.orders, 1):
        assert sorted(order.tolist()) == list(range(70))
        assert (order == epoch_order(0, epoch, np.arange(70))).all()
    assert [len(rates) for rates in engine.rates] == [5] * 4
    np.testing.assert_allclose(np.concatenate(engine.rates), [0.5 * (1 - t / 20) for t in range(20)], rtol=1e-15)


def test_the_best_epoch_can_be_told_by_macro_f1() -> None:
    """With --best macro_f1 an epoch is the best that has a higher one than all before it, whatever its loss."""
    data = layerline.load_data("digits", limit=400)
    network = layerline.read("digits", data)
    ended = layerline.train(network, data, Recipe(epochs=12, best="macro_f1", label_smoothing=0.3, learning_rate=0.1))
    scores = [row.validation_macro_f1 or 0 for row in ended.history]
    assert [row.best for row in ended.history] == [
        score > max(scores[:k], default=-1) for k, score in enumerate(scores)
    ]
    assert ended.model_epoch == scores.index(max(scores)) + 1
    by_loss = layerline.train(network, data, Recipe(epochs=12, label_smoothing=0.3, learning_rate=0.1))
    assert [row.best for row in by_loss.history] != [row.best for row in ended.history]


@pytest.mark.parametrize(
    ("losses", "best", "stars"),
    [
        ([0.9, 0.5, 0.7, 0.6], 2, [1, 2]),
        ([0.9, 0.5, 0.5, 0.4], 4, [1, 2, 4]),
        ([0.5, 0.5, 0.5, 0.5], 1, [1]),
    ],
)
def test_the_best_epoch_is_saved_and_tested(losses: list[float], best: int, stars: list[int]) -> None:
    """Lowest validation loss, the earlier on ties; its weights are the model's, and are tested, once."""
    engine, train = scripted([*losses, 0.3])
    ended = train()
    assert [row.epoch for row in ended.history if row.best] == stars
    assert ended.model_epoch == best
    assert (ended.model.weights["1.weight"] == best).all()
    assert engine.evaluated == [1, 2, 3, 4, best]
    assert ended.result.test_loss == pytest.approx(0.3)


def test_without_validation_the_last_epoch_counts() -> None:
    """Without a validation set its fields are None and the last weights are the model's; without a test, no result."""
    engine, train = scripted([], validation=None, test=None)
    ended = train()
    assert ended.model_epoch == 4
    assert (
        {row.validation_loss for row in ended.history} == {row.validation_macro_f1 for row in ended.history} == {None}
    )
    assert ended.result.test_loss is None
    assert engine.evaluated == []


def test_a_row_holds_what_the_epoch_measured() -> None:
    """Training figures come from the running confusion matrix, validation figures from the evaluation after it."""
    engine, train = scripted([1.5] * 5, epochs=1)
    row = train().history[0]
    assert row.train_loss == 2.0
    assert row.train_accuracy == pytest.approx(60 / 70)
    # F1 of class 0 is 2·60 / (60 + 70), of class 1 it is 0; class 2 does not occur.
    assert row.train_macro_f1 == pytest.approx((120 / 130 + 0) / 2)
    assert row.validation_loss == 1.5
    truth = engine.orders and (np.arange(70, 90) % 3 == 0).sum()
    assert row.validation_accuracy == pytest.approx(truth / 20)
    assert row.learning_rate == pytest.approx(0.5 * (1 - 4 / 5))
    assert 0 < row.train_seconds < row.seconds
    assert row.images_per_second == pytest.approx(70 / row.train_seconds)


@pytest.mark.parametrize(("at", "place"), [((1, 2), "step 3 of epoch 1"), ((3, 4), r"step 5 of epoch 3 \(step 15 of")])
def test_divergence_keeps_the_last_finished_epoch(tmp_path: Path, at: tuple[int, int], place: str) -> None:
    """The error says the step and the cause; the model is of the last finished epoch, though another was better."""
    engine, train = scripted([0.1, 0.2, 0.3], out=tmp_path / "run")
    engine.diverges_at = at
    with pytest.raises(DivergedError, match=place) as caught:
        train()
    assert "learning rate 0.5 is probably too high: try learning_rate=0.05" in str(caught.value)
    left = caught.value.run
    assert isinstance(left, training.Run)
    finished = at[0] - 1
    assert left.model_epoch == len(left.history) == finished
    lines = (tmp_path / "run" / "history.jsonl").read_text().splitlines()
    assert len(lines) == finished
    model = tmp_path / "run" / "model.safetensors"
    assert model.exists() == (finished > 0)
    if finished:
        assert (tensors.read(model).arrays["1.weight"] == finished).all()


def test_weights_ruined_by_the_last_step_are_seen() -> None:
    """An epoch whose losses are all finite, but whose last update is not, diverged at that step."""
    for validation, losses in ((None, [0.1]), (20, [0.5, float("nan"), 0.1])):
        engine, train = scripted(losses, validation=validation)
        engine.ruins_in = 2
        with pytest.raises(DivergedError, match="step 5 of epoch 2") as caught:
            train()
        assert isinstance(caught.value.run, training.Run)
        assert caught.value.run.model_epoch == 1


def test_ctrl_c_ends_after_the_running_step(tmp_path: Path) -> None:
    """SIGINT in epoch 3: no further step, two rows, the best weights saved, no test, and the handler is given back."""
    before = signal.getsignal(signal.SIGINT)
    engine, train = scripted([0.3, 0.4, 0.5], out=tmp_path / "run")
    steps = []

    def during(epoch: int, step: int) -> None:
        steps.append((epoch, step))
        if (epoch, step) == (3, 1):
            os.kill(os.getpid(), signal.SIGINT)
            while not engine._stopping:
                pass

    engine.during = during
    ended = train()
    assert signal.getsignal(signal.SIGINT) is before
    assert steps[-1] == (3, 1)
    assert (ended.stopped, ended.steps, ended.model_epoch, len(ended.history)) == (signal.SIGINT, 2, 1, 2)
    assert ended.result.test_loss is None
    assert (tensors.read(tmp_path / "run" / "model.safetensors").arrays["1.weight"] == 1).all()
    assert not (tmp_path / "run" / "result.json").exists()


def test_a_second_ctrl_c_waits_for_the_running_step_alone() -> None:
    """A second SIGINT raises KeyboardInterrupt in the thread that waits, when the step it came in has ended."""
    engine, train = scripted([0.3])
    steps = []

    def during(_epoch: int, step: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        while not engine._stopping:
            pass
        engine._stopping = False
        os.kill(os.getpid(), signal.SIGINT)
        while not engine._stopping:  # asked again, by who waits no longer for more than this step
            pass
        steps.append(step)

    engine.during = during
    with pytest.raises(KeyboardInterrupt):
        train()
    assert steps == [0]
    assert engine.evaluated == []


@pytest.mark.parametrize("engine", ENGINES)
def test_it_learns(engine: str, tmp_path: Path) -> None:
    """Both engines learn what can be learned, write every file, and the model predicts as the test said."""
    data = small_data.dataset(140, 30, 40)
    seen: list[Any] = []
    out = tmp_path / "run"
    ended = layerline.train(
        layerline.parse(TEXT, data),
        data,
        engine=engine,
        epochs=6,
        batch_size=16,
        threads=2,
        out=out,
        on_epoch=seen.append,
    )
    assert ended.result.test_accuracy == 1.0
    assert ended.history[-1].train_loss < 0.5 * ended.history[0].train_loss
    assert tuple(seen) == ended.history
    assert [row.images_per_second * row.train_seconds for row in seen] == [pytest.approx(140)] * 6
    assert set(ended.files) == {path.name for path in out.iterdir()}
    lines = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert lines == [dataclasses.asdict(row) for row in ended.history]
    with np.load(out / "predictions.npz") as file:
        saved = dict(file)
    assert data.test is not None
    assert np.array_equal(ended.model.predict_proba(data.test.source.images[data.test.indices]), saved["probabilities"])


def test_the_engines_agree() -> None:
    """Compiled and torch go through the same images in the same order: after an epoch the figures are nearly equal."""
    data = small_data.dataset(140, 30, 40)
    one, other = (
        layerline.train(layerline.parse(TEXT, data), data, engine=engine, epochs=1, batch_size=16, momentum=0.5)
        for engine in ENGINES
    )
    # 9 steps of float32: issue 2 asks for weights within 1e-5 of each other after 20.
    assert one.history[0].train_loss == pytest.approx(other.history[0].train_loss, rel=1e-5)
    assert one.history[0].validation_loss == pytest.approx(other.history[0].validation_loss, rel=1e-5)


def test_equal_runs_give_equal_models(tmp_path: Path) -> None:
    """The same data, recipe and seed give the same model file, byte for byte, with one thread and with two."""
    data = small_data.dataset()
    for name, threads in (("a", 1), ("b", 2), ("c", 2)):
        ended = layerline.train(layerline.parse(TEXT, data), data, epochs=2, threads=threads)
        ended.model.save(tmp_path / name)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b == c


@pytest.mark.parametrize("engine", ENGINES)
def test_prediction_takes_images_as_they_come(engine: str) -> None:
    """N, H, W and N, H, W, C are the same images as N, C, H, W, as bytes and as floats; others are refused."""
    data = small_data.dataset()
    model = layerline.train(layerline.parse(TEXT, data), data, engine=engine, epochs=1).model
    images = data.train.source.images[:5]
    expected = model.predict_proba(images)
    assert expected.shape == (5, 3)
    np.testing.assert_allclose(expected.sum(1), 1, atol=3 * 2**-24)
    assert np.array_equal(model.predict_proba(images[:, 0]), expected)
    assert np.array_equal(model.predict_proba(images.transpose(0, 2, 3, 1), layout="NHWC"), expected)
    assert np.array_equal(model.predict_proba(images[:1]), expected[:1])
    assert model.predict_proba(images[:0]).shape == (0, 3)
    with pytest.raises(DataError, match=r"the network expects \(N, 1, 6, 6\)"):
        model.predict_proba(images[:, :, :5])
    assert np.array_equal(model.predict_proba(images.astype(np.float64)), expected)
    with pytest.raises(DataError, match="layout='HWC'"):
        model.predict_proba(images, layout="HWC")


def test_a_diverging_learning_rate_stops_both_engines() -> None:
    """A learning rate of 1e5 without a ReLU to die: both engines stop with the step and the likely cause."""
    data = small_data.dataset()
    for engine in ENGINES:
        with pytest.raises(DivergedError, match=r"step .* of epoch .*\n.*learning rate 1e.05 is probably too high"):
            layerline.train(
                layerline.parse("Conv 2 3\nConv 2 3\nFlat\nFC classes", data),
                data,
                engine=engine,
                epochs=20,
                batch_size=8,
                learning_rate=1e5,
            )


def test_unscaled_images_are_named_as_the_cause() -> None:
    """Where the images reach the network as 0 … 240, the advice is to normalize, not to lower the learning rate."""
    data = dataclasses.replace(small_data.dataset(), scaling=type(small_data.dataset().scaling)((1.0,), (0.0,)))
    with pytest.raises(DivergedError, match=r'values up to 2.* try normalize="standard"'):
        layerline.train(
            layerline.parse("Conv 2 3\nConv 2 3\nFlat\nFC classes", data), data, batch_size=8, learning_rate=100.0
        )


def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """A network for other images, an option that does not exist, a batch that BatchNorm cannot use, an old folder."""
    data = small_data.dataset()
    network = layerline.parse(TEXT, data)
    out = tmp_path / "run"
    other = layerline.parse(TEXT, input_shape=(1, 8, 8), classes=3)
    with pytest.raises(NetworkError, match="expects 1×8×8 images of 3 classes, but the data has 1×6×6 images"):
        layerline.train(other, data, out=out)
    with pytest.raises(RecipeError, match="did you mean epochs"):
        layerline.train(network, data, epoch=3, out=out)
    with pytest.raises(RecipeError, match="epochs=0"):
        layerline.train(network, data, epochs=0, out=out)
    flat = layerline.parse("Flat\nBatchNorm\nFC classes", data)
    for engine in ("torch", "compiled"):
        with pytest.raises(
            NetworkError, match=r"(?s)network:2.*batch of 70 images has only one image.*use batch_size=24"
        ):
            layerline.train(flat, data, engine=engine, batch_size=23, out=out)
    assert not out.exists()
    out.mkdir()
    with pytest.raises(UserError, match="already exists"):
        layerline.train(network, data, out=out)
    assert list(out.iterdir()) == []


def test_without_out_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training from Python leaves no file unless it is told where."""
    monkeypatch.chdir(tmp_path)
    data = small_data.dataset()
    ended = layerline.train(layerline.parse(TEXT, data), data, epochs=1)
    assert ended.folder is None
    assert list(tmp_path.iterdir()) == []
    assert "epoch 1" in repr(ended)
    with pytest.raises(UserError):
        ended.model.save(tmp_path / "missing" / "model.safetensors")


def test_progress_is_told_while_it_runs() -> None:
    """Progress arrives in order, its shares rise to the end, and speed and time left are positive."""
    data = small_data.dataset(300)
    seen: list[training.Progress] = []
    text = "Conv 32 5 1 2\nReLU\nConv 32 5 1 2\nReLU\nFlat\nFC classes\n"
    layerline.train(
        layerline.parse(text, data), data, engine="torch", threads=1, epochs=3, batch_size=2, on_progress=seen.append
    )
    running = [progress for progress in seen if progress.phase is training.Stage.TRAINING]
    shares = [progress.done for progress in running]
    assert len(running) >= 2
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] <= 1
    last = running[-1]
    assert last.images_per_second is not None
    assert last.images_per_second > 0
    assert last.seconds_left is not None
    assert last.seconds_left > 0


def test_a_model_is_loaded_as_it_was(tmp_path: Path) -> None:
    """`layerline.load` of the file, and of the run's folder, predicts the same bits; it names classes as `predict`."""
    data = small_data.dataset()
    out = tmp_path / "run"
    ended = layerline.train(layerline.parse(TEXT, data), data, Recipe(epochs=2), threads=1, out=out)
    images = data.test.source.images[data.test.indices] if data.test else np.zeros(0)
    expected = ended.model.predict_proba(images)
    for path in (out, out / "model.safetensors"):
        model = layerline.load(path)
        assert model.classes == data.classes
        assert model.preprocessing.maximum == data.train.source.maximum
        np.testing.assert_array_equal(model.predict_proba(images), expected)
        assert model.predict(images).tolist() == [data.classes[k] for k in expected.argmax(axis=1)]
