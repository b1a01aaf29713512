"""The scikit-learn estimator: what scikit-learn expects of it, and that it is layerline underneath, bit for bit."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import small_data
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import layerline
from layerline import Recipe
from layerline.data import scaling
from layerline.data.dataset import Dataset, ImageSet, Split
from layerline.engines.compiled import CompiledEngine
from layerline.errors import DivergedError
from layerline.numbers.randomness import epoch_order
from layerline.sklearn import ConvNetClassifier
from layerline.sklearn.classifier import RECIPE
from layerline.sklearn.course import Course
from layerline.sklearn.images import as_images

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from layerline.engines.epoch import Epoch

CNN = "Conv 3 3\nReLU\nBatchNorm\nPool 2\nFlat\nDropout 0.2\nFC classes\nSoftmax\n"
COLOR = (3, 6, 6)
WORDS = np.array(["ant", "bee", "cat"])


def images(n: int = 48, shape: tuple[int, int, int] = small_data.SHAPE) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 images (n, C, H, W) that can be told apart, and their labels 0, 1, 2."""
    found = small_data.images(n, shape=shape)
    return found.images, found.labels


def estimator(**parameters: Any) -> ConvNetClassifier:
    return ConvNetClassifier(**{"network": CNN, "epochs": 2, "batch_size": 10, "threads": 1} | parameters)


def weights(fitted: ConvNetClassifier) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in fitted.to_model().weights.items()}


@pytest.mark.smoke
@parametrize_with_checks([ConvNetClassifier(threads=1)])
def test_scikit_learn_s_own_checks(estimator: ConvNetClassifier, check: Callable[[Any], None]) -> None:
    """Every check that scikit-learn has for a classifier passes; none is excused."""
    check(estimator)


def python(code: str, **environment: str) -> str:
    """Run code in a process of its own, and return what it prints."""
    ran = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return ran.stdout


def test_the_check_that_needs_a_switch() -> None:
    """The one check that is skipped above, for other kinds of arrays, passes where SciPy is told to take them."""
    code = (
        "from layerline.sklearn import ConvNetClassifier\n"
        "from sklearn.utils.estimator_checks import estimator_checks_generator\n"
        "for estimator, check in estimator_checks_generator(ConvNetClassifier(threads=1)):\n"
        "    if check.func.__name__ == 'check_array_api_input':\n"
        "        check(estimator)\n"
        "        print('passes')\n"
    )
    assert python(code, SCIPY_ARRAY_API="1") == "passes\n"


@pytest.mark.parametrize("version", ["None", "types.ModuleType('sklearn.utils.validation')"])
def test_without_scikit_learn(version: str) -> None:
    """Where scikit-learn is not installed, or too old, the import says what to install."""
    code = (
        "import sys, types\n"
        f"sys.modules['sklearn.utils.validation'] = {version}\n"
        "sys.modules['sklearn'], sys.modules['sklearn.utils'] = types.ModuleType('a'), types.ModuleType('b')\n"
        "try:\n    import layerline.sklearn\n"
        "except ImportError as error:\n    print(error)\n"
    )
    expected = "layerline.sklearn needs scikit-learn 1.6 or newer\n  help: pip install 'scikit-learn>=1.6'\n"
    assert python(code) == expected


def test_a_fit_is_a_training() -> None:
    """`fit` gives the weights and the history of `layerline.train` with the same recipe, bit for bit."""
    X, y = images(shape=COLOR)
    source = ImageSet(X, y)
    all_of_it = Split(source, np.arange(len(y)))
    scaled = scaling.scaling(all_of_it, 255.0, "standard")
    data = Dataset("same", ("0", "1", "2"), all_of_it, None, None, scaled, "")
    recipe = Recipe(
        epochs=3, batch_size=10, learning_rate=0.02, optimizer="muon", momentum=0.8, augment="flip", seed=5, ema=0.9
    )
    run = layerline.train(layerline.parse(CNN, data), data, recipe, threads=1, live=False)
    seed, values = recipe.seed, {name: value for name, value in recipe.as_dict().items() if name in RECIPE}
    fitted = estimator(**values, random_state=seed).fit(X, y)
    assert weights(fitted) == {name: array.tobytes() for name, array in run.model.weights.items()}
    assert [row.train_loss for row in fitted.history_] == [row.train_loss for row in run.history]
    assert fitted.to_model().scaling == scaled


