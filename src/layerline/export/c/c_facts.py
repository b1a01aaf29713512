"""What is known about an exported C function: its input in words, its sizes, and how it was trained."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.export.c.c_texts import in_comment, string
from layerline.numbers import display
from layerline.runs.model_file import BYTE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layerline.compiler.program import Schedule
    from layerline.export.subject import Subject
    from layerline.runs.model_file import Card

CODE_PER_STATEMENT: Final = 7.5
"""Bytes of code per C statement: 7.2 to 8.5 for the presets, on a Cortex-M4 and at four lanes on x86-64 (GCC 12 -O2,
2026-11-29)."""
STACK: Final = {1: 256, 4: 512}
"""Lanes → bytes of stack that are not needed: the presets take 72 to 136 at one lane, 56 to 248 at four."""
CPUS: Final = {1: "Cortex-M4", 4: "x86-64"}
"""Lanes → the CPU that the code's size is estimated for."""
MOST_CLASSES: Final = 20
"""Maximum classes that the first comment lists."""
_FITS: Final = {
    "crop": "cut out the largest centered {part}, then resize it to {size}",
    "pad": "resize the whole image to fit into {size}, with black on two sides",
    "stretch": "resize the whole image to {size}, whatever its aspect ratio",
}


@dataclass(frozen=True)
class CSizes:
    """The memory that a function takes, in bytes."""

    weights: int
    code: int
    names: int
    scratch: int
    lanes: int

    @property
    def flash(self) -> int:
        """Return all that is never written to."""
        return self.weights + self.code + self.names

    @property
    def rows(self) -> tuple[tuple[str, str], ...]:
        """Return them as text."""
        weights, code = display.size(self.weights), f"{display.size(self.code)} of code ({CPUS[self.lanes]}, -O2)"
        return (
            ("flash", f"{display.size(self.flash)}: {weights} of weights, about {code}"),
            ("RAM", f"{display.size(self.scratch)}, static; no heap"),
            ("stack", f"less than {STACK[self.lanes]} bytes"),
        )


def sizes(planned: Schedule, functions: str, classes: tuple[str, ...], lanes: int) -> CSizes:
    """Return the sizes of a Program whose functions have this text."""
    code = round(CODE_PER_STATEMENT * len(re.findall(";", functions)))
    names = sum(len(string(name).encode()) + 4 for name in classes)
    return CSizes(planned.arena_bytes, code, names, planned.scratch_bytes, lanes)


def rows(subject: Subject, name: str, found: CSizes, notes: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the rows of the first comment: a heading and a text. notes: of a network of 8-bit integers."""
    card = subject.card
    yield "image", _image(card)
    yield "", _preprocessing(card)
    yield "probabilities", f"one per class, in the order of {name}_classes; their sum is 1"
    yield "", ""
    yield from found.rows
    yield "work", f"{display.count(subject.network.multiply_adds)} multiply-adds per image"
    yield "classes", _classes(card.classes)
    yield from _training(subject)
    yield from zip(("int8", *[""] * len(notes)), notes, strict=False)
    yield "", ""
    compilers, option = ("GCC or Clang", "-std=gnu99") if found.lanes > 1 else ("any C99 compiler", "-std=c99")
    yield "compile", f"{compilers}, for example: cc {option} -O2 -c FILE.c"
    yield "test", f"cc {option} -O2 -D{name.upper()}_SELFTEST FILE.c -o selftest && ./selftest && echo same bits"
    yield "", "Results have the same bits on all CPUs with IEEE 754 floats; never compile with -ffast-math."
    yield "", "The function keeps its values in static memory: call it from one thread at a time."


def _image(card: Card) -> str:
    C, H, W = card.input_shape
    if (H, W) == (1, 1):
        return f"{display.counted(C, 'value')}, as in training"
    place = f"{W} * row + column" if C == 1 else f"{C} * ({W} * row + column) + channel"
    colors = {1: "gray", 3: "red, green, blue"}.get(C, f"{C} channels")
    return f"{display.picture(H, W)} pixels, {colors}, row by row: image[{place}], 0 to {_largest(card)}"


def _preprocessing(card: Card) -> str:
    C, H, W = card.input_shape
    if (H, W) == (1, 1):
        return ""
    size = display.picture(H, W)
    color = {1: "convert to gray, ", 3: "convert to RGB, "}.get(C, "")
    part = "square" if H == W else f"part with the aspect ratio {W}:{H}"
    fit = _FITS[card.preprocessing.fit].format(part=part, size=size)
    seen = card.preprocessing.seen
    mean = ""
    if seen is not None:
        means = ", ".join(f"{value * card.preprocessing.maximum:.3g}" for value in seen.mean)
        mean = f" The mean value of the training images is {means}."
    unscaled = (
        "" if card.preprocessing.maximum == BYTE else f" Values are those of training: the largest is {_largest(card)}."
    )
    return f"from a photo: {color}{fit} (triangle filter, antialiased). No scaling of values.{unscaled}{mean}"


def _largest(card: Card) -> str:
    return f"{card.preprocessing.maximum:g}"


def _classes(classes: tuple[str, ...]) -> str:
    listed = ", ".join(in_comment(display.name(name)) for name in classes[:MOST_CLASSES])
    more = f", … ({len(classes)} in all)" if len(classes) > MOST_CLASSES else ""
    return f"{len(classes)}: {listed}{more}"


def _training(subject: Subject) -> Iterator[tuple[str, str]]:
    """Yield what its run records."""
    origin = subject.origin
    if origin is None:
        return
    if origin.data is not None:
        images = "" if origin.images is None else f", {display.counted(origin.images, 'training image')}"
        yield "data", in_comment(f"{origin.data}{images}")
    result = origin.result
    if result is not None and result.test_accuracy is not None:
        intervals = result.intervals or {}
        for heading, key, score in (
            ("accuracy", "test_accuracy", result.test_accuracy),
            ("macro F1", "test_macro_f1", result.test_macro_f1),
        ):
            within = f", 95% interval {display.interval(intervals[key])}" if key in intervals else ""
            yield heading, f"{display.fraction(score)} on the test images{within}"
