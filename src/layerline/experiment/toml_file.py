"""Read experiment.toml: every key and value is checked, and a mistake is reported at its line and column."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

from layerline import engines
from layerline.engines.placement import Placement
from layerline.errors import RecipeError, UserError, other_words, spelling
from layerline.experiment.options import BY_KEY, OPTIONS, RECIPE_KEYS, check_limit, check_split_seed
from layerline.files import regular, toml
from layerline.network import presets
from layerline.network_file import Span
from layerline.network_file.mistakes import render, split
from layerline.numbers import display
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Iterable

ABOUT: Final = "about"
"""An extra section in a run's record; it is not read."""
_SECTIONS: Final = ("network", "data", "train")
_NETWORK_KEYS: Final = ("file", "text")


@final
@dataclasses.dataclass(frozen=True)
class Written:
    """The content of an experiment.toml: network, and values by the keys of OPTIONS; paths as seen from here."""

    net: str | None
    """The network's file or preset, if it names one."""
    text: tuple[str, str] | None
    """Otherwise the network's name in messages, and its text."""
    values: dict[str, Any]


def read(path: Path) -> Written:
    """Return the content of the file. Raises UserError with line and column if it is invalid."""
    shown = display.name(str(path), 200)
    file = _File(shown, _text(path, shown))
    content = file.content()
    file.check_keys("", content, (*_SECTIONS, ABOUT))
    for section in _SECTIONS:
        if not isinstance(content.get(section, {}), dict):
            raise file.error("", section, f"{section} must be a section", f"write [{section}] on a separate line")
    net, text = _network(file, content.get("network", {}), path.parent)
    values: dict[str, Any] = {}
    for section in ("data", "train"):
        known = [option.key for option in OPTIONS if option.section == section]
        file.check_keys(section, content.get(section, {}), known)
        for key, given in content.get(section, {}).items():
            values[key] = file.value(section, key, given)
    for key in ("data", "data_dir", "labels", "cache", "start_from"):
        if key in values:
            values[key] = _seen_from_here(values[key], path.parent)
    return Written(net, text, values)


def _network(file: _File, section: dict[str, Any], folder: Path) -> tuple[str | None, tuple[str, str] | None]:
    """Return the network's path or preset, or else its text with a name."""
    file.check_keys("network", section, _NETWORK_KEYS)
    if len(section) != 1:
        raise UserError(
            f"{file.name}: expected a section [network] with either file or text",
            'for example [network] and, on the next line, file = "lenet5.cnn"',
        )
    ((key, given),) = section.items()
    if not isinstance(given, str):
        raise file.error("network", key, f"{key} must be text in quotes, not {given!r}")
    if key == "text":
        return None, (f"{file.name} [network] text", given)
    path = folder / given
    return (given if not _is_there(path) and given in presets() else str(path)), None


def _seen_from_here(given: str, folder: Path) -> str:
    """Return a path in `folder` relative to the working folder; if there is no such path, it is a name, unchanged.

    Without the way through the folder, runs/head/../../photos, where that is the same place and no name: a folder
    called digits is not the data set.
    """
    from layerline.data.sources import NAMES

    path = folder / given
    if not _is_there(path):
        return given
    short = Path(os.path.normpath(path))
    same = _is_there(short) and short.samefile(path)
    return str(short) if same and str(short) not in NAMES else str(path)


def _is_there(path: Path) -> bool:
    """Return whether the path exists; a name that no disk can hold does not."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _text(path: Path, shown: str) -> str:
    try:
        content = regular.content(path, toml.LARGEST)
    except FileNotFoundError:
        raise UserError(f"{shown}: no such file") from None
    except OSError as error:
        raise UserError(f"{shown}: cannot be read: {error.strerror or error}") from error
    if content is None:
        raise UserError(
            f"{shown} is larger than 1 MiB, too large for an experiment", "check that this is the right file"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{shown}: byte {error.start:,d} is not UTF-8; an experiment is plain text") from None


@final
class _File:
    """A TOML text that can locate its keys."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self._text = text
        self._lines = split(text)

    def content(self) -> dict[str, Any]:
        """Return the parsed TOML. Raises UserError if it is not valid TOML."""
        try:
            return toml.parse(self._text)
        except toml.TomlError as error:
            if error.line is None:
                raise UserError(f"{self.name}: not valid TOML: {error.reason}") from None
            span = Span(min(error.line, len(self._lines)), error.column - 1, error.column)
            hint = "put text in quotes" if error.reason == "invalid value" else None
            raise UserError(render(self.name, self._lines, span, f"not valid TOML: {error.reason}", hint)) from None

    def check_keys(self, section: str, given: Iterable[str], known: Iterable[str]) -> None:
        """Raise UserError at the first unknown key."""
        known = tuple(known)
        for key in given:
            if key not in known:
                raise self.error(section, key, _unknown(section, key), _near(section, key, known))

    def value(self, section: str, key: str, given: Any) -> Any:
        """Return the parsed value of a key. Raises UserError if it is invalid."""
        option = BY_KEY[key]
        if isinstance(given, dict) or (isinstance(given, list) and option.kind != "list"):
            raise self.error(section, key, f"{key} must be a single value")
        if option.kind == "text" and not isinstance(given, str):
            raise self.error(section, key, f"{key} must be text in quotes, not {given!r}")
        value = option.value(given)
        try:
            if key in RECIPE_KEYS:
                dataclasses.replace(Recipe(), **{key: value})
            elif key == "engine":
                engines.check(value, None)
            elif key == "threads":
                engines.check("compiled", value)
            elif key in ("device", "precision"):
                Placement(**{key: value}).check()
            elif key == "limit":
                check_limit(value)
            elif key == "split_seed":
                check_split_seed(value)
        except RecipeError as error:
            reason = error.message.replace(option.flag, f"{key} =", 1)
            raise self.error(section, key, reason, error.help) from None
        return value

    def error(self, section: str, key: str, reason: str, help: str | None = None) -> UserError:  # noqa: A002
        """Return the error about a key, with its line and column if found."""
        span = self._span(section, key)
        if span is None:
            return UserError(f"{self.name}: {reason}", help)
        return UserError(render(self.name, self._lines, span, reason, help))

    def _span(self, section: str, key: str) -> Span | None:
        """Return the place of a key or a section header in the text, None if it is written in an unusual way."""
        inside = ""
        for number, line in enumerate(self._lines, 1):
            header = re.match(r"\s*\[+\s*([^\]#]+?)\s*\]", line)
            if header:
                inside = header[1]
            elif inside != section:
                continue
            found = re.match(rf"\s*(\[?\s*\"?){re.escape(key)}\b", line)
            if found and bool(header) == (section == "" and "[" in found[0]):
                return Span(number, found.end() - len(key), found.end())
        return None


def _unknown(section: str, key: str) -> str:
    return f"[{section}] has no key {display.name(key)}" if section else f"{display.name(key)} is not a section"


def _near(section: str, key: str, known: tuple[str, ...]) -> str:
    elsewhere = BY_KEY.get(key)
    if elsewhere and elsewhere.section != section:
        return f"it belongs in the section [{elsewhere.section}]"
    meant = (other_words.ours(key) or key).replace("-", "_")
    if meant in known:
        return f"did you mean {meant}?"
    return spelling.hint(key, (name for name in known if name != ABOUT), "one of: ")
