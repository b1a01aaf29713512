"""Layerline in somebody's process: threads, signals, forks and ends at any instant; every answer is right."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from command import PLAIN
from threads import threads_of_ours

import layerline
from layerline.compiler import compilation, jit
from layerline.compiler.driver import write_module
from layerline.compiler.machine import Machine, host
from layerline.compiler.task import task_of
from layerline.engines import arena, predictor
from layerline.engines.compiled import CompiledEngine
from layerline.engines.epoch import plan_epoch
from layerline.engines.predictor import Predictor
from layerline.engines.trainer import Trainer
from layerline.network import presets
from layerline.network.source import find
from layerline.recipe import Recipe
from layerline.sklearn import ConvNetClassifier

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

TEXT = "Conv 8 3 1 1\nReLU\nPool 2\nConv 12 3\nBatchNorm\nReLU\nFlat\nFC classes\n"
RECIPE = {"epochs": 2, "learning_rate": 0.05, "optimizer": "sgd", "batch_size": 64}


class TooLateError(Exception):
    """What the handler of an alarm raises."""


@pytest.fixture(scope="module")
def run() -> layerline.Run:
    data = layerline.load_data("digits")
    return layerline.train(layerline.parse(TEXT, data), data, **RECIPE)


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    return layerline.load_data("digits").train.source.images


@pytest.fixture
def timeout() -> Iterator[int]:
    """A signal whose handler raises TooLateError."""

    def handler(*_: object) -> None:
        raise TooLateError

    before = signal.signal(signal.SIGUSR1, handler)
    yield signal.SIGUSR1
    signal.signal(signal.SIGUSR1, before)


def fresh(model: layerline.Model) -> layerline.Model:
    """Return an equal model that has not predicted yet."""
    return pickle.loads(pickle.dumps(model))  # noqa: S301 - made on this line


def script(text: str, *, seconds: int = 300) -> subprocess.CompletedProcess[str]:
    """Run a program on its own."""
    return subprocess.run(  # noqa: S603
        [sys.executable, "-c", text], env=PLAIN, capture_output=True, text=True, timeout=seconds
    )


class Signalling:
    """A function of machine code that sends a signal to the process while it is called for the n-th time."""

    def __init__(self, function: Any, number: int, call: int) -> None:
        self.function, self.number, self.call, self.calls = function, number, call, 0
        self.at_work = 0

    def __call__(self, *arguments: Any) -> None:
        self.at_work += 1
        self.calls += 1
        if self.calls == self.call:
            os.kill(os.getpid(), self.number)
        self.function(*arguments)
        self.at_work -= 1


def in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a prediction be many short calls of machine code."""
    monkeypatch.setattr(predictor, "CHUNK", 8)


def test_an_interrupted_prediction(
    run: layerline.Run, images: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, timeout: int
) -> None:
    """An exception in the thread that waits comes when no machine code runs any more, and the next call is right."""
    in_pieces(monkeypatch)
    model = fresh(run.model)
    expected = model.predict_proba(images)
    engine = model.engine_with_weights()
    assert isinstance(engine, CompiledEngine)
    whole = next(iter(engine._weighed.values())).predictor
    for call in (1, 2, 7, 30):
        whole.function = signalling = Signalling(whole.function, timeout, call)
        with pytest.raises(TooLateError):
            model.predict_proba(images)
        assert signalling.at_work == 0
        whole.function = signalling.function
        assert threads_of_ours() == 0
        np.testing.assert_array_equal(model.predict_proba(images), expected)


