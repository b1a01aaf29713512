"""`layerline runs`: which runs are found, what is said of each, in a table, in tabs, in JSON."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import report_runs
from click.testing import CliRunner

from layerline.cli import runs as runs_cli
from layerline.cli.entry_point import layerline
from layerline.cli.runs import table, tabs
from layerline.comparison import listing as listings
from layerline.comparison.listing import COLUMNS, listing, ordered
from layerline.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOON = 1_790_000_000


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of runs of every state, and of other things; it is the folder runs/ of where one is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(listings, "written", lambda when: time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(when)))
    folder = tmp_path / "runs"
    folder.mkdir()
    for number, wrong in ((9, 0.3), (10, 0.1)):
        test = report_runs.predicted(3, 200, seed=number, wrong=wrong)
        report_runs.make(folder / f"small-bands-{number}", test=test, validation=report_runs.predicted(3, 50, 5))
    report_runs.make(folder / "small-bands-11", stopped=True, epochs=3)
    (folder / "small-bands-11" / "ending.json").write_text('{"ended": "stopped", "epochs": 3, "steps": 7}\n')
    report_runs.make(folder / "small-bands-12", stopped=True, epochs=2)
    (folder / "small-bands-12" / "ending.json").write_text('{"ended": "diverged", "epochs": 2, "steps": 1}\n')
    report_runs.make(folder / "small-bands-13", stopped=True, epochs=2)
    report_runs.make(folder / "small-bands-14")
    report_runs.make(folder / "small-bands-15")
    (folder / "small-bands-15" / "history.jsonl").write_text("{}\n{}\n")
    (folder / "photos").mkdir()
    (folder / ".hidden").mkdir()
    (folder / "notes.txt").write_text("mine")
    for number in range(9, 16):
        os.utime(folder / f"small-bands-{number}" / "experiment.toml", (NOON, NOON + 60 * number))
    return folder


def call(*arguments: str) -> Any:
    return CliRunner().invoke(layerline, ["runs", *arguments], catch_exceptions=False)


def test_every_state_is_told(runs: Path) -> None:
    """Finished, stopped, diverged, unfinished and damaged runs are told apart; other folders are counted."""
    found = listing([runs])
    assert [(run.name, run.state) for run in found.runs] == [
        ("small-bands-9", "finished"),
        ("small-bands-10", "finished"),
        ("small-bands-11", "stopped"),
        ("small-bands-12", "diverged"),
        ("small-bands-13", "unfinished"),
        ("small-bands-14", "finished"),
        ("small-bands-15", "damaged"),
    ]
    assert found.others == 1
    assert str(found.runs[-1].damage).endswith("history.jsonl:1: not a valid epoch")


def test_figures_are_those_of_the_files(runs: Path) -> None:
    """A row has the figures of result.json, of the best epoch in history.jsonl, and of experiment.toml."""
    folder = runs / "small-bands-10"
    (run,) = listing([folder]).runs
    result = json.loads((folder / "result.json").read_text())
    history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert (run.test_accuracy, run.test_macro_f1) == (result["test_accuracy"], result["test_macro_f1"])
    assert (run.epochs, run.best_epoch, run.validation_loss) == (4, 3, history[2]["validation_loss"])
    assert run.seconds == sum(row["seconds"] for row in history)
    assert (run.network, run.parameters, run.data, run.images) == ("small", 10, "bands", 60)
    assert run.when == NOON + 600


@pytest.mark.smoke
def test_the_table_at_80_columns(runs: Path, golden: Callable[[str, str], None]) -> None:
    """At 100, 80 and 52 columns nothing is wider; what is left out is said."""
    found = listing([runs]).runs
    texts = []
    for columns in (100, 80, 52):
        lines = table(ordered(found, "when"), columns)
        assert max(map(len, lines)) <= columns
        texts.append("\n".join(lines))
    golden("runs.txt", "\n\n".join(texts))


def test_network_and_data_have_columns_where_names_do_not_say_them(runs: Path) -> None:
    """A run called otherwise brings the columns network and data; a name of 200 letters is cut."""
    report_runs.make(runs / ("x" * 200), epochs=1)
    lines = table(listing([runs]).runs, 120)
    assert "network  data" in lines[1]
    assert max(map(len, lines)) <= 120
    assert "x…" in lines[-1] or any("x…" in line for line in lines)


def test_what_is_the_same_of_all_is_said_once(runs: Path) -> None:
    """Where the terminal is too narrow for all columns, a network that all have goes below the table."""
    mine = runs.parent / "mine"
    mine.mkdir()
    for number in (9, 10):
        (runs / f"small-bands-{number}").rename(mine / f"of-the-{number}th")
    lines = table(listing([mine]).runs, 80)
    assert "network" not in lines[1]
    assert lines[-2:] == ["", "all runs: network small, data bands"]
    assert len(lines[1]) <= 80


def test_runs_are_sorted(runs: Path) -> None:
    """By figures of the test the best comes first, by others the lowest; what has no figure is last either way."""
    found = listing([runs]).runs
    names = {
        (column, backwards): [run.name.rpartition("-")[2] for run in ordered(found, column, backwards=backwards)]
        for column in ("test_accuracy", "name", "when")
        for backwards in (False, True)
    }
    assert names["test_accuracy", False][:2] == ["10", "9"]
    assert names["test_accuracy", True][:2] == ["9", "10"]
    assert names["test_accuracy", False][2:] == names["test_accuracy", True][2:] == ["11", "12", "13", "14", "15"]
    assert names["name", False] == names["when", False] == ["9", "10", "11", "12", "13", "14", "15"]
    assert names["when", True] == names["when", False][::-1]
    for column in COLUMNS:
        assert len(ordered(found, column)) == 7


def test_a_pipe_gets_tabs_and_json_gets_all(runs: Path) -> None:
    """Piped: a line a run, as many fields as the head; --json the same values; remarks go to stderr."""
    assert runs.is_dir()
    piped = call("--sort", "name")
    head, *lines = [line.split("\t") for line in piped.stdout.splitlines()]
    assert {len(line) for line in lines} == {len(head)}
    parsed = json.loads(call("--sort", "name", "--json").stdout)
    for line, entry in zip(lines, parsed, strict=True):
        for key, cell in zip(head, line, strict=True):
            assert cell == ("" if entry[key] is None else str(entry[key]))
    assert piped.exit_code == 0
    assert piped.stderr.splitlines() == [
        "damaged: runs/small-bands-15/history.jsonl:1: not a valid epoch",
        "1 folder is not a run",
    ]


def test_a_tab_in_a_name_stays_in_its_field(runs: Path) -> None:
    """Tabs and line ends in names are escaped."""
    (runs / "small-bands-9").rename(runs / "small\tbands\n9")
    lines = tabs(listing([runs]).runs)
    assert {line.count("\t") for line in lines} == {len(COLUMNS) - 1}
    assert any(line.startswith("small\\tbands\\n9\t") for line in lines)


def test_on_a_terminal_it_is_a_table(runs: Path) -> None:
    """On a terminal of 80 columns the table is printed, damage and the count of other folders below it."""
    del runs
    parent, child = pty.openpty()
    environment = {**os.environ, "COLUMNS": "80"}
    ended = subprocess.run(
        [sys.executable, "-m", "layerline", "runs"], stdout=child, env=environment, timeout=60, check=False
    )
    os.close(child)
    said = os.read(parent, 100_000).decode().replace("\r", "")
    assert ended.returncode == 0
    assert max(map(len, said.splitlines())) <= 80
    assert said.endswith("\n\ndamaged: runs/small-bands-15/history.jsonl:1: not a valid epoch\n1 folder is not a run\n")


def test_folders_of_seeds_are_entered(runs: Path) -> None:
    """A folder with seeds.json is no run, its runs are; a run named twice is listed once."""
    inner = runs / "small-bands-seeds-1"
    inner.mkdir()
    (inner / "seeds.json").write_text("{}")
    for seed in (0, 1):
        report_runs.make(inner / f"seed-{seed}")
    names = [run.name for run in listing([runs]).runs]
    assert "small-bands-seeds-1/seed-0" in names
    assert len(names) == 9
    assert len(listing([runs, inner, inner / "seed-1"]).runs) == 9


@pytest.mark.parametrize(
    "damage",
    [
        ("experiment.toml", None),
        ("experiment.toml", b"\xff\xfe"),
        ("experiment.toml", b"train = 3"),
        ("result.json", b"{"),
        ("result.json", b"[" * 100_000),
        ("result.json", b'{"classes": 3}'),
        ("ending.json", b"[]"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, damage: tuple[str, bytes | None]) -> None:
    """A run with a file that is missing, cut or of another kind is listed as damaged, by the file's name."""
    report_runs.make(tmp_path / "a", stopped=damage[0] == "ending.json")
    report_runs.make(tmp_path / "b")
    path = tmp_path / "a" / damage[0]
    if damage[1] is None:
        path.unlink()
    else:
        path.write_bytes(damage[1])
    broken, whole = ordered(listing([tmp_path]).runs, "name")
    assert (broken.name, broken.state, whole.state) == ("a", "damaged", "finished")
    assert str(broken.damage).startswith(str(path))


