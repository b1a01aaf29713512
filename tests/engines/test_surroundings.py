"""What an engine does not depend on: what a library asked of the processor, where libraries are in memory, and how many
threads the system starts."""

from __future__ import annotations

import _thread
import contextlib
import ctypes
import hashlib
import platform
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import small_data

from layerline.engines import make
from layerline.engines.epoch import Epoch
from layerline.errors import UserError
from layerline.network import parse
from layerline.recipe import Recipe
from layerline.system import workers

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = small_data.dataset(64, validation=None, test=None)
NETWORK = parse("Flat\nFC classes\n", input_shape=DATA.shape, classes=3)
STEPS = 150
REGISTERS = {"x86_64": (28, 0x8040), "aarch64": (0, 1 << 24)}
"""Machine → where fenv_t of glibc has MXCSR or FPCR, and the bits that take what is below 1.2e-38 for zero."""


@contextlib.contextmanager
def tiny_numbers_are_zero() -> Iterator[None]:
    """Do what the start of a library compiled with -ffast-math does in this thread."""
    library = ctypes.CDLL("libm.so.6")
    before, changed = ctypes.create_string_buffer(256), ctypes.create_string_buffer(256)
    library.fegetenv(before)
    library.fegetenv(changed)
    at, bits = REGISTERS[platform.machine()]
    word = ctypes.c_uint32.from_buffer(changed, at)
    word.value |= bits
    library.fesetenv(changed)
    try:
        yield
    finally:
        library.fesetenv(before)


def trained(threads: int = 2) -> tuple[str, int]:
    """Return the digest of weights and probabilities, and how many weights are below 1.2e-38 and not zero.

    The upper third of the images is made black, so that its weights do nothing but decay: 0.55¹⁵⁰ = 1e-39.
    """
    images = small_data.images(64)
    images.images[:, :, :2] = 0
    recipe = Recipe(batch_size=64, weight_decay=0.9, momentum=0.0)
    engine = make("compiled", NETWORK, DATA.scaling, recipe, threads)
    for number in range(STEPS):
        order = np.random.default_rng(number).permutation(64).astype(np.int64)
        assert engine.train(Epoch(images, order, np.array([0.5])), 0) == 1
    weights = engine.state().weights
    bits = np.concatenate([each.ravel().view(np.int32) & 0x7FFFFFFF for each in weights.values()])
    outputs = engine.evaluate(DATA.train).probabilities
    content = b"".join(each.tobytes() for each in (*weights.values(), outputs))
    return hashlib.sha256(content).hexdigest(), int(np.count_nonzero((bits > 0) & (bits < 0x00800000)))


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in REGISTERS or platform.libc_ver()[0] != "glibc",
    reason="knows the registers of glibc",
)
def test_another_library_s_arithmetic_changes_no_bit() -> None:
    """Where a library made the processor take tiny numbers for zero, weights end in the same bits; afterwards that
    library finds what it had asked for."""
    expected, tiny = trained()
    assert tiny > 0  # there is something to be taken for zero
    with tiny_numbers_are_zero():
        assert np.float32(1e-39) * np.float32(0.5) == 0
        found = trained()
        assert np.float32(1e-39) * np.float32(0.5) == 0
    assert np.float32(1e-39) * np.float32(0.5) != 0
    assert found == (expected, tiny)


SCATTERED = """
import ctypes, mmap
from layerline.compiler.compilation import compile_network
from layerline.compiler.kernels.optimizers import Sgd
from layerline.compiler.machine import host
from layerline.compiler.task import Task
from layerline.network import parse

task = Task(50, Sgd(momentum=True, decay=False))
network = parse("Input 1 28 28\\nConv 6 5\\nReLU\\nFlat\\nFC 10", name="n")
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]

def reserved(size):
    return libc.mmap(None, size, 0, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)

wall, above = reserved(3 << 30), []
while len(above) < 50_000 and (page := reserved(mmap.PAGESIZE)) > wall:
    above.append(page)
for page in above[::2]:
    libc.munmap(page, mmap.PAGESIZE)
compile_network(network, host(), task)
print("compiled")
"""
"""Takes 3 GB of addresses and every page above them, as Linux gives them from the top, and gives single pages back."""


@pytest.mark.skipif(sys.platform != "linux", reason="knows how Linux gives out addresses")
def test_code_compiles_where_memory_is_scattered() -> None:
    """Code compiles where only single pages are free above 3 GB that are taken, as among the libraries of CUDA."""
    ended = subprocess.run([sys.executable, "-c", SCATTERED], capture_output=True, text=True)  # noqa: S603
    assert (ended.returncode, ended.stdout) == (0, "compiled\n"), ended.stderr


@pytest.mark.parametrize("allowed", [1, 3])
def test_fewer_threads_than_asked_for_do_the_same(allowed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system starts no more threads (ulimit -u), those that are there do all of it, to the same bits."""
    expected, begin, started = trained(threads=8), workers.start, workers.Workers._begin

    def fewer(self: workers.Workers) -> None:
        left = [allowed]

        def limited(*arguments: Any) -> None:
            if not left[0]:
                arguments[0].append(None)
                raise RuntimeError("can't start new thread")
            left[0] -= 1
            begin(*arguments)

        monkeypatch.setattr(workers, "start", limited)
        started(self)

    monkeypatch.setattr(workers.Workers, "_begin", fewer)
    assert trained(threads=8) == expected


def test_no_thread_at_all_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system starts none, it is an error with what to do, and not a wait without an end."""

    def none(*_: object) -> int:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", none)
    with pytest.raises(UserError) as caught:
        trained()
    assert str(caught.value) == (
        "the system cannot start a thread for training or prediction\n"
        "  help: raise the limit on processes (ulimit -u) or memory (ulimit -v)"
    )
