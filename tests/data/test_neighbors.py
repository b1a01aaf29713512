"""Refusals that look around a folder: stray images, tables next to it, its siblings, and the folder of a table."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
from cifar_files import tar_of
from command import run
from image_files import picture, png, tree

from layerline.data import load_data
from layerline.data.photos import name_patterns
from layerline.errors import DataError

CLASSES = [f"{kind}/{k}.png" for kind in ("cat", "dog") for k in range(20)]
SPLITS = [f"{split}/{name}" for split in ("train", "val") for name in CLASSES]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def images(names: list[str]) -> dict[str, bytes]:
    return {name: png(picture(k)) for k, name in enumerate(names)}


def refused(source: str, **options) -> str:
    """Return the error as the command line prints it."""
    with pytest.raises(DataError) as caught:
        load_data(source, **options)
    return f"{caught.value.message}\n{caught.value.help}"


def works(here: Path, text: str) -> str:
    """Return the output of the first command in a message, which must succeed."""
    command = re.search(r"layerline (data info .*?)(?:; | \(|$)", text, re.MULTILINE)[1]
    done = run(here, *shlex.split(command))
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


@pytest.mark.parametrize("names", [CLASSES, SPLITS], ids=["classes", "splits"])
@pytest.mark.parametrize(
    ("loose", "exclude"),
    [
        (["x.png"], "x.png"),
        ([f"loose{k}.png" for k in range(12)], "'loose*.png'"),
        (["b.png", "a.png"], "a.png,b.png"),
        (["cover [1].png"], "'cover ?1?.png'"),
    ],
)
@pytest.mark.parametrize("top", ["", "photos/"])
def test_images_next_to_folders_are_named_and_excluded(here, names, loose, exclude, top):
    """The reason is the stray images, not the folders, and the command works when it is pasted."""
    tree("set", images([top + name for name in [*names, *loose]]))
    text = refused("set")
    where = "in photos" if top else "at the top level"
    count = f"{len(loose)} image{'s' * (len(loose) > 1)}"
    assert f"set: found {count} {where} ({min(loose)}" in text
    assert text.endswith(f"--exclude {exclude}")
    assert "cat" in works(here, text)
    if exclude == "x.png":
        (here / "set.tar").write_bytes(tar_of(images([top + name for name in [*names, *loose]])))
        assert "cat" in works(here, refused("set.tar"))


def test_a_stray_image_named_like_another_cannot_be_excluded():
    """A pattern would omit others as well."""
    tree("set", images([*CLASSES, "1.png"]))
    assert "found 1 image at the top level (1.png)" in refused("set")
    assert refused("set").endswith("move it into one of these folders, or elsewhere")
    tree("all", images([*CLASSES, "7.png", "8.png"]))
    assert refused("all").endswith("move them into one of these folders, or elsewhere")


def test_a_flat_folder_is_offered_the_table_next_to_it(here):
    """One that names its images, wherever the command runs; without one, --labels is still mentioned."""
    names = [f"img{k:04}.png" for k in range(40)]
    tree("set/flat", images(names))
    assert refused("set/flat").endswith("or pass a table with the columns file and label: --labels FILE")
    (here / "set/other.csv").write_text("a,b\n1,2\n")
    (here / "set/t.csv").write_text("path,label\n" + "".join(f"flat/{n},{'ab'[k % 2]}\n" for k, n in enumerate(names)))
    text = refused("set/flat")
    assert "use the labels in set/t.csv: layerline data info set/flat --labels set/t.csv" in text
    works(here, text)
    works(here / "set/flat", run(here / "set/flat", "data", "info", ".").stderr)


def test_one_class_folder_is_offered_the_folder_around_it(here):
    """If all its siblings have images, and none is named like a split."""
    tree("set", images(CLASSES))
    assert "pass the folder around them: layerline data info set" in refused("set/cat")
    assert "dog" in works(here, refused("set/cat"))
    assert "layerline data info .." in run(here / "set/cat", "data", "info", ".").stderr
    tree("flat", images(["train/1.png", "train/2.png", "test/1.png"]))
    assert "around" not in refused("flat/train")
    tree("set", {"notes/readme.txt": b"x"})
    assert "around" not in refused("set/cat")


@pytest.mark.parametrize("where", ["pictures/", "", "/"])
@pytest.mark.parametrize("table", ["t.csv", "t.jsonl", "t.tsv"])
def test_a_table_of_files_is_answered_with_the_command(here, where, table):
    """`--data t.csv`: the folder is found by the paths in it, absolute, relative, or in a folder next to the table."""
    names = [f"{k:02}.png" for k in range(40)]
    tree("set/pictures", images(names))
    start = f"{here}/set/pictures/" if where == "/" else where
    rows = [(f"{start}{name}", "ab"[k % 2]) for k, name in enumerate(names)]
    forms = {
        "t.csv": "file,label\n" + "".join(f"{name},{label}\n" for name, label in rows),
        "t.tsv": "file\tlabel\n" + "".join(f"{name}\t{label}\n" for name, label in rows),
        "t.jsonl": "".join(f'{{"file": "{name}", "label": "{label}"}}\n' for name, label in rows),
    }
    (here / "set" / table).write_text(forms[table])
    text = refused(f"set/{table}")
    assert f"set/{table}: found a table of file names (such as {start[:20]}" in text
    works(here, text)


def test_a_table_of_files_that_are_not_there_has_no_command(here):
    """Nothing is claimed about them, whatever the cells are."""
    (here / "t.csv").write_text("file,label\n" + "".join(f"{k}\0{'x' * 300}.png,a\n" for k in range(9)))
    assert "found a table" not in refused("t.csv")
    (here / "t.csv").write_text("file,label\n" + "".join(f"{'x' * 300}{k}.png,a\n" for k in range(9)))
    assert "found no table of pixels" in refused("t.csv")


@pytest.mark.parametrize("kind", ["info", "check", "show"])
@pytest.mark.parametrize("form", [["--data", "set"], ["--data=set"]])
def test_data_is_accepted_as_an_option_where_it_is_the_argument(here, kind, form):
    """Messages name --data, which only train has."""
    tree("set", images(CLASSES))
    assert run(here, "data", kind, *form).returncode == 0
    assert "--data" in (missing := run(here, "data", kind, "--data")).stderr
    assert missing.returncode == 2
    assert "needs a value" in missing.stderr


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        ([f"{k}_{n}.png" for n, k in enumerate([0, 1, 2, 0, 1, 2, 0, 1, 2, 3, 0, 0])], "0123"),
        ([f"{k}_{n}.png" for n, k in enumerate([0, 1, 2, 3])], ""),
        ([f"{k}_{n}.png" for n, k in enumerate("aabbaabbaabbc")], ""),
        ([f"{k}_{n}.png" for n, k in enumerate("aabbaabbddaabbc")], "abcd"),
    ],
)
def test_some_classes_may_have_one_image(names, classes):
    """If they are few, and three images per class are there on average."""
    found = name_patterns.proposals(names)
    assert ["".join(each.classes) for each in found[:1]] == [classes] * bool(classes)


@pytest.mark.parametrize("by", ["labels", "label_by"])
def test_a_class_that_cannot_be_read_at_all_can_be_excluded(here, by):
    """Also if the classes are not folders: by what the names of its files have in common."""
    files = images([f"{kind}-{k}.png" for kind in ("cat", "dog", "fox") for k in range(20)])
    tree("set", files | {name: b"bad" for name in files if name.startswith("fox")})
    rows = "".join(f"{name},{name[:3]}\n" for name in files)
    (here / "t.csv").write_text(f"file,label\n{rows}")
    text = refused("set", **({"labels": "t.csv"} if by == "labels" else {"label_by": r"(\w+)-"}))
    assert "there are no other images of fox; to omit the class: layerline data info set --exclude 'fox-*.png'" in text
    assert "dog" in works(here, text[text.index("to omit") :])


def test_the_only_other_class_cannot_be_excluded():
    """A classifier needs two classes, which the message says."""
    files = images(CLASSES)
    tree("set", files | {name: b"bad" for name in files if name.startswith("dog")})
    assert refused("set").endswith("there are no other images of dog, and a classifier needs 2 classes")


def test_a_link_to_itself_is_a_file_that_cannot_be_read():
    """In a class it is listed as bad, next to the folders it is passed over."""
    tree("set", images(CLASSES))
    Path("set/loop").symlink_to("loop")
    assert "ignored in set: files outside any class folder (1), such as loop" in load_data("set").notes
    Path("set/cat/loop.png").symlink_to("loop.png")
    assert "cat/loop.png: found an unreadable file (Too many levels of symbolic links)" in refused("set")


def test_a_search_for_the_files_of_a_table_has_an_end(monkeypatch):
    """data_dir may be a whole disk."""
    tree("set", images(CLASSES))
    frame = pd.DataFrame({"path": CLASSES, "label": [name[:3] for name in CLASSES]})
    assert load_data(frame, data_dir="set").classes == ("cat", "dog")
    monkeypatch.setattr("layerline.data.photos.file_table._MOST_FILES", -100 * len(CLASSES) + 39)
    with pytest.raises(DataError, match="found more than 39 files"):
        load_data(frame, data_dir="set")