def test_a_worker_that_fails(run: layerline.Run, images: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is raised in a thread that predicts is raised in the caller; nobody gets what was in the memory before."""
    in_pieces(monkeypatch)

    def failing(_: int) -> NDArray[np.uint8]:
        raise MemoryError("as under ulimit -v")

    monkeypatch.setattr(predictor, "aligned", failing)
    with pytest.raises(MemoryError, match="ulimit"):
        fresh(run.model).predict_proba(images)


@pytest.mark.parametrize("pieces", [True, False])
def test_many_threads_ask_one_model(
    run: layerline.Run, images: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, pieces: bool
) -> None:
    """Eight threads that ask one model, from its first call on, all get the bits that one thread gets."""
    if pieces:
        in_pieces(monkeypatch)
    expected = run.model.predict_proba(images[:200])
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(5):
            model, barrier = fresh(run.model), threading.Barrier(8)

            def ask(k: int, model: layerline.Model = model, barrier: threading.Barrier = barrier) -> bool:
                barrier.wait()
                said = [model.predict_proba(images[k : k + 100]) for _ in range(10)]
                return all(np.array_equal(each, expected[k : k + 100]) for each in said)

            with ThreadPoolExecutor(8) as pool:
                assert all(pool.map(ask, range(8)))
    finally:
        sys.setswitchinterval(interval)


def test_a_handler_asks_the_model_that_is_asked(
    run: layerline.Run, images: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal handler that predicts with the model that is predicting gets the right answer, and so does the other."""
    in_pieces(monkeypatch)
    model, said = fresh(run.model), []
    expected = model.predict_proba(images)
    before = signal.signal(signal.SIGUSR1, lambda *_: said.append(model.predict_proba(images[:300])))
    engine = model.engine_with_weights()
    assert isinstance(engine, CompiledEngine)
    whole = next(iter(engine._weighed.values())).predictor
    whole.function = Signalling(whole.function, signal.SIGUSR1, 5)
    try:
        np.testing.assert_array_equal(model.predict_proba(images), expected)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(said) == 1
    np.testing.assert_array_equal(said[0], expected[:300])


def test_an_interrupted_training_leaves_no_thread(monkeypatch: pytest.MonkeyPatch, timeout: int) -> None:
    """A timeout while the rate is measured, in an epoch, or while code is written, ends the work before it is told."""
    data = layerline.load_data("digits")
    network = layerline.parse(TEXT, data)
    for name, options in (
        ("layerline.training.automatic.learning_rate._train", {}),
        ("layerline.engines.trainer.Trainer.run", RECIPE),
        ("layerline.compiler.object_code.write_module", RECIPE),
    ):
        with monkeypatch.context() as patch:
            compilation.compiled_alone.cache_clear()
            owner, _, last = name.rpartition(".")
            whole = sys.modules.get(owner) or Trainer
            before = getattr(whole, last)

            def signalling(*arguments: Any, before: Any = before) -> Any:
                os.kill(os.getpid(), timeout)
                return before(*arguments)

            patch.setattr(whole, last, signalling)
            with pytest.raises(TooLateError):
                layerline.train(network, data, **options)
        assert threads_of_ours() == 0


def test_weights_of_a_model_stay(run: layerline.Run, images: NDArray[np.uint8]) -> None:
    """They can be neither written to nor replaced, and what they were made from is not theirs: a model predicts what
    it saves."""
    model = run.model
    for change in (
        lambda: model.weights["0.weight"].__setitem__(0, 0.0),
        lambda: model.weights.__setitem__("0.weight", 0),  # type: ignore[attr-defined]
        lambda: setattr(model, "weights", {}),
        lambda: setattr(model, "scaling", None),
    ):
        with pytest.raises((ValueError, TypeError, AttributeError)):
            change()
    mine = {name: np.array(value, np.float64) for name, value in model.weights.items()}
    other = layerline.Model(model.network, model.classes, model.scaling, mine)
    mine["0.weight"][:] = 0
    assert other.weights["0.weight"].dtype == np.float32
    np.testing.assert_array_equal(other.predict_proba(images[:9]), model.predict_proba(images[:9]))
    with pytest.raises(ValueError, match="do not match this network"):
        layerline.Model(model.network, model.classes, model.scaling, {"0.weight": mine["0.weight"]})


def test_models_and_runs_are_copied(run: layerline.Run, images: NDArray[np.uint8]) -> None:
    """A model that has predicted pickles, and copies of all kinds predict the same."""
    expected = run.model.predict_proba(images)
    copies = [copy.copy(run.model), copy.deepcopy(run.model), fresh(run.model), copy.deepcopy(run).model]
    for each in copies:
        np.testing.assert_array_equal(each.predict_proba(images), expected)
        with pytest.raises(ValueError, match="read-only"):
            each.weights["0.weight"][:] = 0


def estimator() -> ConvNetClassifier:
    return ConvNetClassifier(TEXT, input_shape=(1, 8, 8), batch_size=100, learning_rate=0.01, optimizer="sgd")


def labeled() -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    train = layerline.load_data("digits").train.source
    return train.images[:600], train.labels[:600]


@pytest.mark.parametrize("engine", ["compiled", "torch"])
def test_an_interrupted_partial_fit(monkeypatch: pytest.MonkeyPatch, timeout: int, engine: str) -> None:
    """The estimator is then what it was before, and goes on to the bits of one that was never interrupted."""
    X, y = labeled()
    mine, other = (estimator().set_params(engine=engine) for _ in range(2))
    for each in (mine, other):
        each.partial_fit(X, y, range(10))
    expected = mine.predict_proba(X)
    with monkeypatch.context() as patch:
        owner = "trainer.Trainer.run" if engine == "compiled" else "torch_engine.TorchEngine._step"
        module, _, last = f"layerline.engines.{owner}".rpartition(".")
        kind = getattr(sys.modules[module.rpartition(".")[0]], module.rpartition(".")[2])
        before = getattr(kind, last)

        def signalling(*arguments: Any) -> Any:
            result = before(*arguments)
            os.kill(os.getpid(), timeout)
            return result

        patch.setattr(kind, last, signalling)
        with pytest.raises(TooLateError):
            mine.partial_fit(X, y)
    np.testing.assert_array_equal(mine.predict_proba(X), expected)
    np.testing.assert_array_equal(fresh(mine).predict_proba(X), expected)  # type: ignore[arg-type]
    assert len(mine.history_) == 1
    for each in (mine, other):
        each.partial_fit(X, y)
    np.testing.assert_array_equal(mine.predict_proba(X), other.predict_proba(X))


def test_copies_of_an_estimator() -> None:
    """What becomes of a copy leaves the original as it was, and its pickle and its next call too."""
    X, y = labeled()
    mine, other = (estimator().partial_fit(X, y, range(10)) for _ in range(2))
    expected = mine.predict_proba(X)
    copy.copy(mine).partial_fit(X, y)
    copy.deepcopy(mine).partial_fit(X, y)
    np.testing.assert_array_equal(mine.predict_proba(X), expected)
    np.testing.assert_array_equal(fresh(mine).predict_proba(X), expected)  # type: ignore[arg-type]
    np.testing.assert_array_equal(mine.partial_fit(X, y).predict_proba(X), other.partial_fit(X, y).predict_proba(X))


def test_threads_that_fit_one_estimator() -> None:
    """They take turns: two threads with three epochs each end in the bits of six in a row."""
    X, y = labeled()
    mine, other = (estimator().partial_fit(X, y, range(10)) for _ in range(2))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: [mine.partial_fit(X, y) for _ in range(3)], range(2)))
    for _ in range(6):
        other.partial_fit(X, y)
    assert len(mine.history_) == 7
    np.testing.assert_array_equal(mine.predict_proba(X), other.predict_proba(X))


