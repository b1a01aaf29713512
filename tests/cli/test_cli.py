"""The command line, as a process: what it prints, what it writes, how it ends."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import image_files
import pytest
from command import COMMAND, NET, PLAIN, run, train, with_data

import layerline
from layerline.cli.test_results import remark_lines
from layerline.network import preset

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a network and data that can be learned in no time."""
    return with_data(tmp_path)


def steady(text: str) -> str:
    """Return output with what differs from machine to machine replaced: times, figures, the CPU, a measured rate."""
    text = re.sub(r" +\S+ +\d+\.\d+ m?s( ★)?$", "  RATE  TIME", text, flags=re.MULTILINE)
    text = re.sub(r"learning rate \d\.\d+", "learning rate RATE", text)
    text = re.sub(r"\d\.\d{4}(?!\d)", "#.####", text)
    text = re.sub(r"\d\.\d{3} to \d\.\d{3}(?!\d)", "#.### to #.###", text)
    text = re.sub(r"^(\d)(  +[\d·]+)+$", r"\1  COUNTS", text, flags=re.MULTILINE)
    return re.sub(r"(compiled, ).*", r"\1…", text)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@pytest.mark.smoke
def test_a_training_prints_and_writes_what_it_says(folder: Path, golden: Callable[[str, str], None]) -> None:
    """Piped: plain lines of at most 80 columns; exit 0; every file of the run is there, and result agrees with it."""
    ended = train(folder, "--threads", "1")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "\x1b" not in ended.stdout
    assert "\r" not in ended.stdout
    assert max(map(len, ended.stdout.splitlines())) <= 80
    golden("train.txt", steady(ended.stdout))
    out = folder / "runs" / "net-bands-1"
    named = re.findall(r"[a-z_1]+\.[a-z]+", ended.stdout[ended.stdout.index("\nruns/") : ended.stdout.index("\nnext ")])
    written = {path.name for path in out.iterdir() if path.name != "checkpoints"}
    assert {name for name in named if name != "net-bands-1"} == {name for name in written if not name.endswith("svg")}
    result = json.loads((out / "result.json").read_text())
    assert re.search(rf"^this network +{result['test_accuracy']:.4f}  ", ended.stdout, re.MULTILINE)
    assert len((out / "history.jsonl").read_text().splitlines()) == 2
    experiment = tomllib.loads((out / "experiment.toml").read_text())
    assert experiment["train"]["epochs"] == 2
    assert experiment["data"] == {"data": "../../bands.npz", "test": 0.15, "validation": 0.1, "normalize": "max"}


def test_runs_are_numbered_and_out_is_kept(folder: Path) -> None:
    """A second run has the next number; --out is refused where it exists, and --force replaces only a run."""
    for number in (1, 2):
        assert train(folder, "--quiet").stdout == f"runs/net-bands-{number}\n"
    (folder / "mine").mkdir()
    (folder / "mine" / "thesis.txt").write_text("years of work")
    for arguments in (["--out", "mine"], ["--out", "mine", "--force"], ["--out", "net.cnn", "--force"], ["--force"]):
        before = files(folder)
        ended = train(folder, *arguments)
        assert ended.returncode == 2, arguments
        assert files(folder) == before
    assert train(folder, "--out", "runs/net-bands-2").returncode == 2
    assert train(folder, "--out", "runs/net-bands-2", "--force", "--epochs=1").returncode == 2  # --epochs twice
    assert (
        run(
            folder, "train", "net.cnn", "--data", "bands.npz", "--epochs=1", "--out", "runs/net-bands-2", "--force"
        ).returncode
        == 0
    )
    assert len((folder / "runs" / "net-bands-2" / "history.jsonl").read_text().splitlines()) == 1


