"""Exported C compared with the engine, bit for bit: random networks and every preset, at one lane and at four.

    python benchmarks/c_networks.py --networks 200

Each network is exported, compiled with warnings as errors, checked for undefined symbols, run on images, and compared
with the engine for `x86-64` at the same lanes; then it is compiled with the undefined-behavior and address sanitizers
and runs its self-test. With --cross, presets also run their self-test on an emulated aarch64 CPU.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from conditions import write

import layerline

if TYPE_CHECKING:
    from layerline.export.subject import Subject

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

COMPILERS: Final = ("gcc", "clang")
SANITIZERS: Final = ("-O1", "-fsanitize=undefined,address", "-fno-sanitize-recover=all")


def main() -> None:
    """Compare all networks, and write how many differ."""
    import trained_like  # type: ignore[import-not-found]  # in tests/
    from c_models import exported  # type: ignore[import-not-found]
    from preset_shapes import SHAPES  # type: ignore[import-not-found]

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--images", type=int, default=3)
    parser.add_argument("--cross", action="store_true")
    options = parser.parse_args()
    drawn = {
        f"random {seed}": trained_like.drawn(seed) for seed in range(options.first, options.first + options.networks)
    }
    presets = {
        name: trained_like.subject_of(layerline.read(name, input_shape=shape, classes=10), 3)
        for name, shape in SHAPES.items()
    }
    found: list[dict[str, Any]] = []
    for name, subject in {**presets, **drawn}.items():
        for lanes in (1, 4):
            with tempfile.TemporaryDirectory() as folder:
                made = exported(subject, Path(folder), lanes=lanes)
                found.append({"network": name, "lanes": lanes, **compared(made, subject, options.images)})
                if options.cross and name in presets:
                    found[-1]["aarch64"] = aarch64(made)
        bad = [one for one in found if faults(one)]
        print(name, f"{len(found)} done, {len(bad)} bad", *bad[-2:], flush=True)
    write("c-networks", {"networks": options.networks, "bad": [one for one in found if faults(one)], "found": found})


def compared(made: Any, subject: Subject, count: int) -> dict[str, Any]:
    """Return the differing bits, undefined symbols, and exit statuses of an exported network."""
    import trained_like
    from c_compiler import symbols  # type: ignore[import-not-found]
    from c_models import engine

    images = trained_like.images_of(subject.network, count)
    expected = engine(subject, images, made.lanes)
    found: dict[str, Any] = {"bytes": len(made.source.read_bytes())}
    for compiler in COMPILERS:
        probabilities = made.library(compiler, "-O2")(images)
        found[f"{compiler}, differing"] = int((probabilities.view(np.int32) != expected.view(np.int32)).sum())
        found[f"{compiler}, undefined"] = symbols(made.object(compiler, "-O3"))
        found[f"{compiler}, sanitized"] = made.self_test(compiler, *SANITIZERS)
    return found


def faults(one: dict[str, Any]) -> bool:
    """Return whether anything is wrong with a network."""
    return any(value for key, value in one.items() if key not in ("network", "lanes", "bytes"))


def aarch64(made: Any) -> int:
    """Return the exit status of the self-test on an emulated aarch64 CPU."""
    program = made.program("aarch64-linux-gnu-gcc", "-O2", "-static")
    return subprocess.run(["qemu-aarch64", str(program)], check=False).returncode


if __name__ == "__main__":
    main()
