"""Command-line arguments as typed, translated for click; options of other tools are answered with ours."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final, final

import click

from layerline.cli import foreign
from layerline.cli.option import ON_OFF, SwitchOption
from layerline.errors import other_words, spelling
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerline.cli.foreign import Foreign

_SAME: Final = {"batch": "batch-size", "bs": "batch-size", "wd": "weight-decay", "h": "help"}
"""Abbreviations that are unambiguous in all tools: they are accepted, as are underscores instead of hyphens."""
_SWITCH: Final = re.compile(r"(?i)true|false|yes|no|on|off|-?[0-9.,]+")
_MINUS: Final = re.compile(r"-[0-9.]+")
"""A negative number, which is a value although it starts with a hyphen."""
_EXAMPLES: Final = {"augment": "flip,shift=4", "patience": "5", "ema": "0.999", "out": "my-run", "within": "30m"}
"""Example values for our options if the other tool's option takes no value, or only True."""
_ON: Final = ("true", "yes", "on")
_NETWORK_FILES: Final = (".cnn", ".toml", ".safetensors")
_FORMATS: Final = {
    **{f"{before}{name}": name for name in ("onnx", "web", "wasm", "c") for before in ("", "to-")},
    "html": "web",
}
"""A word for a format of `export` → the format."""
_MANY: Final = 1000
_DASHES: Final = "-\N{EN DASH}\N{EM DASH}\N{MINUS SIGN}"


@final
class MistypedError(click.UsageError):
    """An unknown command or option, with what to type instead."""

    def __init__(self, message: str, help_line: str) -> None:
        """Take the message and the help line."""
        super().__init__(message)
        self.help = help_line


