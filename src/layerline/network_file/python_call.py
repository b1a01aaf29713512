"""A parser for the Python used in network definitions: calls, their values and names. Nothing is executed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final, final

_LONGEST: Final = 400
"""Characters of a line that are parsed."""
_DEEPEST: Final = 20
_TOKEN: Final = re.compile(
    r"[ \t]*(?:(?P<name>\.?[A-Za-z_][\w.]*)|(?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)"
    r"|(?P<text>'[^']*'|\"[^\"]*\")|(?P<sign>[()\[\],=*+\-/:]))",
    re.ASCII,
)
_BEGINNING: Final = re.compile(
    r"(?:\(\w+\):[ \t]*)?(?:[A-Za-z_][\w.]*[ \t]*=[ \t]*)?(?:return[ \t]+)?(?P<call>[A-Za-z_][\w.]*[ \t]*\(.*)",
    re.ASCII,
)
_CONSTANTS: Final = {"True": True, "False": False, "None": None}


@final
@dataclass(frozen=True)
class Name:
    """A name for a value that is not on the line, or an expression that cannot be computed."""

    text: str


@final
@dataclass
class Call:
    """`prefix.function(positional, …, name=value)`; `inner` is its operand, such as x in `Dense(10)(x)`."""

    prefix: str
    function: str
    positional: list[Any] = field(default_factory=list)
    named: dict[str, Any] = field(default_factory=dict)
    inner: list[Any] = field(default_factory=list)


def read_call(code: str) -> Call | None:
    """Return the call on a line, `x = f(…)` or `f(…),`; None if there is none, or if it cannot be parsed.

    Several calls, `f(…), g(…)`, are those of a Sequential. A printed module's name, `(0): f(…)`, is skipped.
    Brackets that are not closed on the line count as closed at its end, because a program continues there.
    """
    match = _BEGINNING.match(code[:_LONGEST].strip())
    tokens = _tokens(match["call"]) if match else None
    if not tokens:
        return None
    try:
        values = _Parser(tokens).values()
    except ValueError:
        return None
    calls = [value for value in values if isinstance(value, Call)]
    if len(calls) > 1:
        return Call("", "Sequential", calls)
    return calls[0] if isinstance(values[0], Call) else None


def _tokens(text: str) -> list[tuple[str, str]] | None:
    """Return kind and text of each token; None if there is anything else on the line."""
    found: list[tuple[str, str]] = []
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            return None
        found.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return found


@final
class _Parser:
    """Parses tokens from left to right; raises ValueError if they are not Python values."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0

    def values(self) -> list[Any]:
        """Parse the expressions on a line, with commas between them, up to the end or a bracket that closes more."""
        found = [self.value(0)]
        while self._next() == "," and self._at + 1 < len(self._tokens):
            self._take()
            if self._next() in (")", "]"):
                break
            found.append(self.value(0))
        return found

    def value(self, depth: int) -> Any:
        """Parse one expression: `16 * 4 * 4` is a number, other arithmetic is a Name."""
        if depth > _DEEPEST:
            raise ValueError("too deep")
        value = self._one(depth)
        while self._next() in ("*", "+", "-", "/"):
            sign = self._take()
            other = self._one(depth)
            whole = isinstance(value, int) and isinstance(other, int) and sign == "*"
            value = value * other if whole else Name(sign)
        return value

    def _one(self, depth: int) -> Any:
        kind, text = self._tokens[self._at] if self._at < len(self._tokens) else ("end", "")
        self._at += 1
        if kind == "name":
            return self._named(text, depth)
        if kind == "number":
            return float(text) if re.search(r"[.eE]", text) else int(text)
        if kind == "text":
            return text[1:-1]
        if text == "-":
            value = self._one(depth)
            return -value if isinstance(value, int | float) else Name("-")
        if text in ("(", "["):
            positional, _ = self._arguments(depth + 1)
            return tuple(positional)
        raise ValueError("no value")

    def _named(self, text: str, depth: int) -> Any:
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if self._next() != "(":
            return Name(text)
        self._take()
        prefix, _, function = text.rpartition(".")
        call = Call(prefix, function, *self._arguments(depth + 1))
        while True:
            if self._next() == "(":  # Keras: Dense(10)(x)
                self._take()
                call.inner, _ = self._arguments(depth + 1)
            elif self._next().startswith(".") and self._next(1) == "(":  # self.conv(x).relu()
                prefix, function = "", self._take()[1:]
                self._take()
                call = Call(prefix, function, *self._arguments(depth + 1), inner=[call])
            else:
                return call

    def _arguments(self, depth: int) -> tuple[list[Any], dict[str, Any]]:
        """Parse up to the closing bracket, or the end of the line."""
        positional: list[Any] = []
        named: dict[str, Any] = {}
        while self._at < len(self._tokens):
            if self._next() in (")", "]"):
                self._take()
                break
            if self._next() == ",":
                self._take()
            elif self._next(1) == "=" and self._tokens[self._at][0] == "name":
                name = self._take()
                self._take()
                named[name] = self.value(depth)
            else:
                positional.append(self.value(depth))
        return positional, named

    def _next(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._tokens[at][1] if at < len(self._tokens) and self._tokens[at][0] != "text" else ""

    def _take(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1][1]
