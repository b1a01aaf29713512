"""Which column of a table of pixels is the label, and pixels written as decimals, names or one text."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from data_files import pictures

from layerline.data import load_data
from layerline.errors import DataError

IMAGES, LABELS = pictures(30, shape=(8, 8))
ROWS = IMAGES.reshape(30, -1)
COARSE = ROWS // 64 * 64
"""Few different values, so that no column of pixels looks unlike a label."""


def table(names, label, at, pixels=COARSE):
    found = pd.DataFrame(pixels, columns=names)
    found.insert(at, label, LABELS)
    return found


def loaded(path):
    return load_data(path, test="none", validation="none")


@pytest.mark.parametrize(
    "names",
    [
        [f"p{k}" for k in range(64)],
        [f"pixel_{k}" for k in range(64)],
        [f"{k // 8 + 1}x{k % 8 + 1}" for k in range(64)],
        [str(k) for k in range(64)],
    ],
    ids=["p0", "pixel_0", "1x1", "0"],
)
@pytest.mark.parametrize("at", [0, 30, 64])
def test_the_column_not_named_like_the_pixels_is_the_label(tmp_path, names, at):
    """With any name and anywhere, and the note has its name."""
    table(names, "species", at).to_csv(tmp_path / "a.csv", index=False)
    data = loaded(tmp_path / "a.csv")
    np.testing.assert_array_equal(data.train.labels, LABELS)
    np.testing.assert_array_equal(data.train.source.images[:, 0].reshape(30, -1), COARSE)
    which = {0: "first", 30: "31st", 64: "last"}[at]
    assert f"the {which} column (species) is the label" in data.notes[0]


@pytest.mark.parametrize("at", [0, 64])
def test_names_that_do_not_decide_are_refused(tmp_path, at):
    """If the label is named like the pixels, or no name is like another, the first and the last column are named."""
    table([f"p{k}" for k in range(1, 65)], "p0" if at == 0 else "p65", at).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError, match=r"a\.csv:1: .*the first \(p[01]\) or the last \(p6[45]\) could be the label"):
        loaded(tmp_path / "a.csv")
    names = ["".join(chr(97 + int(digit)) for digit in f"{k:02d}") + "q" for k in range(64)]
    table(names, "art", at).to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(DataError, match="could be the label"):
        loaded(tmp_path / "b.csv")


def test_savetxt_writes_bytes_as_decimals(tmp_path):
    """numpy.savetxt's 5.000e+00 is a whole number; pixels remain uint8."""
    np.savetxt(tmp_path / "a.csv", np.c_[LABELS, ROWS], delimiter=",")
    data = loaded(tmp_path / "a.csv")
    assert data.train.source.images.dtype == np.uint8
    np.testing.assert_array_equal(data.train.source.images[:, 0].reshape(30, -1), ROWS)
    np.testing.assert_array_equal(data.train.labels, LABELS)


@pytest.mark.parametrize("at", [0, 64])
@pytest.mark.parametrize("header", [True, False])
def test_pixels_from_0_to_1_are_read_as_they_are(tmp_path, at, header):
    """As floats, which a note says; without a header only a column of whole numbers can be the label."""
    scaled = (ROWS / 255).round(4)
    scaled[:, [0, -1]] = np.maximum(scaled[:, [0, -1]], 0.5).clip(max=0.9)
    names = [f"p{k}" for k in range(64)]
    table(names, "label", at, scaled).to_csv(tmp_path / "a.csv", index=False, header=header)
    data = loaded(tmp_path / "a.csv")
    np.testing.assert_allclose(data.train.source.images[:, 0].reshape(30, -1), scaled.astype(np.float32))
    np.testing.assert_array_equal(data.train.labels, LABELS)
    assert any("used as they are" in note for note in data.notes)


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("at", [0, 64])
def test_labels_may_be_names(tmp_path, header, at):
    """The only column of text is the label."""
    found = table([f"p{k}" for k in range(64)], "label", at, ROWS)
    found["label"] = [f"d{k}" for k in LABELS]
    found.to_csv(tmp_path / "a.csv", index=False, header=header)
    data = loaded(tmp_path / "a.csv")
    assert data.classes == ("d0", "d1", "d2")
    np.testing.assert_array_equal(data.train.labels, LABELS)
    np.testing.assert_array_equal(data.train.source.images[:, 0].reshape(30, -1), ROWS)


