"""The flow of a shape through a tree of lines: blocks unrolled, a node per layer, and every mismatch reported."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final, final

from layerline.layers import Misfit
from layerline.layers.grammar import times
from layerline.network import slips
from layerline.network.graph import Node
from layerline.network_file import Block, LayerLine

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerline.layers import BlockEnd, Layer, Shape
    from layerline.network_file import Mistakes, Span

_LONGEST_TRAIL: Final = 68


@dataclasses.dataclass
class _At:
    """The current position: the input value and its shape (None: unknown, because of an earlier mistake)."""

    value: int
    shape: Shape | None
    trail: tuple[str, ...]
    """The shapes up to here, for messages."""
    learns: int = 0
    """The first line or block before it that is not frozen; 0: everything before it is."""


@final
class Flow:
    """Walks once through a tree. `nodes` are valid only if no mistake was added."""

    def __init__(self, mistakes: Mistakes, classes: int | None) -> None:
        """Store where to report mistakes, and the number of classes in the data, if it is known."""
        self.nodes: list[Node] = []
        self.notes: dict[Span, str] = {}
        self._mistakes = mistakes
        self._classes = classes
        self._at = _At(0, None, ())
        self._freezing = False

    @property
    def shape(self) -> Shape | None:
        """Return the shape that the walk has reached; None after a mistake."""
        return self._at.shape

    def begin(self, shape: Shape | None) -> None:
        """Start at the input."""
        self._at = _At(0, shape, (times(shape),) if shape else ())

    def shapes(self) -> str | None:
        """Return the shapes up to here, only the last ones if there are many: `… → Conv 6×24×24 → Pool 6×12×12`."""
        if not self._at.shape:
            return None
        trail = self._at.trail
        while len(" → ".join(trail)) > _LONGEST_TRAIL and len(trail) > 2:
            trail = ("…", *trail[2:])
        return " → ".join(trail)

    def walk(self, items: Iterable[LayerLine | Block], inside: str = "", position: int = 0) -> int:
        """Walk through `items`, starting at module `position` of the module `inside`; return the next position."""
        for item in items:
            match item:
                case LayerLine():
                    self._step(item, f"{inside}{position}")
                    position += 1
                case Block() if item.joined_by:
                    self._join(item, item.joined_by(), f"{inside}{position}")
                    position += 1
                case Block() if item.freezes:
                    position = self._freeze(item, inside, position)
                case Block():
                    for _ in range(item.count):
                        position = self.walk(item.branches[0], inside, position)
        return position

    def _freeze(self, block: Block, inside: str, position: int) -> int:
        """Walk through a Freeze, where everything before it is frozen; return the next position."""
        if self._at.learns:
            self._mistakes.add(block.span, _learns_before(block, self._at.learns))
        outer, self._freezing = self._freezing, True
        position = self.walk(block.branches[0], inside, position)
        self._freezing = outer
        return position

    def _step(self, line: LayerLine, path: str) -> None:
        layer = line.layer
        self._at.learns = self._at.learns or (0 if self._freezing else line.span.line)
        if layer is None:
            self._at.shape = None
            return
        slip = self._slip(line, layer)
        if slip is not None and slip.sure:
            self._refuse(line, slip.misfit, slip.meant)
            return
        if layer.needs_classes:
            if self._classes is None:
                self._add_no_classes(line)
                self._at.shape = None
                return
            layer = layer.with_classes(self._classes)
        if self._at.shape is None:
            self._at.shape = layer.shape_of_unknown()
            return
        try:
            shape = layer.output_shape(self._at.shape)
        except Misfit as misfit:
            told = misfit
            if slip:
                otherwise = f" Otherwise, {misfit.help}" if slip.misfit.argument == misfit.argument else ""
                told = Misfit(misfit.reason, f"{slip.misfit.help}{otherwise}", misfit.argument)
            self._refuse(line, told, slip.meant if slip else layer)
            return
        self._put(layer, (self._at.value,), (self._at.shape,), shape, path, line.span.line)

    def _refuse(self, line: LayerLine, misfit: Misfit, meant: Layer) -> None:
        """Add a mistake, and continue with the shape that the layer was probably meant to output."""
        self._mistakes.add(line.span_of(misfit.argument), misfit, self.shapes())
        try:
            self._at.shape = meant.output_shape(self._at.shape) if self._at.shape else None
        except Misfit:
            self._at.shape = meant.shape_of_unknown()

    def _put(
        self, layer: Layer, inputs: tuple[int, ...], shapes: tuple[Shape, ...], shape: Shape, path: str, line: int
    ) -> None:
        index = len(self.nodes)
        self.nodes.append(Node(index, layer, inputs, shapes, shape, path, line, self._freezing))
        changed = shape != self._at.shape
        trail = self._at.trail
        if changed:  # a message has no space for more shapes than characters
            trail = (*trail[-_LONGEST_TRAIL:], f"{layer.word.name} {times(shape)}")
        self._at = dataclasses.replace(self._at, value=index + 1, shape=shape, trail=trail)

    def _join(self, block: Block, layer: BlockEnd, path: str) -> None:
        """Walk through the branches of a block, which all start at its input, and join them."""
        start, ends = self._at, []
        names = layer.branches.modules(len(block.branches))
        for name, branch in zip(names, block.branches, strict=False):  # a Shortcut may be missing
            self._at = dataclasses.replace(start)
            self.walk(branch, f"{path}.{name}.")
            ends.append(self._at)
        written = len(ends)
        ends += [start] * (written == 1)  # the other input is the block's own
        shapes = tuple(end.shape for end in ends if end.shape is not None)
        self._at = _At(0, None, ())
        if len(shapes) < len(ends) or written < layer.branches.least:
            return
        shape = layer.joined(shapes, written)
        if isinstance(shape, Misfit):
            self._mistakes.add(block.span, shape)
            return
        learns = start.learns or (0 if self._freezing else block.span.line)
        self._at = dataclasses.replace(ends[0], learns=learns)
        self._put(layer, tuple(end.value for end in ends), shapes, shape, path, block.span.line)

    def _slip(self, line: LayerLine, layer: Layer) -> slips.Slip | None:
        """Note what is legal but probably not intended; return the line that was probably meant, if it differs."""
        found = slips.reversed_order(line, layer, self._at.shape) or slips.written_together(line, layer, self._at.shape)
        advice = found.misfit if found else None if self._freezing else layer.advice()
        if advice:
            span = line.span_of(advice.argument)
            self.notes.setdefault(span, self._mistakes.render(span, advice))
        return found

    def _add_no_classes(self, line: LayerLine) -> None:
        misfit = Misfit(
            "the number of classes is unknown without data",
            "specify the data (--data), or write the number of classes here, as in `FC 10`",
        )
        self._mistakes.add(line.span_of("outputs"), misfit)


def _learns_before(block: Block, line: int) -> Misfit:
    """Return the mistake of a Freeze after a line that is not frozen."""
    if line > block.span.line:
        reason = f"line {line}, which is not frozen, comes before this Freeze when the Repeat repeats it"
        return Misfit(reason, "put the Freeze around the whole Repeat, or write out the copies of the Repeat")
    reason = f"line {line}, before this Freeze, is not frozen; a frozen part starts at the input"
    return Misfit(reason, f"move this line to before line {line}, to freeze that too")
