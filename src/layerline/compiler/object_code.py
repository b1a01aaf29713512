"""The object file of a Schedule, for any machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerline.compiler import code_cache, jit
from layerline.compiler.code_key import key_of
from layerline.compiler.driver import write_module

if TYPE_CHECKING:
    from layerline.compiler.machine import Machine
    from layerline.compiler.program import Schedule


def object_of(planned: Schedule, machine: Machine) -> bytes:
    """Return the object file, from the cache on disk if it is there, else put there."""
    key = key_of(planned, machine)
    return code_cache.cached(key, lambda: jit.object_code(write_module(planned, machine), machine))
