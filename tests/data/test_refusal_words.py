"""Notes and refusals about data: numbers agree with their nouns, and what is proposed fits what was found."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from data_files import zip_of_files
from image_files import picture, png, tree
from PIL import Image

from layerline.cli.entry_point import layerline as command
from layerline.data import load_data
from layerline.data.formats.pixel_table import ordinal
from layerline.errors import DataError

IMAGES = {f"{name}/{k}.png": png(picture(k + 50 * (name == "b"))) for name in "ab" for k in range(9)}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(source: str) -> str:
    with pytest.raises(DataError) as caught:
        load_data(source)
    return caught.value.with_flags


@pytest.mark.parametrize(
    ("column", "columns", "word"),
    [
        (0, 9, "first"),
        (8, 9, "last"),
        (1, 9, "2nd"),
        (2, 9, "3rd"),
        (10, 99, "11th"),
        (11, 99, "12th"),
        (20, 99, "21st"),
    ],
)
def test_columns_are_counted_in_words(column: int, columns: int, word: str) -> None:
    """Second, third and twenty-first have their own endings."""
    assert ordinal(column, columns) == word


def test_one_is_singular() -> None:
    """One image is gray, one array has 1 dimension, and one finding is refused or not."""
    tree(Path("one"), IMAGES)
    Image.fromarray(np.zeros((20, 30), np.uint8)).save("one/a/gray.png")
    assert any(note.startswith("1 of 19 images is gray, and is converted to RGB") for note in load_data("one").notes)
    np.savez("flat.npz", x=np.zeros(20, np.uint8), y=np.arange(20) % 2)
    assert "found 1 dimension (20)" in refused("flat.npz")


def test_the_verdict_of_a_check_counts_its_findings() -> None:
    """`data check` says of one finding that train would refuse it or not, and of several how many of them."""
    tree(Path("few"), {name: each for name, each in IMAGES.items() if name != "a/8.png"})
    shutil.copy("few/b/5.png", "few/b/5 copy.png")
    said = CliRunner().invoke(command, ["data", "check", "few", "--test", "none", "--validation", "none"]).output
    assert "1 finding; train would not refuse it\n" in said
    shutil.copy("few/b/1.png", "few/a/b1.png")
    shutil.copy("few/b/2.png", "few/a/b2.png")
    shutil.copy("few/b/3.png", "few/a/b3.png")
    said = CliRunner().invoke(command, ["data", "check", "few", "--test", "none", "--validation", "none"]).output
    assert "2 findings; train would refuse 1 of them\n" in said


def test_an_archive_in_an_archive_is_named() -> None:
    """Without images, the archive inside is what should be passed; without any archive, images are expected."""
    Path("outer.zip").write_bytes(zip_of_files({"inner.zip": zip_of_files(IMAGES), "readme.txt": b"x"}))
    assert refused("outer.zip") == (
        "outer.zip: found no images, but 1 archive inside: inner.zip\n"
        "  help: unpack outer.zip, then pass --data inner.zip"
    )
    Path("none.zip").write_bytes(zip_of_files({"readme.txt": b"x"}))
    assert "no images found" in refused("none.zip")


@pytest.mark.parametrize("start", [b"BZh91AY", b"7z\xbc\xaf", b"Rar!", b"\x28\xb5\x2f\xfd"])
def test_an_archive_of_another_kind_is_to_be_repacked(start: bytes) -> None:
    """bzip2, 7z, RAR and Zstandard are not read; zip and tar.gz are."""
    Path("a.tar.x").write_bytes(start + bytes(100))
    assert refused("a.tar.x").endswith("help: repack it as .zip or .tar.gz")


def test_labels_that_are_python_objects_have_the_conversion() -> None:
    """An object array of names, as pandas makes it, is saved as text."""
    np.savez("o.npz", x=np.zeros((4, 8, 8), np.uint8), y=np.array(["a", "b", None, "b"], object))
    assert "or text: y.astype(str)" in refused("o.npz")


def test_a_parquet_of_paths_is_a_table_for_labels() -> None:
    """It has no images; pandas reads it, and the table that pandas has is the data, or a CSV for --labels."""
    tree(Path("all"), IMAGES)
    frame = pd.DataFrame({"path": [f"all/{name}" for name in IMAGES], "label": [name[0] for name in IMAGES]})
    frame.to_parquet("paths.parquet")
    assert refused("paths.parquet") == (
        "paths.parquet: found paths of images in the column path, expected the images themselves\n  help: in Python, "
        "load the table: load_data(pandas.read_parquet('paths.parquet')); or save it as CSV, then: layerline data info "
        "FOLDER --labels FILE"
    )
    assert load_data(pd.read_parquet("paths.parquet")).classes == ("a", "b")


def test_whole_floats_in_parquet_are_classes() -> None:
    """pandas makes labels next to missing values floats: 1.0 is the class 1."""
    content = [{"bytes": each, "path": name} for name, each in IMAGES.items()]
    pd.DataFrame({"image": content, "label": [float(name[0] == "b") for name in IMAGES]}).to_parquet("f.parquet")
    assert load_data("f.parquet").classes == ("0", "1")


@pytest.mark.parametrize(
    ("name", "called"), [("train", "photos"), ("x_train", "photos"), ("data", "photos"), ("mnist_train", "mnist_train")]
)
def test_a_set_is_not_called_like_a_part_of_it(name: str, called: str) -> None:
    """A file that only says which part it is, is named after its folder: so are runs on it."""
    Path("photos").mkdir()
    np.savez(f"photos/{name}.npz", x=np.arange(40 * 64).reshape(40, 8, 8).astype(np.uint8), y=np.arange(40) % 2)
    lines = ["label," + ",".join(f"p{k}" for k in range(64)), *(f"{k % 2}," + ",".join(["1"] * 64) for k in range(40))]
    Path(f"photos/{name}.csv").write_text("\n".join(lines))
    for ending in ("npz", "csv"):
        assert load_data(f"photos/{name}.{ending}").name == called
