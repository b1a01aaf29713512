"""Decoded images that are kept: found again, never believed unseen, written whole or not at all (hostile case 144)."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from cifar_files import tar_of
from image_files import picture, png, tree
from peak import PEAK

import layerline
from layerline.data import load_data
from layerline.data.photos import cache, decoding, image_file, image_stack
from layerline.files import private, regular

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name == "nt", reason="rights are others there")

COUNT = 40
SIZE = (20, 24)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Keep sets from 10 kB on, in blocks of 4 kB, so that there are several."""
    monkeypatch.setattr(image_stack, "MAX_IN_MEMORY", 10_000)
    monkeypatch.setattr(cache, "BLOCK", 4096)


@pytest.fixture
def decoded(monkeypatch):
    """Return a list that gets an entry for every image that is decoded."""
    calls: list[int] = []
    decode = image_file.decode
    monkeypatch.setattr(decoding, "decode", lambda content, sizing: (calls.append(1), decode(content, sizing))[1])
    return calls


@pytest.fixture
def photos(tmp_path):
    """Return a folder of images, written long ago."""
    files = {f"{s}/{c}/{k:02}.png": png(picture(k, SIZE)) for s in ("train", "test") for c in "ab" for k in range(10)}
    tree(tmp_path / "set", files)
    age(tmp_path / "set")
    return tmp_path / "set"


def age(folder: Path) -> None:
    """Let files look as if they had been written long ago; the time of their last change cannot be set."""
    for path in folder.rglob("*.png"):
        os.utime(path, (10**9, 10**9))


@pytest.fixture
def later(monkeypatch):
    """Let the cache believe that it is an hour later, so that files just written are no longer fresh."""
    begin = cache.Cache.begin

    def begun(self):
        before = self.now
        begin(self)
        self.now += 3600 * 10**9 if self.now != before else 0

    monkeypatch.setattr(cache.Cache, "begin", begun)


def same(one, other) -> bool:
    """Return whether two data sets are equal in all that matters."""
    return (
        one.fingerprint == other.fingerprint
        and one.train.source.images.tobytes() == other.train.source.images.tobytes()
        and one.test.source.images.tobytes() == other.test.source.images.tobytes()
        and list(one.train.source.names) == list(other.train.source.names)
        and one.resized == other.resized
    )


