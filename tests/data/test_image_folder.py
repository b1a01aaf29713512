"""Images in folders and archives: splits, classes, order, what is beside them, and memory as they lie in it."""

from __future__ import annotations

import io
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
from cifar_files import packed, special, tar_of
from image_files import apng, jpeg, picture, png, tree
from peak import PEAK

from layerline.data import load_data
from layerline.data.checking.doctor import examine
from layerline.data.photos import decoding, image_names
from layerline.data.photos.image_stack import ImageStack, reorder
from layerline.errors import DataError
from layerline.runs import names

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("cat", "dog", "emu")


def seed(prefix: str, number: int, k: int) -> int:
    """Return a number that no other image has."""
    return 10_000 * len(prefix) + 100 * number + k


def several(prefix: str = "", count: int = 5, size: tuple[int, int] = (6, 5), channels: int = 3) -> dict[str, bytes]:
    """Return image files of three classes."""
    return {
        f"{prefix}{name}/{k:02}.png": png(picture(seed(prefix, number, k), size, channels))
        for number, name in enumerate(NAMES)
        for k in range(count)
    }


def expected(prefix: str = "", count: int = 5, **options) -> np.ndarray:
    """Return the pixels of `several`, sorted by class and name."""
    return np.stack([picture(seed(prefix, c, k), **options) for c in range(3) for k in range(count)])


WAYS = {
    "folder": None,
    "tar": lambda content: content,
    "gz": packed,
    "xz": lzma.compress,
}


def put(folder: Path, files: dict[str, bytes], way: str) -> Path:
    """Write files as a folder, or as an archive."""
    folder.mkdir(exist_ok=True)
    if way == "folder":
        tree(folder / "photos", files)
        return folder / "photos"
    (folder / "photos.bin").write_bytes(WAYS[way](tar_of(files)))
    return folder / "photos.bin"


@pytest.mark.parametrize("way", WAYS)
def test_classes_are_folders(tmp_path, way):
    """`class/image`: the folder is the class, images are sorted by name, lie as H, W, C and are cut as any data."""
    data = load_data(put(tmp_path, several(), way))
    assert data.classes == NAMES
    np.testing.assert_array_equal(data.train.source.images.transpose(0, 2, 3, 1), expected())
    np.testing.assert_array_equal(data.train.source.labels, np.repeat(np.arange(3), 5))
    assert data.train.source.channels_last
    assert list(data.train.source.names) == sorted(several())
    assert (len(data.train), len(data.validation), len(data.test)) == (9, 3, 3)
    assert data.scaling.scale == (1 / 255,) * 3
    assert (data.notes, data.name) == ((), "photos" if way == "folder" else "photos.bin")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("validation", ["val", "valid", "Validation"])
def test_splits_are_folders(tmp_path, way, validation):
    """`split/class/image`: train, validation under any of its names, and test are taken as they are."""
    files = {**several("train/", 5), **several(f"{validation}/", 2), **several("test/", 3)}
    data = load_data(put(tmp_path, files, way))
    sizes = {"train": 5, validation: 2, "test": 3}
    for split, (name, count) in zip((data.train, data.validation, data.test), sizes.items(), strict=True):
        found = split.source.images[split.indices].transpose(0, 2, 3, 1)
        np.testing.assert_array_equal(found, expected(f"{name}/", count))
    assert data.cuts == {"normalize": "max"}


def test_packing_and_order_change_no_fingerprint(tmp_path):
    """A folder, and archives of it in any order and with any folder around, are one data set."""
    files = {**several("train/"), **several("test/")}
    tree(tmp_path / "a", files)
    backwards = dict(reversed(files.items()))
    (tmp_path / "b.tar").write_bytes(tar_of(backwards))
    (tmp_path / "c.tar").write_bytes(tar_of({f"./some/where/{name}": files[name] for name in files}))
    loaded = [load_data(tmp_path / name) for name in ("a", "b.tar", "c.tar")]
    assert len({data.fingerprint for data in loaded}) == 1
    assert len({data.train.source.images.tobytes() for data in loaded}) == 1


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_and_foreign_names_are_read_from_every_kind_of_tar(tmp_path, form):
    """Names above 100 bytes and beyond ASCII are the same from ustar, GNU and pax archives."""
    files = {f"{'x' * 80}/{name}/{'y' * 60}{k}.png": png(picture(k)) for name in ("Käse", "dog") for k in range(4)}
    (tmp_path / "a.tar").write_bytes(tar_of(files, form=form))
    data = load_data(tmp_path / "a.tar")
    assert data.classes == ("Käse", "dog")
    assert len(data.train.source.labels) == 8


