"""All LLVM objects: a module of IR goes in, machine code that can be called comes out."""

from __future__ import annotations

import ctypes
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llvmlite import binding as llvm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerline.compiler.machine import Machine

_lock = threading.Lock()  # LLVM compiles are serial in a process


@dataclass(frozen=True, eq=False)
class Code:
    """Machine code in memory; it lives as long as this object."""

    engine: Any
    names: frozenset[str]

    def function(self, name: str, arguments: Sequence[Any]) -> Any:
        """Return a callable of the C signature void name(arguments…). Calling it releases the GIL."""
        if name not in self.names:  # LLVM aborts the process when asked for a name it does not know
            raise KeyError(name)
        return ctypes.CFUNCTYPE(None, *arguments)(self.engine.get_function_address(name))


def optimised(text: str, machine: Machine) -> tuple[Any, Any]:
    """Return (module, target machine) after LLVM's passes: registers for variables, equal values once, no more.

    Tiles are unrolled and vectorised by our own hand, and addresses worked out by the pen, so that LLVM's loop passes
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

    Code and constants are in one piece of memory (`use_lmm`). LLVM's own manager asks the system for each separately,
    and aborts the process where they end up more than 2 GB apart: so it did beside PyTorch's CUDA libraries, which are
    3 GB with gaps of a few pages.
    """
    with _lock:
        module, target_machine = optimised(text, machine)
        names = frozenset(f.name for f in module.functions if not f.is_declaration)
        engine = llvm.create_mcjit_compiler(module, target_machine, use_lmm=True)
        engine.finalize_object()
    return Code(engine, names)


def optimised_text(text: str, machine: Machine) -> str:
    """Return the IR after LLVM's passes."""
    with _lock:
        return str(optimised(text, machine)[0])


def assembly(text: str, machine: Machine) -> str:
    """Return the assembly of a module, as the JIT compiles it."""
    with _lock:
        module, target_machine = optimised(text, machine)
        return str(target_machine.emit_assembly(module))
