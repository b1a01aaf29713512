"""A folder that goes away, a disk that fills up, a library that cannot draw, a Ctrl-C: the run is never lost."""

from __future__ import annotations

import errno
import importlib
import os
import pickle
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import small_data
from command import run as command
from command import train, with_data
from scripted_engine import ScriptedEngine

import layerline
from layerline.cli.entry_point import main
from layerline.errors import DivergedError, UnwrittenError
from layerline.files import whole as whole_file
from layerline.recipe import Recipe
from layerline.runs.folder import RunFolder
from layerline.training import Run, Watcher
from layerline.training.interrupt import Interrupt
from layerline.training.prepared import Prepared
from layerline.training.session import run

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = small_data.dataset(70, 20, 25)
NETWORK = layerline.parse("Flat\nFC classes\n", DATA)
RECIPE = Recipe(epochs=3, batch_size=16, learning_rate=0.1)

STAGES = {
    "the first files are there": ("layerline.training.loop", "Loop.run"),
    "a checkpoint": ("layerline.runs.checkpoint", "Checkpoints.save"),
    "an epoch": ("layerline.training.session", "_Callbacks.epoch"),
    "the rows of the history": ("layerline.runs.folder", "RunFolder.append"),
    "model": ("layerline.training.model", "Model.save"),
    "predictions": ("layerline.runs.predictions", "write"),
    "result": ("layerline.runs.result", "Result.write"),
    "graphs": ("layerline.report", "draw"),
    "report": ("layerline.report.page", "write"),
}
"""When the folder breaks → before which function."""


def gone(folder: Path, _: pytest.MonkeyPatch) -> None:
    folder.rename(folder.with_name("away"))


def a_file(folder: Path, _: pytest.MonkeyPatch) -> None:
    folder.rename(folder.with_name("away"))
    folder.write_text("mine")


def another(folder: Path, _: pytest.MonkeyPatch) -> None:
    folder.rename(folder.with_name("away"))
    folder.mkdir()


