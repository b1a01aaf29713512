"""Files of strangers, and what is no file: refused as a user's mistake, within bounds of time and memory."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import report_runs
import small_data
from data_files import npy_bytes, npy_with_header, zip_of

import layerline
from layerline.cli.entry_point import main
from layerline.cli.screen import Screen
from layerline.cli.terminal import Terminal
from layerline.comparison.listing import listing
from layerline.comparison.recipes import compare_recipes
from layerline.data.photos import label_table
from layerline.errors import UserError
from layerline.experiment import toml_file
from layerline.files import regular, tensors, toml
from layerline.report import page
from layerline.report.suspects import suspects
from layerline.runs import history, metrics, predictions, saved
from layerline.runs.ending import Ending
from layerline.runs.fold_runs import FoldRuns
from layerline.runs.folder import is_run
from layerline.runs.predictions import LARGEST, Predictions
from layerline.runs.record import Record
from layerline.runs.result import Result
from layerline.training import Interrupt, Progress, Stage
from layerline.training.resuming import reopen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def never_waiting() -> Iterator[None]:
    """End a test that waits for what never comes."""

    def end(*_: object) -> None:
        raise TimeoutError("it waits")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def an_endless_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_link_to_a_pipe(path: Path) -> None:
    os.mkfifo(path.with_name("fifo"))
    path.symlink_to("fifo")


def a_folder(path: Path) -> None:
    path.mkdir()


KINDS = [a_pipe, an_endless_device, a_link_to_a_pipe, a_folder]
READERS: dict[str, Callable[[Path], Any]] = {
    "network": layerline.read,
    "experiment": toml_file.read,
    "labels": label_table.read,
    "npz": layerline.load_data,
    "model": layerline.load,
    "result": Result.read,
    "history": history.read,
    "record": Record.read,
    "ending": Ending.read,
    "predictions": lambda path: predictions.read(path, 3),
    "seeds": lambda path: compare_recipes(path.parent, path.parent),
    "folds": FoldRuns.read,
}
NAMES = {"npz": "set.npz", "model": "model.safetensors", "seeds": "seeds.json"}


@pytest.mark.usefixtures("never_waiting")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_file_is_not_read(tmp_path: Path, reader: str, kind: Callable[[Path], None]) -> None:
    """A pipe is not waited for, a device not read to its end, through a link neither: a UserError says what it is."""
    path = tmp_path / NAMES.get(reader, "file")
    kind(path)
    with pytest.raises(UserError, match=r"(?i)pipe|device|folder|directory|not a file"):
        READERS[reader](path)


@pytest.mark.usefixtures("never_waiting")
def test_a_folder_whose_record_is_a_pipe_is_no_run(tmp_path: Path) -> None:
    """`is_run` looks at strangers' folders, and does not wait there."""
    a_pipe(tmp_path / "experiment.toml")
    assert not is_run(tmp_path)


def test_no_more_is_read_than_is_allowed(tmp_path: Path) -> None:
    """`content` gives the whole of a file, and None from one byte too many on; also of a file that tells no size."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    assert regular.content(path, 100) == b"x" * 100
    assert regular.content(path, 99) is None
    if Path("/proc/self/status").exists():
        assert (regular.content(Path("/proc/self/status"), 2**20) or b"").startswith(b"Name:")
        assert regular.content(Path("/proc/self/status"), 10) is None


LONG = "a" * 300


@pytest.mark.parametrize(
    "command",
    [
        ("describe", LONG),
        ("predict", LONG, "x.png"),
        ("evaluate", LONG),
        ("report", LONG),
        ("compare", LONG, LONG),
        ("runs", LONG),
        ("train", "digits", "--data", "mnist", "--data-dir", LONG),
        ("engine", "show", LONG),
    ],
)
def test_a_name_too_long_for_any_disk_is_a_mistake(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command that takes a path exits with 2 and says so."""
    monkeypatch.chdir(tmp_path)
    assert main(command) == 2
    assert "File name too long" in capsys.readouterr().err


TOML = {
    "dotted": ("a." * 300_000 + "a = 1", "a key with more than 32 names"),
    "quoted": ('"a".' * 200_000 + "a = 1", "a key with more than 32 names"),
    "digits": ("seed = " + "1" * 100_000, "a number has too many digits"),
    "hexadecimal": ("seed = 0x" + "f" * 100_000, "a number has too many digits"),
    "lists": ("seed = " + "[" * 100_000, "it is nested too deeply"),
    "tables": ("seed = " + "{a=" * 100_000, "it is nested too deeply"),
}


