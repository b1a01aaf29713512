"""A few images are predicted with memory that is kept, by the model and by its predictor: the same bits, warnings and
errors as for many images, in every thread and signal handler."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import layerline
from layerline import ImagesWarning
from layerline.data.checking.brightness import Brightness
from layerline.data.dataset import Scaling
from layerline.engines import predictor as engine_predictor
from layerline.engines.compiled import CompiledEngine
from layerline.engines.desk import Desk
from layerline.errors import DataError
from layerline.network import initial_weights
from layerline.runs.model_file import Preprocessing
from layerline.training import Model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from layerline.training.image_predictor import ImagePredictor

NET = "Conv 5 3 1 1\nBatchNorm\nReLU\nPool 2\nConv 7 3\nReLU\nFlat\nFC classes\n"
SHAPE = (3, 9, 8)
IMAGES = np.random.default_rng(5).integers(0, 256, (40, *SHAPE), dtype=np.uint8)
PLAIN = Brightness((0.5,) * 3, (0.3,) * 3, 0.1, 0.0, 1.0)


def model(
    *, maximum: float = 255.0, seen: Brightness | None = PLAIN, engine: str = "compiled", shape: Any = SHAPE
) -> Model:
    network = layerline.parse(NET, input_shape=shape, classes=4)
    scaling = Scaling((1 / maximum,) * shape[0], (-0.5,) * shape[0])
    preprocessing = Preprocessing(maximum=maximum, seen=seen)
    weights = initial_weights(network, 0)
    return Model(network, ("a", "b", "c", "d"), scaling, weights, preprocessing=preprocessing, engine=engine)


def together(subject: Model, images: NDArray[Any]) -> NDArray[np.float32]:
    """Return the probabilities of a call for more images than are few, so without a desk."""
    most = max(each.predictor.few for each in subject.engine_with_weights()._weighed.values())  # type: ignore[attr-defined]
    times = most // len(images) + 1
    return subject.probabilities(np.concatenate([images] * times))[: len(images)]


@pytest.fixture(params=["model", "predictor"])
def way(request: pytest.FixtureRequest) -> str:
    """Whose method is called."""
    return str(request.param)


def caller(subject: Model, way: str) -> Model | ImagePredictor:
    return subject if way == "model" else subject.predictor()


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
@pytest.mark.parametrize("last", [False, True])
def test_one_image_has_the_bits_of_many(way: str, kind: type, last: bool) -> None:
    """Images alone and in small groups, in both memory layouts, have the bits of a large batch, also if the machine
    code was compiled for the other layout."""
    images = IMAGES.astype(kind)
    stored = np.ascontiguousarray(images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) if last else images
    for first in (images, stored):
        subject = model()
        asked = caller(subject, way)
        subject.probabilities(first[:1])
        expected = together(subject, stored)
        for n in (1, 3, len(images)):
            found = [asked.predict_proba(stored[k : k + n]) for k in range(0, len(images), n)]
            np.testing.assert_array_equal(np.concatenate(found), expected)
        for k in (0, 7):
            np.testing.assert_array_equal(asked.predict_proba(stored[k]), expected[k : k + 1])
            np.testing.assert_array_equal(asked.predict_proba(stored[k].transpose(1, 2, 0)), expected[k : k + 1])
            np.testing.assert_array_equal(asked.predict_proba(stored[k : k + 1, :, ::-1][:, :, ::-1]), expected[k:][:1])
            named = asked.predict_proba(stored[k : k + 1].transpose(0, 2, 3, 1), "NHWC")
            np.testing.assert_array_equal(named, expected[k : k + 1])
        assert asked.predict(stored[:5]).tolist() == [subject.classes[k] for k in expected[:5].argmax(axis=1)]


def test_gray_images_without_channels(way: str) -> None:
    """With one channel, (N, H, W) and (H, W) are the same images."""
    subject = model(shape=(1, 9, 8), seen=None)
    asked, images = caller(subject, way), IMAGES[:, 1]
    expected = subject.probabilities(IMAGES[:, 1:2].copy())
    for found in (
        asked.predict_proba(images[3]),
        asked.predict_proba(images[3:4]),
        asked.predict_proba(images[3:4, None]),
    ):
        np.testing.assert_array_equal(found, expected[3:4])
    np.testing.assert_array_equal(asked.predict_proba(images[:5]), expected[:5])


def test_results_stay(way: str) -> None:
    """A result is the caller's: the next call does not write to it."""
    asked = caller(model(), way)
    first = asked.predict_proba(IMAGES[:1])
    kept = first.copy()
    asked.predict_proba(IMAGES[1:2])
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize(
    ("images", "maximum", "seen", "message"),
    [
        (IMAGES[:1] * 0, 255.0, PLAIN, "much darker"),
        (IMAGES[:1], 1.0, None, "multiplied them by 1/255$"),
        (IMAGES[:1] / np.float32(255), 255.0, None, "multiplied them by 255$"),
        (IMAGES[:1].astype(np.uint16) * 257, 255.0, None, "multiplied them by 1/257$"),
    ],
)
def test_warnings_at_the_caller_s_line(
    way: str, images: NDArray[Any], maximum: float, seen: Brightness | None, message: str
) -> None:
    """Values on another scale, and an image unlike the training images, are reported at every call, at its line."""
    subject = model(maximum=maximum, seen=seen)
    asked, found = caller(subject, way), []
    for _ in range(2):
        with pytest.warns(ImagesWarning, match=message) as caught:
            found.append(asked.predict_proba(images))
        assert [Path(each.filename).name for each in caught] == ["test_image_predictor.py"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = subject.predict_proba(np.concatenate([images] * 300))[:1]
    for each in found:
        np.testing.assert_array_equal(each, expected)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.full((1, *SHAPE), np.nan, np.float32), r"found 216 NaN or infinite values \(first: image 0\)"),
        (np.stack([IMAGES[0] * np.float32(1), np.full(SHAPE, np.inf, np.float32)]), r"216 .*\(first: image 1\)"),
        (np.full((9, 8, 3), np.nan, np.float32), r"216 .*\(first: image 0\)"),
        (IMAGES[:1] / np.float32(255) * 2 - 1, "undo the normalization"),
        (IMAGES[:1, :, :5], r"the network expects \(N, 3, 9, 8\)"),
        (IMAGES[:1].astype("S"), "expects|expected numbers"),
        (IMAGES[:1].astype(np.complex64), "have the type complex64, expected numbers"),
    ],
)
def test_errors_are_those_of_many_images(way: str, images: NDArray[Any], message: str) -> None:
    """What is refused among many images is refused alone, before and after an image that is not."""
    asked = caller(model(), way)
    with pytest.raises(DataError, match=message):
        asked.predict_proba(images)
    expected = asked.predict_proba(IMAGES[:1])
    with pytest.raises(DataError, match=message):
        asked.predict_proba(images)
    np.testing.assert_array_equal(asked.predict_proba(IMAGES[:1]), expected)


