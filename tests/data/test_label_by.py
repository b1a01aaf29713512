"""`--label-by`: labels from the names of files, the pattern that a refusal proposes, and where it is recorded."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import pytest
import tomli_w
from cifar_files import tar_of
from command import NET, run
from image_files import picture, png, tree

from layerline.data import load_data
from layerline.data.photos import name_patterns
from layerline.errors import DataError
from layerline.experiment.experiment import settle
from layerline.files import toml
from layerline.runs.record import _data_section

if TYPE_CHECKING:
    from pathlib import Path

DOTS = [f"{name}.{k}.png" for name in ("cat", "dog") for k in range(6)]


def images(names: list[str]) -> dict[str, bytes]:
    return {name: png(picture(k)) for k, name in enumerate(names)}


def labels(source: Path, pattern: str, split: str = "train", **options) -> dict[str, str]:
    """Return the label of each image of a split."""
    data = load_data(source, label_by=pattern, **{"validation": "none"} | options)
    images = getattr(data, split).source
    return {name: data.classes[label] for name, label in zip(images.names, images.labels, strict=True)}


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        ("cat.0 cat.1 dog.0 dog.1", "cat dog"),
        ("Abyssinian_0 great_pyrenees_12 Abyssinian_3 great_pyrenees_1", "Abyssinian great_pyrenees"),
        ("00_rain 01_rain 00_sun 01_sun", "rain sun"),
        ("img-1-rain img-2-rain img-1-sun img-2-sun", "rain sun"),
        ("cat001 cat002 dog001 dog002", "cat dog"),
        ("cat_a cat_b dog_a dog_b", "cat dog"),
        ("a-1 a-2 b-1 b-2", "a b"),
        ("cat.0 cat.1 dog.0", ""),
        ("cat.0 cat.1 dog.0 dog.1 cover", ""),
        ("IMG_0001 IMG_0002 DSC_0001 DSC_0002", ""),
        ("IMG_0001 IMG_0002 IMG_0003", ""),
        ("0001 0002 0003 0004", ""),
        ("2021-05_1 2021-05_2 2021-06_1 2021-06_2", ""),
    ],
)
def test_a_pattern_is_proposed_where_every_name_has_a_label(tmp_path, names, classes):
    """The classes are those that it gives; a name without one, a class of one image, and cameras' names get none."""
    found = name_patterns.proposals([f"{name}.png" for name in names.split()])
    assert [" ".join(each.classes) for each in found[:1]] == [classes] * bool(classes)
    if found:
        tree(tmp_path, images([f"{name}.png" for name in names.split()]))
        assert set(labels(tmp_path, found[0].pattern, test="none").values()) == set(classes.split())


def test_names_that_can_be_read_in_two_ways_get_both():
    """`3_001.png` of 5 times 6 images: the class is the first number or the second."""
    found = name_patterns.proposals([f"{a}_{b}.png" for a in range(5) for b in range(6)])
    assert [len(each.classes) for each in found] == [5, 6]


@pytest.mark.parametrize("around", ["", "photos/", "a/b/"])
def test_the_proposed_command_works_when_it_is_pasted(tmp_path, monkeypatch, around):
    """A flat folder is refused with the command, and its number of classes, that reads it."""
    tree(tmp_path / "set", images([around + name for name in DOTS]))
    monkeypatch.chdir(tmp_path)
    refused = run(tmp_path, "data", "info", "set")
    assert refused.returncode == 2
    command, count = re.search(
        r"layerline (data info set --label-by .*) \((\d) classes: cat and dog\)", refused.stderr
    ).groups()
    done = run(tmp_path, *shlex.split(command))
    assert (done.returncode, count) == (0, "2")
    assert {"cat", "dog"} <= set(re.findall(r"(?m)^\w+", done.stdout))


def test_folders_called_like_splits_are_these(tmp_path):
    """train/cat.0.png and test/dog.1.png: the label from the name, the split from the folder; in a tar, too."""
    files = images([f"train/{name}" for name in DOTS] + [f"test/{name}" for name in DOTS[::3]])
    tree(tmp_path / "set", files)
    (tmp_path / "set.tar").write_bytes(tar_of({f"x/{name}": content for name, content in files.items()}))
    for source in (tmp_path / "set", tmp_path / "set.tar"):
        found = labels(source, r"(\w+)\.\d", "test")
        assert found == {f"test/{name}": name[:3] for name in DOTS[::3]}
        assert labels(source, r"(\w+)\.\d") == {f"train/{name}": name[:3] for name in DOTS}


