"""Folders inside classes: which are read, what is reported of them, and commands of refusals that work."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from cifar_files import tar_of
from data_files import zip_of_files
from data_mistakes_layouts import CASES
from image_files import folder_of, picture, png, tree

from layerline.data import load_data
from layerline.errors import DataError


def files(*paths: str, number: int = 4) -> dict[str, bytes]:
    return {f"{path}/{k}.png": png(picture(k)) for path in paths for k in range(number)}


def loaded(*paths: str, **options: Any) -> Any:
    return load_data(folder_of(files(*paths))[0], **{"test": 0.25, "validation": "none", **options})


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("paths", "note"),
    [
        (("cat/kaggle", "cat/phone/2021", "dog/kaggle", "dog/phone/2021"), ("cat/kaggle", "cat", 3)),
        (("cat", "cat/new", "dog"), ("cat/new", "cat", 0)),
        (("cat/images", "dog/images"), ("cat/images", "cat", 1)),
        (("cat/indoors", "cat/outdoors", "dog/indoors", "dog/outdoors", "dog"), ("cat/indoors", "cat", 3)),
        (("cat/cat", "dog/dog"), ("cat/cat", "cat", 1)),
        (("x/y/cat/a", "x/y/dog/a"), ("cat/a", "cat", 1)),
        (("cat/a/b/c", "dog"), ("cat/a/b/c", "cat", 0)),
    ],
)
def test_folders_inside_classes_belong_to_them(paths, note):
    """Where only the first level can be the classes, deeper images are theirs, and a note says so; archives as well."""
    data = loaded(*paths)
    assert data.classes == ("cat", "dog")
    assert len(data.train.source.labels) == 4 * len(paths)
    path, name, more = note
    rest = f" (and {more} more folder{'s' * (more > 1)} inside classes)" if more else ""
    assert data.notes == (f"images in {path} belong to the class {name}{rest}",)
    Path("set.tar").write_bytes(tar_of(files(*paths)))
    Path("set.zip").write_bytes(zip_of_files(files(*paths)))
    for archive in ("set.tar", "set.zip"):
        assert load_data(archive, test=0.25, validation="none").fingerprint == data.fingerprint


def test_the_label_of_an_image_is_its_class_at_any_depth():
    """Every image has the class of its first folder, and keeps its whole path for splits and groups."""
    data = loaded("cat/new", "dog/a/b", "dog/c")
    source = data.train.source
    assert sorted(zip(source.names, (data.classes[k] for k in source.labels), strict=True)) == sorted(
        (name, name.split("/")[0]) for name in files("cat/new", "dog/a/b", "dog/c")
    )


def test_folders_inside_the_classes_of_splits():
    """The same below splits, also with a folder of their name around the classes."""
    data = loaded(
        *("seg_train/seg_train/sea", "seg_train/seg_train/ice/b", "seg_test/seg_test/sea/x", "seg_test/seg_test/ice"),
        test=None,
    )
    assert data.classes == ("ice", "sea")
    assert (len(data.train.source.labels), len(data.test.source.labels)) == (8, 8)
    assert data.notes == (
        "images in seg_test/seg_test/sea/x belong to the class sea (and 1 more folder inside classes)",
    )


def test_a_split_without_images_is_reported():
    """An empty val, with or without folders of classes in it: validation comes of the training images."""
    tree("set", files("train/cat", "train/dog", "test/cat", "test/dog", number=10))
    for folder in ("val", "val/cat"):
        Path("set", folder).mkdir()
        data = load_data("set")
        assert data.notes == ("val contains no images, and is not used as the validation set",)
        assert len(data.validation.indices) == 2


COMMAND = re.compile(r"layerline data info (.*?)(?=; |$)")
REFUSED = {
    "layout-of-folds": [("cat", "dog")],
    "layout-of-folds-with-splits": [("cat", "dog")],
    "layout-of-two-levels": [("animals", "vehicles"), ("bus", "car", "cat", "dog")],
    "layout-of-two-levels-in-splits": [("animals", "vehicles"), ("bus", "car", "cat", "dog")],
    "layout-of-a-project": [("docs", "photos"), ("cat", "docs", "dog"), ("cat", "dog")],
    "layout-of-splits-inside-classes": [("cat", "dog")],
    "layout-of-masks-inside-classes": [("COVID", "Normal")],
    "layout-of-masks-beside-images": [("cat", "dog")],
    "images-raw-beside-jpeg": [("cat", "dog")],
    "images-of-a-class-all-raw": [("cat", "dog")],
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_commands_of_a_refusal_work(name):
    """Each command in the help gives the classes that are expected of it."""
    source, _ = CASES[name]()
    with pytest.raises(DataError) as caught:
        load_data(source)
    found = []
    for command in COMMAND.findall(caught.value.help or ""):
        place, *flags = shlex.split(command)
        options = {flag[2:].replace("-", "_"): value for flag, value in zip(flags[::2], flags[1::2], strict=True)}
        found.append(load_data(place, validation="none", **options).classes)
    assert found == REFUSED[name]
