"""The machine around a command: no home, no room, no rights, no threads, odd variables. docs/environment.md lists all.

Folders that may not be written and disks that are full are made in a namespace of mounts, which only Linux has.
"""

from __future__ import annotations

import errno
import functools
import json
import re
import resource
import shlex
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from command import COMMAND, PLAIN, run, train, with_data

from layerline.cli.entry_point import main
from layerline.files import tensors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TRAIN = [*COMMAND, "train", "net.cnn", "--data", "bands.npz", "--epochs", "2", "--lr", "0.01"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a network and data that can be learned in no time."""
    return with_data(tmp_path)


@functools.cache
def can(*options: str) -> bool:
    """Return whether this system makes such a namespace."""
    try:
        return subprocess.run(["unshare", *options, "true"], capture_output=True, check=False).returncode == 0  # noqa: S603, S607
    except OSError:
        return False


def within(folder: Path, script: str) -> Any:
    """Run a shell's script in a namespace of mounts, so that what it mounts nobody else sees."""
    if not can("-rm"):
        pytest.skip("needs a namespace of mounts")
    return subprocess.run(  # noqa: S603
        ["unshare", "-rm", "sh", "-ec", script],  # noqa: S607
        cwd=folder,
        env=PLAIN,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def limited(folder: Path, which: int, most: int, *arguments: str, **environment: str) -> Any:
    """Train with a limit of the system on the process."""
    return run(
        folder,
        *TRAIN[len(COMMAND) :],
        *arguments,
        environment=environment,
        preexec_fn=lambda: resource.setrlimit(which, (most, most)),
    )


def losses(out: Path) -> list[float]:
    """Return what a training's history says of each epoch."""
    return [json.loads(line)["train_loss"] for line in (out / "history.jsonl").read_text().splitlines()]


def test_a_read_only_folder_is_said_and_another_is_taken(folder: Path) -> None:
    """Where the current folder may not be written, the message names it before any training; --out elsewhere works."""
    (folder / "other").mkdir()
    script = "mount --bind . . && mount -o remount,ro,bind . && mount -t tmpfs none other && cd . && "
    ended = within(folder, script + shlex.join(TRAIN))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("runs/net-bands-1: cannot be created: no permission to write to ")
    assert ended.stderr.endswith("\n  help: choose another place with --out\n")
    assert within(folder, script + shlex.join([*TRAIN, "--quiet", "--out", "other/run"])).returncode == 0


@pytest.mark.parametrize(
    "environment", [{}, {"HOME": "/dev/null/nowhere"}, {"HOME": ""}, {"TMPDIR": "/dev/null/nowhere"}]
)
def test_without_a_home_or_a_folder_for_temporary_files(folder: Path, environment: dict[str, str]) -> None:
    """Without HOME, or with one that is not there, and without TMPDIR, a training comes to its end, graphs and all."""
    plain = {name: value for name, value in PLAIN.items() if name != "XDG_DATA_HOME"}
    ended = subprocess.run(  # noqa: S603
        [*TRAIN, "--quiet"], cwd=folder, env={**plain, **environment}, capture_output=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert (folder / "runs" / "net-bands-1" / "report.html").exists()


def test_machine_code_that_others_may_have_written_is_reported_and_not_run(folder: Path) -> None:
    """A training stores its code; where others can then write to that folder, the same training says so, once, and
    comes to the same end."""
    environment = {"LAYERLINE_CODE_CACHE": str(folder / "code")}
    assert train(folder, "--quiet", environment=environment).stderr == ""
    assert len(list((folder / "code").iterdir())) == 3  # to train, to predict, and for the report
    (folder / "code").chmod(0o777)
    ended = train(folder, "--quiet", environment=environment)
    assert (ended.returncode, ended.stderr) == (
        0,
        f"warning: {folder}/code: cached machine code is not used: other users can write to it; "
        "the network was compiled again\n"
        "  help: set LAYERLINE_CODE_CACHE to a folder that only you can write to, or to no\n",
    )
    assert losses(folder / "runs" / "net-bands-2") == losses(folder / "runs" / "net-bands-1")


def test_a_user_whom_nobody_knows(folder: Path) -> None:
    """A user id that stands in no list, without HOME: trains; a named set, which would lie there, asks for a folder."""
    if not can("--map-user=54321", "--map-group=54321"):
        pytest.skip("needs a namespace of users")
    plain = {name: value for name, value in PLAIN.items() if name != "XDG_DATA_HOME"}
    for arguments, code, said in (
        (TRAIN[len(COMMAND) :], 0, ""),
        (["data", "list"], 0, ""),
        (["train", "net.cnn", "--data", "mnist"], 2, "--data mnist: no --data-dir and no home folder"),
    ):
        ended = subprocess.run(  # noqa: S603
            ["unshare", "--map-user=54321", "--map-group=54321", *COMMAND, *arguments],  # noqa: S607
            cwd=folder,
            env=plain,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert ended.returncode == code, ended.stderr
        assert ended.stderr.startswith(said)


@pytest.mark.parametrize(
    ("mount", "reason"),
    [
        ("size=4k", r"run/network.cnn: .*No space left on device \(41 B needed, 0 B free\)"),
        ("nr_inodes=3", r"run/network.cnn: .*\(41 B needed, but the disk has no free inodes for more files\)"),
    ],
)
def test_a_disk_that_is_full_at_the_start_keeps_nothing(folder: Path, mount: str, reason: str) -> None:
    """Where not even the first files fit: the reason, no folder that would be in the way of the same command."""
    (folder / "small").mkdir()
    command = shlex.join([*TRAIN, "--quiet", "--out", "small/run"])
    ended = within(folder, f"mount -t tmpfs none small -o {mount}; {command} || echo code $?; ls small")
    assert ended.stdout == "code 2\n"
    assert re.search(reason, ended.stderr), ended.stderr


@pytest.mark.parametrize("size", ["8k", "32k", "200k"])
def test_a_disk_that_fills_up_later(folder: Path, size: str) -> None:
    """Wherever it fills up: the test is shown, exit 2 with both sizes, no half file; with more room --resume ends
    at the whole run."""
    (folder / "small").mkdir()
    assert train(folder, "--lr", "0.01", "--quiet", "--out", "whole").returncode == 0
    script = (
        f"mount -t tmpfs none small -o size={size}; {shlex.join([*TRAIN, '--out', 'small/run'])} || echo code $?; "
        "echo left $(ls -A small/run); mount -o remount,size=4m small; "
        f"{shlex.join([*COMMAND, 'train', '--resume', 'small/run', '--quiet'])}; cp -r small/run resumed"
    )
    ended = within(folder, script)
    assert ended.returncode == 0, ended.stderr
    assert "\ncode 2\n" in ended.stdout
    assert re.search(r"No space left on device \(\S+ k?B needed, \S+ k?B free\)", ended.stderr)
    assert ".part" not in ended.stdout
    assert "\ntest set: 30 images" in ended.stdout  # it is shown, written or not
    assert losses(folder / "resumed") == losses(folder / "whole")
    models = [tensors.read(folder / out / "model.safetensors").arrays for out in ("whole", "resumed")]
    for name, array in models[0].items():
        np.testing.assert_array_equal(array, models[1][name])


def test_a_limit_on_the_size_of_files(folder: Path) -> None:
    """`ulimit -f`, as a quota: what fits is kept, the message has the size, and --resume ends the run without it."""
    ended = limited(folder, resource.RLIMIT_FSIZE, 10_000, "--out", "run")
    assert ended.returncode == 2
    assert ended.stderr.startswith("run/loss.png: cannot be written: File too large (6")
    assert "test set: 30 images" in ended.stdout
    names = {path.name for path in (folder / "run").iterdir()}
    assert names == {
        *("network.cnn", "experiment.toml", "history.jsonl", "checkpoints"),
        *("model.safetensors", "predictions.npz", "result.json"),
    }
    assert run(folder, "train", "--resume", "run", "--quiet").returncode == 0
    assert (folder / "run" / "report.html").exists()


def test_little_memory_is_refused_before_the_training(folder: Path) -> None:
    """512 MB of addresses (`ulimit -v`): refused with both numbers before anything is written."""
    ended = limited(folder, resource.RLIMIT_AS, 512_000_000, "--threads", "2", "--batch-size", "8")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert re.fullmatch(
        r"--batch-size 8: training needs 49\d MB of address space \(494 MB of it whatever the batch size\), "
        r"but its limit \(ulimit -v\) leaves only \d+(\.\d)? MB\n  help: raise that limit, or use fewer --threads\n",
        ended.stderr,
    )
    assert not (folder / "runs").exists()


def test_few_open_files_are_enough(folder: Path) -> None:
    """Eight are enough for a whole run, graphs and all: the three standard streams, four fonts that Matplotlib keeps
    open, two for PNG and two for SVG, and one for everything else, one after the other."""
    assert limited(folder, resource.RLIMIT_NOFILE, 64, "--out", "whole").returncode == 0
    ended = limited(folder, resource.RLIMIT_NOFILE, 8, "--out", "run")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "no graphs" not in ended.stdout
    assert losses(folder / "run") == losses(folder / "whole")
    assert run(folder, "describe", "run").returncode == 0


def test_too_many_open_files_are_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where no more files can be opened, that is no bug of ours: exit 2, and what to do."""

    def opened(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("layerline.network_file.formatted", opened)
    assert main(["fmt", "lenet5"]) == 2
    assert capsys.readouterr().err == ("too many open files\n  help: raise the limit (ulimit -n); 64 is enough\n")


def test_no_shared_memory_is_needed(folder: Path) -> None:
    """With a /dev/shm of 4 kB a training is as ever."""
    ended = within(folder, f"mount -t tmpfs none /dev/shm -o size=4k; {shlex.join([*TRAIN, '--quiet'])}")
    assert (ended.returncode, ended.stderr) == (0, "")


VARIABLES: dict[str, dict[str, str]] = {
    "threads that are no number": {"OMP_NUM_THREADS": "abc", "OPENBLAS_NUM_THREADS": "abc", "MKL_NUM_THREADS": "-1"},
    "no colors": {"NO_COLOR": "1", "TERM": "dumb", "CLICOLOR_FORCE": "1", "FORCE_COLOR": "1"},
    "a strange locale": {"LANG": "xx_YY.KOI8-R", "LC_ALL": "xx_YY.KOI8-R", "TZ": "nowhere"},
}


@pytest.mark.parametrize("name", VARIABLES)
def test_variables_change_nothing(folder: Path, name: str) -> None:
    """Strange values in the environment: the same losses and no word on stderr."""
    plain = train(folder, "--lr", "0.01", "--out", "plain")
    ended = train(folder, "--lr", "0.01", "--out", "strange", environment=VARIABLES[name], encoding=None)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert losses(folder / "plain") == losses(folder / "strange")
    assert b"\x1b" not in ended.stdout
    assert plain.returncode == 0


def at_start(folder: Path, code: str) -> dict[str, str]:
    """Return an environment in which Python runs this code before anything else."""
    (folder / "start").mkdir()
    (folder / "start" / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": f"{folder / 'start'}:{PLAIN['PYTHONPATH']}"}


def test_a_clock_that_steps_back(folder: Path) -> None:
    """Where the time of day goes back by an hour at each look, the run is the same, its seconds are not negative."""
    code = (
        "import time\n"
        "began, looks = time.time(), [0]\n"
        "def back():\n"
        "    looks[0] += 1\n"
        "    return began - 3600 * looks[0]\n"
        "time.time, time.time_ns = back, lambda: int(back() * 1e9)\n"
    )
    assert train(folder, "--lr", "0.01", "--out", "plain").returncode == 0
    ended = train(folder, "--lr", "0.01", "--out", "back", environment=at_start(folder, code))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert losses(folder / "plain") == losses(folder / "back")
    rows = [json.loads(line) for line in (folder / "back" / "history.jsonl").read_text().splitlines()]
    assert all(row["seconds"] > 0 for row in rows)


def test_extras_that_are_not_installed_are_named(folder: Path) -> None:
    """Without PyTorch and scikit-learn: all of the command works but --engine torch, which says what to install."""
    code = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('torch', 'sklearn', 'scipy', 'pandas', 'IPython'):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
    )
    environment = at_start(folder, code)
    ended = train(folder, "--engine", "torch", "--out", "run", environment=environment)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "--engine torch: PyTorch is not installed\n  help: pip install 'layerline[torch]'\n"
    assert not (folder / "run").exists()
    assert train(folder, "--out", "run", environment=environment).returncode == 0
    for arguments in (["rerun", "run", "--check"], ["report", "run", "--force"], ["describe", "run"]):
        assert run(folder, *arguments, environment=environment).returncode == 0, arguments
    python = "import layerline.sklearn"
    ended = subprocess.run(  # noqa: S603
        [sys.executable, "-c", python], env={**PLAIN, **environment}, capture_output=True, text=True, check=False
    )
    assert "layerline.sklearn needs scikit-learn" in ended.stderr
    assert "pip install 'scikit-learn>=1.6'" in ended.stderr


def test_two_trainings_of_one_folder(folder: Path) -> None:
    """While a training writes to a folder, another is refused in every way to get there, and neither is disturbed."""
    command = [
        *COMMAND,
        "train",
        "net.cnn",
        "--data",
        "bands.npz",
        "--epochs",
        "1000000",
        "--lr",
        "0.01",
        "--out",
        "run",
    ]
    first = subprocess.Popen(command, cwd=folder, env=PLAIN, stdout=subprocess.PIPE)  # noqa: S603
    try:
        wait_for(lambda: (folder / "run" / "history.jsonl").exists())
        for arguments, message in (
            (["--out", "run"], "--out run already exists"),
            (["--out", "run", "--force"], "run: another training is writing to it"),
        ):
            ended = train(folder, *arguments)
            assert (ended.returncode, ended.stdout) == (2, "")
            assert ended.stderr.startswith(message)
        ended = run(folder, "train", "--resume", "run")
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr.startswith("run: another training is writing to it")
        assert first.poll() is None
    finally:
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=600)
    assert first.returncode == 130
    assert run(folder, "describe", "run").returncode == 0


def wait_for(what: Callable[[], bool]) -> None:
    """Wait until something is so, a minute at most."""
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_closed_streams_are_no_mistake(folder: Path) -> None:
    """Started without stdin, stdout and stderr, a training comes to its end."""
    command = f"{shlex.join([*TRAIN, '--out', 'run'])} <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", command], cwd=folder, env=PLAIN, check=False).returncode == 0  # noqa: S603, S607
    assert (folder / "run" / "report.html").exists()
