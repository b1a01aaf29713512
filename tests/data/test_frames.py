"""A DataFrame whose images are arrays, Pillow images or encoded bytes, and its options for columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from image_files import picture, png, tree
from PIL import Image

from layerline.data import load_data
from layerline.errors import DataError

ARRAYS = [picture(k, (8, 8)) for k in range(60)]
LABELS = [k % 3 for k in range(60)]
FILES = [png(each) for each in ARRAYS]
FORMS = {
    "arrays": ARRAYS,
    "pillow": [Image.fromarray(each) for each in ARRAYS],
    "bytes": FILES,
    "hugging face": [{"bytes": each, "path": "same.png"} for each in FILES],
}


def refused(frame, **options) -> str:
    """Return the error as Python displays it."""
    with pytest.raises(DataError) as caught:
        load_data(frame, **options)
    return str(caught.value)


@pytest.mark.parametrize("form", FORMS)
def test_images_may_be_in_the_frame_itself(form):
    """In any form, with the same pixels and labels, and with another frame as test."""
    frame = pd.DataFrame({"image": FORMS[form], "label": LABELS})
    data = load_data(frame[:30], test=frame[30:], validation="none")
    source = data.train.source
    expected = sorted((each.transpose(2, 0, 1).tobytes(), k % 3) for k, each in enumerate(ARRAYS[:30]))
    assert sorted((i.tobytes(), int(k)) for i, k in zip(source.images, source.labels, strict=True)) == expected
    assert len(data.test.labels) == 30


def test_encoded_images_have_the_options_of_files():
    """They may have any size, and bad ones are listed or skipped."""
    frame = pd.DataFrame({"image": [png(picture(k, (8 + k % 2, 9))) for k in range(60)], "label": LABELS})
    assert load_data(frame, size=8).train.source.images.shape[2:] == (8, 8)
    frame.loc[3, "image"] = b"no image"
    assert "1 image cannot be read\n    DataFrame 0000003: found" in refused(frame, size=8)
    assert load_data(frame, size=8, skip_bad=0.1).skipped


@pytest.mark.parametrize("cell", [None, {"bytes": None, "path": "a.png"}, "a.png"])
def test_a_row_without_bytes_is_named(cell):
    """A path next to encoded images is not followed."""
    images = list(FILES)
    images[3] = cell
    assert "DataFrame, row 3: found no bytes in image" in refused(pd.DataFrame({"image": images, "label": LABELS}))


def test_arrays_of_different_sizes_are_refused_in_words():
    """With what may be passed instead; an empty cell has its row."""
    images = [each[: 7 + k % 2] for k, each in enumerate(ARRAYS)]
    assert "images must have the same size and type" in refused(pd.DataFrame({"image": images, "label": LABELS}))
    images = [None, *ARRAYS[1:]]
    assert "DataFrame, row 0: found no image in image" in refused(pd.DataFrame({"image": images, "label": LABELS}))


def test_the_labels_of_arrays_are_one_column():
    """Called label, or the only other one, or named; a column of splits is not passed over."""
    frame = pd.DataFrame({"scan": ARRAYS, "kind": LABELS, "side": LABELS[::-1]})
    assert 'which one has the labels?\n  help: choose one: label_column="kind"' in refused(frame)
    data = load_data(frame, label_column="kind", test="none", validation="none")
    np.testing.assert_array_equal(data.train.labels, LABELS)
    assert data.notes[0] == "DataFrame: the column scan has the images, kind the labels; ignored: the column side"
    assert len(load_data(frame.drop(columns="side")).classes) == 3
    text = refused(frame.rename(columns={"side": "is_valid"}), label_column="kind")
    assert "found the column is_valid, but images in memory are split by test= and validation=" in text


@pytest.fixture
def frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """Return a table of 60 files below the current folder."""
    tree(tmp_path / "p", {f"{k:02}.png": each for k, each in enumerate(FILES)})
    monkeypatch.chdir(tmp_path)
    return pd.DataFrame({"path": [f"p/{k:02}.png" for k in range(60)], "fine": [f"f{k}" for k in LABELS]})


def test_two_columns_of_labels_need_label_column(frame):
    """The error proposes the argument, which works; a wrong name is refused."""
    frame["coarse"] = [f"c{k // 2}" for k in LABELS]
    assert 'help: choose one: label_column="fine", or label_column="coarse"' in refused(frame)
    assert load_data(frame, label_column="fine").classes == ("f0", "f1", "f2")
    assert load_data(frame, label_column="coarse", file_column="path").classes == ("c0", "c1")
    assert 'label_column="fime": DataFrame has no such column\n  help: did you mean fine?' in refused(
        frame, label_column="fime"
    )
    assert "did you mean path?" in refused(frame, label_column="fine", file_column="pathe")
    with pytest.raises(DataError, match="label_column: no table specified"):
        load_data("p", label_column="fine")


def test_absolute_paths_are_not_searched_for(frame, monkeypatch):
    """With data_dir, a folder is only searched for names that are not the absolute paths of files."""
    Path("loop").symlink_to("loop")
    frame["path"] = [str(Path(name).resolve()) for name in frame["path"]]
    monkeypatch.setattr("layerline.data.photos.image_folder.read_folder", None)
    assert len(load_data(frame, data_dir=".", test="none", validation="none").train.labels) == 60


def test_is_valid_marks_the_validation_set(frame):
    """As in fastai: true is validation, false is train; a note says so."""
    frame["is_valid"] = [k % 5 == 0 for k in range(60)]
    data = load_data(frame, test="none")
    assert (len(data.train.labels), len(data.validation.labels)) == (48, 12)
    assert "DataFrame: the column is_valid is used as split: true is validation, false is train" in data.notes
