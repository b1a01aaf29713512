"""Faults at each system call of a save: is the old or the new checkpoint intact, and is it found?

    [TMPDIR=DIR] python benchmarks/save_faults.py

A process saves a checkpoint when there are older ones, or the first one. Its system calls are counted first (strace);
then, for each of them, a new process is killed at that call (SIGKILL), or the call fails (ENOSPC, EIO). strace's log
confirms that the fault hit the intended call. Linux with strace only.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from conditions import file_system, write

from layerline.engines.interface import Running, State
from layerline.errors import UserError
from layerline.runs.checkpoint import Checkpoints, Identity, Snapshot, checkpoints
from layerline.runs.history import EpochRow

IDENTITY: Final = Identity("Flat\nFC 2\n", {"classes": ["a", "b"]}, {}, {}, {})
FAULTS: Final = {"SIGKILL": "signal=KILL", "ENOSPC": "error=ENOSPC", "EIO": "error=EIO"}
OLD, NEW, NEXT = 4, 5, 6
"""Epochs: of the newest earlier checkpoint, of the one being saved, and of one saved afterward."""
_CALL: Final = re.compile(r"\d+ +([a-z_0-9]+)\(")


@dataclass(frozen=True)
class Call:
    """A system call: its name, and its number among the calls of that name in the log."""

    name: str
    number: int


@dataclass(frozen=True)
class Ended:
    """The outcome of a saving process."""

    code: int
    """The exit code; if negative, the signal."""
    said: dict[str, str]
    """Its report: `outcome` is saved, refused or traceback; `text` is the reason."""
    calls: list[Call]
    """The calls of the save; of a killed process, those up to the kill."""
    struck: list[Call]
    """The calls that the fault hit."""


def main() -> None:
    """Count the calls, make each fail in each way, and write the results; any violation aborts the benchmark."""
    begin, figures = time.perf_counter(), {}
    with tempfile.TemporaryDirectory(prefix="layerline-faults-") as name:
        scratch = Path(name)
        model = scratch / "model"
        for epochs in (2, 3, OLD):
            Checkpoints(model).save(snapshot(epochs), IDENTITY)
        figures["beside_three_older"] = each_call(scratch, model)
        figures["the_first_of_all"] = each_call(scratch, None)
    result = {
        "what": "faults at each system call of a save: an intact checkpoint is always found",
        "file_system": file_system(),
        **figures,
        "faults": sum(figure["faults"] for figure in figures.values()),
        "corrupt_checkpoints": 0,
        "older_checkpoint_lost": 0,
        "tracebacks": 0,
        "seconds": time.perf_counter() - begin,
    }
    print(json.dumps(result, indent=2))
    write(f"save-faults-{file_system()}", result)


def each_call(scratch: Path, model: Path | None) -> dict[str, Any]:
    """Return the outcomes of each fault at each call of a save."""
    plain, outcomes = saved(scratch, model, None, None), Counter[str]()
    if plain.said.get("outcome") != "saved" or not plain.calls:
        raise SystemExit(f"the save without a fault: {plain}")
    for call in plain.calls:
        for fault in FAULTS:
            outcomes.update([f"{fault}: {judged(scratch, model, call, fault)}"])
    print(f"{len(plain.calls)} system calls: {' '.join(call.name for call in plain.calls)}")
    return {
        "calls": dict(Counter(call.name for call in plain.calls)),
        "number_of_calls": len(plain.calls),
        "faults": sum(outcomes.values()),
        "outcomes": dict(sorted(outcomes.items())),
    }


def judged(scratch: Path, model: Path | None, call: Call, fault: str) -> str:
    """Make one call fail in one way, and return the outcome. Raises SystemExit if anything is damaged."""
    place = f"{fault} at {call.name} number {call.number}"
    ended = saved(scratch, model, call, fault)
    outcome = ended.said.get("outcome", "killed")
    expected = {"killed": -signal.SIGKILL, "saved": 0, "refused": 0}.get(outcome)
    if ended.code != expected or (outcome == "killed") != (fault == "SIGKILL"):
        raise SystemExit(f"{place}: exited with {ended.code}: {ended.said}")
    if ended.struck != [call]:
        raise SystemExit(f"{place}: the fault hit {ended.struck}")
    if outcome == "refused" and not re.search(r"cannot be (written|read): ", ended.said["text"]):
        raise SystemExit(f"{place}: unexpected message: {ended.said['text']}")
    return outcome + left(place, Checkpoints(scratch / "checkpoints"), {None if model is None else OLD, NEW}, outcome)


def left(place: str, kept: Checkpoints, allowed: set[int | None], outcome: str) -> str:
    """Return the state after a save. Raises SystemExit if it is damaged, or if the next save fails."""
    temporary = bool(list(kept.folder.glob(".*.part")))
    for position, path in kept._listed():
        checkpoints._read(path, position)  # raises if corrupt
    found = kept.latest()
    newest = None if found is None else found.snapshot.position[0]
    if newest not in allowed or (outcome == "saved" and newest != NEW):
        raise SystemExit(f"{place}: {outcome}, but the newest is {newest}")
    if list(kept.folder.glob(".*.part")):
        raise SystemExit(f"{place}: a temporary file is left after reading")
    kept.save(snapshot(NEXT), IDENTITY)
    after = kept.latest()
    if after is None or after.snapshot.position != (NEXT, 0):
        raise SystemExit(f"{place}: the next save is not found")
    which = {OLD: "the old one", NEW: "the new one", None: "none"}[newest]
    return f", {which} found" + (", a temporary file removed" if temporary else "")


def saved(scratch: Path, model: Path | None, call: Call | None, fault: str | None) -> Ended:
    """Save a checkpoint in a separate process, with a fault at one call, next to copies of those of `model`."""
    for name in ("checkpoints", "said", "calls"):
        path = scratch / name
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    if model is not None:
        shutil.copytree(model, scratch / "checkpoints")
    process = os.fork()
    if process == 0:
        save(scratch)
    os.waitid(os.P_PID, process, os.WSTOPPED)
    inject = [] if call is None else ["-e", f"inject={call.name}:{FAULTS[str(fault)]}:when={call.number}"]
    traced = ["strace", "-f", "-o", str(scratch / "calls"), *inject, "-p", str(process)]
    with subprocess.Popen(traced, stderr=subprocess.PIPE, text=True) as strace:
        if strace.stderr is None or "attached" not in strace.stderr.readline():
            os.kill(process, signal.SIGKILL)
            raise SystemExit("strace cannot trace processes here")
        os.kill(process, signal.SIGCONT)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        strace.wait()
    said = scratch / "said"
    calls, struck = record((scratch / "calls").read_text().splitlines(), killed=code < 0)
    return Ended(code, json.loads(said.read_text()) if said.exists() else {}, calls, struck)


def save(scratch: Path) -> None:
    """Wait for the tracer, save, and report the outcome. Exits the process."""
    code = 1
    try:
        taken, kept = snapshot(NEW), Checkpoints(scratch / "checkpoints")
        os.kill(os.getpid(), signal.SIGSTOP)
        said = {"outcome": "saved", "text": ""}
        os.getpgid(0)  # marks the beginning of the save in the log
        try:
            kept.save(taken, IDENTITY)
        except UserError as error:
            said = {"outcome": "refused", "text": str(error)}
        except BaseException:
            said = {"outcome": "traceback", "text": traceback.format_exc()}
        os.getsid(0)  # marks its end
        (scratch / "said").write_text(json.dumps(said))
        code = 0
    finally:
        os._exit(code)


def record(lines: list[str], *, killed: bool) -> tuple[list[Call], list[Call]]:
    """Return the calls of the save, and those that the fault hit."""
    seen, within, calls, struck = Counter[str](), False, [], []
    for line in lines:
        if (match := _CALL.match(line)) is None:
            continue
        seen[match[1]] += 1
        call = Call(match[1], seen[match[1]])
        if call.name == "getsid":
            within = False
        if within:
            calls.append(call)
        if "(INJECTED)" in line and within:
            struck.append(call)
        if call.name == "getpgid":
            within = True
    return calls, calls[-1:] if killed else struck


def snapshot(epochs: int) -> Snapshot:
    """Return a training after a number of epochs, of which the second was the best."""
    rng = np.random.default_rng(epochs)

    def weights() -> dict[str, Any]:
        return {f"{k}.weight": rng.normal(size=(100, 100)).astype("f4") for k in range(2)}

    state = State(weights(), {f"momentum.{name}": value for name, value in weights().items()})
    history = tuple(
        EpochRow(epoch, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.01, 1.0, 1.0, 9.0, epoch <= 2) for epoch in range(1, epochs + 1)
    )
    return Snapshot(history, 0, state, weights(), state.averaged, Running(0.0, np.zeros((3, 2), np.int64)))


if __name__ == "__main__":
    main()
