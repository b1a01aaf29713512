"""Checkpoints: what is written comes back, what is not whole never counts, and training never hears of a full disk."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from interrupted import digest
from places import ROOT

from layerline.engines.interface import Running, State
from layerline.errors import UserError
from layerline.files import tensors, whole
from layerline.runs.checkpoint import Checkpoints, CheckpointWriter, Identity, Snapshot
from layerline.runs.folder import RunFolder
from layerline.runs.history import EpochRow
from layerline.runs.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable

IDENTITY = Identity("Flat\nFC 2\n", {"classes": ["a", "b"]}, {}, {"epochs": 9}, {"engine": "compiled"})


@pytest.mark.parametrize(
    ("kept", "difference"),
    [
        ("flip,shift=4", []),
        ("shift=4,flip=random", []),
        ("flip,shift=3", ["--augment flip,shift=4, was flip,shift=3"]),
        ("sparkle", ["--augment flip,shift=4, was sparkle"]),
        ("none", ["--augment flip,shift=4, was none"]),
    ],
)
def test_the_same_augmentation_in_other_words_is_the_same(kept: str, difference: list[str]) -> None:
    """Checkpoints that have the words as they were typed are gone on from; what is done otherwise is told."""
    before = dataclasses.replace(IDENTITY, recipe={"augment": kept})
    assert dataclasses.replace(IDENTITY, recipe={"augment": "flip,shift=4"}).differences(before) == difference
    assert IDENTITY.differences(IDENTITY) == []


def row(epoch: int, best: bool) -> EpochRow:
    return EpochRow(epoch, 0.1 + 0.2, 0.5, 0.5, None, None, float("nan"), 1e-3, 1.5, 1.75, 800.0, best)


def snapshot(epochs: int, step: int = 0, best: int | None = None, seed: int = 0) -> Snapshot:
    """Return a training after so many epochs and steps, whose best epoch was `best` (the last, where None)."""
    rng = np.random.default_rng([epochs, step, seed])

    def weights() -> dict[str, Any]:
        return {"0.weight": rng.normal(size=(3, 2)).astype("f4"), "0.bias": rng.normal(size=3).astype("f4")}

    state = State(weights(), {f"momentum.{name}": value for name, value in weights().items()})
    best_epoch = epochs if best is None else best
    ends = step == 0
    kept = None if not epochs else state.averaged if best_epoch == epochs and ends else weights()
    last = None if not epochs else state.averaged if ends else weights()
    running = Running(1 / 3 if step else 0.0, np.full((3, 2), step, np.int64))
    history = tuple(row(epoch, epoch <= best_epoch) for epoch in range(1, epochs + 1))
    return Snapshot(history, step, state, kept, last, running, 0.1 * step)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def kept(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder.named(tmp_path / "run")
    folder.start("Flat\n", Record())
    return folder


@pytest.mark.parametrize(
    ("taken", "parts"),
    [
        (snapshot(0), {"weights", "optimizer"}),
        (snapshot(0, step=5), {"weights", "optimizer", "running"}),
        (snapshot(3), {"weights", "optimizer"}),
        (snapshot(3, best=2), {"weights", "optimizer", "best"}),
        (snapshot(3, step=7), {"weights", "optimizer", "best", "last", "running"}),
    ],
)
def test_what_is_saved_comes_back(taken: Snapshot, parts: set[str], kept: Checkpoints) -> None:
    """Every bit and digit of a snapshot comes back; best and last are left out where the state is the same."""
    path = kept.save(taken, IDENTITY)
    assert {name.split("/")[0] for name in tensors.read(path).arrays} == parts
    found = kept.latest()
    assert found is not None
    assert (found.path, found.identity, found.damaged) == (path, IDENTITY, ())
    back = found.snapshot
    assert (back.position, back.best_epoch, back.train_seconds) == (
        taken.position,
        taken.best_epoch,
        taken.train_seconds,
    )
    assert repr(back.history) == repr(taken.history)  # as text: a NaN is not equal to itself
    assert digest(back.state.weights) == digest(taken.state.weights)
    assert digest(back.state.optimizer) == digest(taken.state.optimizer)
    for ours, theirs in ((back.best, taken.best), (back.last, taken.last)):
        assert (ours is None) == (theirs is None)
        assert ours is None or theirs is None or digest(ours) == digest(theirs)
    if taken.step:
        assert back.running.loss == taken.running.loss
        np.testing.assert_array_equal(back.running.tallies, taken.running.tallies)


def test_averaged_weights_are_what_is_best(kept: Checkpoints) -> None:
    """Where weights are averaged, the best left out are the averages, not the weights."""
    taken = snapshot(2)
    averages = {f"ema.{name}": value + 1 for name, value in taken.state.weights.items()}
    state = State(taken.state.weights, averages)
    kept.save(dataclasses.replace(taken, state=state, best=state.averaged, last=state.averaged), IDENTITY)
    found = kept.latest()
    assert found is not None
    assert found.snapshot.best is not None
    assert digest(found.snapshot.best) == digest(state.averaged) != digest(state.weights)


def test_the_newest_two_and_the_best_stay(kept: Checkpoints) -> None:
    """Of many checkpoints the newest two stay, and that of the best epoch; files of others are not touched."""
    kept.folder.mkdir()
    (kept.folder / "notes.txt").write_text("mine")
    for epochs, step, best in [(1, 0, 1), (2, 0, 2), (2, 9, 2), (3, 0, 2), (4, 0, 2)]:
        kept.save(snapshot(epochs, step, best=best), IDENTITY)
    assert names(kept.folder) == [
        "epoch-2.safetensors", "epoch-3.safetensors", "epoch-4.safetensors", "notes.txt",
    ]  # fmt: skip
    kept.save(snapshot(4, 100, best=2), IDENTITY)
    kept.save(snapshot(5), IDENTITY)
    assert names(kept.folder) == ["epoch-5-step-100.safetensors", "epoch-5.safetensors", "notes.txt"]


def test_steps_are_ordered_by_number(kept: Checkpoints) -> None:
    """Step 10 is after step 9, the end of an epoch after its last step, and before the first of the next."""
    for epochs, step in [(9, 0), (9, 9), (9, 10), (10, 0), (10, 1)]:
        kept.save(snapshot(epochs, step, best=9), IDENTITY)
        found = kept.latest()
        assert found is not None
        assert found.snapshot.position == (epochs, step)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def one_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def a_lie(path: Path) -> None:
    """A whole checkpoint, of another epoch than its name says."""
    shutil.copy(path.with_name("epoch-2.safetensors"), path)


def a_link_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_model(path: Path) -> None:
    rewritten(path, {"format": "layerline model"})


def without_history(path: Path) -> None:
    rewritten(path, {"history": "7"})


def rewritten(path: Path, changes: dict[str, str]) -> None:
    held = tensors.read(path)
    tensors.write(path, held.arrays, {**held.metadata, **changes})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (cut_short, "does not match its SHA-256"),
        (one_bit, "does not match its SHA-256"),
        (empty, "is empty"),
        (a_lie, "its content is that of epoch-2.safetensors"),
        (a_link_to_nothing, "cannot be read: No such file or directory"),
        (a_folder, "cannot be read: Is a directory"),
        (a_model, "not a layerline checkpoint"),
        (without_history, "not a valid checkpoint"),
    ],
)
def test_what_is_not_whole_never_counts(spoil: Callable[[Path], None], message: str, kept: Checkpoints) -> None:
    """The next newest is taken, what is wrong with the newest is said, and setting it aside leaves it as it is."""
    kept.save(snapshot(2), IDENTITY)
    newest = kept.save(snapshot(3), IDENTITY)
    spoil(newest)
    content = newest.read_bytes() if newest.is_file() else newest.lstat().st_mode
    found = kept.latest()
    assert found is not None
    assert found.snapshot.position == (2, 0)
    assert len(found.damaged) == 1
    assert str(newest) in found.damaged[0]
    assert message in found.damaged[0]
    assert os.path.lexists(newest)  # looking changes nothing
    kept.set_aside(found)
    assert names(kept.folder) == ["epoch-2.safetensors", "epoch-3.safetensors.damaged"]
    aside = newest.with_name("epoch-3.safetensors.damaged")
    assert (aside.read_bytes() if aside.is_file() else aside.lstat().st_mode) == content
    again = kept.latest()
    assert again is not None
    assert again.damaged == ()


def test_a_newer_format_is_not_gone_behind(kept: Checkpoints) -> None:
    """A whole checkpoint of another version of the format is refused with both, and stays where it is."""
    kept.save(snapshot(2), IDENTITY)
    newest = kept.save(snapshot(3), IDENTITY)
    rewritten(newest, {"format_version": "2", "layerline": "9.9"})
    with pytest.raises(UserError, match=r"epoch-3.*written by layerline 9\.9 in format version 2, this is"):
        kept.latest()
    assert names(kept.folder) == ["epoch-2.safetensors", "epoch-3.safetensors"]


def test_none_whole_is_an_error(kept: Checkpoints) -> None:
    """Where there are checkpoints and none is whole, training does not begin anew without a word."""
    for epochs in (1, 2):
        one_bit(kept.save(snapshot(epochs), IDENTITY))
    with pytest.raises(UserError, match=r"all checkpoints are damaged: .*epoch-2.*SHA-256"):
        kept.latest()
    assert names(kept.folder) == ["epoch-1.safetensors", "epoch-2.safetensors"]


def test_temporary_files_are_no_checkpoints(kept: Checkpoints) -> None:
    """What a killed process left is removed, and nothing else; where there is nothing else, there is none."""
    assert kept.latest() is None
    path = kept.save(snapshot(1), IDENTITY)
    path.rename(path.with_name(f".{path.name}.4711.part"))
    (kept.folder / ".mine.part").write_text("")
    assert kept.latest() is None
    assert names(kept.folder) == [".mine.part"]


def test_a_run_that_goes_on_has_no_temporary_files(run: RunFolder) -> None:
    """What a process left half-written in the run's folder when it was killed is removed; the user's files stay."""
    for name in (".model.safetensors.12.part", ".mine.part", "mine.part"):
        (run.path / name).write_text("half")
    run.go_on(snapshot(2).history)
    assert names(run.path) == [".mine.part", "experiment.toml", "history.jsonl", "mine.part", "network.cnn"]
    assert rows(run) == [1, 2]


def test_two_that_say_latest(kept: Checkpoints) -> None:
    """Two files of one position: one that is whole is taken, whichever it is."""
    path = kept.save(snapshot(2), IDENTITY)
    for spoilt in ("epoch-2.safetensors", "epoch-02.safetensors"):
        shutil.copy(path, path.with_name("epoch-02.safetensors"))
        kept.save(snapshot(2), IDENTITY)
        one_bit(kept.folder / spoilt)
        found = kept.latest()
        assert found is not None
        assert found.snapshot.position == (2, 0)


def test_a_failed_save_leaves_all_as_it_was(kept: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, a disk that gives back something else: an error with the reason, the old checkpoint whole."""
    kept.save(snapshot(1), IDENTITY)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(UserError, match=r"No space left on device \([0-9.]+ kB needed, [0-9.]+ .B free\)"):
            kept.save(snapshot(2), IDENTITY)
    written = whole._write_new
    for at in (3, tensors.DIGEST_AT + 1, -1):

        def spoilt(part: Path, *arguments: Any, at: int = at, **options: Any) -> None:
            written(part, *arguments, **options)
            content = bytearray(part.read_bytes())
            content[at] ^= 1
            part.write_bytes(content)

        with monkeypatch.context() as patched:
            patched.setattr(whole, "_write_new", spoilt)
            with pytest.raises(UserError, match="what is on the disk is not what was written"):
                kept.save(snapshot(2), IDENTITY)
    assert names(kept.folder) == ["epoch-1.safetensors"]
    kept.save(snapshot(2), IDENTITY)


