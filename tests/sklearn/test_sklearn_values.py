"""The estimator and the values it is given: parameters of NumPy's, changed after a fit; masked X; labels alike."""

from __future__ import annotations

import inspect
import pickle
import unicodedata
from typing import Any

import numpy as np
import pytest
import small_data

from layerline.sklearn import ConvNetClassifier

CNN = "Conv 3 3\nReLU\nFlat\nFC classes\nSoftmax\n"
SHAPE = (3, 3, 3)
OTHER: dict[str, Any] = {
    "network": "Flat\nFC 5\nFC classes\n",
    "input_shape": (1, 9, 3),
    "layout": "NHWC",
    "normalize": "max",
    "validation_fraction": 0.25,
    "epochs": 1,
    "within": "1s",
    "best": "macro_f1",
    "patience": 1,
    "batch_size": 7,
    "learning_rate": 0.5,
    "schedule": "constant",
    "warmup": 0.5,
    "step_epochs": 1.0,
    "step_factor": 0.5,
    "optimizer": "sgd",
    "momentum": 0.5,
    "nesterov": True,
    "beta1": 0.5,
    "beta2": 0.5,
    "eps": 0.125,
    "weight_decay": 0.5,
    "decay": "weights",
    "clip_norm": 0.5,
    "ema": 0.5,
    "label_smoothing": 0.5,
    "class_weights": "balanced",
    "augment": "flip",
    "init": "he",
    "exact": True,
    "random_state": 3,
    "engine": "torch",
    "threads": 2,
}
"""Another value of every parameter."""
COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


def images(n: int = 30) -> tuple[np.ndarray, np.ndarray]:
    found = small_data.images(n, shape=SHAPE)
    return found.images, found.labels


def estimator(**parameters: Any) -> ConvNetClassifier:
    given = {"network": CNN, "input_shape": SHAPE, "layout": "NCHW", "epochs": 2, "batch_size": 10, "threads": 1}
    return ConvNetClassifier(**given | parameters)


def test_there_is_another_value_of_every_parameter() -> None:
    """The table above leaves no parameter out, and repeats no value."""
    parameters = estimator().get_params()
    assert OTHER.keys() == inspect.signature(ConvNetClassifier).parameters.keys() == parameters.keys()
    assert all(OTHER[name] != value for name, value in parameters.items())


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("flat", [True, False])
def test_what_is_set_after_a_fit_changes_no_prediction(layout: str, flat: bool) -> None:
    """Every parameter may be set to another value after `fit`: predict_proba says the same, bit for bit."""
    X, y = images()
    X = X.transpose(0, 2, 3, 1) if layout == "NHWC" else X
    X = np.ascontiguousarray(X).reshape(len(X), -1) if flat else X
    fitted = estimator(layout=layout).fit(X, y)
    said = fitted.predict_proba(X).tobytes()
    other = OTHER | {"layout": "NCHW" if layout == "NHWC" else "NHWC"}
    for name, value in other.items():
        fitted.set_params(**{name: value})
        assert fitted.predict_proba(X).tobytes() == said, name
    assert pickle.loads(pickle.dumps(fitted)).predict_proba(X).tobytes() == said  # noqa: S301 - our own


def test_partial_fit_reads_its_rate_and_no_other_parameter() -> None:
    """All parameters are those of the first call, the layout of flat X among them; only the rate may change."""
    X, y = images()
    flat = X.reshape(len(X), -1)
    kept = pickle.dumps(estimator().partial_fit(flat, y, classes=[0, 1, 2]))
    expected = pickle.loads(kept).partial_fit(flat, y).predict_proba(flat).tobytes()  # noqa: S301 - our own
    for name, value in OTHER.items():
        again = pickle.loads(kept).set_params(**{name: value}).partial_fit(flat, y)  # noqa: S301 - our own
        same = again.predict_proba(flat).tobytes() == expected
        assert same == (name != "learning_rate"), name


def test_the_next_fit_reads_all_again() -> None:
    """`fit` begins anew: the layout is then the one that is set."""
    X, y = images()
    last = np.ascontiguousarray(X.transpose(0, 2, 3, 1)).reshape(len(X), -1)
    first = estimator().fit(X.reshape(len(X), -1), y)
    said = first.predict_proba(X).tobytes()
    assert first.layout_ == "NCHW"
    again = first.set_params(layout="NHWC").fit(last, y)
    assert again.layout_ == "NHWC"
    assert again.predict_proba(last).tobytes() == said
    with pytest.raises(ValueError, match="layout='HWC'"):
        again.set_params(layout="HWC").fit(last, y)
    assert again.predict_proba(last).tobytes() == said