@pytest.mark.smoke
def test_an_experiment_is_trained_again_from_its_record(folder: Path) -> None:
    """`layerline train RUN/experiment.toml` gives the same model, byte for byte; flags override it."""
    assert train(folder, "--seed", "3", "--lr", "0.1").returncode == 0
    first = folder / "runs" / "net-bands-1"
    again = run(folder, "train", str(first / "experiment.toml"), "--out", "again")
    assert again.returncode == 0, again.stderr
    history, other = ((path / "history.jsonl").read_text() for path in (first, folder / "again"))
    losses = [[json.loads(line)["train_loss"] for line in text.splitlines()] for text in (history, other)]
    assert losses[0] == losses[1]
    shorter = run(folder, "train", str(first / "experiment.toml"), "--out", "shorter", "--epochs", "1")
    assert shorter.returncode == 0
    assert len((folder / "shorter" / "history.jsonl").read_text().splitlines()) == 1


def test_the_torch_engine_trains_too(folder: Path) -> None:
    """`--engine torch` prints and writes the same kinds of things, on the device that the record has."""
    ended = train(folder, "--engine", "torch", "--threads", "1", "--device", "cpu", "--precision", "bf16")
    assert ended.returncode == 0, ended.stderr
    assert "engine   torch, cpu, bf16, 1 thread" in ended.stdout
    made = folder / "runs" / "net-bands-1"
    assert (made / "model.safetensors").exists()
    written = tomllib.loads((made / "experiment.toml").read_text())["train"]
    assert (written["engine"], written["device"], written["precision"]) == ("torch", "cpu", "bf16")
    again = run(folder, "rerun", str(made), "--check", "--quiet")
    assert again.returncode == 0, again.stdout + again.stderr


def test_a_device_that_is_not_there_is_one_message(folder: Path) -> None:
    """Before anything is written; the compiled engine takes the only device that it has."""
    ended = train(folder, "--engine", "torch", "--device", "cuda:99")
    assert (ended.returncode, ended.stderr.startswith("--device cuda:99: ")) == (2, True)
    assert "use " in ended.stderr
    assert not (folder / "runs").exists()
    assert train(folder, "--device", "cpu").returncode == 0


BAD: dict[str, list[str]] = {
    "no command": ["trian"],
    "no network": ["train"],
    "unknown option": ["train", "net.cnn", "--epoch", "3"],
    "abbreviated option": ["train", "net.cnn", "--learn", "3"],
    "repeated option": ["train", "net.cnn", "--epochs", "3", "--data", "bands.npz", "--epochs=4"],
    "repeated under another name": ["train", "net.cnn", "--lr", "3", "--learning-rate", "4"],
    "option without value": ["train", "net.cnn", "--data"],
    "too many arguments": ["train", "net.cnn", "other.cnn"],
    "no data": ["train", "net.cnn"],
    "unknown data": ["train", "net.cnn", "--data", "digit"],
    "unknown network": ["train", "lenet", "--data", "digits"],
    "force without out": ["train", "net.cnn", "--data", "digits", "--force"],
    "batch 0": ["train", "net.cnn", "--data", "bands.npz", "--batch-size", "0"],
    "learning rate nan": ["train", "net.cnn", "--data", "bands.npz", "--lr", "nan"],
    "limit": ["train", "net.cnn", "--data", "bands.npz", "--limit", "many"],
    "out is a file": ["train", "net.cnn", "--data", "bands.npz", "--out", "net.cnn"],
    "out in a file": ["train", "net.cnn", "--data", "bands.npz", "--out", "net.cnn/run"],
    "network that does not fit": ["train", "big.cnn", "--data", "bands.npz"],
    "empty network": ["train", "empty.cnn", "--data", "bands.npz"],
    "network that is no text": ["train", "bands.npz", "--data", "bands.npz"],
    "describe without data": ["describe", "lenet5"],
    "describe a folder": ["describe", "."],
    "unknown stage": ["engine", "show", "fixed.cnn", "--stage", "ast"],
    "lanes": ["engine", "show", "fixed.cnn", "--lanes", "many"],
    "engine without command": ["engine", "shwo"],
    "fmt both": ["fmt", "net.cnn", "--write", "--check"],
    "fmt a preset": ["fmt", "lenet5", "--write"],
}


