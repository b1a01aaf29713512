"""`load_data` of what a program has in memory: arrays, tables of files, and batches."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import torch
from image_files import picture, png, tree

from layerline.data import in_memory, load_data
from layerline.errors import CallError, DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

x = np.random.default_rng(0).integers(0, 256, (60, 8, 9)).astype(np.uint8)
y = np.arange(60) % 3


class MapStyle:
    """What PyTorch calls a map-style data set: indexed, with a length, and not iterable."""

    def __getitem__(self, place: int) -> tuple[Any, int]:
        return x[place], int(y[place])

    def __len__(self) -> int:
        return len(x)


class Endless:
    """Batches with a length that begin again after the last one, as Keras's generators do."""

    def __len__(self) -> int:
        return 4

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        while True:
            for first in range(0, 60, 15):
                yield x[first : first + 15], y[first : first + 15]


def batches() -> Iterator[tuple[Any, Any]]:
    for first in range(0, 60, 16):
        yield x[first : first + 16], y[first : first + 16]


SAME = {
    "lists": lambda: (x.tolist(), y.tolist()),
    "a list of arrays": lambda: (list(x), list(y)),
    "tensors": lambda: (torch.from_numpy(x), torch.from_numpy(y)),
    "tensors that require gradients": lambda: (torch.from_numpy(x).float().requires_grad_().detach().byte(), y),
    "a list of two": lambda: [x, y],
    "a column of labels": lambda: (x, y[:, None]),
    "one-hot": lambda: (x, np.eye(3)[y]),
    "a series": lambda: (x, pd.Series(y)),
    "an array that is not contiguous": lambda: (x[:, ::-1][:, ::-1], y),
    "Fortran's order": lambda: (np.asfortranarray(x), y),
    "batches": batches,
    "batches of tensors": lambda: [(torch.from_numpy(a), torch.from_numpy(b)) for a, b in batches()],
    "dictionaries": lambda: ({"image": a, "label": b} for a, b in batches()),
    "single images": lambda: zip(x, y, strict=True),
    "a map-style data set": MapStyle,
    "batches without an end": Endless,
}


@pytest.mark.parametrize("name", SAME)
def test_anything_that_holds_images_gives_the_same_data(name: str) -> None:
    """Lists, tensors and batches give the images, labels and splits of the arrays."""
    data, same = load_data((x, y)), load_data(SAME[name]())
    assert same.fingerprint == data.fingerprint
    for split, other in zip(data.splits.values(), same.splits.values(), strict=True):
        np.testing.assert_array_equal(split.indices, other.indices)
        np.testing.assert_array_equal(split.images, other.images)
        np.testing.assert_array_equal(split.labels, other.labels)


def test_arrays_are_not_copied() -> None:
    """uint8 images of a program are trained on where they are, and the splits' images are read-only views."""
    data = load_data((x, y), test=(x, y), validation="none")
    assert np.shares_memory(data.train.images, x)
    assert np.shares_memory(load_data((torch.from_numpy(x), y)).train.source.images, x)
    assert not data.train.images.flags.writeable
    assert x.flags.writeable


def test_the_splits_are_those_that_are_passed() -> None:
    """test= and validation= are whole sets of their own, also as Keras's load_data() returns the test set."""
    data = load_data((x, y), test=(x[:9], y[:9]), validation=(x[9:15], y[9:15]))
    assert [len(split) for split in data.splits.values()] == [60, 6, 9]
    np.testing.assert_array_equal(data.splits["validation"].images[:, 0], x[9:15])
    pairs = load_data(((x, y), (x[:9], y[:9])), validation=(x[9:15], y[9:15]))
    assert pairs.fingerprint == data.fingerprint
    with pytest.raises(DataError, match="pass the test images only once"):
        load_data(((x, y), (x, y)), test=(x, y))


