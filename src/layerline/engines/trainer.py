"""A training Program with its memory: one call runs many steps in all threads."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, final

import numpy as np

from layerline.compiler.calls import TRAIN_SCALARS, train_pointers
from layerline.compiler.tickets import CONTROL, WORDS_PER_LINE, control_words
from layerline.engines import float_mode
from layerline.engines.arena import Memory, aligned
from layerline.engines.interface import Running
from layerline.system.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from layerline.compiler.compilation import Compiled
    from layerline.compiler.program import Buffer
    from layerline.engines.epoch import Epoch
    from layerline.engines.exchanger import Exchanger


@final
class Control:
    """Memory shared by the training threads, which other threads read and set meanwhile: see compiler.tickets."""

    def __init__(self, threads: int) -> None:
        """Allocate memory for this many threads."""
        self.words = np.zeros(control_words(threads), np.int64)

    def begin(self, first: int, end: int, *, stop: bool) -> None:
        """Initialize for a call that runs steps `first` to `end` − 1."""
        self.words[:] = 0
        for name, value in (("stop", stop), ("done", first), ("end", end)):
            self.words[CONTROL.index(name) * WORDS_PER_LINE] = value

    def __getitem__(self, name: str) -> int:
        """Return a value by its name in tickets.CONTROL."""
        return int(self.words[CONTROL.index(name) * WORDS_PER_LINE])

    def stop(self) -> None:
        """Make the threads return after their current step."""
        self.words[CONTROL.index("stop") * WORDS_PER_LINE] = 1


@final
class Trainer:
    """Machine code that trains, the arena with everything that training changes, and scratch memory per thread."""

    def __init__(
        self, code: Compiled, classes: int, threads: int, constants: Mapping[str, NDArray[np.float32]]
    ) -> None:
        """Allocate memory. constants: the read-only arrays, by the name of the pointer they go to."""
        self.compiled, self.threads = code, threads
        self.memory = Memory(code)
        self.scratches = [aligned(code.schedule.scratch_bytes) for _ in range(threads)]
        self._constants, self._classes = dict(constants), classes
        types = [ctypes.c_int64] * len(TRAIN_SCALARS)
        self._pointers = tuple(train_pointers(code.schedule.program))
        self._function = code.code.function("train", [ctypes.c_void_p] * len(self._pointers) + types)

    def run(
        self,
        epoch: Epoch,
        tables: Mapping[str, NDArray[Any]],
        first: int,
        control: Control,
        exchanger: Exchanger | None = None,
    ) -> None:
        """Run steps from `first` on in all threads, up to control's `end`. Raises StoppedError like Workers.

        exchanger: for a Program whose sums are added up over several ranks.
        """
        arrays: dict[str, NDArray[Any]] = {
            "arena": self.memory.arena,
            "control": control.words,
            "images": epoch.images.images,
            "labels": epoch.images.labels,
            "order": epoch.order,
            **tables,
            **self._constants,
        }
        functions = {"yield_core": _library_address("sched_yield"), "nap": _library_address("usleep")}
        if exchanger is not None:
            functions["exchange"] = exchanger.address

        def work(thread: int) -> None:
            buffers = {**arrays, "scratch": self.scratches[thread]}  # kept alive here: machine code writes to them
            addresses = {**functions, **{name: array.ctypes.data for name, array in buffers.items()}}
            pointers = [addresses[name] for name in self._pointers]
            float_mode.in_ieee_mode(lambda: self._function(*pointers, first, len(epoch.order), thread, self.threads))

        Workers(work, self.threads, ask=control.stop).run()

    def running(self) -> Running:
        """Return the running loss and tallies."""
        tallies = sum(self._tallies(), np.zeros((3, self._classes), np.int64))
        return Running(float(self._total()[0]), tallies)

    def set_running(self, running: Running) -> None:
        """Set the running loss and tallies; all tallies go to the first thread, as only their sum matters."""
        self._total()[:] = (running.loss, 0.0)
        first, *others = self._tallies()
        first[:] = running.tallies
        for tallies in others:
            tallies[:] = 0

    def _buffer(self, name: str) -> Buffer:
        return next(b for b in self.compiled.schedule.program.buffers if b.name == name)

    def _tallies(self) -> list[NDArray[np.int64]]:
        at, n = self.compiled.schedule.in_scratch[self._buffer("tallies")], 3 * self._classes
        return [scratch[at : at + 8 * n].view(np.int64).reshape(3, -1) for scratch in self.scratches]

    def _total(self) -> NDArray[np.float64]:
        at = self.compiled.schedule.in_arena[self._buffer("total")]
        return self.memory.arena[at : at + 16].view(np.float64)


def _library_address(name: str) -> int:
    """Return the address of a C library function, which machine code calls through a pointer."""
    return ctypes.cast(getattr(ctypes.CDLL(None), name), ctypes.c_void_p).value or 0