def test_a_checkpoint_is_private(kept: Checkpoints) -> None:
    """Only the owner may read it, whatever the mask is."""
    path = kept.save(snapshot(1), IDENTITY)
    assert (path.stat().st_mode & 0o777, kept.folder.stat().st_mode & 0o777) == (0o600, 0o700)


class Gate:
    """Checkpoints that are written when the test lets them, and fail while it says so."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Semaphore(0), threading.Semaphore(0)
        self.saved: list[tuple[int, int]] = []
        self.error: BaseException | None = None

    def save(self, taken: Snapshot, identity: Identity, model: object) -> Path:
        assert (identity, model) == (IDENTITY, None)
        self.begun.release()
        assert self.go.acquire(timeout=10)
        if self.error is not None:
            raise self.error
        self.saved.append(taken.position)
        return Path("unused")


def started(gate: Gate, run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> CheckpointWriter:
    monkeypatch.setattr("layerline.runs.checkpoint.writer.REST", 0.0)
    return CheckpointWriter(gate, IDENTITY, run)  # type: ignore[arg-type]  # it has all that a writer asks for


def rows(run: RunFolder) -> list[int]:
    return [json.loads(line)["epoch"] for line in (run.path / "history.jsonl").read_text().splitlines()]


def begun(gate: Gate, writer: CheckpointWriter, taken: Snapshot) -> list[str]:
    """Offer a snapshot, wait until its checkpoint is begun, and return what was said of those before, and its rows."""
    writer.offer(taken)
    assert gate.begun.acquire(timeout=10)
    return writer.notes()


def wait_for(what: Callable[[], bool]) -> None:
    """Wait until something is so, ten seconds at most."""
    for _ in range(10_000):
        if what():
            return
        threading.Event().wait(0.001)
    pytest.fail("the writer does not come to it")


def test_one_checkpoint_stands_for_several(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one is written, the newest takes the place of those that wait; each epoch's row is there at once."""
    gate = Gate()
    with started(gate, run, monkeypatch) as writer:
        begun(gate, writer, snapshot(1))
        for epochs in (2, 3, 4):
            writer.offer(snapshot(epochs))
            assert rows(run) == list(range(1, epochs + 1))
        assert gate.saved == []
        gate.go.release(2)
    assert gate.saved == [(1, 0), (4, 0)]
    assert rows(run) == [1, 2, 3, 4]


