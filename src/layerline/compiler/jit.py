"""All LLVM objects: compiles a module of IR to machine code, and links that so that it can be called.

LLVM runs in a thread of our own, one at a time per process (`alone`), so that an exception raised by a signal in the
caller's thread cannot leave its locks half acquired, and so that code generation has a large enough stack. Forking and
exiting the process wait for it: a child forked during compilation would wait for locks that no thread holds any more,
and LLVM crashes if its globals are destroyed while it runs.
"""

from __future__ import annotations

import atexit
import ctypes
import itertools
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import llvmlite
from llvmlite import binding as llvm
from llvmlite.binding import ffi

from layerline.errors import UserError
from layerline.system.workers import aside, fork_waits_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from layerline.compiler.machine import Machine

T = TypeVar("T")

fork_waits_for(ffi.lib._lock._lock)  # llvmlite's own; a fork acquires it after ours, in the order we do
_POINTER_BITS: Final = 64
"""The size of a pointer for LLVM's passes in a module without a data layout."""
_OTHER_LLVM: Final = "install llvmlite from PyPI, which can: pip install --force-reinstall llvmlite"
_lock: Final[Any] = fork_waits_for(threading.RLock())
"""Held while LLVM runs."""
_engines: Final[dict[int, Any]] = {}
"""The LLVM objects that own each Code, by its number: referenced here so that Python never frees them at a random
time."""
_numbers: Final = itertools.count()
_unused: Final[deque[int]] = deque()
"""Numbers of unreferenced Code, to be freed the next time LLVM may run."""


def alone(work: Callable[[], T]) -> T:
    """Return the result of `work`, which has exclusive use of LLVM in this process.

    An exception raised by a signal meanwhile is delivered after it finishes.
    """
    if _lock._is_owned():  # nested call; or a signal handler during fork or exit
        return work()
    return aside(lambda: _locked(work))


def _locked(work: Callable[[], T]) -> T:
    with _lock:
        for _ in range(len(_unused)):
            del _engines[_unused.popleft()]
        return work()


atexit.register(_lock.acquire)  # from then on only the exiting thread may use LLVM


@dataclass(frozen=True, eq=False)
class Code:
    """Machine code in memory; it lives as long as this object."""

    number: int
    addresses: Mapping[str, int]

    def function(self, name: str, arguments: Sequence[Any]) -> Any:
        """Return a callable of the C signature void name(arguments…). Calling it releases the GIL."""
        return ctypes.CFUNCTYPE(None, *arguments)(self.addresses[name])

    def __del__(self, unused: Callable[[int], None] = _unused.append) -> None:
        """Leave the LLVM objects to be freed by the next user of LLVM."""
        unused(self.number)


def _target_machine(machine: Machine) -> Any:
    """Return LLVM's description of a machine."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    try:
        target = llvm.Target.from_triple(machine.triple)
    except RuntimeError as error:
        raise UserError(f"this llvmlite cannot generate code for {machine.triple}: {error}", _OTHER_LLVM) from error
    facts = machine.target
    return target.create_target_machine(
        cpu=machine.cpu, features=machine.features, opt=2, reloc=facts.relocation, codemodel=facts.code_model
    )


def optimized(text: str, machine: Machine) -> tuple[Any, Any]:
    """Return (module, target machine) after LLVM's passes: only SROA and CFG simplification.

    Kernels unroll and vectorize their tiles themselves, and the pen computes each address once, so LLVM's loop passes,
    instcombine and GVN only cost time: with the former resnet20 took 1.02 s instead of 0.90 s to compile (Xeon at 2.6
    GHz, 2026-11-28), with the latter 1.06 instead of 1.00 (Zen 5, 2026-11-30), and trained no faster. Loop strength
    reduction, which shapes addressing, is part of the code generator.
    """
    target_machine = _target_machine(machine)
    module = llvm.parse_assembly(text)
    if machine.index_bits != _POINTER_BITS:
        module.data_layout = str(target_machine.target_data)
    module.verify()
    builder = llvm.create_pass_builder(target_machine, llvm.create_pipeline_tuning_options(speed_level=1))
    passes = llvm.create_new_module_pass_manager()
    passes.add_sroa_pass()
    passes.add_simplify_cfg_pass()
    passes.run(module, builder)
    return module, target_machine


def object_code(text: str, machine: Machine) -> bytes:
    """Return the machine code of an LLVM IR module, as an object to be linked."""

    def work() -> bytes:
        module, target_machine = optimized(text, machine)
        return bytes(target_machine.emit_object(module))

    return alone(work)


def linked(code: bytes, machine: Machine, names: Sequence[str]) -> Code:
    """Return functions of an object, ready to be called. LLVM aborts the process if it has none of such a name.

    All its sections are allocated from one contiguous range (use_lmm): otherwise LLVM may place constants more than
    2 GB from the code if that much is mapped in between, and abort the process.
    """

    def work() -> Code:
        target_machine = _target_machine(machine)
        empty = llvm.parse_assembly(f'target triple = "{machine.triple}"')  # an engine cannot be made without a module
        engine = llvm.create_mcjit_compiler(empty, target_machine, use_lmm=True)
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        found = Code(next(_numbers), {name: engine.get_function_address(name) for name in names})
        _engines[found.number] = engine
        return found

    return alone(work)


def versions() -> tuple[str, ...]:
    """Return the versions that machine code depends on: of llvmlite and LLVM."""
    return llvmlite.__version__, *map(str, llvm.llvm_version_info)


def optimized_text(text: str, machine: Machine) -> str:
    """Return the IR after LLVM's passes."""
    return alone(lambda: str(optimized(text, machine)[0]))


def assembly(text: str, machine: Machine) -> str:
    """Return the assembly of a module, as the JIT compiles it."""

    def work() -> str:
        module, target_machine = optimized(text, machine)
        return str(target_machine.emit_assembly(module))

    return alone(work)
