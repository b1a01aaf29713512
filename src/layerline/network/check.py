"""CHECK: follows the shape through every line of a network file and reports each mismatch at its line."""

from __future__ import annotations

from itertools import chain
from pathlib import PurePath
from typing import TYPE_CHECKING, Final, final

from layerline.layers import Misfit
from layerline.layers.grammar import times
from layerline.network.flow import Flow
from layerline.network.graph import Network
from layerline.network.memory import PER_PARAMETER, machine_bytes, training_bytes
from layerline.network_file import Block, LayerLine, Mistakes, Span, check_size, code_span, read_tree
from layerline.numbers import display
from layerline.numbers.scalars import plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerline.network.graph import Node
    from layerline.network_file import Tree

Image = tuple[int, int, int]
"""(C, H, W)."""

_SUFFIX: Final = ".cnn"


def parse(
    text: str,
    *,
    name: str = "network",
    input_shape: Image | None = None,
    classes: int | None = None,
    memory: int | None = None,
) -> Network:
    """Return the network that `text` describes, fully checked.

    `name` is the file's name in messages. `input_shape` (C, H, W) and `classes` are the data's; without them the file
    must have an Input line and a number in its last FC. `memory` is the machine's, in bytes (None: ask the system).
    Raises NetworkError with up to ten mistakes, each with its location and a fix.
    """
    input_shape, classes = plain(input_shape), plain(classes)
    size = len(text.encode("utf-8", "surrogatepass"))
    check_size(display.name(name, 200), size, size)
    mistakes = Mistakes(name, text)
    tree = read_tree(mistakes)
    checker = _Checker(tree, mistakes, input_shape, classes)
    found = checker.check()
    mistakes.raise_any()
    assert found is not None  # noqa: S101 - without a mistake there is a network
    flow, outputs = found
    _check_memory(flow.nodes, mistakes, memory or machine_bytes())
    mistakes.raise_any()
    assert checker.input_shape is not None  # noqa: S101 - the same
    path = PurePath(name)
    stem = path.stem if path.suffix.lower() == _SUFFIX else path.name
    return Network(stem, text, checker.input_shape, outputs, tuple(flow.nodes), _notes(tree, flow, mistakes), name)


def notes(text: str, name: str = "network") -> tuple[str, ...]:
    """Return notes on what is legal in a network file but probably not intended, as far as known without data.

    If the file has no Input, every line that may be a slip is noted.
    """
    mistakes = Mistakes(name, text)
    tree = read_tree(mistakes)
    flow = Flow(mistakes, None)
    flow.begin(tree.input_shape)
    if tree.whole:
        flow.walk(tree.items)
    return _notes(tree, flow, mistakes)


def _notes(tree: Tree, flow: Flow, mistakes: Mistakes) -> tuple[str, ...]:
    """Return what is noted of a file, in its order."""
    read = {span: mistakes.render(span, note) for span, note in tree.notes.items()}
    found = {**read, **flow.notes}
    return tuple(found[span] for span in sorted(found))


