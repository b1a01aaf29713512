"""A CSV file with an image per line: what NumPy and pandas write is read, and a bad cell is found with its line."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from data_files import packed, pictures

from layerline.data import load_data
from layerline.data.formats import pixel_lines
from layerline.errors import DataError

IMAGES, LABELS = pictures(30, shape=(8, 8))
ROWS = IMAGES.reshape(30, -1)


def frame(label="label", first=True):
    """Return a table of a label and pixels."""
    found = pd.DataFrame(ROWS, columns=[f"pixel{k}" for k in range(64)])
    found.insert(0 if first else 64, label, LABELS)
    return found


def loaded(path, **options):
    return load_data(path, validation="none", **({"test": "none"} | options))


def check(data):
    np.testing.assert_array_equal(data.train.source.images[:, 0], IMAGES)
    np.testing.assert_array_equal(data.train.labels, LABELS)
    assert data.train.source.images.flags.c_contiguous


@pytest.mark.parametrize("label", ["label", "Label", "target", "y", "class"])
@pytest.mark.parametrize("first", [True, False])
def test_the_header_says_which_column_is_the_label(tmp_path, label, first):
    """The label may be first or last; the note says which column was taken."""
    frame(label, first=first).to_csv(tmp_path / "a.csv", index=False)
    data = loaded(tmp_path / "a.csv")
    check(data)
    which = "first" if first else "last"
    assert data.notes == (
        f"{tmp_path / 'a.csv'}: one image per line; the {which} column is the label",
        f"{tmp_path / 'a.csv'}: rows of 64 values are read as 8×8 gray images",
    )


@pytest.mark.parametrize(
    "changed",
    [
        lambda text: text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: text.rstrip("\n"),
        lambda text: text + "\n\n",
        lambda text: text.replace(",", ";"),
        lambda text: text.replace(",", "\t"),
        lambda text: text.replace("label", '"label"'),
    ],
    ids=["plain", "crlf", "bom", "no-newline", "blank-lines", "semicolon", "tab", "quoted"],
)
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("block", [2**20, 100])
def test_every_way_of_writing_it_is_read(tmp_path, monkeypatch, changed, header, block):
    """With a header or without, with any line ends and separators, in blocks of any size."""
    monkeypatch.setattr(pixel_lines, "_BLOCK", block)
    (tmp_path / "a.csv").write_text(changed(frame().to_csv(index=False, header=header)), encoding="utf-8", newline="")
    check(loaded(tmp_path / "a.csv"))
    (tmp_path / "b.csv.gz").write_bytes(packed((tmp_path / "a.csv").read_bytes()))
    check(loaded(tmp_path / "b.csv.gz"))


def test_an_index_column_is_passed_over(tmp_path):
    """The unnamed column that pandas writes, and `id`, are neither label nor pixels."""
    frame().to_csv(tmp_path / "a.csv")
    check(loaded(tmp_path / "a.csv"))
    frame().rename_axis("id").to_csv(tmp_path / "b.csv")
    check(loaded(tmp_path / "b.csv"))


def test_without_a_header_a_constant_first_column_is_not_the_label(tmp_path):
    """The first column is the label, except where it never changes; two possible ones are refused."""
    table = frame(first=False)
    table["pixel0"] = 0
    table.to_csv(tmp_path / "a.csv", index=False, header=False)
    data = loaded(tmp_path / "a.csv")
    np.testing.assert_array_equal(data.train.labels, LABELS)
    assert "the last column is the label" in data.notes[0]
    frame(first=False).to_csv(tmp_path / "b.csv", index=False, header=False)
    with pytest.raises(DataError, match="different values in the first column and 3 in the last: either"):
        loaded(tmp_path / "b.csv")


@pytest.mark.parametrize("names", [("mnist_train.csv", "mnist_test.csv"), ("Training.csv", "Testing.csv")])
@pytest.mark.parametrize("given", ["file", "folder"])
def test_the_test_file_is_found_by_its_name(tmp_path, names, given):
    """A file of test images with labels, next to that of training images, is the test set."""
    frame().to_csv(tmp_path / names[0], index=False)
    frame()[:9].to_csv(tmp_path / names[1], index=False)
    data = load_data(tmp_path / (names[0] if given == "file" else "."), validation="none")
    check(data)
    np.testing.assert_array_equal(data.test.labels, LABELS[:9])
    assert f"{names[1]}: read as test" in data.notes


def test_kaggle_s_test_file_has_no_labels(tmp_path, monkeypatch):
    """The digit recognizer's test.csv is not used, which is noted; alone, it is refused; the submission is no table."""
    monkeypatch.chdir(tmp_path)
    frame().to_csv("train.csv", index=False)
    frame().drop(columns="label").to_csv("test.csv", index=False)
    pd.DataFrame({"ImageId": range(30), "Label": 0}).to_csv("sample_submission.csv", index=False)
    data = loaded(".")
    check(data)
    assert "ignored: test.csv, which has no labels" in data.notes
    with pytest.raises(DataError, match="found 64 columns of pixels and no label"):
        loaded("test.csv")
    with pytest.raises(DataError, match="found no table of pixels"):
        loaded("sample_submission.csv")


def test_several_tables_in_a_folder_are_listed(tmp_path, monkeypatch):
    """Two tables that are not training and test are refused, each with what to type."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.csv", "b.csv"):
        frame().to_csv(name, index=False)
    with pytest.raises(DataError, match=r"found 2 tables of pixels, expected one[^~]*\"a.csv\"\n    \"b.csv\""):
        loaded(".")


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("256", ":13: found the pixel 256, expected 0 to 255"),
        ("1000", ":13: found 1000 in column 6, expected a whole number"),
        ("-1", ":13: found -1 in column 6"),
        ("1.5", ":13: found 1.5 in column 6"),
        ("", ":13: found an empty cell in column 6"),
        ("x", ":13: found x in column 6"),
        ("1,1", ":13: found 66 cells, expected 65"),
        ("1\n1", ":13: found 6 cells, expected 65"),
        (" 1", ":13: found  1 in column 6"),
        ("1;1", ":13: found 1;1 in column 6"),
        ("\x1b[31m", r":13: found \\x1b\[31m in column 6"),
        ("²", ":13: found ² in column 6"),
    ],
)
@pytest.mark.parametrize("block", [2**20, 100])
def test_a_bad_cell_is_named(tmp_path, monkeypatch, cell, reason, block):
    """The line and column of the first cell that is not a number from 0 to 255 are in the message."""
    monkeypatch.setattr(pixel_lines, "_BLOCK", block)
    lines = frame().to_csv(index=False).split("\n")
    cells = lines[12].split(",")
    cells[5] = cell
    lines[12] = ",".join(cells)
    (tmp_path / "a.csv").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(DataError, match=reason):
        loaded(tmp_path / "a.csv")


def test_a_line_without_end_is_refused(tmp_path):
    """A line of 100 MB is refused after a megabyte or two."""
    (tmp_path / "a.csv").write_bytes(frame().to_csv(index=False).encode() + b"1," * 2_000_000)
    with pytest.raises(DataError, match="found a line of more than"):
        loaded(tmp_path / "a.csv")