def test_everything_else_goes_to_the_model(tmp_path: Path) -> None:
    """Lists, no image at all, other types, many images and files: the predictor returns what the model does."""
    from PIL import Image

    file = tmp_path / "a.png"
    Image.fromarray(IMAGES[0].transpose(1, 2, 0)).save(file)
    subject = model()
    asked = subject.predictor()
    for images in (IMAGES[:2].tolist(), IMAGES[:0], IMAGES[:2].astype(np.float64), np.concatenate([IMAGES] * 20), file):
        np.testing.assert_array_equal(asked.predict_proba(images), subject.predict_proba(images))


def test_the_torch_engine_has_one_too() -> None:
    """With engine="torch" a predictor gives the bits of the model."""
    subject = model(engine="torch")
    asked = subject.predictor()
    for _ in range(2):
        np.testing.assert_array_equal(asked.predict_proba(IMAGES[:1]), subject.predict_proba(IMAGES[:1]))


def test_threads_that_share_a_predictor() -> None:
    """Eight threads that use one predictor, switching all the time, each get their own images' bits."""
    subject = model()
    expected = subject.predict_proba(IMAGES)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        asked, barrier = subject.predictor(), threading.Barrier(8)

        def ask(k: int) -> bool:
            barrier.wait()
            found = [asked.predict_proba(IMAGES[k : k + 1]) for _ in range(200)]
            return all(np.array_equal(each, expected[k : k + 1]) for each in found)

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(ask, range(8)))
    finally:
        sys.setswitchinterval(interval)