@pytest.mark.smoke
def test_the_model_says_the_same(tmp_path: Path) -> None:
    """Estimator, its model, and the estimator pickled or copied give the same probabilities, from bytes or floats."""
    X, y = images(shape=COLOR)
    fitted = estimator().fit(X, y)
    said = fitted.predict_proba(X)
    assert said.dtype == np.float32
    assert said.shape == (len(X), 3)
    others = (
        fitted.to_model().predict_proba(X),
        pickle.loads(pickle.dumps(fitted)).predict_proba(X),  # noqa: S301 - our own
        copy.deepcopy(fitted).predict_proba(X.astype(np.float64)),
    )
    for other in others:
        assert other.tobytes() == said.tobytes()
    fitted.save(tmp_path / "one.safetensors")
    fitted.to_model().save(tmp_path / "two.safetensors")
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()


@pytest.mark.parametrize("shape", [(1, 6, 6), COLOR])
def test_images_may_lie_in_every_order(shape: tuple[int, int, int]) -> None:
    """(N, C, H, W), (N, H, W, C), flat with input_shape, and (N, H, W) give the same weights and probabilities."""
    X, y = images(shape=shape)
    last, N = np.ascontiguousarray(X.transpose(0, 2, 3, 1)), len(X)
    forms: list[tuple[np.ndarray, dict[str, Any]]] = [
        (X, {}),
        (X.astype(np.float64), {"input_shape": shape}),
        (np.asfortranarray(X), {}),
        (last, {"layout": "NHWC"}),
        (X.reshape(N, -1), {"input_shape": shape}),
        (last.reshape(N, -1), {"input_shape": list(shape), "layout": "NHWC"}),
    ]
    if shape[0] == 1:
        forms.append((X[:, 0], {}))
    fits = [(estimator(**parameters).fit(form, y), form) for form, parameters in forms]
    expected, said = weights(fits[0][0]), fits[0][0].predict_proba(X).tobytes()
    for fitted, form in fits:
        assert weights(fitted) == expected
        assert fitted.predict_proba(form).tobytes() == said
        assert fitted.n_features_in_ == np.prod(shape)
        assert fitted.network_.input_shape == shape


def test_who_was_trained_on_images_takes_them_flat() -> None:
    """An estimator that was trained on (N, C, H, W) predicts flat images of as many values, and refuses others."""
    X, y = images(shape=COLOR)
    fitted = estimator().fit(X, y)
    assert fitted.predict_proba(X.reshape(len(X), -1)).tobytes() == fitted.predict_proba(X).tobytes()
    with pytest.raises(ValueError, match="X has 54 features, but ConvNetClassifier is expecting 108"):
        fitted.predict(X.reshape(2 * len(X), -1))


def test_columns_are_channels_of_one_pixel() -> None:
    """The default network on (N, d) has d channels of 1×1, each scaled by itself, 32 units, and an output a class."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    X = rng.normal(size=(60, 4)) * [1, 1e3, 1e-3, 1] + [0, 5e3, 0, 1]
    X[:, 3] = 1.0  # a constant column
    X[:, 1] += 4e3 * y
    fitted = ConvNetClassifier(threads=1).fit(X, y)
    assert fitted.network_.input_shape == (4, 1, 1)
    assert [node.layer.kind for node in fitted.network_.nodes] == ["flat", "fc", "relu", "fc", "softmax"]
    shapes = {name: array.shape for name, array in fitted.to_model().weights.items()}
    assert shapes == {"1.weight": (32, 4), "1.bias": (32,), "3.weight": (3, 32), "3.bias": (3,)}
    assert fitted.score(X, y) > 0.9
    scaled = fitted.to_model().scaling.apply(X.astype(np.float32)[:, :, None, None])[:, :, 0, 0]
    assert np.allclose(scaled[:, :3].mean(axis=0), 0, atol=1e-5)
    assert np.allclose(scaled[:, :3].std(axis=0), 1, atol=1e-5)
    assert np.abs(scaled[:, 3]).max() < 1e-5


@pytest.mark.parametrize(
    ("values", "dtype", "divisor"),
    [
        ((0, 90), np.uint8, 255),
        ((0, 1), np.float32, 1),
        ((-3, 7), np.float64, 1),
        ((0, 16), int, 16),
        ((0, 200), int, 255),
    ],
)
def test_the_largest_value(values: tuple[int, int], dtype: str, divisor: float) -> None:
    """normalize="max" divides bytes by 255, and others by what an .npz file's would be divided by."""
    X = np.linspace(*values, 40).round().astype(dtype).reshape(10, 4)
    fitted = estimator(network=None, normalize="max").fit(X, np.arange(10) % 2)
    assert fitted.to_model().scaling.scale == (1 / divisor,) * 4
    assert fitted.to_model().scaling.shift == (0.0,) * 4