@pytest.mark.usefixtures("never_waiting")
@pytest.mark.parametrize("name", TOML)
def test_toml_is_read_within_bounds(tmp_path: Path, name: str) -> None:
    """Keys of many names, numbers of many digits and deep brackets are refused, in an experiment and in a record."""
    text, reason = TOML[name]
    path = tmp_path / "experiment.toml"
    path.write_text(text)
    for read in (toml_file.read, Record.read):
        with pytest.raises(UserError, match=f"not valid TOML: {reason}"):
            read(path)


def test_ordinary_toml_is_read() -> None:
    """Names with many dots in quotes are one name; 64 bits of a seed are a number."""
    assert toml.parse(f'a.b.c = "{"x." * 20}"\nseed = {2**64 - 1}') == {
        "a": {"b": {"c": "x." * 20}},
        "seed": 2**64 - 1,
    }


def test_an_experiment_that_names_what_no_disk_holds(tmp_path: Path) -> None:
    """A file name too long is a name that is not there."""
    (tmp_path / "e.toml").write_text(f'[network]\nfile = "{LONG}"\n')
    assert toml_file.read(tmp_path / "e.toml").net == str(tmp_path / LONG)


@pytest.mark.parametrize("letter", [0x110000, 0xFFFFFFFF])
@pytest.mark.parametrize("order", "<>")
def test_text_beyond_unicode_is_refused(tmp_path: Path, letter: int, order: str) -> None:
    """Labels of numbers that are no letters end in a DataError, in either order of bytes."""
    images = small_data.images(4).images
    values = np.array([97, letter, 98, 98], f"{order}u4").tobytes()
    labels = npy_with_header(f"{{'descr': '{order}U1', 'fortran_order': False, 'shape': (4,), }}\n", values)
    (tmp_path / "set.npz").write_bytes(zip_of(x=npy_bytes(images), y=labels))
    with pytest.raises(layerline.DataError, match="a character outside Unicode"):
        layerline.load_data(tmp_path / "set.npz")


CHANGED = {
    "history.jsonl": [
        {"epoch": None},
        {"epoch": 10**400},
        {"train_loss": 10**400},
        {"seconds": "1"},
        {"best": 1},
        {"learning_rate": [0.1]},
    ],
    "result.json": [
        {"confusion": [[None] * 3] * 3},
        {"confusion_cells": [[0, 3, 1]]},
        {"confusion_cells": [[0, 1, 1], [0, 1, 2]]},
        {"confusion_cells": [[0, 1]]},
        {"classes": ["a", None]},
        {"test_loss": 10**308},
    ],
    "ending.json": [{"ended": 1}, {"steps": -1}],
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_run_of_other_values_is_refused(tmp_path: Path, name: str) -> None:
    """What a run never writes is refused by the file's name, and the list of runs shows the rest."""
    folder = report_runs.make(tmp_path / "r", test=report_runs.predicted(3, 30))
    if name == "ending.json":
        (folder / "result.json").unlink()
        (folder / name).write_text('{"ended": "stopped", "epochs": 1, "steps": 0}')
    whole = (folder / name).read_text()
    for change in CHANGED[name]:
        first, *others = whole.splitlines()
        lines = (
            [json.dumps(json.loads(first) | change), *others] if others else [json.dumps(json.loads(whole) | change)]
        )
        (folder / name).write_text("\n".join(lines) + "\n")
        with pytest.raises(UserError, match=name.replace(".", r"\.")):
            saved.read(folder)
        assert [row.state for row in listing([folder]).runs] == ["damaged"]


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 10_000, "NaN", '{"classes": ["a"], "test_loss": Infinity}'])
def test_odd_json_is_refused(tmp_path: Path, text: str) -> None:
    """Deep brackets, long numbers, and numbers that JSON does not have."""
    folder = report_runs.make(tmp_path / "r", test=report_runs.predicted(3, 30))
    (folder / "result.json").write_text(text)
    with pytest.raises(UserError, match=r"result\.json: not valid JSON"):
        saved.read(folder)