@final
class CommandLine:
    """The arguments of one command; stateful while they are read."""

    def __init__(self, command: click.Command, path: str, arguments: Sequence[str]) -> None:
        """Start at the first argument; `path` is the command as typed, `layerline train`."""
        self._name = command.name or ""
        self._path = path
        self._flags = {
            flag: one
            for one in command.params
            if isinstance(one, click.Option)
            for flag in one.opts + one.secondary_opts
        }
        self._flags |= {one.off: one for one in command.params if isinstance(one, SwitchOption)}
        self._flags |= dict.fromkeys(("-h", "--help"), click.Option(["--help"], is_flag=True))
        arguments_taken = [one.nargs for one in command.params if isinstance(one, click.Argument)]
        self._takes_data = any(isinstance(one, click.Argument) and one.name == "data" for one in command.params)
        self._takes = _MANY if -1 in arguments_taken else len(arguments_taken)
        self._rest = list(arguments)
        self._read: list[str] = []
        self._free: list[str] = []
        self._last: list[str] = []
        self._added: dict[str | None, list[str]] = {}
        self._reasons: list[str] = []
        self._unknown: list[str] = []
        self._instead = ""
        self._without_net = False
        self._seen: dict[str | None, str] = {}

    def in_our_words(self) -> list[str]:
        """Return the arguments for click. Raises MistypedError; UsageError for a repeated option or a missing value."""
        while self._rest:
            word = self._rest.pop(0)
            if word == "--":
                self._read += [word, *self._rest]
                break
            self._word(word)
        self._data_as_argument()
        if self._reasons:
            raise MistypedError("\n".join([*self._reasons, *self._omitted()]), self.corrected())
        return self._read

    def _data_as_argument(self) -> None:
        """Take an argument too many for the data, if there is none: `layerline train lenet5 mnist`."""
        alone = [word for word in self._alone() if not word.startswith("-")]
        data = self._flags.get("--data")
        if len(alone) != self._takes + 1 or self._free or data is None or data.name in self._seen:
            return
        if self._unknown or "--" in self._read or PurePath(alone[-1]).suffix in _NETWORK_FILES:
            return
        what, flag = ("data", "--data") if self._name != "export" else self._of_export(alone[-1])
        if not flag or self._flags[flag].name in self._seen:
            return
        self._reasons.append(f"{display.name(alone[-1])}: the {what} is an option, not an argument")
        at = len(self._read) - 1 - self._read[::-1].index(alone[-1])
        self._read[at : at + 1] = [flag, _FORMATS.get(alone[-1].lower().replace("_", "-"), alone[-1])]

    def _of_export(self, word: str) -> tuple[str, str]:
        """Return what an argument after the model means, and its option; its data counts only for --int8."""
        if word.lower().replace("_", "-") in _FORMATS:
            return "format", "--to"
        if PurePath(word).suffix:
            return "file", "--out"
        return ("data", "--data") if self._flags["--int8"].name in self._seen else ("", "")

    def _omitted(self) -> list[str]:
        """Correct unknown options if a known one is close, remove the others, and return what is wrong with them."""
        reasons = []
        for word in self._unknown:
            name, equals, value = word.partition("=")
            near = spelling.nearest(name.lstrip("-"), [flag[2:] for flag in self._flags if flag.startswith("--")])
            at = self._read.index(word)
            if near is None:
                del self._read[at : at + 1 + self._too_many(at + 1)]
            else:
                self._read[at] = f"--{near}{equals}{value}"
            reasons.append(
                f"{display.name(name)}: unknown option" + ("" if near is None else f"; did you mean `--{near}`?")
            )
        return reasons

    def _too_many(self, at: int) -> bool:
        """Return whether the argument at this position is one too many: then it is the value of an unknown option."""
        alone = sum(not word.startswith("-") for word in self._alone())
        return alone + len(self._free) > self._takes and at < len(self._read) and self._read[at][:1] != "-"

    def corrected(self) -> str:
        """Return the whole corrected command."""
        if self._instead:
            return self._instead
        free = self._takes - sum(not word.startswith("-") for word in self._alone())
        first = self._free[: max(0, free)]
        if self._without_net:
            first = []
            for word in [word for word in self._alone() if not word.startswith("-")][:1]:
                self._read.remove(word)
        added = [word for name, words in self._added.items() if name not in self._seen for word in words]
        read = [self._short(word) for word in self._read]
        return " ".join(map(quoted, [*self._path.split(), *first, *read, *added, *self._last]))

    def _short(self, word: str) -> str:
        """Return `--gray` for `--gray=yes`, and `--no-gray` for `--gray=no`; any other word unchanged."""
        flag, _, value = word.partition("=")
        switch = self._flags.get(flag)
        return {"yes": switch.on, "no": switch.off}.get(value, word) if isinstance(switch, SwitchOption) else word

    def _alone(self) -> list[str]:
        """Return the arguments so far, without the values of options."""
        words, alone = iter(self._read), []
        for word in words:
            alone.append(word)
            option = self._flags.get(word)
            if option is not None and not option.is_flag:
                next(words, None)
        return alone

    def _word(self, word: str) -> None:
        spelled, equals, value = word.partition("=")
        name = spelled.lstrip(_DASHES).replace("_", "-")
        dashed = spelled[:1] in tuple(_DASHES) and name[:1].isalpha()
        given = value if equals else None
        same = f"--{_SAME.get(name, name)}"
        if spelled in self._flags:
            self._ours(spelled, spelled, given)
        elif dashed and same in self._flags and (spelled.startswith("--") or name in ("h", *_SAME)):
            self._ours(spelled, same, given)
        elif same == "--data" and dashed and self._takes_data:  # as train has it; here it is the argument
            if not equals and not self._rest:
                raise click.BadOptionUsage(spelled, "needs a value")
            self._read.append(value if equals else self._rest.pop(0))
        elif not dashed and not (equals and name[:1].isalpha()):
            self._read.append(word)
        elif same in self._flags and not _there(word):
            self._reasons.append(f"{display.name(spelled)}: options start with two hyphens")
            self._ours(spelled, same, given)
        elif not self._other(spelled, name.lower(), given, dashed=dashed):
            self._read.append(word)
            self._unknown += [word] if dashed else []

    def _ours(self, spelled: str, flag: str, given: str | None) -> None:
        """Take one of our options with its value."""
        option = self._flags[flag]
        self._once(option, spelled)
        if isinstance(option, SwitchOption):
            self._switch(option, spelled, given, off=flag == option.off)
        elif given is not None:
            self._read.append(f"{flag}={given}")
        elif option.is_flag:
            self._read.append(flag)
        elif self._rest and self._rest[0] not in self._flags:
            self._read += [flag, self._rest.pop(0)]
        elif flag == "--resume":
            self._reasons.append("--resume needs the folder of the run to resume")
            self._read += [flag, run_to_name(resumable=True)]
        else:
            raise MistypedError(f"{spelled} needs a value", f"{flag} {option.metavar}")

    def _switch(self, option: SwitchOption, spelled: str, given: str | None, *, off: bool) -> None:
        """Take a switch, with or without a value. Raises UsageError if the --no- form has one."""
        if off and given is not None:
            raise MistypedError(f"{spelled} does not take a value", f"write {spelled} alone")
        if not off and given is None and self._rest and self._rest[0].lower() in ON_OFF:
            given = self._rest.pop(0)
        value = "yes" if given is None else ON_OFF.get(given.lower(), given)
        self._read.append(f"{option.on}={'no' if off else value}")

    def _once(self, option: click.Option, spelled: str) -> None:
        if option.name in self._seen:
            if isinstance(option, SwitchOption) and (spelled == option.off) != (self._seen[option.name] == option.off):
                raise MistypedError(
                    f"{self._seen[option.name]} and {spelled} contradict each other", "remove one of them"
                )
            same = "" if spelled in option.opts else f"the same as `{option.opts[0]}`, which is "
            raise MistypedError(f"{spelled} is {same}specified twice", "remove one of them")
        self._seen[option.name] = spelled

    def _other(self, spelled: str, name: str, given: str | None, *, dashed: bool) -> bool:
        """Handle an option of other tools; return whether it is one."""
        known = foreign.OPTIONS.get(self._name, {})
        following = given if given is not None else next(iter(self._rest), "")
        found = known.get(f"{name} {following}") or known.get(name)
        if found is not None and (dashed or not _there(f"{spelled}={given}")):
            self._reasons.append(found.reason.replace("{}", display.name(spelled)))
            self._foreign(found, given)
            return True
        ours = other_words.ours(name)
        if ours is None or f"--{ours}" not in self._flags:
            return False
        self._reasons.append(f"{display.name(spelled)} is called `--{ours}` here")
        self._called(spelled, ours, given)
        return True

    def _foreign(self, found: Foreign, given: str | None) -> None:
        """Add what to type instead, and take the value."""
        if given is None and self._rest and (self._rest[0][:1] != "-" or _MINUS.fullmatch(self._rest[0])):
            given = self._rest.pop(0) if found.value or _SWITCH.fullmatch(self._rest[0]) else None
        if found.command:
            run = run_to_name(resumable="--resume" in found.command)
            self._instead = found.command.replace("RUN", quoted(run))
        self._without_net = self._without_net or found.replaces_net
        value = given or found.default
        if value == "RUN" or PurePath(value).suffix.lower() in foreign.OTHERS:
            value = run_to_name()
        match found.instead:
            case "{}":
                self._free.append(value)
            case "{last}":
                self._last.append(value)
            case _:
                parent = PurePath(value).parent.as_posix()
                words = [word.format(value, parent=parent) for word in found.instead.split()]
                if words:
                    self._add(*words)

    def _add(self, flag: str, *values: str) -> None:
        """Add one of our options; words for --augment, from several options of other tools, become one list."""
        known = self._added.setdefault(self._flags[flag].name, [flag])
        if flag == "--augment" and len(known) > 1:
            words = dict(word.partition("=")[::2] for word in f"{known[1]},{values[0]}".split(","))
            known[1] = ",".join(f"{name}={value}" if value else name for name, value in words.items())
        elif len(known) == 1:
            known += values

    def _called(self, spelled: str, ours: str, given: str | None) -> None:
        """Add our option for its name in other tools, and translate its value."""
        option = self._flags[f"--{ours}"]
        self._once(option, spelled)
        if isinstance(option, SwitchOption):
            self._switch(option, spelled, given, off=False)
            return
        self._read.append(f"--{ours}")
        if option.is_flag:
            return
        if given is None and self._rest and not self._rest[0].startswith("--"):
            given = self._rest.pop(0)
        example = _EXAMPLES.get(ours)
        if example and given and (given.lower() in _ON or (ours == "within" and _SWITCH.fullmatch(given))):
            given = None  # another tool's time has no unit
        value = given or example or option.metavar or ""
        self._read.append(other_words.our_value(ours, value) or value)


