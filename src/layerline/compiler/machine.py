"""The target machine: vector width, registers and instructions of one CPU."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Final

from layerline.errors import UserError


@dataclass(frozen=True)
class Target:
    """The baseline of an architecture, which every CPU of it has."""

    index_bits: int
    lanes: int
    registers: int
    fma: bool
    relocation: str = "pic"
    """LLVM's relocation model. Position-independent WebAssembly would import tables of addresses from a loader."""
    code_model: str = "small"
    """LLVM's code model; `small` is code and constants within 2 GB of each other."""
    trains: bool = True
    """Whether it has what training needs besides prediction: threads, and atomic 64-bit integers."""


_TARGETS: Final = {
    "x86_64": Target(64, 4, 16, False),
    "aarch64": Target(64, 4, 32, True),
    "arm64": Target(64, 4, 32, True),
    "wasm32": Target(32, 4, 16, False, "static", "default", trains=False),
    "thumbv7em": Target(32, 1, 32, True, "static", "default", trains=False),
    "c99": Target(32, 1, 12, False, trains=False),
}
"""The first part of a triple → the architecture; others are treated as scalar 64-bit machines."""


def _target(triple: str) -> Target:
    return _TARGETS.get(triple.partition("-")[0], Target(64, 1, 16, False))


@dataclass(frozen=True)
class Machine:
    """One CPU as the code generator sees it. Equal machines get bit-identical results."""

    triple: str
    cpu: str
    features: str
    lanes: int
    """float32 values in the widest vector: 16, 8, 4, or 1."""
    registers: int
    """Architectural vector registers."""
    fma: bool
    """Whether a·b + c is one instruction with one rounding; otherwise it is two, with two roundings."""

    @property
    def index_bits(self) -> int:
        """Return the width of an address, and so of an index, in bits."""
        return self.target.index_bits

    @property
    def target(self) -> Target:
        """Return the facts of its architecture."""
        return _target(self.triple)

    @property
    def alignment(self) -> int:
        """Return the alignment of a vector in bytes: what memory needs where no cache line matters."""
        return 4 * self.lanes

    def lanes_for(self, n: int) -> int:
        """Return the lanes of the narrowest vector that holds n values, or of the widest available.

        A narrow vector is not slower per lane: a Zen 4 core does two 8-lane multiply-adds per cycle, or one of 16
        lanes, so that 6 filters use 6/8 of the throughput rather than 6/16.
        """
        for lanes in (1, 4, 8, 16):
            if n <= lanes <= self.lanes:
                return lanes
        return self.lanes

    @property
    def accumulators(self) -> int:
        """Return the registers a tile may accumulate in; the rest hold weights, a broadcast value and a temporary."""
        return self.registers - 4


_X86: Final = {  # CPUs that can be selected by name: lanes, registers, FMA
    "x86-64": (4, 16, False),
    "haswell": (8, 16, True),
    "x86-64-v3": (8, 16, True),
    "x86-64-v4": (16, 32, True),
}


_NAMED: Final = {  # machines that need not be of the host's family: triple, CPU, features
    "x86-64": ("x86_64-unknown-linux-gnu", "x86-64", ""),
    "aarch64": ("aarch64-unknown-linux-gnu", "generic", ""),
    "cortex-m4": ("thumbv7em-none-unknown-eabihf", "cortex-m4", ""),
    "wasm32": ("wasm32-unknown-unknown", "generic", "+bulk-memory,+nontrapping-fptoint,+sign-ext,+simd128"),
}
"""All browsers that have WebAssembly's vectors (+simd128) have its other features too."""


def target(name: str, lanes: int | None = None) -> Machine:
    """Return a machine of any architecture by name. Raises UserError if it is unknown, or does not have such lanes."""
    if name not in _NAMED:
        raise UserError(f"--target {name}: unknown target", "one of: " + ", ".join(_NAMED))
    triple, cpu, features = _NAMED[name]
    facts = _target(triple)
    return _narrowed(Machine(triple, cpu, features, facts.lanes, facts.registers, facts.fma), name, lanes)


@functools.cache
def host() -> Machine:
    """Return the host CPU."""
    from layerline.compiler import jit

    return jit.alone(_host)


def _host() -> Machine:
    from llvmlite import binding as llvm

    triple, cpu = llvm.get_process_triple(), llvm.get_host_cpu_name()
    features = llvm.get_host_cpu_features()
    return Machine(triple, cpu, features.flatten(), *_widest(triple, features))


def _widest(triple: str, features: dict[str, bool]) -> tuple[int, int, bool]:
    facts = _target(triple)
    if not triple.startswith("x86_64"):
        return facts.lanes, facts.registers, facts.fma
    if features.get("avx512f") and features.get("avx512vl") and features.get("avx512dq"):
        return _X86["x86-64-v4"]
    if features.get("avx2") and features.get("fma"):
        return _X86["x86-64-v3"]
    return facts.lanes, facts.registers, bool(features.get("fma"))


def named(cpu: str | None = None, lanes: int | None = None) -> Machine:
    """Return the host, another CPU of its family by name, or either with narrower vectors.

    Raises UserError for an unknown CPU, or for lanes that the CPU does not have.
    """
    machine = host()
    if cpu is not None:
        if cpu not in _X86 or not machine.triple.startswith("x86_64"):
            raise UserError(f"--cpu {cpu}: unknown CPU", "on x86-64 one of: " + ", ".join(_X86))
        machine = Machine(machine.triple, cpu, "", *_X86[cpu])
    return _narrowed(machine, machine.cpu, lanes)


def check_runs_here(machine: Machine) -> None:
    """Raise UserError unless this computer can run a machine's code: an unknown instruction would end the process."""
    here = host()
    runs = [name for name, facts in _X86.items() if facts[0] <= here.lanes and (here.fma or not facts[2])]
    if machine.lanes > here.lanes or (machine.fma and not here.fma):
        raise UserError(
            f"--cpu {machine.cpu}: this computer's CPU ({here.cpu}) does not have its instructions",
            "it has those of: " + ", ".join(runs),
        )


def _narrowed(machine: Machine, name: str, lanes: int | None) -> Machine:
    """Return a machine that uses vectors of `lanes` only. Raises UserError if it has none of that width."""
    if lanes is None:
        return machine
    known = [width for width in (1, 4, 8, 16) if width <= machine.lanes]
    if lanes not in known:
        widths = ", ".join(map(str, known))
        raise UserError(f"--lanes {lanes}: {name} has no vectors of that width", f"one of: {widths}")
    return replace(machine, lanes=lanes)
