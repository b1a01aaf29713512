"""Reading of a line's arguments: from text to a value for each argument of its word."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, final

from layerline.errors import spelling
from layerline.layers import Misfit
from layerline.layers.grammar import Real, shown
from layerline.network_file.mistakes import Span
from layerline.network_file.pasted import activation
from layerline.network_file.statements import Statement

if TYPE_CHECKING:
    from layerline.layers import Argument, Word
    from layerline.network_file.mistakes import Mistakes
    from layerline.network_file.statements import Token


_INPUT_FIRST: Final = {"Conv": "input channels", "FC": "inputs", "BatchNorm": "channels"}
"""Words whose line in PyTorch starts with the size of the input, and its name."""
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
"""The name of an argument with the same meaning in other frameworks → its name here."""
_FOLLOWS: Final = "omit it: it follows from the lines before"
_LEFT_OUT: Final = {
    "in_channels": _FOLLOWS,
    "in_features": _FOLLOWS,
    "in": _FOLLOWS,
    "num_features": _FOLLOWS,
    "input_dim": _FOLLOWS,
    "input_shape": "write the size of the images as the first line: `Input channels height width`",
    "ceil_mode": "omit it: sizes are always rounded down here",
    "padding_mode": "omit it: padding is always zeros here",
    "data_format": "omit it: it changes nothing here",
    **dict.fromkeys(("start_dim", "end_dim"), "omit it: the whole image is flattened here"),
    **dict.fromkeys(("affine", "track_running_stats", "center", "scale"), "omit it: it is always on here"),
    "inplace": "omit it: it changes nothing here",
    "name": "omit it: layers have no names here",
    "kernel_initializer": "omit it: initial weights are a training option, --init",
    "kernel_regularizer": "omit it: regularization is a training option, --weight-decay",
}
"""Arguments in other frameworks that have no equivalent → what to do instead."""
_SHORT: Final[dict[str, tuple[str, ...]]] = {
    "k": ("kernel", "window"),
    "s": ("stride",),
    "p": ("padding",),
    "d": ("dilation",),
    "g": ("groups",),
}
"""Abbreviations of arguments → the names they may stand for."""


@final
@dataclass
class Values:
    """The values on one line, with their positions; mutable while the line is read."""

    word: Word
    statement: Statement
    mistakes: Mistakes
    given: dict[str, Any] = field(default_factory=dict)
    spans: dict[str, Span] = field(default_factory=dict)
    wrong: bool = False
    meant: dict[str, Any] | None = None
    """The values of the line without its first one, if it is valid only in PyTorch's order."""

    def read(self) -> dict[str, Any] | None:
        """Return a value for every argument, or None if the line has a mistake (which is then recorded)."""
        self.meant = self._without_first()
        if self.meant is None:
            return self._read()
        first, *rest = self.statement.arguments
        what = _INPUT_FIRST[self.word.name]
        reason = f"this line is in PyTorch's order, with the number of {what} first"
        line = " ".join([self.word.name, *(token.text for token in rest)])
        self._fail(first.span, Misfit(reason, f"write `{line}`: the number of {what} is inferred from the lines above"))
        return None

    def _without_first(self) -> dict[str, Any] | None:
        """Return the values of the line without its first one, if the line is not valid as it is."""
        typed, arguments = self.statement.word, self.statement.arguments
        if not arguments or self.word.name not in _INPUT_FIRST or not arguments[0].text.isdecimal():
            return None
        if self.word.name == "Conv" and typed.text != "Conv2d":
            return None
        if (
            self.word.name == "FC"
            and typed.text != "Linear"
            and [token.text for token in arguments[1:]] in (["0"], ["1"])
        ):
            return None  # more likely the bias
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
                self._fail(token.span, self._unnamed(token, named))
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
            reason = f"{self.word.name} is missing the argument{'s' * (len(missing) > 1)} {names}"
            only = missing[0].kind if len(self.word.arguments) == 1 else None
            example = f", for example `{self.word.name} {only.example}`" if isinstance(only, Real) else ""
            self._fail(self.statement.word.span, Misfit(reason, self._usage() + example))
        return None if self.wrong else self.word.with_defaults(self.given)

    def span_of(self, argument: str | None) -> Span:
        """Return the position of an argument, or of the word."""
        return self.spans.get(argument or "", self.statement.word.span)

    def _fail(self, span: Span, misfit: Misfit) -> None:
        self.wrong = True
        self.mistakes.add(span, misfit)

    def _read_named(self, token: Token) -> None:
        name, text = (part.strip(" \t") for part in token.text.split("=", 1))
        start = token.span.start
        argument = self._argument(name.lower())
        if not name or not text:
            what = ("value", "after") if name else ("name", "before")
            self._fail(token.span, Misfit(f"`{shown(token.text)}` has no {what[0]}", f"write one {what[1]} the `=`"))
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
            places = f"in columns {earlier.start + 1} and {whole.start + 1}"
            self._fail(whole, Misfit(f"{argument.name} is given twice, {places}", "remove one of them"))
            return
        self.spans[argument.name] = whole
        try:
            self.given[argument.name] = argument.kind.read(argument.name, text)
        except Misfit as misfit:
            self._fail(value, (self._of_keras(text) if value == whole else None) or misfit)

    def _of_keras(self, text: str) -> Misfit | None:
        """Return the mistake of a word without a name that is an activation, or a padding."""
        line = activation(text)
        if line is not None:
            reason = f"`{shown(text)}` is an activation, not a value of {self.word.name}"
            return Misfit(reason, f"write the activation on a separate line: `{line}`")
        if text.lower() == "same" and self._argument("padding"):
            return Misfit(f"`{shown(text)}` needs a name", "write padding=same")
        return None

    def _too_many(self) -> Misfit:
        most = len(self.word.arguments)
        if not most:
            return Misfit(f"{self.word.name} takes no values", f"write `{self.word.name}` alone")
        return Misfit(f"{self.word.name} takes at most {most} {'value' if most == 1 else 'values'}", self._usage())

    def _unnamed(self, token: Token, named: Token) -> Misfit:
        free = [argument.name for argument in self.word.arguments if argument.name not in self.spans]
        reason = f"`{shown(token.text)}` needs a name, because it follows `{shown(named.text)}`"
        return Misfit(reason, f"write {free[0]}={shown(token.text)}" if free else self._usage())

    def _unknown(self, name: str, text: str) -> Misfit:
        reason = f"{self.word.name} has no argument `{shown(name)}`"
        lower = name.lower()[:40]
        if lower == "activation":
            line = activation(text) or "ReLU"
            return Misfit(reason, f"write the activation on a separate line: `{line}`")
        if lower in _LEFT_OUT:
            return Misfit(reason, _LEFT_OUT[lower])
        names = [argument.name for argument in self.word.arguments]
        near = next((name for name in _SHORT.get(lower, ()) if name in names), None) or spelling.nearest(lower, names)
        return Misfit(reason, self._usage() if near is None else f"did you mean `{near}`?")

    def _usage(self) -> str:
        return f"usage: {self.word.usage()}" if self.word.arguments else f"write `{self.word.name}` alone"
