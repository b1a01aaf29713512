"""Do exported WebAssembly modules compute the bits of the host's code, and how fast are they? In Node.

    python benchmarks/web_networks.py --networks 200

Random networks from the whole vocabulary and all presets, with weights as if trained and random images, against
`--cpu x86-64 --lanes 4`. For presets: sizes, the time of an export, and µs per image.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from conditions import write

from layerline.export.web.module import web_module

if TYPE_CHECKING:
    from layerline.export.subject import Subject

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

IMAGES: Final = 7
AT_ONCE: Final = 25


def main() -> int:
    """Compare all networks and write the result."""
    import trained_like  # type: ignore[import-not-found]  # in tests/

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    different: list[str] = []
    for first in range(options.seed, options.seed + options.networks, AT_ONCE):
        seeds = range(first, min(first + AT_ONCE, options.seed + options.networks))
        subjects = {f"n{seed}": trained_like.subject_of(trained_like.random_network(seed), seed) for seed in seeds}
        different += _compared(subjects)[0]
        print(f"{seeds.stop - options.seed} networks, {len(different)} with different bits", flush=True)
    presets = {}
    for name in trained_like.SHAPES:
        subject = trained_like.subject_of(trained_like.network_of(name), 1)
        start = time.perf_counter()
        made = web_module(subject)
        seconds = time.perf_counter() - start
        wrong, times = _compared({name: subject}, timed=True)
        different += wrong
        presets[name] = {
            "module_bytes": len(made.content),
            "code_bytes": made.code,
            "memory_bytes": made.memory,
            "export_seconds": round(seconds, 3),
            "us_per_image": round(times[name], 1),
        }
        print(name, presets[name], "different bits" if wrong else "same bits", flush=True)
    what = "WebAssembly in Node against the host's code with 4 lanes"
    write("web_networks", {"what": what, "networks": options.networks, "different": different, "presets": presets})
    return int(bool(different))


def _compared(subjects: dict[str, Subject], *, timed: bool = False) -> tuple[list[str], dict[str, Any]]:
    """Return the names of the networks whose bits differ, and the times if requested."""
    import trained_like
    import web_models  # type: ignore[import-not-found]  # in tests/

    cases = {name: (each, trained_like.images_of(each.network, IMAGES, 3)) for name, each in subjects.items()}
    with tempfile.TemporaryDirectory() as folder:
        found, times = web_models.in_node(Path(folder), cases, timed=timed)
    wrong = [
        name
        for name, (subject, images) in cases.items()
        if found[name].tobytes() != trained_like.probabilities(subject, images, 4).tobytes()
    ]
    return wrong, times


if __name__ == "__main__":
    sys.exit(main())