def test_an_archive_is_what_tarfile_says(tmp_path):
    """For archives that Python writes, our reader yields the members and contents that Python's reader yields."""
    from layerline.data.formats.stream import open_stream
    from layerline.data.formats.tar import Tar

    rng = np.random.default_rng(0)
    files = {f"d{k % 7}/{'n' * k}{k}": rng.bytes(k * 997 % 3000) for k in range(200)}
    extra = (special("folder", tarfile.DIRTYPE), special("link", tarfile.SYMTYPE, "d1"))
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        content = tar_of(files, *extra, form=form)
        (tmp_path / "a.tar").write_bytes(content)
        with open_stream(tmp_path / "a.tar") as stream, Tar(stream) as tar:
            found = [(m.name, m.kind, tar.read(m) if m.kind == "file" and "1" in m.name else b"") for m in tar]
        with tarfile.open(fileobj=io.BytesIO(content)) as known:
            kinds = {tarfile.DIRTYPE: "folder", tarfile.SYMTYPE: "other"}
            assert found == [
                (
                    m.name,
                    kinds.get(m.type, "file"),
                    known.extractfile(m).read() if m.isfile() and "1" in m.name else b"",
                )
                for m in known
            ]


def test_an_archive_that_is_left_has_no_thread(tmp_path):
    """When its `with` is left, nobody unpacks what is ahead any more, however much of it there is."""
    from layerline.data.formats.stream import open_stream
    from layerline.data.formats.tar import Tar

    (tmp_path / "a.tar").write_bytes(tar_of({f"{k}.bin": bytes(2**20) for k in range(5)}))
    with open_stream(tmp_path / "a.tar") as stream, Tar(stream) as tar:
        assert next(iter(tar)).name == "0.bin"
        assert "unpack" in str(threading.enumerate())
    assert "unpack" not in str(threading.enumerate())


def test_what_lies_beside_the_images_is_counted(tmp_path):
    """Files of systems, texts and loose files are no images; how many there are is said, with one of each kind."""
    junk = (".DS_Store", "cat/.DS_Store", "cat/Thumbs.db", "cat/._0.png", "dog/desktop.ini")
    beside = dict.fromkeys((*junk, "README.md", "dog/labels.txt", "model.bin"), b"?")
    tree(tmp_path / "a", several() | beside | {"__MACOSX/cat/._0.png": b"?", ".ipynb_checkpoints/0.png": b"?"})
    (tmp_path / "b").write_bytes(tar_of(several() | beside | {"__MACOSX/cat/._0.png": b"?", ".git/0.png": b"?"}))
    folder, archive = load_data(tmp_path / "a"), load_data(tmp_path / "b")
    assert folder.fingerprint == archive.fingerprint
    for data, name in ((folder, "a"), (archive, "b")):
        assert sorted(data.notes) == [
            f"ignored in {tmp_path}/{name}: files outside any class folder (1), such as model.bin",
            f"ignored in {tmp_path}/{name}: hidden or system files (7), such as .DS_Store",
            f"ignored in {tmp_path}/{name}: text files (2), such as README.md",
        ]


def test_links_and_odd_names_in_an_archive_are_counted(tmp_path, monkeypatch):
    """Links, devices and names that lead elsewhere are not followed, and nothing is written anywhere."""
    monkeypatch.chdir(tmp_path)
    extra = (
        special("cat/l.png", tarfile.SYMTYPE, "/etc/passwd"),
        special("cat/h.png", tarfile.LNKTYPE, "cat/00.png"),
        special("cat/d.png", tarfile.BLKTYPE),
        special("../cat/e.png", tarfile.REGTYPE),
        special("/cat/f.png", tarfile.REGTYPE),
    )
    (tmp_path / "a.tar").write_bytes(tar_of(several(), *extra))
    data = load_data("a.tar")
    assert len(data.train.source.labels) == 15
    assert data.notes == (
        "ignored in a.tar: links and devices (3), such as cat/l.png",
        "ignored in a.tar: files outside the archive's folder (2), such as ../cat/e.png",
    )
    assert [path.name for path in tmp_path.rglob("*")] == ["a.tar"]


