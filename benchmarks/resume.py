"""Random trainings, interrupted anywhere and resumed, compared with uninterrupted ones: results are bit-identical.

    python benchmarks/resume.py --trainings 200

The trainings are those of the tests (tests/interrupted.py): any layers, optimizer, schedule and augmentation. Each is
interrupted after a random step of a random epoch, and every second one resumes with a different number of threads. No
graphs are drawn.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from conditions import write

from layerline.training import session

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))


def main() -> None:
    """Interrupt, resume, compare, and write the results; the first difference aborts the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainings", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="the seed of the first training")
    options = parser.parse_args()
    session._Training._illustrate = lambda *_: []  # type: ignore[method-assign]
    counts: Counter[str] = Counter()
    begin = time.perf_counter()
    for seed in range(options.first, options.first + options.trainings):
        with tempfile.TemporaryDirectory(prefix="layerline-resume-") as scratch:
            counts.update(compared(seed, Path(scratch)))
        if seed % 20 == 19:
            print(f"{counts['trainings']} trainings: all resumed to bit-identical results", flush=True)
    result = {
        "what": "random trainings interrupted and resumed: equal SHA-256 of weights, optimizer, history, model, result",
        "first_seed": options.first,
        **dict(sorted(counts.items())),
        "that_differ": 0,
        "seconds": time.perf_counter() - begin,
    }
    print(json.dumps(result, indent=2))
    write("resume", result)


def compared(seed: int, scratch: Path) -> Counter[str]:
    """Run one training with and without an interruption, and return its features. A difference aborts the benchmark."""
    from interrupted import gone_on, traces, trained, training  # type: ignore[import-not-found]  # in tests/

    rng = Random(seed)  # noqa: S311 - for random trainings
    case = training(rng)
    epoch, step = rng.randint(1, case.recipe.epochs), rng.randint(1, case.steps)
    before, after = (1, 1) if seed % 2 else rng.choice([(1, 2), (2, 1)])
    whole, cut = scratch / "whole", scratch / "cut"
    trained(case, whole)
    stopped = trained(case, cut, (epoch, step), threads=before)
    gone_on(case, cut, threads=after)
    found, expected = traces(cut), traces(whole)
    if differing := [key for key in expected if found[key] != expected[key]]:
        kept = Path(tempfile.gettempdir()) / f"resume-{seed}"
        shutil.copytree(scratch, kept)
        place = f"interrupted at step {step} of epoch {epoch}, {before} then {after} threads"
        raise SystemExit(f"seed {seed}, {place}: {', '.join(differing)} differ (see {kept})\n{case.network.text}")
    return _kinds(case, stopped.stopped is not None, step < case.steps, before != after)


def _kinds(case: Any, stopped: bool, within: bool, other_threads: bool) -> Counter[str]:
    """Return the features under which a training is counted."""
    recipe = case.recipe
    kinds = {node.layer.kind for node in case.network.nodes}
    facts = {
        "trainings": True,
        "cut": stopped,
        "cut_within_an_epoch": within,
        "with_other_threads": other_threads,
        f"with_{recipe.optimizer}": True,
        "with_augmentation": recipe.augment is not None,
        "with_dropout": "dropout" in kinds,
        "with_batch_norm": "batch_norm" in kinds,
        "with_average": recipe.ema is not None,
        "with_validation": case.data.validation is not None,
    }
    return Counter(name for name, holds in facts.items() if holds)


if __name__ == "__main__":
    main()