@final
class _Checker:
    """Checks one tree against what is known about the data."""

    def __init__(self, tree: Tree, mistakes: Mistakes, input_shape: Image | None, classes: int | None) -> None:
        self.tree = tree
        self.mistakes = mistakes
        self.input_shape = tree.input_shape or input_shape
        self.data_shape = input_shape
        self.classes = classes

    def check(self) -> tuple[Flow, int] | None:
        """Return the completed flow and the number of classes; None after a mistake, which is recorded."""
        if not self.tree.whole:
            return None
        if not self.tree.items:
            self._add_no_layers()
            return None
        self._check_input()
        flow = Flow(self.mistakes, self.classes)
        flow.begin(self.input_shape)
        flow.walk(self.tree.items)
        return self._check_end(flow)

    def _check_input(self) -> None:
        line = self.tree.input
        if line and self.tree.input_shape and self.data_shape and self.tree.input_shape != self.data_shape:
            C, H, W = self.data_shape
            given, has = times(self.tree.input_shape), times(self.data_shape)
            misfit = Misfit(
                f"the input is {given}, but the images in the data are {has}",
                f"write `Input {C} {H} {W}`, or remove the line to use the data's size",
            )
            self.mistakes.add(line.span, misfit)
        elif self.input_shape is None and line is None and not self.tree.items[0].foreign:
            misfit = Misfit(
                "the image size is unknown",
                "specify the data (--data), or add a line like `Input 1 28 28` (channels, height, width) at the top",
            )
            self.mistakes.add(self.tree.items[0].span, misfit)

    def _check_end(self, flow: Flow) -> tuple[Flow, int] | None:
        """Return the flow and the number of outputs, which must be one per class; None after a mistake."""
        if flow.shape is None:
            return None
        last = self.tree.items[-1]
        if len(flow.shape) == 3:
            misfit = Misfit(
                f"the network ends in a {times(flow.shape)} image; it must end in one number per class",
                "add the lines `Flat` and `FC classes`"
                if self.classes
                else "add the lines `Flat` and, for example, `FC 10`",
            )
            self.mistakes.add(last.span, misfit, flow.shapes())
            return None
        (outputs,) = flow.shape
        if self.classes is not None and outputs != self.classes:
            self._add_wrong_outputs(outputs, self.classes, flow)
        elif outputs < 2:
            misfit = Misfit(
                f"the network has {outputs} {_outputs(outputs)}; it needs one per class, so at least 2",
                "two classes need two outputs: end with `FC 2`, without an activation after it",
            )
            self.mistakes.add(last.span, misfit)
        return flow, outputs

    def _add_wrong_outputs(self, outputs: int, classes: int, flow: Flow) -> None:
        line = _last_with_outputs(self.tree.items)
        reason = f"the network has {outputs:,d} {_outputs(outputs)}, but the data has {classes:,d} classes"
        if line:
            misfit = Misfit(reason, f"write `FC classes` or `FC {classes}`")
            self.mistakes.add(line.span_of("outputs"), misfit)
        else:
            last = self.tree.items[-1]
            self.mistakes.add(last.span, Misfit(reason, "add the line `FC classes`"), flow.shapes())

    def _add_no_layers(self) -> None:
        if self.mistakes.lines == [""]:
            reason = "the file is empty: there are no layers"
        else:
            reason = "there are no layers in this file"
        misfit = Misfit(reason, "write one layer per line; the smallest network is `Flat` and `FC classes`")
        line = self.tree.input.statement.line if self.tree.input else 1
        self.mistakes.add(Span(line, 0, len(self.mistakes.lines[line - 1])), misfit)


def _outputs(number: int) -> str:
    return "output" if number == 1 else "outputs"


def _check_memory(nodes: list[Node], mistakes: Mistakes, memory: int) -> None:
    """Reject a network that does not fit into the machine's memory even with a batch of one image."""
    needed = training_bytes(nodes, 1)
    if needed <= memory:
        return
    worst = max(nodes, key=lambda node: training_bytes([node], 1))
    part = training_bytes([worst], 1)
    by_parameters = 2 * PER_PARAMETER * worst.parameters > part
    reason = (
        f"a training step on one image needs about {display.size(needed)}, but this machine has {display.size(memory)}"
    )
    helps = f"this line outputs {times(worst.shape)} values: use fewer filters, a larger stride, or smaller images"
    if by_parameters:
        count = display.count(worst.parameters)
        helps = f"this line has {count} parameters: use fewer outputs or filters, or pool more before it"
    mistakes.add(code_span(mistakes.lines, worst.line), Misfit(reason, helps))


def _last_with_outputs(items: Iterable[LayerLine | Block]) -> LayerLine | None:
    """Return the last line with a number of outputs: the FC that decides how many the network has."""
    found = None
    for item in items:
        match item:
            case LayerLine():
                found = item if item.has("outputs") else found
            case Block():
                found = _last_with_outputs(chain.from_iterable(item.branches)) or found
    return found
