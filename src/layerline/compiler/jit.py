"""All LLVM objects: a module of IR goes in, machine code that can be called comes out.

LLVM runs in a thread of ours, one at a time in a process (`alone`): an exception that a signal raises in the caller's
thread finds none of its locks half taken, and the thread has the stack that code generation takes. A process that forks
or ends waits for it: a child whose parent was compiling would wait for locks that nobody holds any more, and LLVM
crashes where its globals are destroyed under it.
"""

from __future__ import annotations

import atexit
import ctypes
import itertools
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from llvmlite import binding as llvm
from llvmlite.binding import ffi

from layerline.system.workers import aside, fork_waits_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from layerline.compiler.machine import Machine

T = TypeVar("T")

fork_waits_for(ffi.lib._lock._lock)  # llvmlite's own; a fork takes it after ours, as we do
_lock: Final[Any] = fork_waits_for(threading.RLock())
"""Held while LLVM works."""
_engines: Final[dict[int, Any]] = {}
"""LLVM's objects behind code, by its number: kept here, so that Python never disposes of them where it likes."""
_numbers: Final = itertools.count()
_unused: Final[deque[int]] = deque()
"""Numbers of code that nobody calls any more, to be disposed of where LLVM may work."""


def alone(work: Callable[[], T]) -> T:
    """Return what `work`, which uses LLVM, returns; nothing else in the process uses it meanwhile.

    An exception of a signal that comes while it works is raised when it is done.
    """
    if _lock._is_owned():  # inside such work; or where the process forks or ends, and a signal's handler asks
        return work()
    return aside(lambda: _locked(work))


def _locked(work: Callable[[], T]) -> T:
    with _lock:
        for _ in range(len(_unused)):
            del _engines[_unused.popleft()]
        return work()


atexit.register(_lock.acquire)  # and from then on only the thread in which the process ends may use LLVM


@dataclass(frozen=True, eq=False)
class Code:
    """Machine code in memory; it lives as long as this object."""

    number: int
    addresses: Mapping[str, int]

    def function(self, name: str, arguments: Sequence[Any]) -> Any:
        """Return a callable of the C signature void name(arguments…). Calling it releases the GIL."""
        return ctypes.CFUNCTYPE(None, *arguments)(self.addresses[name])

    def __del__(self, unused: Callable[[int], None] = _unused.append) -> None:
        """Leave LLVM's objects to the next who may use LLVM."""
        unused(self.number)


def optimized(text: str, machine: Machine) -> tuple[Any, Any]:
    """Return (module, target machine) after LLVM's passes: registers for variables, equal values once, no more.

    Tiles are unrolled and vectorized by our own hand, and addresses worked out by the pen, so that LLVM's loop passes
    and instcombine only cost time: with them resnet20 took 1.02 s instead of 0.90 s to compile, and trained no faster
    (Xeon at 2.6 GHz, 2026-11-28). What shapes addresses, loop strength reduction, is part of its code generator.
    """
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    module = llvm.parse_assembly(text)
    module.verify()
    target = llvm.Target.from_triple(machine.triple)
    target_machine = target.create_target_machine(
        cpu=machine.cpu, features=machine.features, opt=2, reloc="pic", codemodel="small"
    )
    builder = llvm.create_pass_builder(target_machine, llvm.create_pipeline_tuning_options(speed_level=1))
    passes = llvm.create_new_module_pass_manager()
    passes.add_sroa_pass()
    passes.add_simplify_cfg_pass()
    passes.add_new_gvn_pass()
    passes.run(module, builder)
    return module, target_machine


def compile_text(text: str, machine: Machine) -> Code:
    """Return the compiled functions of a module of LLVM IR.

    All its sections come from one stretch of memory (use_lmm): else LLVM puts constants more than 2 GB from the code
    where so much is mapped between two holes of the address space, and ends the process.
    """

    def work() -> Code:
        module, target_machine = optimized(text, machine)
        names = [f.name for f in module.functions if not f.is_declaration]
        engine = llvm.create_mcjit_compiler(module, target_machine, use_lmm=True)
        engine.finalize_object()
        code = Code(next(_numbers), {name: engine.get_function_address(name) for name in names})
        _engines[code.number] = engine
        return code

    return alone(work)


def optimized_text(text: str, machine: Machine) -> str:
    """Return the IR after LLVM's passes."""
    return alone(lambda: str(optimized(text, machine)[0]))


def assembly(text: str, machine: Machine) -> str:
    """Return the assembly of a module, as the JIT compiles it."""

    def work() -> str:
        module, target_machine = optimized(text, machine)
        return str(target_machine.emit_assembly(module))

    return alone(work)
