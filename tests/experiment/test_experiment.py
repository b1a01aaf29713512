"""experiment.toml: what it may say, what is said when it says something else, and the record that a run writes."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import small_data
import tomli_w
from places import ROOT

import layerline
from layerline import engines
from layerline.errors import NetworkError, RecipeError, UserError
from layerline.experiment.experiment import Experiment, settle
from layerline.experiment.options import CHOSEN, OPTIONS
from layerline.network import preset
from layerline.recipe import Recipe
from layerline.runs.record import Record
from layerline.training.prepared import prepare

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLES = ROOT / "examples"

WHOLE = """\
[network]
file = "nets/small.cnn"

[data]
data = "images"        # a folder beside this file
classes = [0, "b"]
validation = 0.2
test = "none"
limit = 500

[train]
epochs = 3
momentum = 0
engine = "torch"
threads = 2
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a network, data and an experiment that names both."""
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "small.cnn").write_text("Flat\nFC classes\n")
    (tmp_path / "images").mkdir()
    (tmp_path / "experiment.toml").write_text(WHOLE)
    return tmp_path


def test_paths_are_relative_to_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Network and data are found beside the experiment, wherever the command runs."""
    monkeypatch.chdir("/")
    found = settle(str(folder / "experiment.toml"), {})
    assert found.text == "Flat\nFC classes\n"
    assert found.source == str(folder / "images")
    assert found.cuts == {"classes": ("0", "b"), "validation": 0.2, "test": "none", "limit": 500}
    assert found.recipe == Recipe(epochs=3, momentum=0.0)
    assert (found.engine, found.threads) == ("torch", 2)


def test_paths_of_a_run_are_shown_as_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not through the run's folder, runs/a/../../photos; but a folder with the name of a data set stays a folder, and
    so does what only the way through a linked folder leads to."""
    monkeypatch.chdir(tmp_path)
    for name in ("photos", "digits", "elsewhere/photos", "elsewhere/deep/b", "runs/a"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "runs" / "b").symlink_to(tmp_path / "elsewhere" / "deep" / "b")

    def source(run: str, data: str) -> str:
        file = Path("runs", run, "experiment.toml")
        file.write_text(f'[network]\nfile = "lenet5"\n[data]\ndata = "../../{data}"\n')
        return settle(str(file), {}).source

    assert source("a", "photos") == "photos"
    assert source("a", "digits") == "runs/a/../../digits"
    assert source("b", "photos") == "runs/b/../../photos"


def test_flags_override_the_file(folder: Path) -> None:
    """A flag counts where the file says something else; what neither says has its default."""
    flags = {"epochs": "7", "data": "digits", "threads": "1", "classes": "1, 2", "learning_rate": "1e-3"}
    found = settle(str(folder / "experiment.toml"), flags)
    assert found.recipe == Recipe(epochs=7, momentum=0.0, learning_rate=0.001)
    assert (found.source, found.threads, found.cuts["classes"]) == ("digits", 1, ("1", "2"))
    assert {"epochs", "momentum", "data"} <= found.given
    assert "batch_size" not in found.given


def test_a_network_can_be_a_preset_or_text(folder: Path) -> None:
    """`file` may be a preset's name where no such file is; `text` holds the network itself, and messages say so."""
    path = folder / "e.toml"
    path.write_text('[network]\nfile = "lenet5"\n[data]\ndata = "digits"\n')
    assert settle(str(path), {}).text == preset("lenet5")
    path.write_text('[network]\ntext = """\nFlat\nFC klasses\n"""\n[data]\ndata = "digits"\n')
    with pytest.raises(NetworkError, match=r"e.toml \[network\] text:2"):
        settle(str(path), {})


MISTAKES: dict[str, str] = {
    "unknown key": '[network]\nfile = "a"\n[train]\nepoch = 3\n',
    "key in the wrong section": '[network]\nfile = "a"\n[data]\nepochs = 3\n',
    "key in no section": 'epochs = 3\n[network]\nfile = "a"\n',
    "unknown section": '[network]\nfile = "a"\n[training]\nepochs = 3\n',
    "section that is a value": 'train = 3\n[network]\nfile = "a"\n',
    "flag's name": '[network]\nfile = "a"\n[train]\nbatch-size = 3\n',
    "out of range": '[network]\nfile = "a"\n[train]\nepochs = 0\n',
    "wrong type": '[network]\nfile = "a"\n[train]\nepochs = "many"\n',
    "not a number": '[network]\nfile = "a"\n[train]\nlearning_rate = nan\n',
    "not a whole number": '[network]\nfile = "a"\n[train]\nbatch_size = 2.5\n',
    "a truth value": '[network]\nfile = "a"\n[train]\nmomentum = true\n',
    "a list": '[network]\nfile = "a"\n[train]\nseed = [1, 2]\n',
    "a number for text": '[network]\nfile = "a"\n[data]\ndata = 3\n',
    "unknown optimizer": '[network]\nfile = "a"\n[train]\noptimizer = "sdg"\n',
    "unknown engine": '[network]\nfile = "a"\n[train]\nengine = "pytorch"\n',
    "threads": '[network]\nfile = "a"\n[train]\nthreads = 1_000_000\n',
    "a word of augment": '[network]\nfile = "a"\n[train]\naugment = "shfit=4"\n',
    "a time": '[network]\nfile = "a"\n[train]\nwithin = "5"\n',
    "no network": "[train]\nepochs = 3\n",
    "two networks": '[network]\nfile = "a"\ntext = "Flat"\n',
    "network that is a number": "[network]\nfile = 3\n",
    "not TOML": "[network]\nfile = a\n",
    "given twice": '[network]\nfile = "a"\nfile = "b"\n',
    "no such network": '[network]\nfile = "lenet"\n',
    "empty": "",
    "a network file": "Conv 6 5 1 2\nReLU\n",
    "control characters": '[network]\nfile = "a"\n[train]\n"e\\u001b[31mpochs" = 3\n',
}