def command(group: click.Group, path: str, arguments: Sequence[str]) -> MistypedError | None:
    """Return the answer to a command of other tools, None if it is not one."""
    word, rest = arguments[0].lower().replace("_", "-"), arguments[1:]
    ours = foreign.CALLED.get(group.name or "", {}).get(word)
    if ours is not None:
        tail = " ".join(map(quoted, rest)) or foreign.EXAMPLES.get(ours, "")
        tail = re.sub(r"\bRUN\b", lambda _: quoted(run_to_name(resumable="resume" in ours)), tail)
        return MistypedError(f"{arguments[0]} is called `{ours}` here", f"{path} {ours} {tail}".rstrip())
    if group.name == "layerline" and word in foreign.ABSENT:
        reason, line = foreign.ABSENT[word]
        return MistypedError(reason.replace("{}", arguments[0]), line.replace("RUN", quoted(run_to_name())))
    return None


def run_to_name(*, resumable: bool = False) -> str:
    """Return the newest run below runs/ that is finished, or can be resumed; `RUN` if there is none."""
    from layerline.comparison.listing import listing
    from layerline.errors import UserError

    try:
        runs = listing([Path("runs")]).runs
    except UserError:
        return "RUN"  # no such folder: the example names none
    wanted = ("stopped", "unfinished") if resumable else ("finished",)
    return next((run.folder.as_posix() for run in reversed(runs) if run.state in wanted), "RUN")


def _there(word: str) -> bool:
    return os.path.exists(word)  # noqa: PTH110 - Path.exists raises for an impossible name


def quoted(word: str) -> str:
    """Return a word as it is typed in a shell."""
    return word if re.fullmatch(r"[\w@%+=:,./-]+", word) else shlex.quote(word)
