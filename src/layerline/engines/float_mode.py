"""Runs machine code with IEEE 754 arithmetic, whatever mode a library has set.

A library compiled with -ffast-math makes the CPU flush numbers below 1.2·10⁻³⁸ to zero, in the thread that loads it and
in the threads started by it; another may leave a rounding mode other than to nearest. Decaying weights would then end
with different bits.
"""

from __future__ import annotations

import ctypes
import functools
import platform
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_KNOWN: Final = sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64")
_DEFAULT: Final = ctypes.c_void_p(-1)
"""FE_DFL_ENV of glibc and musl."""
_Mode: Final = ctypes.c_char * 256
"""Memory for a fenv_t, which has 32 bytes on x86-64 and 8 on aarch64."""


@functools.cache
def _functions() -> tuple[Any, Any]:
    """Return fegetenv and fesetenv of the math library: the one that Python has loaded, or glibc's."""
    loaded = ctypes.PyDLL(None)  # calls that take 10 ns: releasing the GIL would take longer
    library = loaded if hasattr(loaded, "fesetenv") else ctypes.PyDLL("libm.so.6")
    return library.fegetenv, library.fesetenv


def in_ieee_mode(work: Callable[[], None]) -> None:
    """Call `work` with this thread in IEEE 754 mode, then restore the previous mode.

    On systems other than Linux it only calls `work`. A signal cannot prevent the restoring: Python handles signals
    after a call, and the calls here are inside `try`.
    """
    if not _KNOWN:
        work()
        return
    get, put = _functions()
    before = _Mode()
    get(before)
    try:
        put(_DEFAULT)
        work()
    finally:
        put(before)
