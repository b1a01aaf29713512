"""Guard zones around all memory that machine code writes to, and snapshots of process settings."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import os
import signal
import sys
import threading
import time
import traceback
import warnings
import weakref
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.engines import arena, predictor, trainer

if TYPE_CHECKING:
    from types import FrameType

ZONE: Final = 4096
"""Bytes per guard zone, on each side."""
PATTERN: Final = 0xA5
KEPT: Final = 400
"""Maximum freed buffers that are still watched."""
KEPT_BYTES: Final = 100_000_000


@dataclass
class _Guarded:
    view: weakref.ref[Any]
    held: Any
    start: int
    size: int
    freed: int | None = None
    """Checksum of the contents when the buffer was first seen to be freed."""

    def fault(self) -> str | None:
        end = self.start + self.size
        before, behind = self.held[self.start - ZONE : self.start], self.held[end : end + ZONE]
        for name, zone in (("before", before), ("after", behind)):
            changed = np.flatnonzero(zone != PATTERN)
            if len(changed):
                return f"guard zone {name} a buffer of {self.size} bytes: {len(changed)} changed, first {changed[0]}"
        return None


class Canaries:
    """Puts each arena, scratch, control word and output between two guard zones, and watches them, even once freed."""

    def __init__(self) -> None:
        """Hook the memory allocation of layerline.engines."""
        self._all: list[_Guarded] = []
        given: Any
        for given in (arena, predictor, trainer):
            given.aligned = self._aligned
        for given in (predictor, trainer):
            given.np = _Numpy(self)

    def _aligned(self, size: int) -> Any:
        return self._buffer((size,), np.dtype(np.uint8), 0)

    def _buffer(self, shape: Any, kind: np.dtype[Any], value: int) -> Any:
        size = int(np.prod(shape)) * kind.itemsize
        held = np.full(size + 2 * ZONE + arena.ALIGNED, PATTERN, np.uint8)
        start = ZONE + -(held.ctypes.data + ZONE) % arena.ALIGNED
        held[start : start + size] = value
        view = held[start : start + size].view(kind).reshape(shape)  # NumPy's view of a view references only `held`
        self._all.append(_Guarded(weakref.ref(view), held, start, size))
        return view

    def array(self, shape: Any, dtype: Any, value: int) -> Any:
        """Return an array between guard zones, with all bytes set to `value`."""
        return self._buffer(shape, np.dtype(dtype), value)

    def faults(self) -> list[str]:
        """Return the guard zones that have changed."""
        return [fault for each in tuple(self._all) if (fault := each.fault()) is not None]

    def settle(self) -> list[str]:
        """Return all faults, including writes to freed buffers; only while no other thread is running."""
        found = self.faults()
        freed = [each for each in self._all if each.view() is None]
        for each in freed:
            now = zlib.crc32(each.held[each.start : each.start + each.size])
            if each.freed is not None and now != each.freed:
                found.append(f"a freed buffer of {each.size} bytes was written to")
            each.freed = now
        forgotten, held = {id(each) for each in freed[:-KEPT]}, 0
        for each in reversed(freed):
            held += each.size
            if held > KEPT_BYTES:
                forgotten.add(id(each))
        self._all = [each for each in self._all if id(each) not in forgotten]
        return found


class _Numpy:
    """NumPy with `empty` and `zeros` between guard zones."""

    def __init__(self, canaries: Canaries) -> None:
        self._canaries = canaries

    def empty(self, shape: Any, dtype: Any = np.float64) -> Any:
        return self._canaries.array(shape, dtype, 0xFF)  # NaN unless written

    def zeros(self, shape: Any, dtype: Any = np.float64) -> Any:
        return self._canaries.array(shape, dtype, 0)

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


def plain_arithmetic() -> bool:
    """Return whether this thread has IEEE 754 defaults: round to nearest, denormals not flushed."""
    tiny = np.array([1e-42], np.float32)
    return ctypes.CDLL(None).fegetround() == 0 and bool((tiny * np.float32(0.5))[0] != 0)


class Settings:
    """A snapshot of the process settings, to compare and restore."""

    def __init__(self) -> None:
        """Take the snapshot."""
        self._before = self._now()

    def _now(self) -> dict[str, Any]:
        import matplotlib as mpl

        return {
            "warnings.filters": [each for each in warnings.filters if not _is_of_science(each)],
            "warnings.showwarning": warnings.showwarning,
            "rcParams": dict(mpl.rcParams),
            "handlers": [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)],
            "stack_size": threading.stack_size(),
            "gc": gc.isenabled(),
            "cwd": os.getcwd(),  # noqa: PTH109 - as the system reports it
            "environ": dict(os.environ),
            "errstate": np.geterr(),
            "switch": sys.getswitchinterval(),
            "font_log": logging.getLogger("matplotlib.font_manager").level,
            "hooks": (sys.excepthook, threading.excepthook),
            "arithmetic": plain_arithmetic(),
        }

    def changed(self) -> list[str]:
        """Return the settings that changed, and restore those that would be reported repeatedly."""
        import matplotlib as mpl

        now, before = self._now(), self._before
        found = []
        for name, value in before.items():
            if now[name] == value:
                continue
            detail = ""
            if name == "rcParams":
                detail = " " + ", ".join(key for key in value if now[name].get(key) != value[key])[:200]
                dict.update(mpl.rcParams, value)
            elif name == "warnings.filters":
                detail = f" now begin with {now[name][:2]}"
                warnings.filters[:] = value  # type: ignore[index]
            elif name == "font_log":
                logging.getLogger("matplotlib.font_manager").setLevel(value)
            elif name == "handlers":
                detail = f" {now[name]}"
                for number, handler in zip(
                    (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM), value, strict=True
                ):
                    signal.signal(number, handler)
            else:
                detail = f" {now[name]!r:.200} was {value!r:.200}"
            found.append(f"settings: {name} changed{detail}")
        return found


def _is_of_science(given: Any) -> bool:
    """Return whether a warning filter belongs to scikit-learn or its dependencies, which set some temporarily or when
    imported."""
    return given[2].__module__.partition(".")[0] in ("numpy", "scipy", "sklearn")


def threads_left(patience: float = 5.0) -> list[str]:
    """Return the stacks of layerline's threads that do not finish."""
    end = time.monotonic() + patience
    while True:
        left = _ours()
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.01)