RUN = {
    f"runs/net-1/{name}": png(picture(k, (90, 120)))
    for k, name in enumerate(("accuracy.png", "confusion.png", "loss.png", "checkpoints/a.png"))
} | {"runs/net-1/network.cnn": b"FC 2", "runs/net-1/experiment.toml": b"# a run"}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("prefix", ["", "train/"])
def test_a_run_inside_the_data_is_no_data(tmp_path, way, prefix):
    """A folder with a run in it, as `train --data .` leaves it, is the same data set as without, and is counted."""
    files = several("train/") | several("test/") if prefix else several()
    runs = {name.replace("net-1", f"net-{k}"): content for name, content in RUN.items() for k in (1, 2)}
    clean, used = put(tmp_path / "a", files, way), put(tmp_path / "b", files | runs, way)
    data = load_data(used)
    assert data.fingerprint == load_data(clean).fingerprint
    assert data.notes == (f"ignored in {used}: run folders (2), such as runs/net-1",)
    if way != "folder":  # an archive of folders, too, in which they come before what is in them
        folders = (special(name, tarfile.DIRTYPE) for name in ("runs", "runs/net-1", "runs/net-1/checkpoints"))
        used.write_bytes(tar_of(files | runs, *folders))
        assert load_data(used).fingerprint == data.fingerprint


def test_the_files_by_which_a_run_is_known_are_those_that_are_written():
    """Both are in a run's folder from its start."""
    assert {names.NETWORK, names.EXPERIMENT} == image_names.RUN


def test_links_in_a_folder_are_followed_and_those_that_lead_out_are_counted(tmp_path):
    """One rule: a link is what it leads to. A note counts those that leave the folder; those inside it need none."""
    tree(tmp_path / "pool", several())
    tree(tmp_path / "photos", {name: content for name, content in several().items() if not name.startswith("cat")})
    (tmp_path / "photos" / "cat").symlink_to(tmp_path / "pool" / "cat")
    (tmp_path / "photos" / "dog" / "00.png").unlink()
    (tmp_path / "photos" / "dog" / "00.png").symlink_to(tmp_path / "pool" / "dog" / "00.png")
    (tmp_path / "photos" / "emu" / "zz.png").symlink_to("00.png")
    data = load_data(tmp_path / "photos")
    assert len(data.train.source.labels) == 16
    assert data.notes == (f"links that point outside {tmp_path}/photos are followed (2), such as cat",)
    (tmp_path / "photos" / "emu" / "zz.png").unlink()
    assert load_data(tmp_path / "photos").fingerprint == load_data(tmp_path / "pool").fingerprint


def test_pipes_among_images_are_counted_and_not_opened(tmp_path):
    """A pipe would be waited for without end; a link that leads nowhere is a bad file."""
    tree(tmp_path, several())
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    assert load_data(tmp_path).notes == (f"ignored in {tmp_path}: links and devices (1), such as cat/pipe.png",)
    (tmp_path / "cat" / "nowhere.png").symlink_to("nothing.png")
    with pytest.raises(DataError, match="1 image cannot be read"):
        load_data(tmp_path)


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (("10", "2", "1"), ("1", "2", "10")),
        (("b", "B", "a"), ("B", "a", "b")),
        (("10", "2", "x"), ("10", "2", "x")),
    ],
)
def test_the_order_of_the_classes(tmp_path, names, order):
    """Classes are in the order of their numbers where all are numbers, else of their letters."""
    tree(tmp_path, {f"{name}/{k}.png": png(picture(k)) for name in names for k in range(4)})
    data = load_data(tmp_path)
    assert data.classes == order
    assert any("are separate classes" in note for note in data.notes) == ("B" in names)


def test_names_with_odd_letters(tmp_path):
    """File names with newlines, leading dashes, 255 bytes and bytes that are not UTF-8 are files like others."""
    odd = ("-rf.png", "a\nb.png", "x" * 251 + ".png", "\udcff.png", "no suffix")
    tree(tmp_path, {f"{name}/{file}": png(picture()) for name in ("cat", "dog") for file in odd})
    assert len(load_data(tmp_path).train.source.labels) == 10


