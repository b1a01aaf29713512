"""The rows of a test are made once: terminal, notebook, Python and the graph say the same of it."""

from __future__ import annotations

import re

import numpy as np

from layerline.cli import test_results
from layerline.measure import class_rows, score_rows
from layerline.numbers import display
from layerline.report import matrix, notebook
from layerline.report.marks import Text
from layerline.runs.result import Result

K = 60


def result() -> Result:
    """Return a test of 60 classes: class k is taken k % 7 times for the next, of 10 images; the last does not occur."""
    confusion = np.zeros((K, K), np.int64)
    for k in range(K - 2):
        confusion[k, k], confusion[k, k + 1] = 10 - k % 7, k % 7
    return Result(
        tuple(f"c{k}" for k in range(K)),
        0.5,
        0.75,
        0.7,
        confusion,
        intervals={"test_accuracy": (0.71, 0.79), "test_macro_f1": (0.65, 0.74)},
        baselines={
            "largest_class": {"class": "x" * 100, "accuracy": 0.4, "macro_f1": 0.1},
            "thumbnails": {"accuracy": 0.55, "macro_f1": 0.5},
            "nearest": {"accuracy": 0.6, "macro_f1": 0.5},
        },
    )


def test_the_baselines_stand_in_one_order_with_one_number() -> None:
    """A line of the terminal for each row, within 80 columns, and each row's label and accuracy in the notebook."""
    rows = score_rows.simpler(result())
    assert [row.accuracy for row in rows] == [0.4, 0.55, 0.6]
    lines = test_results.lines(result(), "head")[2:7]
    assert max(map(len, lines)) <= test_results.COLUMNS
    assert "0.710 to 0.790" in lines[1]
    for row, line in zip(rows, lines[2:], strict=False):
        assert re.fullmatch(rf"{re.escape(row.short)} +{display.fraction(row.accuracy)} +\S+", line)
    shown = notebook.run([], result(), 0, stopped=False, folder=None)
    places = [shown.index(f"{row.label}: {display.fraction(row.accuracy)}") for row in rows]
    assert places == sorted(places)


def test_the_terminal_and_the_graph_name_the_same_confusions() -> None:
    """Classes k with k % 7 = 6 are confused most often, in 6 of 10 images; the graph begins with the same pairs."""
    lines = test_results.lines(result(), "head")
    first = lines.index("most frequent confusions (true → predicted; all are in confusion.png and result.json):")
    told = [line.strip() for line in lines[first + 1 : first + 1 + test_results.MOST_CONFUSIONS]]
    assert told[:9] == [f"c{k} → c{k + 1}: 6 of 10" for k in range(6, K - 2, 7)] + ["c5 → c6: 5 of 10"]
    confusion = result().confusion
    assert isinstance(confusion, np.ndarray)
    drawn = matrix.picture(confusion, result().classes)
    assert any(isinstance(mark, Text) and "\n".join(told[:5]) in mark.words for mark in drawn.marks)


def test_the_worst_classes_are_those_of_the_lowest_f1() -> None:
    """F1 rises from row to row; a class that does not occur has none, and comes last."""
    rows = result().per_class
    assert rows is not None
    order = class_rows.lowest(rows, K)
    assert order[-1] == K - 1
    assert rows[K - 1].known == (None, None, None)
    assert np.all(np.diff([rows[k].f1 for k in order[:-1]]) >= 0)
    assert class_rows.lowest(rows, 3) == order[:3]
    assert [line.split()[0] for line in test_results.lines(result(), "head") if re.match(r"c\d+ +\d\.", line)] == [
        f"c{k}" for k in order[: test_results.MOST_ROWS]
    ]