def kept(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.images"))


@pytest.mark.parametrize("way", ["folder", "tar", "tar backwards"])
@pytest.mark.parametrize("size", [None, "16x12"])
def test_the_second_start_decodes_nothing(photos, tmp_path, decoded, way, size):
    """What was kept is the data set that decoding gives in all its parts, for folders and archives in any order."""
    source = photos
    if way != "folder":
        files = {str(path.relative_to(photos)): path.read_bytes() for path in sorted(photos.rglob("*.png"))}
        files["README.md"] = b"text"
        source = tmp_path / "set.tar"
        source.write_bytes(tar_of(dict(reversed(files.items())) if "backwards" in way else files))
    plain = load_data(source, size=size)
    first = load_data(source, size=size, cache=tmp_path / "cache")
    done = len(decoded)
    second = load_data(source, size=size, cache=tmp_path / "cache")
    assert len(decoded) == done == 2 * COUNT
    assert same(plain, first)
    assert same(plain, second)
    assert first.notes == second.notes
    assert [note for note in second.notes if note not in plain.notes] == [
        f"the decoded images are cached in cache for the next run: {sizes(tmp_path)} (--cache)"
    ]
    assert not second.train.source.images.flags.writeable
    assert not list((tmp_path / "cache").glob(".*"))


def sizes(tmp_path: Path) -> str:
    from layerline.numbers import display

    return display.size(kept(tmp_path / "cache")[0].stat().st_size)


def test_a_copy_of_the_folder_is_the_same_content(photos, tmp_path, decoded):
    """What is kept is found by what files hold, wherever they lie."""
    load_data(photos, cache=tmp_path / "cache")
    shutil.copytree(photos, tmp_path / "other")
    done = len(decoded)
    assert same(load_data(tmp_path / "other", cache=tmp_path / "cache"), load_data(photos))
    assert len(decoded) == done + COUNT, "the one without a cache decodes, the copy does not"


@pytest.mark.usefixtures("later")
def test_files_that_did_not_change_are_not_read_again(photos, tmp_path, monkeypatch):
    """Where size, times and place are what they were, the digest that was written down is taken."""
    load_data(photos, cache=tmp_path / "cache")
    read = []
    whole = regular.content
    monkeypatch.setattr(regular, "content", lambda *args: (read.append(args), whole(*args))[1])
    load_data(photos, cache=tmp_path / "cache")
    assert not read
    (photos / "train/a/03.png").touch()
    load_data(photos, cache=tmp_path / "cache")
    assert len(read) == 1
    load_data(photos, cache=tmp_path / "cache")
    assert len(read) == 1


def test_a_file_that_was_written_just_now_is_read_again(photos, tmp_path, monkeypatch):
    """A file that may have changed within one step of the clock is not taken for unchanged."""
    load_data(photos, cache=tmp_path / "cache")
    read = []
    whole = regular.content
    monkeypatch.setattr(regular, "content", lambda *args: (read.append(args), whole(*args))[1])
    load_data(photos, cache=tmp_path / "cache")
    assert len(read) == COUNT


@pytest.mark.usefixtures("later")
def test_a_file_of_the_same_size_and_time_that_holds_something_else_is_seen(photos, tmp_path):
    """Content, not the time that can be set, decides: another image of the same length gives another set."""
    before = load_data(photos, cache=tmp_path / "cache")
    path = photos / "train/a/03.png"
    other = next(
        content
        for seed in range(10_000)
        if len(content := png(picture(seed + 100, SIZE))) == path.stat().st_size and content != path.read_bytes()
    )
    path.write_bytes(other)
    os.utime(path, (10**9, 10**9))
    after = load_data(photos, cache=tmp_path / "cache")
    assert after.fingerprint != before.fingerprint
    assert same(after, load_data(photos))


def test_options_are_kept_apart(photos, tmp_path):
    """Another size, fit, color or choice of files is another set."""
    options = ({}, {"size": 16}, {"size": 16, "fit": "pad"}, {"size": 20, "gray": True}, {"exclude": "0[0-3].png"})
    for _ in range(2):
        for given in options:
            assert same(load_data(photos, cache=tmp_path / "cache", **given), load_data(photos, **given))
    assert len(kept(tmp_path / "cache")) == 5


def test_small_sets_are_not_kept(photos, tmp_path, monkeypatch):
    """What is decoded within seconds stays in memory."""
    monkeypatch.setattr(image_stack, "MAX_IN_MEMORY", 10**6)
    assert load_data(photos, cache=tmp_path / "cache").notes == load_data(photos).notes
    assert not kept(tmp_path / "cache")


@pytest.mark.parametrize("source", ["digits", "set", "set.tar", "few"])
def test_no_folder_is_made_for_what_is_not_kept(photos, tmp_path, monkeypatch, source):
    """Arrays, images that are too few, and archives and folders whose images turn out small leave no folder behind."""
    monkeypatch.setattr(image_stack, "MAX_IN_MEMORY", 10**6 if source == "set" else 2**26)
    (tmp_path / "set.tar").write_bytes(
        tar_of({str(p.relative_to(photos)): p.read_bytes() for p in photos.rglob("*.png")})
    )
    wanted = {"digits": "digits", "set.tar": tmp_path / "set.tar"}.get(source, photos)
    load_data(wanted, cache=tmp_path / "cache" / "images")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("value", [None, False, "no"])
def test_without_a_cache_nothing_is_written(photos, tmp_path, monkeypatch, value):
    """`no` writes nothing anywhere."""
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    load_data(photos, cache=value)
    assert sorted(tmp_path.rglob("*")) == before


def damaged_everywhere(path: Path, offsets: range) -> None:
    """Turn one bit at each of these places, one place at a time, and see that the file is not believed."""
    whole = path.read_bytes()
    for offset in offsets:
        broken = bytearray(whole)
        broken[offset] ^= 1 << (offset % 8)
        path.write_bytes(broken)
        assert cache._opened(path) is None, offset
    path.write_bytes(whole)
    assert cache._opened(path) is not None


def test_one_bit_anywhere_is_noticed(photos, tmp_path):
    """A file of which any bit is turned, in the pixels, the facts or the end, is not believed."""
    load_data(photos, cache=tmp_path / "cache", size=16)
    (path,) = kept(tmp_path / "cache")
    size = path.stat().st_size
    damaged_everywhere(path, range(0, size, 101))
    damaged_everywhere(path, range(size - 100, size))


def test_a_file_that_is_cut_or_longer_is_not_believed(photos, tmp_path):
    """Cut at any place, or with anything behind its end."""
    load_data(photos, cache=tmp_path / "cache", size=16)
    (path,) = kept(tmp_path / "cache")
    whole = path.read_bytes()
    for length in (*range(0, len(whole), 997), *range(len(whole) - 70, len(whole))):
        path.write_bytes(whole[:length])
        assert cache._opened(path) is None
    path.write_bytes(whole + b"\0")
    assert cache._opened(path) is None


@pytest.mark.parametrize(
    "facts", [{}, [], {"shape": [-1, 5]}, {"shape": "x", "blocks": []}, {"shape": [5], "blocks": 0}]
)
def test_a_planted_file_with_right_sums_is_not_believed(photos, tmp_path, facts):
    """A file that somebody made, its own digest right, is used only if its pixels and facts are all there."""
    import hashlib

    load_data(photos, cache=tmp_path / "cache")
    (path,) = kept(tmp_path / "cache")
    text = json.dumps(facts).encode()
    tail = len(text).to_bytes(8, "big") + hashlib.sha256(text).digest() + b"layerline images 1\n"
    path.write_bytes(b"12345" + text + tail)
    path.chmod(0o600)
    assert same(load_data(photos, cache=tmp_path / "cache"), load_data(photos))
    assert cache._opened(path) is not None, "it was made anew"


def test_facts_that_are_not_about_these_images_are_not_believed(photos, tmp_path):
    """Where the pixels are right but the facts beside them lack something, the images are decoded anew."""
    import hashlib

    load_data(photos, cache=tmp_path / "cache")
    (path,) = kept(tmp_path / "cache")
    found = cache._opened(path)
    text = json.dumps({key: found.metadata[key] for key in ("shape", "blocks")}).encode()
    tail = len(text).to_bytes(8, "big") + hashlib.sha256(text).digest() + b"layerline images 1\n"
    path.write_bytes(found.pixels.tobytes() + text + tail)
    assert same(load_data(photos, cache=tmp_path / "cache"), load_data(photos))


def spoiled(tmp_path: Path, what: str) -> str:
    """Make the cache one that must not be trusted; return why."""
    folder = tmp_path / "cache"
    if what == "open folder":
        folder.chmod(0o777)
        return "other users can write to it"
    if what == "link for a folder":
        folder.rename(tmp_path / "elsewhere")
        folder.symlink_to(tmp_path / "elsewhere")
        return "it is not a folder"
    if what == "foreign folder":
        os.chown(folder, 12345, 12345)
        return "it belongs to another user"
    for path in folder.iterdir():
        if what == "open file":
            path.chmod(0o666)
        elif what == "foreign file":
            os.chown(path, 12345, 12345)
        elif what == "link for a file":
            path.rename(tmp_path / path.name)
            path.symlink_to(tmp_path / path.name)
        elif what == "folder for a file":
            path.unlink()
            path.mkdir()
        elif what == "pipe for a file":
            path.unlink()
            os.mkfifo(path)
    return ""


@pytest.mark.parametrize(
    "what",
    [
        *("open folder", "link for a folder", "foreign folder"),
        *("open file", "foreign file", "link for a file", "folder for a file", "pipe for a file"),
    ],
)
def test_what_others_may_have_written_is_not_believed(photos, tmp_path, decoded, what):
    """A folder or file that is a link, belongs to somebody else or may be written by others: all is decoded anew."""
    if "foreign" in what and os.geteuid() != 0:
        pytest.skip("only root can give files away")
    plain = load_data(photos)
    load_data(photos, cache=tmp_path / "cache")
    reason = spoiled(tmp_path, what)
    done = len(decoded)
    data = load_data(photos, cache=tmp_path / "cache")
    assert len(decoded) == done + COUNT
    assert same(data, plain)
    if reason:
        assert f"the decoded images are not cached: {reason}" in data.notes


def test_a_cache_that_cannot_be_made_is_told(photos, tmp_path):
    """Where the folder cannot be made, the set is held in memory, and a note says why."""
    (tmp_path / "file").write_text("")
    data = load_data(photos, cache=tmp_path / "file" / "cache")
    assert same(data, load_data(photos))
    assert any(note.startswith("the decoded images are not cached: ") for note in data.notes)


@pytest.mark.parametrize("after", [0, 1, 5, 20, 39, 40, 41, 60])
def test_a_full_disk_leaves_nothing_and_loses_nothing(photos, tmp_path, monkeypatch, after):
    """Where the disk is full at any moment, no file is left, and the set is held in memory."""
    write = private.Unfinished.write
    calls = []

    def failing(self, content):
        calls.append(1)
        if len(calls) > after:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, content)

    monkeypatch.setattr(private.Unfinished, "write", failing)
    data = load_data(photos, cache=tmp_path / "cache")
    monkeypatch.undo()
    assert same(data, load_data(photos))
    left = [path.name for path in (tmp_path / "cache").iterdir()]
    if len(calls) > after and not kept(tmp_path / "cache"):
        assert left == []
        assert "the decoded images are not cached: No space left on device" in data.notes
    assert not any(name.startswith(".") for name in left)