def test_accents_written_in_two_ways_are_one_class(tmp_path):
    """A class whose folder in train has a composed accent and in test a decomposed one (as macOS does) is one class."""
    cafe = {"train": "caf\u00e9", "test": "cafe\u0301"}
    tree(tmp_path, {f"{s}/{c}/{k}.png": png(picture(k)) for s in cafe for c in (cafe[s], "dog") for k in range(4)})
    assert load_data(tmp_path).classes == ("caf\u00e9", "dog")


def test_gray_images_among_others_become_rgb(tmp_path):
    """Where all are gray there is one channel; one image in color makes all RGB, wherever it stands in the order."""
    gray = several(channels=1)
    tree(tmp_path / "gray", gray)
    assert load_data(tmp_path / "gray").shape == (1, 6, 5)
    for place in ("cat/00.png", "dog/02.png", "emu/04.png"):
        tree(tmp_path / place[:3], gray | {place: png(picture(99))})
        data = load_data(tmp_path / place[:3])
        pixels = np.repeat(expected(channels=1)[..., None], 3, axis=3)
        pixels[sorted(gray).index(place)] = picture(99)
        np.testing.assert_array_equal(data.train.source.images.transpose(0, 2, 3, 1), pixels)
        assert data.notes == ("14 of 15 images are gray, and are converted to RGB like the others",)


def test_images_of_one_pixel_and_of_few_rows_are_channels_last(tmp_path):
    """The channels of a picture are known, however small it is."""
    for size in ((1, 1), (2, 40), (3, 3), (40, 2)):
        tree(tmp_path / str(size), several(size=size))
        data = load_data(tmp_path / str(size))
        assert data.shape == (3, *size)
        np.testing.assert_array_equal(data.train.source.images.transpose(0, 2, 3, 1), expected(size=size))
        assert data.notes == ()


def test_an_image_in_train_and_test_is_told(tmp_path):
    """A file that is in training and in test is counted, by name: the test's figures would be too good."""
    files = {**several("train/"), **several("test/")}
    tree(
        tmp_path,
        files | {"test/cat/again.png": files["train/dog/01.png"], "test/cat/more.png": files["train/cat/00.png"]},
    )
    told = {item.kind: item.message for item in examine(load_data(tmp_path, validation="none"))}
    assert told["leak"].startswith("2 of ")
    assert "test images are also in training (such as train/cat/00.png = test/cat/more.png)" in told["leak"]


def test_an_animation_is_told(tmp_path):
    """Where a file has several frames, a note names it."""
    moving = apng([picture(0), picture(1)])
    tree(tmp_path, several() | {"cat/00.png": moving})
    data = load_data(tmp_path)
    assert data.notes == ("1 image such as cat/00.png has several frames or pages: only the first is used",)
    tree(tmp_path, {"dog/00.png": moving})
    two = load_data(tmp_path)
    assert two.notes == ("2 images such as cat/00.png have several frames or pages: only the first is used",)
    np.testing.assert_array_equal(data.train.source.images.transpose(0, 2, 3, 1), expected())


def test_a_class_without_images_in_test_is_there_by_its_folder(tmp_path):
    """An empty folder in test says that the class is meant; the class is missing there, and a note says so."""
    files = {**several("train/"), **{name: content for name, content in several("test/").items() if "emu" not in name}}
    tree(tmp_path, files)
    (tmp_path / "test" / "emu").mkdir()
    data = load_data(tmp_path)
    assert data.classes == NAMES
    assert data.notes == ("test has 2 of 3 classes: no images of emu",)


def test_many_threads_keep_the_order(tmp_path, monkeypatch):
    """Large images are decoded by several threads, small ones by none, and the order is that of the names."""
    monkeypatch.setattr(decoding, "cores", lambda: 4)
    for size in ((8, 8), (70, 70)):
        tree(tmp_path / str(size), several(count=60, size=size))
        data = load_data(tmp_path / str(size), size=size[0])
        np.testing.assert_array_equal(data.train.source.images.transpose(0, 2, 3, 1), expected(count=60, size=size))


def test_progress_is_reported(tmp_path):
    """The hook learns how many images are done, and of how many; the last call says all."""
    calls = []
    tree(tmp_path / "a", several(count=80))
    load_data(tmp_path / "a", progress=lambda done, of: calls.append((done, of)))
    assert calls == [(100, 240), (200, 240), (240, 240)]
    calls.clear()
    (tmp_path / "b.tar").write_bytes(tar_of(several(count=80)))
    load_data(tmp_path / "b.tar", progress=lambda done, of: calls.append((done, of)))
    assert calls == [(100, 240), (200, 240), (240, 240)]