def test_a_fit_inside_a_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal handler that fits the estimator that is being fitted is told so, and the outer call goes on."""
    X, y = labeled()
    mine, other, told = estimator(), estimator(), []
    for each in (mine, other):
        each.partial_fit(X, y, range(10))

    def handler(*_: object) -> None:
        try:
            mine.partial_fit(X, y)
        except RuntimeError as error:
            told.append(str(error))

    before = signal.signal(signal.SIGUSR1, handler)
    run = Trainer.run

    def signalling(*arguments: Any) -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        run(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr("layerline.engines.trainer.Trainer.run", signalling)
        mine.partial_fit(X, y)
    signal.signal(signal.SIGUSR1, before)
    assert told == ["ConvNetClassifier is being fitted by this thread: wait until that has finished"]
    np.testing.assert_array_equal(mine.predict_proba(X), other.partial_fit(X, y).predict_proba(X))


def test_buffers_end_where_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Machine code that trains and predicts writes to its buffers alone: guards around each of them stay."""
    guards: list[NDArray[np.uint8]] = []

    def guarded(size: int) -> NDArray[np.uint8]:
        whole = arena.aligned(size + 2 * 4096)
        for guard in (whole[:4096], whole[4096 + size :]):
            guard[:] = 0xA5
            guards.append(guard)
        return whole[4096 : 4096 + size]

    monkeypatch.setattr("layerline.engines.predictor.aligned", guarded)
    monkeypatch.setattr("layerline.engines.trainer.aligned", guarded)
    monkeypatch.setattr(arena.Memory, "__init__", _arena_of(guarded))
    data = layerline.load_data("digits")
    for name in presets():
        network = layerline.parse(find(name)[1], input_shape=(1, 32, 32), classes=10)
        wide = np.repeat(np.repeat(data.train.source.images[:40], 4, 2), 4, 3)
        split = layerline.data.dataset.Split(  # type: ignore[attr-defined]
            layerline.data.dataset.ImageSet(wide, data.train.source.labels[:40]),
            np.arange(40),  # type: ignore[attr-defined]
        )
        recipe = Recipe(batch_size=16, epochs=1, optimizer="adamw")
        engine = CompiledEngine(network, data.scaling, recipe, threads=3)
        engine.train(plan_epoch(recipe, split, 1, 10), 0)
        engine.evaluate(split)
    assert len(guards) >= 2 * 5 * len(presets())
    assert all((guard == 0xA5).all() for guard in guards)


def _arena_of(take: Any) -> Any:
    def begin(self: arena.Memory, code: Any) -> None:
        self.code, self.arena = code, take(code.schedule.arena_bytes)

    return begin


