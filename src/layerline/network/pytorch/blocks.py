"""From values and their sums to lines: each sum becomes a Residual, from the value where its branches part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from layerline.network.pytorch.unsupported import NotCarriedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import fx

    from layerline.network.pytorch.torch_operation import Part
    from layerline.network.pytorch.walk import LayerStep

DEEPEST: Final = 50
"""As in a network file."""


@final
@dataclass(frozen=True)
class Line:
    """A line of the network file: a layer with its weights, or a word of a block."""

    text: str
    part: Part | None = None
    place: tuple[str, str] = ("", "")
    """The path and name of the operation that it comes from."""


def lines_of(steps: Mapping[fx.Node, LayerStep], first: fx.Node, last: fx.Node) -> list[Line]:
    """Return the lines that compute `last` from `first`. Raises NotCarriedError if blocks cannot express the steps."""
    blocks = _Blocks(steps)
    lines = blocks.between(first, last)
    blocks.check_all_written()
    return lines


@final
class _Blocks:
    """Writes each value once.

    The value before another on its spine is its input, or, for a sum, the value from which both branches start.
    """

    def __init__(self, steps: Mapping[fx.Node, LayerStep]) -> None:
        self._steps = steps
        self._before: dict[fx.Node, fx.Node] = {}
        self._written: set[fx.Node] = set()
        for node, step in steps.items():  # in the order of the trace: inputs come first
            self._before[node] = step.inputs[0] if len(step.inputs) == 1 else self._fork(*step.inputs)

    def between(self, first: fx.Node, last: fx.Node, depth: int = 0) -> list[Line]:
        """Return the lines from the value `first` to the value `last`."""
        spine: list[fx.Node] = []
        while last is not first:
            spine.append(last)
            last = self._before[last]
        lines: list[Line] = []
        for node in reversed(spine):
            lines += self._lines(node, depth)
        return lines

    def check_all_written(self) -> None:
        """Raise NotCarriedError if a step is in no line."""
        for node, step in self._steps.items():
            if node not in self._written:
                raise NotCarriedError("it is used in a way that blocks cannot express", step.place)

    def _lines(self, node: fx.Node, depth: int) -> list[Line]:
        step = self._steps[node]
        if node in self._written:
            reason = "its output is used by several branches that do not join in one sum; blocks cannot express that"
            raise NotCarriedError(reason, step.place)
        self._written.add(node)
        if len(step.inputs) == 1:
            return [Line(str(part.layer), part, step.place) for part in step.parts]
        if depth >= DEEPEST:
            raise NotCarriedError(
                f"it is in more than {DEEPEST} branches; blocks are at most {DEEPEST} deep", step.place
            )
        fork = self._before[node]
        body, shortcut = (self.between(fork, branch, depth + 1) for branch in step.inputs)
        if not body:
            body, shortcut = shortcut, body
        other = [Line("Shortcut"), *shortcut] if shortcut else []
        return [Line("Residual", place=step.place), *body, *other, Line("End")]

    def _fork(self, a: fx.Node, b: fx.Node) -> fx.Node:
        """Return the last value that is on the spines of both."""
        spine = set(self._spine(a))
        return next(node for node in self._spine(b) if node in spine)

    def _spine(self, node: fx.Node) -> list[fx.Node]:
        found = [node]
        while node in self._before:
            node = self._before[node]
            found.append(node)
        return found
