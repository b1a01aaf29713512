"""`layerline compare`: which images are compared, what is refused, the verdict, what differs besides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import report_runs
from click.testing import CliRunner

from layerline.cli.compare import lines
from layerline.cli.entry_point import layerline
from layerline.comparison import compare, verdict
from layerline.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

Arrays = dict[str, "NDArray[Any]"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make runs where a test may write, under short names."""
    monkeypatch.chdir(tmp_path)


def said(truth: NDArray[np.int64], prediction: NDArray[np.int64], K: int = 3, first: int = 0) -> Arrays:
    """Return arrays as predictions.npz has them."""
    probabilities = np.full((len(truth), K), 0.1, np.float32)
    probabilities[np.arange(len(truth)), prediction] = 0.9
    index = np.arange(first, first + len(truth), dtype=np.int64)
    return {
        "truth": truth.astype(np.int32),
        "prediction": prediction.astype(np.int32),
        "probabilities": probabilities,
        "index": index,
    }


def model(right: float, M: int = 400, K: int = 3, seed: int = 0) -> Arrays:
    """Return predictions of which about so many are right."""
    rng = np.random.default_rng(seed)
    truth = np.arange(M) % K
    return said(truth, np.where(rng.random(M) < right, truth, (truth + 1) % K), K)


def make(name: str, **named: Any) -> Path:
    return report_runs.make(Path(name), **named)


def rewritten(run: Path, old: str, new: str, name: str = "experiment.toml") -> Path:
    """Replace a text in a file of the run."""
    content = (run / name).read_text()
    assert old in content
    (run / name).write_text(content.replace(old, new))
    return run


def say(a: Path | str, b: Path | str) -> str:
    ended = CliRunner().invoke(layerline, ["compare", str(a), str(b)], catch_exceptions=False)
    assert ended.exit_code == 0
    assert max(map(len, ended.stdout.splitlines())) <= 80
    return f"$ layerline compare {a} {b}\n{ended.stdout}"


@pytest.mark.smoke
def test_what_is_said(golden: Callable[[str, str], None]) -> None:
    """A clear difference, one not shown, with another network and recipe; each sentence read and found good."""
    make("weak", test=model(0.8), epochs=4)
    wide = make("wide", test=model(0.9, seed=1), network="Conv 8 3 # more\nReLU\nPool 2 2\nFlat\nDense classes\n")
    rewritten(rewritten(wide, "batch_size = 32", "batch_size = 64"), 'numpy = "2.0.0"', 'numpy = "2.1.0"')
    again = make("again", test=model(0.82, seed=2), network=report_runs.NETWORK + "# the same\n")
    rewritten(again, "seed = 7", "seed = 8")
    golden("compare.txt", "\n".join([say("weak", "wide"), say("weak", "again"), say("weak", "weak")]))


def test_the_better_one_is_named() -> None:
    """Whichever side it stands on; the figures are turned round with it."""
    weak, strong = make("weak", test=model(0.7)), make("strong", test=model(0.9, seed=1))
    first, second = compare(weak, strong), compare(strong, weak)
    assert verdict.sentence(first).startswith("B is better: correct on ")
    assert verdict.sentence(second) == verdict.sentence(first).replace("B is better", "A is better")
    assert first.paired.accuracy.value == -second.paired.accuracy.value > 0
    assert first.paired.macro_f1.p == second.paired.macro_f1.p


def test_a_difference_that_is_not_shown_says_what_would_show_it() -> None:
    """Six images against two are not shown, and the number of images that would be needed is more than there are."""
    truth = np.arange(400) % 3
    a, b = truth.copy(), truth.copy()
    a[:6], b[6:8] = (truth[:6] + 1) % 3, (truth[6:8] + 1) % 3
    found = compare(make("a", test=said(truth, a)), make("b", test=said(truth, b)))
    assert found.paired.needed is not None
    assert found.paired.needed > 400
    assert verdict.sentence(found).startswith(
        "no significant difference: B is correct on 4 more of 400 images (p = 0.289); "
    )
    assert "such images would be needed" in verdict.sentence(found)


def test_equally_many_right() -> None:
    """Both right equally often, on other images: no number of images is named."""
    truth = np.arange(40) % 2
    a, b = truth.copy(), truth.copy()
    a[0], b[1] = 1 - truth[0], 1 - truth[1]
    found = compare(make("a", test=said(truth, a)), make("b", test=said(truth, b)))
    assert verdict.sentence(found) == (
        "no significant difference: A and B are correct on equally many of 40 images, though not on the same ones"
    )


def test_macro_f1_alone_may_differ() -> None:
    """A finds a rare class that B does not, and B a few more of the frequent one: both are said."""
    truth = np.r_[np.zeros(960, int), np.ones(40, int)]
    a, b = truth.copy(), np.zeros(1000, int)
    a[:34] = 1  # 34 mistakes of A against 40 of B
    found = compare(
        make("a", classes=("x", "y"), test=said(truth, a, 2)), make("b", classes=("x", "y"), test=said(truth, b, 2))
    )
    sentence = verdict.sentence(found)
    assert sentence.startswith("A is better in macro F1, by 0.3")
    assert "the difference in accuracy is not significant: A is correct on 6 more" in sentence


