"""Errors about data propose commands that work when pasted: with the data, and the options that were typed."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from image_files import picture, png, tree

import layerline
from layerline.cli.entry_point import layerline as command
from layerline.errors import DataError, UserError

PATTERN = r"--label-by '([^/]+)_\d+\.'"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in a folder with images named by their classes, some also in the folder old, and a set with leaks."""
    monkeypatch.chdir(tmp_path)
    named = {f"{name}_{k:02}.png": png(picture(k + 50 * (name == "dog"))) for name in ("cat", "dog") for k in range(20)}
    tree(tmp_path / "named", named)
    tree(tmp_path / "with raw", named | {"cat_90.cr2": b"raw"})
    train = {f"train/{name.split('_')[0]}/{name}": each for name, each in named.items()}
    tree(tmp_path / "leaky", train | {f"test/{name.split('_')[0]}/{name}": each for name, each in named.items()})


def refused(line: str) -> UserError:
    error = CliRunner().invoke(command, shlex.split(line)).exception
    assert isinstance(error, UserError)
    return error


@pytest.mark.parametrize(
    ("typed", "proposed"),
    [
        ("train --data named", f"train --data named {PATTERN}"),
        ("train lenet5 --data=named --epochs 2 --lr=0.1", f"train lenet5 --data named {PATTERN} --epochs 2 --lr 0.1"),
        ("train --data named --nesterov --quiet", f"train --data named {PATTERN} --nesterov yes --quiet"),
        (
            "train --data 'with raw' --exclude *.cr2 --epochs 1",
            f"train --data 'with raw' {PATTERN} --exclude '*.cr2' --epochs 1",
        ),
        ("data info named --seed 3", f"data info named {PATTERN}"),
        ("data check named --seed 3", f"data check named {PATTERN} --seed 3"),
        ("data show named --seed 3", f"data show named {PATTERN} --seed 3"),
        ("describe lenet5 --data named", f"describe lenet5 --data named {PATTERN}"),
    ],
)
def test_a_proposal_is_the_typed_command_with_more_options(typed: str, proposed: str) -> None:
    """`train` proposes `train`, with its network and all of its options, and so do the others."""
    assert f"layerline {proposed} (2 classes" in str(refused(typed).help)


def test_what_is_excluded_stays_excluded() -> None:
    """A proposed --exclude is joined to the typed one."""
    tree(
        Path("two"), {f"{split}/{name}/{k}.png": png(picture()) for split in ("train",) for name in "ab" for k in "12"}
    )
    tree(Path("two"), {"seg_pred/1.png": png(picture()), "train/a/1.cr2": b"raw"})
    error = refused("train --data two --exclude '*.cr2' --epochs 1")
    assert "layerline train --data two --exclude '*.cr2,seg_pred' --epochs 1" in str(error.help)


def test_the_command_that_lists_every_image_has_the_data_and_its_options() -> None:
    """Pasted as it is, it finds what `train` found; options that change nothing are left out."""
    error = refused("train --data leaky --size 8 --seed 3 --classes cat,dog --normalize standard --epochs 1")
    line = "layerline data check leaky --classes cat,dog --size 8 --seed 3"
    assert f"help: to list every image: {line}; fix the data, or train on it as it is with --allow leak" in (
        error.with_flags
    )
    checked = CliRunner().invoke(command, shlex.split(line)[1:])
    assert error.message.splitlines()[1].split(":")[0].strip() == "leak"
    assert " ".join(error.message.splitlines()[1].split()) in " ".join(checked.output.split())
    assert "  test/cat/cat_03.png: test, class cat" in checked.output or "  = test/cat/cat_03.png" in checked.output


def test_python_proposes_no_commands_for_a_shell() -> None:
    """In Python, proposals are calls, and the command that lists images is omitted."""
    with pytest.raises(DataError) as caught:
        layerline.load_data("named")
    assert r'load_data("named", label_by=r"([^/]+)_\d+\.") (2 classes' in str(caught.value)
    assert "layerline data" not in str(caught.value)
    with pytest.raises(DataError) as caught:
        layerline.train("Flat\nFC classes\n", "leaky", epochs=1)
    assert str(caught.value).endswith("help: fix the data, or train on it as it is with allow=['leak']")


@pytest.mark.parametrize("name", ["named", "mnist", "set.npz", "with raw"])
def test_data_without_its_flag_is_answered_with_it(name: str) -> None:
    """`train photos` has the command with --data; a preset that is called like a set is the preset."""
    Path("set.npz").touch()
    error = refused(f"train {shlex.quote(name)}")
    assert error.with_flags == (
        f"{name}: data, not a network\n  help: name it with --data: layerline train --data {shlex.quote(name)}"
    )
    assert refused("train digits").message == "--data: missing"