ARRAYS: dict[str, Any] = {
    "truth": np.zeros((30, 1), np.int64),
    "prediction": np.zeros(30),
    "probabilities": np.full((30, 3), np.nan, np.float32),
    "index": np.zeros(30, "U3"),
    "names": np.zeros(30, np.int64),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_of_another_form_are_refused(tmp_path: Path, name: str) -> None:
    """Each array of predictions.npz has its kind and its shape."""
    folder = report_runs.make(tmp_path / "r", test=report_runs.predicted(3, 30))
    np.savez(folder / "predictions.npz", **(report_runs.predicted(3, 30) | {name: ARRAYS[name]}))
    with pytest.raises(UserError, match=r"predictions\.npz"):
        saved.read(folder)


def test_only_known_arrays_are_read(tmp_path: Path) -> None:
    """A member that is no array of a run, even a damaged one, is not looked at."""
    folder = report_runs.make(tmp_path / "r", test=report_runs.predicted(3, 30))
    np.savez(folder / "predictions.npz", **report_runs.predicted(3, 30), other=np.array([None]))
    assert len(saved.read(folder).predictions["test"]) == 30


def test_what_is_larger_than_memory_is_refused_by_its_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sizes in the headers are compared with the memory that is free, before any value is read."""
    folder = report_runs.make(tmp_path / "r", test=report_runs.predicted(3, 30))
    monkeypatch.setattr(predictions, "free_bytes", lambda: 100)
    monkeypatch.setattr(predictions.archive, "read", lambda *_: pytest.fail("it was read"))
    with pytest.raises(UserError, match=r"needs .* B of memory, but only 100 B are free"):
        saved.read(folder)


def trained(folder: Path) -> tuple[Path, layerline.Dataset]:
    """Train two epochs, and leave the run as one that was killed before its test."""
    data = small_data.dataset()
    network = layerline.parse("Flat\nFC classes\n", input_shape=data.shape, classes=3)
    recipe = layerline.Recipe(epochs=2, batch_size=10, momentum=0.9)
    layerline.train(network, data, recipe, out=folder / "run", threads=1, allow=("leak", "conflict"))
    for name in ("result.json", "report.html"):
        (folder / "run" / name).unlink()
    return folder / "run", data


def test_checkpoints_behind_a_link_are_not_followed(tmp_path: Path) -> None:
    """A run whose `checkpoints` is a link is not gone on with: what lies there stays as it is."""
    run, data = trained(tmp_path)
    shutil.move(run / "checkpoints", tmp_path / "elsewhere")
    (run / "checkpoints").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / ".x.1.part").write_text("")
    before = sorted((tmp_path / "elsewhere").iterdir())
    with pytest.raises(UserError, match="checkpoints is a link"):
        layerline.resume(run, data)
    assert sorted((tmp_path / "elsewhere").iterdir()) == before


def with_weight(arrays: dict[str, Any], _texts: dict[str, str]) -> None:
    arrays["weights/1.weight"] = arrays["weights/1.weight"][:, :5]


def with_no_momentum(arrays: dict[str, Any], _texts: dict[str, str]) -> None:
    del arrays["optimizer/momentum.1.bias"]


def with_wide_best(arrays: dict[str, Any], _texts: dict[str, str]) -> None:
    arrays["best/1.bias"] = np.zeros(3)


def with_step(arrays: dict[str, Any], texts: dict[str, str]) -> None:
    texts["position"] = json.dumps({"step": 10**6, "train_seconds": 1.0})
    arrays |= {"running/loss": np.zeros(1), "running/tallies": np.zeros((3, 3), np.int64)}


def with_text_for_a_loss(_arrays: dict[str, Any], texts: dict[str, str]) -> None:
    texts["history"] = texts["history"].replace('"train_loss": ', '"train_loss": "x", "more": ')


def with_a_list_for_data(_arrays: dict[str, Any], texts: dict[str, str]) -> None:
    texts["identity"] = json.dumps(json.loads(texts["identity"]) | {"data": []})


def with_a_hole(_arrays: dict[str, Any], texts: dict[str, str]) -> None:
    texts["history"] = json.dumps(json.loads(texts["history"])[1:])


@pytest.mark.parametrize(
    "craft",
    [with_weight, with_no_momentum, with_wide_best, with_step, with_text_for_a_loss, with_a_list_for_data, with_a_hole],
)
def test_a_crafted_checkpoint_is_a_users_mistake(tmp_path: Path, craft: Callable[..., None]) -> None:
    """A checkpoint whose digest is right and whose content is not that of the run is refused before anything runs."""
    run, data = trained(tmp_path)
    path = run / "checkpoints" / "epoch-2.safetensors"
    for other in (run / "checkpoints").iterdir():
        if other != path:
            other.unlink()
    held = tensors.read(path)
    arrays, texts = dict(held.arrays), dict(held.metadata)
    craft(arrays, texts)
    if "1000000" in texts["position"]:
        path.unlink()
        path = path.with_name("epoch-3-step-1000000.safetensors")
    tensors.write(path, arrays, texts)
    with pytest.raises(UserError, match=path.name):
        reopen(run, {}, load=lambda _: data)


def test_too_many_tensors_are_refused_before_they_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model file of more tensors than any network has is refused by their count, its header not interpreted."""
    path = tmp_path / "model.safetensors"
    tensors.write(path, {f"{k}.weight": np.zeros(1, np.float32) for k in range(60_000)}, {})
    monkeypatch.setattr(tensors, "_entries", lambda _: pytest.fail("it was interpreted"))
    with pytest.raises(UserError, match="holds 60,000 tensors; at most 50,000 are allowed"):
        layerline.load(path)


K = metrics.MOST_DENSE + 1


def many() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return truth, prediction and probabilities of 60 images of more classes than are kept whole."""
    rng = np.random.default_rng(0)
    truth = np.arange(60) % 20 * 50
    p = rng.random((60, K)).astype(np.float32) ** 40
    p[np.arange(60), np.where(np.arange(60) % 3, truth, (truth + 50) % 1000)] = 6000
    p /= p.sum(axis=1, keepdims=True)
    return truth, p.argmax(axis=1), p


def test_scores_of_many_classes_are_those_of_the_whole_matrix() -> None:
    """A sparse matrix has the sums, cells, scores and worst pairs of the one with all K² counts."""
    truth, prediction, _ = many()
    sparse = metrics.confusion(truth, prediction, K)
    assert isinstance(sparse, metrics.SparseCounts)
    whole = np.zeros((K, K), np.int64)
    np.add.at(whole, (truth, prediction), 1)
    np.testing.assert_array_equal(sparse.toarray(), whole)
    for axis in (None, 0, 1):
        np.testing.assert_array_equal(sparse.sum(axis), whole.sum(axis))
    ours, theirs = metrics.measure(sparse), metrics.measure(whole)
    assert (ours.accuracy, ours.macro_f1, ours.occurring) == (theirs.accuracy, theirs.macro_f1, theirs.occurring)
    np.testing.assert_array_equal(ours.f1, theirs.f1)
    assert metrics.worst(sparse) == metrics.worst(whole)


def test_no_file_of_many_classes_has_all_pairs(tmp_path: Path) -> None:
    """result.json and predictions.npz have what there is, and the report made from them lists the worst pairs."""
    truth, prediction, p = many()
    classes = [f"c{k}" for k in range(K)]
    confusion = metrics.confusion(truth, prediction, K)
    folder = report_runs.make(tmp_path / "r", classes, stopped=True)
    tested = Result.of(classes, 0.5, confusion)
    said = tested.as_dict()
    assert said["confusion"] is None
    assert sum(images for _, _, images in said["confusion_cells"]) == 60
    tested.write(folder / "result.json")
    predicted = Predictions.of("test", truth, p, np.arange(60))
    assert predicted.probabilities.shape == (60, LARGEST)
    predictions.write(folder / "predictions.npz", [predicted])
    predicted = saved.read(folder).predictions["test"]
    np.testing.assert_array_equal(predicted.of_truth(), p[np.arange(60), truth].astype(np.float64))
    assert predicted.probability(0, int(prediction[0])) == pytest.approx(float(p[0].max()))
    assert set(suspects(predicted).places.tolist()) <= set(np.flatnonzero(truth != prediction).tolist())
    assert len(suspects(predicted).places) == 20
    pair = f"c{truth[0]}"
    assert pair in page.render(saved.read(folder)).decode()
    (folder / "predictions.npz").unlink()
    found = saved.read(folder).confusion("test")
    assert found is not None
    assert int(found.sum()) == 60


@pytest.mark.parametrize(("seconds", "lines"), [(4.0, 0), (6.0, 1)])
def test_a_long_compilation_is_told_where_no_line_is_drawn(seconds: float, lines: int) -> None:
    """In a file or a pipe there is a line of it, once, from five seconds on."""
    stream = io.StringIO()
    screen = Screen(Terminal(stream, {}), Interrupt(), quiet=False)
    for _ in range(3):
        screen.progress(Progress(Stage.COMPILING, 0, 1, 0, 10, 0, 0.0, seconds))
    assert stream.getvalue().count("compiling …") == lines


def test_a_model_of_an_endless_input_is_refused(tmp_path: Path) -> None:
    """An input whose sizes no float64 has is refused with the memory that it would take."""
    run, _ = trained(tmp_path)
    path = run / "model.safetensors"
    held = tensors.read(path)
    tensors.write(path, held.arrays, {**held.metadata, "input_shape": f"[1, {10**400}, 6]"})
    with pytest.raises(UserError, match="its network cannot be built"):
        layerline.load(path)
