"""READ: the text of a network file as a tree of layers and blocks, with all syntax mistakes at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, final

from layerline.layers import BLOCK_ENDS, LAYERS, SEPARABLE, Argument, Misfit, Word, separable
from layerline.layers.grammar import Whole
from layerline.network_file.darknet import Section, section
from layerline.network_file.foreign_words import FOREIGN_WORDS, in_our_words
from layerline.network_file.line_values import Values
from layerline.network_file.mistakes import code_span
from layerline.network_file.pasted import PROGRAM, SETTINGS, pasted
from layerline.network_file.statements import SourceLine, Statement, Token, read_lines
from layerline.network_file.tiny_dnn import tiny_dnn
from layerline.network_file.unknown import unknown_word

if TYPE_CHECKING:
    from layerline.layers import BlockEnd, Branches, Layer
    from layerline.network_file.mistakes import Mistakes, Span

MOST_LAYERS: Final = 10_000
"""Maximum number of layers of a network, with every Repeat unrolled."""
DEEPEST: Final = 50
"""Maximum depth of nested blocks."""
MOST_BRANCHES: Final = 100
"""Maximum number of branches of a block."""
_LARGEST_SIDE: Final = 65_536

_SIDE: Final = Whole(high=_LARGEST_SIDE)
_INPUT: Final = Word("Input", tuple(Argument(name, _SIDE, bare=True) for name in ("channels", "height", "width")))
_REPEAT: Final = Word("Repeat", (Argument("n", Whole(), bare=True),))
_FREEZE: Final = Word("Freeze")
_END: Final = Word("End")

_JOINED: Final = {layer.word.name: layer for layer in BLOCK_ENDS}
"""The first word of a block whose branches are joined → the layer at its End."""
_SEPARATORS: Final = {layer.branches.separator.name: layer for layer in BLOCK_ENDS if layer.branches.separator}
"""The word between two branches → the layer at the End of the block that it belongs to."""
_BLOCKS: Final = (*(layer.word for layer in _JOINED.values()), _REPEAT, _FREEZE)
_OPENING: Final = (*_BLOCKS, *map(Word, _SEPARATORS))
INDENTING: Final = frozenset(word.name.lower() for word in _OPENING)
"""The words, in lower case, after which lines are indented."""

STRUCTURE: Final = (_INPUT, *_OPENING, _END)
"""The words that are not layers."""
_LAYER_WORDS: Final = {layer.word.name: layer for layer in LAYERS if not layer.branches}
_WORDS: Final = {
    spelling.lower(): word
    for word in (*(layer.word for layer in _LAYER_WORDS.values()), SEPARABLE, *STRUCTURE)
    for spelling in (word.name, *word.spellings)
}
"""Every spelling in lower case → its word."""


@final
@dataclass(frozen=True)
class LayerLine:
    """A line with a layer, which is None if the line has a mistake."""

    statement: Statement
    layer: Layer | None
    values: Values | None

    @property
    def span(self) -> Span:
        """Return the position of its word."""
        return self.statement.word.span

    @property
    def foreign(self) -> bool:
        """Whether its first word is not ours: that has been reported, and its meaning is unknown."""
        return self.values is None

    def has(self, argument: str) -> bool:
        """Whether the line specifies the argument."""
        return self.values is not None and argument in self.values.spans

    def span_of(self, argument: str | None) -> Span:
        """Return the position of an argument, or of the word."""
        return self.values.span_of(argument) if self.values else self.span

    def read_as(self, arguments: tuple[Token, ...]) -> Layer | None:
        """Return the layer that the line would be with other arguments; None if it would be invalid."""
        if self.values is None or self.values.word.name not in _LAYER_WORDS:
            return None
        word = self.values.word
        read = Values(word, Statement(self.statement.word, arguments), self.values.mistakes.aside()).read()
        layer = None if read is None else _LAYER_WORDS[word.name](**read)
        return None if layer is None or layer.contradiction() else layer


@final
@dataclass
class Block:
    """A block of any kind with its lines; filled while the file is read, then not changed."""

    statement: Statement
    word: Word
    joined_by: type[BlockEnd] | None
    """The layer at its End, which joins its branches; None if it has none: a block of one branch."""
    count: int = 1
    """The count of a Repeat."""
    branches: list[list[LayerLine | Block]] = field(default_factory=lambda: [[]])
    """The lines of each branch, at least one; the next line belongs to the last."""
    separator_lines: list[int] = field(default_factory=list)
    end_line: int = 0
    """The line of its End; 0 if it has none."""
    size: int = 0
    """Its number of layers, unrolled."""
    foreign: bool = False
    """Whether its first word is not ours: never."""

    @property
    def span(self) -> Span:
        """Return the position of its first word."""
        return self.statement.word.span

    @property
    def freezes(self) -> bool:
        """Whether it is a Freeze."""
        return self.word is _FREEZE

    @property
    def form(self) -> Branches | None:
        """Return how its branches are written, if they are joined."""
        return self.joined_by.branches if self.joined_by else None


@final
@dataclass
class Tree:
    """A parsed network file; filled while it is read, then not changed."""

    lines: list[SourceLine] = field(default_factory=list)
    items: list[LayerLine | Block] = field(default_factory=list)
    input: LayerLine | None = None
    input_shape: tuple[int, int, int] | None = None
    readable: dict[int, tuple[int, str]] = field(default_factory=dict)
    """Line number → how many blocks it is in, and its formatted code, which may be several lines."""
    notes: dict[Span, Misfit] = field(default_factory=dict)
    """Lines that are legal, but whose meaning here is worth a note."""
    whole: bool = True
    """Whether all blocks are closed and small enough to be walked."""


def read_tree(mistakes: Mistakes) -> Tree:
    """Return the tree of the file whose lines are in `mistakes`; its mistakes are added there."""
    tree = Tree()
    reader = _Reader(tree, mistakes)
    for line in read_lines(mistakes):
        tree.lines.append(line)
        if line.statement and not reader.read(line.statement):
            break
    reader.close()
    return tree


@final
class _Reader:
    """Reads statement after statement, and tracks the open blocks."""

    def __init__(self, tree: Tree, mistakes: Mistakes) -> None:
        self.tree = tree
        self.mistakes = mistakes
        self.open: list[Block] = []
        self.size = 0
        self.last: LayerLine | None = None  # a line that may only be the last
        self.section: Section | None = None  # of darknet
        self.other: set[Misfit] = set()  # what was reported of a Python program or a settings file
        self.flat = False  # whether a darknet section has flattened the image

    def read(self, statement: Statement) -> bool:
        """Read one statement; return False if there is no point in reading further."""
        if self.mistakes.full:
            self.mistakes.add(statement.word.span, Misfit("unread"))
            self.open.clear()
            self.tree.whole = False
            return False
        if self.last and self.last.layer:
            name = self.last.layer.word.name
            misfit = Misfit(f"{name} is only allowed on the last line", f"remove it; the loss needs no {name}")
            self.mistakes.add(self.last.span, misfit)
            self.last = None
        if self._foreign(statement):
            return True
        ours = self._in_our_words(statement)
        if ours is None:
            return True
        statement = ours
        word = _WORDS[statement.word.text.lower()]
        values = Values(word, statement, self.mistakes)
        read = values.read()
        action = {
            _INPUT.name: self._input,
            **{block.name: self._begin for block in _BLOCKS},
            **dict.fromkeys(_SEPARATORS, self._separate),
            _END.name: self._end,
            SEPARABLE.name: self._separable,
        }.get(word.name, self._layer)
        return action(values, read)

    def _foreign(self, statement: Statement) -> bool:
        """Report a line in another language with its equivalent; return False if the line is ours."""
        span = code_span(self.mistakes.lines, statement.line)
        code = self.mistakes.lines[statement.line - 1][span.start : span.end]
        if self.section and self.section.take(code):
            return True
        self._close_section()
        self.section = section(statement, code)
        text = statement.word.text
        if self.section is None:
            known = text.lower() in _WORDS or text.lower() in FOREIGN_WORDS
            if known and not code[len(text) :].lstrip().startswith("("):
                return False
            misfit = tiny_dnn(code) or pasted(code, _WORDS)
            if misfit is None and known:
                return False
            if misfit not in self.other:
                self.mistakes.add(span if misfit else statement.word.span, misfit or unknown_word(text, _WORDS))
            if misfit is PROGRAM or misfit is SETTINGS:  # once: its help speaks of all such lines
                self.other |= {misfit, PROGRAM}  # a closing bracket looks like Python
        self._branch().append(LayerLine(statement, None, None))
        return True

    def _in_our_words(self, statement: Statement) -> Statement | None:
        """Return a line as it is written here; None where it cannot be, which is then said."""
        if statement.word.text.lower() not in FOREIGN_WORDS:
            return statement
        reading = in_our_words(statement)
        if isinstance(reading, Misfit):
            self.mistakes.add(statement.word.span, reading)
            self._branch().append(LayerLine(statement, None, None))
            return None
        note = reading.note
        if note and all((note.reason, note.help) != (other.reason, other.help) for other in self.tree.notes.values()):
            self.tree.notes[statement.word.span] = note  # once, however often the line is repeated
        return reading.statement

    def _close_section(self) -> None:
        """Report a darknet section with its equivalent, after all of its lines."""
        if self.section:
            self.mistakes.add(self.section.statement.word.span, self.section.misfit(flat=self.flat))
            self.flat = self.flat or self.section.flattens
            self.section = None

    def close(self) -> None:
        """Report blocks without an End."""
        self._close_section()
        for block in self.open:
            misfit = Misfit(f"this {block.word.name} has no End", "add the line `End` after the last line of the block")
            self.mistakes.add(block.statement.word.span, misfit)
            self.tree.whole = False

    def _branch(self) -> list[LayerLine | Block]:
        return self.open[-1].branches[-1] if self.open else self.tree.items

    def _write(self, values: Values, read: dict[str, Any] | None, depth: int) -> None:
        if read is not None:
            self.tree.readable[values.statement.line] = (depth, values.word.write(read))

    def _layer(self, values: Values, read: dict[str, Any] | None) -> bool:
        self._write(values, read, len(self.open))
        layer = None
        if read is None and values.meant is not None:
            layer = _LAYER_WORDS[values.word.name](**values.meant)  # so that the lines after it are checked too
        elif read is not None:
            layer = _LAYER_WORDS[values.word.name](**read)
            misfit = layer.contradiction()
            if misfit:
                self.mistakes.add(values.span_of(misfit.argument), misfit)
                layer = None
        line = LayerLine(values.statement, layer, values)
        self._branch().append(line)
        if layer and layer.last_only:
            self.last = line
        return self._grow(1, values)

    def _separable(self, values: Values, read: dict[str, Any] | None) -> bool:
        """Take in a line that is two layers, written out in its readable form."""
        layers = (None,) if read is None else separable(read)
        if read is not None:
            self.tree.readable[values.statement.line] = (len(self.open), "\n".join(map(str, layers)))
        self._branch().extend(LayerLine(values.statement, layer, values) for layer in layers)
        return self._grow(len(layers), values)

    def _grow(self, layers: int, values: Values) -> bool:
        """Add to the number of layers; return False if there are too many."""
        if self.open:
            self.open[-1].size += layers
        else:
            self.size += layers
        size = self.open[-1].size if self.open else self.size
        if size <= MOST_LAYERS:
            return True
        reason = f"this makes more than {MOST_LAYERS:,d} layers, the maximum for a network"
        self.mistakes.add(values.statement.word.span, Misfit(reason, "use fewer layers"))
        self.open.clear()
        self.tree.whole = False
        return False

    def _input(self, values: Values, read: dict[str, Any] | None) -> bool:
        self._write(values, read, len(self.open))
        span = values.statement.word.span
        if self.tree.input:
            first = self.tree.input.statement.line
            self.mistakes.add(
                span, Misfit(f"Input is given twice, on lines {first} and {span.line}", "remove one of them")
            )
        elif self.open or self.tree.items:
            self.mistakes.add(span, Misfit("Input must come before all layers", "move this line to the top"))
        self.tree.input = self.tree.input or LayerLine(values.statement, None, values)
        if read is not None and self.tree.input_shape is None:
            self.tree.input_shape = (read["channels"], read["height"], read["width"])
        return True

    def _begin(self, values: Values, read: dict[str, Any] | None) -> bool:
        self._write(values, read, len(self.open))
        block = Block(values.statement, values.word, _JOINED.get(values.word.name), (read or {}).get("n", 1))
        if len(self.open) == DEEPEST:
            misfit = Misfit(f"more than {DEEPEST} nested blocks", "close some with End")
            self.mistakes.add(values.statement.word.span, misfit)
            self.open.clear()
            self.tree.whole = False
            return False
        self._branch().append(block)
        self.open.append(block)
        return True

    def _separate(self, values: Values, read: dict[str, Any] | None) -> bool:
        """Start the next branch of the innermost block."""
        self._write(values, read, max(len(self.open) - 1, 0))
        span, block, separator = values.statement.word.span, self.open[-1] if self.open else None, values.word.name
        layer = _SEPARATORS[separator]
        word = layer.word.name
        if block is None or block.joined_by is not layer:
            inside = block is not None and any(outer.joined_by is layer for outer in self.open)
            helps = "remove it"
            if block and inside:
                helps = f"close the {block.word.name} on line {block.statement.line} with End first"
            self.mistakes.add(span, Misfit(f"{separator} is only allowed inside a {word}", helps))
        elif block.form and len(block.branches) == block.form.most:
            lines = f"on lines {block.separator_lines[-1]} and {span.line}"
            self.mistakes.add(span, Misfit(f"this {word} has two {separator}s, {lines}", "remove one of them"))
        elif len(block.branches) == MOST_BRANCHES:
            reason = f"the {word} on line {block.statement.line} has more than {MOST_BRANCHES} branches"
            self.mistakes.add(span, Misfit(reason, f"put some of them into another {word}, as one branch of this one"))
            self.open.clear()
            self.tree.whole = False
            return False
        else:
            if not block.branches[-1] and block.form and not block.form.may_be_empty:
                self._refuse_empty(block, f"has no lines before its {separator}")
            block.branches.append([])
            block.separator_lines.append(span.line)
        return True

    def _end(self, values: Values, read: dict[str, Any] | None) -> bool:
        self._write(values, read, max(len(self.open) - 1, 0))
        if not self.open:
            *others, last = (word.name for word in _BLOCKS)
            misfit = Misfit(
                "this End closes nothing", f"remove it, or start its block with {', '.join(others)} or {last}"
            )
            self.mistakes.add(values.statement.word.span, misfit)
            return True
        block = self.open.pop()
        block.end_line = values.statement.line
        self._check_branches(block)
        return self._grow(block.size * block.count + (block.joined_by is not None), block_values(block, values))

    def _check_branches(self, block: Block) -> None:
        """Report a closed block with too few branches, or with an empty one."""
        form = block.form
        separator = form.separator.name if form and form.separator else ""
        may_be_empty = form is not None and form.may_be_empty
        if block.branches == [[]]:
            self._refuse_empty(block, "is empty")
        elif not block.branches[-1] and not may_be_empty:
            self._refuse_empty(block, f"has an empty {separator}")
        elif form and len(block.branches) < form.least:
            reason = f"this {block.word.name} has one branch, but needs at least {form.least}"
            misfit = Misfit(reason, f"add the line `{separator}` between two branches; one without lines is the input")
            self.mistakes.add(block.statement.word.span, misfit)

    def _refuse_empty(self, block: Block, what: str) -> None:
        misfit = Misfit(f"this {block.word.name} {what}", "add layers there, or remove the block")
        self.mistakes.add(block.statement.word.span, misfit)


def block_values(block: Block, values: Values) -> Values:
    """Return values that point at the block's first line, for a mistake that concerns the whole block."""
    return Values(block.word, block.statement, values.mistakes)
