"""A data set as Python and a notebook display it: its splits and classes."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

import numpy as np

from layerline.errors.python_terms import in_python
from layerline.numbers import display

if TYPE_CHECKING:
    from layerline.data.dataset import Dataset

_MOST: Final = 8
"""Class names in one line."""
_MOST_ROWS: Final = 50
"""Classes in a table."""


def headline(data: Dataset) -> str:
    """Return a data set in two lines: its name, images and classes."""
    C, H, W = data.shape
    kind = data.train.source.images.dtype
    images = ", ".join(f"{display.count(len(split))} {name}" for name, split in data.splits.items())
    names = ", ".join(display.name(name, 30) for name in data.classes[:_MOST])
    more = ", …" if len(data.classes) > _MOST else ""
    return (
        f"Dataset {display.name(data.name)}: {images} images ({C}×{H}×{W}, {kind})\n"
        f"{display.count(len(data.classes))} classes: {names}{more}"
    )


def as_html(data: Dataset) -> str:
    """Return a table of the images per class and split, and the notes; it loads nothing, and all text is escaped."""
    counts = {name: np.bincount(split.labels, minlength=len(data.classes)) for name, split in data.splits.items()}
    body = [
        _row("td", display.name(name), [display.count(int(count[k])) for count in counts.values()])
        for k, name in enumerate(data.classes[:_MOST_ROWS])
    ]
    if len(data.classes) > _MOST_ROWS:
        body.append(_row("td", f"… {display.count(len(data.classes) - _MOST_ROWS)} more", [""] * len(counts)))
    total = _row("th", "total", [display.count(len(split)) for split in data.splits.values()])
    head = _row("th", "class", list(counts))
    title = headline(data).partition("\n")[0]
    notes = "".join(f"<li>{escape(in_python(note))}</li>" for note in data.notes)
    return (
        f'<div class="layerline-data"><p><b>{escape(title)}</b></p>'
        f"<table><thead>{head}</thead><tbody>{''.join(body)}{total}</tbody></table>"
        f"{f'<ul>{notes}</ul>' if notes else ''}</div>"
    )


def _row(tag: str, name: str, cells: list[str]) -> str:
    left, right = "padding:.15em .6em;text-align:left", "padding:.15em .6em;text-align:right"
    numbers = "".join(f'<{tag} style="{right}">{escape(cell)}</{tag}>' for cell in cells)
    return f'<tr><{tag} style="{left}">{escape(name)}</{tag}>{numbers}</tr>'
