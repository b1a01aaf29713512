"""The outcome of `fit_torch`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

from layerline.numbers import display

if TYPE_CHECKING:
    from layerline.network import Network
    from layerline.runs.history import EpochRow


@final
@dataclass(frozen=True, repr=False)
class Fit:
    """A finished or stopped `fit_torch`; the module holds the weights from the last row of its history."""

    history: tuple[EpochRow, ...]
    """One row per finished epoch of this call; pandas.DataFrame(fit.history) makes a table."""
    network: Network = field(compare=False)
    """The module as a Network, in its text one layer per line."""
    test_loss: float | None = None
    test_accuracy: float | None = None
    test_macro_f1: float | None = None
    notes: tuple[str, ...] = ()
    """The data that was read into memory, and the reasons for automatic choices."""
    stopped: int | None = None
    """The signal that stopped it (Ctrl-C), or None."""

    def __repr__(self) -> str:
        """Return one line per epoch, the test results, and the notes."""
        rows = [display.counted(len(self.history), "epoch") + ("" if self.stopped is None else ", stopped")]
        for row in self.history:
            held = (row.validation_loss, row.validation_accuracy, row.validation_macro_f1)
            validation = "" if row.validation_loss is None else f"{_scores('validation', *held)}, "
            train = _scores("training", row.train_loss, row.train_accuracy, row.train_macro_f1)
            rows.append(f"{row.epoch:5d}  {validation}{train}")
        if self.test_loss is not None:
            rows.append(_scores("test", self.test_loss, self.test_accuracy, self.test_macro_f1))
        return "\n".join([*rows, *self.notes])


def _scores(name: str, loss: float | None, accuracy: float | None, macro_f1: float | None) -> str:
    return f"{name} {display.loss(loss)} {display.fraction(accuracy)} {display.fraction(macro_f1)}"
