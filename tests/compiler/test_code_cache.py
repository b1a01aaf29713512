"""Machine code that is kept on disk: found again, never run unverified, and nothing fails for want of it."""

from __future__ import annotations

import dataclasses
import gc
import hashlib
import os
import shutil
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from kernel_cases import CASES
from places import SOURCES

import layerline
from layerline.compiler import code_cache, code_key, compilation, jit, object_code
from layerline.compiler.code_key import described, key_of
from layerline.compiler.kernels.optimizers import AdamW, Sgd
from layerline.compiler.machine import host, named
from layerline.compiler.task import Task
from layerline.errors import CodeCacheWarning
from layerline.files import private
from layerline.network import parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from layerline.compiler.kernel import Kernel

pytestmark = pytest.mark.skipif(os.name == "nt", reason="rights are others there")

TEXT = "Input 1 6 6\nConv 4 3\nReLU\nFlat\nFC 3\n"
OTHER = "Input 1 6 6\nConv 5 3\nReLU\nFlat\nFC 3\n"
TASK = Task(8, Sgd(decay=False))
HEAD = len(b"layerline machine code 1\n") + 32 + 8 + 32


class Compiler:
    """What the compiler did: how often IR was written, and the objects that were linked."""

    def __init__(self) -> None:
        self.written = 0
        self.linked: list[bytes] = []

    def __call__(self, text: str = TEXT, task: Task = TASK) -> bytes:
        """Compile as a new process does; return the object that was linked."""
        compilation.compiled_alone.cache_clear()
        compilation.plan.cache_clear()
        compilation.compile_network(parse(text, name="n"), host(), task)
        return self.linked[-1]


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[Compiler]:
    """Watch the compiler, which has reported nothing yet."""
    watched = Compiler()
    write, link = object_code.write_module, jit.linked

    def written(*arguments: Any) -> str:
        watched.written += 1
        return write(*arguments)

    def linked(code: bytes, *arguments: Any) -> jit.Code:
        watched.linked.append(code)
        return link(code, *arguments)

    monkeypatch.setattr(object_code, "write_module", written)
    monkeypatch.setattr(jit, "linked", linked)
    monkeypatch.setattr(code_cache, "_untrusted", [])
    code_cache._reported.clear()
    yield watched
    code_cache._reported.clear()
    compilation.compiled_alone.cache_clear()
    compilation.plan.cache_clear()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the cache folder of this test; it does not exist yet."""
    monkeypatch.setenv("LAYERLINE_CODE_CACHE", str(tmp_path / "code"))
    return tmp_path / "code"


def kept(folder: Path) -> Path:
    """Return the only file of the cache."""
    (path,) = folder.iterdir()
    return path


def test_the_second_process_compiles_nothing(compiler: Compiler, folder: Path) -> None:
    """What was stored is linked again: no IR is written, and the object is the same to the byte."""
    first = compiler()
    assert compiler.written == 1
    assert compiler() == first
    assert compiler.written == 1
    assert oct(folder.stat().st_mode)[-3:] == "700"
    assert oct(kept(folder).stat().st_mode)[-3:] == "600"
    compiler(OTHER)
    compiler(task=dataclasses.replace(TASK, training=False))
    assert compiler.written == 3
    assert len(list(folder.iterdir())) == 3


@pytest.mark.usefixtures("folder")
def test_code_from_disk_trains_and_predicts_to_the_same_bits(compiler: Compiler) -> None:
    """A run with cached code is the run that compiled it."""
    data = layerline.load_data("digits")
    network = layerline.parse("Conv 4 3 1 1\nReLU\nPool 2\nFlat\nFC classes\n", data)

    def run() -> tuple[float, bytes]:
        compilation.compiled_alone.cache_clear()
        done = layerline.train(network, data, epochs=1, learning_rate=0.05, optimizer="sgd", batch_size=50, seed=1)
        return done.history[0].train_loss, done.model.predict_proba(data.test.images).tobytes()

    first = run()
    written = compiler.written
    assert written >= 2
    assert run() == first
    assert compiler.written == written


def test_the_bytes_that_are_linked_are_those_that_were_verified(
    compiler: Compiler, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that changes after it was verified is not read again: what runs is what was verified."""
    whole = compiler()
    utime = os.utime

    def changing(file: Any, **more: Any) -> None:
        kept(folder).write_bytes(b"x" * 100)
        utime(file, **more)

    monkeypatch.setattr(os, "utime", changing)
    monkeypatch.setattr(os, "supports_fd", {changing})
    assert compiler() == whole
    assert compiler.written == 1
    assert kept(folder).read_bytes() == b"x" * 100


