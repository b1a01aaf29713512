"""`layerline data list`, `fetch`, `info` and `check`, as processes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from data_files import idx_bytes, packed, pictures, write_idx
from image_files import jpeg, png, tree
from mirror import serving
from places import SOURCES
from scenes import drawn_mask, photos

from layerline.cli import data_report
from layerline.data import load_data
from layerline.data.dataset import Resized

if TYPE_CHECKING:
    from pathlib import Path

PLAIN = {
    "PATH": os.environ["PATH"],
    "PYTHONPATH": str(SOURCES),
    "LANG": "C.UTF-8",
    "XDG_DATA_HOME": "/nowhere",
}


def run(folder: Path, *arguments: str, code: str = "pass", **environment: str) -> Any:
    """Run a command in a folder; `code` is run before it."""
    start = f"import sys; {code}; from layerline.cli import main; sys.exit(main())"
    return subprocess.run(  # noqa: S603
        [sys.executable, "-c", start, "data", *arguments],
        cwd=folder,
        env={**PLAIN, "XDG_CACHE_HOME": str(folder / ".cache"), **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def fits(text: str) -> bool:
    return max(map(len, text.splitlines())) <= 80 and "\x1b" not in text and "\r" not in text


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    """Return a folder of photos without a fault."""
    images = photos(120)
    for k, image in enumerate(images):
        tree(tmp_path / "photos", {f"{('ant', 'bee', 'cow')[k % 3]}/{k:03}.jpg": jpeg(image)})
    return tmp_path


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    """Return a folder with every fault there is."""
    images = [jpeg(image) for image in photos(150)]
    for k in range(120):
        tree(tmp_path / "photos", {f"train/{('ant', 'bee')[k % 2]}/{k:03}.jpg": images[k]})
    for k in range(30):
        tree(tmp_path / "photos", {f"test/{('ant', 'bee')[k % 2]}/{k:03}.jpg": images[120 + k]})
    black = png(np.zeros((40, 48, 3), np.uint8))
    tree(
        tmp_path / "photos",
        {
            **{f"test/ant/leak{k}.jpg": images[k] for k in (2, 4, 6)},
            **{f"train/bee/other{k}.jpg": images[k] for k in (6, 10, 14, 16, 18)},
            "train/ant/again.jpg": images[8],
            **{f"train/ant/{k:03}_mask.png": png(np.repeat(drawn_mask(k)[..., None], 3, 2)) for k in (0, 2, 4)},
            "train/ant/black.png": black,
            **{f"train/cow/{k}.jpg": jpeg(photos(1, seed=90 + k)[0]) for k in range(2)},
            "test/cow/7.jpg": jpeg(photos(1, seed=97)[0]),
        },
    )
    return tmp_path


@pytest.mark.smoke
def test_list_says_where_each_set_is(tmp_path, golden):
    """A table of 80 columns; sets that are there with their place, the others with the command that fetches them."""
    ended = run(tmp_path, "list")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert fits(ended.stdout)
    golden("data-list.txt", ended.stdout)
    images, labels = pictures(40, 10)
    for split in ("train", "t10k"):
        write_idx(tmp_path / "sets" / "MNIST" / "raw", split, images, labels)
    (tmp_path / "sets" / "cifar10").mkdir()
    (tmp_path / "sets" / "cifar10" / "cifar-10-python.tar.gz").write_bytes(b"")
    for ended in (run(tmp_path, "list", "--data-dir", "sets"), run(tmp_path, "list", LAYERLINE_DATA="sets")):
        rows = ended.stdout.splitlines()
        assert rows[2].endswith("  MNIST/raw/")
        assert rows[3].endswith("  layerline data fetch fashion-mnist")
        assert rows[4].endswith("  cifar10/cifar-10-python.tar.gz")


def test_list_works_without_a_folder(tmp_path):
    """A folder that is not there, or is a file, is one without sets; and so is a user without a home."""
    (tmp_path / "file").write_bytes(b"")
    for folder in ("nowhere", "file"):
        ended = run(tmp_path, "list", "--data-dir", folder)
        assert ended.returncode == 0
        assert ended.stdout.count("layerline data fetch") == 3
    homeless = "import platformdirs; platformdirs.user_data_dir = lambda *a, **k: '~/x'"
    ended = run(tmp_path, "list", code=homeless)
    assert ended.returncode == 0
    assert "no folder, because this user has no home" in ended.stdout


@pytest.mark.smoke
def test_fetch_on_the_command_line(tmp_path, golden):
    """A line a file, then where the set is, its license and what to do next; what the first mirror did is told."""
    images, labels = pictures(400, 10, shape=(28, 28))
    contents = {"images-idx3": idx_bytes(images), "labels-idx1": idx_bytes(labels)}
    files = {f"{s}-{what}-ubyte.gz": packed(data) for s in ("train", "t10k") for what, data in contents.items()}
    listed = [(name, len(content), hashlib.sha256(content).hexdigest()) for name, content in files.items()]
    with serving(files) as (server, _):
        code = (
            "import dataclasses; from layerline.data.fetching.catalog import *; "
            f"KNOWN['mnist'] = dataclasses.replace(MNIST, archives=tuple(Archive(*a) for a in {json.dumps(listed)}), "
            f"mirrors=('{server}/missing/', '{server}/good/'))"
        )
        ended = run(tmp_path, "fetch", "mnist", "--data-dir", "sets", code=code)
        assert (ended.returncode, ended.stderr) == (0, "")
        golden("data-fetch.txt", ended.stdout.replace(server, "http://MIRROR"))
        again = run(tmp_path, "fetch", "mnist", "--data-dir", "sets", code=code)
        assert again.stdout.count("already there") == 4
        (tmp_path / "sets/mnist/t10k-labels-idx1-ubyte.gz").write_bytes(b"<html>")
        refused = run(tmp_path, "fetch", "mnist", "--data-dir", "sets", code=code)
        assert refused.returncode == 2
        assert "--force" in refused.stderr
        forced = run(tmp_path, "fetch", "mnist", "--data-dir", "sets", "--force", code=code)
        assert forced.returncode == 0
    info = run(tmp_path, "info", "mnist", "--data-dir", "sets")
    assert info.stdout.startswith("mnist: 800 gray 28×28 images, 10 classes")


def test_a_full_disk_leaves_nothing(tmp_path):
    """Where the disk takes no more, the message says how much room is needed, and no part of a file is left."""
    content = packed(idx_bytes(pictures(400, 10, shape=(28, 28))[0]))
    name = "train-images-idx3-ubyte.gz"
    digest = hashlib.sha256(content).hexdigest()
    with serving({name: content}) as (server, _):
        code = (
            "import dataclasses, resource; from layerline.data.fetching.catalog import *; "
            f"KNOWN['mnist'] = dataclasses.replace(MNIST, archives=(Archive('{name}', {len(content)}, '{digest}'),), "
            f"mirrors=('{server}/good/',)); resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
        )
        ended = run(tmp_path, "fetch", "mnist", "--data-dir", "sets", code=code)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"sets/mnist/{name}: cannot be written: File too large\n  help: free 314 kB")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.smoke
def test_info_of_a_set(tmp_path, golden):
    """The table of digits, to the letter, at 80 columns."""
    ended = run(tmp_path, "info", "digits")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert fits(ended.stdout)
    golden("data-info-digits.txt", ended.stdout)


def test_info_counts_what_the_options_leave(clean):
    """Counts, sizes and classes are those after the cuts that the options make."""
    ended = run(clean, "info", "photos", "--classes", "ant,cow", "--test", "20", "--validation", "none")
    rows = [line.split() for line in ended.stdout.splitlines()]
    assert ["class", "train", "test", "total", "fraction"] in rows
    assert ["ant", "30", "10", "40", "50.0%"] in rows
    assert ["all", "60", "20", "80", "100.0%"] in rows
    assert rows[0][:6] == ["photos:", "80", "RGB", "48×40", "images,", "2"]


@pytest.mark.parametrize("option", [*data_report._OPTIONS, "seed"])
def test_every_option_reaches_the_data(option, clean):
    """An option with a value that makes no sense is a mistake of the user's, said by the flag's name, or works."""
    flag = "--" + option.replace("_", "-")
    if option == "gray":  # a switch has no value
        assert " gray 48×40 images" in run(clean, "info", "photos", flag).stdout.splitlines()[0]
        return
    ended = run(clean, "info", "photos", flag, "(")
    if option in ("data_dir", "cache"):  # any text will do
        assert ended.returncode == 0
    else:
        assert (ended.returncode, ended.stdout) == (2, "")
        assert flag in ended.stderr.splitlines()[0]


def test_the_cuts_can_have_a_seed_of_their_own():
    """--split-seed wins over --seed, as in train."""
    five = load_data("digits", seed=5).train.indices
    for given in ({"seed": "5"}, {"seed": "6", "split_seed": "5"}, {"split_seed": "5"}):
        np.testing.assert_array_equal(data_report._load({"data": "digits", **given}).train.indices, five)
    assert not np.array_equal(data_report._load({"data": "digits"}).train.indices, five)


def test_info_of_many_classes_shows_the_smallest():
    """Beyond 50 classes, those with the fewest training images are shown, and the line says so."""
    images, _ = pictures(900, 1)
    source = load_data("digits").train.source
    of_class = np.concatenate([np.arange(60).repeat(10), np.arange(60, 80).repeat(15)])
    data = load_data("digits")
    many = dataclasses.replace(
        data,
        classes=tuple(f"class {k}" for k in range(80)),
        train=dataclasses.replace(
            data.train,
            source=dataclasses.replace(source, images=images[:, None], labels=of_class.astype(np.int32)),
            indices=np.arange(900),
        ),
        validation=None,
        test=None,
    )
    lines = data_report._lines(many)
    assert "(the 50 of 80 classes with the fewest training images)" in lines
    assert sum(line.startswith("class ") for line in lines) == 51


def test_info_tells_of_sizes_and_files_left_out():
    """What reading did to the images is in the report."""
    data = dataclasses.replace(
        load_data("digits"),
        resized=Resized(412, (40, 60), (600, 800), (128, 128), "crop"),
        skipped=("cat/7.jpg: cut off",),
    )
    lines = data_report._lines(data)
    assert "412 sizes from 60×40 to 800×600, resized to 128×128 (crop)" in lines
    assert "skipped: cat/7.jpg: cut off" in lines


def test_check_of_clean_data_ends_with_0(clean):
    """Nothing found."""
    ended = run(clean, "check", "photos")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("photos: 120 images in 3 classes: nothing found\n")


@pytest.mark.smoke
def test_check_lists_everything_and_ends_with_2(faulty, golden):
    """Every finding with every image it is about; what refuses comes first, with the option that allows it."""
    ended = run(faulty, "check", "photos")
    assert (ended.returncode, ended.stderr) == (2, "")
    golden("data-check.txt", ended.stdout)


def test_check_ends_with_0_where_all_is_allowed(faulty):
    """--allow takes kinds; what is left still refuses; a word that is no kind is a mistake."""
    assert run(faulty, "check", "photos", "--allow", "leak,conflict").returncode == 2
    ended = run(faulty, "check", "photos", "--allow", "leak, conflict,mask")
    assert ended.returncode == 0
    assert ended.stdout.count("(allowed)") == 3
    ended = run(faulty, "check", "photos", "--allow", "leek")
    assert ended.returncode == 2
    assert ended.stderr == "--allow leek: unknown kind of finding\n  help: did you mean leak?\n"


def test_what_loading_refuses_check_refuses(tmp_path):
    """Data that cannot be read has one message, from whatever command."""
    for command in ("info", "check"):
        ended = run(tmp_path, command, "nothing")
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr.startswith("--data nothing: no file, folder or data set")