def test_bytes_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Contiguous uint8 and float32 images are trained on where they lie, also flat ones, also cut for validation."""
    taken: list[np.ndarray] = []
    monkeypatch.setattr(
        Course, "fitted", lambda self, train, held: taken.extend([train.source.images, held.source.images]) or self
    )
    X, y = images()
    for form in (X, X[:, 0], X.astype(np.float32)):
        estimator(validation_fraction=0.25).fit(form, y)
        estimator(input_shape=small_data.SHAPE).partial_fit(form.reshape(len(X), -1), y, [0, 1, 2])
        assert len(taken) == 2
        assert all(np.shares_memory(array, form) for array in taken)
        taken.clear()
    assert np.shares_memory(as_images(X.reshape(len(X), -1), "NHWC", (3, 3, 4)), X)


def test_doubles_are_rounded_first() -> None:
    """float64 is rounded to float32, to the nearest, before anything is worked out from it."""
    rng = np.random.default_rng(3)
    X, y = rng.normal(1e4, 1, (40, 5)), np.arange(40) % 2
    one, two = (estimator(network=None).fit(form, y) for form in (X, X.astype(np.float32)))
    assert weights(one) == weights(two)
    assert one.to_model().scaling == two.to_model().scaling


def test_labels_of_every_kind() -> None:
    """Words, numbers with gaps, booleans and objects come back as they were given, in sorted order."""
    X, y = images()
    kinds = (WORDS[y], np.array([10, -3, 7])[y], np.array([1.0, 2.0, 5.0])[y], WORDS.astype(object)[y], y == 1)
    for labels in kinds:
        fitted = estimator(epochs=12).fit(X, labels)
        assert fitted.classes_.tolist() == sorted(set(labels.tolist()))
        assert fitted.predict(X).dtype == labels.dtype
        assert fitted.score(X, labels) > 0.9
        assert fitted.to_model().classes == tuple(str(label) for label in sorted(set(labels.tolist())))


@pytest.mark.smoke
def test_the_usual_company() -> None:
    """It works in a Pipeline, in cross_val_score and in GridSearchCV, whose NumPy numbers it takes, and in copies."""
    X, y = images(60)
    flat = X.reshape(len(X), -1)
    pipeline = make_pipeline(StandardScaler(), estimator(input_shape=(1, 6, 6), epochs=10))
    assert pipeline.fit(flat, WORDS[y]).score(flat, WORDS[y]) > 0.9
    scores = cross_val_score(estimator(epochs=10), X, y, cv=3)
    assert scores.min() > 0.8
    grid = {"learning_rate": np.array([1e-5, 0.02]), "batch_size": np.array([8, 16]), "nesterov": np.array([False])}
    search = GridSearchCV(estimator(epochs=6), grid, cv=2, n_jobs=1, error_score="raise").fit(X, y)
    assert search.best_params_["learning_rate"] == 0.02
    assert search.best_estimator_.predict(X).shape == (60,)


def test_a_clone_is_not_fitted() -> None:
    """`clone` copies the parameters of a fitted estimator and nothing else; both can be fitted on."""
    X, y = images()
    fitted = estimator(random_state=3).fit(X, y)
    other = clone(fitted)
    assert other.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        other.predict(X)
    assert weights(other.fit(X, y)) == weights(fitted)


def test_the_seed() -> None:
    """random_state decides the weights; a RandomState draws one, and None another each time."""
    X, y = images()
    seeds = [0, 1, 2**64 - 1, np.int64(1), np.random.RandomState(0), np.random.RandomState(0), None, None]
    a, b, c, b_again, d, d_again, e, f = (weights(estimator(random_state=seed).fit(X, y)) for seed in seeds)
    assert b == b_again
    assert d == d_again
    distinct = {pickle.dumps(found) for found in (a, b, c, d, e, f)}
    assert len(distinct) == 6


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_partial_fit_goes_on(optimizer: str) -> None:
    """Calls of partial_fit on all images are the epochs of one fit at a constant rate, bit for bit."""
    X, y = images()
    whole = estimator(optimizer=optimizer, schedule="constant", epochs=3).fit(X, y)
    parts = estimator(optimizer=optimizer)
    for _ in range(3):
        assert parts.partial_fit(X, y, classes=[0, 1, 2]) is parts
    assert weights(parts) == weights(whole)
    assert [row.train_loss for row in parts.history_] == [row.train_loss for row in whole.history_]
    assert [row.epoch for row in parts.history_] == [1, 2, 3]


@pytest.mark.smoke
def test_partial_fit_after_fit_and_after_pickling() -> None:
    """fit, then partial_fit, is one fit; and an estimator that was pickled goes on with the same bits."""
    X, y = images()
    whole = estimator(schedule="constant", epochs=4).fit(X, y)
    begun = estimator(schedule="constant", epochs=2).fit(X, y).partial_fit(X, y)
    assert weights(pickle.loads(pickle.dumps(begun)).partial_fit(X, y)) == weights(whole)  # noqa: S301 - our own
    twice = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(begun))))  # noqa: S301
    assert weights(twice.partial_fit(X, y)) == weights(whole)
    assert weights(begun.partial_fit(X, y)) == weights(whole)
    assert weights(begun.fit(X, y)) == weights(estimator(schedule="constant", epochs=2).fit(X, y))


def adamw(X: np.ndarray, y: np.ndarray, calls: list[tuple[slice, float]], start: dict[str, np.ndarray]) -> np.ndarray:
    """Return the weights (K, d) of softmax regression without bias after AdamW's steps, in float64, by its formulas."""
    w = start["1.weight"].astype(np.float64)
    m, s, t = np.zeros_like(w), np.zeros_like(w), 0
    for epoch, (part, rate) in enumerate(calls, start=1):
        order = epoch_order(0, epoch, np.arange(part.stop - part.start))
        for first in range(0, len(order), 10):
            x, truth = X[part][order[first : first + 10]], y[part][order[first : first + 10]]
            z = np.exp(x @ w.T)
            g = (z / z.sum(axis=1, keepdims=True) - np.eye(3)[truth]).T @ x / len(x)
            m, s, t = 0.9 * m + 0.1 * g, 0.999 * s + 0.001 * g * g, t + 1
            w = w - rate * (m / (1 - 0.9**t)) / (np.sqrt(s / (1 - 0.999**t)) + 1e-8)
    return w


