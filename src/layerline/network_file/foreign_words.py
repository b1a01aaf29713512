"""Words of Keras and PyTorch whose values or defaults differ from those of ours: how their lines are read."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from layerline.layers import Misfit
from layerline.layers.grammar import Real
from layerline.network_file.pasted import activation
from layerline.network_file.statements import Statement, Token

if TYPE_CHECKING:
    from collections.abc import Callable

_KERAS_MOMENTUM: Final = 0.99
_KERAS_EPSILON: Final = "0.001"
_SHARE: Final = re.compile(r"0?\.[0-9]{1,12}|0", re.ASCII)
_SIZE: Final = re.compile(r"\(?([0-9]{1,6})(?:[x,]([0-9]{1,6}))?\)?", re.ASCII)
_LAST_AXIS: Final = frozenset(("dim=1", "dim=-1", "axis=1", "axis=-1"))
_WINDOWS: Final = frozenset(("pool_size", "window", "kernel_size"))


@final
@dataclass(frozen=True)
class AsMeant:
    """A line in our words, and what is noted about that reading."""

    statement: Statement
    note: Misfit | None = None


def in_our_words(statement: Statement) -> AsMeant | Misfit:
    """Return how a line is read that begins with any word of FOREIGN_WORDS, or why it cannot be."""
    return FOREIGN_WORDS[statement.word.text.lower()](statement)


def _named(token: Token) -> str:
    """Return the name of `name=value` in lower case, "" where there is none."""
    name, sign, _ = token.text.partition("=")
    return name.strip().lower() if sign else ""


def _value(token: Token) -> str:
    return token.text.rpartition("=")[2].strip()


def _as(statement: Statement, word: str, arguments: tuple[Token, ...]) -> Statement:
    return Statement(dataclasses.replace(statement.word, text=word), arguments)


def _batch_normalization(statement: Statement) -> AsMeant | Misfit:
    """Keras's momentum is what the old value keeps, ours what a new batch gets; its defaults differ as well."""
    typed = statement.word.text
    bare = next((token for token in statement.arguments if not _named(token)), None)
    if bare is not None:
        first = bare.text if _SHARE.fullmatch(bare.text) else "0.99"
        reason = f"{typed} takes only named values: Keras's first one is the axis"
        return Misfit(reason, f"write `{typed} momentum={first}`, or `{typed}` alone")
    given = {_named(token): token for token in statement.arguments}
    momentum = given.pop("momentum", Token(f"momentum={_KERAS_MOMENTUM}", statement.word.span))
    if not _SHARE.fullmatch(_value(momentum)):
        return Misfit(f"{typed}'s momentum must be at least 0 and below 1, like 0.99")
    share = Real(0, 1).write(round(1 - float(_value(momentum)), 12))
    if not given.keys() & {"epsilon", "eps"}:
        given["eps"] = Token(f"eps={_KERAS_EPSILON}", statement.word.span)
    arguments = (dataclasses.replace(momentum, text=f"momentum={share}"), *given.values())
    ours = _as(statement, "BatchNorm", arguments)
    line = f"BatchNorm momentum={share} " + " ".join(f"eps={_value(token)}" for token in given.values())
    helps = f"here this is `{line}`; for PyTorch's defaults, write `BatchNorm`"
    return AsMeant(ours, Misfit(f"{typed} is read with Keras's meaning and defaults", helps))


def _adaptive(word: str, windowed: str) -> Callable[[Statement], AsMeant | Misfit]:
    def read(statement: Statement) -> AsMeant | Misfit:
        """Read an adaptive pool: one whose output is 1×1 is a global one."""
        sizes = [
            size
            for token in statement.arguments
            if _named(token) in ("", "output_size")
            for size in _SIZE.sub(r"\1 \2", _value(token)).split()
        ]
        if sizes and set(sizes) == {"1"}:
            return AsMeant(_as(statement, word, ()))
        typed = statement.word.text
        size = int(sizes[0]) if sizes and sizes[0].isdecimal() else 4
        reason = f"{typed} is available only with a 1×1 output, which is `{word}` here"
        return Misfit(reason, f"use a window: `{windowed} 2` reduces {2 * size}×{2 * size} images to {size}×{size}")

    return read


def _log_softmax(statement: Statement) -> AsMeant:
    reason = f"{statement.word.text} is read as Softmax: the loss computes the logarithm anyway"
    note = Misfit(reason, "write `Softmax`, or remove the line: training and predictions are the same")
    return AsMeant(_softmax(statement).statement, note)


def _softmax(statement: Statement) -> AsMeant:
    rest = (token for token in statement.arguments if token.text.replace(" ", "").lower() not in _LAST_AXIS)
    return AsMeant(_as(statement, "Softmax", tuple(rest)))


def _activation(statement: Statement) -> AsMeant | Misfit:
    """Read Keras's `Activation relu`."""
    typed, values = statement.word.text, statement.arguments
    if [_value(value).lower() for value in values] == ["linear"]:
        return Misfit(f"{typed} linear does nothing", "remove this line")
    line = activation(_value(values[0])) if len(values) == 1 and _named(values[0]) in ("", "activation") else None
    if line is None:
        return Misfit(f"{typed} is not a layer here", "write only the name of the activation, such as `ReLU`")
    word, *slope = line.split()
    return AsMeant(_as(statement, word, tuple(Token(text, values[0].span) for text in slope)))


def _keras_pool(word: str) -> Callable[[Statement], AsMeant]:
    def read(statement: Statement) -> AsMeant:
        """Read a pool of Keras, whose window is 2 by default."""
        names = {_named(token) for token in statement.arguments}
        typed = statement.word.text
        if "" in names or names & _WINDOWS or not typed.endswith("2D"):
            return AsMeant(statement)
        ours = _as(statement, typed, (Token("2", statement.word.span), *statement.arguments))
        return AsMeant(ours, Misfit(f"{typed} without a window is read with Keras's default of 2", f"write `{word} 2`"))

    return read


FOREIGN_WORDS: Final[dict[str, Callable[[Statement], AsMeant | Misfit]]] = {
    "batchnormalization": _batch_normalization,
    "adaptiveavgpool2d": _adaptive("GlobalPool", "AvgPool"),
    "adaptivemaxpool2d": _adaptive("GlobalMaxPool", "Pool"),
    "activation": _activation,
    "softmax": _softmax,
    "logsoftmax": _log_softmax,
    **dict.fromkeys(("maxpooling2d", "maxpool2d"), _keras_pool("Pool")),
    **dict.fromkeys(("averagepooling2d", "avgpool2d"), _keras_pool("AvgPool")),
}
"""The word in lower case → how its line is read."""
