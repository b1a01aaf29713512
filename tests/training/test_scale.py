"""Arrays come to the scale of the training where there is no doubt how, and are refused where there is."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import small_data

import layerline
from layerline import ImagesWarning
from layerline.data.checking.brightness import Brightness
from layerline.data.dataset import Scaling
from layerline.errors import DataError, UserError
from layerline.network import initial_weights
from layerline.runs.model_file import Preprocessing
from layerline.sklearn import ConvNetClassifier
from layerline.training import Model

if TYPE_CHECKING:
    from numpy.typing import NDArray

NET = "Conv 4 3\nReLU\nFlat\nFC classes\n"
BYTES = small_data.images(30).images
FLOATS = (BYTES / 255).astype(np.float32)
NORMALIZED = Brightness((0.0,), (1.0,), 0.2, -1.0, 2.5)
PLAIN = Brightness((0.4,), (0.3,), 0.1, 0.0, 1.0)


def model(
    maximum: float = 255.0,
    seen: Brightness | None = None,
    classes: tuple[str, ...] = ("a", "b", "c"),
    shape: tuple[int, int, int] = small_data.SHAPE,
) -> Model:
    network = layerline.parse(NET, input_shape=shape, classes=len(classes))
    C, weights = shape[0], initial_weights(network, 0)
    preprocessing = Preprocessing(maximum=maximum, seen=seen)
    return Model(
        *(network, classes, Scaling((1 / maximum,) * C, (0.0,) * C), weights), threads=1, preprocessing=preprocessing
    )


def silent(asked: Model, images: Any, layout: str | None = None) -> NDArray[np.float32]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return asked.predict_proba(images, layout)


FORMS: dict[str, Any] = {
    "float64": BYTES.astype(np.float64),
    "float16": BYTES.astype(np.float16),
    "int64": BYTES.astype(np.int64),
    "uint16": BYTES.astype(">u2"),
    "lists": BYTES.tolist(),
    "a list of arrays": list(BYTES),
}


@pytest.mark.parametrize("form", FORMS)
def test_bytes_of_every_type_are_the_same_images(form: str) -> None:
    """Bytes as floats, as whole numbers of any type, and as lists give the bits of the bytes, without a word."""
    asked = model()
    np.testing.assert_array_equal(silent(asked, FORMS[form]), silent(asked, BYTES))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_floats_up_to_1_are_brought_to_bytes_and_it_is_said(kind: type) -> None:
    """For a model of bytes, fractions from 0 to 1 are multiplied by 255, in float32, with a warning at the line."""
    asked = model()
    with pytest.warns(
        ImagesWarning, match=r"from 0 to 1, the training images were from 0 to 255: multiplied them by 255$"
    ) as said:
        found = asked.predict_proba(FLOATS.astype(kind))
    np.testing.assert_array_equal(found, silent(asked, FLOATS * np.float32(255)))
    assert [Path(each.filename).name for each in said] == ["test_scale.py"]
    assert issubclass(ImagesWarning, UserWarning)


def test_bytes_are_brought_to_floats() -> None:
    """For a model of floats from 0 to 1, bytes are divided by 255, as `evaluate` does, with a warning; so are floats
    up to 255; for one of 16 bits and of digits likewise."""
    for needs in (1.0, 16.0, 65535.0):
        asked = model(needs, None)
        with pytest.warns(ImagesWarning, match=f"from 0 to 255, the training images were from 0 to {needs:g}"):
            found = asked.predict_proba(BYTES)
        np.testing.assert_array_equal(found, silent(asked, BYTES * np.float32(needs / 255)))
    with pytest.warns(ImagesWarning, match="multiplied them by 1/255$"):
        model(1.0, PLAIN).predict_proba(BYTES.astype(np.float32))


def test_sixteen_bits_are_brought_to_bytes() -> None:
    """Whole numbers above 255 are of 16 bits."""
    asked = model()
    with pytest.warns(ImagesWarning, match="multiplied them by 1/257$"):
        found = asked.predict_proba(BYTES.astype(np.uint16) * 257)
    np.testing.assert_allclose(found, silent(asked, BYTES), atol=1e-5)


REFUSED: dict[str, tuple[float, Brightness | None, Any, str, str]] = {
    "-1 to 1": (
        255,
        None,
        FLOATS * 2 - 1,
        "pixels from -1",
        r"undo the normalization: (images + 1) * 127.5 if they are from -1 to 1",
    ),
    "normalized": (255, None, (FLOATS - 0.4) / 0.3, "pixels from -1.3", "images * deviation + mean"),
    "a little above 1": (255, None, FLOATS * 1.5, "to 1.4", "np.clip(images, 0, 1) * 255"),
    "only 0 and 1": (255, None, (FLOATS > 0.5).astype(np.float32), "only the values 0 and 1,", "images * 255"),
    "far above": (255, None, BYTES * 100.0, "pixels from 0 to 2.", "images / white * 255"),
    "whole numbers below 0": (255, None, BYTES.astype(int) - 128, "pixels from -128", "undo the normalization"),
    "-1 to 1 for 0 to 1": (
        1,
        PLAIN,
        FLOATS * 2 - 1,
        "the training images were from 0 to 1",
        "undo the normalization: (images + 1) * 0.5",
    ),
    "bytes 0 and 1 for 0 to 1": (1, PLAIN, BYTES // 200, "only the values 0 and 1", "images.astype(np.float32)"),
    "up to 100 for 0 to 1": (1, PLAIN, FLOATS * 100, "pixels from 0 to 9", "images / white"),
    "bytes for normalized": (
        1,
        NORMALIZED,
        BYTES,
        "the training images were from -1 to 2.5",
        "normalize them like the training",
    ),
    "floats up to 255 for normalized": (
        1,
        NORMALIZED,
        BYTES * 1.0,
        "from -1 to 2.5",
        "normalize them like the training",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_leaves_a_doubt_is_refused(what: str) -> None:
    """Where it cannot be told how values come to the training's, they are refused, with what to type."""
    needs, seen, images, found, repair = REFUSED[what]
    with pytest.raises(DataError) as caught:
        model(needs, seen).predict_proba(images)
    assert "ambiguous" in caught.value.message
    assert found in caught.value.message
    assert repair in (caught.value.help or "")