def test_partial_fit_counts_steps() -> None:
    """Calls of different sizes and rates are AdamW's steps, one behind the other: against its formulas in float64."""
    rng = np.random.default_rng(1)
    y = np.arange(70) % 3
    X = (rng.normal(size=(70, 4)) + y[:, None]).astype(np.float32)
    calls = [(slice(0, 50), 0.03), (slice(50, 58), 0.02), (slice(58, 70), 0.01)]
    fitted = estimator(network="Flat\nFC classes bias=no\n", normalize="max")
    network = layerline.parse("Flat\nFC classes bias=no\n", input_shape=(4, 1, 1), classes=3)
    for part, rate in calls:
        fitted.set_params(learning_rate=rate).partial_fit(X[part], y[part], [0, 1, 2])
    expected = adamw(X.astype(np.float64), y, calls, layerline.network.initial_weights(network, 0))
    # 8 steps of at most 0.03 each: float32 rounds every step, and its gradient's 10 terms, by some 2⁻²⁴ of about 1.
    assert np.abs(fitted.to_model().weights["1.weight"] - expected).max() < 8 * 20 * 2.0**-24
    assert [row.learning_rate for row in fitted.history_] == [0.03, 0.02, 0.01]


def test_what_fails_leaves_the_estimator_as_it_was() -> None:
    """A call that diverges, or that is refused, changes neither predictions nor what comes next."""
    X, y = images()
    fitted = estimator(optimizer="sgd").partial_fit(X, y, [0, 1, 2])
    other, before = copy.deepcopy(fitted), weights(fitted)
    with pytest.raises(DivergedError, match=r"at step [0-9]+ of epoch 2\n.*try learning_rate=0\.02"):
        fitted.set_params(learning_rate=1e6).partial_fit(X.astype(np.float32), y)
    with pytest.raises(ValueError, match="y has 3, but the classes are 0, 1, 2"):
        fitted.partial_fit(X, y + 1)
    assert weights(fitted) == before
    assert len(fitted.history_) == 1
    with pytest.raises(ValueError, match="kernel is larger"):
        fitted.fit(X.reshape(len(X), -1)[:, :20], y)  # which would have been taken as 20 channels
    assert fitted.n_features_in_ == 36
    fitted.set_params(learning_rate=0.01).partial_fit(X, y)
    assert weights(fitted) == weights(other.partial_fit(X, y))