def refusing(code: int) -> Callable[[Path, pytest.MonkeyPatch], None]:
    """Return what lets the system refuse every file from then on."""

    def refuse(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def write(*_: object, **__: object) -> None:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(whole_file, "_write_new", write)

    return refuse


ELSEWHERE = "train again with another folder; in Python `error.run` has the run: error.run.model.save(…)"
REST = "`layerline train --resume {out}` (in Python layerline.resume) writes the missing files"
DAMAGES: dict[str, tuple[Any, str, str]] = {
    "gone": (gone, "{out}: no longer exists, so the run could not be saved", ELSEWHERE),
    "a file": (a_file, "{out}: is now a file, so the run could not be saved", ELSEWHERE),
    "another": (
        another,
        "{out}: is no longer the folder of the run, so the run could not be saved",
        ELSEWHERE,
    ),
    "full": (
        refusing(errno.ENOSPC),
        "cannot be written: No space left on device",
        f"free some space on that disk; then {REST}",
    ),
    "limited": (
        refusing(errno.EFBIG),
        "cannot be written: File too large",
        f"raise the file size limit (ulimit -f); then {REST}",
    ),
    "read-only": (
        refusing(errno.EROFS),
        "cannot be written: Read-only file system",
        f"make that folder writable; then {REST}",
    ),
    "broken": (
        refusing(errno.EIO),
        "cannot be written: Input/output error",
        f"check that disk; then {REST}",
    ),
}
"""What becomes of the folder → how; the message has this; and the help is this."""


def breaking(stage: str, damage: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the folder break at a stage, once."""
    module, name = STAGES[stage]
    owner = importlib.import_module(module)
    *classes, last = name.split(".")
    for each in classes:
        owner = getattr(owner, each)
    before, done = getattr(owner, last), []

    def broken(*arguments: Any, **named: Any) -> Any:
        if not done:
            done.append(True)
            damage()
        return before(*arguments, **named)

    monkeypatch.setattr(owner, last, broken)


@pytest.fixture(scope="module")
def whole() -> Run:
    """Return the run that nothing happens to."""
    return layerline.train(NETWORK, DATA, RECIPE)


def check(found: Run, whole: Run) -> None:
    """Fail where a run is not the whole one: history, model, result."""
    assert [row.validation_loss for row in found.history] == [row.validation_loss for row in whole.history]
    assert (found.result.test_loss, found.result.remarks) == (whole.result.test_loss, whole.result.remarks)
    for name, array in whole.model.weights.items():
        np.testing.assert_array_equal(found.model.weights[name], array)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("stage", STAGES)
def test_the_run_is_in_the_error(
    stage: str, damage: str, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever becomes of the folder, and whenever: the training comes to its end, and the error has the whole run,
    the true reason, and what to do about that reason. What is there of the files is what the run says there is."""
    out = tmp_path / "run"
    how, message, remedy = DAMAGES[damage]
    breaking(stage, lambda: how(out, monkeypatch), monkeypatch)
    with pytest.raises(UnwrittenError) as caught:
        layerline.train(NETWORK, DATA, RECIPE, out=out)
    assert isinstance(caught.value.run, Run)
    check(caught.value.run, whole)
    assert message.format(out=out) in caught.value.message
    assert caught.value.help == remedy.format(out=out)
    assert caught.value.run.stopped is None
    assert all((out / name).exists() for name in caught.value.run.files)
    if damage not in ("gone", "a file", "another"):
        monkeypatch.undo()
        check(layerline.resume(out, DATA), whole)
        assert (out / "report.html").exists()


def test_a_history_that_is_removed_is_said(whole: Run, tmp_path: Path) -> None:
    """Where history.jsonl alone is removed, nothing is asked for that would not help, and going on writes it anew."""
    out = tmp_path / "run"
    with pytest.raises(UnwrittenError) as caught:
        layerline.train(
            *(NETWORK, DATA, RECIPE), out=out, on_epoch=lambda _: (out / "history.jsonl").unlink(missing_ok=True)
        )
    assert str(caught.value) == (
        f"{out}/history.jsonl: cannot be written: No such file or directory\n  help: {REST.format(out=out)}"
    )
    check(layerline.resume(out, DATA), whole)
    assert (out / "history.jsonl").read_text().count("\n") == 3


def test_an_unwritten_error_travels(tmp_path: Path) -> None:
    """Between processes (a pool) the error keeps its message and its help."""
    error = pickle.loads(pickle.dumps(UnwrittenError("where: why", "what to do", tmp_path)))  # noqa: S301
    assert (str(error), error.run) == ("where: why\n  help: what to do", tmp_path)


def scripted(out: Path, engine: ScriptedEngine) -> Run:
    return run(Prepared(NETWORK, DATA, RECIPE, engine), RunFolder.named(out), Watcher())


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_stopped_run_is_in_the_error(damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C where the folder is broken: the run up to there, stopped, with the reason."""
    how, message, _ = DAMAGES[damage]
    engine = ScriptedEngine([0.3, 0.4], RECIPE.batch_size)

    def during(epoch: int, step: int) -> None:
        if (epoch, step) == (2, 1):
            how(tmp_path / "run", monkeypatch)
            os.kill(os.getpid(), signal.SIGINT)
            while not engine._stopping:
                pass

    engine.during = during
    with pytest.raises(UnwrittenError) as caught:
        scripted(tmp_path / "run", engine)
    ended: Any = caught.value.run
    assert (ended.stopped, ended.steps, ended.model_epoch, len(ended.history)) == (signal.SIGINT, 2, 1, 1)
    assert (ended.model.weights["1.weight"] == 1).all()
    assert message.format(out=tmp_path / "run") in caught.value.message


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_diverged_run_is_in_its_error(damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that diverges where the folder is broken: that it diverged is the error, the reason is in its notes."""
    how, message, remedy = DAMAGES[damage]
    engine = ScriptedEngine([0.3, 0.4], RECIPE.batch_size)
    engine.diverges_at = (2, 1)
    engine.during = lambda epoch, step: how(tmp_path / "run", monkeypatch) if (epoch, step) == (2, 0) else None
    with pytest.raises(DivergedError) as caught:
        scripted(tmp_path / "run", engine)
    ended: Any = caught.value.run
    assert (ended.model_epoch, len(ended.history)) == (1, 1)
    assert (ended.model.weights["1.weight"] == 1).all()
    assert message.format(out=tmp_path / "run") in ended.notes[0]
    assert ended.notes[1] == remedy.format(out=tmp_path / "run")


def test_the_current_folder_may_change(whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative `out` stays where it was when the training began, for `train`, `train_seeds` and `resume`; what
    is written has no path of this machine."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "else").mkdir()

    def away(*_: object) -> None:
        os.chdir(tmp_path / "else")

    ended = layerline.train(NETWORK, DATA, RECIPE, out="rel/run", on_epoch=away)
    assert ended.folder == tmp_path / "rel" / "run"
    check(layerline.load(ended.folder) and ended, whole)
    assert {"report.html", "loss.png", "result.json", "model.safetensors"} <= set(ended.files)
    monkeypatch.chdir(tmp_path)
    found = layerline.train_seeds(NETWORK, DATA, RECIPE, seeds=2, out="rel/seeds", on_run=away)
    assert found.folder == tmp_path / "rel" / "seeds"
    assert all((tmp_path / "rel" / "seeds" / f"seed-{seed}" / "report.html").exists() for seed in (0, 1))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rel" / "run" / "result.json").unlink()

    class Leaving(Watcher):
        def progress(self, progress: object) -> None:
            away(progress)

    check(layerline.resume("rel/run", DATA, watcher=Leaving()), whole)
    assert (tmp_path / "rel" / "run" / "result.json").exists()
    assert list((tmp_path / "else").iterdir()) == []
    for path in (tmp_path / "rel").rglob("*"):
        assert not path.is_file() or os.fsencode(tmp_path) not in path.read_bytes(), path


def test_messages_name_the_folder_as_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who wrote a relative path reads that one: in the error, in the notes while it trains, in what to do."""
    monkeypatch.chdir(tmp_path)
    breaking("a checkpoint", lambda: refusing(errno.ENOSPC)(tmp_path, monkeypatch), monkeypatch)
    notes = []

    class Listening(Watcher):
        def note(self, text: str) -> None:
            notes.append(text)

    engine = ScriptedEngine([0.3, 0.4, 0.5, 0.6, 0.7], RECIPE.batch_size)
    with pytest.raises(UnwrittenError) as caught:
        run(Prepared(NETWORK, DATA, RECIPE, engine), RunFolder.named(Path("deep/run")), Listening())
    assert caught.value.message.startswith("deep/run/model.safetensors: cannot be written")
    assert str(caught.value.help).endswith(REST.format(out="deep/run"))
    assert notes[0].startswith("deep/run/checkpoints/epoch-")
    assert str(tmp_path) not in "".join((str(caught.value), *notes))


def test_the_seeds_before_are_in_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full in the second of three seeds: the error has the runs of both, and the third is not begun."""
    told: list[Run] = []

    def on_run(ended: Run) -> None:
        told.append(ended)
        if len(told) == 1:
            breaking("model", lambda: refusing(errno.ENOSPC)(tmp_path, monkeypatch), monkeypatch)

    with pytest.raises(UnwrittenError) as caught:
        layerline.train_seeds(NETWORK, DATA, RECIPE, seeds=3, out=tmp_path / "seeds", on_run=on_run)
    found: Any = caught.value.run
    assert list(found.runs) == [0, 1]
    assert list(found.runs.values()) == told
    assert found.runs[1].result.test_loss is not None
    assert str(caught.value).endswith(REST.format(out=tmp_path / "seeds" / "seed-1"))


def test_the_seeds_go_no_further_without_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where seeds.json or the next seed's folder cannot be made, the error has the runs before."""
    with pytest.raises(UnwrittenError) as caught:
        layerline.train_seeds(
            *(NETWORK, DATA, RECIPE),
            seeds=3,
            out=tmp_path / "seeds",
            on_run=lambda _: refusing(errno.ENOSPC)(tmp_path, monkeypatch),
        )
    assert list(caught.value.run.runs) == [0]  # type: ignore[attr-defined]


DRAWING = {
    "matplotlib cannot be imported": ("matplotlib", "graphs"),
    "jinja2 cannot be imported": ("jinja2", "report.html"),
}


@pytest.mark.parametrize("case", DRAWING)
@pytest.mark.parametrize("error", [ImportError, ValueError, RuntimeError, MemoryError])
def test_what_cannot_be_drawn_is_a_note(
    case: str, error: type[Exception], whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library that is broken costs the picture that needs it and nothing else; going on, later, draws that."""
    library, missing = DRAWING[case]

    class Broken:
        def find_spec(self, name: str, *_: object) -> None:
            if name.partition(".")[0] == library:
                raise error("it is broken")

    out = tmp_path / "run"
    with monkeypatch.context() as patched:
        for name in [name for name in sys.modules if name.partition(".")[0] == library]:
            patched.delitem(sys.modules, name)
        patched.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
        from layerline.report import page

        page.template.cache_clear()
        ended = layerline.train(NETWORK, DATA, RECIPE, out=out)
    check(ended, whole)
    rest = f"`layerline train --resume {out}` (in Python layerline.resume) adds them"
    assert ended.notes == (f"no {missing}: {error.__name__}: it is broken; once that is fixed, {rest}",)
    assert {"model.safetensors", "result.json", "predictions.npz", "history.jsonl"} <= set(ended.files)
    assert ("loss.png" in ended.files, "report.html" in ended.files) == (library == "jinja2", library == "matplotlib")
    again = layerline.resume(out, DATA)
    check(again, whole)
    assert again.notes == ()
    assert {"loss.png", "report.html"} <= set(again.files)


@pytest.mark.parametrize("stage", ["graphs", "report"])
def test_a_ctrl_c_while_drawing_gives_the_run(
    stage: str, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one lets the drawing end, a second one ends it: the whole run comes back, and says that it was
    stopped; the handler is given back."""
    before = signal.getsignal(signal.SIGINT)
    for times, drawn in ((1, True), (2, False)):
        out = tmp_path / str(times)
        with monkeypatch.context() as patched:
            taken: list[int] = []

            def counted(self: Interrupt, *given: Any, taken: list[int] = taken, take: Any = Interrupt._take) -> None:
                taken.append(1)
                take(self, *given)

            def interrupted(times: int = times, taken: list[int] = taken) -> None:
                for k in range(times):
                    signal.raise_signal(signal.SIGINT)
                    while len(taken) <= k:  # two that come at once are one
                        pass

            patched.setattr(Interrupt, "_take", counted)
            breaking(stage, interrupted, patched)
            ended = layerline.train(NETWORK, DATA, RECIPE, out=out)
        check(ended, whole)
        assert ended.stopped == signal.SIGINT
        assert ("report.html" in ended.files) == drawn
        assert [note.partition(":")[0] for note in ended.notes] == ([] if drawn else [f"no {_missing(stage)}"])
        assert signal.getsignal(signal.SIGINT) is before


def _missing(stage: str) -> str:
    return "report.html" if stage == "report" else stage


def test_a_backend_that_is_none_on_the_command_line(tmp_path: Path) -> None:
    """MPLBACKEND of nonsense: exit 0, the test and the report are there, the reason is printed; --resume draws."""
    folder = with_data(tmp_path)
    ended = train(folder, "--lr", "0.01", "--out", "run", environment={"MPLBACKEND": "nonsense"})
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "test set: 30 images" in ended.stdout
    said = " ".join(ended.stdout.split())
    assert "no graphs: ValueError: Key backend: 'nonsense' is not a valid value for backend" in said
    assert "`layerline train --resume run` (in Python layerline.resume) adds them next open run/report.html" in said
    assert (folder / "run" / "report.html").exists()
    assert not (folder / "run" / "loss.png").exists()
    assert command(folder, "train", "--resume", "run", "--quiet").returncode == 0
    assert (folder / "run" / "loss.png").exists()


def test_a_folder_that_goes_away_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The test is shown, then exit 2 with the reason and the folder as it was typed; no file is listed."""
    folder = with_data(tmp_path)
    monkeypatch.chdir(folder)
    breaking("model", lambda: gone(folder / "run", monkeypatch), monkeypatch)
    assert main(["train", "net.cnn", "--data", "bands.npz", "--epochs", "2", "--lr", "0.01", "--out", "run"]) == 2
    said, errors = capsys.readouterr()
    assert "test set: 30 images" in said
    assert "model.safetensors" not in said
    assert errors == f"run: no longer exists, so the run could not be saved\n  help: {ELSEWHERE}\n"
