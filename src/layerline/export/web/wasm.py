"""The format `wasm`: a module, and the JavaScript that runs any such module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerline.export.formats import Exported
from layerline.export.web import templates
from layerline.export.web.module import web_module
from layerline.numbers import display

if TYPE_CHECKING:
    from layerline.export.export_options import ExportOptions
    from layerline.export.subject import Subject


def export(subject: Subject, options: ExportOptions) -> Exported:
    """Return the module, its JavaScript, and the types of that."""
    del options
    made = web_module(subject)
    script, types = templates.text("model.js"), templates.text("model.d.ts")
    files = {".wasm": made.content, ".js": script.encode(), ".d.ts": types.encode()}
    sizes = (
        (
            "module",
            f"{display.size(len(made.content))}: code {display.size(made.code)}, weights {display.size(made.weights)}",
        ),
        ("memory", f"{display.size(made.memory)} while it runs"),
        ("script", f"{display.size(len(script.encode()))} of JavaScript"),
    )
    return Exported(files, sizes)
