"""Parquet files of images as Hugging Face publishes them: the same set as the images in folders."""

from __future__ import annotations

import contextlib
import io
import json
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from layerline.data import load_data
from layerline.errors import DataError

NAMES = ["angular leaf spot", "bean/rust", "test"]
"""Names that folders could not have, or that would be splits there."""


def png(seed):
    """Return a PNG file of 20×16 random pixels."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 16, 3)).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def pixels(seed):
    return np.asarray(Image.open(io.BytesIO(png(seed)))).transpose(2, 0, 1)


def write(path, seeds, *, features=True, column="label", values=None, images=None):
    """Write a file with an image for each seed, whose class is the seed modulo 3."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = images or [{"bytes": png(seed), "path": f"{seed:04d}.png"} for seed in seeds]
    table = pa.table({"image": rows, column: [seed % 3 for seed in seeds] if values is None else values})
    if features:
        known = {"image": {"_type": "Image"}, column: {"names": NAMES, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": known}})})
    pq.write_table(table, path, row_group_size=7)
    return path


def published(folder):
    """Write a set as it is cloned: two shards of training images, a test set, names in the metadata."""
    write(folder / "data" / "train-00000-of-00002.parquet", range(30))
    write(folder / "data" / "train-00001-of-00002-a1b2c3.parquet", range(30, 60))
    write(folder / "data" / "test-00000-of-00001.parquet", range(100, 121))
    return folder


@pytest.mark.parametrize("given", ["", "data/train-00001-of-00002-a1b2c3.parquet"])
def test_all_shards_of_all_splits_are_read(tmp_path, given):
    """A folder, or any file of training images, gives every image with the name of its class, whatever that is."""
    data = load_data(published(tmp_path / "beans") / given, validation="none")
    assert data.classes == tuple(NAMES)
    assert (len(data.train), len(data.test)) == (60, 21)
    assert "images are read from the column image, labels from label" in data.notes
    by_class = [seed for label in range(3) for seed in range(60) if seed % 3 == label]
    np.testing.assert_array_equal(data.train.source.images, np.stack([pixels(seed) for seed in by_class]))
    np.testing.assert_array_equal(data.train.labels, np.repeat(np.arange(3), 20))


def test_a_file_of_test_images_is_read_alone(tmp_path):
    """As with other formats, only training images bring the rest of the set along."""
    path = published(tmp_path / "beans") / "data" / "test-00000-of-00001.parquet"
    assert len(load_data(path, test="none", validation="none").train) == 21


def test_images_of_the_same_path_are_told_apart(tmp_path):
    """Where two shards number their images from 0, each image still has a name of its own, by which it is split."""
    write(tmp_path / "train-00000-of-00002.parquet", range(30))
    write(tmp_path / "train-00001-of-00002.parquet", range(30))
    names = load_data(tmp_path, test="none", validation="none").train.source.names
    assert len(set(names)) == 60


def test_image_options_apply(tmp_path):
    """Images from Parquet are resized, made gray and left out like files."""
    data = load_data(published(tmp_path / "beans"), size="8x6", gray=True, exclude="000?.png", validation="none")
    assert data.shape == (1, 8, 6)
    assert len(data.train) == 50
    assert any("files matched by --exclude (10)" in note for note in data.notes)


README = """---
dataset_info:
  features:
  - name: image
    dtype: image
  - name: other
    dtype:
      class_label:
        names:
          '0': no
  - name: label
    dtype:
      class_label:
        names:
          '0': angular
          '1': "bean rust"
          '2': healthy
  splits:
  - name: train
---
"""


def test_names_may_be_in_the_readme(tmp_path):
    """Without names in the file's metadata, those of the label column in README.md are used; without both, numbers."""
    write(tmp_path / "beans" / "data" / "train.parquet", range(30), features=False)
    assert load_data(tmp_path / "beans").classes == ("0", "1", "2")
    (tmp_path / "beans" / "README.md").write_text(README)
    assert load_data(tmp_path / "beans").classes == ("angular", "bean rust", "healthy")


def test_text_labels_and_plain_bytes_are_read(tmp_path):
    """A column of text is the classes, and a column of bytes called image the images."""
    path = tmp_path / "train.parquet"
    write(path, range(30), features=False, values=[f"c{k % 3}" for k in range(30)], images=[png(k) for k in range(30)])
    assert load_data(path, validation="none", test="none").classes == ("c0", "c1", "c2")


def test_secret_labels_are_passed_over(tmp_path):
    """A test set whose labels are all -1 is not used, which is noted."""
    published(tmp_path)
    write(tmp_path / "data" / "test-00000-of-00001.parquet", range(9), values=[-1] * 9)
    data = load_data(tmp_path, test="none")
    assert "ignored: test-00000-of-00001.parquet, without labels" in data.notes


def test_several_configurations_are_listed(tmp_path, monkeypatch):
    """Two sets in folders are refused, each with what to type; a split may also be a folder."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "set" / "large" / "train" / "0000.parquet", range(30))
    write(tmp_path / "set" / "small" / "train" / "0000.parquet", range(30))
    with pytest.raises(DataError, match=r"found several data sets[^~]*\"set/large\"\n    \"set/small\""):
        load_data("set")
    assert len(load_data("set/small", test="none", validation="none").train) == 30


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"values": [0, 1, 2] * 9 + [0, 1, 3]}, "found 3 in row 29 of label, expected a class"),
        ({"values": [0, 1, 2] * 9 + [0, 1, None]}, "found None in row 29"),
        ({"values": [0, 1, 2] * 9 + [0, 1, -1]}, "found -1 in row 29"),
        ({"column": "kind", "features": False}, "found 0 columns of labels"),
        ({"images": [{"bytes": None, "path": "a.png"}] * 30}, "found no bytes in row 0"),
        ({"images": [{"bytes": b"GARBAGE", "path": "a.png"}] * 30}, "30 images cannot be read"),
        ({"values": [0.5] * 30, "features": False}, "found 0.5 in row 0 of label, expected a class"),
    ],
)
def test_what_is_not_a_set_is_refused(tmp_path, change, reason):
    """Labels without a class, missing columns, and images that are only paths or none at all are refused."""
    with pytest.raises(DataError, match=reason):
        load_data(write(tmp_path / "train.parquet", range(30), **change))


def test_damaged_files_only_raise_data_error(tmp_path):
    """A file that is cut anywhere, or has bytes changed near its end, where its index is, is refused or read."""
    good = write(tmp_path / "train.parquet", range(12)).read_bytes()
    rng = np.random.default_rng(0)
    for number in range(60):
        content = bytearray(good)
        if number % 2:
            del content[int(rng.integers(4, len(good))) :]
        else:
            content[-int(rng.integers(1, 900))] ^= int(rng.integers(1, 256))
        (tmp_path / "train.parquet").write_bytes(content)
        with contextlib.suppress(DataError):
            load_data(tmp_path / "train.parquet", test="none", validation="none")


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    """pyarrow is not a dependency: the message says how to install it."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    write(tmp_path / "train.parquet", range(3))
    with pytest.raises(DataError, match=r"requires pyarrow[^~]*pip install 'layerline\[parquet\]'"):
        load_data(tmp_path)


def test_labels_files_are_refused(tmp_path):
    """--labels is for image files in folders: a Parquet file has its own."""
    write(tmp_path / "train.parquet", range(30))
    (tmp_path / "a.csv").write_text("file,label\na.png,cat\n")
    with pytest.raises(DataError, match="labels: a Parquet file"):
        load_data(tmp_path / "train.parquet", labels=tmp_path / "a.csv")
