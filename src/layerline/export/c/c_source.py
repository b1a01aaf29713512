"""The texts of an exported model in C: the file, and its header."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from layerline.compiler.c_function import wrapped
from layerline.compiler.c_values import TYPES
from layerline.compiler.calls import predict_pointers
from layerline.compiler.dtype import DType
from layerline.export.c import c_self_test
from layerline.export.c.c_texts import comment, in_comment, numbers, string

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from layerline.compiler.c_module import CModule
    from layerline.data.dataset import Scaling
    from layerline.export.forward import Forward

NUMPY: Final = {
    DType.U8: np.uint8,
    DType.I8: np.int8,
    DType.I32: np.int32,
    DType.I64: np.int64,
    DType.F32: np.float32,
    DType.F64: np.float64,
}
"""The types of buffers in NumPy."""
INDENT: Final = 15
"""Columns of the headings in the first comment."""


@dataclass(frozen=True, eq=False)
class CSource:
    """An exported model in C."""

    name: str
    """The name of its function."""
    shape: tuple[int, int, int]
    """(C, H, W)."""
    source: DType
    """The type of the image."""
    classes: tuple[str, ...]
    scaling: Scaling
    made: Forward
    module: CModule

    @property
    def values(self) -> int:
        """Return the number of values of an image."""
        return int(np.prod(self.shape))

    @property
    def prototype(self) -> str:
        """Return the declaration of the function, without a semicolon."""
        image = f"const {TYPES[self.source]} image[{self.values}]"
        return f"void {self.name}({image}, float probabilities[{len(self.classes)}])"

    def file(self, title: str, rows: Iterable[tuple[str, str]], test: c_self_test.SelfTest) -> str:
        """Return the C file. title, rows: the first comment."""
        declarations = "\n".join(self._declarations())
        public = "\n".join([*self._weights(), *self._function()])
        after = "\n".join([*self._names(), "", *c_self_test.lines(test, self.name, self.values)])
        return "\n".join([*self._comment(title, rows), self.module.file(declarations, public), after, ""])

    def header(self, title: str, rows: Iterable[tuple[str, str]]) -> str:
        """Return the header, for C and C++."""
        guard = f"{self.name.upper()}_H"
        lines = (
            *self._comment(title, rows),
            *(f"#ifndef {guard}", f"#define {guard}", "", "#include <stdint.h>", ""),
            *("#ifdef __cplusplus", 'extern "C" {', "#endif", ""),
            *self._declarations(),
            *("#ifdef __cplusplus", "}", "#endif", "", "#endif", ""),
        )
        return "\n".join(lines)

    def _comment(self, title: str, rows: Iterable[tuple[str, str]]) -> Iterator[str]:
        yield f"/* {in_comment(title)}"
        yield " *"
        yield f" *     {self.prototype};"
        yield " *"
        yield from comment(rows, INDENT)
        yield " */"

    def _declarations(self) -> Iterator[str]:
        C, H, W = self.shape
        for what, size in (("CHANNELS", C), ("HEIGHT", H), ("WIDTH", W), ("CLASSES", len(self.classes))):
            yield f"#define {self.name.upper()}_{what} {size}"
        yield ""
        yield f"{self.prototype};"
        yield f"extern const char *const {self.name}_classes[{len(self.classes)}]; /* UTF-8 */"
        yield ""

    def _names(self) -> Iterator[str]:
        yield f"const char *const {self.name}_classes[{len(self.classes)}] = {{"
        for name in self.classes:
            yield f"    {string(name)},"
        yield "};"

    def _weights(self) -> Iterator[str]:
        """Yield the constant memory: a struct, whose members lie at the offsets of the schedule."""
        planned = self.made.schedule
        tensors = {home: tensor.name for tensor in planned.program.tensors for home, _ in tensor.homes}
        places = sorted(planned.in_arena.items(), key=lambda item: item[1])
        ends = [at for _, at in places[1:]] + [planned.arena_bytes]
        yield f"static const struct {self.name}_parameters {{"
        for (buffer, at), end in zip(places, ends, strict=True):
            of = f" /* {in_comment(tensors[buffer])} */" if buffer in tensors else ""
            yield f"    {TYPES[buffer.dtype]} {buffer.name}[{(end - at) // buffer.dtype.bytes}];{of}"
        yield f"}} {self.name}_weights = {{"
        for (buffer, at), end in zip(places, ends, strict=True):
            yield f"    {{ /* {buffer.name} */"
            values = self.made.constants[at:end].view(NUMPY[buffer.dtype])
            yield from (f"        {line}," for line in numbers(values, buffer.dtype))
            yield "    },"
        yield "};"
        yield ""

    def _function(self) -> Iterator[str]:
        """Yield the scratch memory, the scaling and the function."""
        planned, name = self.made.schedule, self.name
        types = {buffer.dtype for buffer in planned.in_scratch}
        if types <= {DType.F32}:
            yield f"static float {name}_scratch[{planned.scratch_bytes // DType.F32.bytes}];"
            scratch = f"{name}_scratch"
        else:  # one type after the other, as lifetimes allow
            members = [
                f"{TYPES[dtype]} {dtype.value}[{planned.scratch_bytes // dtype.bytes}];"
                for dtype in DType
                if dtype in types
            ]
            yield f"static union {{ {' '.join(members)} }} {name}_scratch;"
            scratch = f"&{name}_scratch"
        arguments = {
            "arena": f"(const uint8_t *)&{name}_weights",
            "scratch": f"(uint8_t *){scratch}",
            "images": "image" if self.source is DType.U8 else "(const uint8_t *)image",
            "order": "first",
            "scale": f"{name}_scale",
            "shift": f"{name}_shift",
            "probabilities": "probabilities",
        }
        pointers = predict_pointers(planned.program)
        for what in ("scale", "shift"):
            if what in pointers:
                values = np.array(getattr(self.scaling, what), np.float32)
                yield f"static const float {name}_{what}[{len(values)}] = {{{', '.join(numbers(values, DType.F32))}}};"
        call = f"{self.module.names['predict']}({', '.join(arguments[pointer] for pointer in pointers)}, 0, 1);"
        yield ""
        yield self.prototype
        yield "{"
        if "order" in pointers:
            yield "    static const int64_t first[1] = {0};"
        yield from wrapped(f"    {call}")
        yield "}"
        yield ""
