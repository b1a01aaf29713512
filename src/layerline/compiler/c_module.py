"""A file of C99: what its functions need, and the functions."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

_ELEMENTS: Final = {
    f"{letter}{bits}": (name, bits // 8)
    for letter, bits, name in (
        ("f", 32, "float"),
        ("f", 64, "double"),
        *(("i", bits, f"int{bits}_t") for bits in (8, 32, 64)),
        *(("u", bits, f"uint{bits}_t") for bits in (8, 32, 64)),
    )
}
"""The elements of a vector type by the beginning of its name: their type in C, and their bytes."""
_VECTOR: Final = re.compile(r"\b([fiu]\d+)x(\d+)(_at|_m)?\b")

_BEGINNING: Final = """\
#include <stdint.h>

#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "compile without -ffast-math: it changes the results"
#endif
"""
_RULES: Final = """\
/* a * b + c is rounded twice, and loops do not become calls of the C library */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize ("fp-contract=off", "no-tree-loop-distribute-patterns")
#else
#pragma STDC FP_CONTRACT OFF
#endif
#if defined(__has_attribute) && defined(__clang__)
#if __has_attribute(no_builtin)
#pragma clang attribute push (__attribute__((no_builtin)), apply_to = function)
#define LAYERLINE_POP
#endif
#endif
"""
_END: Final = """\
#if defined(LAYERLINE_POP)
#pragma clang attribute pop
#undef LAYERLINE_POP
#endif
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
"""
_HELPERS: Final = {
    "f32_of": ("float", "uint32_t"),
    "f32_bits": ("int32_t", "float"),
    "i32_bits": ("float", "int32_t"),
    "f64_of": ("double", "uint64_t"),
    "f64_bits": ("int64_t", "double"),
    "i64_bits": ("double", "int64_t"),
}
"""Functions that read the bits of a number as another type: their result and their argument."""


@dataclass(eq=False)
class CModule:
    """Functions in the order in which they were finished, so that each is defined before it is called."""

    functions: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    """Symbol → name in C, of the functions."""

    def __str__(self) -> str:
        """Return the file: all functions are internal to it."""
        return self.file()

    def file(self, declarations: str = "", public: str = "") -> str:
        """Return the file, with declarations before the functions, and more text after them that may call them."""
        functions = "\n".join(self.functions)
        before, after = ([text] if text else [] for text in (declarations, public))
        parts = (_BEGINNING, *before, *_vectors(functions), _RULES, *_helpers(functions), functions, *after, _END)
        return "\n".join(parts)


def _vectors(text: str) -> list[str]:
    """Return the definitions of the vector types in a text."""
    found = {(element, int(lanes)) for element, lanes, _ in _VECTOR.findall(text)}
    memory = {(element, int(lanes)) for element, lanes, suffix in _VECTOR.findall(text) if suffix}
    lines = []
    for element, lanes in sorted(found):
        (name, size), made = _ELEMENTS[element], f"{element}x{lanes}"
        lines.append(f"typedef {name} {made} __attribute__((__vector_size__({size * lanes})));")
        if (element, lanes) in memory:
            attributes = f"__vector_size__({size * lanes}), __aligned__({size}), __may_alias__"
            lines.append(f"typedef {name} {made}_m __attribute__(({attributes})); /* in memory */")
            lines.append(f"#define {made}_at(p) (*(const {made}_m *)(p))")
    return [*lines, ""] if lines else []


def _helpers(text: str) -> list[str]:
    """Return the definitions of the helpers in a text."""
    lines = []
    for helper, (result, argument) in _HELPERS.items():
        if re.search(rf"\b{helper}\(", text):
            union = f"union {{ {argument} from; {result} to; }} both; both.from = value;"
            lines.append(f"static {result} {helper}({argument} value) {{ {union} return both.to; }}")
    return [*lines, ""] if lines else []