def test_parameters_may_be_numpy_s() -> None:
    """Parameters out of a grid of NumPy's give the weights of the plain ones, bit for bit."""
    X, y = images()
    given: dict[str, Any] = {
        "epochs": 2,
        "batch_size": 8,
        "learning_rate": 0.125,
        "optimizer": "sgd",
        "nesterov": True,
        "momentum": 0.5,
        "weight_decay": 0.25,
        "clip_norm": 0.5,
        "class_weights": (0.5, 1.0, 2.0),
        "validation_fraction": 0.25,
        "patience": 2,
        "random_state": 3,
        "threads": 1,
        "input_shape": (3, 3, 3),
        "layout": "NCHW",
        "normalize": "max",
    }
    expected = estimator(**given).fit(X, y).predict_proba(X).tobytes()
    for form in (lambda value: np.array(value)[()], np.array):
        found = estimator(**{name: form(value) for name, value in given.items()}).fit(X, y)
        assert found.predict_proba(X).tobytes() == expected
        assert type(found.layout_) is str
    for name in ("epochs", "learning_rate", "validation_fraction", "random_state", "threads"):
        with pytest.raises(ValueError, match=f"^{name}=True"):
            estimator(**{name: np.bool_(True)}).fit(X, y)
    with pytest.raises(ValueError, match="must be three whole numbers"):
        estimator(input_shape=(True, 9, 3)).fit(X, y)


def test_masked_values_are_refused() -> None:
    """X or y with masked values is a ValueError in every method; masked arrays without any are their data."""
    X, y = images()
    fitted = estimator().fit(np.ma.MaskedArray(X), np.ma.MaskedArray(y))
    said = fitted.predict_proba(X)
    np.testing.assert_array_equal(fitted.predict_proba(np.ma.MaskedArray(X, np.zeros(X.shape, bool))), said)
    holes = np.ma.MaskedArray(X, np.zeros(X.shape, bool))
    holes[2, 0, 0, 0] = np.ma.masked
    flat = holes.reshape(len(X), -1)
    labels = np.ma.MaskedArray(y, y == 1)
    for call in (
        lambda: estimator().fit(holes, y),
        lambda: estimator().partial_fit(flat, y, classes=[0, 1, 2]),
        lambda: fitted.predict(holes),
        lambda: fitted.predict_proba(flat),
    ):
        with pytest.raises(ValueError, match=r"^X: found 1 masked value, expected no missing values\n.*filled\(0\)"):
            call()
    with pytest.raises(ValueError, match=r"^y: found 10 masked values"):
        estimator().fit(X, labels)
    assert fitted.predict_proba(X).tobytes() == said.tobytes()


def test_labels_that_look_alike_are_refused() -> None:
    """é as one letter and as e with an accent are two texts that nobody can tell apart: in y, and in classes."""
    assert COMPOSED != DECOMPOSED
    X, _ = images()
    two = np.array([COMPOSED, DECOMPOSED, "tea"] * 10)
    one = np.array([DECOMPOSED, "milk", "tea"] * 10)
    words = r"found two labels that look the same, 'cafe\u0301' and 'caf\xe9': normalize them"
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the words are below
        estimator().fit(X, two)
    assert str(caught.value).startswith(words)
    with pytest.raises(ValueError, match="look the same"):
        estimator().partial_fit(X, one, classes=["milk", "tea", COMPOSED])
    with pytest.raises(ValueError, match="look the same"):
        estimator().partial_fit(X, one, classes=["milk", "tea", COMPOSED, DECOMPOSED])


def test_labels_stay_as_they_are() -> None:
    """The estimator says the labels as they were given; the names of its model are composed, as those of folders."""
    X, _ = images()
    y = np.array([DECOMPOSED, "milk", "tea"] * 10)
    fitted = estimator(epochs=20).fit(X, y)
    assert list(fitted.classes_) == [DECOMPOSED, "milk", "tea"]
    assert set(fitted.predict(X)) <= set(y)
    assert fitted.score(X, y) > 0.5
    assert fitted.to_model().classes == (COMPOSED, "milk", "tea")
