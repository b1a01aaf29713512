"""The statements of one C function, and how they become text.

A pen writes each operation as one constant: what no statement needs is omitted, and a value that is only loaded goes
into the one statement that uses it. A product is never put into a sum, because C would allow the compiler to round
such an expression once instead of twice.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH: Final = 110
"""Maximum columns of a line, unless a single word is longer."""
NAME: Final = re.compile(r"\b[a-zA-Z]\w*_\d+\b")
"""A name that a pen made."""
ROOT: Final = re.compile("«(\\w+)»")
"""Where a pointer's type has `const` if its argument's memory is never written to."""


@dataclass(eq=False)
class CStatement:
    """A declaration with a value, an assignment to a variable, or anything else that has an effect."""

    head: str
    """What precedes the expression: "const float t_1 = ", "v_1 = ", "y[i_1] = "; or "" for a call."""
    expression: str
    makes: str | None = None
    """The name of the constant or variable that it declares."""
    sets: str | None = None
    """The name of the variable that it assigns to."""
    movable: bool = False
    """Whether its expression may be put into the only statement that uses it, instead of its name."""
    whole: bool = False
    """Whether only as the whole value of another statement."""
    moved: bool = False
    """Whether that was done, so that it is no longer a statement."""

    @property
    def effect(self) -> bool:
        """Whether it does something by itself."""
        return self.makes is None and self.sets is None

    @property
    def used(self) -> set[str]:
        """The names in it, except the one it declares or sets."""
        return {*NAME.findall(self.head), *NAME.findall(self.expression)} - {self.makes, self.sets}


@dataclass(eq=False)
class Braces:
    """Statements inside braces after a header: a loop or a condition; without a header, a function's body."""

    header: str
    body: list[CStatement | Braces] = field(default_factory=list)

    @property
    def used(self) -> set[str]:
        """The names in its header."""
        return set(NAME.findall(self.header))


def finished(body: Braces) -> None:
    """Remove what has no effect, then put loaded values where they are used."""
    _remove_unneeded(body)
    _move(body)


def lines(block: Braces, depth: int) -> Iterator[str]:
    """Yield the lines of a block's body."""
    for each in block.body:
        indent = "    " * depth
        if isinstance(each, CStatement):
            yield from wrapped(f"{indent}{each.head}{_bare(each.expression)};")
        else:
            yield from wrapped(f"{indent}{each.header} {{")
            yield from lines(each, depth + 1)
            yield f"{indent}}}"


def wrapped(line: str) -> list[str]:
    """Return a line as several that are not too long: split after commas if that suffices, else at any space."""
    if len(line) <= WIDTH:
        return [line]
    text = line.lstrip()
    indent = line[: len(line) - len(text)]
    for together in (re.sub("(?<!,) ", "\N{NO-BREAK SPACE}", text), text):
        found = textwrap.wrap(
            together,
            WIDTH,
            initial_indent=indent,
            subsequent_indent=f"{indent}    ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        if all(len(each) <= WIDTH for each in found):
            break
    return [each.replace("\N{NO-BREAK SPACE}", " ") for each in found]


def _bare(expression: str) -> str:
    """Return an expression without parentheses around the whole of it."""
    depth = 0
    for place, letter in enumerate(expression):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return expression[1:-1] if expression[0] == "(" and place == len(expression) - 1 else expression
    return expression


def _statements(block: Braces) -> Iterator[CStatement]:
    for each in block.body:
        if isinstance(each, CStatement):
            yield each
        else:
            yield from _statements(each)


def _remove_unneeded(body: Braces) -> None:
    """Keep the effects, and all that they depend on; a variable depends on all that is assigned to it."""
    by_name: dict[str, list[CStatement]] = {}
    for each in _statements(body):
        for name in (each.makes, each.sets):
            if name is not None:
                by_name.setdefault(name, []).append(each)
    needed: set[str] = set()
    unseen = {name for each in _statements(body) if each.effect for name in each.used}
    while unseen:
        needed |= unseen
        unseen = {name for made in unseen for each in by_name.get(made, ()) for name in each.used} - needed
        unseen = unseen or set(_headers(body, needed)) - needed
    _keep(body, needed)


def _headers(block: Braces, needed: set[str]) -> Iterator[str]:
    """Yield the names in the headers of all blocks that contain a needed statement."""
    for each in block.body:
        if isinstance(each, Braces) and any(s.effect or {s.makes, s.sets} & needed for s in _statements(each)):
            yield from each.used
            yield from _headers(each, needed)


def _keep(block: Braces, needed: set[str]) -> None:
    kept: list[CStatement | Braces] = []
    for each in block.body:
        if isinstance(each, Braces):
            _keep(each, needed)
            if each.body:
                kept.append(each)
        elif each.effect or {each.makes, each.sets} & needed:
            kept.append(each)
    block.body[:] = kept


def _move(body: Braces) -> None:
    """Put movable expressions into the only statement that uses them, if no effect lies between."""
    uses: dict[str, int] = {}
    for text in _texts(body):
        for name in NAME.findall(text):
            uses[name] = uses.get(name, 0) + 1
    _move_in(body, uses)


def _texts(block: Braces) -> Iterator[str]:
    for each in block.body:
        if isinstance(each, CStatement):
            yield each.head
            yield each.expression
        else:
            yield each.header
            yield from _texts(each)


def _move_in(block: Braces, uses: dict[str, int]) -> None:
    waiting: dict[str, CStatement] = {}
    """The movable statements since the last effect."""
    for each in block.body:
        if isinstance(each, Braces):
            waiting.clear()
            _move_in(each, uses)
            continue
        for name in each.used & waiting.keys():
            source = waiting[name]
            if uses[name] == 2 and (not source.whole or (each.expression == name and not each.movable)):
                _replace(each, name, source)
                del waiting[name]
        if each.makes is None or each.sets is not None:
            waiting.clear()
        elif each.movable or each.whole:
            waiting[each.makes] = each
    block.body[:] = [each for each in block.body if isinstance(each, Braces) or not each.moved]


def _replace(user: CStatement, name: str, source: CStatement) -> None:
    """Put an expression in the place of its name, and mark its own statement as gone."""
    pattern = re.compile(rf"\b{name}\b")
    user.head = pattern.sub(lambda _: source.expression, user.head)
    user.expression = pattern.sub(lambda _: source.expression, user.expression)
    source.moved = True