def test_images_of_a_split_are_those_of_its_indices() -> None:
    """images and labels of a split that was drawn are those at its indices."""
    data = load_data((x, y))
    for split in data.splits.values():
        np.testing.assert_array_equal(split.images[:, 0], x[split.indices])
        np.testing.assert_array_equal(split.labels, y[split.indices])


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve photos of three classes in the folder all, the current one."""
    pixels = np.random.default_rng(1).integers(0, 256, (12, 10, 12, 3)).astype(np.uint8)
    tree(tmp_path / "all", {f"{'abc'[k % 3]}/{k}.png": png(pixels[k]) for k in range(12)})
    monkeypatch.chdir(tmp_path)
    return tmp_path


NAMES = [f"{'abc'[k % 3]}/{k}.png" for k in range(12)]
LABELS = ["abc"[k % 3] for k in range(12)]


def test_a_table_of_files_is_the_folder(photos: Path) -> None:
    """A DataFrame, or paths and labels, give what the same files in folders give; paths relative, absolute, or below
    data_dir."""
    folder = load_data("all", seed=1)
    below = pd.DataFrame({"image_id": NAMES, "species": LABELS})
    for source, place in (
        ((["all/" + name for name in NAMES], LABELS), None),
        (([photos / "all" / name for name in NAMES], LABELS), None),
        (pd.DataFrame({"path": ["./all/" + name for name in NAMES], "label": LABELS}), None),
        (below, "all"),
    ):
        data = load_data(source, data_dir=place, seed=1)
        assert data.fingerprint == folder.fingerprint
        np.testing.assert_array_equal(data.train.indices, folder.train.indices)
        assert data.train.source.names == folder.train.source.names


@pytest.mark.usefixtures("photos")
def test_a_table_has_splits_and_groups() -> None:
    """Columns split and group count as in a label file; test= is a table of the same columns."""
    split = ["train"] * 6 + ["valid"] * 3 + ["test"] * 3
    table = pd.DataFrame({"file": ["all/" + name for name in NAMES], "label": LABELS, "split": split})
    data = load_data(table)
    assert [len(each) for each in data.splits.values()] == [6, 3, 3]
    plain = table.drop(columns="split")
    assert load_data(plain[:6], validation=plain[6:9], test=plain[9:]).fingerprint == data.fingerprint
    with pytest.raises(DataError, match="found a split column"):
        load_data(table[:9], test=table[9:])
    with pytest.raises(DataError, match="image files for train and arrays for test"):
        load_data(plain, test=(x, y))


@pytest.mark.usefixtures("photos")
def test_a_wrong_row_is_named_by_its_number() -> None:
    """Rows are counted from 0, as a program counts them."""
    table = pd.DataFrame({"file": ["all/" + name for name in NAMES], "label": LABELS})
    table.loc[7, "label"] = None
    with pytest.raises(DataError, match="DataFrame, row 7: the row has no label"):
        load_data(table)
    table.loc[7, "label"], table.loc[5, "file"] = "a", "all/a/0.png"
    with pytest.raises(DataError, match=r"DataFrame, row 5: .*0.png has the label c here, but a in row 0"):
        load_data(table)
    with pytest.raises(DataError, match="the column label appears twice"):
        load_data(pd.concat([table, table[["label"]]], axis=1))
    with pytest.raises(DataError, match="not valid Unicode"):
        load_data((["\udcff.png"], ["a"]))
    table.loc[5, "file"] = "all/none.png"
    with pytest.raises(DataError, match=r"DataFrame, row 5: all/none.png: no such file"):
        load_data(table)


def test_batches_stop_where_memory_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches without an end are refused before they fill the memory, with what they take and what is free."""

    def endless() -> Iterator[tuple[Any, Any]]:
        while True:
            yield x, y

    monkeypatch.setattr(in_memory, "free_bytes", lambda: 100_000)
    with pytest.raises(DataError, match=r"the first 720 images take 51.8 kB, too much .* 100 kB of free memory"):
        load_data(endless())


