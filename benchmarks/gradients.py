"""The gradient rule over many random networks from the whole vocabulary: errors against float64, and the worst one.

    python benchmarks/gradients.py --networks 1000 --seed 1

The rule and the oracle are those of the tests (tests/oracle.py). Networks that violate the rule are printed, and the
exit code is then 1.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from random import Random

from conditions import write

from layerline.compiler.machine import named

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))


def main() -> int:
    """Evaluate the networks and write the results."""
    from oracle import Verdicts, judge, random_case  # type: ignore[import-not-found]  # in tests/

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cpu", help="generate code for an older CPU, such as haswell")
    parser.add_argument("--lanes", type=int)
    options = parser.parse_args()
    machine = named(options.cpu, options.lanes)
    rng = Random(options.seed)  # noqa: S311 - for random networks
    verdicts, begin = Verdicts(), time.perf_counter()
    kinds: dict[str, int] = {}
    broken: list[list[str]] = []
    for number in range(options.networks):
        case = random_case(rng, verdicts)
        try:
            judge(case, verdicts, machine)
        except AssertionError as error:
            broken.append([f"network {number + 1}", *str(error).splitlines()])
            print("\n".join(broken[-1]), flush=True)
        for kind in {node.layer.kind for node in case.network.nodes}:
            kinds[kind] = kinds.get(kind, 0) + 1
    share, text = verdicts.worst
    result = {
        "what": "gradients of random networks against float64",
        "networks": options.networks,
        "seed": options.seed,
        "lanes_used": machine.lanes,
        "tensors": len(verdicts.ratios),
        "geometric_mean_of_our_error_over_pytorchs": verdicts.geometric_mean,
        "drawn_again": verdicts.drawn_again,
        "judged_by_rounding": verdicts.ill,
        "broken": broken,
        "worst": {"error_over_allowed": share, "network": text.splitlines()},
        "networks_with": dict(sorted(kinds.items())),
        "seconds": time.perf_counter() - begin,
    }
    print(f"{options.networks} networks, {len(verdicts.ratios):,d} tensors: {len(broken) or 'none'} violate the rule")
    print(f"geometric mean of our error / PyTorch's: {verdicts.geometric_mean:.3f}")
    print(f"redrawn {verdicts.drawn_again}, evaluated by rounding {verdicts.ill}; worst error / allowed {share:.2f}:")
    print(text)
    write(f"gradients-{machine.lanes}-lanes-seed-{options.seed}", result)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
