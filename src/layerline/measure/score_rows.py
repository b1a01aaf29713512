"""The scores of a test as rows: this network, and below it the baselines without one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.numbers import display

if TYPE_CHECKING:
    from layerline.runs.result import Result

OWN: Final = "this network"
THUMBNAILS: Final = "logistic regression on 16×16 thumbnails"
NEAREST: Final = "nearest training image by 16×16 thumbnails"
_LONGEST, _SHORT = 20, 17
"""Maximum length of a class name."""
_BASELINES: Final = (
    ("thumbnails", THUMBNAILS, "regression on thumbnails"),
    ("nearest", NEAREST, "nearest training image"),
)


@dataclass(frozen=True)
class ScoreRow:
    """The scores of the network or of one baseline."""

    label: str
    short: str
    """The same for a narrow column: at most 26 characters."""
    accuracy: float | None
    macro_f1: float | None
    accuracy_interval: tuple[float, float] | None = None
    """95%, like `macro_f1_interval`; only the network has them."""
    macro_f1_interval: tuple[float, float] | None = None


def own(result: Result) -> ScoreRow:
    """Return the row of the network itself."""
    spread = result.intervals or {}
    between = spread.get("test_accuracy"), spread.get("test_macro_f1")
    return network(result.test_accuracy, result.test_macro_f1, *between)


def network(
    accuracy: float | None,
    macro_f1: float | None,
    accuracy_interval: tuple[float, float] | None = None,
    macro_f1_interval: tuple[float, float] | None = None,
) -> ScoreRow:
    """Return the row of the network from its scores on any images."""
    return ScoreRow(OWN, OWN, accuracy, macro_f1, accuracy_interval, macro_f1_interval)


def simpler(result: Result) -> list[ScoreRow]:
    """Return a row for each baseline in the result."""
    known, rows = result.baselines or {}, []
    if "largest_class" in known:
        largest = known["largest_class"]
        label, short = (f"always “{display.name(largest.get('class', ''), letters)}”" for letters in (_LONGEST, _SHORT))
        rows.append(ScoreRow(label, short, largest.get("accuracy"), largest.get("macro_f1")))
    for key, label, short in _BASELINES:
        if key in known:
            rows.append(ScoreRow(label, short, known[key].get("accuracy"), known[key].get("macro_f1")))
    return rows
