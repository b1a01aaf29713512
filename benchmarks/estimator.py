"""The benefit of caching machine code in memory, in scikit-learn: fits of one network on few images, with and without
the cache; the cache on disk is off.

    python benchmarks/estimator.py

Five-fold cross-validation on digits, with as few epochs as a search uses, alternating between clearing the cache before
each fit and keeping it; and scikit-learn's own estimator checks, likewise.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from typing import TYPE_CHECKING, Any

import sklearn
from conditions import spread, write
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import check_estimator

from layerline.compiler.code_cache import VARIABLE
from layerline.compiler.compilation import compiled_alone, plan
from layerline.sklearn import ConvNetClassifier
from layerline.sklearn.course import Course

if TYPE_CHECKING:
    from collections.abc import Callable


def forgetful(fit: Callable[..., Course]) -> Callable[..., Course]:
    """Return a fit that first clears the cached code."""

    def forgetting(*arguments: Any) -> Course:
        compiled_alone.cache_clear()
        plan.cache_clear()
        return fit(*arguments)

    return forgetting


def seconds(work: Callable[[], object], *, kept: bool) -> float:
    """Return the time of some fits in seconds."""
    whole = Course.fitted
    compiled_alone.cache_clear()
    plan.cache_clear()
    if not kept:
        Course.fitted = forgetful(whole)  # type: ignore[method-assign]  # while it is timed
    start = time.perf_counter()
    work()
    taken = time.perf_counter() - start
    Course.fitted = whole  # type: ignore[method-assign]
    return taken


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=7)
    pairs = parser.parse_args().pairs
    os.environ[VARIABLE] = "no"
    X, y = load_digits(return_X_y=True)
    short = ConvNetClassifier(epochs=5, threads=1)
    works: dict[str, Callable[[], object]] = {
        "five folds": lambda: cross_val_score(short, X, y, cv=5),
        "check_estimator": lambda: check_estimator(ConvNetClassifier(threads=1), on_skip=None),
    }
    result: dict[str, Any] = {"what": f"scikit-learn {sklearn.__version__}, the default network, seconds, alternating"}
    warnings.simplefilter("ignore")
    for name, work in works.items():
        times: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(pairs):
            for kept, taken in times.items():
                taken.append(seconds(work, kept=kept))
        result[name] = {"forgotten": spread(times[False]), "kept": spread(times[True]), "pairs": pairs}
        uncached, cached = (result[name][key]["median"] for key in ("forgotten", "kept"))
        print(f"{name}: uncached {uncached:.2f} s, cached {cached:.2f} s")
    write("estimator", result)


if __name__ == "__main__":
    main()
