"""The formats that a model can be exported to."""

from __future__ import annotations

from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from layerline.errors import UserError, spelling
from layerline.export.export_options import ExportOptions
from layerline.files import whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layerline.export.subject import Subject


@dataclass(frozen=True, eq=False)
class Exported:
    """The files of one export in memory, and what to report about them."""

    files: Mapping[str, bytes]
    """Suffix → contents: those of the format, in its order."""
    sizes: tuple[tuple[str, str], ...]
    """What → how much, as text: ("flash", "261 kB")."""
    notes: tuple[str, ...] = ()


OF_INT8: Final = ("data", "max_loss")
"""Options of a format that only an export to 8-bit integers has."""


@dataclass(frozen=True)
class Format:
    """A format: its name, the suffixes of its files, and the module whose `export(subject, options)` returns them."""

    name: str
    suffixes: tuple[str, ...]
    """The first is that of the file that is specified; the others are next to it."""
    summary: str
    module: str
    options: frozenset[str] = frozenset()
    """The fields of ExportOptions that it has."""

    @property
    def suffix(self) -> str:
        """Return the suffix by which the format is known."""
        return self.suffixes[0]

    def export(self, subject: Subject, options: ExportOptions) -> Exported:
        """Return the files. Raises UserError for an option that the format does not have, or a model it cannot hold."""
        self._check(options)
        subject.check_finite()
        exported: Exported = import_module(f"layerline.export.{self.module}").export(subject, options)
        return exported

    def _check(self, options: ExportOptions) -> None:
        """Raise UserError for an option that would have no effect."""
        plain = ExportOptions()
        for field in fields(ExportOptions):
            if getattr(options, field.name) == getattr(plain, field.name):
                continue
            flag = f"--{field.name.replace('_', '-')}"
            if field.name not in self.options:
                having = ", ".join(f"--to {each.name}" for each in FORMATS.values() if field.name in each.options)
                raise UserError(f"{flag}: not an option of --to {self.name}", f"only for {having}")
            if field.name in OF_INT8 and not options.int8:
                raise UserError(f"{flag}: only with int8", "omit it, or export 8-bit integers")


_ALL: Final[tuple[Format, ...]] = (
    Format(
        "onnx",
        (".onnx",),
        "pixels in, probabilities out, for onnxruntime and other libraries",
        "onnx.writing",
        frozenset({"pixels", "layout"}),
    ),
    Format("web", (".html",), "a web page that classifies images in any browser, offline", "web.web_page"),
    Format(
        "wasm", (".wasm", ".js", ".d.ts"), "a WebAssembly module with its JavaScript, for your own page", "web.wasm"
    ),
    Format(
        "c",
        (".c", ".h"),
        "C99 without dependencies, for microcontrollers and programs",
        "c.c_export",
        frozenset({"name", "lanes", "int8", "data", "max_loss"}),
    ),
)
FORMATS: Final = {each.name: each for each in _ALL}
"""Name → format."""


_CALLED: Final = {
    **dict.fromkeys(("html", "htm", "page", "webpage", "website"), "web"),
    **dict.fromkeys(("js", "mjs", "ts", "d.ts", "javascript", "typescript", "node", "webassembly"), "wasm"),
    **dict.fromkeys(("h", "hpp", "cpp", "cc", "c++", "c99", "ino", "arduino", "esp32", "stm32", "header"), "c"),
    **dict.fromkeys(("ort", "onnxruntime"), "onnx"),
}
"""What others call a format, suffixes included → our name."""
_FROM_ONNX: Final = frozenset(
    {"tflite", "lite", "tf", "tensorflow", "pb", "savedmodel", "h5", "keras", "coreml", "mlmodel", "mlpackage"}
    | {"tensorrt", "trt", "engine", "plan", "openvino", "xml", "ir", "ncnn", "mnn", "rknn", "hef", "tfjs"}
)
"""Formats and suffixes that other programs make of an ONNX file."""
_OF_TORCH: Final = frozenset({"pt", "pth", "torch", "pytorch", "torchscript", "jit"})


def format_of(name: str) -> Format:
    """Return a format by name. Raises UserError if it is unknown."""
    if name not in FORMATS:
        raise UserError(f"--to {name}: unknown format", _advice(name) or spelling.hint(name, FORMATS))
    return FORMATS[name]


def _advice(name: str) -> str | None:
    """Return what to do instead of a format, or suffix, of other programs; None if it is unknown."""
    word = name.lower()
    if word in FORMATS or word in _CALLED:
        ours = FORMATS[_CALLED.get(word, word)]
        return f"use --to {ours.name}, and a FILE that ends in {ours.suffix}"
    if word in _FROM_ONNX:
        return "export to ONNX (--to onnx), and convert the .onnx file with that program's tools"
    if word in _OF_TORCH:
        return "in Python, layerline.load(MODEL).to_torch() returns the model as a PyTorch module (docs/pytorch.md)"
    return None


def format_for(path: Path) -> Format:
    """Return the format of a file name by its suffix. Raises UserError if none has it."""
    for each in FORMATS.values():
        if path.suffix.lower() == each.suffix:
            return each
    suffixes = ", ".join(f"{each.suffix} ({each.name})" for each in FORMATS.values())
    advice = _advice(path.suffix[1:]) or f"name it {suffixes}"
    raise UserError(f"{path}: no format has the suffix {path.suffix or '(none)'}", advice)


def _check_name(path: Path, chosen: Format) -> None:
    """Raise UserError if a file of this format would have the suffix of another, or of a file next to it."""
    suffix = path.suffix.lower()
    others = {each.suffix: f"of --to {each.name}" for each in FORMATS.values() if each is not chosen}
    further = {Path(f"name{each}").suffix for each in chosen.suffixes[1:]}
    others |= dict.fromkeys(further, f"of another file, which is written next to the {chosen.suffix} file")
    if suffix in others:
        right = (path.with_suffix("") if path.name.lower().endswith(".d.ts") else path).with_suffix(chosen.suffix)
        raise UserError(f"{path}: the suffix {suffix} is {others[suffix]}", f"name it {right}")


def paths_of(path: Path, chosen: Format) -> tuple[Path, ...]:
    """Return the path of each file of an export to `path`. Raises UserError for the suffix of another file."""
    _check_name(path, chosen)
    return (path, *(path.with_suffix(suffix) for suffix in chosen.suffixes[1:] if path.name))


def write(paths: Sequence[Path], exported: Exported) -> None:
    """Write the files to their paths, each completely or not at all. Raises UserError if that fails."""
    for path, content in zip(paths, exported.files.values(), strict=True):
        whole.write(path, [content])
