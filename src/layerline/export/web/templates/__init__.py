"""The HTML, CSS and JavaScript of pages."""

from __future__ import annotations

import functools
from importlib import resources
from typing import TYPE_CHECKING

from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Callable

    import jinja2


def text(name: str) -> str:
    """Return a file of this folder."""
    return (resources.files(__name__) / name).read_text(encoding="utf-8")


@functools.cache
def template(name: str) -> jinja2.Template:
    """Return a template of this folder, compiled."""
    return environment(text).get_template(name)


def environment(file: Callable[[str], str]) -> jinja2.Environment:
    """Return the settings of all templates: everything is escaped, and a missing variable is an error."""
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.FunctionLoader(file),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["count"] = display.count  # numbers look the same everywhere: 12,345
    return made
