"""A cold compilation, stage by stage: CPU seconds of each, for every preset and the images that it is made for.

    python benchmarks/compiling.py
    python benchmarks/compiling.py --presets resnet20 --kinds

Training by Muon, as `layerline train` chooses it, and prediction of one image. "first" is the whole in a new process
without a cache of machine code; the stages are the smallest of --runs in this process, which is warm. --kinds: also of
each kind of kernel, every kernel in a module of its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from conditions import write
from llvmlite import binding as llvm

from layerline.compiler import jit
from layerline.compiler.build import build
from layerline.compiler.code_cache import VARIABLE
from layerline.compiler.code_key import key_of
from layerline.compiler.compilation import compile_network, plan
from layerline.compiler.driver import module_of
from layerline.compiler.llvm_pen import LlvmPen
from layerline.compiler.machine import host
from layerline.compiler.passes import optimize
from layerline.compiler.schedule import schedule
from layerline.compiler.task import task_of
from layerline.network import presets, read
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from layerline.compiler.task import Task
    from layerline.network import Network

COLOR: Final = ("mobile-small", "photo-small", "resnet20", "vgg-small")


class Stages:
    """CPU seconds by stage."""

    def __init__(self) -> None:
        """Begin with the first stage."""
        self.seconds: dict[str, float] = {}
        self._since = time.thread_time()

    def end(self, stage: str) -> None:
        """End a stage, and begin the next."""
        now = time.thread_time()
        self.seconds[stage] = now - self._since
        self._since = now


def subject(preset: str, *, training: bool) -> tuple[Network, Task]:
    """Return a preset and what is compiled for it."""
    size = {"digits": 8, "photo-small": 128}.get(preset, 32 if preset in COLOR else 28)
    network = read(preset, input_shape=(3 if preset in COLOR else 1, size, size), classes=10)
    return network, task_of(Recipe(optimizer="muon", momentum=0.95, batch_size=64), training=training)


def emitted(text: str, stages: Stages) -> bytes:
    """Return the object of a module, as `jit.object_code` makes it."""
    machine = host()
    parsed = llvm.parse_assembly(text)
    stages.end("parsing")
    parsed.verify()
    stages.end("verifying")
    module, target = jit.optimized(text, machine)
    stages.end("LLVM's passes")
    code = bytes(target.emit_object(module))
    stages.end("code generation")
    # jit.optimized parses and verifies, too
    stages.seconds["LLVM's passes"] -= stages.seconds["parsing"] + stages.seconds["verifying"]
    return code


def compiled(network: Network, task: Task) -> dict[str, float]:
    """Return the CPU seconds of the stages of one compilation."""
    machine, stages = host(), Stages()
    program = build(network, machine, task)
    stages.end("building")
    program = optimize(program, machine, exact=task.exact)
    stages.end("passes")
    planned = schedule(program)
    key_of(planned, machine)
    stages.end("schedule, key")
    text = str(module_of(planned, machine))
    stages.end("writing IR")
    code = emitted(text, stages)
    jit.linked(code, machine, ["train" if task.training else "predict"])
    stages.end("linking")
    return stages.seconds


def kinds(network: Network, task: Task) -> dict[str, tuple[int, float]]:
    """Return, for each kind of kernel, how many there are and the CPU seconds that they take, from pen to code."""
    found: dict[str, tuple[int, float]] = {}
    for kernel in dict.fromkeys(op.kernel for op in plan(network, host(), task).program.ops):
        began, module = time.thread_time(), LlvmPen.module(host())
        pen = LlvmPen.begin(module, host(), kernel.symbol, kernel.pointers, kernel.scalars)
        kernel.write(pen)
        pen.end()
        optimized, target = jit.optimized(str(module), host())
        target.emit_object(optimized)
        number, seconds = found.get(type(kernel).__name__, (0, 0.0))
        found[type(kernel).__name__] = number + 1, seconds + time.thread_time() - began
    return dict(sorted(found.items(), key=lambda item: -item[1][1]))


def first(preset: str, *, training: bool) -> float:
    """Return the CPU seconds of a compilation that is the first of its process."""
    command = [sys.executable, __file__, "--presets", preset, "--first", "training" if training else "prediction"]
    done = subprocess.run(command, env={**os.environ, VARIABLE: "no"}, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


def only_first(preset: str, *, training: bool) -> None:
    """Print what `first` returns, in the new process."""
    network, task = subject(preset, training=training)
    machine, began = host(), time.process_time()
    compile_network(network, machine, task)
    print(time.process_time() - began)


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", default=presets())
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--kinds", action="store_true")
    parser.add_argument("--first", choices=("training", "prediction"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.first:
        only_first(options.presets[0], training=options.first == "training")
        return
    result: dict[str, Any] = {}
    for preset in options.presets:
        for what in ("training", "prediction"):
            network, task = subject(preset, training=what == "training")
            runs = [compiled(network, task) for _ in range(options.runs)]
            stages = {stage: min(run[stage] for run in runs) for stage in runs[0]}
            whole = min(first(preset, training=what == "training") for _ in range(options.runs))
            result.setdefault(preset, {})[what] = {"first": whole, "stages": stages}
            print(f"{preset}, {what}: {whole:.3f} s; " + ", ".join(f"{a} {1e3 * b:.0f} ms" for a, b in stages.items()))
            if options.kinds:
                found = result[preset][what]["kinds"] = kinds(network, task)
                for kind, (number, seconds) in found.items():
                    print(f"    {number:3} {kind}: {1e3 * seconds:.0f} ms")
    write("compiling", {"what": "CPU seconds of cold compilations; Muon, batch size 64", "presets": result})


if __name__ == "__main__":
    main()