def test_a_stack_grows_and_gives_back_what_was_put_in():
    """Images come back as they were added, through every growth, gray ones repeated from the first color on."""
    pixels = [picture(k, (3, 4), 1 if k < 700 else 3) for k in range(900)]
    stack = ImageStack("a")
    for item in pixels:
        stack.add(item)
    whole = [np.repeat(item[..., None], 3, axis=2) if item.ndim == 2 else item for item in pixels]
    assert (len(stack), stack.gray) == (900, 700)
    np.testing.assert_array_equal(stack.taken(), np.stack(whole))


def test_many_bad_images_are_listed_to_a_limit(tmp_path):
    """All bad files are named together, up to a hundred; with more than a thousand the rest is not looked at."""
    tree(tmp_path / "a", {f"{name}/{k:04}.png": b"" for name in ("cat", "dog") for k in range(80)})
    with pytest.raises(DataError) as caught:
        load_data(tmp_path / "a")
    lines = str(caught.value).splitlines()
    assert "160 images cannot be read" in lines[0]
    assert len(lines) == 1 + 100 + 1 + 1
    assert lines[101].strip() == "… and 60 more"
    tree(tmp_path / "b", {f"{name}/{k:04}.png": b"" for name in ("cat", "dog") for k in range(800)})
    with pytest.raises(DataError, match="1,000 images or more cannot be read"):
        load_data(tmp_path / "b")


def test_a_copy_of_cifar_10_as_images_is_found_by_name(tmp_path):
    """`cifar10` takes an archive of images or a folder of them in its place, and says that it is a copy."""
    names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    files = {
        f"{s}/{c}/{k}.jpg": jpeg(picture(k, (32, 32))) for s in ("train", "test") for c in names for k in range(10)
    }
    (tmp_path / "a/cifar10").mkdir(parents=True)
    (tmp_path / "a/cifar10/cifar10-jpeg.tar.xz").write_bytes(lzma.compress(tar_of(files)))
    tree(tmp_path / "b/cifar10", files)
    for where in ("a", "b"):
        data = load_data("cifar10", data_dir=tmp_path / where)
        assert (data.name, data.classes, data.shape) == ("cifar10", names, (3, 32, 32))
        assert "is a copy of CIFAR-10 as image files" in data.notes[0]


def test_memory_is_that_of_the_images(tmp_path):
    """Loading 120 MB of images takes less than 1.6 times that, with all that is imported: nothing is held twice."""
    pixels = np.full((100, 100, 3), 7, np.uint8)
    files = {f"{name}/{k}.png": png(pixels) for name in ("cat", "dog") for k in range(2000)}
    (tmp_path / "a.tar").write_bytes(tar_of(files))
    program = (
        f"{PEAK}\n"
        "import sys, layerline.data as d, PIL.PngImagePlugin\n"
        "before = peak()\n"
        "d.load_data(sys.argv[1], size=100, group_by='none')\n"
        "print(peak() - before)\n"
    )
    run = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program, str(tmp_path / "a.tar")], capture_output=True, text=True, check=True
    )
    assert int(run.stdout) < 1.6 * 2 * 2000 * 30_000


@pytest.mark.parametrize("seed", range(20))
def test_images_are_reordered_in_place(seed):
    """Image k becomes what image order[k] was, whatever cycles the order has."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 40))
    images = rng.integers(0, 255, (count, 3, 2)).astype(np.uint8)
    order = rng.permutation(count) if seed else np.arange(count)
    expected = images[order]
    reorder(images, order.tolist())
    np.testing.assert_array_equal(images, expected)


@pytest.mark.parametrize("ending", ["tar", "zip"])
def test_an_archive_of_the_present_folder_is_read(tmp_path: Path, ending: str) -> None:
    """`tar -cf photos.tar .` begins with an entry for the folder itself, which is no class."""
    kinds = {"cat": 0, "dog": 100}
    tree(
        tmp_path / "photos",
        {f"{k}/{n}.png": png(picture(n + first, (9, 9))) for k, first in kinds.items() for n in range(8)},
    )
    shutil.make_archive(str(tmp_path / "photos"), ending, tmp_path / "photos")
    assert load_data(tmp_path / f"photos.{ending}").classes == ("cat", "dog")
