"""Tables of labels as people have them: any columns, encodings and spellings of paths, and tables beside the images."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cifar_files import tar_of
from command import run
from image_files import picture, png, tree

from layerline.data import load_data
from layerline.data.photos import cache, image_stack, label_table, several_labels
from layerline.errors import DataError

NAMES = [f"IMG_{k:03}.PNG" for k in range(12)]
OF = {name: "ab"[k % 2] for k, name in enumerate(NAMES)}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the folder `train` of 12 images, in which the test runs."""
    tree(tmp_path / "train", {name: png(picture(k)) for k, name in enumerate(NAMES)})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def labels(source: str | Path, **options) -> dict[str, str]:
    """Return the label of each image of the training set."""
    data = load_data(source, **{"test": "none", "validation": "none"} | options)
    image_set = data.train.source
    return {name: data.classes[label] for name, label in zip(image_set.names, image_set.labels, strict=True)}


def rows(line: str = "{name},{label}", of: dict[str, str] = OF) -> str:
    """Return a line for each file."""
    return "".join(line.format(name=name, label=label, k=k) + "\n" for k, (name, label) in enumerate(of.items()))


def notes(text: str | bytes, **options) -> str:
    """Return the notes about the data, whose labels must be those of OF, read from a table of this content."""
    Path("t.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert labels("train", labels="t.csv", **options) == OF
    return "\n".join(load_data("train", labels="t.csv", **options).notes)


def refused(text: str, **options) -> str:
    """Return the error about a table of this content, as the command line prints it."""
    Path("t.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        load_data("train", labels="t.csv", **options)
    return f"{caught.value.message}\n{caught.value.help}"


# Columns


@pytest.mark.parametrize(
    ("header", "line", "told"),
    [
        ("Datei;Klasse", "{name};{label}", "the column Klasse is used as label"),
        ("ImageId,LabelName", "{name},{label}", "the column ImageId is used as file"),
        ("file_name,label", "{name},{label}", "the column file_name is used as file"),
        (",image,label", "{k},{name},{label}", "column without a name"),
        ("foto,art,note", "{name},{label},n{k}", "the column art is used as label"),
        ("foto,art,menge", "{name},{label},training", "the column art is used as label"),
        ("foto,id,kind_id,kind", "{name},{k},{label}1,{label}", "the column kind is used as label"),
        ("file,image,label", "old{k}.png,{name},{label}", "the column image is used as file"),
    ],
)
@pytest.mark.usefixtures("here")
def test_columns_are_found_by_what_is_in_them(header, line, told):
    """The one column that names files and the one that repeats, whatever they are called; a note says which."""
    of = {"a": "0", "b": "1"}
    text = rows(line)
    if "kind_id" in header:
        text = re.sub(r"([ab])1,", lambda match: f"{of[match[1]]},", text)
    assert told in notes(f"{header}\n{text}")


@pytest.mark.parametrize("line", ["{name},{label}", "{k},{name},{label}", "{label}\t{name}", "train/{name} {label}"])
@pytest.mark.usefixtures("here")
def test_a_table_without_a_header_is_read_from_its_first_line(line):
    """No image is lost as a header, with numbered lines and with spaces between the cells, as caffe's lists have."""
    assert "t.csv has no header: column" in notes(rows(line))


@pytest.mark.usefixtures("here")
def test_a_first_line_that_ends_like_a_photo_is_no_header():
    """Even if neither its file nor its label occurs anywhere else."""
    assert "t.csv:1: the file IMG_900.PNG is not in train" in refused("IMG_900.PNG,zebra\n" + rows())


@pytest.mark.parametrize("line", ["{name},{label}", "{name},{label},{label}x"])
@pytest.mark.usefixtures("here")
def test_a_first_line_whose_photo_is_absent_is_no_header(line):
    """It is refused as a photo that is not there, instead of being taken for the names of the columns."""
    text = (line.format(name="IMG_900.PNG", label="a") + "\n" + rows(line)).replace(".PNG", "")
    assert "t.csv:1: the file IMG_900 is not in train" in refused(text, label_column="2")


@pytest.mark.usefixtures("here")
def test_two_columns_that_repeat_are_named_with_the_command_that_picks_one():
    """Each of the two commands works, and takes its column."""
    table = "foto,art,farbe\n" + "".join(f"{name},{'ab'[k % 2]},{'rg'[k // 6]}\n" for k, name in enumerate(NAMES))
    message = refused(table)
    assert "the columns art and farbe each have repeated values: which one has the labels?" in message
    command = re.search(r"layerline (data info .*), or farbe", message)[1]
    assert "\na " in run(Path(), *shlex.split(command)).stdout
    assert set(labels("train", labels="t.csv", label_column="farbe").values()) == {"r", "g"}


@pytest.mark.usefixtures("here")
def test_a_column_may_be_named_by_its_number():
    """For tables without a header; a number that is a name is this name first."""
    assert "column 3 as file, column 2 as label" in notes(
        rows("x{k},{label},{name}"), file_column="3", label_column="2"
    )
    assert "the column 1 is used as label" in notes(f"file,2,1\n{rows('{name},{k},{label}')}", label_column="1")


@pytest.mark.usefixtures("here")
def test_a_column_of_splits_is_one_whatever_its_name():
    """`menge` with train and test is the split, as a note says, and not one of two possible labels."""
    text = "foto,art,menge\n" + "".join(
        f"{name},{OF[name]},{'train' if k < 8 else 'test'}\n" for k, name in enumerate(NAMES)
    )
    Path("t.csv").write_text(text)
    data = load_data("train", labels="t.csv", validation="none")
    assert (len(data.train), len(data.test)) == (8, 4)
    assert any("the column menge is used as split" in note for note in data.notes)


# Names of files


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("train/{name},{label}", ""),
        (r"train\{name},{label}", ""),
        (
            "/home/ana/project/train/{name},{label}",
            "matched by their ends, such as /home/ana/project/train/IMG_000.PNG",
        ),
        (r"C:\fotos\{name},{label}", r"matched by their ends, such as C:\fotos\IMG_000.PNG"),
        ("https://a.b/c/{name},{label}", "matched by their ends"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_paths_of_other_places_are_matched_by_their_ends(here, line, told, packed):
    """Absolute ones, those of Windows and those that begin with the folder's own name; in an archive, too."""
    table = f"file,label\n{rows(line)}"
    found = notes(table)
    assert told in found
    assert ("matched by" in found) == bool(told)
    if packed:
        (here / "train.tar").write_bytes(tar_of({name: png(picture(k)) for k, name in enumerate(NAMES)}))
        assert labels("train.tar", labels="t.csv") == OF


def test_paths_of_another_split_or_of_two_folders_are_not_matched(here):
    """`/data/test/1.png` is no file of train/, and `a/1.png` with `b/2.png` are not both in it."""
    assert "12 of 12 files are not in train" in refused(f"file,label\n{rows('/data/test/{name},{label}')}")
    assert "12 of 12 files are not in train" in refused(f"file,label\n{rows('{label}/{name},{label}')}")
    (here / "train").rename(here / "photos")
    Path("t.csv").write_text(f"file,label\n{rows('/data/test/{name},{label}')}")
    assert labels("photos", labels="t.csv") == OF


def test_another_case_is_the_file_if_it_is_the_only_one(here):
    """`img_000.png` is IMG_000.PNG, and a note counts them; with both on disk each is itself."""
    text = f"file,label\n{rows()}"
    told = notes(text.replace("IMG", "img").replace("PNG", "png"))
    assert "12 files are spelled in a different case, such as img_000.png: IMG_000.PNG" in told
    tree(here / "train", {"img_000.png": png(picture(99))})
    if len(list((here / "train").iterdir())) > len(NAMES):  # the file system tells cases apart
        Path("t.csv").write_text(text + "img_000.png,b\n")
        assert labels("train", labels="t.csv") == {**OF, "img_000.png": "b"}


# As Excel saves them


GERMAN = {name: "Käfer" if label == "a" else "Gras" for name, label in OF.items()}


@pytest.mark.parametrize(
    ("encode", "told"),
    [
        (
            lambda text: text.encode("cp1252"),
            "t.csv is not UTF-8 and is read as Windows-1252, as Excel saves CSV: Käfer",
        ),
        (lambda text: text.encode("utf-8-sig"), ""),
        (lambda text: text.replace(";", "\t").encode("utf-16"), ""),
        (lambda text: ("sep=;\n" + text).encode(), ""),
        (lambda text: (text.replace("\n", ";;\n") + ";;;\n;\n").encode(), ""),
        (lambda text: text.replace(";", " ; ").replace("file", "File").encode(), ""),
    ],
)
@pytest.mark.usefixtures("here")
def test_tables_of_excel_are_read(encode, told):
    """ANSI, UTF-8 with a mark, Unicode text, sep=;, empty columns and lines at the end, spaces around cells."""
    Path("t.csv").write_bytes(encode("file;label\n" + rows("{name};{label}", GERMAN)).replace(b"\n", b"\r\n"))
    if encode("x;").startswith(b"\xff\xfe"):
        Path("t.csv").write_bytes(encode("file;label\r\n" + rows("{name};{label}\r", GERMAN)))
    assert labels("train", labels="t.csv") == GERMAN
    found = [note for note in load_data("train", labels="t.csv").notes if "t.csv" in note]
    assert found == [told] * bool(told)


@pytest.mark.usefixtures("here")
def test_lines_without_a_label_or_a_photo_are_counted_and_may_be_skipped():
    """The message has their number, the first names, and the --skip-bad that reads the others, with a note."""
    text = f"file,label\n{rows()}".replace("IMG_003.PNG,b", "IMG_003.PNG,").replace("IMG_004.PNG,a", "IMG_004.PNG,")
    message = refused(text)
    assert "t.csv:5: 2 of 12 lines have no label" in message
    skip = float(re.search(r"--skip-bad ([\d.]+)", message)[1])
    left = {name: label for name, label in OF.items() if name not in ("IMG_003.PNG", "IMG_004.PNG")}
    assert labels("train", labels="t.csv", skip_bad=skip) == left
    told = load_data("train", labels="t.csv", skip_bad=skip).notes
    assert any(
        "2 of 12 lines cannot be used and are skipped (--skip-bad 0.17), such as t.csv:5: no label" in n for n in told
    )
    message = refused(f"file,label\n{rows()}x1.png,a\nx2.png,b\nx3.png,a\nx4.png,b\n")
    assert "4 of 16 files are not in train: x1.png, x2.png, x3.png, …" in message
    assert labels("train", labels="t.csv", skip_bad=float(re.search(r"--skip-bad ([\d.]+)", message)[1])) == OF


@pytest.mark.usefixtures("here")
def test_an_excluded_file_needs_no_label():
    """Its line is ignored, whatever it has."""
    Path("t.csv").write_text(f"file,label\n{rows()}".replace("IMG_003.PNG,b", "IMG_003.PNG,"))
    assert "IMG_003.PNG" not in labels("train", labels="t.csv", exclude="IMG_003*")


# Several labels


@pytest.mark.parametrize(
    ("names", "lists"),
    [
        ("cat;cat dog;dog", "cat dog"),
        ("a|b;c", "a|b"),
        ("w1;w1 clear;w2;w2 clear", "w1 clear;w2 clear"),
        ("clear primary;clear primary water;haze primary;haze primary water", "*"),
        ("0;3;0 3", "0 3"),
        ("red,blue;red;blue", "red,blue"),
        ("golden retriever;labrador retriever;pug", ""),
        ("apple pie;apple;pug", ""),
        ("left hand;right hand;left foot;right foot", ""),
        ("tench, Tinca tinca;goldfish, Carassius auratus", ""),
        ("T-shirt/top;Ankle boot", ""),
        ("class 1;class 2", ""),
    ],
)
def test_lists_of_labels_are_told_from_names_of_several_words(names, lists):
    """A list is one whose parts are labels too, or a word that is added to several; a name of two words is a name."""
    separator = ";"
    known = set(names.split(separator))
    expected = known if lists == "*" else set(filter(None, lists.split(separator)))
    assert several_labels.lists(known) == expected


@pytest.mark.usefixtures("here")
def test_several_labels_on_a_line_are_refused_and_a_named_column_is_believed():
    """`cat dog` beside `cat` and `dog` is refused with the count; with --label-column as told it is a class."""
    of = {name: ("cat", "dog", "cat dog")[k % 3] for k, name in enumerate(NAMES)}
    message = refused(f"file,label\n{rows(of=of)}")
    assert "t.csv:4: 4 of 12 lines have several labels (cat dog)" in message
    assert message.endswith(
        "if cat dog is a single class: layerline data info train --labels t.csv --label-column label"
    )
    assert labels("train", labels="t.csv", label_column="label") == of


# Tables inside the folder


HOT = "filename, good, scratched\n"


def hot(names: list[str]) -> bytes:
    return (HOT + "".join(f"{name}, {k % 2}, {1 - k % 2}\n" for k, name in enumerate(names))).encode()


def test_a_table_of_one_hot_columns_in_each_split_is_read(tmp_path):
    """Roboflow's `_classes.csv` beside the images of train, valid and test: the splits are those of the folders."""
    for split, count in {"train": 8, "valid": 4, "test": 6}.items():
        names = [f"{split}-{k}.png" for k in range(count)]
        files = {name: png(picture(k)) for k, name in enumerate(names)}
        tree(tmp_path / "export" / split, {**files, "_classes.csv": hot(names)})
    data = load_data(tmp_path / "export")
    assert (len(data.train), len(data.validation), len(data.test)) == (8, 4, 6)
    assert data.classes == ("good", "scratched")
    assert data.train.labels.tolist() == [0] * 4 + [1] * 4
    assert any("labels are from test/_classes.csv and 2 more tables" in note for note in data.notes)
    broken = (tmp_path / "export/test/_classes.csv").read_bytes() + b"test-5.png, 1, 1\n"
    (tmp_path / "export/test/_classes.csv").write_bytes(broken.replace(b"test-5.png, 1, 0\n", b""))
    with pytest.raises(DataError, match=r"1 of 6 lines has several labels \(good, scratched\)"):
        load_data(tmp_path / "export")


@pytest.mark.parametrize("names", [["metadata.csv"], ["metadata.jsonl"], ["metadata.csv", "metadata.jsonl"]])
@pytest.mark.parametrize("around", ["", "train/"])
def test_an_imagefolder_of_hugging_face_is_read(here, names, around):
    """metadata.csv or .jsonl beside the images, with `file_name` and `label`; two that agree are one."""
    (here / "train").rename(here / "set")
    if around:
        (here / "set").rename(here / "train")
        (here / "set").mkdir()
        (here / "train").rename(here / "set/train")
    content = {
        "metadata.csv": "file_name,label\n" + rows(),
        "metadata.jsonl": "\n".join(json.dumps({"file_name": name, "label": label}) for name, label in OF.items()),
    }
    for name in names:
        (here / "set" / around / name).write_text(content[name])
    assert labels("set") == {f"{around}{name}": label for name, label in OF.items()}
    assert any(f"labels are from {around}{names[0]}" in note for note in load_data("set").notes)


def test_a_table_that_names_no_images_changes_nothing(here):
    """The refusal is that of the folder: a metadata.csv about other things is passed over."""
    (here / "train/metadata.csv").write_text("camera,lens\nx,y\n")
    with pytest.raises(DataError, match="found images outside any class folder"):
        load_data("train")


def test_class_folders_are_read_before_a_table(tmp_path):
    """Where folders are classes, a metadata.csv inside is a text file, as a note says."""
    tree(tmp_path, {f"{c}/{k}.png": png(picture(k)) for c in "xy" for k in range(6)})
    (tmp_path / "metadata.csv").write_text(
        "file_name,label\n" + "".join(f"x/{k}.png,z\ny/{k}.png,w\n" for k in range(6))
    )
    data = load_data(tmp_path)
    assert data.classes == ("x", "y")
    assert any("text files (1), such as metadata.csv" in note for note in data.notes)


@pytest.mark.usefixtures("here")
def test_a_list_of_one_in_json_is_its_label_and_of_two_is_refused():
    """{"label": ["a"]} is `a`; {"label": ["a", "b"]} several labels."""
    lines = [json.dumps({"file_name": name, "label": [label]}) for name, label in OF.items()]
    assert "the column file_name is used as file" in notes("\n".join(lines))
    lines[3] = lines[3].replace('["b"]', '["a", "b"]')
    assert "t.csv:4: 1 of 12 lines has several labels (a|b)" in refused("\n".join(lines))


def test_an_archive_with_a_table_is_cached_with_its_labels(here, monkeypatch):
    """Columns are found by content also in a tar; the cache gives the same labels and notes, for this table only."""
    monkeypatch.setattr(image_stack, "MAX_IN_MEMORY", 100)
    monkeypatch.setattr(cache, "BLOCK", 4096)
    (here / "train.tar").write_bytes(tar_of({f"x/{name}": png(picture(k)) for k, name in enumerate(NAMES)}))
    other = OF | dict.fromkeys(NAMES[:3], "b")
    found = []
    for of in (OF, OF, other):
        Path("t.csv").write_text(f"Datei,Klasse\n{rows(of=of)}")
        data = load_data("train.tar", labels="t.csv", cache=here / "cache", exclude="*_011*", test=0.2)
        found.append([note for note in data.notes if "cache" not in note])
        named = {
            name: data.classes[k] for name, k in zip(data.train.source.names, data.train.source.labels, strict=True)
        }
        assert named == {f"x/{name}": label for name, label in of.items() if name != NAMES[11]}
        assert len(list((here / "cache").glob("*.images"))) == (2 if of is other else 1)
    assert found[0] == found[1]
    assert any("the column Klasse is used as label" in note for note in found[1])


def test_lines_of_json_may_not_unfold_to_more_than_they_are(here):
    """Thousands of keys and a million lines without any are refused before a cell is made of them."""
    keys = {"file_name": NAMES[0], **{str(k): k for k in range(10_000)}}
    (here / "t.jsonl").write_text(json.dumps(keys) + "\n{}" * 10_000)
    with pytest.raises(DataError, match=r"t\.jsonl:3356: found 10,001 different keys on 3,356 lines"):
        load_data("train", labels="t.jsonl")


def test_many_columns_that_repeat_are_compared_once(here):
    """A thousand columns are no million comparisons, though each pair of them might be the same."""
    from work import Work

    lines = [",".join([name, *("abcd"[k * j // 7 % 4] for j in range(2, 1000))]) for k, name in enumerate(NAMES)]
    (here / "t.csv").write_text("\n".join([",".join(["file", *map(str, range(2, 1000))]), *lines]))
    with Work() as work, pytest.raises(DataError, match="each have repeated values: which one has the labels"):
        load_data("train", labels="t.csv")
    assert work.calls < 1_000_000


# Columns that divide the images


@pytest.mark.parametrize(
    ("name", "true", "false", "split"),
    [
        ("is_valid", "True", "False", "validation"),
        ("is_valid", "1", "0", "validation"),
        ("isVal", "true", "false", "validation"),
        ("is_test", "TRUE", "FALSE", "test"),
    ],
)
@pytest.mark.usefixtures("here")
def test_a_column_of_true_and_false_marks_a_split(name, true, false, split):
    """fastai's is_valid and the like; a note says what true is."""
    text = f"file,label,{name}\n" + "".join(
        f"{file},{label},{true if k < 4 else false}\n" for k, (file, label) in enumerate(OF.items())
    )
    Path("t.csv").write_text(text)
    data = load_data("train", labels="t.csv", **{"test": "none", "validation": "none"} | {split: None})
    marked = getattr(data, split)
    assert sorted(marked.source.names) == NAMES[:4]
    assert f"t.csv: the column {name} is used as split: true is {split}, false is train" in data.notes


@pytest.mark.parametrize("name", ["fold", "kfold", "Fold", "is_train"])
@pytest.mark.usefixtures("here")
def test_a_column_of_folds_is_not_used_and_that_is_noted(name):
    """It is no label either, and the note has the column to add."""
    text = f"file,kind,{name}\n" + "".join(
        f"{file},{label},{k % 3 % 2}\n" for k, (file, label) in enumerate(OF.items())
    )
    assert f"t.csv: the column {name} divides the images, but does not name splits, and is not used" in notes(text)


@pytest.mark.usefixtures("here")
def test_measurements_are_not_classes():
    """Numbers that are nearly all different are refused as that, and not as classes with one image each."""
    text = "file,age\n" + "".join(f"{file},{k * 1.37}\n" for k, file in enumerate(NAMES))
    assert (
        "t.csv:2: found 12 different numbers as labels of 12 images (0.0, 1.37, 2.74, …): these look like"
        in refused(text)
    )
    text = "file,age\n" + "".join(f"{file},{k // 2}\n" for k, file in enumerate(NAMES))
    assert "look like measurements" not in refused(text)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("file,caf\xe9.png;x", "caf\xe9.png"),
        ("\xe9", "\xe9"),
        ("ascii only", ""),
        ("a" * 100 + "\xe9" + "b" * 100, "a" * 40 + "\xe9" + "b" * 39),
        ("x" * 2**22, ""),
    ],
)
def test_the_word_of_a_guessed_encoding_is_found_in_one_pass(text, word):
    """It is an example for a note; of a long word only the surroundings, and 4 MB without one do not hang."""
    assert label_table._foreign_word(text) == word


# Notes on the whole set


def test_classes_that_differ_only_in_case_are_reported_wherever_labels_come_from(here: Path) -> None:
    """Folders, a table, names, a DataFrame and arrays all have the note: cat and Cat may be a slip."""
    said = "Cat and cat are separate classes"
    of = {name: ("cat", "Cat")[k % 2] for k, name in enumerate(NAMES)}
    Path("t.csv").write_text("file,label\n" + rows(of=of))
    tree(here / "named", {f"{label}_{name}": Path("train", name).read_bytes() for name, label in of.items()})
    frame = pd.DataFrame({"file": [f"train/{name}" for name in of], "label": list(of.values())})
    arrays = np.zeros((12, 8, 8), np.uint8), np.array(list(of.values()))
    for source, options in (
        ("train", {"labels": "t.csv"}),
        ("named", {"label_by": "^([a-zA-Z]+)_"}),
        (frame, {}),
        (arrays, {}),
    ):
        assert said in load_data(source, **options).notes  # type: ignore[arg-type]


def test_a_table_that_is_used_is_not_among_the_ignored_files(here: Path) -> None:
    """Neither one named by --labels, in the folder or copied into the archive, nor one found inside the folder."""
    table = "file_name,label\n" + rows()
    files = {name: Path("train", name).read_bytes() for name in NAMES}
    tree(here / "own", {**files, "t.csv": table.encode(), "readme.txt": b"x"})
    tree(here / "found/train", {**files, "metadata.csv": table.encode()})
    Path("t.csv").write_text(table)
    (here / "own.tar").write_bytes(
        tar_of({"own/t.csv": table.encode(), **{f"own/{name}": each for name, each in files.items()}})
    )
    (here / "other.tar").write_bytes(
        tar_of({"own/t.csv": b"other", **{f"own/{name}": each for name, each in files.items()}})
    )

    def ignored(source: str, **options: str) -> list[str]:
        return [note for note in load_data(source, **options).notes if "text files" in note]  # type: ignore[arg-type]

    assert ignored("own", labels="own/t.csv") == ["ignored in own: text files (1), such as readme.txt"]
    assert ignored("own", labels="t.csv") == ["ignored in own: text files (2), such as readme.txt"]
    assert ignored("found") == []
    assert ignored("own.tar", labels="t.csv") == []
    assert ignored("other.tar", labels="t.csv") == ["ignored in other.tar: text files (1), such as own/t.csv"]
