"""Folders called like a split are never classes: they are read as splits, or refused with the command that works."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from cifar_files import packed, tar_of
from command import run
from image_files import picture, png, tree

from layerline.data import load_data
from layerline.data.photos import split_names
from layerline.errors import DataError

TRAIN = "train Training TRAIN train_images trainImages train_set trainset Train-Set tr seg_train images_train train2017"
VALIDATION = "valid val Validation val_images validation_set valset dev eval devset evaluation VALID"
TEST = "test testing Test test_set testset test_images TestImages seg_test holdout hold_out Held-Out test1 PublicTest"
NONE = (
    "test_tube valid_coin testes training_shoe train_station contest images data detrain trained testament a 1 pretest"
)


@pytest.mark.parametrize(
    ("means", "names"),
    [("train", TRAIN), ("validation", VALIDATION), ("test", TEST), ("prediction", "pred seg_pred predictions")],
)
def test_a_split_goes_by_every_usual_name(means, names):
    """One table has them: one word for a split, in any case, with words like images, set, seg, or a number."""
    assert {name: split_names.meaning(name) for name in names.split()} == dict.fromkeys(names.split(), means)


def test_a_name_with_another_word_is_no_split():
    """`test_tube` and `valid_coin` hold a word of the table, and another one: they are classes."""
    assert {name: split_names.meaning(name) for name in NONE.split()} == dict.fromkeys(NONE.split())


@pytest.mark.parametrize(
    ("names", "public"),
    [
        ("train PublicTest PrivateTest", "validation"),
        ("train public_test private_test", "validation"),
        ("train test_public test_private", "validation"),
        ("train PublicTest", "test"),
        ("train valid PublicTest PrivateTest", "test"),
    ],
)
def test_a_public_test_set_next_to_a_private_one_is_the_validation_set(names, public):
    """As in FER2013; alone, or with a validation set, it is a test set."""
    found = split_names.splits_of(names.split())
    assert {found[name] for name in found if "ublic" in name} == {public}
    assert {found[name] for name in found if "rivate" in name} <= {"test"}


@pytest.mark.parametrize(
    "options", [{}, {"label_by": "(a|b)_"}, {"table": "t.csv"}, {"table": "set/t.csv"}, {"table": "set/metadata.csv"}]
)
def test_public_and_private_test_sets_are_noted_wherever_they_are_read(tmp_path, monkeypatch, options):
    """Folders with classes, labels from names, and tables read them alike, with the same note."""
    monkeypatch.chdir(tmp_path)
    counts = {"Training": 8, "PublicTest": 2, "PrivateTest": 3}
    rows = [(split, "ab"[k % 2], k) for split, count in counts.items() for k in range(2 * count)]
    between = "/" if not options else "_"
    names = [f"{split}/{label}{between}{split}{k}.png" for split, label, k in rows]
    tree(tmp_path / "set", {name: png(picture(at, (8, 8))) for at, name in enumerate(names)})
    table = options.get("table", "")
    usage = table.endswith("t.csv")  # the folders of metadata.csv are the splits
    if table:
        lines = [f"{name},{row[1]}" + usage * f",{row[0]}" for name, row in zip(names, rows, strict=True)]
        Path(table).write_text("\n".join(["file,label" + usage * ",Usage", *lines]))
    data = load_data("set", **({"labels": table} if usage else {} if table else options))
    assert [len(data.train.labels), len(data.validation.labels), len(data.test.labels)] == [16, 4, 6]
    assert "PublicTest is used as validation, PrivateTest as test" in data.notes


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        ("train bus car", ""),
        ("valid invalid", ""),
        ("tr de en", ""),
        ("test_tube flask", ""),
        ("train cat dog", "train"),
        ("train train_images bus", "train train_images"),
        ("valid cat", "valid"),
        ("cat dog test", "test"),
        ("sample test train", "test train"),
        ("tr te", "te tr"),
        ("train bus test", "test train"),
    ],
)
def test_a_lone_word_of_two_meanings_goes_by_its_company(names, splits):
    """A train beside a bus is a vehicle, beside a cat or a test set it is a split; no other name is ever a class."""
    assert sorted(split_names.among(names.split())) == splits.split()


def photos(*folders: str, count: int = 8, first: int = 0) -> dict[str, bytes]:
    """Return so many images, each different, for each folder."""
    return {
        f"{folder}/{first + k}.png": png(picture(1000 * number + k))
        for number, folder in enumerate(folders)
        for k in range(count)
    }


def put(folder: Path, files: dict[str, bytes], way: str) -> str:
    """Write files as a folder or an archive, and return its name."""
    tree(folder / "set", files)
    if way == "folder":
        return "set"
    (folder / "set.tgz").write_bytes(packed(tar_of(files)))
    return "set.tgz"


def refused(folder: Path, source: str, monkeypatch: pytest.MonkeyPatch, **options: object) -> str:
    """Return the message with which a data set is refused."""
    monkeypatch.chdir(folder)
    with pytest.raises(DataError) as caught:
        load_data(source, **options)
    return caught.value.with_flags


def pasted(folder: Path, message: str) -> str:
    """Type the command that a message names, and return what it prints."""
    command = re.search(r"layerline (data info [^;\n]*)", message)
    assert command is not None, message
    ended = run(folder, *shlex.split(command[1]))
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


BOTH = pytest.mark.parametrize("way", ["folder", "archive"])


@BOTH
@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Training", "Testing"),
        ("train_images", "test_images"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("Train-Set", "TEST"),
        ("trainset/images", "testset/images"),
        ("tr", "holdout"),
        ("data/train/train", "data/test"),
    ],
)
def test_splits_are_read_by_any_name_and_through_a_folder_between(tmp_path, train, test, way):
    """Each holds the same classes, also below a folder of its own name or `images`: they are training and test."""
    files = {**photos(f"{train}/cat", f"{train}/dog"), **photos(f"{test}/cat", f"{test}/dog", count=3, first=100)}
    data = load_data(tmp_path / put(tmp_path, files, way), validation="none")
    assert data.classes == ("cat", "dog")
    assert (len(data.train), len(data.test)) == (16, 6)
    assert all(test.split("/")[-1] in name for name in data.test.source.names)


@BOTH
def test_classes_in_other_case_are_the_same(tmp_path, way):
    """`With Mask` in test is `with mask` of train, and a note says so; where train has both, nothing is guessed."""
    files = {**photos("train/cat", "train/dog"), **photos("test/Cat", "test/DOG", count=3, first=100)}
    data = load_data(tmp_path / put(tmp_path, files, way))
    assert data.classes == ("cat", "dog")
    assert data.notes == ("test: Cat is treated as cat (and 1 more)",)
    tree(tmp_path / "set", photos("train/CAT"))
    with pytest.raises(DataError, match="test has Cat but is missing CAT, cat; expected"):
        load_data(tmp_path / "set")


@BOTH
def test_images_right_in_splits_are_refused_with_their_table(tmp_path, monkeypatch, way):
    """`train_images/`, `test_images/` and `train.csv`: the table is named, and what is typed then reads it."""
    files = photos("train_images", "test_images")
    table = "image_id,label\n" + "".join(f"{k}.png,{'ab'[k % 2]}\n" for k in range(8))
    source = put(tmp_path, {**files, "train.csv": table.encode(), "sample_submission.csv": b"image_id,label\n"}, way)
    (tmp_path / "train.csv").write_text(table)
    message = refused(tmp_path, source, monkeypatch)
    assert (
        f"{source}: found images directly in test_images and train_images, and the table train.csv next to them"
        in message
    )
    assert "splits are not classes" in message
    assert ("unpack train.csv, then: " in message) == (way == "archive")
    told = pasted(tmp_path, message)
    assert re.search(r"^all +\d+ +\d+ +\d+ +8 ", told, re.MULTILINE)
    assert "image_id is used as file" in told


def test_images_right_in_splits_without_a_table(tmp_path, monkeypatch):
    """`train/`, `test/` and `sample/` of images alone: refused, never three classes."""
    message = refused(tmp_path, put(tmp_path, photos("train", "test", "sample"), "folder"), monkeypatch)
    assert "found images directly in sample, test and train; expected a folder for each class inside" in message
    message = refused(tmp_path / "set", "train", monkeypatch)
    assert "outside any class folder" in message


@BOTH
@pytest.mark.parametrize(
    ("files", "seen"),
    [
        (("train/images/1.jpg", "valid/images/2.jpg"), ("train/labels/1.txt", "valid/labels/2.txt")),
        (("images/train/1.jpg", "images/val/2.jpg"), ("labels/train/1.txt", "labels/val/2.txt")),
        (("train/1.jpg", "test/2.jpg"), ("train/_annotations.coco.json",)),
        (("JPEGImages/1.jpg", "JPEGImages/2.jpg"), ("Annotations/1.xml", "Annotations/2.xml")),
        (("train/images/1.jpg", "train/images/2.jpg"), ("train/labels/1.txt", "data.yaml")),
    ],
)
def test_an_object_detection_export_is_named_as_one(tmp_path, monkeypatch, files, seen, way):
    """Images with a text file of boxes each, in any of the usual folders, are no classes."""
    images = {name: png(picture(k)) for k, name in enumerate(files)}
    source = put(tmp_path, images | dict.fromkeys(seen, b"0 0.5 0.5 0.2 0.2\n"), way)
    message = refused(tmp_path, source, monkeypatch)
    assert f"{source}: found an object detection export ({seen[0] if 'coco' in seen[0] else files[0]}" in message


@BOTH
@pytest.mark.parametrize("extra", ["test", "seg_pred/seg_pred", "unlabeled", "my, [odd] folder"])
def test_images_without_a_class_beside_splits_are_refused_with_the_command(tmp_path, monkeypatch, extra, way):
    """`test/` or `seg_pred/` of images alone beside `train/CLASS`: the command of the message leaves them out."""
    source = put(tmp_path, photos("train/cat", "train/dog", extra), way)
    message = refused(tmp_path, source, monkeypatch)
    assert f"found images in {extra.split('/', maxsplit=1)[0]} outside any class folder" in message
    told = pasted(tmp_path, message)
    assert re.search(r"^all +\d+ +\d+ +\d+ +16 ", told, re.MULTILINE)


@BOTH
def test_a_split_beside_classes_is_refused(tmp_path, monkeypatch, way):
    """`test/` beside `cat/` and `dog/` is no third class."""
    message = refused(tmp_path, put(tmp_path, photos("cat", "dog", "test_images"), way), monkeypatch)
    assert "found test_images, named like a split, next to cat and dog" in message
    assert "class" in pasted(tmp_path, message)


def test_a_class_called_train_among_vehicles_is_one(tmp_path):
    """It is read, with a note; so is one below a split."""
    tree(tmp_path / "a", photos("bus", "car", "train"))
    data = load_data(tmp_path / "a")
    assert data.classes == ("bus", "car", "train")
    assert data.notes == ("train is treated as a class, not as a split",)
    tree(tmp_path / "b", photos("train/bus", "train/train", "test/bus", "test/train"))
    assert load_data(tmp_path / "b").classes == ("bus", "train")


def test_splits_at_the_level_of_classes_inside_a_split_are_refused(tmp_path, monkeypatch):
    """`train/train` beside `train/test`: two splits, wherever they stand."""
    files = photos("train/train", "train/test", "test/train", "test/test")
    assert "splits are not classes" in refused(tmp_path, put(tmp_path, files, "folder"), monkeypatch)


def test_the_column_split_knows_the_same_names(tmp_path):
    """`Training`, `dev` and `test_set` in a table are what they are as folders; `pred` is none."""
    tree(tmp_path / "set", photos("x"))
    rows = "".join(f"x/{k}.png,{'ab'[k % 2]},{('Training', 'dev', 'test_set', 'TRAIN')[k // 2]}\n" for k in range(8))
    (tmp_path / "l.csv").write_text("file,label,split\n" + rows)
    data = load_data(tmp_path / "set", labels=tmp_path / "l.csv")
    assert (len(data.train), len(data.validation), len(data.test)) == (4, 2, 2)
    (tmp_path / "l.csv").write_text("file,label,split\n" + rows.replace("dev", "pred"))
    with pytest.raises(DataError, match="unknown split pred"):
        load_data(tmp_path / "set", labels=tmp_path / "l.csv")


# tables


def table(folder: Path, text: str, files: dict[str, bytes] | None = None) -> Path:
    """Write images of `a` and `b`, and a table for them."""
    tree(folder / "set", files or photos("train"))
    (folder / "l.csv").write_text(text)
    return folder / "set"


@pytest.mark.parametrize(
    ("header", "name"),
    [("image_id,label", "{}.png"), ("id,breed", "{}"), ("ImageId,LabelName", "train/{}.png"), ("id,thing", "./{}.png")],
)
def test_tables_of_other_columns(tmp_path, header, name):
    """Columns called image_id or class are read where one alone can be meant, file names also without ending."""
    rows = "".join(f"{name.format(k)},{'ab'[k % 2]}\n" for k in range(8))
    data = load_data(table(tmp_path, f"{header}\n{rows}"), labels=tmp_path / "l.csv")
    assert data.classes == ("a", "b")
    assert data.train.source.labels.tolist() == [0] * 4 + [1] * 4
    assert any("is used as file" in note for note in data.notes)


def test_a_table_with_a_column_for_each_class(tmp_path):
    """The class is the column that is 1; two of them are several labels, and with another value it is no such table."""
    rows = [f"{k}.png, {1 - k % 2}, {k % 2}" for k in range(8)]
    folder = table(tmp_path, "\n".join(["filename, good, scratched", *rows]))
    assert load_data(folder, labels=tmp_path / "l.csv").classes == ("good", "scratched")
    table(tmp_path, "\n".join(["filename, good, scratched", *rows[:-1], "7.png,1,1"]))
    with pytest.raises(DataError, match=r"l\.csv:9: 1 of 8 lines has several labels \(good, scratched\)"):
        load_data(folder, labels=tmp_path / "l.csv")
    table(tmp_path, "\n".join(["filename, good, scratched", *rows[:-1], "7.png,0.3,1"]))
    with pytest.raises(DataError, match=r"found 0\.3 in the column good"):
        load_data(folder, labels=tmp_path / "l.csv")


@BOTH
def test_a_line_that_may_mean_two_files_is_refused(tmp_path, monkeypatch, way):
    """`0.png` is in train/ and in test/: without --exclude nobody knows which has the label."""
    rows = "file,label\n" + "".join(f"{k}.png,{'ab'[k % 2]}\n" for k in range(8))
    table(tmp_path, rows)
    source = put(tmp_path, photos("train", "test"), way)
    message = refused(tmp_path, source, monkeypatch, labels="l.csv")
    assert "l.csv:2: the file 0.png is ambiguous in" in message
    assert len(load_data(source, labels="l.csv", exclude="test").train.source.labels) == 8


@pytest.mark.parametrize("word", ["NaN", "nan", "N/A", "None", "null"])
def test_a_class_called_nan_is_told(tmp_path, word):
    """Programs write NaN where a cell is empty: the class is read, and a note has the first line."""
    rows = "file,label\n" + "".join(f"{k}.png,{word if k > 4 else 'ab'[k % 2]}\n" for k in range(8))
    data = load_data(table(tmp_path, rows), labels=tmp_path / "l.csv", test="none", validation="none")
    told = [note for note in data.notes if "treated as a class" in note]
    assert told == [f"{word} is treated as a class, on 3 lines such as {tmp_path}/l.csv:7: is its label missing?"]