def test_every_mistake_has_its_message(
    golden: Callable[[str, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each mistake is a user's error that names the place, and what to write instead."""
    monkeypatch.chdir(tmp_path)
    said = []
    for name, text in MISTAKES.items():
        Path("e.toml").write_text(text)
        with pytest.raises(UserError) as caught:
            settle("e.toml", {"data": "digits"})
        said.append(f"--- {name}\n{caught.value}\n")
    Path("e.toml").write_bytes(b"\xff\xfe\x00")
    for name, path in (("binary", "e.toml"), ("missing", "f.toml"), ("a folder", "g.toml")):
        Path("g.toml").mkdir(exist_ok=True)
        with pytest.raises(UserError) as caught:
            settle(path, {})
        said.append(f"--- {name}\n{caught.value}\n")
    golden("experiment.txt", "\n".join(said))


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ({"epochs": "0"}, "--epochs 0: must be a whole number from 1 to 1,000,000"),
        ({"epochs": "1e3"}, "--epochs 1e3: must be a whole number"),
        ({"epochs": "1_0"}, "--epochs 1_0: must be a whole number"),
        ({"epochs": "٣"}, "--epochs ٣: must be a whole number"),
        ({"batch_size": "-1"}, "--batch-size -1: must be a whole number from 1"),
        ({"learning_rate": "nan"}, "--learning-rate nan: must be a number above 0"),
        ({"learning_rate": "inf"}, "--learning-rate inf: must be a number above 0"),
        ({"learning_rate": "0"}, "--learning-rate 0.0: must be a number above 0"),
        ({"learning_rate": "fast"}, "--learning-rate fast: must be a number above 0"),
        ({"learning_rate": "1e10"}, "--learning-rate 10000000000.0: must be a number above 0"),
        ({"momentum": "1"}, "--momentum 1.0: must be a number of at least 0 and below 1"),
        ({"weight_decay": "-0.1"}, "--weight-decay -0.1: must be a number of at least 0 and at most 1,000,000"),
        ({"seed": "-1"}, "--seed -1: must be a whole number from 0"),
        ({"seed": str(2**64)}, f"--seed {2**64}: must be a whole number from 0"),
        ({"seed": "abc"}, "--seed abc: must be a whole number"),
        ({"seed": "9" * 5000}, "--seed 999"),
        ({"split_seed": "-1"}, "--split-seed -1: must be a whole number from 0"),
        ({"split_seed": "abc"}, "--split-seed abc: must be a whole number"),
        ({"split_seed": str(2**64)}, f"--split-seed {2**64}: must be a whole number from 0"),
        ({"threads": "0"}, "--threads 0: must be a whole number from 1 to 1,024"),
        ({"threads": "1000000"}, "--threads 1000000: must be a whole number from 1 to 1,024"),
        ({"optimizer": "adamm"}, "--optimizer adamm: unknown"),
        ({"schedule": "liner"}, "--schedule liner: unknown\n  help: did you mean linear"),
    ],
)
def test_options_out_of_range_are_refused(flags: dict[str, Any], reason: str) -> None:
    """Every option says the range it has, before the data is looked for."""
    with pytest.raises(RecipeError) as caught:
        settle("lenet5", {"data": "nowhere", **flags})
    assert caught.value.with_flags.startswith(reason)


def test_the_cuts_have_a_seed_of_their_own(folder: Path) -> None:
    """With --split-seed the sets stay whatever --seed is; without it they go with --seed. A record keeps it."""

    def cut(**flags: str) -> Experiment:
        return settle("digits", {"data": "digits", "limit": "500", **flags})

    def images(**flags: str) -> list[int]:
        return cut(**flags).load().train.indices.tolist()

    assert images(seed="5", split_seed="3") == images(seed="3") == images(seed="9", split_seed="3")
    assert images(seed="5") != images(seed="3")
    experiment = cut(seed="5", split_seed="3")
    data = experiment.load()
    network = experiment.network(data)
    engine = engines.make("compiled", network, data.scaling, experiment.recipe, 1)
    (folder / "network.cnn").write_text(network.text)
    (folder / "experiment.toml").write_text(
        tomli_w.dumps(Record.of(network, data, experiment.recipe, engine, experiment, folder).as_dict())
    )
    again = settle(str(folder / "experiment.toml"), {})
    assert (again.cuts["split_seed"], again.recipe.seed) == (3, 5)
    assert again.load().train.indices.tolist() == images(seed="3")


def test_data_must_be_named() -> None:
    """Without data the message says which lies in the package; a bad network is said first."""
    with pytest.raises(UserError, match='"digits" comes with the package'):
        settle("lenet5", {})
    with pytest.raises(NetworkError, match="did you mean the preset `lenet5`"):
        settle("lenet", {})


def test_every_default_is_in_the_table() -> None:
    """--help has Recipe's default for what is not chosen automatically, `chosen` for exactly what is; nothing twice."""
    defaults = {option.key: option.default for option in OPTIONS if option.section == "train"}
    digits = layerline.load_data("digits", limit=100)
    network = layerline.parse("Flat\nFC classes\n", digits)
    chosen = prepare(network, digits, Recipe(), given=(), threads=1).reasons
    expected = Recipe().as_dict() | dict.fromkeys(chosen, CHOSEN)
    assert {key: defaults[key] for key in expected} == expected
    flags = [flag for option in OPTIONS for flag in (option.flag, *option.also)]
    assert len(flags) == len(set(flags))
    assert len({option.key for option in OPTIONS}) == len(OPTIONS)


def test_the_record_is_an_experiment_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run writes can be trained again from its folder, gives the same experiment, and has every default."""
    monkeypatch.chdir(folder)
    first = settle("experiment.toml", {"engine": "compiled"})
    cuts = {"classes": ("0", "b"), "validation": 0.2, "test": "none", "limit": 500, "normalize": "max"}
    data = dataclasses.replace(small_data.dataset(test=None), cuts=cuts)
    network = layerline.parse("Flat\nFC classes\n", data)
    engine = engines.make("compiled", network, data.scaling, first.recipe, 2)
    run = folder / "runs" / "small-images-1"
    run.mkdir(parents=True)
    (run / "network.cnn").write_text(network.text)
    written = Record.of(network, data, first.recipe, engine, first, run).as_dict()
    (run / "experiment.toml").write_text(tomli_w.dumps(written))
    again = settle(str(run / "experiment.toml"), {})
    assert again.recipe == first.recipe
    assert again.cuts == cuts
    assert Path(again.source).resolve() == (folder / "images").resolve()
    assert (again.engine, again.threads, again.text) == ("compiled", 2, first.text)
    assert set(written["train"]) == {option.key for option in OPTIONS if option.section == "train"} - {
        *("start_from", "device", "precision"),  # the last two are of the torch engine
        *("from", "unfreeze"),  # the network's text has them
    }
    about = tomllib.loads(tomli_w.dumps(written))["about"]
    assert about["data"]["fingerprint"] == data.fingerprint
    assert about["engine"]["lanes"] in (1, 4, 8, 16)
    assert about["versions"]["layerline"] == layerline.__version__


def test_the_record_tells_nobody_s_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that leads into somebody's home from outside it is cut to its last part; others are relative."""
    data = small_data.dataset()
    network = layerline.parse("Flat\nFC classes\n", data)
    engine = engines.make("compiled", network, data.scaling, Recipe(), 1)
    near = tmp_path / "images"
    near.mkdir()
    first = dataclasses.replace(settle("lenet5", {"data": str(near)}), cuts={"data_dir": str(tmp_path)})
    monkeypatch.setattr("layerline.runs.record._HOMES", (tmp_path.parent,))
    far = Record.of(network, data, Recipe(), engine, first, Path("/proc/runs/x")).data
    assert (far["data"], far["data_dir"]) == ("images", tmp_path.name)
    other = Record.of(network, data, Recipe(), engine, first, tmp_path.parent / "somebody" / "runs" / "x").data
    assert (other["data"], other["data_dir"]) == ("images", tmp_path.name)
    close = Record.of(network, data, Recipe(), engine, first, tmp_path / "runs" / "x").data
    assert (close["data"], close["data_dir"]) == ("../../images", "../..")
    monkeypatch.undo()
    shared = Record.of(network, data, Recipe(), engine, first, Path("/proc/runs/x")).data
    assert (Path("/proc/runs/x") / shared["data"]).resolve() == near.resolve()


@pytest.mark.parametrize("path", sorted((EXAMPLES / "experiments").glob("*.toml")), ids=lambda path: path.stem)
def test_examples_can_be_read(path: Path) -> None:
    """Each example experiment is well formed and names a network that is there."""
    found = settle(str(path), {})
    assert found.source == path.stem.partition("-")[0]
    assert "FC classes" in found.text