@pytest.mark.smoke
def test_mistakes_end_with_2_and_write_nothing(folder: Path, golden: Callable[[str, str], None]) -> None:
    """Every mistake: exit 2, nothing on stdout, a message on stderr without a traceback, no file touched."""
    (folder / "big.cnn").write_text("Conv 4 13\nFlat\nFC classes\n")
    (folder / "fixed.cnn").write_text("Input 1 6 6\nFlat\nFC 3\n")
    (folder / "empty.cnn").write_text("")
    before = {name: (folder / name).read_bytes() for name in files(folder)}
    said = []
    for name, arguments in BAD.items():
        ended = run(folder, *arguments)
        assert (ended.returncode, ended.stdout) == (2, ""), (name, ended.stderr)
        assert "Traceback" not in ended.stderr
        assert {path: (folder / path).read_bytes() for path in files(folder)} == before, name
        said.append(f"--- {name}\n$ layerline {' '.join(arguments)}\n{ended.stderr.replace(str(folder), 'HERE')}")
    golden("mistakes.txt", "\n".join(said))


def test_validation_stands_without_asserts(folder: Path) -> None:
    """Under `python -O` mistakes are found as ever, and training works."""
    for arguments, code in ((["--batch-size", "0"], 2), (["--out", "net.cnn"], 2), (["--out", "run"], 0)):
        command = [sys.executable, "-O", "-m", "layerline", "train", "net.cnn", "--data", "bands.npz", *arguments]
        ended = subprocess.run(command, cwd=folder, env=PLAIN, capture_output=True, check=False)  # noqa: S603
        assert ended.returncode == code


def test_divergence_ends_with_1(folder: Path) -> None:
    """A loss that is no number: exit 1, the step and the cause on stderr, and what is kept on stdout."""
    (folder / "net.cnn").write_text("Conv 4 3\nConv 4 3\nFlat\nFC classes\n")
    ended = train(folder, "--lr", "1e5")
    assert ended.returncode == 1
    assert re.match(r"diverged: the loss became NaN or infinite at step \d+ of epoch \d", ended.stderr)
    assert "help: the learning rate 1e+05 is probably too high: try --learning-rate 0.02" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "no epoch was finished: no model was saved" in ended.stdout or "the last one finished" in ended.stdout
    ending = json.loads((folder / "runs" / "net-bands-1" / "ending.json").read_text())
    assert ending["ended"] == "diverged"
    assert "diverged" in run(folder, "runs").stdout


def test_a_bug_of_ours_ends_with_70(folder: Path) -> None:
    """What nobody foresaw: exit 70, the traceback, and a line that says that it is not the user's mistake."""
    code = (
        "import sys, layerline.cli.entry_point as m, layerline.experiment.experiment as e\n"
        "def broken(*_): raise ZeroDivisionError('oh')\n"
        "e.settle = broken\n"
        "sys.exit(m.main(['train', 'net.cnn', '--data', 'digits']))"
    )
    ended = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], cwd=folder, env=PLAIN, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 70
    assert "ZeroDivisionError: oh" in ended.stderr
    assert "This is a bug in Layerline, not a mistake of yours." in ended.stderr


