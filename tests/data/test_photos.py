"""Folders and archives of images of any size: one size for all, options for which files, and cuts that stay."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from cifar_files import tar_of
from image_files import fitted_pixels, jpeg, picture, png, tree

from layerline.data import ImageSet, load_data
from layerline.data.photos import decoding, image_stack
from layerline.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

SIZES = ((6, 5), (6, 5), (70, 90), (20, 300), (129, 128), (128, 128), (1, 1))


def mixed(count: int = 14, channels: int = 3) -> dict[str, np.ndarray]:
    """Return images of two classes and many sizes by their paths."""
    return {
        f"{name}/{k:02}.png": picture(100 * c + k, SIZES[(k + c) % len(SIZES)], channels)
        for c, name in enumerate(("cat", "dog"))
        for k in range(count)
    }


def files(images: dict[str, np.ndarray]) -> dict[str, bytes]:
    return {name: png(pixels) for name, pixels in images.items()}


def stored(data) -> np.ndarray:
    """Return the images as they lie in memory, (N, H, W, C)."""
    return data.train.source.images.transpose(0, 2, 3, 1)


def fitted(images: dict[str, np.ndarray], size=(20, 20), fit="crop") -> np.ndarray:
    return np.stack([fitted_pixels(images[name], size, fit) for name in sorted(images)])


@pytest.mark.smoke
@pytest.mark.parametrize("order", ["as named", "small ones first", "large ones first"])
@pytest.mark.parametrize("way", ["folder", "tar"])
def test_images_of_many_sizes_become_one(tmp_path, way, order):
    """They are 20 × 20, the median of the shorter sides, whatever comes first; how many sizes there were is told."""
    images = mixed()
    content = files(images)
    if order != "as named":
        content = dict(sorted(content.items(), key=lambda item: len(item[1]), reverse=order.startswith("large")))
    if way == "folder":
        tree(tmp_path / "set", content)
    else:
        (tmp_path / "set").write_bytes(tar_of(content))
    data = load_data(tmp_path / "set")
    np.testing.assert_array_equal(stored(data), fitted(images))
    resized = data.resized
    assert (resized.sizes, resized.smallest, resized.largest) == (6, (1, 1), (129, 128))
    assert (resized.size, resized.fit) == ((20, 20), "crop")
    assert data.cuts["size"] == "20"
    assert data.cuts["fit"] == "crop"
    cut = (8 * (1 / 6) + 4 * (2 / 9) + 4 * (14 / 15) + 4 * (1 / 129)) / 28
    assert resized.cut == pytest.approx(cut)
    assert data.notes == (
        "the crop removes 21% of the average image (--fit, --size)",
        "12 images of 28 smaller than 20×20: enlarged (--size, --fit)",
    )
    assert list(data.train.source.names) == sorted(images)


def test_the_number_of_threads_changes_nothing(tmp_path, monkeypatch):
    """Small images behind large ones and large ones behind small ones give the same pixels with any threads."""
    images = {f"{c}/{k:03}.jpg": picture(k, (200, 300) if k > 30 else (9, 9)) for c in ("a", "b") for k in range(60)}
    tree(tmp_path, {name: jpeg(pixels) for name, pixels in images.items()})
    prints = set()
    for threads in (1, 2, 5):
        monkeypatch.setattr(decoding, "cores", lambda threads=threads: threads)
        prints.add(load_data(tmp_path).fingerprint)
    assert len(prints) == 1


def test_equal_images_up_to_64_stay_and_larger_ones_do_not(tmp_path):
    """64 × 64 stays as it is, 65 × 64 becomes 64 × 64, though all are equal; with --size all become what it says."""
    for size in ((64, 64), (65, 64)):
        images = {f"{c}/{k}.png": picture(k, size) for c in ("a", "b") for k in range(9)}
        tree(tmp_path / str(size), files(images))
        data = load_data(tmp_path / str(size))
        assert data.shape[1:] == (64, 64)
        assert (data.resized is None) == (size == (64, 64)) == ("size" not in data.cuts)
        small = load_data(tmp_path / str(size), size="32x40", fit="stretch")
        np.testing.assert_array_equal(stored(small), fitted(images, (32, 40), "stretch"))


def test_gray_images_stay_gray_when_they_are_resized(tmp_path):
    """One channel where all files are gray; the first one in color makes all RGB, also those that were resized."""
    images = mixed(channels=1)
    tree(tmp_path / "a", files(images))
    assert load_data(tmp_path / "a").shape == (1, 20, 20)
    images["dog/05.png"] = picture(9, (40, 50))
    tree(tmp_path / "b", files(images))
    data = load_data(tmp_path / "b")
    for k, name in enumerate(sorted(images)):
        pixels = images[name] if images[name].ndim == 3 else np.repeat(images[name][..., None], 3, axis=2)
        np.testing.assert_array_equal(stored(data)[k], fitted_pixels(pixels, (20, 20), "crop"))


def test_gray_can_be_asked_for(tmp_path):
    """gray=True gives one channel, gray=False three, and both are recorded."""
    tree(tmp_path, files(mixed() | mixed(3, channels=1)))
    for gray, channels in ((True, 1), (False, 3)):
        data = load_data(tmp_path, gray=gray)
        assert (data.shape[0], data.cuts["gray"]) == (channels, gray)


def test_the_network_decides_the_size(tmp_path):
    """What stands behind Input is the size and the color of image files; arrays are not touched by it."""
    tree(tmp_path, files(mixed()))
    assert load_data(tmp_path, input_shape=(1, 20, 30)).shape == (1, 20, 30)
    assert load_data(tmp_path, input_shape=(3, 20, 30), size="20x30", gray=False).shape == (3, 20, 30)
    assert load_data("digits", input_shape=(3, 20, 30)).shape == (1, 8, 8)


def test_the_same_options_make_the_same_set(tmp_path):
    """What a data set records of its cuts makes it again: images, splits and groups."""
    labels = tmp_path / "labels.csv"
    names = sorted(mixed())
    labels.write_text("file,label\n" + "".join(f"{name},{name[:3]}\n" for name in names))
    tree(tmp_path / "set", files(mixed()) | {"cat/02_mask.png": png(picture(0)), "dog/bad.png": b"no image"})
    options = {"labels": labels, "group_by": r"\d+", "fit": "pad", "gray": True, "test": 0.2, "seed": 3}
    data = load_data(tmp_path / "set", **options)
    assert {"size", "fit", "gray", "labels", "group_by", "test"} <= set(data.cuts)
    again = load_data(tmp_path / "set", seed=3, **data.cuts)
    assert again.fingerprint == data.fingerprint
    for split in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(again, split).indices, getattr(data, split).indices)


# Which files


def test_bad_files_are_left_out_where_they_are_few(tmp_path):
    """--skip-bad leaves out bad files up to its share, tells each, and refuses one more."""
    images = files({f"{c}/{k:02}.png": picture(k) for c in ("a", "b") for k in range(20)})
    tree(tmp_path, images | {"a/03.png": b"", "b/07.png": images["b/07.png"][:40]})
    data = load_data(tmp_path, skip_bad=0.05)
    assert data.skipped == (
        "a/03.png: found an empty file, expected PNG, JPEG, WebP, GIF, AVIF, BMP, TIFF or PPM",
        "b/07.png: found a truncated PNG image",
    )
    assert "2 of 40 files cannot be used and are skipped (--skip-bad 0.05), such as a/03.png" in data.notes[0]
    assert len(data.train.source.labels) == 38
    assert "a/03.png" not in data.train.source.names
    with pytest.raises(DataError, match=r"2 of 40 images cannot be read; at most 1 may be skipped \(skip_bad=0.049\)"):
        load_data(tmp_path, skip_bad=0.049)
    with pytest.raises(DataError, match=r"skip them: skip_bad=0.05$"):
        load_data(tmp_path)


def test_more_than_a_thousand_bad_files_can_be_left_out(tmp_path):
    """With --skip-bad no number of bad files ends the reading, only their share."""
    good = {f"{c}/{k:04}.png": png(picture(k, (2, 2))) for c in ("a", "b") for k in range(800)}
    tree(tmp_path, good | {f"a/bad{k}.png": b"" for k in range(1100)})
    assert len(load_data(tmp_path, skip_bad=0.5).skipped) == 1100


def test_files_can_be_excluded(tmp_path):
    """A pattern is compared with the path, the name and each folder; what it leaves out is counted."""
    extra = ("cat/01_mask.png", "dog/01_mask.png", "old/x.png", "cat/99.png")
    images = {f"{c}/{k:02}.png": picture(k) for c in ("cat", "dog") for k in range(9)}
    tree(tmp_path / "set", files(images) | dict.fromkeys(extra, png(picture(5, (90, 90)))))
    (tmp_path / "set.tar").write_bytes(tar_of(files(images) | dict.fromkeys(extra, png(picture(5, (90, 90))))))
    loaded = [load_data(tmp_path / name, exclude="*_mask.png, old,cat/99.*") for name in ("set", "set.tar")]
    for data in loaded:
        np.testing.assert_array_equal(stored(data), fitted(images, (6, 5)))
        assert data.classes == ("cat", "dog")
        assert any("files matched by --exclude (4)" in note for note in data.notes)
    assert loaded[0].fingerprint == loaded[1].fingerprint


# Labels in a file


def labeled(tmp_path: Path, text: str, **options):
    """Return the data of six loose images with these labels."""
    tree(tmp_path / "set", {f"{k}.png": png(picture(k)) for k in range(6)})
    (tmp_path / "labels.csv").write_text(text, encoding="utf-8")
    return load_data(tmp_path / "set", labels=tmp_path / "labels.csv", **options)


SIX = "file,label\n0.png,b\n1.png,a\n2.png,a\n3.png,b\n4.png,a\n5.png,b\n"


@pytest.mark.parametrize("way", ["folder", "tar", "tar with a folder around"])
@pytest.mark.parametrize(
    "change",
    [
        lambda text: text,
        lambda text: "\ufeff" + text.replace("\n", "\r\n"),
        lambda text: text.replace(",", ";"),
        lambda text: text.replace(",", "\t"),
        lambda text: re.sub(r"(?m)^(.*),(.*)$", r'"\2",more,"./\1"', text).replace('"./file"', '" File "'),
        lambda text: text.replace("\n", "\n\n"),
    ],
)
def test_labels_come_from_a_file(tmp_path, change, way):
    """Each file has the class that its line says, in any folder or archive, however the CSV is written."""
    data = labeled(tmp_path, change(SIX), test="none", validation="none")
    if way != "folder":
        around = "around/" if "around" in way else ""
        (tmp_path / "set.tar").write_bytes(tar_of({f"{around}{k}.png": png(picture(k)) for k in range(6)}))
        packed = load_data(tmp_path / "set.tar", labels=tmp_path / "labels.csv", test="none", validation="none")
        assert packed.fingerprint == data.fingerprint
        data = packed
    assert data.classes == ("a", "b")
    np.testing.assert_array_equal(data.train.labels, [0, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(stored(data), np.stack([picture(k) for k in (1, 2, 4, 0, 3, 5)]))


def test_labels_may_say_the_split_and_the_group(tmp_path):
    """The column split makes the sets, and group keeps images together in the cuts that are still to be made."""
    text = "file,label,split,group\n0.png,b,train,x\n1.png,a,train,x\n2.png,a,TEST,\n3.png,b,test,\n4.png,a,train,y\n"
    data = labeled(tmp_path, text + "5.png,b,train,y\n", validation=0.5)
    assert (len(data.train), len(data.validation), len(data.test)) == (2, 2, 2)
    groups = data.train.source.groups
    for split in (data.train, data.validation):
        assert len(set(groups[split.indices].tolist())) == 1
    assert len(set(data.test.source.groups.tolist())) == 2, "files without a group are groups of their own"


def test_files_without_a_line_are_counted(tmp_path):
    """What the file does not name is left out, and a note says how many; other columns are told."""
    data = labeled(tmp_path, "file,label,age\n0.png,b,3\n1.png,a,4\n", test="none", validation="none")
    assert len(data.train) == 2
    assert any("files not listed in --labels (4), such as 2.png" in note for note in data.notes)
    assert any("the column age" in note for note in data.notes)


# Cuts


def held(data) -> dict[str, set[str]]:
    """Return the names of the images in each set."""
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    return {name: {split.source.names[k] for k in split.indices} for name, split in splits.items()}


def numbered(folder: Path, names: list[str]) -> None:
    tree(folder, {f"{c}/{name}.png": png(picture(1, (2, 2))) for c in ("a", "b") for name in names})


def test_cuts_stay_when_images_are_added_anywhere(tmp_path):
    """With new names before, between and behind the old ones, all old images but those at a share's edge stay."""
    numbered(tmp_path / "a", [f"{k:04}" for k in range(0, 1000, 2)])
    numbered(tmp_path / "b", [f"{k:04}" for k in range(0, 1000, 2)] + [f"{k:04}" for k in range(1, 1000, 20)])
    old, new = (held(load_data(tmp_path / name, seed=1)) for name in ("a", "b"))
    same = sum(len(old[name] & new[name]) for name in old)
    assert same > 0.97 * 1000
    other = held(load_data(tmp_path / "a", seed=2))
    assert sum(len(old[name] & other[name]) for name in old) < 0.8 * 1000


