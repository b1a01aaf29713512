"""The arithmetic that machine code is written for: IEEE 754's, whatever a library has asked the processor for.

A library compiled with -ffast-math lets the processor take numbers below 1.2·10⁻³⁸ for zero, in the thread that loads
it and in those that this one starts; another may leave a rounding that is not to nearest. Weights that decay would
then end in other bits.
"""

from __future__ import annotations

import ctypes
import functools
import platform
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_KNOWN: Final = sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64")
_DEFAULT: Final = ctypes.c_void_p(-1)
"""FE_DFL_ENV of glibc and musl."""
_ROOM: Final = 256
"""Bytes; a fenv_t has 32 on x86-64 and 8 on aarch64."""


@functools.cache
def _library() -> ctypes.CDLL:
    """Return the library of mathematics: Python has loaded it, or it is glibc's."""
    loaded = ctypes.CDLL(None)
    return loaded if hasattr(loaded, "fesetenv") else ctypes.CDLL("libm.so.6")


def plainly(work: Callable[[], None]) -> None:
    """Do some work while this thread computes as IEEE 754 says; then it computes as before.

    Elsewhere than on Linux it does the work and no more. No signal finds the thread between the two: Python takes
    signals after a call, and the call that is under way here is inside `try`.
    """
    if not _KNOWN:
        work()
        return
    library = _library()
    before = ctypes.create_string_buffer(_ROOM)
    library.fegetenv(before)
    try:
        library.fesetenv(_DEFAULT)
        work()
    finally:
        library.fesetenv(before)