def test_a_folder_and_its_archive_are_the_same_data(tmp_path):
    """Folders around the images have no part in it: fingerprint and splits are equal."""
    tree(tmp_path / "set", images(DOTS))
    (tmp_path / "set.tar").write_bytes(tar_of(images([f"around/{name}" for name in DOTS])))
    one, two = (load_data(tmp_path / name, label_by=r"(\w+)\.\d", cache=tmp_path / "c") for name in ("set", "set.tar"))
    assert one.fingerprint == two.fingerprint
    assert one.train.indices.tolist() == two.train.indices.tolist()


def test_class_folders_may_be_labeled_by_a_part_of_their_names(tmp_path):
    """Group 1 of the match in the whole path; without a group, the whole match."""
    tree(tmp_path, images([f"{kind}_{place}/{k}.png" for kind in ("cat", "dog") for place in "xy" for k in range(3)]))
    assert set(labels(tmp_path, r"([a-z]+)_", test="none").values()) == {"cat", "dog"}
    assert set(labels(tmp_path, r"_[xy]", test="none").values()) == {"_x", "_y"}


def test_it_is_recorded_and_read_again(tmp_path, monkeypatch):
    """A run's experiment.toml has label_by, or the columns of its table, and makes the same data from elsewhere."""
    tree(tmp_path / "set", images(DOTS))
    (tmp_path / "net.cnn").write_text(NET)
    (tmp_path / "t.csv").write_text("foto,art,farbe\n" + "".join(f"{name},{name[:3]},{name[4]}\n" for name in DOTS))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/1").mkdir(parents=True)
    ways = ({"label_by": r"(\w+)\.\d"}, {"labels": "t.csv", "file_column": "foto", "label_column": "art"})
    for flags in ways:
        experiment = settle("net.cnn", {"data": "set", **flags})
        data = experiment.load()
        section = _data_section(data, experiment, tmp_path / "runs/1")
        assert {key: section[key] for key in flags if key != "labels"} == {
            k: v for k, v in flags.items() if k != "labels"
        }
        text = tomli_w.dumps({"network": {"file": "../../net.cnn"}, "data": section})
        (tmp_path / "runs/1/experiment.toml").write_text(text)
        assert toml.parse(text)["data"]["data"] == "../../set"
        assert settle(str(tmp_path / "runs/1/experiment.toml"), {}).load().fingerprint == data.fingerprint


def test_evaluate_uses_the_run_s_labels(tmp_path):
    """`layerline evaluate RUN` reads a flat folder as in training, and names --label-by for other data of the kind."""
    tree(tmp_path, images([f"set/{name}" for name in DOTS] + [f"new/{name}" for name in DOTS]))
    (tmp_path / "net.cnn").write_text(NET)
    pattern = r"(\w+)\.\d"
    words = ("--epochs", "1", "--learning-rate", "0.01", "--out", "run", "--threads", "1", "--validation", "none")
    trained = run(tmp_path, "train", "net.cnn", "--data", "set", "--label-by", pattern, *words)
    assert trained.returncode == 0, trained.stderr
    own = run(tmp_path, "evaluate", "run")
    assert own.returncode == 0, own.stderr
    assert "2 classes (cat, dog)" in own.stdout
    other = run(tmp_path, "evaluate", "run", "--data", "new", "--split", "all")
    assert other.returncode == 2
    assert "--label-by" in other.stderr
    assert run(tmp_path, "evaluate", "run", "--data", "new", "--split", "all", "--label-by", pattern).returncode == 0


@pytest.mark.parametrize("pattern", [r"((\w+)+)+\.x", "("])
def test_an_expression_that_does_not_end_or_is_none_is_refused(tmp_path, monkeypatch, pattern):
    """As for --group-by: it runs in another process, with a limit."""
    monkeypatch.setattr("layerline.data.groups.LONGEST", 1.0)
    tree(tmp_path, images([f"{'a' * 60}{k}.png" for k in range(4)]))
    with pytest.raises(DataError, match=r"label_by=.*(did not finish within 1 s|not a valid regular expression)"):
        load_data(tmp_path, label_by=pattern)


@pytest.mark.parametrize(("folders", "omitted"), [("train test sample", "sample"), ("a b test", "test")])
def test_a_folder_beside_splits_is_refused_with_what_to_exclude(tmp_path, folders, omitted):
    """Some folders are splits and others not: the odd ones are named, and without them it is read."""
    tree(tmp_path, images([f"{folder}/{name}" for folder in folders.split() for name in DOTS]))
    with pytest.raises(DataError, match=f'exclude="{omitted}"\\)$'):
        load_data(tmp_path, label_by=r"(\w+)\.\d")
    assert load_data(tmp_path, label_by=r"(\w+)\.\d", exclude=omitted).classes == ("cat", "dog")