TAKEN: dict[str, tuple[float, Brightness | None, Any]] = {
    "black bytes": (255, None, BYTES * 0),
    "bytes up to 1": (255, None, BYTES // 200),
    "black floats": (255, None, FLOATS * 0),
    "dark whole floats": (255, None, (BYTES // 100).astype(np.float32)),
    "overshoot of resizing": (255, None, BYTES * np.float32(1.1) - 10),
    "digits as bytes": (16, None, BYTES // 16),
    "overshoot up to 1": (1, PLAIN, FLOATS * np.float32(1.1) - np.float32(0.05)),
    "normalized for normalized": (1, NORMALIZED, FLOATS * 3 - 1),
    "a scale of its own": (7.3, None, FLOATS),
}


@pytest.mark.parametrize("what", TAKEN)
def test_what_leaves_none_is_taken_as_it_is(what: str) -> None:
    """A black image is black on every scale; bytes are bytes however dark; resizing overshoots: no word, no change."""
    needs, seen, images = TAKEN[what]
    asked = model(needs, seen)
    batch = images.astype(np.float32)
    expected = asked.probabilities(np.ascontiguousarray(batch))
    if "normalized" not in what and seen is None:
        np.testing.assert_array_equal(silent(asked, images), expected)
    np.testing.assert_array_equal(asked.predict_proba(images), expected)


def test_the_axes_are_told_by_the_network_s_shape() -> None:
    """N, H, W, C without a layout, and one image of any order, are the same images to the last bit."""
    color = small_data.images(5, shape=(3, 6, 7)).images
    asked = model(shape=(3, 6, 7))
    expected = silent(asked, color)
    np.testing.assert_array_equal(silent(asked, color.transpose(0, 2, 3, 1)), expected)
    for one in (color[2], color[2].transpose(1, 2, 0)):
        np.testing.assert_array_equal(silent(asked, one), expected[2:3])
    gray = model()
    for one in (BYTES[2, 0], BYTES[2], BYTES[2].transpose(1, 2, 0), BYTES[2:3].transpose(0, 2, 3, 1)):
        np.testing.assert_array_equal(silent(gray, one), silent(gray, BYTES)[2:3])
    np.testing.assert_array_equal(silent(gray, BYTES.transpose(0, 2, 3, 1)), silent(gray, BYTES))


def test_axes_that_may_be_two_orders_are_refused() -> None:
    """Images of 3×3 in three channels may lie either way: what to type is said, and then taken."""
    images = small_data.images(4, shape=(3, 3, 3)).images
    asked = model(shape=(3, 3, 3))
    with pytest.raises(DataError, match=r"first or last\n.*layout='NCHW' or layout='NHWC'"):
        asked.predict(images)
    silent(asked, images, "NHWC")


@pytest.mark.parametrize(
    ("images", "repair"),
    [
        (BYTES.reshape(30, -1), r"images.reshape\(-1, 1, 6, 6\)"),
        (BYTES[0].reshape(-1), r"images.reshape\(1, 1, 6, 6\)"),
        (BYTES[:, :, :5], "pass images of 6×6 pixels"),
        ([[1, 2], [3]], "pass images of one size"),
        (np.array(["a"], "S"), "expects"),
        (b"bytes", "expects"),
        (object(), "expects"),
    ],
)
def test_what_is_no_batch_is_refused_with_the_repair(images: Any, repair: str) -> None:
    with pytest.raises(DataError, match=repair):
        model().predict(images)


def test_numbers_too_large_for_float32_are_refused() -> None:
    with pytest.raises(DataError, match="found 1 NaN or infinite value"):
        silent(model(1.0), np.where(np.arange(36).reshape(1, 1, 6, 6) == 7, 1e300, 0.5))


@pytest.mark.parametrize(
    ("classes", "labels"),
    [
        (("0", "1", "10"), np.array([0, 1, 10])),
        (("-1", "7", "3"), np.array([-1, 7, 3])),
        (("0", "01", "2"), np.array(["0", "01", "2"])),
        (("0", "1", "two"), np.array(["0", "1", "two"])),
        (("1.0", "2.0", "3.0"), np.array(["1.0", "2.0", "3.0"])),
        (("-0", "+1", "2"), np.array(["-0", "+1", "2"])),
        (("١", "٢", "٣"), np.array(["١", "٢", "٣"])),
        (("1", "2", "9" * 30), np.array(["1", "2", "9" * 30])),
    ],
)
def test_names_and_labels_compare(classes: tuple[str, ...], labels: NDArray[Any]) -> None:
    """Where all classes are whole numbers written plainly, predictions are int64 and compare with labels; else text."""
    asked = model(classes=classes)
    found = asked.predict(BYTES)
    assert found.dtype.kind == labels.dtype.kind
    assert found.dtype == np.int64 or found.dtype.kind == "U"
    y = labels[silent(asked, BYTES).argmax(axis=1)]
    assert (found == y).mean() == 1.0


@pytest.mark.parametrize("suffix", [".pt", ".PTH", ".onnx", ".h5", ".keras", ".pkl", ".joblib", ".npz"])
def test_a_name_of_another_format_is_refused(suffix: str, tmp_path: Path) -> None:
    """`save` into a name that promises another program's file writes nothing, and says how to call it."""
    with pytest.raises(UserError, match=rf"{suffix} is for .* files") as caught:
        model().save(tmp_path / f"m{suffix}")
    assert "name it m.safetensors" in (caught.value.help or "")
    assert not list(tmp_path.iterdir())


def test_the_estimator_does_the_same() -> None:
    """Fitted to bytes, it takes floats from 0 to 1 with a warning, and refuses -1 to 1 as ValueError."""
    y = np.arange(30) % 3
    fitted = ConvNetClassifier(NET, epochs=1, threads=1).fit(BYTES, y)
    with pytest.warns(ImagesWarning, match="multiplied them by 255") as said:
        found = fitted.predict_proba(FLOATS)
    np.testing.assert_allclose(found, fitted.predict_proba(BYTES), atol=1e-6)
    assert {Path(each.filename).name for each in said} == {"test_scale.py"}
    with pytest.raises(ValueError, match="undo the normalization"):
        fitted.predict(FLOATS * 2 - 1)


def test_the_estimator_takes_tables_on_any_scale() -> None:
    """A table's columns are no pixels: rows far from the others are predicted without a word."""
    X = np.random.default_rng(0).random((30, 5)) * 200
    fitted = ConvNetClassifier(epochs=1, threads=1).fit(X, np.arange(30) % 3)
    assert fitted.to_model().preprocessing.seen is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(fitted.predict(np.array([[-1, 0.5, 1, 1e6, 0], [0.1, 0.2, 0.3, 0.4, 0.5]]))) == 2


def test_the_estimator_tells_where_channels_lie() -> None:
    """N, H, W, C is recognized as `load_data` does, to the same bits; what may be both is refused with what to type."""
    X, y = small_data.images(30, shape=(3, 6, 7)).images, np.arange(30) % 3
    last = X.transpose(0, 2, 3, 1)
    first = ConvNetClassifier(NET, epochs=1, threads=1).fit(X, y)
    found = ConvNetClassifier(NET, epochs=1, threads=1).fit(last, y)
    assert (first.layout_, found.layout_) == ("NCHW", "NHWC")
    expected = first.predict_proba(X)
    for each in (first, found):
        for form in (X, last):
            np.testing.assert_array_equal(each.predict_proba(form), expected)
    for shape, words in (((3, 4, 4), "NHWC' for 4 channels"), ((8, 6, 8), "layout='NCHW' for 8 channels")):
        with pytest.raises(ValueError, match=f"channels may come first or last\n.*{words}"):
            ConvNetClassifier(NET, epochs=1, threads=1).fit(np.zeros((30, *shape), np.uint8), y)
    said = ConvNetClassifier(NET, input_shape=(8, 6, 7), epochs=1, threads=1)
    assert said.fit(np.zeros((30, 6, 7, 8), np.uint8), y).layout_ == "NHWC"


def test_pieces_keep_the_scale_of_the_first() -> None:
    """After `partial_fit` of dark pieces, images are brought to the scale on which the first lay."""
    y = np.arange(30) % 3
    fitted = ConvNetClassifier(NET, threads=1).partial_fit(FLOATS * 200, y, [0, 1, 2])
    fitted.partial_fit(FLOATS, y)
    assert fitted.to_model().preprocessing.maximum == 255
