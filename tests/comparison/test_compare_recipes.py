"""`layerline compare` of two folders of seeds: Welch's test, the verdict, what is refused."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import report_runs
from click.testing import CliRunner
from scipy import stats

from layerline.cli.entry_point import layerline
from layerline.comparison import recipes
from layerline.comparison.recipes import compare_recipes, sentence, welch
from layerline.errors import UserError
from layerline.measure.student import mean_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def seeds(
    name: str,
    accuracy: Sequence[float] | None,
    f1: Sequence[float] | None = None,
    loss: Sequence[float] | None = None,
    runs: int = 3,
    **named: Any,
) -> Path:
    """Write a folder as `--seeds` leaves it, with these figures."""
    folder = Path(name)
    folder.mkdir()
    for seed in range(runs):
        report_runs.make(folder / f"seed-{seed}", test=report_runs.predicted(3, 30), **named)
    values = {"test_accuracy": accuracy, "test_macro_f1": f1 or accuracy, "validation_loss": loss}
    said: dict[str, Any] = {
        key: None if given is None else dataclasses.asdict(mean_of(given)) for key, given in values.items()
    }
    (folder / "seeds.json").write_text(json.dumps(said | {"runs": [f"seed-{seed}" for seed in range(runs)]}))
    return folder


def say(a: str, b: str) -> str:
    ended = CliRunner().invoke(layerline, ["compare", a, b], catch_exceptions=False)
    assert max(map(len, ended.stdout.splitlines())) <= 80
    return f"$ layerline compare {a} {b}\n{ended.stdout}"


def test_welch_by_hand() -> None:
    """1, 2, 3 against 2, 3, 4: difference 1, s² / n = 1/3 each, ν = 4, t = 1.2247, t_0.975 = 2.776445."""
    found = welch(mean_of([1.0, 2.0, 3.0]), mean_of([2.0, 3.0, 4.0]))
    assert found.value == 1.0
    assert found.high == pytest.approx(1 + 2.776445 * math.sqrt(2 / 3), abs=1e-5)
    assert found.p == pytest.approx(0.28786, abs=1e-5)
    assert welch(mean_of([1.0, 1.0]), mean_of([1.0, 1.0])).p == 1
    assert welch(mean_of([1.0, 1.0]), mean_of([2.0, 2.0])).significant


def test_welch_is_scipy_s() -> None:
    """For other samples p and interval are scipy's, with the ν that is no whole number."""
    rng = np.random.default_rng(0)
    for n, m in ((2, 2), (3, 5), (5, 5), (10, 4)):
        a, b = rng.normal(0, 1, n), rng.normal(1, 2, m)
        real = stats.ttest_ind(b, a, equal_var=False)
        found = welch(mean_of(a.tolist()), mean_of(b.tolist()))
        assert found.p == pytest.approx(real.pvalue, rel=1e-9)
        interval = real.confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-9)


def test_what_is_said(golden: Callable[[str, str], None]) -> None:
    """Shown and not shown, with another network; without a test set the validation loss decides."""
    seeds("low", [0.90, 0.91, 0.92], loss=[0.3, 0.31, 0.32])
    seeds("high", [0.95, 0.96, 0.955], loss=[0.2, 0.21, 0.22], network="Conv 8 3\nFlat\nFC classes\n")
    seeds("near", [0.905, 0.93, 0.90], loss=[0.2, 0.31, 0.32])
    seeds("untested-low", None, loss=[0.3, 0.31, 0.32])
    pairs = (("low", "high"), ("low", "near"), ("untested-low", "high"))
    golden("compare-recipes.txt", "\n".join(say(*pair) for pair in pairs))


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        (([0.8, 0.81], [0.5, 0.51]), ([0.9, 0.91], [0.6, 0.61]), "B is better: its mean accuracy is higher by 0.1000"),
        (([0.9, 0.91], [0.6, 0.61]), ([0.8, 0.81], [0.5, 0.51]), "A is better: its mean accuracy is higher by 0.1000"),
        (([0.9, 0.91], [0.5, 0.51]), ([0.8, 0.81], [0.6, 0.61]), "neither is better: A has the higher mean accuracy"),
        (([0.9, 0.7], [0.5, 0.51]), ([0.8, 0.81], [0.6, 0.61]), "B is better in macro F1, by 0.1000"),
        (
            ([0.9, 0.7], [0.5, 0.9]),
            ([0.8, 0.81], [0.6, 0.61]),
            "no significant difference: the mean accuracies differ by 0.0050",
        ),
    ],
)
def test_verdicts(a: Any, b: Any, verdict: str) -> None:
    """Each of the five, the better one named whichever side it is on."""
    assert sentence(compare_recipes(seeds("a", *a, runs=2), seeds("b", *b, runs=2))).startswith(verdict)


def test_the_lower_loss_is_the_better() -> None:
    """Without a test set, on both sides."""
    a, b = seeds("a", None, loss=[0.3, 0.31]), seeds("b", None, loss=[0.2, 0.21])
    assert sentence(compare_recipes(a, b)).startswith("B is better: its mean validation loss is lower by 0.1000")
    assert sentence(compare_recipes(b, a)).startswith("A is better: its mean validation loss is lower by 0.1000")
    assert sentence(compare_recipes(a, a)) == "A and B are the same folder: nothing to compare"
    c = seeds("c", None)
    assert sentence(compare_recipes(a, c)).startswith("nothing to compare: they do not both have")
    assert say("a", "c")


def test_refusals(golden: Callable[[str, str], None]) -> None:
    """A damaged file, one finished training, other data or cuts, one run against several: exit 2 and why."""
    seeds("a", [0.9, 0.91])
    for name, content in (("cut", "{"), ("list", "[]"), ("no-runs", '{"runs": 3}'), ("one", '{"runs": ["seed-0"]}')):
        seeds(name, None)
        (Path(name) / "seeds.json").write_text(content)
    for name, old, new in (
        ("other-data", "f" * 64, "e" * 64),
        ("other-cut", "validation = 0.1", "validation = 0.2\nsplit_seed = 4"),
    ):
        seeds(name, [0.9, 0.91])
        record = Path(name) / "seed-0" / "experiment.toml"
        record.write_text(record.read_text().replace(old, new))
    texts = []
    for name in ("cut", "list", "no-runs", "one", "other-data", "other-cut", "a/seed-1", "nowhere"):
        with pytest.raises(UserError) as error:
            say("a", name)
        texts.append(f"$ layerline compare a {name}\n{error.value.with_flags}")
    golden("compare-recipes-refusals.txt", "\n\n".join(texts))


def test_json() -> None:
    """--json has every value, the difference with its p, and the verdict."""
    seeds("a", [0.9, 0.91])
    seeds("b", [0.8, 0.81])
    ended = CliRunner().invoke(layerline, ["compare", "a", "b", "--json"], catch_exceptions=False)
    parsed = json.loads(ended.stdout)
    found = recipes.compare_recipes(Path("a"), Path("b"))
    assert parsed["a"]["test_accuracy"] == [0.9, 0.91]
    assert parsed["test_accuracy_difference"]["p"] == found.differences["test_accuracy"].p
    assert parsed["verdict"] == sentence(found)