def undefined(content: bytes) -> set[str]:
    """Return the names that a 64-bit little-endian ELF object leaves to others (System V ABI, chapter 4)."""
    at, size, count = struct.unpack_from("<Q", content, 40)[0], *struct.unpack_from("<HH", content, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", content, at + k * size) for k in range(count)]
    found = set()
    for _, kind, _, _, offset, length, link, _, _, entry in sections:
        for place in range(offset, offset + length, entry) if kind == 2 else ():
            name, _, _, section, _, _ = struct.unpack_from("<IBBHQQ", content, place)
            start = sections[link][4] + name
            if section == 0 and name:
                found.add(content[start : content.index(b"\0", start)].decode())
    return found


ARM = Machine("aarch64-unknown-linux-gnu", "cortex-a72", "", 4, 32, True)


@pytest.mark.parametrize("machine", [host(), ARM], ids=["host", "aarch64"])
def test_machine_code_calls_nobody(machine: Machine) -> None:
    """No object has a name that another library would have to give it: it needs nobody within reach of its calls."""
    for name in presets():
        network = layerline.parse(find(name)[1], input_shape=(3, 32, 32), classes=10)
        for training, optimizer in ((True, "muon"), (True, "adamw"), (False, "sgd")):
            task = task_of(Recipe(optimizer=optimizer), training=training)
            text = write_module(compilation.plan(network, machine, task), machine)
            assert undefined(jit.object_code(text, machine)) == set(), (name, training, optimizer)


COMPILING = """
import os, signal, sys, threading
import layerline
from layerline.compiler import jit

data = layerline.load_data("digits")
text = "Repeat 6\\nConv 16 3 1 1\\nBatchNorm\\nGELU\\nConv 17 3 1 1\\nReLU\\nEnd\\nFlat\\nFC classes\\n"
recipe = dict(epochs=1, learning_rate=0.01, optimizer="sgd", batch_size=64)
inside, parse = threading.Event(), jit.llvm.parse_assembly

def parsing(text):
    inside.set()
    return parse(text)

jit.llvm.parse_assembly = parsing

def train(text=text, **more):
    return layerline.train(layerline.parse(text, data), data, **recipe, **more)
"""
FORKS = """
threading.Thread(target=lambda: [train(text.replace("17", str(17 + k))) for k in range(3)]).start()
for _ in range(3):
    inside.clear()
    inside.wait(60)
    child = os.fork()
    if child == 0:
        signal.alarm(120)
        train("Conv 5 3\\nReLU\\nFlat\\nFC classes\\n")
        os._exit(0)
    print(os.waitpid(child, 0)[1])
"""
ENDS = """
threading.Thread(target=train, daemon=True).start()
inside.wait(60)
"""
RAISES = """
def tell(progress):
    if inside.is_set():
        raise SystemExit(3)

train(on_progress=tell)
"""


def test_a_fork_while_another_thread_compiles() -> None:
    """The child compiles, trains and ends; the parent goes on."""
    ended = script(COMPILING + FORKS)
    assert (ended.returncode, ended.stdout) == (0, "0\n0\n0\n"), ended.stderr


HANDLER_IN_A_FORK = """
def hook():
    if not done:
        done.append(1)
        os.kill(os.getpid(), signal.SIGUSR1)
        train("Conv 6 3\\nReLU\\nFlat\\nFC classes\\n")

done = []
signal.signal(signal.SIGUSR1, lambda *_: train("Conv 5 3\\nReLU\\nFlat\\nFC classes\\n"))
"""
FORKING = """
train("Flat\\nFC classes\\n")
child = os.fork()
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
train("Conv 7 3\\nReLU\\nFlat\\nFC classes\\n")
print(done)
"""


@pytest.mark.parametrize("when", ["before", "after_in_parent"])
def test_a_handler_that_trains_while_the_process_forks(when: str) -> None:
    """What the fork holds, a handler that comes in somebody's hook has; then the fork has it again."""
    hooks = (
        f"os.register_at_fork({when}=hook)\n"  # before the package's own, so that it comes between them and the fork
    )
    ended = script(
        COMPILING.replace("import layerline\n", HANDLER_IN_A_FORK + hooks + "import layerline\n", 1) + FORKING
    )
    assert (ended.returncode, ended.stdout) == (0, "[1]\n"), ended.stderr


@pytest.mark.parametrize(("how", "code"), [(ENDS, 0), (RAISES, 3)], ids=["daemon", "SystemExit"])
def test_an_end_while_a_thread_compiles(how: str, code: int) -> None:
    """A process that ends while LLVM compiles ends as it would otherwise."""
    for _ in range(2):
        ended = script(COMPILING + how)
        assert (ended.returncode, ended.stderr) == (code, "")


def test_predictors_refuse_a_shared_buffer_that_is_written(run: layerline.Run) -> None:
    """A forward-only Program that wrote to what calls share would be a race: it is refused when it is prepared."""
    network = run.model.network
    task = task_of(Recipe(batch_size=8), training=True)
    code = compilation.compile_network(network, host(), task)
    with pytest.raises(ValueError, match="writes to its arena"):
        Predictor(code, network, 1, {})
