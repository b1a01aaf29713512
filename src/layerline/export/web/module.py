"""A model as a WebAssembly module: code, weights and metadata in one file that needs nothing else.

It exports `memory`, `run`, and the addresses `pixels` and `probabilities`: write the pixels of an image, (H, W, C),
call `run()`, read a float32 per class. The custom section `layerline` is JSON: what a page needs to know of the model.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline import __version__
from layerline.compiler import code_cache, wasm_module
from layerline.compiler.calls import PREDICT_SCALARS, predict_pointers
from layerline.compiler.dtype import DType
from layerline.compiler.machine import target
from layerline.compiler.object_code import object_of
from layerline.compiler.plane import capacity
from layerline.compiler.schedule import LINE
from layerline.export.forward import forward
from layerline.export.subject import pixel_type

if TYPE_CHECKING:
    from layerline.export.forward import Forward
    from layerline.export.subject import Subject

SECTION: Final = "layerline"
"""The custom section with the metadata."""
TARGET: Final = "wasm32"
LANES: Final = 4
_IMAGES: Final = (0, 1)
"""The values of PREDICT_SCALARS: the first image, and the end."""


@dataclass(frozen=True, eq=False)
class WebModule:
    """A module and its sizes in bytes."""

    content: bytes
    code: int
    weights: int
    memory: int


def web_module(subject: Subject, lanes: int = LANES) -> WebModule:
    """Return a model as a module. The same model gives the same bytes."""
    machine = target(TARGET, lanes)
    found = forward(subject, machine, pixel_type(subject.card), channels_last=True)
    code = object_of(found.schedule, machine)
    code_cache.report()
    return _module(subject, found, code)


def _module(subject: Subject, found: Forward, code: bytes) -> WebModule:
    """Put code, constants and metadata together."""
    C, H, W = subject.network.input_shape
    scaling = subject.card.scaling
    pointers = predict_pointers(found.schedule.program)
    sizes = {
        "arena": len(found.constants),
        "scratch": found.schedule.scratch_bytes,
        "images": capacity(C * H * W) * pixel_type(subject.card).bytes,
        "order": DType.I64.bytes,
        "scale": capacity(C) * DType.F32.bytes,
        "shift": capacity(C) * DType.F32.bytes,
        "probabilities": capacity(subject.network.classes) * DType.F32.bytes,
    }
    known = {"arena": found.constants.tobytes(), "scale": _floats(scaling.scale), "shift": _floats(scaling.shift)}
    places, at = {}, wasm_module.STACK
    for name in pointers:
        places[name] = at
        at += -(-sizes[name] // LINE) * LINE
    contents = wasm_module.Contents(
        at,
        [(places[name], content) for name, content in known.items() if name in places],
        {"pixels": places["images"], "probabilities": places["probabilities"]},
        {SECTION: json.dumps(metadata(subject), allow_nan=False, separators=(",", ":")).encode()},
    )
    first_and_last = dict(zip(PREDICT_SCALARS, _IMAGES, strict=True))
    content = wasm_module.module(code, "predict", [*places.values(), *first_and_last.values()], contents)
    constants = sum(len(each) for _, each in contents.segments)
    return WebModule(content, len(content) - constants, constants, -(-at // wasm_module.PAGE) * wasm_module.PAGE)


def metadata(subject: Subject) -> dict[str, Any]:
    """Return what a page needs to know of the model, for JSON."""
    card, (C, H, W) = subject.card, subject.network.input_shape
    seen = card.preprocessing.seen
    return {
        "layerline": __version__,
        "name": card.network_name,
        "classes": list(card.classes),
        "height": H,
        "width": W,
        "channels": C,
        "type": "uint8" if pixel_type(card) is DType.U8 else "float32",
        "maximum": float(card.preprocessing.maximum),
        "fit": card.preprocessing.fit,
        "bits": 16 if card.preprocessing.deep else 8,
        "seen": None if seen is None else {**asdict(seen), "middle": seen.middle, "limits": seen.limits[False]},
    }


def _floats(values: tuple[float, ...]) -> bytes:
    return np.array(values, "<f4").tobytes()
