"""Messages in Python's terms: `--epochs 0` on the command line is `epochs=0` in a program.

Messages name options by their flags. The command line prints them as they are; what Python displays, `str(error)` and
the notes of a run, goes through `in_python`.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMED: Final = """
    allow augment backbone-rate batch-size best beta1 beta2 cache class-weights classes clip-norm data data-dir decay
    device ema engine epochs eps exact exclude file-column fit force gray group-by init int8 label-by label-column
    label-smoothing labels lanes layout learning-rate limit max-loss momentum name nesterov normalize optimizer out
    patience pixels precision schedule seed seeds size skip-bad split split-seed start-from step-epochs step-factor test
    threads to validation warmup weight-decay within
"""
SWITCHES: Final = ("exact", "gray", "nesterov")
OPTIONS: Final = frozenset(_NAMED.split())
"""The flags that are arguments in Python; others, such as --checkpoint-every, exist only on the command line."""
PHRASES: Final = {
    "(--data)": "(data)",
    ": must be yes or no": ": must be True or False",
    "specify the data (--data)": "pass the data, as in layerline.read(path, data)",
    "add --data PATH or --data-dir DIR": "pass it as layerline.resume(folder, data)",
    "pass its path: --data PATH": "pass its path",
    "the columns file and label: --labels FILE": 'the columns file and label: labels="FILE"',
    "the --labels file": "the labels file",
}
"""Phrases that need other words in Python."""
_WORDS: Final = """
    none near yes no crop pad stretch max standard sgd adamw muon linear constant cosine one-cycle step compiled torch
    auto cpu cuda mps float32 bf16 balanced sqrt all train validation test weights accuracy loss macro_f1
    digits PATH FILE DIR REGEX
"""
"""Words that are values wherever they follow a flag."""
_QUOTED: Final = r"'[^'\n]*'|\"[^\"\n]*\""
_NUMBER: Final = r"[-+]?\.?[0-9][0-9.,e+x×-]*(?<![.,])(?:[A-Za-z]+(?![\w=]))?"
_LIST: Final = r"[\w.*?=\[\]-]+(?:,[\w.*?=\[\]-]+)+"
_ANY: Final = r"(?<=--allow )[a-z,-]+|(?<=--data )[^\s;,)]+|(?<=--to )\w+|(?<=--name )\w+"
"""The values of options that are never named without one."""
_VALUE: Final = (
    rf" (?P<value>{_QUOTED}|{_ANY}|{_LIST}|{_NUMBER}|(?:{'|'.join(_WORDS.split())})(?![\w=-])|[\w-]+=[^ ;:]+)"
)
_NAMES: Final = "|".join(sorted(OPTIONS, key=len, reverse=True))
_FLAG: Final = re.compile(rf"(?<![\w-])--(?P<name>{_NAMES})(?![\w-])(?:{_VALUE})?")
_HEAD: Final = re.compile(r"--(?P<name>[a-z][a-z0-9-]*) (?P<value>[^\n]+?): ")
"""The start of a message about a value, which may contain anything."""
COMMAND: Final = re.compile(
    r"layerline [a-z]+(?: [a-z]+)?(?: (?:'[^'\n]*'|(?!\()[^ \n;)`']*[^ \n;,)`']))*(?=$|[\n;,)`]| \()"
)
"""A command of ours in a message."""
_CHECKING: Final = re.compile(r"to list every image: layerline data check [^\n;]+; ")
"""What has no counterpart in Python."""
_LOADING: Final = ("data info", "data check", "train")
_PLAIN: Final = re.compile(rf"{_NUMBER}|True|False|None|[\[({{<].*", re.DOTALL)
"""Values written without quotes."""
_SWITCH: Final = {"yes": "True", "no": "False"}


def in_python(text: str, renamed: Mapping[str, str] | None = None, phrases: Mapping[str, str] | None = None) -> str:
    """Return a message in Python's terms: options as keyword arguments, commands that load data as calls.

    renamed: option → name of the argument, where it has another; phrases: more phrases with other words.

    >>> in_python("--optimizer adam: unknown, use --schedule cosine and omit --momentum")
    'optimizer="adam": unknown, use schedule="cosine" and omit momentum='
    """
    for words, here in sorted({**PHRASES, **(phrases or {})}.items(), key=lambda pair: -len(pair[0])):
        text = text.replace(words, here)
    text = _CHECKING.sub("", text)
    names = renamed or {}
    head = _HEAD.match(text)
    start = ""
    if head is not None and head["name"] in OPTIONS and not _FLAG.fullmatch(f"--{head['name']}{head[0][-2:]}"):
        start, text = _argument(head["name"], head["value"], names) + ": ", text[head.end() :]
    parts = []
    end = 0
    for command in COMMAND.finditer(text):
        parts += [_reworded(text[end : command.start()], names), _call(command[0])]
        end = command.end()
    return start + "".join(parts) + _reworded(text[end:], names)


def _reworded(text: str, names: Mapping[str, str]) -> str:
    def argument(flag: re.Match[str]) -> str:
        if flag["value"] is not None:
            more = "," if text.startswith(" --", flag.end()) else ""
            return _argument(flag["name"], flag["value"], names) + more
        name = _name(flag["name"], names)
        return name if text[flag.end() : flag.end() + 1] == ":" else f"{name}="

    return _FLAG.sub(argument, text)


def _argument(option: str, value: str, names: Mapping[str, str]) -> str:
    """Return `epochs=3`, or for the data, which is no keyword argument, only its name in quotes."""
    value = str(value.split(",")) if option == "allow" else _written(value, switch=option in SWITCHES)
    return value if option == "data" else f"{_name(option, names)}={value}"


def _name(option: str, names: Mapping[str, str]) -> str:
    return names.get(option, option.replace("-", "_"))


def _written(value: str, *, switch: bool = False) -> str:
    """Return a value as Python writes it."""
    if switch and value in _SWITCH:
        return _SWITCH[value]
    if _PLAIN.fullmatch(value):
        return value
    return f'"{value[1:-1] if re.fullmatch(_QUOTED, value) else value}"'


def _call(command: str) -> str:
    """Return a command that loads data as a call of `load_data`; any other as it is, to be run in a shell."""
    name = next((name for name in _LOADING if command.startswith(f"layerline {name} ")), None)
    try:
        words = shlex.split(command)[1 + len(name.split()) :] if name else []
    except ValueError:  # a name with a quote in it
        return command
    source = [word for word in words[:1] if not word.startswith("--")] if name != "train" else []
    flags = words[len(source) :]
    pairs = dict(zip(flags[::2], flags[1::2], strict=False))
    source = source or [pairs.pop("--data", "")]
    unknown = len(flags) % 2 or not all(flag[2:] in OPTIONS for flag in pairs)
    if unknown or not source[0] or not (pairs or name == "data info"):
        return command
    options = [f"{_name(flag[2:], {})}={_of_word(flag[2:], value)}" for flag, value in pairs.items()]
    return f"load_data({', '.join([_of_word('data', source[0]), *options])})"


def _of_word(option: str, value: str) -> str:
    """Return a word of a shell command as Python writes it: a switch, a number, or text, raw if it has backslashes."""
    if (option == "gray" and value in _SWITCH) or (option != "data" and re.fullmatch(_NUMBER, value)):
        return _SWITCH.get(value, value)
    if '"' in value or value.endswith("\\"):
        return repr(value)
    return f'r"{value}"' if "\\" in value else f'"{value}"'