def test_validation_tells_the_best_epoch() -> None:
    """With validation_fraction, a part of each class is held back, the history has its figures, patience ends it."""
    X, y = images(60)
    cut: list[Split] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Course, "fitted", lambda self, train, held: cut.extend([train, held]) or self)
        estimator(validation_fraction=0.2).fit(X, y)
    train, held = cut
    assert np.bincount(held.labels).tolist() == [4, 4, 4]
    assert sorted([*train.indices, *held.indices]) == list(range(60))
    fitted = estimator(validation_fraction=0.2, epochs=60, patience=3, learning_rate=0.05).fit(X, y)
    rows = fitted.history_
    assert len(rows) < 60
    assert all(row.validation_loss is not None for row in rows)
    best = min(rows, key=lambda row: row.validation_loss)
    assert rows[-1].epoch == best.epoch + 3
    assert estimator().fit(X, y).history_[-1].validation_loss is None


def test_ctrl_c_ends_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in a fit, and in partial_fit, is a KeyboardInterrupt after the running step; nothing is half fitted."""
    X, y = images(240)
    endless, begun = estimator(epochs=1_000_000), estimator(batch_size=1).partial_fit(X, y, [0, 1, 2])
    before, train, steps = weights(begun), CompiledEngine.train, []

    def interrupted(engine: CompiledEngine, epoch: Epoch, first: int) -> int:
        signal.raise_signal(signal.SIGINT)
        steps.append(train(engine, epoch, first))
        return steps[-1]

    monkeypatch.setattr(CompiledEngine, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        endless.fit(X, y)
    assert not hasattr(endless, "classes_")
    with pytest.raises(KeyboardInterrupt):
        begun.partial_fit(X, y)
    assert weights(begun) == before
    assert steps[-1] == 1


def test_messages(golden: Callable[[str, str], None]) -> None:
    """What is wrong with parameters, X or y is a ValueError, in the words of layerline with the parameters' names."""
    X, y = images()
    flat = X.reshape(len(X), -1)
    said = []

    def ask(title: str, X: Any = X, y: Any = y, **parameters: Any) -> None:
        with pytest.raises(ValueError) as caught:  # noqa: PT011 - the words are in the golden file
            estimator(**parameters).fit(X, y)
        said.append(f"--- {title}\n{caught.value}")

    ask("epochs", epochs=0)
    ask("batch size", batch_size=2.5)
    ask("optimizer", optimizer="rmsprop")
    ask("nesterov", nesterov=True)
    ask("seed", random_state=-1)
    ask("patience", patience=3)
    ask("threads", threads=0)
    ask("engine", engine="numpy")
    ask("normalize", normalize="minmax")
    ask("layout", layout="CHW")
    ask("input_shape", input_shape=36)
    ask("input_shape of images", input_shape=(1, 5, 5))
    ask("input_shape of flat X", flat, input_shape=(1, 5, 5))
    ask("flat X without input_shape", flat)
    ask("five dimensions", X[:, None])
    ask("empty images", X[:, :, :0])
    ask("network", network="Conv 3 9\nFlat\nFC 4\n")
    ask("preset", network="lenet")
    ask("outputs", flat, network="Flat\nFC 4\n")
    ask("validation", validation_fraction=1.5)
    ask("validation of few", X[:4], y[:4], validation_fraction=0.5)
    ask("one class", y=np.zeros(48))
    ask("masked values", np.ma.MaskedArray(X, X > 230))
    ask("labels that look alike", y=np.array(["caf\u00e9", "cafe\u0301", "tea"])[y])
    ask("one image in the last batch", X[:41], y[:41], network="Flat\nFC 4\nBatchNorm\nFC classes\n")
    for title, call in {
        "partial_fit without classes": lambda: estimator().partial_fit(X, y),
        "partial_fit with another label": lambda: estimator().partial_fit(X, y, [0, 1]),
        "partial_fit with other classes": lambda: estimator().partial_fit(X, y, [0, 1, 2]).partial_fit(X, y, [0, 1]),
        "partial_fit with other images": lambda: estimator().partial_fit(X, y, [0, 1, 2]).partial_fit(X[..., :5], y),
        "predict other images": lambda: estimator().fit(X, y).predict(X[..., :5]),
        "predict before fit": lambda: estimator().predict(X),
        "save": lambda: estimator().fit(X, y).save("/nowhere/model.safetensors"),
    }.items():
        with pytest.raises(ValueError) as caught:  # noqa: PT011 - as above
            call()
        said.append(f"--- {title}\n{caught.value}")
    golden("sklearn.txt", "\n".join(said))
