"""Fetching: what a mirror may do, what is left behind, what is said. The mirrors are on this machine."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import re
import socket
from typing import TYPE_CHECKING

import pytest
from data_files import idx_bytes, packed, pictures
from mirror import serving

from layerline.cli.download_screen import progress
from layerline.data import load_data
from layerline.data.fetching import catalog
from layerline.data.fetching.catalog import KNOWN, Archive
from layerline.data.fetching.download import Timeouts
from layerline.data.fetching.fetch import FetchWatcher, fetch
from layerline.data.sources import place_of
from layerline.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

IMAGES, LABELS = pictures(400, 10, shape=(28, 28))
CONTENT = {
    "train-images-idx3-ubyte": idx_bytes(IMAGES),
    "train-labels-idx1-ubyte": idx_bytes(LABELS),
    "t10k-images-idx3-ubyte": idx_bytes(IMAGES[:40]),
    "t10k-labels-idx1-ubyte": idx_bytes(LABELS[:40]),
}
FILES = {f"{name}.gz": packed(content) for name, content in CONTENT.items()}
FIRST = "train-images-idx3-ubyte.gz"
QUICK = Timeouts(connect=2, silent=0.4, slow=0.4, slowest=10**6)


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    with serving(FILES) as running:
        yield running


@pytest.fixture
def mirrors(server: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let `mnist` be the small files of this test, on mirrors that behave as their names say."""

    def name(*ways: str) -> None:
        archives = tuple(
            Archive(
                name,
                len(content),
                hashlib.sha256(content).hexdigest(),
                hashlib.sha256(CONTENT[name.removesuffix(".gz")]).hexdigest(),
            )
            for name, content in FILES.items()
        )
        addresses = tuple(f"{server[0]}/{way}/" for way in ways)
        monkeypatch.setitem(KNOWN, "mnist", dataclasses.replace(KNOWN["mnist"], archives=archives, mirrors=addresses))

    return name


