"""The threads that Layerline has in this process."""

from __future__ import annotations

import sys
import time

from layerline.system import workers


def threads_of_ours() -> int:
    """Return how many are left, when those that have just ended are gone."""
    for _ in range(1000):
        if _running() == 0:
            return 0
        time.sleep(0.001)
    return _running()


def _running() -> int:
    found = 0
    for frame in sys._current_frames().values():
        while frame.f_back is not None:
            frame = frame.f_back
        found += frame.f_code is workers._with_token.__code__
    return found