def test_bad_files_leave_nothing_in_the_cache(photos, tmp_path):
    """A refusal removes what was written on the way."""
    (photos / "train/b/09.png").write_bytes(b"")
    with pytest.raises(Exception, match="1 image cannot be read"):
        load_data(photos, cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    for _ in range(2):
        data = load_data(photos, cache=tmp_path / "cache", skip_bad=0.1)
        assert len(data.skipped) == 1
    with pytest.raises(Exception, match="1 image cannot be read"):
        load_data(photos, cache=tmp_path / "cache")


def test_what_a_killed_program_left_is_removed_after_a_day(photos, tmp_path):
    """Unfinished files are removed when they are old, and left alone when somebody may be at work on them."""
    folder = tmp_path / "cache"
    load_data(photos, cache=folder)
    for name, when in ((".old.part", 10**9), (".new.part", None)):
        (folder / name).write_bytes(b"1")
        if when:
            os.utime(folder / name, (when, when))
    load_data(photos, cache=folder)
    assert [path.name for path in folder.glob(".*")] == [".new.part"]


def test_eight_writers_at_once(photos, tmp_path):
    """Eight programs that read one folder at the same time all get the same set, and leave one file of it."""
    program = (
        "import sys, layerline.data as d\n"
        "from layerline.data.photos import image_stack\n"
        "image_stack.MAX_IN_MEMORY = 10_000\n"
        "print(d.load_data(sys.argv[1], cache=sys.argv[2]).fingerprint)\n"
    )
    run = [sys.executable, "-c", program, str(photos), str(tmp_path / "cache")]
    running = [subprocess.Popen(run, stdout=subprocess.PIPE, text=True) for _ in range(8)]  # noqa: S603
    said = {process.communicate(timeout=600)[0] for process in running}
    assert all(process.returncode == 0 for process in running)
    assert said == {load_data(photos).fingerprint + "\n"}
    assert len(kept(tmp_path / "cache")) == 1
    assert not list((tmp_path / "cache").glob(".*"))


def test_the_set_outlives_its_file(photos, tmp_path):
    """Images that are in use stay what they are when the file is removed or made anew by others."""
    data = load_data(photos, cache=tmp_path / "cache")
    before = data.train.source.images.tobytes()
    for path in kept(tmp_path / "cache"):
        path.unlink()
    load_data(photos, cache=tmp_path / "cache")
    assert data.train.source.images.tobytes() == before


def test_an_archive_that_changed_is_read_anew(photos, tmp_path):
    """Another archive under the same name is another set."""
    files = {str(path.relative_to(photos)): path.read_bytes() for path in photos.rglob("*.png")}
    (tmp_path / "set.tar").write_bytes(tar_of(files))
    before = load_data(tmp_path / "set.tar", cache=tmp_path / "cache")
    first, second = sorted(files)[:2]
    files[first], files[second] = files[second], files[first]
    (tmp_path / "set.tar").write_bytes(tar_of(files))
    after = load_data(tmp_path / "set.tar", cache=tmp_path / "cache")
    assert after.fingerprint != before.fingerprint
    assert same(after, load_data(tmp_path / "set.tar"))


def test_gray_images_in_a_file_become_rgb_when_one_is_in_color(tmp_path):
    """What was written as one channel is written anew as three."""
    images = {f"{c}/{k:02}.png": picture(k, SIZE, 1) for c in "ab" for k in range(40)}
    tree(
        tmp_path / "set",
        {name: png(pixels) for name, pixels in images.items()} | {"b/99.png": png(picture(1, (30, 9)))},
    )
    data = load_data(tmp_path / "set", cache=tmp_path / "cache")
    assert data.shape[0] == 3
    assert same_train(data, load_data(tmp_path / "set"))
    assert same_train(load_data(tmp_path / "set", cache=tmp_path / "cache"), data)


def same_train(one, other) -> bool:
    np.testing.assert_array_equal(one.train.source.images, other.train.source.images)
    return one.fingerprint == other.fingerprint and one.notes[:2] == other.notes[:2]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what a process has taken itself")
def test_memory_is_not_that_of_the_images(tmp_path):
    """Where memory is short, loading 147 MB of images that are kept takes less than 140 MB; finding them, 60 MB."""
    flat = [png(np.full((200, 150, 3), value, np.uint8)) for value in range(100)]
    tree(tmp_path / "set", {f"{c}/{k}.png": flat[k % 100] for c in "ab" for k in range(1500)})
    program = (
        f"{PEAK}\n"
        "import sys, layerline.data as d, PIL.PngImagePlugin, layerline.data.photos.cache\n"
        "d.photos.cache.free_bytes = lambda: 0\n"
        "before = peak()\n"
        "d.load_data(sys.argv[1], cache=sys.argv[2], size=128, group_by='none')\n"
        "print(peak() - before)\n"
    )
    run = [sys.executable, "-c", program, str(tmp_path / "set"), str(tmp_path / "cache")]
    for most in (140_000_000, 60_000_000):
        ended = subprocess.run(run, capture_output=True, text=True, check=True)  # noqa: S603
        assert int(ended.stdout) < most


@pytest.mark.parametrize("where", ["in memory", "in a file without a name"])
@pytest.mark.parametrize("start", ["first", "second"])
def test_a_file_that_is_cut_short_later_harms_nobody(photos, tmp_path, where, start):
    """Pixels stay what they are when the cache's file shrinks to nothing or is written over while they are in use.

    In a process of its own, for a mapping of that file would end it by SIGBUS.
    """
    if start == "second":
        load_data(photos, cache=tmp_path / "cache")
    program = (
        "import os, pathlib, sys\n"
        "from layerline.data import load_data\n"
        "from layerline.data.photos import cache, image_stack\n"
        "image_stack.MAX_IN_MEMORY = 10_000\n"
        f"cache.free_bytes = lambda: {2**40 if where == 'in memory' else 0}\n"
        "source, folder = sys.argv[1:]\n"
        "data = load_data(source, cache=folder)\n"
        "(kept,) = pathlib.Path(folder).glob('*.images')\n"
        "os.truncate(kept, 0)\n"
        "print(int(data.train.source.images.astype(int).sum()))\n"
        "print(sorted(path.suffix for path in pathlib.Path(folder).iterdir()))\n"
    )
    run = [sys.executable, "-c", program, str(photos), str(tmp_path / "cache")]
    ended = subprocess.run(run, capture_output=True, text=True, check=False)  # noqa: S603
    assert (ended.returncode, ended.stderr) == (0, "")
    images = load_data(photos).train.source.images
    assert ended.stdout == f"{int(images.astype(int).sum())}\n['.images', '.seen']\n"


def test_what_other_versions_decoded_is_not_found(photos, tmp_path, monkeypatch, decoded):
    """The version of how files are decoded, and Layerline's own, are part of what images are found by."""
    load_data(photos, cache=tmp_path / "cache")
    for module, name, other in ((image_file, "VERSION", image_file.VERSION + 1), (layerline, "__version__", "0.0.9")):
        monkeypatch.setattr(module, name, other)
        decoded.clear()
        load_data(photos, cache=tmp_path / "cache")
        assert len(decoded) == COUNT