def spoil(path: Path, what: str, other: bytes) -> None:
    """Make a file one that must not be trusted."""
    content = path.read_bytes()
    kind, _, place = what.partition(" ")
    match kind:
        case "flipped":
            at = int(place) % len(content)
            path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        case "truncated":
            path.write_bytes(content[: int(place)])
        case "longer":
            path.write_bytes(content + b"\0")
        case "planted":
            path.write_bytes(other)
        case "open":
            path.chmod(0o622)
        case "foreign":
            os.chown(path, 12345, 12345)
        case "link":
            path.rename(path.parent.parent / "elsewhere")
            path.symlink_to(path.parent.parent / "elsewhere")
        case "dangling":
            path.unlink()
            path.symlink_to(path.parent.parent / "nowhere")
        case "folder":
            path.unlink()
            path.mkdir()
        case "pipe":
            path.unlink()
            os.mkfifo(path)


SPOILED = (
    *(f"flipped {place}" for place in (0, 24, 25, 56, 57, 64, 65, 96, HEAD, HEAD + 1000, -1)),
    *(f"truncated {length}" for length in (0, 1, 25, 57, HEAD - 1, HEAD, HEAD + 1, -1)),
    *("longer", "planted", "open", "foreign", "link", "dangling", "folder", "pipe"),
)


@pytest.mark.parametrize("what", SPOILED)
def test_a_file_that_cannot_be_trusted_is_not_run(compiler: Compiler, folder: Path, what: str) -> None:
    """A flipped bit anywhere, a part, another network's code under this name, a file that others own or can write to, a
    link: compiled again, with one warning, and stored again where a file can be replaced."""
    if what == "foreign" and os.geteuid() != 0:
        pytest.skip("only root can give files away")
    compiler(OTHER)
    other = kept(folder).read_bytes()
    kept(folder).unlink()
    whole = compiler()
    path = kept(folder)
    spoil(path, what, other)
    with pytest.warns(
        CodeCacheWarning, match=r"cached machine code is not used: .*\n  help: (nothing needs|set LAYER)"
    ) as warned:
        assert compiler() == whole
    assert compiler.written == 3
    assert len(warned) == 1
    assert warned[0].message.args[0].startswith(f"{path}: ")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # one warning per process
        assert compiler() == whole
    assert compiler.written == (4 if what == "folder" else 3)
    assert what == "folder" or not path.is_symlink()


@pytest.mark.parametrize("what", ["open folder", "link", "foreign folder", "file"])
def test_a_folder_that_cannot_be_trusted_is_not_used(compiler: Compiler, folder: Path, what: str) -> None:
    """A folder that others can write to or own, a link to one, a file: nothing is read from it or written to it."""
    if "foreign" in what and os.geteuid() != 0:
        pytest.skip("only root can give files away")
    whole = compiler()
    name = kept(folder).name
    real = folder
    if what == "open folder":
        folder.chmod(0o707)
    elif what == "foreign folder":
        os.chown(folder, 12345, 12345)
    elif what == "link":
        real = folder.rename(folder.parent / "elsewhere")
        folder.symlink_to(real)
    else:
        shutil.rmtree(folder)
        folder.write_text("")
    with pytest.warns(CodeCacheWarning, match="cached machine code is not used: ") as warned:
        assert [compiler(), compiler(OTHER)][0] == whole
    assert len(warned) == 1
    assert compiler.written == 3
    assert folder.read_text() == "" if what == "file" else [path.name for path in real.iterdir()] == [name]