def test_a_cut_does_not_depend_on_where_the_folder_is(tmp_path):
    """A folder, the same elsewhere, and archives of it with folders around have the same images in each set."""
    numbered(tmp_path / "a", [str(k) for k in range(40)])
    numbered(tmp_path / "b/c", [str(k) for k in range(40)])
    content = {f"x/y/{c}/{k}.png": png(picture(1, (2, 2))) for c in ("a", "b") for k in range(40)}
    (tmp_path / "c.tar").write_bytes(tar_of(content))
    assert held(load_data(tmp_path / "a")) == held(load_data(tmp_path / "b")) == held(load_data(tmp_path / "c.tar"))


def test_the_numbers_that_decide_a_cut_are_those_of_the_documentation(tmp_path):
    """Of each class the images with the smallest number at (seed, purpose, SHA-256 of the path) are the test set."""
    import hashlib

    from layerline.numbers.randomness import Purpose, uint64

    numbered(tmp_path, [str(k) for k in range(40)])
    data = load_data(tmp_path, seed=7, validation="none", test=0.25)
    for c in ("a", "b"):
        numbers = {}
        for k in range(40):
            key = int.from_bytes(hashlib.sha256(f"{c}/{k}.png".encode()).digest()[:8], "big")
            numbers[f"{c}/{k}.png"] = int(uint64(7, Purpose.TEST_SPLIT, image=key % 2**32, element=key // 2**32))
        expected = set(sorted(numbers, key=numbers.__getitem__)[:10])
        assert {data.test.source.names[k] for k in data.test.indices if data.test.source.names[k][0] == c} == expected


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_not_parted(tmp_path, seed):
    """No patient is on two sides, sets have about their shares of each class, and other seeds cut otherwise."""
    rng = np.random.default_rng(seed)
    names = [
        f"{'ab'[int(rng.integers(2) > 0.5)]}/p{patient}_{k}.png"
        for patient in range(60)
        for k in range(rng.integers(1, 6))
    ]
    tree(tmp_path, dict.fromkeys(names, png(picture(1, (2, 2)))))
    data = load_data(tmp_path, group_by=r"p(\d+)_", seed=seed)
    sets = held(data)
    patients = {name: {re.search(r"p(\d+)_", path)[1] for path in paths} for name, paths in sets.items()}
    assert not patients["train"] & patients["test"]
    assert not patients["train"] & patients["validation"]
    assert not patients["validation"] & patients["test"]
    for label in (0, 1):
        count = int((data.test.source.labels == label).sum())
        share = int((data.test.labels == label).sum()) / count
        assert abs(share - 0.15) <= 5 / count, "a group has at most five images"
    assert sets != held(load_data(tmp_path, group_by=r"p(\d+)_", seed=seed + 100))


def test_a_group_that_the_data_itself_parts_is_told(tmp_path):
    """Where a patient is in train and in test by folders, a note says so."""
    tree(tmp_path, {f"{s}/{c}/p{k}.png": png(picture(k)) for s in ("train", "test") for c in "ab" for k in range(6)})
    data = load_data(tmp_path, group_by=r"p\d")
    assert any("6 groups of test are also in train" in note for note in data.notes)


def test_indices_decide_where_there_are_no_files():
    """Arrays are cut by index, as ever."""
    source = load_data("digits").train.source
    assert source.names is None
    np.testing.assert_array_equal(source.keys, np.arange(1797))
    assert isinstance(source, ImageSet)


def test_a_stack_changes_its_images_in_memory():
    """Images are replaced and put into another order, gray ones made RGB on the way."""
    stack = image_stack.ImageStack("a")
    pixels = [picture(k, (4, 6), 1) for k in range(5)]
    for item in pixels:
        stack.add(item)
    stack.change(lambda item: item[:, ::2], order=[4, 0, 2])
    assert (len(stack), stack.shape) == (3, (4, 3))
    np.testing.assert_array_equal(stack.taken(), np.stack([pixels[k][:, ::2] for k in (4, 0, 2)]))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_names_that_are_no_text_are_cut_like_others(tmp_path):
    """A path that is not UTF-8 has a number, too."""
    tree(tmp_path, {f"{c}/{k}\udcff.png": png(picture(k)) for c in ("a", "b") for k in range(8)})
    assert len(load_data(tmp_path).test) == 2