@pytest.mark.parametrize("value", ['"high"', "null", "[1]", "true", "NaN"])
def test_figures_of_other_kinds_are_none(tmp_path: Path, value: str) -> None:
    """An accuracy that is no number is none, and the table is printed."""
    report_runs.make(tmp_path / "a")
    (tmp_path / "a" / "result.json").write_text(f'{{"classes": ["a"], "test_accuracy": {value}}}')
    (run,) = listing([tmp_path]).runs
    assert run.as_dict()["test_accuracy"] is None
    assert table([run])
    assert ordered([run, run], "test_accuracy")


def test_mistakes(runs: Path, golden: Callable[[str, str], None]) -> None:
    """No runs/, a folder that is not there, a file, a column that is not known: each said, exit 2."""
    said = []
    for arguments in (["nowhere"], ["runs/notes.txt"], ["--sort", "acuracy"], ["--sort", "zzz"]):
        with pytest.raises(UserError) as error:
            call(*arguments)
        said.append(f"$ layerline runs {' '.join(arguments)}\n{error.value}")
    runs.rename(runs.parent / "elsewhere")
    with pytest.raises(UserError) as error:
        call()
    said.append(f"$ layerline runs\n{error.value}")
    golden("runs-mistakes.txt", "\n\n".join(said))


def test_an_empty_folder_has_no_runs(tmp_path: Path) -> None:
    """It is no mistake: exit 0, and said."""
    ended = call(str(tmp_path))
    assert (ended.exit_code, ended.stderr) == (0, f"{tmp_path}: no runs\n")
    assert ended.stdout.count("\n") == 1
    assert runs_cli.table([]) is not None
