"""Test results as text: scores and baselines, classes, confusion matrix, remarks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from layerline.measure import class_rows, score_rows
from layerline.measure.remarks import shown
from layerline.numbers import display
from layerline.runs import metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from layerline.runs.metrics import Counts
    from layerline.runs.result import Result

COLUMNS: Final = 80
LARGEST_MATRIX: Final = 20
"""The maximum number of classes for which the matrix is printed, if it fits."""
MOST_ROWS: Final = 50
"""The maximum number of rows in the table of classes; beyond that, only the worst are listed."""
MOST_CONFUSIONS: Final = 10
_LONGEST_NAME: Final = 28


def lines(result: Result, head: str, *, more: str | None = None) -> list[str]:
    """Return the lines of a test's results, starting with `head`.

    more: where to find the full results, if not in the run's files.
    """
    assert result.confusion is not None  # noqa: S101 - there was a test
    occurring = int(((result.confusion.sum(0) + result.confusion.sum(1)) > 0).sum())
    over = "" if occurring == len(result.classes) else display.classes(occurring, len(result.classes))
    note = [f"macro F1 covers {over}: the others did not occur"] if over else []
    remarks = [] if not result.remarks else ["", *remark_lines(result.remarks)]
    table = ["", *_per_class(result, more), "", *_confusion(result.confusion, result.classes, more)]
    return [head, "", *scores(result), *note, *table, *remarks]


def remark_lines(remarks: Sequence[str]) -> list[str]:
    """Return remarks as lines of at most 80 columns, each remark marked with `!`."""
    import textwrap

    wrapper = textwrap.TextWrapper(COLUMNS, initial_indent="! ", subsequent_indent="  ", break_on_hyphens=False)
    return [line for text in shown(remarks) for line in wrapper.wrap(text)]


def scores(result: Result) -> list[str]:
    """Return accuracy and macro F1 with their intervals, and below them those of the baselines."""
    rows = [score_rows.own(result), *score_rows.simpler(result)]
    width = max(len(row.short) for row in rows)
    spread = "95% interval" if result.intervals else ""
    lines = [f"{'':<{width}}  accuracy  {spread:<13}   macro F1  {spread}".rstrip()]
    for row in rows:
        cells = [f"{row.short:<{width}}"]
        for value, between in ((row.accuracy, row.accuracy_interval), (row.macro_f1, row.macro_f1_interval)):
            cells += [f"{display.fraction(value):>8}", f"{display.interval(between, 3):<14}"]
        lines.append("  ".join(cells).rstrip())
    return lines


def _per_class(result: Result, more: str | None) -> list[str]:
    rows = list(result.per_class or ())
    note = []
    if len(rows) > MOST_ROWS:
        rows = [rows[k] for k in class_rows.lowest(rows, MOST_ROWS)]
        note = [
            f"(the {MOST_ROWS} of {len(result.classes)} classes with the lowest F1; all are in {more or 'result.json'})"
        ]
    names = [display.name(row.name, _LONGEST_NAME) for row in rows]
    width = max(5, *map(len, names))
    table = [f"{'class':<{width}}  precision    recall        F1    images"]
    for name, row in zip(names, rows, strict=True):
        cells = [display.fraction(value) for value in row.known]
        table.append(f"{name:<{width}}  {cells[0]:>9}  {cells[1]:>8}  {cells[2]:>8}  {display.count(row.support):>8}")
    return table + note


def _confusion(matrix: Counts, classes: Sequence[str], more: str | None) -> list[str]:
    """Return the matrix with class names as column heads, else with letters, else the worst confusions: what fits."""
    if len(classes) <= LARGEST_MATRIX and not isinstance(matrix, metrics.SparseCounts):
        names = [display.name(name, _LONGEST_NAME) for name in classes]
        for rows, columns in ((names, names), _numbered(names)):
            table = _matrix(matrix, rows, columns)
            if max(map(len, table)) <= COLUMNS:
                return ["confusion matrix (rows: true class; columns: predicted class)", *table]
    return _worst(matrix, classes, more)


def _matrix(matrix: NDArray[np.int64], rows: Sequence[str], columns: Sequence[str]) -> list[str]:
    cells = [["·" if value == 0 else str(value) for value in row] for row in matrix.tolist()]
    width = max(len(cell) for row in (*cells, list(columns)) for cell in row) + 2
    left = max(map(len, rows))
    head = " " * left + "".join(f"{column:>{width}}" for column in columns)
    return [
        head,
        *(f"{name:<{left}}" + "".join(f"{c:>{width}}" for c in row) for name, row in zip(rows, cells, strict=True)),
    ]


def _numbered(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return names with a letter each for the rows, and only the letters for the columns."""
    letters = [chr(ord("a") + k) for k in range(len(names))]
    width = max(map(len, names))
    return [f"{name:<{width}}  {letter}" for name, letter in zip(names, letters, strict=True)], letters


def _worst(matrix: Counts, classes: Sequence[str], more: str | None) -> list[str]:
    """Return the most frequent confusions."""
    rows = class_rows.confused(matrix, classes, MOST_CONFUSIONS, _LONGEST_NAME)
    if not rows:
        return ["no image was misclassified"]
    files = "result.json" if isinstance(matrix, metrics.SparseCounts) else "confusion.png and result.json"
    return [
        f"most frequent confusions (true → predicted; all are in {more or files}):",
        *(f"    {row}" for row in rows),
    ]