def test_neither_is_better_where_the_two_measures_disagree() -> None:
    """B is right more often, and A has the higher macro F1: no winner."""
    truth = np.r_[np.zeros(960, int), np.ones(40, int)]
    a, b = truth.copy(), np.zeros(1000, int)
    a[:75] = 1
    found = compare(
        make("a", classes=("x", "y"), test=said(truth, a, 2)), make("b", classes=("x", "y"), test=said(truth, b, 2))
    )
    assert verdict.sentence(found).startswith("neither is better: B is correct on 35 more of 1,000 images (p = 0.001")
    assert "but A has the higher macro F1, by 0." in verdict.sentence(found)


def test_equal_predictions_and_the_same_run() -> None:
    """Models that say the same differ by nothing; a run against itself, under whatever path, is nothing to compare."""
    a, b = make("a", test=model(0.8)), make("b", test=model(0.8))
    assert verdict.sentence(compare(a, b)) == "no difference: both have the same predictions for all 400 images"
    assert verdict.sentence(compare(a, a.resolve())) == "A and B are the same run: nothing to compare"


def test_validation_images_serve_where_there_is_no_test() -> None:
    """If one has no test set the validation images are compared, and it is said that they chose the epoch."""
    a = make("a", validation=model(0.7), test=model(0.7, seed=3))
    b = make("b", validation=model(0.9, seed=1))
    found = compare(a, b)
    assert (found.split, found.paired.images) == ("validation", 400)
    assert "They selected each model's epoch" in verdict.caveats(found)[0]
    assert lines(found)[3].startswith("400 validation images ")


def test_only_images_of_both_sets_count() -> None:
    """Of test sets that overlap the common images are compared, whatever their order, and the others are counted."""
    one, two = model(0.8), model(0.9, seed=1)
    late = {key: array[100:][::-1] for key, array in two.items()}
    found = compare(make("a", test=one), make("b", test=late))
    assert (found.paired.images, found.left_out) == (300, (100, 0))
    right = (one["prediction"] == one["truth"])[100:], (two["prediction"] == two["truth"])[100:]
    assert (found.paired.only_a, found.paired.only_b) == ((right[0] & ~right[1]).sum(), (right[1] & ~right[0]).sum())
    assert any("100 of A's and 0 of B's are left out" in text for text in verdict.caveats(found))


def test_other_data_are_compared_by_the_names_of_files() -> None:
    """With another fingerprint the images are matched by their files' names, and it is said; without names, refused."""
    one, two = model(0.8), model(0.9, seed=1)
    two = {key: array[::-1] for key, array in two.items()} | {"index": two["index"]}
    names = np.array([f"c/{k:03d}.jpg" for k in range(400)])
    a = make("a", test=one | {"names": names})
    b = rewritten(make("b", test=two | {"names": names[::-1]}), "f" * 64, "e" * 64)
    found = compare(a, b)
    assert found.by_name
    assert found.paired.images == 400
    assert found.paired.a.accuracy == pytest.approx((one["prediction"] == one["truth"]).mean())
    assert "same name" in verdict.caveats(found)[0]


def test_another_order_of_the_classes_changes_nothing() -> None:
    """A class is compared by its name: B with its classes listed the other way round gives the same figures."""
    one, two = model(0.8), model(0.9, seed=1)
    turned = two | {
        "truth": 2 - two["truth"],
        "prediction": 2 - two["prediction"],
        "probabilities": two["probabilities"][:, ::-1],
    }
    a, b, c = make("a", test=one), make("b", test=two), make("c", classes=("c", "b", "a"), test=turned)
    straight, round_ = compare(a, b).paired, compare(a, c).paired
    assert straight.macro_f1 == round_.macro_f1
    assert (straight.only_a, straight.only_b) == (round_.only_a, round_.only_b)


def test_recipes_are_compared_by_key() -> None:
    """Keys that one of the two has differently or not at all; where the data lies does not count, its cuts do."""
    a, b = make("a", test=model(0.8)), make("b", test=model(0.9, seed=1))
    rewritten(b, "validation = 0.1", "validation = 0.2")
    rewritten(b, 'data = "bands.npz"', 'data = "../bands.npz"')
    rewritten(b, "batch_size = 32\n", "")
    found = {changed.key: (changed.a, changed.b) for changed in compare(a, b).values}
    assert found == {"validation": (0.1, 0.2), "batch_size": (32, None)}