class InTheMiddle:
    """Machine code that sends this process a signal before it returns, once."""

    def __init__(self, function: Any, number: int) -> None:
        self.function, self.number, self.sent = function, number, False

    def __call__(self, *arguments: Any) -> None:
        if not self.sent:
            self.sent = True
            os.kill(os.getpid(), self.number)
        self.function(*arguments)


class TooLateError(Exception):
    """What the handler of an alarm raises."""


@pytest.fixture
def handled() -> Iterator[list[Any]]:
    """Return a list: what is put into it is called by the handler of SIGUSR1."""
    todo: list[Any] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: todo[0]())
    yield todo
    signal.signal(signal.SIGUSR1, before)


def interrupted(subject: Model) -> InTheMiddle:
    """Let the next call of machine code be interrupted."""
    (weighed,) = subject.engine_with_weights()._weighed.values()  # type: ignore[attr-defined]
    weighed.predictor.function = InTheMiddle(weighed.predictor.function, signal.SIGUSR1)
    return weighed.predictor.function


def test_a_handler_that_predicts(way: str, handled: list[Any]) -> None:
    """A signal handler that uses the model or predictor in the middle of its call gets its own image's bits, and the
    call gets its own."""
    subject = model()
    asked, expected, found = caller(subject, way), subject.predict_proba(IMAGES), []
    asked.predict_proba(IMAGES[:1])
    handled.append(lambda: found.append(asked.predict_proba(IMAGES[1:2])))
    interrupted(subject)
    np.testing.assert_array_equal(asked.predict_proba(IMAGES[:1]), expected[:1])
    np.testing.assert_array_equal(found, [expected[1:2]])


def test_a_handler_that_raises(way: str, handled: list[Any]) -> None:
    """An exception in the middle of a call costs its result only: the next call is right."""
    subject = model()
    asked, expected = caller(subject, way), subject.predict_proba(IMAGES)
    asked.predict_proba(IMAGES[:1])

    def too_late() -> None:
        raise TooLateError

    handled.append(too_late)
    interrupted(subject)
    with pytest.raises(TooLateError):
        asked.predict_proba(IMAGES[:1])
    np.testing.assert_array_equal(asked.predict_proba(IMAGES[1:2]), expected[1:2])


def test_memory_is_reused_and_bounded() -> None:
    """A loop makes one desk, and a desk for large images has memory for few of them, whatever the network costs."""
    made: list[Desk] = []
    before = Desk.__init__

    def counted(self: Desk, *arguments: Any) -> None:
        made.append(self)
        before(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Desk, "__init__", counted)
        subject = model()
        asked = subject.predictor()
        for k in range(10):
            subject.predict_proba(IMAGES[k : k + 1])
            asked.predict_proba(IMAGES[k : k + 1])
        assert len(made) == 2  # the predictor's own takes that of the model's first call
    cheap = layerline.parse("Pool 100\nFlat\nFC classes\n", input_shape=(3, 400, 400), classes=2)
    desk = Model(cheap, ("a", "b"), Scaling((1.0,) * 3, (0.0,) * 3), initial_weights(cheap, 0)).engine_with_weights()
    found = desk.desk(np.zeros((1, 3, 400, 400), np.float32))
    assert found is not None
    assert found.images.nbytes <= engine_predictor.FEW // 4


def test_machine_code_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller that alternates between bytes and floats compiles for each once; a few images in the other memory layout
    need no machine code of their own."""
    subject = model()
    for kind in (np.uint8, np.float32):
        subject.predict_proba(IMAGES[:1].astype(kind))
    monkeypatch.setattr(CompiledEngine, "_code_for", None)
    for kind in (np.uint8, np.float32):
        image = IMAGES[0].astype(kind)
        for stored in (image, np.ascontiguousarray(image.transpose(1, 2, 0))):
            for way in ("model", "predictor"):
                caller(subject, way).predict_proba(stored)