def test_a_wrong_cell_among_decimals_is_named(tmp_path):
    """With line and column, as among whole numbers."""
    lines = table([f"p{k}" for k in range(64)], "label", 0, ROWS / 255).to_csv(index=False).split("\n")
    lines[5] = lines[5].replace(lines[5].split(",")[3], "x1", 1)
    (tmp_path / "a.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match=":6: found x1 in column 4, expected a number"):
        loaded(tmp_path / "a.csv")


def test_an_image_that_pandas_made_a_header_is_refused(tmp_path):
    """read_csv without header=None renames equal pixels to 0.1, 0.2, …: the file has lost an image."""
    sparse = np.where(ROWS > 200, ROWS, 0)
    text = table(range(64), "label", 0, sparse).to_csv(index=False, header=False)
    pd.read_csv(io.StringIO(text)).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError, match="pandas made column names of an image"):
        loaded(tmp_path / "a.csv")


def test_pixels_without_labels_are_called_that(tmp_path):
    """A table of 64 columns of pixels without a header has no label."""
    np.savetxt(tmp_path / "a.csv", ROWS, fmt="%d", delimiter=",")
    with pytest.raises(DataError, match="found 64 columns of pixels and no label"):
        loaded(tmp_path / "a.csv")


def fer(usage=True, line=None):
    """Return a table like FER2013: 30 training images, and 6 each of both test sets."""
    found = ["emotion,pixels,Usage" if usage else "emotion,pixels"]
    for split, count in (("Training", 30), ("PublicTest", 6), ("PrivateTest", 6)) if usage else (("", 30),):
        for k in range(count):
            cells = [str(LABELS[k]), " ".join(map(str, ROWS[k])), *([split] if usage else [])]
            found.append(",".join(cells))
    if line is not None:
        found[5] = line
    return "\n".join(found) + "\n"


@pytest.mark.parametrize("given", ["file", "folder"])
def test_the_pixels_of_fer2013_are_a_text(tmp_path, given):
    """Its column Usage has the splits, which a note says: PublicTest is the validation set, PrivateTest is test."""
    (tmp_path / "fer2013.csv").write_text(fer())
    data = load_data(tmp_path / "fer2013.csv" if given == "file" else tmp_path)
    np.testing.assert_array_equal(data.train.source.images[:, 0].reshape(30, -1), ROWS)
    np.testing.assert_array_equal(data.train.labels, LABELS)
    assert (len(data.validation.labels), len(data.test.labels)) == (6, 6)
    assert any("Training as train, PublicTest as validation, PrivateTest as test" in note for note in data.notes)
    (tmp_path / "fer2013.csv").write_text(fer(usage=False))
    assert len(loaded(tmp_path / "fer2013.csv").train.labels) == 30


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0,1 2 3,Training", ":6: found 3 pixels, expected 64"),
        ("0,1 2 300,Training", ":6: found the pixel 300"),
        ("0,1 2 x,Training", ":6: found the pixel x"),
        (",1 2 3,Training", ":6: found 3 pixels"),
        ("0,1 2 3", ":6: found 2 cells, expected 3"),
        ("0,1 2 3,Nowhere", ":6: unknown split Nowhere"),
        ('0,"1 2 3,Training', ":6: not valid CSV"),
        ("0," + "1 " * 100_000 + ",Training", ":6: not valid CSV"),
    ],
)
def test_a_wrong_line_of_fer2013_is_named(tmp_path, line, reason):
    """Also one whose cell is too long to be one."""
    (tmp_path / "fer2013.csv").write_text(fer(line=line))
    with pytest.raises(DataError, match=reason):
        load_data(tmp_path / "fer2013.csv", validation="none")