def on_terminal(folder: Path, *arguments: str, columns: int = 80, code: int = 0, **environment: str) -> str:
    """Return what a terminal of that width receives, escape sequences and all."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(  # noqa: S603
        [*COMMAND, *arguments],
        cwd=folder,
        env={**PLAIN, "TERM": "xterm", "COLUMNS": str(columns), **environment},
        stdin=follower,
        stdout=follower,
        stderr=follower,
    )
    os.close(follower)
    received = b""
    while True:
        if select.select([leader], [], [], 60)[0]:
            try:
                part = os.read(leader, 65536)
            except OSError:
                break
            if not part:
                break
            received += part
    os.close(leader)
    assert process.wait() == code, received
    return received.decode()


def on_screen(received: str) -> list[str]:
    """Return the lines that are to be seen in the end: \\r goes back to the first column, ESC [ K empties the rest."""
    lines = []
    for line in received.split("\n"):
        cells, column = "", 0
        for part in re.findall(r"\r|\x1b\[K|[^\r\x1b]+", re.sub(r"\x1b\[[0-9]+m", "", line)):
            if part == "\r":
                column = 0
            elif part == "\x1b[K":
                cells = cells[:column]
            else:
                cells, column = cells[:column] + part + cells[column + len(part) :], column + len(part)
        lines.append(cells)
    return lines


def test_a_terminal_shows_progress(folder: Path) -> None:
    """On a terminal a bar is drawn and removed again; what stays is what a pipe gets; nothing is wider than it."""
    (folder / "net.cnn").write_text("Conv 32 5 1 2\nReLU\nConv 32 5 1 2\nReLU\nFlat\nFC classes\n")
    arguments = ("train", "net.cnn", "--data", "bands.npz", "--epochs", "2", "--threads", "1", "--batch-size", "1")
    received = on_terminal(folder, *arguments, "--engine", "torch", NO_COLOR="1")
    assert "\x1b[K" in received
    assert re.search(r"epoch \d/2  [█░]{16}", received)
    stays = re.sub(r"\r[^\r\n]*\x1b\[K", "", received.replace("\r\n", "\n"))
    assert "\x1b" not in stays
    assert max(len(line) for part in received.split("\n") for line in re.split(r"\r|\x1b\[K", part)) <= 80
    piped = run(folder, *arguments, "--engine", "torch")
    assert steady(stays).replace("bands-1", "") == steady(piped.stdout).replace("bands-2", "")
    assert "\x1b" not in on_terminal(folder, *arguments, TERM="dumb")


def test_a_terminal_has_colors(folder: Path) -> None:
    """Labels, the network's scores and `help:` are colored on a terminal, and every color ends in its line."""
    colored = on_terminal(folder, "train", "net.cnn", "--data", "bands.npz", "--epochs", "1", "--threads", "1")
    lines = [re.sub(r".*\r\x1b\[K", "", line) for line in colored.replace("\r\n", "\n").split("\n")]
    assert any(line.startswith("\x1b[1mdata     \x1b[0mbands: 200 images") for line in lines)
    assert any(re.fullmatch(r"\x1b\[1mthis network .*\x1b\[0m", line) for line in lines)
    assert all(line.count("\x1b[0m") == len(re.findall(r"\x1b\[[1-9][0-9]*m", line)) for line in lines)
    refused = on_terminal(folder, "train", "net.cnn", code=2)
    assert "\n\x1b[36m  help: \x1b[0mname the data" in refused.replace("\r\n", "\n")
    assert "\x1b[36m" not in on_terminal(folder, "train", "net.cnn", code=2, NO_COLOR="1")
    assert "\x1b" not in run(folder, "train", "net.cnn").stderr


def test_the_end_names_the_next_step(folder: Path) -> None:
    """The last lines are the report and a command; both work as they are, for arrays and for photos."""
    lines = train(folder, "--out", "my run").stdout.splitlines()
    assert lines[-2:] == ["next     open my run/report.html in a browser", "         layerline evaluate 'my run'"]
    assert run(folder, *shlex.split(lines[-1])[1:]).returncode == 0
    for k, name in enumerate("abababababababababababababababababababab"):
        place = folder / "photos" / name
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{k}.png").write_bytes(image_files.png(image_files.picture(k, (20, 20))))
    arguments = ("train", "net.cnn", "--data", "photos", "--epochs", "1", "--lr", "0.01", "--out", "of photos")
    *_, report, predict = run(folder, *arguments).stdout.splitlines()
    assert report == "next     open of photos/report.html in a browser"
    ended = run(folder, *shlex.split(predict)[1:])
    assert (ended.returncode, len(ended.stdout.splitlines())) == (0, 1)


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "net.cnn", "--data", "mnist"),
        ("new", "--data", "mnist", "--out", "made.cnn"),
        ("train", "net.cnn", "--data", "bands.npz", "--patience", "3", "--validation", "none"),
    ],
)
def test_a_refusal_begins_a_line_of_its_own(folder: Path, arguments: tuple[str, ...]) -> None:
    """On a terminal, what was drawn while reading is gone before a message is written."""
    received = on_terminal(folder, *arguments, code=2)
    assert "reading the data" in received
    assert on_screen(received)[0].startswith("--")
    assert not any("reading the data" in line for line in on_screen(received))