def left(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def plain(text: str) -> str:
    """Return a message without what differs from run to run."""
    text = re.sub(r"http://127.0.0.1:\d+", "http://MIRROR", text)
    text = re.sub(r"[0-9a-f]{64}", "DIGEST", text)
    text = re.sub(r"[\d,]+ bytes", "N bytes", text)
    return re.sub(r"/\S*/mnist", "FOLDER/mnist", re.sub(r"\d\.\d\d s|\d+\.\d m?s", "TIME", text))


def test_a_fetched_set_is_found_and_can_be_loaded(mirrors, tmp_path):
    """All four files come, byte for byte, into the folder that --data mnist reads; nothing else is there."""
    mirrors("good")
    folder = fetch("mnist", tmp_path)
    assert folder == tmp_path / "mnist" == place_of("mnist", tmp_path)
    assert left(tmp_path) == {f"mnist/{name}": content for name, content in FILES.items()}
    data = load_data("mnist", data_dir=tmp_path)
    assert (len(data.train) + len(data.validation), len(data.test)) == (400, 40)


def test_without_a_folder_it_is_the_user_s(mirrors, tmp_path, monkeypatch):
    """Where no folder is named, fetching and loading agree on one of the user's own, which is made."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    mirrors("good")
    with pytest.raises(DataError, match="layerline data fetch mnist"):
        load_data("mnist")
    assert fetch("mnist") == tmp_path / "share" / "layerline" / "mnist"
    assert len(load_data("mnist").test) == 40


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("missing", "returned 404 Not Found"),
        ("wrong", f"sent a file with SHA-256 [0-9a-f]{{64}}, expected {hashlib.sha256(FILES[FIRST]).hexdigest()}"),
        ("cut", f"lost the connection after [0-9,]+ bytes, expected {len(FILES[FIRST]):,d} bytes"),
        ("short", f"sent {len(FILES[FIRST]) // 2:,d} bytes, expected {len(FILES[FIRST]):,d} bytes"),
        ("long", f"sent more than the expected {len(FILES[FIRST]):,d} bytes"),
        ("page", f"sent 69 bytes, expected {len(FILES[FIRST]):,d} bytes: this is an HTML page"),
        ("unpacked", f"sent [0-9,]+ bytes, expected {len(FILES[FIRST]):,d} bytes"),
        ("odd", "sent an unreadable header"),
        ("hangs", "sent nothing for 0.40 s, after 0 bytes"),
        ("stalls", "sent nothing for 0.40 s, after [0-9,]+ bytes"),
        ("trickles", "was too slow: [0-9,]+ bytes in 0.[45]. s"),
    ],
)
def test_a_bad_mirror_is_passed_over(way, said, mirrors, server, tmp_path):
    """What a mirror does instead is told, nothing of it stays, and the next one is asked."""
    mirrors(way, "good")
    told = []

    class Told(FetchWatcher):
        def failed(self, archive, mirror, reason):
            told.append((archive.name, mirror, reason))
            assert not left(tmp_path).keys() & {f"mnist/{archive.name}"}, "a bad file has the name of a good one"

    fetch("mnist", tmp_path, watcher=Told(), timeouts=QUICK)
    assert left(tmp_path) == {f"mnist/{name}": content for name, content in FILES.items()}
    assert told[0][:2] == (FIRST, f"{server[0]}/{way}/")
    assert re.fullmatch(said, told[0][2])
    assert server[1][:2] == [f"{way}/{FIRST}", f"good/{FIRST}"]


def test_without_a_good_mirror_nothing_is_left(mirrors, tmp_path, golden):
    """Where all mirrors fail, the message says what each did and which file goes where; not even a folder is left."""
    mirrors("missing", "wrong", "page", "cut", "hangs")
    with pytest.raises(DataError) as caught:
        fetch("mnist", tmp_path, timeouts=QUICK)
    assert left(tmp_path) == {}
    assert list(tmp_path.iterdir()) == []
    golden("fetch/no-mirror.txt", plain(str(caught.value)))


def test_without_a_network_the_files_are_named(mirrors, tmp_path, monkeypatch, golden):
    """A mirror that nobody listens at is passed over at once."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}/"
    mirrors()
    monkeypatch.setitem(KNOWN, "mnist", dataclasses.replace(KNOWN["mnist"], mirrors=(address,)))
    with pytest.raises(DataError) as caught:
        fetch("mnist", tmp_path)
    golden("fetch/no-network.txt", plain(str(caught.value)))


def test_a_later_file_that_fails_keeps_the_earlier_ones(mirrors, tmp_path, monkeypatch):
    """Files that came stay; the message names those that are still missing, and only they are fetched next time."""
    mirrors("good")
    known = KNOWN["mnist"]
    spoiled = dataclasses.replace(known.archives[2], sha256="0" * 64, content=None)
    monkeypatch.setitem(
        KNOWN, "mnist", dataclasses.replace(known, archives=(*known.archives[:2], spoiled, known.archives[3]))
    )
    with pytest.raises(DataError) as caught:
        fetch("mnist", tmp_path)
    assert "no mirror provides t10k-images" in caught.value.message
    assert "train-images" not in str(caught.value)
    assert "t10k-labels" in str(caught.value)
    assert len(left(tmp_path)) == 2
    monkeypatch.setitem(KNOWN, "mnist", known)
    kept = []

    class Told(FetchWatcher):
        def kept(self, archive, path, *, fetched):
            assert archive.name == path.name
            kept.append((path.name[:12], fetched))

    fetch("mnist", tmp_path, watcher=Told())
    assert kept == [("train-images", False), ("train-labels", False), ("t10k-images-", True), ("t10k-labels-", True)]


def test_a_file_that_is_there_is_not_fetched_again(mirrors, server, tmp_path):
    """The published file stays, and so does one with the same content that was packed anew; nobody is asked."""
    mirrors("good")
    fetch("mnist", tmp_path)
    anew = gzip.compress(CONTENT[FIRST.removesuffix(".gz")], compresslevel=1)
    assert anew != FILES[FIRST]
    (tmp_path / "mnist" / FIRST).write_bytes(anew)
    server[1].clear()
    fetch("mnist", tmp_path)
    assert server[1] == []
    assert (tmp_path / "mnist" / FIRST).read_bytes() == anew


@pytest.mark.parametrize("content", [b"", FILES[FIRST][:-20], FILES[FIRST] + b"x", b"<html>"])
def test_another_file_there_is_refused_and_kept(content, mirrors, server, tmp_path):
    """A file with other bytes is not used and not replaced, before anybody is asked; --force replaces it."""
    mirrors("good")
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / FIRST).write_bytes(content)
    with pytest.raises(DataError) as caught:
        fetch("mnist", tmp_path)
    assert f"with SHA-256 {hashlib.sha256(content).hexdigest()}, expected" in caught.value.message
    assert "--force" in caught.value.help
    assert left(tmp_path) == {f"mnist/{FIRST}": content}
    assert server[1] == []
    fetch("mnist", tmp_path, force=True)
    assert left(tmp_path)[f"mnist/{FIRST}"] == FILES[FIRST]