WRONG = {
    "labels first": (lambda: (y, x), CallError, "swap them"),
    "no labels": (lambda: x, CallError, r"load_data\(\(x, y\)\)"),
    "labels of nothing": (lambda: (x, None), CallError, "y is None"),
    "a dictionary": (lambda: {"x": x, "y": y}, CallError, r'data\["x"\], data\["y"\]'),
    "rows": (lambda: (x.reshape(60, -1), y), DataError, r"x.reshape\(-1, C, H, W\)"),
    "square rows": (lambda: (x[:, :, :8].reshape(60, -1), y), DataError, r"x.reshape\(-1, 8, 8\)"),
    "images of several sizes": (lambda: ([x[0], x[1, :5]], [0, 1]), DataError, "images must have the same size"),
    "batches of several sizes": (
        lambda: iter([(x, y), (x[:, :5], y)]),
        DataError,
        "item 1: found 5×9 images of type uint8",
    ),
    "batches of several types": (
        lambda: iter([(x, y), (x / 255, y)]),
        DataError,
        "item 1: found 8×9 images of type float64",
    ),
    "batches without labels": (lambda: iter([x]), DataError, "item 0: found ndarray"),
    "batches that are used up": (lambda: iter(()), DataError, "create it again"),
    "more labels than images": (lambda: iter([(x, y[:9])]), DataError, "one label per image"),
    "a number": (lambda: 3, CallError, "expected a name, a path or arrays"),
    "a class": (lambda: MapStyle, CallError, "found type"),
    "other data for a path": (lambda: "digits", CallError, "pass both the same way"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_data_is_refused(name: str) -> None:
    """Data that is surely wrong is refused with what to pass instead."""
    source, error, words = WRONG[name]
    options: dict[str, Any] = {"test": (x, y)} if name == "other data for a path" else {}
    with pytest.raises(error, match=words):
        load_data(source(), **options)


def test_a_data_set_displays_itself() -> None:
    """Its repr has the sizes and classes, a notebook a table in which names from outside are escaped."""
    data = load_data((x, [f"<b>{k}" for k in y]), test="none")
    assert repr(data).splitlines() == [
        "Dataset arrays: 54 train, 6 validation images (1×8×9, uint8)",
        "3 classes: <b>0, <b>1, <b>2",
    ]
    html = data._repr_html_()
    assert "<b>0" not in html
    assert html.count("&lt;b&gt;0</td>") == 1
    assert ">54</th>" in html


def test_names_keep_their_spaces(photos: Path) -> None:
    """Two spaces in a row are part of a file's name, and of a class's."""
    for k in range(12):
        (photos / "all" / NAMES[k]).rename(photos / f"all/{'abc'[k % 3]}/my  {k}.png")
    names = [f"all/{'abc'[k % 3]}/my  {k}.png" for k in range(12)]
    data = load_data((names, [f"class  {label}" for label in LABELS]))
    assert data.classes == ("class  a", "class  b", "class  c")


@pytest.mark.usefixtures("photos")
def test_rows_without_a_file_are_skipped_up_to_skip_bad() -> None:
    """Missing files, empty paths and empty labels count together, as on the lines of a label file."""
    table = pd.DataFrame({"file": ["all/" + name for name in NAMES], "label": LABELS})
    table.loc[3, "file"] = "all/none.png"
    with pytest.raises(DataError, match=r"row 3: all/none.png: no such file\n.*or skip it: skip_bad=0.084"):
        load_data(table)
    data = load_data(table, skip_bad=0.09, test="none", validation="none")
    assert len(data.train) == 11
    table.loc[4, "file"] = None
    with pytest.raises(DataError, match=r"row 4: the file is empty\n.*or skip them: skip_bad=0.17"):
        load_data(table, skip_bad=0.09)
    table.loc[5, "label"] = None
    data = load_data(table, skip_bad=0.25, test="none", validation="none")
    assert len(data.train) == 9
    assert any("3 of 12 rows cannot be used and are skipped" in note for note in data.notes)
    assert any(note.endswith("such as DataFrame, row 3: the file none.png does not exist") for note in data.notes)
    table["file"] = "all/gone.png"
    with pytest.raises(DataError, match=r"row 0: all/gone.png: no such file; 12 of 12 rows have no file"):
        load_data(table)


@pytest.mark.usefixtures("photos")
def test_notes_and_errors_number_a_row_alike() -> None:
    """A row is its position from 0 in its own table, in notes too, and also in a second table; none is a line."""
    files = ["all/" + name for name in NAMES]
    table = pd.DataFrame({"file": files, "label": LABELS})
    table.loc[6, "label"] = None
    (note,) = (note for note in load_data(table, skip_bad=0.1).notes if "skipped" in note)
    assert note == "1 of 12 rows cannot be used and are skipped (--skip-bad 0.1), such as DataFrame, row 6: no label"
    table.loc[6, "label"] = "nan"
    (note,) = (note for note in load_data(table, test="none", validation="none").notes if "nan" in note)
    assert note == "nan is treated as a class, in 1 row such as DataFrame, row 6: is its label missing?"
    train = pd.DataFrame({"file": files[:9], "label": LABELS[:9]})
    test = pd.DataFrame({"file": [*files[9:11], "all/none.png"], "label": LABELS[9:]})
    with pytest.raises(DataError, match=r"test DataFrame, row 2: all/none.png: no such file"):
        load_data(train, test=test)


def test_a_frame_of_pixels_is_images() -> None:
    """The label is inside, named or first or last, or apart; columns that number the rows are ignored, and reported."""
    images = np.random.default_rng(1).integers(0, 256, (60, 8, 8))
    expected = load_data((images.astype(np.uint8), y)).fingerprint
    pixels = pd.DataFrame(images.reshape(60, 64), columns=[f"pixel{k}" for k in range(64)])
    first, last = pixels.copy(), pixels.copy()
    first.insert(0, "label", y)
    last["species"] = np.array(["a", "b", "c"])[y]
    plain = pd.DataFrame(np.column_stack([y, images.reshape(60, 64)]))
    numbered = first.copy()
    numbered.insert(0, "Unnamed: 0", range(60))
    for source in ((pixels, y), first, plain, numbered):
        data = load_data(source)
        assert data.fingerprint == expected
        assert "rows of 64 values are read as 8×8 gray images" in data.notes[-1]
    assert load_data(last).classes == ("a", "b", "c")
    assert "the last column (species) is the label" in load_data(last).notes[0]
    assert load_data(first).notes[0] == "DataFrame: one image per row; the first column is the label"
    assert load_data(numbered).notes[0] == (
        "DataFrame: one image per row; the 2nd column is the label; ignored: Unnamed: 0"
    )
    data = load_data(first[:40], test=first[40:])
    assert [len(each) for each in data.splits.values()] == [36, 4, 20]
    np.testing.assert_array_equal(load_data((pixels / 255, y)).train.source.images[3], (images[3:4] / 255).astype("f4"))


def test_the_label_of_a_frame_of_pixels_is_found_as_in_a_file() -> None:
    """The column not named like the pixels; label_column= names another; names that do not decide are refused."""
    images = np.random.default_rng(2).integers(0, 256, (60, 8, 8), np.uint8)
    pixels = pd.DataFrame(images.reshape(60, 64), columns=[f"p{k}" for k in range(64)])
    frame = pixels.copy()
    frame.insert(64, "species", y)
    expected = load_data((images, y)).fingerprint
    assert load_data(frame).fingerprint == expected
    assert "the last column (species) is the label" in load_data(frame).notes[0]
    unclear = frame.rename(columns={"species": "p64"})
    with pytest.raises(DataError, match=r"first \(p0\) or the last \(p64\).*\n.*choose one: label_column=\"p0\""):
        load_data(unclear)
    assert load_data(unclear, label_column="p64").fingerprint == expected
    with pytest.raises(DataError, match=r"\"spezies\": DataFrame has no such column\n.*did you mean species"):
        load_data(frame, label_column="spezies")
    with pytest.raises(DataError, match=r"file_column=\"p0\": DataFrame has pixels, not files"):
        load_data(frame, file_column="p0")


def test_a_frame_of_pixels_is_checked_as_a_file_is() -> None:
    """An image read as the header, and a column of splits, are refused; whole decimals are bytes."""
    images = np.random.default_rng(3).integers(0, 256, (60, 8, 8), np.uint8)
    images[:, 0] = 0
    table = pd.DataFrame(np.column_stack([y, images.reshape(60, 64)]))
    renamed = pd.read_csv(io.StringIO(table.to_csv(index=False, header=False)))
    with pytest.raises(DataError, match=r"pandas made column names of an image\n.*read_csv\(FILE, header=None\)"):
        load_data(renamed)
    table.columns = ["label", *(f"p{k}" for k in range(64))]
    assert load_data(table.astype(float)).train.source.images.dtype == np.uint8
    table["is_valid"] = [k % 5 == 0 for k in range(60)]
    with pytest.raises(DataError, match="found the column is_valid, but images in memory are split by"):
        load_data(table)


def test_images_next_to_many_measurements_are_the_images() -> None:
    """A column of arrays or encoded images is not the label of a table of pixels."""
    frame = pd.DataFrame(np.zeros((60, 64)), columns=[f"m{k}" for k in range(64)])
    frame["scan"] = [np.full((8, 8), k, np.uint8) for k in range(60)]
    frame["label"] = y
    assert load_data(frame).notes[0].startswith("DataFrame: the column scan has the images, label the labels; ignored")


def test_encoded_images_and_paths_are_not_mixed() -> None:
    """One table has the images themselves, the other only their paths."""
    encoded = pd.DataFrame({"image": [png(picture(k, (8, 8))) for k in range(30)], "label": y[:30]})
    paths = pd.DataFrame({"image": [f"{k}.png" for k in range(30)], "label": y[:30]})
    for first, second, match in (
        (encoded, paths, "encoded images in DataFrame, but paths in test DataFrame"),
        (paths, encoded, "encoded images in test DataFrame, but paths in DataFrame"),
    ):
        with pytest.raises(DataError, match=match):
            load_data(first, test=second)


def test_a_frame_that_is_not_of_images_says_what_works() -> None:
    """Pixels without a label, columns that are no square, and a text among them are refused with the call."""
    pixels = pd.DataFrame(np.zeros((60, 64), int))
    with pytest.raises(DataError, match=r"64 columns of pixels and no label\n.*load_data\(\(frame, labels\)\)"):
        load_data(pixels)
    with pytest.raises(DataError, match=r"67 columns of numbers.*\n.*reshape\(-1, H, W\)"):
        load_data((pd.DataFrame(np.zeros((60, 67))), y))


@pytest.mark.usefixtures("photos")
def test_a_table_of_files_with_many_columns_is_not_of_pixels() -> None:
    """One-hot columns of 64 classes beside the paths stay classes."""
    table = pd.DataFrame({"picture": ["all/" + name for name in NAMES]})
    one_hot = pd.DataFrame(np.eye(70, dtype=int)[[k % 3 for k in range(12)]], columns=[f"c{k:02}" for k in range(70)])
    data = load_data(pd.concat([table, one_hot], axis=1), test="none", validation="none")
    assert data.classes == ("c00", "c01", "c02")


@pytest.mark.usefixtures("photos")
def test_numbers_written_with_a_point_are_the_same_classes_everywhere(photos: Path) -> None:
    """0.0 next to a missing value is 0, in a CSV as in a DataFrame; 0.5 stays what it is."""
    table = pd.DataFrame({"file": NAMES, "label": [float(k % 3) for k in range(12)]})
    table.to_csv(photos / "t.csv", index=False)
    assert load_data(table, data_dir="all").classes == load_data("all", labels="t.csv").classes == ("0", "1", "2")
    (photos / "t.csv").write_text((photos / "t.csv").read_text().replace("2.0", "2.5"))
    assert load_data("all", labels="t.csv").classes == ("0.0", "1.0", "2.5")
