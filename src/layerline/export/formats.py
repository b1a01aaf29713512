"""The formats that a model can be exported to."""

from __future__ import annotations

from dataclasses import dataclass, fields
from importlib import import_module
from typing import TYPE_CHECKING, Final

from layerline.errors import UserError, spelling
from layerline.export.export_options import ExportOptions
from layerline.files import whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from layerline.export.subject import Subject


@dataclass(frozen=True, eq=False)
class Exported:
    """The files of one export in memory, and what to report about them."""

    files: Mapping[str, bytes]
    """Suffix → contents; the first has the name that was specified, the others are next to it."""
    sizes: tuple[tuple[str, str], ...]
    """What → how much, as text: ("flash", "261 kB")."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Format:
    """A format: its name, the suffix of its file, and the module whose `export(subject, options)` returns it."""

    name: str
    suffix: str
    summary: str
    module: str
    options: frozenset[str] = frozenset()
    """The fields of ExportOptions that it has."""

    def export(self, subject: Subject, options: ExportOptions) -> Exported:
        """Return the files. Raises UserError for an option that the format does not have, or a model it cannot hold."""
        plain = ExportOptions()
        for field in fields(ExportOptions):
            if field.name not in self.options and getattr(options, field.name) != getattr(plain, field.name):
                having = ", ".join(f"--to {each.name}" for each in FORMATS.values() if field.name in each.options)
                flag = f"--{field.name.replace('_', '-')}"
                raise UserError(
                    f"{flag}: not an option of --to {self.name}", f"only for {having}" if having else "omit it"
                )
        exported: Exported = import_module(f"layerline.export.{self.module}").export(subject, options)
        return exported


_ALL: Final[tuple[Format, ...]] = (
    Format(
        "onnx",
        ".onnx",
        "pixels in, probabilities out, for onnxruntime and other libraries",
        "onnx.writing",
        frozenset({"pixels", "layout"}),
    ),
    Format("web", ".html", "a web page that classifies images in any browser, offline", "web.web_page"),
    Format("wasm", ".wasm", "a WebAssembly module with its JavaScript, for your own page", "web.wasm"),
    Format(
        "c",
        ".c",
        "C99 without dependencies, for microcontrollers and programs",
        "c.c_export",
        frozenset({"name", "lanes", "int8", "data", "max_loss"}),
    ),
)
FORMATS: Final = {each.name: each for each in _ALL}
"""Name → format."""


def format_of(name: str) -> Format:
    """Return a format by name. Raises UserError if it is unknown."""
    if name not in FORMATS:
        raise UserError(f"--to {name}: unknown format", spelling.hint(name, FORMATS))
    return FORMATS[name]


def format_for(path: Path) -> Format:
    """Return the format of a file name by its suffix. Raises UserError if none has it."""
    for each in FORMATS.values():
        if path.suffix.lower() == each.suffix:
            return each
    suffixes = ", ".join(f"{each.suffix} ({each.name})" for each in FORMATS.values())
    raise UserError(f"{path}: no format has the suffix {path.suffix or '(none)'}", f"name it {suffixes}")


def write(path: Path, exported: Exported) -> tuple[Path, ...]:
    """Write the files, each completely or not at all, and return their paths. Raises UserError if that fails."""
    paths = paths_of(path, exported)
    for each, content in zip(paths, exported.files.values(), strict=True):
        whole.write(each, [content])
    return paths


def paths_of(path: Path, exported: Exported) -> tuple[Path, ...]:
    """Return the path of each file."""
    first, *others = exported.files
    del first
    return (path, *(path.with_suffix(suffix) for suffix in others))
