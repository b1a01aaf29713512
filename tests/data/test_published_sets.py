"""CIFAR-100 and STL-10 as published, and CIFAR-10 that Python 3 saved again: read byte for byte, nothing executed."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from cifar_files import CLASSES, STEMS, batches, tar_of, within
from data_files import packed, pictures

from layerline.data import load_data
from layerline.data.formats import pickled
from layerline.errors import DataError

FINE = [f"fine {k:02d}" for k in range(10)]


def cifar_100():
    """Return images and fine labels of training and test."""
    return {
        split: (pictures(n, shape=(3, 32, 32), seed=n)[0], np.arange(n) % 10)
        for split, n in (("train", 40), ("test", 20))
    }


def python_files(protocol=2):
    """Return the three files of CIFAR-100's Python version, as pickle writes them."""
    files = {
        split: pickle.dumps(
            {
                b"data": images.reshape(len(images), -1),
                b"fine_labels": fine.tolist(),
                b"coarse_labels": (fine // 5).tolist(),
                b"filenames": [b"leptodactylus.png"] * len(images),
            },
            protocol,
        )
        for split, (images, fine) in cifar_100().items()
    }
    meta = {b"fine_label_names": [name.encode() for name in FINE], b"coarse_label_names": [b"a", b"b"]}
    return {**files, "meta": pickle.dumps(meta, protocol)}


def binary_files():
    """Return the files of CIFAR-100's binary version: a coarse and a fine label before the pixels of each image."""
    files = {}
    for split, (images, fine) in cifar_100().items():
        both = np.stack([fine // 5, fine], axis=1).astype(np.uint8)
        files[f"{split}.bin"] = np.concatenate([both, images.reshape(len(images), -1)], axis=1).tobytes()
    return {**files, "fine_label_names.txt": "\n".join(FINE).encode(), "coarse_label_names.txt": b"a\nb\n"}


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def check_100(data):
    assert (data.name, data.classes) == ("cifar100", tuple(FINE))
    for split, (images, fine) in cifar_100().items():
        part = getattr(data, split)
        np.testing.assert_array_equal(part.source.images, images)
        np.testing.assert_array_equal(part.labels, fine)
    assert any("coarse_labels" in note for note in data.notes)


@pytest.mark.parametrize("files", [python_files, binary_files])
@pytest.mark.parametrize("way", ["folder", "around", "tar"])
def test_cifar_100_is_read_with_its_fine_labels(tmp_path, files, way):
    """Both versions, as a folder, in a folder and in the archive, give the fine classes; a note has the others."""
    folder = "cifar-100-python" if files is python_files else "cifar-100-binary"
    if way == "tar":
        (tmp_path / "c.tar.gz").write_bytes(packed(tar_of(within(folder, files()))))
        check_100(load_data(tmp_path / "c.tar.gz", validation="none"))
        return
    write(tmp_path / folder, files())
    check_100(load_data(tmp_path if way == "around" else tmp_path / folder, validation="none"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"train": pickle.dumps({b"data": 1, b"labels": []}, 2)}, "no fine_labels"),
        ({"meta": pickle.dumps({b"fine_label_names": [b"a"] * 10}, 2)}, r"found 10 names \(1 distinct\)"),
        ({"meta": pickle.dumps({b"fine_label_names": FINE[:5]}, 2)}, "expected a list of 40 numbers from 0 to 4"),
        ({"meta": b"\x80\x02cos\nsystem\n)R."}, "the name os.system"),
    ],
)
def test_what_is_not_cifar_100_is_refused(tmp_path, change, reason):
    """Labels without a name, names twice, other keys and calls are refused."""
    write(tmp_path, python_files() | change)
    with pytest.raises(DataError, match=reason):
        load_data(tmp_path)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("keys", ["text", "bytes"])
def test_batches_saved_by_python_3_are_read(tmp_path, protocol, keys):
    """CIFAR-10 that was loaded and saved again has the same content, in every protocol that Python 3 writes for it."""
    own = (lambda text: text) if keys == "text" else str.encode
    for stem, (images, labels) in batches().items():
        said = {
            own("batch_label"): own("training batch"),
            own("labels"): labels.tolist(),
            own("data"): images.reshape(len(images), -1),
            own("filenames"): [own("a.png")] * len(images),
        }
        write(tmp_path, {stem: pickle.dumps(said, protocol)})
    write(tmp_path, {"batches.meta": pickle.dumps({own("label_names"): [own(name) for name in CLASSES]}, protocol)})
    data = load_data(tmp_path, validation="none")
    assert data.classes == CLASSES
    expected = batches()
    np.testing.assert_array_equal(data.train.source.images, np.concatenate([expected[stem][0] for stem in STEMS[:5]]))
    np.testing.assert_array_equal(data.test.labels, expected["test_batch"][1])


def test_fifty_thousand_images_with_names_are_within_the_steps():
    """A file as large as CIFAR-100's, in the protocol that needs most steps for bytes, is read."""
    count = 50_000
    said = {
        b"data": np.zeros((count, 3072), np.uint8),
        b"fine_labels": [0] * count,
        b"coarse_labels": [1] * count,
        b"filenames": [b"%d.png" % k for k in range(count)],
    }
    found = pickled.load(pickle.dumps(said, 2), "train")
    assert found["data"].shape == (count, 3072)
    assert bytes(found["filenames"][-1]) == b"49999.png"


def stl(folder, n=20):
    """Write STL-10 in small: each color column by column, labels from 1; return images and labels by split."""
    found = {}
    for split, many in (("train", n), ("test", n // 2)):
        images, _ = pictures(many, shape=(3, 96, 96), seed=many)
        labels = (np.arange(many) % 10 + 1).astype(np.uint8)
        found[split] = images, labels
        write(folder, {f"{split}_X.bin": images.transpose(0, 1, 3, 2).tobytes(), f"{split}_y.bin": labels.tobytes()})
    return found


@pytest.mark.parametrize("inside", ["", "stl10_binary"])
def test_stl_10_is_turned_upright(tmp_path, inside):
    """Images are as they look, labels from 0, classes have names, and a note says what was done."""
    expected = stl(tmp_path / inside)
    (tmp_path / inside / "unlabeled_X.bin").write_bytes(b"not read")
    data = load_data(tmp_path, validation="none")
    assert data.classes[:2] == ("airplane", "bird")
    for split, part in (("train", data.train), ("test", data.test)):
        np.testing.assert_array_equal(part.source.images, expected[split][0])
        np.testing.assert_array_equal(part.labels, expected[split][1] - 1)
        assert part.source.images.flags.c_contiguous
    assert data.notes == (
        "STL-10 stores its images column by column: turned upright",
        "ignored: unlabeled_X.bin, which has no labels",
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"train_X.bin": bytes(27648 * 2 + 5)}, "2 images and 5 bytes"),
        ({"train_X.bin": b""}, "expected images of 27,648 bytes"),
        ({"test_y.bin": bytes(10)}, "test_y.bin:0: found label 0, expected 1 to 10"),
        ({"test_y.bin": bytes([11] * 10)}, "found label 11"),
        ({"train_y.bin": bytes([1] * 19)}, "found 19 labels, expected 20"),
        ({"class_names.txt": b"a\nb\n"}, "found 2 names, expected 10"),
    ],
)
def test_damaged_stl_10_is_refused(tmp_path, change, reason):
    """Sizes, labels and names that do not fit are refused."""
    stl(tmp_path)
    write(tmp_path, change)
    with pytest.raises(DataError, match=reason):
        load_data(tmp_path)


def test_a_folder_with_two_published_sets_names_both(tmp_path, monkeypatch):
    """Which of them is not guessed: the message has what to type for each."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "d" / "cifar-100-python", python_files())
    stl(tmp_path / "d" / "stl10_binary")
    with pytest.raises(DataError, match=r'"d/cifar-100-python", or "d/stl10_binary"'):
        load_data("d")
