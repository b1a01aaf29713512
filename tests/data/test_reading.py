"""What is seen while images are read, and how options of image files come from the command line and experiment.toml."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import tomli_w
from cifar_files import tar_of
from image_files import picture, png, tree

from layerline.cli.data_progress import Reading, cache_folder
from layerline.cli.terminal import Terminal
from layerline.data import load_data
from layerline.experiment.experiment import settle
from layerline.runs.record import _data_section

if TYPE_CHECKING:
    from pathlib import Path


class Screen(io.StringIO):
    """A terminal that keeps what is written."""

    def isatty(self) -> bool:
        return True


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def read(stream: io.StringIO, steps: list[tuple[float, int, int | None]]) -> str:
    """Return what is written when so many images are done after so many seconds."""
    clock = Clock()
    reading = Reading(Terminal(stream, {}), clock)
    for seconds, done, of in steps:
        clock.now = 100 + seconds
        reading(done, of)
    return stream.getvalue()


def test_a_terminal_shows_a_bar_with_speed_and_time_left():
    """Images done, of how many, images a second, and how long the rest will take at that speed."""
    drawn = read(Screen(), [(0.05, 10, 20_000), (0.5, 400, 20_000), (10, 8000, 20_000), (25, 20_000, 20_000)])
    lines = [line.removesuffix("\x1b[K") for line in drawn.split("\r") if line]
    assert lines == [
        "reading the data …",
        "reading  ░░░░░░░░░░░░    2%  400/20,000",
        "reading  █████░░░░░░░   40%  8,000/20,000  800 images/s  15.0 s left",
        "reading  ████████████  100%  20,000/20,000  800 images/s  0.0 ms left",
    ]


def test_of_an_archive_the_end_is_not_known():
    """Without the number of images there is no bar and no time left."""
    drawn = read(Screen(), [(4, 1000, None)])
    assert "\rreading  1,000 images  250 images/s\x1b[K" in drawn


def test_without_a_terminal_there_is_a_line_now_and_then():
    """A line every ten seconds, with nothing that draws."""
    steps = [(0.1 * k, 50 * k, 1_000_000) for k in range(1, 251)]
    lines = read(io.StringIO(), steps).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("reading  ░░░░░░░░░░░░")
    assert all("\x1b" not in line and "\r" not in line for line in lines)


def test_quick_reading_prints_nothing_without_a_terminal():
    """Who pipes the output sees no line of what took a second."""
    assert read(io.StringIO(), [(1, 100, 200), (2, 200, 200)]) == ""


def test_the_cache_is_the_user_s(monkeypatch, tmp_path):
    """The command line keeps images in the folder that the system has for caches."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if sys.platform.startswith("linux"):
        assert cache_folder() == tmp_path / "layerline" / "images"
    assert cache_folder().is_absolute()


# Options


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of images of many sizes in color."""
    seeds = {"a": 0, "b": 100}
    tree(tmp_path / "set", {f"{c}/{k}.png": png(picture(seeds[c] + k, (20 + k, 30))) for c in "ab" for k in range(12)})
    return tmp_path


NETWORK = "Input 1 24 36\nFlat\nFC classes\n"


def test_the_line_input_decides(photos):
    """Images become what the network's Input says; --size that says something else is refused."""
    (photos / "net.cnn").write_text(NETWORK)
    data = settle(str(photos / "net.cnn"), {"data": str(photos / "set")}).load()
    assert data.shape == (1, 24, 36)
    assert (data.cuts["size"], data.cuts["gray"]) == ("24x36", True)
    with pytest.raises(Exception, match="size=32: the network's Input line specifies 24×36"):
        settle(str(photos / "net.cnn"), {"data": str(photos / "set"), "size": "32"}).load()


def test_options_in_a_file_are_those_of_the_command_line(photos):
    """Sizes as numbers and as text, a path of labels that is relative to the file, and the cache's."""
    (photos / "labels.csv").write_text("file,label\n" + "".join(f"{c}/{k}.png,{c}\n" for c in "ab" for k in range(12)))
    section = {"data": "set", "labels": "labels.csv", "fit": "pad", "gray": True, "skip_bad": 0.1, "group_by": r"\d+"}
    for size in (16, "16x24"):
        text = tomli_w.dumps({"network": {"file": "net.cnn"}, "data": {**section, "size": size, "cache": "no"}})
        (photos / "experiment.toml").write_text(text)
        (photos / "net.cnn").write_text("Flat\nFC classes\n")
        written = settle(str(photos / "experiment.toml"), {}).load()
        flags = {
            **{key: str(value) for key, value in section.items()},
            "data": str(photos / "set"),
            "labels": str(photos / "labels.csv"),
            "size": str(size),
            "gray": "yes",
        }
        given = settle(str(photos / "net.cnn"), flags).load()
        assert written.fingerprint == given.fingerprint
        assert {**written.cuts, "labels": ""} == {**given.cuts, "labels": ""}


def test_the_record_makes_the_same_data_and_names_no_cache(photos, monkeypatch):
    """What a run writes down of its data makes it again; where images are kept is not part of it."""
    (photos / "net.cnn").write_text(NETWORK)
    (photos / "labels.csv").write_text("file,label\n" + "".join(f"{c}/{k}.png,{c}\n" for c in "ab" for k in range(12)))
    monkeypatch.chdir(photos)
    flags = {"data": "set", "labels": "labels.csv", "cache": str(photos / "kept"), "group_by": "[0-9]+"}
    experiment = settle("net.cnn", flags)
    data = experiment.load()
    (photos / "runs/1").mkdir(parents=True)
    section = _data_section(data, experiment, photos / "runs/1")
    assert "cache" not in section
    assert (section["data"], section["labels"]) == ("../../set", "../../labels.csv")
    text = tomli_w.dumps({"network": {"file": "net.cnn"}, "data": section})
    (photos / "runs/1/net.cnn").write_text(NETWORK)
    (photos / "runs/1/experiment.toml").write_text(text)
    assert settle("runs/1/experiment.toml", {}).load().fingerprint == data.fingerprint


def test_the_command_line_reads_photos_and_keeps_them(photos):
    """`data info` over an archive: sizes, the cache in the user's folder, a second start that finds it."""
    many = {f"{c}/{k}.png": png(picture(1, (2, 2), 1)) for c in "ab" for k in range(700)}
    (photos / "set.tar").write_bytes(tar_of(many))
    said = [info(photos) for _ in range(2)]
    assert said[0] == said[1]
    text = " ".join(said[0].split())
    assert "the decoded images are cached in ~/caches/layerline/images for the next run: 68.9 MB (--cache)" in text
    assert len(list((photos / "caches/layerline/images").glob("*.images"))) == 1
    assert "kept" not in info(photos, "--cache", "no")


def info(folder: Path, *options: str) -> str:
    """Return what `data info` says of set.tar in a folder, which is also the user's home."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "caches"), "HOME": str(folder)}
    command = [sys.executable, "-m", "layerline", "data", "info", str(folder / "set.tar"), "--size", "128", *options]
    ended = subprocess.run(  # noqa: S603
        [*command, "--gray", "no"], env=environment, capture_output=True, text=True, check=True
    )
    return ended.stdout


def test_a_line_of_pixels_is_an_image(tmp_path):
    """65,500 × 1 and 1 × 1 are images like others."""
    tree(tmp_path, {f"{c}/{k}.png": png(picture(k, s)) for c in "ab" for k, s in enumerate(((1, 65_500), (1, 1)) * 4)})
    for fit in ("crop", "pad", "stretch"):
        assert load_data(tmp_path, fit=fit).shape == (3, 16, 16)