def test_a_run_of_another_seed_is_chance() -> None:
    """Where only the seed differs, the last sentence says that this is what chance does."""
    a, b = make("a", test=model(0.8)), rewritten(make("b", test=model(0.9, seed=1)), "seed = 7", "seed = 8")
    assert verdict.caveats(compare(a, b)) == [
        "Only the seed differs: this shows the random variation of a single recipe."
    ]


def test_networks_are_compared_by_layer() -> None:
    """Comments, aliases and spaces are no difference; a changed, a new and a missing line are."""
    nets = ("Conv 4 3\nReLU\nFlat\nFC classes\n", "conv  4 3 # same\nrelu\nFlatten\nDense classes\n")
    other = "Conv 4 3\nBatchNorm\nReLU\nFlat\nFC 9\nFC classes\n"
    a, b, c = (make(f"n{k}", test=model(0.8), network=net) for k, net in enumerate((*nets, other)))
    assert compare(a, b).layers == ()
    marks = compare(a, c).layers
    assert [line for line in marks if not line.startswith("  ")] == ["+ BatchNorm", "+ FC 9"]
    assert [line for line in compare(c, a).layers if not line.startswith("  ")] == ["- BatchNorm", "- FC 9"]


def test_only_lines_near_a_change_are_printed() -> None:
    """Three before and after it; what is omitted is counted, except for a single line; --json has all lines."""
    rows = [f"Conv {k} 3 1 1" for k in range(1, 31)]
    ends = ["Flat", "FC classes"]
    longer = [*rows[:10], "ReLU", *rows[10:17], "ReLU", *rows[17:], *ends]
    a = make("a", test=model(0.8), network="\n".join([*rows, *ends]))
    b = make("b", test=model(0.8), network="\n".join(longer))
    text = CliRunner().invoke(layerline, ["compare", "a", "b"], catch_exceptions=False).stdout
    listed = text.partition("network (- A, + B):\n")[2].partition("\n\n")[0].splitlines()
    words = [line.split("kernel")[0].strip() for line in listed]
    assert words == [
        "… 7 equal lines",
        *("Conv 8", "Conv 9", "Conv 10", "+ ReLU"),
        *(f"Conv {k}" for k in range(11, 18)),
        *("+ ReLU", "Conv 18", "Conv 19", "Conv 20"),
        "… 12 equal lines",
    ]
    assert len(compare(a, b).layers) == 34


def test_json_has_every_figure() -> None:
    """--json prints the verdict and plain numbers, the same as in Python."""
    a, b = make("a", test=model(0.8)), make("b", test=model(0.9, seed=1))
    ended = CliRunner().invoke(layerline, ["compare", "a", "b", "--json"], catch_exceptions=False)
    found, parsed = compare(a, b), json.loads(ended.stdout)
    assert parsed["accuracy_difference"]["p"] == found.paired.accuracy.p
    assert parsed["macro_f1_difference"]["low"] == found.paired.macro_f1.low
    assert (parsed["a"]["only_right"], parsed["b"]["only_right"]) == (found.paired.only_a, found.paired.only_b)
    assert parsed["verdict"] == verdict.sentence(found)


def test_the_same_bytes_each_time() -> None:
    """The bootstrap draws from its seed: the same comparison twice is the same; another seed moves the interval."""
    a, b = make("a", test=model(0.8)), make("b", test=model(0.82, seed=1))
    assert lines(compare(a, b)) == lines(compare(a, b))
    assert compare(a, b, seed=1).paired.macro_f1.low != compare(a, b).paired.macro_f1.low


def test_refusals(golden: Callable[[str, str], None]) -> None:
    """No run, no predictions, other data, classes, images or labels: refused with what differs, exit 2."""
    test = model(0.8, M=60)
    make("a", test=test, validation=test)
    make("stopped", stopped=True)
    make("untested")
    make("test-only", test=test)
    make("validation-only", validation=test)
    rewritten(make("other-data", test=test), "f" * 64, "0123456789abcdef" * 4)
    make("four", classes=("a", "b", "c", "d"), test=model(0.8, M=60, K=4))
    make("renamed", classes=("a", "b", "<img src=x>\x1b[0m"), test=test)
    make("apart", test=test | {"index": test["index"] + 60})
    make("relabeled", test=test | {"truth": np.roll(test["truth"], 1)})
    make("old", test={key: array for key, array in test.items() if key != "index"})
    make("damaged", test=test)
    Path("damaged/predictions.npz").write_bytes(b"PK\x03\x04nothing")
    Path("empty").mkdir()
    pairs = [("a", name) for name in ("nowhere", "empty", "stopped", "untested", "other-data", "four", "renamed")]
    pairs += [("a", name) for name in ("apart", "relabeled", "old", "damaged")] + [("test-only", "validation-only")]
    texts = []
    for a, b in pairs:
        with pytest.raises(UserError) as error:
            compare(a, b)
        texts.append(f"$ layerline compare {a} {b}\n{error.value.with_flags}")
    golden("compare-refusals.txt", "\n\n".join(texts))
