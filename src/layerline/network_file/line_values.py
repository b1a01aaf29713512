"""From what stands behind a word to a value for each of its arguments."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, final

from layerline.errors import spelling
from layerline.layers import Misfit
from layerline.layers.grammar import shown
from layerline.network_file.mistakes import Span
from layerline.network_file.pasted import activation
from layerline.network_file.statements import Statement

if TYPE_CHECKING:
    from layerline.layers import Argument, Word
    from layerline.network_file.mistakes import Mistakes
    from layerline.network_file.statements import Token


_ARRIVES_FIRST: Final = {"Conv": "channels", "FC": "inputs", "BatchNorm": "channels"}
"""Words whose line in PyTorch begins with what arrives, and what that is."""
_OTHERWISE: Final[dict[str, tuple[str, ...]]] = {
    "out_channels": ("filters",),
    "num_output": ("filters", "outputs"),
    "kernel_size": ("kernel", "window"),
    "pool_size": ("window",),
    "strides": ("stride",),
    "dilation_rate": ("dilation",),
    "depth_multiplier": ("multiplier",),
    "use_bias": ("bias",),
    "units": ("outputs",),
    "out_features": ("outputs",),
    "rate": ("p",),
    "alpha": ("slope",),
    "negative_slope": ("slope",),
    "epsilon": ("eps",),
}
"""What others call an argument with the same meaning → what it is called here."""
_FOLLOWS: Final = "leave it out: it follows from the lines before"
_LEFT_OUT: Final = {
    "in_channels": _FOLLOWS,
    "in_features": _FOLLOWS,
    "num_features": _FOLLOWS,
    "input_dim": _FOLLOWS,
    "input_shape": "write the size of the images as the first line: `Input channels height width`",
    "ceil_mode": "leave it out: sizes are always rounded down here",
    "padding_mode": "leave it out: padding is always zeros here",
    "data_format": "leave it out: it changes nothing here",
    "inplace": "leave it out: it changes nothing here",
    "name": "leave it out: layers have no names here",
    "kernel_initializer": "leave it out: initial weights are an option of training, --init",
    "kernel_regularizer": "leave it out: regularization is an option of training, --weight-decay",
}
"""Arguments of others that have no counterpart → what to do about them."""


@final
@dataclass
class Values:
    """The values given on one line, with their places; stateful while the line is read."""

    word: Word
    statement: Statement
    mistakes: Mistakes
    given: dict[str, Any] = field(default_factory=dict)
    spans: dict[str, Span] = field(default_factory=dict)
    wrong: bool = False
    meant: dict[str, Any] | None = None
    """The values that the line has without its first, where it only is one in PyTorch's order."""

    def read(self) -> dict[str, Any] | None:
        """Return a value for every argument, or None where the line has a mistake (which is then kept)."""
        self.meant = self._without_first()
        if self.meant is None:
            return self._read()
        first, *rest = self.statement.arguments
        what = _ARRIVES_FIRST[self.word.name]
        reason = f"this is in PyTorch's order, in which the {what} that arrive come first"
        line = " ".join([self.word.name, *(token.text for token in rest)])
        self._fail(first.span, Misfit(reason, f"write `{line}`: how many {what} arrive follows from the lines before"))
        return None

    def _without_first(self) -> dict[str, Any] | None:
        """Return the values that the line has without its first, where it has none as it stands."""
        typed, arguments = self.statement.word, self.statement.arguments
        if not arguments or self.word.name not in _ARRIVES_FIRST or not arguments[0].text.isdecimal():
            return None
        if self.word.name == "Conv" and typed.text != "Conv2d":
            return None
        if (
            self.word.name == "FC"
            and typed.text != "Linear"
            and [token.text for token in arguments[1:]] in (["0"], ["1"])
        ):
            return None  # more likely whether it has a bias
        whole, short = (
            Values(self.word, Statement(typed, each), self.mistakes.aside()) for each in (arguments, arguments[1:])
        )
        read = short._read() if whole._read() is None else None
        self.spans = short.spans if read else {}
        return read

    def _read(self) -> dict[str, Any] | None:
        named: Token | None = None
        for position, token in enumerate(self.statement.arguments):
            if "=" in token.text:
                named = token
                self._read_named(token)
            elif named:
                self._fail(token.span, self._behind(token, named))
            elif position < len(self.word.arguments):
                self._take(self.word.arguments[position], token.text, token.span, token.span)
            else:
                self._fail(token.span, self._too_many())
                break
        missing = [
            argument for argument in self.word.arguments if argument.required and argument.name not in self.spans
        ]
        if missing and not self.wrong:
            names = " and ".join(argument.name for argument in missing)
            self._fail(self.statement.word.span, Misfit(f"{self.word.name} needs its {names}", self._usage()))
        return None if self.wrong else self.word.with_defaults(self.given)

    def span_of(self, argument: str | None) -> Span:
        """Return where an argument was given, or where the word is."""
        return self.spans.get(argument or "", self.statement.word.span)

    def _fail(self, span: Span, misfit: Misfit) -> None:
        self.wrong = True
        self.mistakes.add(span, misfit)

    def _read_named(self, token: Token) -> None:
        name, text = (part.strip(" \t") for part in token.text.split("=", 1))
        start = token.span.start
        argument = self._argument(name.lower())
        if not name or not text:
            what = ("value", "behind") if name else ("name", "in front of")
            self._fail(token.span, Misfit(f"`{shown(token.text)}` has no {what[0]}", f"put one {what[1]} the `=`"))
        elif argument is None:
            self._fail(Span(token.span.line, start, start + len(name)), self._unknown(name, text))
        else:
            value = Span(token.span.line, token.span.end - len(text), token.span.end)
            self._take(argument, text, value, token.span)

    def _argument(self, name: str) -> Argument | None:
        """Return the argument of that name, ours or of others."""
        known = {argument.name: argument for argument in self.word.arguments}
        return next((known[each] for each in (name, *_OTHERWISE.get(name, ())) if each in known), None)

    def _take(self, argument: Argument, text: str, value: Span, whole: Span) -> None:
        earlier = self.spans.get(argument.name)
        if earlier:
            places = f"in column {earlier.start + 1} and in column {whole.start + 1}"
            self._fail(whole, Misfit(f"{argument.name} is given twice, {places}", "remove one of the two"))
            return
        self.spans[argument.name] = whole
        try:
            self.given[argument.name] = argument.kind.read(argument.name, text)
        except Misfit as misfit:
            self._fail(value, misfit)

    def _too_many(self) -> Misfit:
        most = len(self.word.arguments)
        if not most:
            return Misfit(f"{self.word.name} takes no values", f"write `{self.word.name}` alone")
        return Misfit(f"{self.word.name} takes at most {most} {'value' if most == 1 else 'values'}", self._usage())

    def _behind(self, token: Token, named: Token) -> Misfit:
        free = [argument.name for argument in self.word.arguments if argument.name not in self.spans]
        reason = f"`{shown(token.text)}` has no name, and stands behind `{shown(named.text)}`"
        return Misfit(reason, f"give it one: {free[0]}={shown(token.text)}" if free else self._usage())

    def _unknown(self, name: str, text: str) -> Misfit:
        reason = f"{self.word.name} has no argument `{shown(name)}`"
        lower = name.lower()[:40]
        if lower == "activation":
            line = activation(text) or "ReLU"
            return Misfit(reason, f"write the activation as a line of its own: `{line}`")
        if lower in _LEFT_OUT:
            return Misfit(reason, _LEFT_OUT[lower])
        near = spelling.nearest(lower, [argument.name for argument in self.word.arguments])
        return Misfit(reason, self._usage() if near is None else f"did you mean `{near}`?")

    def _usage(self) -> str:
        return f"write: {self.word.usage()}" if self.word.arguments else f"write `{self.word.name}` alone"