def test_a_failure_is_said_once(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of checkpoints that fail one after the other the first is said, and the first that works again."""
    gate = Gate()
    expected = [
        (None, []),
        (UserError("disk: full", "buy one"), []),
        (UserError("disk: full", "buy one"), ["disk: full; training continues, earlier checkpoints are intact"]),
        (None, []),
        (None, ["epoch-4.safetensors was written: checkpoints work again"]),
    ]
    with started(gate, run, monkeypatch) as writer:
        for epochs, (error, said) in enumerate(expected, 1):
            assert begun(gate, writer, snapshot(epochs)) == said
            assert rows(run) == list(range(1, epochs + 1))
            gate.error = error
            gate.go.release()
    assert writer.notes() == []


def test_rows_that_cannot_be_written_are_said_too(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where history.jsonl cannot be written, that is said; what was missed is written as soon as that works."""
    gate = Gate()
    gate.go.release(3)
    with started(gate, run, monkeypatch) as writer:
        history = run.path / "history.jsonl"
        history.rename(run.path / "away")
        (said,) = begun(gate, writer, snapshot(2))
        assert said.startswith(f"{history}: cannot be written: No such file or directory")
        assert begun(gate, writer, snapshot(3)) == []
        (run.path / "away").rename(history)
        assert begun(gate, writer, snapshot(4)) == ["history.jsonl can be written again"]
    assert rows(run) == [1, 2, 3, 4]


def test_a_folder_that_is_gone_is_said_once(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where rows and checkpoints fail for one reason, one sentence says so, and does not call anything whole."""
    monkeypatch.setattr("layerline.runs.checkpoint.writer.REST", 0.0)
    shutil.rmtree(run.path)
    with CheckpointWriter(Checkpoints(run.path / "checkpoints"), IDENTITY, run) as writer:
        for epochs in (1, 2, 3):
            writer.offer(snapshot(epochs))
    (said,) = writer.notes()
    assert said == (f"{run.path}/history.jsonl: cannot be written: No such file or directory; training continues")


def test_an_error_of_ours_is_raised(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no fault of the disk ends the training: at the next snapshot, or at the end."""
    gate = Gate()
    gate.error = ValueError("ours")
    gate.go.release(2)
    writer = started(gate, run, monkeypatch)
    writer.offer(snapshot(1))
    with pytest.raises(ValueError, match="ours"):
        writer.close()
    with pytest.raises(ValueError, match="ours"):
        writer.offer(snapshot(2))
    assert rows(run) == [1]


def test_after_an_error_all_that_was_told_is_kept(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that fails, as by a callback that ends a search, is left with a checkpoint of all that it told, and
    nobody writes to its folder any more."""
    gate = Gate()
    with pytest.raises(ZeroDivisionError), started(gate, run, monkeypatch) as writer:  # noqa: PT012 - the order is the claim
        begun(gate, writer, snapshot(1))
        writer.offer(snapshot(2))
        threading.Timer(0.05, gate.go.release, [2]).start()
        raise ZeroDivisionError
    assert gate.saved == [(1, 0), (2, 0)]


def test_a_wish_to_stop_now_waits_for_what_is_begun_alone(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A KeyboardInterrupt lets what is begun end, and what waited is not begun."""
    gate = Gate()
    with pytest.raises(KeyboardInterrupt), started(gate, run, monkeypatch) as writer:  # noqa: PT012 - the order is the claim
        begun(gate, writer, snapshot(1))
        writer.offer(snapshot(2))
        threading.Timer(0.05, gate.go.release, (2,)).start()
        raise KeyboardInterrupt
    assert gate.saved == [(1, 0)]


def test_writing_rests(run: RunFolder, kept: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a checkpoint that took a second of a core, the next one begins 99 seconds later, and at the end at once."""
    spent = iter([0.0, 1.0, 1.0, 2.0])
    monkeypatch.setattr("time.thread_time", lambda: next(spent))
    now = [0.0]
    writer = CheckpointWriter(kept, IDENTITY, run, clock=lambda: now[0])
    writer.offer(snapshot(1))
    wait_for((kept.folder / "epoch-1.safetensors").exists)
    writer.offer(snapshot(2))
    now[0] = 98.0
    threading.Event().wait(0.05)
    assert names(kept.folder) == ["epoch-1.safetensors"]
    writer.close()
    assert names(kept.folder) == ["epoch-1.safetensors", "epoch-2.safetensors"]


def test_within_an_epoch_by_the_clock(run: RunFolder, kept: Checkpoints) -> None:
    """A snapshot within an epoch is due so many seconds after the last one that was offered."""
    now = [0.0]
    with CheckpointWriter(kept, IDENTITY, run, every=60.0, clock=lambda: now[0]) as writer:
        now[0] = 59.0
        assert not writer.due()
        now[0] = 60.0
        assert writer.due()
        writer.offer(snapshot(0, 3))
        assert not writer.due()


TRACED = """
import sys; sys.path[:0] = {paths!r}
from pathlib import Path
from test_checkpoint import IDENTITY, snapshot
from layerline.runs.checkpoint import Checkpoints
Checkpoints(Path("checkpoints")).save(snapshot(1), IDENTITY)
"""


def traces_calls() -> bool:
    try:
        return subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True).returncode == 0  # noqa: S607
    except OSError:
        return False


@pytest.mark.skipif(not traces_calls(), reason="strace is not here, or may not trace")
def test_the_order_of_calls(tmp_path: Path) -> None:
    """By the system's own record: a new private file, write, fsync, read again, rename, fsync of the folder."""
    code = TRACED.format(paths=[str(ROOT / "tests" / "runs"), str(ROOT / "tests")])
    calls = "mkdir,openat,write,fsync,read,rename,unlink"
    traced = ["strace", "-y", "-f", "-e", f"trace={calls}", "-o", "calls", sys.executable, "-c", code]
    subprocess.run(traced, cwd=tmp_path, check=True)  # noqa: S603 - our own command
    found = []
    for line in (tmp_path / "calls").read_text().splitlines():
        name, _, rest = line.split(maxsplit=1)[1].partition("(")
        places = {
            "temporary": ".part" in rest,
            "folder": "/checkpoints>" in rest or '"checkpoints"' in rest,
            "its parent": f"<{tmp_path}>)" in rest,
        }
        for place in [place for place, fits in places.items() if fits][:1]:
            how = re.search(r"O_WRONLY\|[A-Z_|]*, 0[0-7]+", rest)
            found.append(f"{name} {place}" + (f" {how[0]}" if how else ""))
    in_turn = [call for k, call in enumerate(found) if k == 0 or found[k - 1] != call]
    assert in_turn == [
        "mkdir folder",
        "fsync its parent",
        "unlink temporary",  # of a killed process that had the same number: there is none
        "openat temporary O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, 0600",
        "write temporary",
        "fsync temporary",
        "openat temporary",
        "read temporary",
        "rename temporary",
        "openat folder",
        "fsync folder",
        "openat folder",  # to see what is no longer needed
    ]