def _ours() -> list[str]:
    """Return the stacks of the threads started by layerline.system.workers, which all start in the same function."""
    from layerline.system import workers

    found = []
    for frame in sys._current_frames().values():
        first: FrameType | None = frame
        while first is not None and first.f_back is not None:
            first = first.f_back
        if first is not None and first.f_code is workers._with_token.__code__:
            found.append("; ".join(f"{each.filename}:{each.lineno}" for each in traceback.extract_stack(frame)[-4:]))
    return found


def locks_held() -> list[str]:
    """Return layerline's locks that another thread cannot acquire, and release those that this thread holds."""
    from llvmlite.binding import ffi

    from layerline.compiler import jit
    from layerline.system import workers

    locks = {"IMPORTS": workers.IMPORTS, "MATRICES": workers.MATRICES, "_STACKS": workers._STACKS}
    locks |= {"jit._lock": jit._lock, "llvmlite's": ffi.lib._lock._lock}
    held: list[str] = []

    def look() -> None:
        for name, lock in locks.items():
            if lock.acquire(timeout=2):
                lock.release()
            else:
                held.append(name)

    thread = threading.Thread(target=look, name="looking")
    thread.start()
    thread.join()
    for name in held:
        with contextlib.suppress(RuntimeError):
            while True:
                locks[name].release()
    return held


def resident() -> float:
    """Return the resident memory of this process in MB (Linux)."""
    with open("/proc/self/statm") as file:  # noqa: PTH123 - called hundreds of times
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