@pytest.mark.parametrize("home", ["nowhere", "", "a file", "read-only", "no", "off", "False", "0"])
def test_without_a_folder_nothing_is_stored_or_reported(
    compiler: Compiler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    """A home folder that is missing or cannot be written to, or LAYERLINE_CODE_CACHE=no: compiled, without a word."""
    (tmp_path / "file").write_text("")
    (tmp_path / "home").mkdir()
    place = {"nowhere": "/dev/null/x", "": "relative", "a file": tmp_path / "file"}.get(home, tmp_path / "home")
    monkeypatch.setenv("XDG_CACHE_HOME", str(place))
    if home in {"no", "off", "False", "0"}:
        monkeypatch.setenv("LAYERLINE_CODE_CACHE", home)
    if home == "read-only":  # also for root, to whom permissions do not matter
        monkeypatch.setattr(private.tempfile, "mkstemp", refusing)
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compiler() == compiler()
    assert compiler.written == 2
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "file"]


def refusing(*_: Any) -> None:
    """Be a read-only file system."""
    raise OSError(30, "Read-only file system")


def test_the_users_cache_folder_is_the_default(
    compiler: Compiler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without LAYERLINE_CODE_CACHE, code is in layerline/code of the user's cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compiler()
    assert kept(tmp_path / "layerline" / "code").suffix == ".code"


def test_a_full_disk_leaves_no_file(compiler: Compiler, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be completed is removed, and the code runs."""
    write = private.Unfinished.write

    def full(self: private.Unfinished, content: bytes) -> None:
        write(self, content[:1000])
        if len(content) > 1000:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(private.Unfinished, "write", full)
    compiler()
    assert not list(folder.iterdir())


def test_the_least_recently_used_files_are_removed(
    compiler: Compiler, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above the limit, files go in the order of their last use; what was just stored stays."""
    texts = [TEXT.replace("Conv 4", f"Conv {k}") for k in (4, 5, 6)]
    paths: list[Path] = []
    for k, text in enumerate(texts):
        compiler(text)
        paths += [path for path in folder.iterdir() if path not in paths]
        os.utime(paths[k], (1000 + k, 1000 + k))
    compiler(texts[0])  # it was the oldest; now it is the newest
    assert compiler.written == 3
    sizes = [path.stat().st_size for path in paths]
    compiler(OTHER.replace("FC 3", "FC 4"))
    (latest,) = set(folder.iterdir()) - set(paths)
    latest_size = latest.stat().st_size
    latest.unlink()
    monkeypatch.setattr(code_cache, "LIMIT", sizes[0] + latest_size)
    compiler(OTHER.replace("FC 3", "FC 4"))
    assert set(folder.iterdir()) == {paths[0], latest}
    monkeypatch.setattr(code_cache, "LIMIT", latest_size - 1)
    latest.unlink()
    compiler(OTHER.replace("FC 3", "FC 4"))
    assert set(folder.iterdir()) == {latest}


def test_what_a_killed_process_left_is_removed_after_a_day(compiler: Compiler, folder: Path) -> None:
    """Unfinished files are removed when they are old, and left alone when a process may be writing them."""
    compiler()
    for name, when in ((".old.part", 10**9), (".new.part", None)):
        (folder / name).write_bytes(b"1")
        if when:
            os.utime(folder / name, (when, when))
    compiler(OTHER)
    assert [path.name for path in folder.glob(".*")] == [".new.part"]


# -- the key --------------------------------------------------------------------------------------


def key(text: str = TEXT, task: Task = TASK, machine: Any = None) -> bytes:
    machine = machine or host()
    found = key_of(compilation.plan.__wrapped__(parse(text, name="n"), machine, task), machine)
    assert found is not None
    return found


def test_the_key_changes_with_everything_that_the_code_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Network, task, CPU, its features, its vectors, the versions and the sources: each alone gives another key."""
    machine = host()
    machines = [
        dataclasses.replace(machine, **change)
        for change in (
            {"cpu": "x86-64"},
            {"features": machine.features + ",-avx512f"},
            {"triple": machine.triple + "x"},
            {"registers": machine.registers // 2},
            {"fma": not machine.fma},
        )
    ]
    keys = [key(), key(OTHER), key(TEXT.replace("6 6", "6 7")), key(task=dataclasses.replace(TASK, batch_size=9))]
    keys += [key(task=Task(8, AdamW(decay=False))), key(machine=named(lanes=4))]
    schedule = compilation.plan.__wrapped__(parse(TEXT, name="n"), machine, TASK)
    keys += [key_of(schedule, other) or b"" for other in machines]
    for owner, name, value in (
        (layerline, "__version__", "9.9.9"),
        (sys, "version", "3.99"),
        (jit, "versions", lambda: ("9", "9")),
        (code_key, "_digest_of_sources", lambda: b"other"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, value)
            keys.append(key())
    assert len(set(keys)) == len(keys)
    assert key() == keys[0]


def test_the_key_is_the_same_in_every_process() -> None:
    """Neither hashing nor addresses have a part in it."""
    program = (
        "from layerline.compiler.code_key import key_of\n"
        "from layerline.compiler.compilation import plan\n"
        "from layerline.compiler.kernels.optimizers import Sgd\n"
        "from layerline.compiler.machine import host\n"
        "from layerline.compiler.task import Task\n"
        "from layerline.network import parse\n"
        f"print(key_of(plan(parse({TEXT!r}), host(), Task(8, Sgd(decay=False))), host()).hex())\n"
    )
    said = {
        subprocess.run(  # noqa: S603
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": str(SOURCES), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert said == {key().hex() + "\n"}


def test_an_edit_of_the_sources_after_their_import_turns_the_cache_off(
    compiler: Compiler, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that runs older code than the sources on disk neither reads nor stores anything."""
    compiler()
    monkeypatch.setattr(code_key, "_IMPORTED", (*code_key._IMPORTED[1:], ("x", 1, 1, 1)))
    compiler()
    assert compiler.written == 2
    monkeypatch.setattr(code_key, "_IMPORTED", ())  # as in a zip
    compiler(OTHER)
    assert compiler.written == 3
    assert kept(folder)


def test_every_source_that_writes_code_is_in_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The digest changes with any byte and any name of the sources, and all modules that the compiler imports at run
    time are among them, but for those that write nothing."""
    for name in code_key.SOURCES:
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "compiler" / "a.py").write_text("1")
    monkeypatch.setattr(code_key, "_PACKAGE", tmp_path)
    digests = {code_key._digest_of_sources.__wrapped__()}
    for name, text in (("a.py", "2"), ("b.py", ""), ("kernels/c.py", "")):
        path = tmp_path / "compiler" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        digests.add(code_key._digest_of_sources.__wrapped__())
    assert len(digests) == 4
    program = "import sys\nimport layerline.compiler.compilation\nprint(*sys.modules)"
    ran = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {name.partition(".")[2].replace(".", "/") for name in ran.stdout.split() if name.startswith("layerline.")}
    others = {name for name in loaded if not name.startswith(code_key.SOURCES)}
    assert {name.partition("/")[0] for name in others} <= {
        "errors",
        "system",
        "files",
        "network",
        "network_file",
        "data",
    }


def kernels() -> list[Kernel]:
    return [case.kernel(host()) for cases in CASES.values() for case in cases]


def test_kernels_that_differ_have_texts_that_differ() -> None:
    """Every kernel can be described, and no two that are unequal alike."""
    texts = {described(kernel, {}): kernel for kernel in kernels()}
    for kernel in kernels():
        assert texts[described(kernel, {})] == kernel


@pytest.mark.parametrize("value", [object(), [1], {1}, len, b"x", 1j])
def test_a_value_without_a_certain_text_is_refused(value: Any) -> None:
    """A key that leaves something out would find the wrong code."""
    with pytest.raises(TypeError, match="does not know"):
        described((1, value), {})


def test_equal_numbers_of_other_types_have_other_texts() -> None:
    """1, 1.0 and True are equal, but may be written in other ways."""
    assert len({described(value, {}) for value in (1, 1.0, True, "1", (1,), None, "None", -0.0, 0.0)}) == 9


# -- several at once ------------------------------------------------------------------------------

TRAIN = """
import os, signal, sys, threading
import layerline
from layerline.compiler import code_cache, jit, object_code
from layerline.files import private
data = layerline.load_data("digits")

def train(filters=4, **more):
    network = layerline.parse(f"Conv {filters} 3 1 1\\nReLU\\nFlat\\nFC classes\\n", data)
    run = layerline.train(network, data, epochs=1, learning_rate=0.01, optimizer="sgd", batch_size=64, **more)
    return run.history[0].train_loss
"""
FORK = """
inside, forked = threading.Event(), threading.Event()
write = private.Unfinished.write

def writing(self, content):
    inside.set()
    write(self, content)

private.Unfinished.write = writing
other = threading.Thread(target=train)
other.start()
inside.wait(60)
child = os.fork()  # waits for the file to be complete
if child == 0:
    signal.alarm(120)
    left = [name for name in os.listdir(os.environ["LAYERLINE_CODE_CACHE"]) if name.endswith(".part")]
    train(5)
    os._exit(bool(left))
other.join()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
INTERRUPTED = """
class Stop(Exception):
    pass

def stop(number, frame):
    raise Stop

signal.signal(signal.SIGUSR1, stop)
write, sent = private.Unfinished.write, []

def writing(self, content):
    if not sent:
        sent.append(1)
        os.kill(os.getpid(), signal.SIGUSR1)
    write(self, content)

private.Unfinished.write = writing
from layerline.compiler.compilation import compile_network
from layerline.compiler.kernels.optimizers import Sgd
from layerline.compiler.machine import host
from layerline.compiler.task import Task
try:
    compile_network(layerline.parse("Input 1 6 6\\nFlat\\nFC 3\\n"), host(), Task(8, Sgd(decay=False)))
except Stop:
    print(*sorted(name[-5:] for name in os.listdir(os.environ["LAYERLINE_CODE_CACHE"])))
"""


def script(folder: Path, text: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(SOURCES), "LAYERLINE_CODE_CACHE": str(folder)}
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", TRAIN + text], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_four_processes_fill_it_at_once(folder: Path) -> None:
    """All train to the same bits, and each file is there once, complete."""
    running = [script(folder, "print(train())") for _ in range(4)]
    said = {process.communicate(timeout=120) for process in running}
    assert len(said) == 1
    assert next(iter(said))[1] == ""
    files = list(folder.iterdir())
    assert {path.suffix for path in files} == {".code"}
    for path in files:
        content = path.read_bytes()
        assert content[25:57].hex() == path.stem
        assert hashlib.sha256(content[HEAD:]).digest() == content[65:HEAD]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="rights are others there")
def test_a_fork_waits_for_the_file(folder: Path) -> None:
    """A child that is forked while a thread writes code finds no unfinished file, and compiles and stores its own."""
    process = script(folder, FORK)
    assert process.communicate(timeout=240) == ("0\n", "")
    assert not list(folder.glob("*.part"))


def test_a_signal_while_a_file_is_written_leaves_it_complete(folder: Path) -> None:
    """The exception of a signal's handler comes after the file has its name."""
    process = script(folder, INTERRUPTED)
    assert process.communicate(timeout=120) == (".code\n", "")


# -- memory ---------------------------------------------------------------------------------------


def test_code_is_freed_with_its_last_reference(compiler: Compiler, folder: Path) -> None:
    """Code from disk owns its memory: the object's bytes may go, and when it goes itself, LLVM's engine does."""
    compiler()
    compiler.linked.clear()
    shutil.rmtree(folder)
    compilation.compiled_alone.cache_clear()
    gc.collect()
    jit.alone(lambda: None)
    before = len(jit._engines)
    object_of_it = jit.object_code(
        object_code.write_module(compilation.plan(parse(TEXT, name="n"), host(), TASK), host()), host()
    )
    codes = [jit.linked(bytes(bytearray(object_of_it)), host(), ["train"]) for _ in range(50)]
    assert len({code.addresses["train"] for code in codes}) == 50
    assert len(jit._engines) == before + 50
    codes.clear()
    compiler.linked.clear()
    gc.collect()
    jit.alone(lambda: None)
    assert len(jit._engines) == before


def test_a_warning_that_is_an_error_leaves_the_code(compiler: Compiler, folder: Path) -> None:
    """With warnings as errors, the first compilation raises it; the next finds its code."""
    compiler()
    kept(folder).write_bytes(b"")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(CodeCacheWarning):
            compiler()
        compilation.compile_network(parse(TEXT, name="n"), host(), TASK)
    assert compiler.written == 2