def test_a_failed_replacement_keeps_the_old_file(mirrors, tmp_path):
    """--force with bad mirrors alone leaves what was there."""
    mirrors("wrong")
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / FIRST).write_bytes(b"old")
    with pytest.raises(DataError):
        fetch("mnist", tmp_path, force=True)
    assert left(tmp_path) == {f"mnist/{FIRST}": b"old"}


def test_ctrl_c_leaves_nothing(mirrors, tmp_path):
    """A download that is stopped removes what came of it."""
    mirrors("good")

    class Stops(FetchWatcher):
        def got(self, archive, count):
            assert archive.name == FIRST
            assert count > 0
            assert list((tmp_path / "mnist").iterdir()) != []
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch("mnist", tmp_path, watcher=Stops())
    assert left(tmp_path) == {}


def test_a_folder_that_cannot_be_written_is_named(mirrors, tmp_path):
    """Where a file stands in the folder's place, or a folder in the file's, the message says so."""
    mirrors("good")
    (tmp_path / "mnist").write_bytes(b"")
    with pytest.raises(DataError, match=r"mnist: cannot be created: File exists"):
        fetch("mnist", tmp_path)
    (tmp_path / "mnist").unlink()
    (tmp_path / "mnist" / FIRST).mkdir(parents=True)
    with pytest.raises(DataError, match="found a folder, expected a file"):
        fetch("mnist", tmp_path)


@pytest.mark.parametrize(
    ("name", "said"),
    [("digits", "nothing to fetch"), ("cifar", "did you mean cifar10"), ("nothing", "one of: mnist, fashion-mnist")],
)
def test_a_name_that_cannot_be_fetched_is_explained(name, said, tmp_path):
    """What is in the package needs no fetching; what is not known gets the nearest name, or all."""
    with pytest.raises(DataError) as caught:
        fetch(name, tmp_path)
    assert said in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_catalog_is_whole():
    """Every file has a size and a digest, every set two mirrors or more; sizes are those of the sets' own pages."""
    for known in KNOWN.values():
        assert known.license
        assert known.source
        for archive in known.archives:
            assert re.fullmatch("[0-9a-f]{64}", archive.sha256)
            assert archive.size > 1000
        if known.archives:
            assert len(known.mirrors) >= 2
            assert all(mirror.startswith("http") and mirror.endswith("/") for mirror in known.mirrors)
    assert [KNOWN[name].download for name in ("mnist", "cifar10")] == [11_594_722, 170_498_071]


def test_what_is_known_of_mnist_is_said_once_more_by_its_reader():
    """The content that is fetched is the content that loading calls official; so is the archive of CIFAR-10."""
    from layerline.data.formats import cifar, named_idx

    assert [archive.content for archive in KNOWN["mnist"].archives] == list(named_idx.MNIST.official.values())
    for archive in KNOWN["cifar10"].archives:
        assert cifar.ARCHIVES[archive.name] == archive.sha256


def test_a_user_without_a_home_is_asked_for_a_folder(monkeypatch):
    """Where the system knows no home, `~` is not taken for the name of a folder."""
    import platformdirs

    monkeypatch.setattr(platformdirs, "user_data_dir", lambda *_, **__: "~/.local/share/layerline")
    assert catalog.default_folder() is None
    with pytest.raises(DataError, match="no home folder"):
        load_data("mnist")


def test_the_bar_fits_a_terminal():
    """The line has bytes and time left, and at most 79 columns with the largest file there is."""
    archive = KNOWN["cifar10"].archives[0]
    line = progress(archive, 65_000_000, 31.0)
    assert line == "cifar-10-python.tar.gz  █████░░░░░░░  65.0 MB of 170 MB  50.3 s left"
    lines = [progress(archive, count, 4000.0) for archive in KNOWN["mnist"].archives for count in (1, archive.size)]
    assert max(map(len, [line, *lines])) <= 79
