"""`layerline new`: presets and networks for some data, as files with comments."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import image_files
import numpy as np
import pytest

from layerline.cli import main
from layerline.network import parse, preset, presets
from layerline.network.commented import with_shapes
from layerline.network_file import formatted

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def here(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    return tmp_path


def photos(folder: Path) -> None:
    """Write photos of two sizes in two classes."""
    sizes = ((60, 80), (90, 70))
    image_files.tree(
        folder / "photos",
        {
            f"{name}/{i}.png": image_files.png(image_files.picture(40 * k + i, sizes[i % 2]))
            for k, name in enumerate(("cat", "dog"))
            for i in range(12)
        },
    )


def test_without_arguments_the_presets_are_listed(capsys, golden):
    """Every preset stands in the list with what it is, and the three ways to write a file, in 80 columns."""
    assert main(["new"]) == 0
    listed = capsys.readouterr().out.rstrip("\n")
    assert max(map(len, listed.split("\n"))) <= 80
    golden("new.txt", listed)
    for name in presets():
        assert main(["new", name, "--out", "-"]) == 0
        text = capsys.readouterr().out
        assert text.endswith(preset(name))
        assert formatted(text) == text


@pytest.mark.smoke
def test_a_preset_becomes_a_file_of_its_own(here, capsys):
    """The file is the preset behind a line that says so, and the same network."""
    assert main(["new", "lenet5"]) == 0
    text = (here / "lenet5.cnn").read_text(encoding="utf-8")
    assert text.endswith(preset("lenet5"))
    assert text.startswith("# The preset lenet5.")
    assert capsys.readouterr().out.splitlines()[0] == "lenet5.cnn"
    shape = {"input_shape": (1, 28, 28), "classes": 10}
    assert parse(text, **shape).nodes[0].layer == parse(preset("lenet5"), **shape).nodes[0].layer
    assert main(["describe", "lenet5.cnn", "--data", "digits"]) == 2  # 8×8 is too small for it
    assert "the 5×5 kernel is larger than its 4×4 input" in capsys.readouterr().err


def commands(output: str) -> list[list[str]]:
    """Return the commands that are proposed, without the first word."""
    return [shlex.split(line)[1:] for line in output.splitlines() if line.startswith("    layerline ")]


@pytest.mark.parametrize(
    "arguments",
    [
        ["new", "--data", "digits"],
        ["new", "digits", "--data", "digits", "--classes", "0,1"],
        ["new", "resnet20", "--data", "digits"],
        ["new", "--data", "photos"],
        ["new", "--data", "photos", "--size", "48x64", "--fit", "pad", "--out", "my net.cnn"],
        ["new", "photo-small", "--data", "photos", "--gray", "yes"],
    ],
    ids=" ".join,
)
def test_what_is_written_passes_describe(here, arguments, capsys):
    """The two commands that are proposed take the file: its size is that of the images, its comments stay in fmt."""
    photos(here)
    assert main(arguments) == 0
    output = capsys.readouterr().out
    described, trained = commands(output)
    assert main(described) == 0
    shown = capsys.readouterr().out
    assert output.splitlines()[0].split(": ")[1].split(" ")[0] in shown  # the number of parameters
    assert main(["fmt", described[1], "--check"]) == 0
    assert trained[0] == "train"
    assert trained[1:2] == described[1:2]


@pytest.mark.smoke
def test_a_fitted_network_trains(here, capsys):
    """`new --data digits` gives a network that learns them."""
    assert main(["new", "--data", "digits", "--out", "mine.cnn"]) == 0
    assert main(["train", "mine.cnn", "--data", "digits", "--epochs", "3", "--out", "run", "--quiet"]) == 0
    import json

    result = json.loads((here / "run" / "result.json").read_text(encoding="utf-8"))
    assert result["test_accuracy"] > 0.8
    capsys.readouterr()


def test_the_size_is_kept_in_the_file(here, capsys):
    """Photos of many sizes: the file's line Input says what they are brought to, and no option has to."""
    photos(here)
    assert main(["new", "--data", "photos", "--size", "64"]) == 0
    assert "\nInput 3 64 64  #" in (here / "photos.cnn").read_text(encoding="utf-8")
    capsys.readouterr()
    assert main(["describe", "photos.cnn", "--data", "photos"]) == 0
    assert "input 3×64×64, 2 classes" in capsys.readouterr().out


def test_shapes_in_comments_are_those_behind_the_lines(golden):
    """Where a layer changes the size its comment says what comes out; a size that stood there is replaced."""
    network = parse(preset("photo-small"), name="photo-small", input_shape=(3, 96, 64), classes=4)
    golden("new-shapes.cnn", with_shapes(network).rstrip("\n"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["new", "lenet"], "lenet: no preset of this name\n  help: did you mean lenet5?"),
        (["new", "zzz"], "zzz: no preset of this name\n  help: the presets are: digits, "),
        (["new", "lenet5", "--out", "there.cnn"], "there.cnn already exists\n  help: choose another name with --out"),
        (["new", "--data", "digits", "--out", "there.cnn"], "there.cnn already exists"),
        (
            ["new", "lenet5", "--out", "photo.jpg", "--force"],
            "--out photo.jpg: the name of a network file must end in .cnn\n  help: use",
        ),
        (
            ["new", "lenet5", "--out", "folder.cnn"],
            "--out folder.cnn is a folder\n  help: use --out folder.cnn/network",
        ),
        (["new", "lenet5", "--out", "no/a.cnn"], "--out no/a.cnn: no such folder: no\n  help: create it: mkdir -p no"),
        (["new", "lenet5", "--out", "x" * 300 + ".cnn"], "File name too long"),
        (["new", "--classes", "1,2"], "--classes needs --data"),
        (["new", "--out", "a.cnn"], "--out: nothing to write without PRESET or --data"),
        (["new", "--force"], "--force: nothing to write without PRESET or --data"),
        (["new", "lenet5", "--data", "digits", "--out", "a.cnn"], "lenet5:8:9: the 5×5 kernel is larger than its 4×4"),
        (["new", "--data", "nowhere"], "nowhere"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_mistakes(here, arguments, message, capsys):
    """Each mistake has its message and exit code 2, and no file is written or changed."""
    (here / "there.cnn").write_text("Flat\nFC 2\n")
    (here / "photo.jpg").write_bytes(b"a photo")
    (here / "folder.cnn").mkdir()
    before = sorted(here.rglob("*"))
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""
    assert sorted(here.rglob("*")) == before
    assert (here / "there.cnn").read_text() == "Flat\nFC 2\n"
    assert (here / "photo.jpg").read_bytes() == b"a photo"


def test_force_replaces_a_network_file(here, capsys):
    (here / "lenet5.cnn").write_text("old")
    assert main(["new", "lenet5", "--force"]) == 0
    assert (here / "lenet5.cnn").read_text(encoding="utf-8").endswith(preset("lenet5"))
    capsys.readouterr()


def test_a_name_of_data_that_is_no_file_name(here, capsys):
    """The name of the file is made from the data's: no folder, no hidden file, nothing that begins like an option."""
    rng = np.random.default_rng(0)
    np.savez(here / "-my set.npz", x=rng.integers(0, 255, (40, 9, 9), np.uint8), y=np.arange(40) % 2)
    assert main(["new", "--data", "./-my set.npz"]) == 0
    capsys.readouterr()
    assert [path.name for path in here.glob("*.cnn")] == ["my-set.cnn"]