@pytest.mark.parametrize("environment", [{"LANG": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
def test_a_plain_locale_is_enough(folder: Path, environment: dict[str, str]) -> None:
    """With LANG=C, and with an output that is ASCII only, training prints and ends as ever; × and ★ become x and *."""
    ended = train(folder, environment=environment, encoding=None)
    assert ended.returncode == 0, ended.stderr
    if "PYTHONUTF8" in environment:
        assert b" *\n" in ended.stdout
        assert b"1x6x6" in ended.stdout
        ended.stdout.decode("ascii")


def test_a_reader_that_leaves_does_not_end_the_training(folder: Path) -> None:
    """`layerline train … | head -1` trains to the end; `layerline describe … | head -1` ends quietly; both exit 0."""
    for arguments in ("train net.cnn --data bands.npz --epochs 3 --out run", "describe digits --data digits", "--help"):
        command = f"{sys.executable} -u -m layerline {arguments} 2>errors | head -1 >first; exit ${{PIPESTATUS[0]}}"
        ended = subprocess.run(["bash", "-c", command], cwd=folder, env=PLAIN, check=False)  # noqa: S603, S607
        assert ended.returncode == 0, arguments
        assert (folder / "errors").read_text() == ""
    assert (folder / "run" / "result.json").exists()


@pytest.mark.parametrize("arguments", [["--help"], ["fmt", "net.cnn"], ["train", "net.cnn", "--data", "bands.npz"]])
def test_a_pipe_without_a_reader_is_no_mistake(folder: Path, arguments: list[str]) -> None:
    """Output into a pipe that nobody holds open: exit 0, nothing on stderr, not even from the interpreter's end."""
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(  # noqa: S603
        [*COMMAND, *arguments], cwd=folder, env=PLAIN, stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_cannot_be_written_is_said(folder: Path) -> None:
    """A full disk under stdout: what only prints says so and ends with 2; a training goes on."""
    with Path("/dev/full").open("w") as full:
        for arguments, code in (
            (["fmt", "net.cnn"], 2),
            (["train", "net.cnn", "--data", "bands.npz", "--epochs", "1"], 0),
        ):
            ended = subprocess.run(  # noqa: S603
                [*COMMAND, *arguments], cwd=folder, env=PLAIN, stdout=full, stderr=subprocess.PIPE, check=False
            )
            assert ended.returncode == code
            assert (b"cannot be written" in ended.stderr) == (code == 2)


def test_nothing_goes_over_the_network(folder: Path) -> None:
    """With sockets that refuse to be made, a training runs from its first line to its last graph."""
    (folder / "sitecustomize.py").write_text(
        "import sys\n"
        "def refuse(event, arguments):\n"
        "    if event.startswith('socket.') and event != 'socket.gethostname':\n"
        "        raise SystemExit('a socket was touched: ' + event)\n"
        "sys.addaudithook(refuse)\n"
    )
    path = f"{folder}:{PLAIN['PYTHONPATH']}"
    touched = subprocess.run(
        [sys.executable, "-c", "import socket; socket.socket()"], env={**PLAIN, "PYTHONPATH": path}, check=False
    )
    assert touched.returncode == 1  # the guard guards
    ended = train(folder, environment={"PYTHONPATH": path})
    assert ended.returncode == 0, ended.stderr


def test_a_run_s_files_hold_no_name(folder: Path) -> None:
    """No text file of a run holds the user's name, the machine's, or the absolute path of the work."""
    import getpass
    import socket

    assert train(folder).returncode == 0
    for path in (folder / "runs" / "net-bands-1").rglob("*.*"):
        content = path.read_bytes()
        assert str(folder).encode() not in content, path
        for name in (getpass.getuser(), socket.gethostname()):
            assert len(name) <= 4 or name.encode() not in content, path  # a short one turns up by chance


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_said_first(folder: Path) -> None:
    """Where the current folder is read-only, the message names it before any training."""
    folder.chmod(0o500)
    try:
        ended = train(folder)
    finally:
        folder.chmod(0o700)
    assert ended.returncode == 2
    assert "may not be written" in ended.stderr


@pytest.mark.smoke
def test_fmt_prints_writes_and_checks(folder: Path) -> None:
    """`fmt` prints the readable form, `--write` puts it into the file, `--check` exits with 1 where it would."""
    readable = "Conv 4 kernel=3 padding=1\nReLU\nPool 2\nFlat\nFC classes\n"
    net = folder / "net.cnn"
    net.write_bytes(b"\xef\xbb\xbf" + NET.replace("\n", "\r\n").encode())
    assert run(folder, "fmt", "net.cnn").stdout == readable
    checked = run(folder, "fmt", "net.cnn", "--check")
    assert (checked.returncode, checked.stdout) == (1, "")
    assert "layerline fmt net.cnn --write" in checked.stderr
    assert run(folder, "fmt", "net.cnn", "--write").returncode == 0
    assert net.read_bytes() == readable.encode()
    assert run(folder, "fmt", "net.cnn", "--check").returncode == 0
    assert run(folder, "fmt", "lenet5").stdout == preset("lenet5")


@pytest.mark.smoke
def test_describe_takes_what_can_be_described(folder: Path) -> None:
    """A file with data, a model file and a run's folder each give the table of the same network; a model also facts."""
    assert train(folder).returncode == 0
    out = "runs/net-bands-1"
    tables = [
        run(folder, "describe", *arguments)
        for arguments in (["net.cnn", "--data", "bands.npz"], [out], [f"{out}/model.safetensors"])
    ]
    assert {table.returncode for table in tables} == {0}
    assert tables[1].stdout == tables[2].stdout
    assert tables[1].stdout.startswith("classes  3: 0, 1, 2\n")
    assert tables[1].stdout.endswith(f"\n\n{tables[0].stdout}")
    assert "batch" not in tables[0].stderr
    other = run(folder, "describe", "net.cnn", "--data", "bands.npz", "--batch-size", "5000")
    assert "with 5,000 images" in other.stdout


def test_engine_show_prints_every_stage(folder: Path) -> None:
    """Each stage prints something of its own; narrower lanes and prediction change it."""
    (folder / "net.cnn").write_text("Input 1 6 6\n" + NET.replace("classes", "3"))
    shown = {}
    for stage in ("plan", "program", "llvm", "asm"):
        ended = run(folder, "engine", "show", "net.cnn", "--stage", stage)
        assert ended.returncode == 0, ended.stderr
        shown[stage] = ended.stdout
    assert "phase 1" in shown["plan"]
    assert "define" in shown["llvm"]
    assert ".text" in shown["asm"]
    assert len(set(shown.values())) == 4
    narrow = run(folder, "engine", "show", "net.cnn", "--lanes", "1").stdout
    assert "1 lane," in narrow
    assert "phase" not in run(folder, "engine", "show", "net.cnn", "--predict").stdout.splitlines()[1]


@pytest.mark.smoke
def test_version_and_help(golden: Callable[[str, str], None], folder: Path) -> None:
    """--version says the version; every --help fits 80 columns and is as it was read and found good."""
    assert run(folder, "--version").stdout == f"layerline {layerline.__version__}\n"
    said = []
    names = ("", "train", "evaluate", "runs", "compare", "new", "describe", "data", "data show", "fmt", "engine")
    for line in (
        *(f"{name} --help" for name in names),
        "weights --help",
        "weights add --help",
        "engine show -h",
        "engine check -h",
        "engine bench -h",
        "engine profile -h",
        "train --help-all",
    ):
        arguments = line.split()
        ended = run(folder, *arguments)
        assert ended.returncode == 0
        assert max(map(len, ended.stdout.splitlines())) <= 80
        said.append(ended.stdout)
    golden("help.txt", "\n".join(said))


@pytest.mark.parametrize("switches", [("--exact", "--no-exact"), ("--no-exact", "--exact")])
def test_a_switch_on_and_off(folder: Path, switches: tuple[str, str]) -> None:
    """Both forms of a switch contradict each other; the same one twice is only too many."""
    ended = run(folder, "engine", "bench", "net.cnn", *switches)
    assert f"{switches[0]} and {switches[1]} contradict each other\n  help: remove one of them" in ended.stderr
    assert f"{switches[1]} is " in run(folder, "engine", "bench", "net.cnn", switches[1], switches[1]).stderr


def test_remarks_keep_options_whole() -> None:
    """A line never ends within an option: it could not be pasted."""
    (line, *rest) = remark_lines([f"{'x' * 62} try --learning-rate 0.2"])
    assert line.endswith("x try")
    assert "--learning-rate 0.2" in " ".join(rest)


def test_the_folder_of_a_network(folder: Path) -> None:
    """A folder that is given instead of the network in it: the path of that."""
    (folder / "runs").mkdir()
    (folder / "net.cnn").rename(folder / "runs" / "network.cnn")
    ended = run(folder, "engine", "check", "runs", "--data", "bands.npz")
    assert "runs is a folder, not a network file\n  help: it contains runs/network.cnn" in ended.stderr


def test_an_experiment_is_no_network(folder: Path) -> None:
    """An experiment file where a network file is needed is called what it is, also as its own network."""
    (folder / "e.toml").write_text('[network]\nfile = "e.toml"\n\n[data]\ndata = "bands.npz"\n')
    said = (
        "e.toml is an experiment file, not a network file\n  help: layerline train e.toml trains it; its [network] says"
    )
    assert said in run(folder, "engine", "check", "e.toml", "--data", "bands.npz").stderr
    assert said in run(folder, "train", "e.toml").stderr


def test_help_imports_little() -> None:
    """`layerline --help` imports click and 40 modules of ours at most (25 when this was written), and no other library:
    what it takes of a core, 0.1 s, no test can measure on a machine that does something else."""
    command = [sys.executable, "-X", "importtime", *COMMAND[1:], "--help"]
    ended = subprocess.run(command, env=PLAIN, capture_output=True, text=True, check=True)  # noqa: S603
    imported = {
        line.rpartition("|")[2].strip() for line in ended.stderr.splitlines() if line.startswith("import time:")
    }
    ours = {name for name in imported if name.partition(".")[0] == "layerline"}
    assert {"layerline.cli.commands", "layerline.cli.option"} <= ours
    assert len(ours) <= 40
    heavy = {"asyncio", "concurrent", "http", "json", "multiprocessing", "tomllib", "unittest", "xml"}
    libraries = {name.partition(".")[0] for name in imported}
    assert "click" in libraries
    assert not libraries & {"numpy", "numba", "llvmlite", "scipy", "sklearn", "torch", "PIL", "matplotlib", *heavy}
