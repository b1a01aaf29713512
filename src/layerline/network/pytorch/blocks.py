"""From values to lines: a sum, a concatenation or a product becomes a block, from the value where its branches part."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

from layerline.network.pytorch.unsupported import NotCarriedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from layerline.network.pytorch.torch_operation import LayerStep, Part

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


def lines_of(steps: Mapping[Any, LayerStep], first: Any, last: Any) -> list[Line]:
    """Return the lines that compute `last` from `first`. Raises NotCarriedError if blocks cannot express the steps."""
    blocks = _Blocks(steps)
    lines = blocks.between(first, last)
    blocks.check_all_written()
    return lines


@final
class _Blocks:
    """Writes each value once.

    The value before another on its spine is its input, or, for a join, the value from which all its branches start.
    """

    def __init__(self, steps: Mapping[Any, LayerStep]) -> None:
        self._steps = _nested(steps)
        self._before: dict[Any, Any] = {}
        self._written: set[Any] = set()
        for node, step in self._steps.items():  # in the order of the trace: inputs come first
            self._before[node] = self._fork(step.inputs)

    def between(self, first: Any, last: Any, depth: int = 0) -> list[Line]:
        """Return the lines from the value `first` to the value `last`."""
        spine: list[Any] = []
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

    def _lines(self, node: Any, depth: int) -> list[Line]:
        step = self._steps[node]
        if node in self._written:
            reason = "its output is used by several branches that do not join in one place; blocks cannot express that"
            raise NotCarriedError(reason, step.place)
        self._written.add(node)
        if step.end is None:
            return [Line(str(part.layer), part, step.place) for part in step.parts]
        if depth >= DEEPEST:
            raise NotCarriedError(
                f"it is in more than {DEEPEST} branches; blocks are at most {DEEPEST} deep", step.place
            )
        fork, form = self._before[node], step.end.branches
        first, *others = (self.between(fork, branch, depth + 1) for branch in _branches(step, fork))
        if not first and not form.may_be_empty:
            (first,), others = others, []  # the shortcut of a sum is the input: its only branch is the other one
        lines = [Line(step.end.word.name, place=step.place), *first]
        for branch in others:
            if form.separator and (branch or form.may_be_empty):
                lines += [Line(form.separator.name), *branch]
        return [*lines, Line("End")]

    def _fork(self, values: tuple[Any, ...]) -> Any:
        """Return the last value that is on the spines of all."""
        if len(values) == 1:
            return values[0]
        *others, last = (self._spine(value) for value in values)
        common = set(last).intersection(*others)
        return next(node for node in last if node in common)

    def _spine(self, node: Any) -> list[Any]:
        found = [node]
        while node in self._before:
            node = self._before[node]
            found.append(node)
        return found


def _branches(step: LayerStep, fork: Any) -> tuple[Any, ...]:
    """Return the values that branches of a join end with; of a product only the factors have one."""
    if step.end is None or step.end.branches.most != 1:
        return step.inputs
    gates = tuple(value for value in step.inputs if value is not fork)
    if len(gates) != 1:
        reason = "it multiplies two values, neither of which is computed from the other; only x * g(x) is available"
        raise NotCarriedError(reason, step.place)
    return gates


def _nested(steps: Mapping[Any, LayerStep]) -> dict[Any, LayerStep]:
    """Return the steps with each concatenation that starts with all values of an earlier one using that: DenseNet
    concatenates all values so far, again and again."""
    found: dict[Any, LayerStep] = {}
    parts: dict[Any, tuple[Any, ...]] = {}  # a concatenation → all values that it consists of
    known: dict[tuple[Any, ...], Any] = {}
    for node, step in steps.items():
        inputs = step.inputs
        if step.end and step.end.branches.most is None:
            for count in range(len(inputs), 1, -1):
                first = tuple(each for value in inputs[:count] for each in parts.get(value, (value,)))
                parts.setdefault(node, first)
                if first in known:
                    inputs = (known[first], *inputs[count:])
                    break
            known.setdefault(parts[node], node)
        found[node] = dataclasses.replace(step, inputs=inputs, end=step.end if len(inputs) > 1 else None)
    return found
