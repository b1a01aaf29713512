"""Turns marks into a PNG, drawn by Agg, or an SVG. Equal marks give equal bytes.

Only the parts of matplotlib that read no settings are used: the renderer's `draw_path` and `draw_image`, with every
property specified.
"""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.report.letters import ASCENT, DESCENT, EM, Glyph, Letters
from layerline.report.marks import Area, Mark, Pixels, Stroke, Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

_ALONG: Final = {"left": 0.0, "center": 0.5, "right": 1.0}
_STEPS: Final = {1: ("M", 1), 2: ("L", 1), 3: ("Q", 2), 4: ("C", 3), 79: ("z", 1)}
"""Path code → SVG command, and the number of points it takes."""


def lines(text: Text, letters: Letters) -> Iterator[tuple[str, float, float]]:
    """Yield the outlines of a text with their offsets from its position, along and up, in points."""
    scale = text.size / EM
    rows = [letters.line(row, bold=text.bold) for row in text.words.split("\n")]
    widest = max(row.end - row.begin for row in rows) * scale
    apart = text.size * (ASCENT * text.spacing + DESCENT)
    whole = apart * (len(rows) - 1) + text.size * (ASCENT + DESCENT)
    top = {"top": 0.0, "center": whole / 2, "bottom": whole, "baseline": whole - DESCENT * text.size}[text.up]
    for k, row in enumerate(rows):
        begin = -widest * _ALONG[text.across] - row.begin * scale
        level = top - ASCENT * text.size - k * apart
        for name, x, y in row.glyphs:
            yield name, begin + x * scale, level + y * scale


def png(width: float, height: float, marks: Sequence[Mark], dots: int) -> bytes:
    """Return the marks on white paper as a PNG, `dots` pixels per inch."""
    from matplotlib.backends.backend_agg import RendererAgg
    from PIL import Image

    agg: Any = RendererAgg  # matplotlib does not type it
    renderer, letters = agg(round(width * dots), round(height * dots), dots), Letters()
    paper = ((0.0, 0.0), (width, 0.0), (width, height), (0.0, height))
    for mark in (Area(paper, "#FFFFFF", None, 0.0), *marks):
        if isinstance(mark, Pixels):
            _stamp(renderer, mark, dots)
        elif isinstance(mark, Text):
            _write(renderer, mark, letters, dots)
        else:
            _trace(renderer, mark, dots)
    buffer = io.BytesIO()
    image = Image.fromarray(np.asarray(renderer.buffer_rgba())[:, :, :3].copy())
    image.save(buffer, "PNG", dpi=(dots, dots))
    return buffer.getvalue()


def _trace(renderer: Any, mark: Stroke | Area, dots: int) -> None:
    closed = isinstance(mark, Area)
    points = np.array([*mark.points, *mark.points[:1]] if closed else mark.points, np.float64)
    codes = np.full(len(points), 2, np.uint8)
    codes[0], codes[-1] = 1, 79 if closed else 2
    edge = mark.edge if isinstance(mark, Area) else mark.color
    sides = np.diff(points, axis=0)
    # A line along the paper's sides lies on whole pixels, or it would be blurred.
    straight = bool((np.abs(sides).min(axis=1, initial=np.inf) < 1e-9).all())
    context = _context(renderer, edge or mark.color, mark.width if edge else 0.0, straight)
    if isinstance(mark, Stroke) and mark.dashes:
        context.set_dashes(0, list(mark.dashes))
    _draw(renderer, context, points * dots, codes, mark.color if closed else None)


def _write(renderer: Any, text: Text, letters: Letters, dots: int) -> None:
    vertices, codes = [], []
    for name, along, up in lines(text, letters):
        glyph = letters.glyph(name)
        outline = glyph.vertices * (text.size / EM) + (along, up)
        vertices.append(outline[:, ::-1] * (-1, 1) if text.turned else outline)
        codes.append(glyph.codes)
    if any(len(outline) for outline in vertices):
        points = np.concatenate(vertices) * (dots / 72) + np.array((text.x, text.y)) * dots
        _draw(renderer, _context(renderer, text.color, 0.0, False), points, np.concatenate(codes), text.color)


def _context(renderer: Any, color: str, width: float, snap: bool) -> Any:
    """Return a graphics context; the width is in points, which the renderer converts to pixels."""
    context = renderer.new_gc()
    context.set_foreground((*_rgb(color), 1.0), isRGBA=True)
    context.set_linewidth(width)
    context.set_snap(snap)
    context.set_antialiased(True)
    context.set_capstyle("butt")
    context.set_joinstyle("round")
    return context


def _draw(renderer: Any, context: Any, points: NDArray[np.float64], codes: NDArray[np.uint8], fill: str | None) -> None:
    from matplotlib.path import Path
    from matplotlib.transforms import IdentityTransform

    path = Path(points, codes)
    path.should_simplify = False  # a setting would decide otherwise
    renderer.draw_path(context, path, IdentityTransform(), None if fill is None else (*_rgb(fill), 1.0))


def _stamp(renderer: Any, mark: Pixels, dots: int) -> None:
    left, bottom, large = _enlarged(mark, dots)
    context = _context(renderer, "#000000", 0.0, False)
    renderer.draw_image(context, left, bottom, np.ascontiguousarray(large[::-1]))  # Agg's first row is the lowest


def _enlarged(mark: Pixels, dots: int) -> tuple[int, int, NDArray[np.uint8]]:
    """Return the image's left and bottom edge in pixels of the paper, and the image at that resolution as RGBA."""
    left, bottom = round(mark.left * dots), round(mark.bottom * dots)
    wide, high = round((mark.left + mark.width) * dots) - left, round((mark.bottom + mark.height) * dots) - bottom
    H, W, channels = mark.pixels.shape
    rows, columns = (2 * np.arange(high) + 1) * H // (2 * high), (2 * np.arange(wide) + 1) * W // (2 * wide)
    large = mark.pixels[rows[:, None], columns]
    if channels == 4:
        return left, bottom, large
    return left, bottom, np.concatenate([large, np.full((high, wide, 1), 255, np.uint8)], axis=2)


def _rgb(color: str) -> tuple[float, ...]:
    return tuple(value / 255 for value in bytes.fromhex(color[1:]))


def svg(width: float, height: float, marks: Sequence[Mark], dots: int) -> bytes:
    """Return the marks on white paper as an SVG in UTF-8; each letter's outline is defined once."""
    letters, names = Letters(), dict[str, str]()
    body: list[str] = []
    for mark in marks:
        if isinstance(mark, Pixels):
            body.append(_image(mark, height, dots))
        elif isinstance(mark, Text):
            body.append(_words(mark, height, letters, names))
        else:
            body.append(_shape(mark, height))
    outlines = "".join(f'<path id="{short}" d="{_outline(letters.glyph(name))}"/>\n' for name, short in names.items())
    size = f"{_f(width * 72)} {_f(height * 72)}"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" version="1.1" '
        f'width="{_f(width * 72)}pt" height="{_f(height * 72)}pt" viewBox="0 0 {size}">\n'
    )
    paper = f'<path fill="#FFFFFF" d="M0 0H{_f(width * 72)}V{_f(height * 72)}H0z"/>\n'
    return "".join((head, "<defs>\n", outlines, "</defs>\n", paper, *body, "</svg>\n")).encode()


def _shape(mark: Stroke | Area, height: float) -> str:
    path = "M" + "L".join(f"{_f(x * 72)} {_f((height - y) * 72)}" for x, y in mark.points)
    if isinstance(mark, Area):
        edge = f' stroke="{mark.edge}" stroke-width="{_f(mark.width)}" stroke-linejoin="round"' if mark.edge else ""
        return f'<path fill="{mark.color}"{edge} d="{path}z"/>\n'
    dashes = f' stroke-dasharray="{" ".join(map(_f, mark.dashes))}"' if mark.dashes else ""
    look = f'fill="none" stroke="{mark.color}" stroke-width="{_f(mark.width)}" stroke-linejoin="round"{dashes}'
    return f'<path {look} d="{path}"/>\n'


def _words(text: Text, height: float, letters: Letters, names: dict[str, str]) -> str:
    scale = text.size / EM
    turn = " rotate(-90)" if text.turned else ""
    place = f"translate({_f(text.x * 72)} {_f((height - text.y) * 72)}){turn} scale({_f(scale)} {_f(-scale)})"
    used = []
    for name, along, up in lines(text, letters):
        if len(letters.glyph(name).vertices):
            short = names.setdefault(name, f"g{len(names)}")
            used.append(f'<use xlink:href="#{short}" x="{_f(along / scale)}" y="{_f(up / scale)}"/>')
    return f'<g fill="{text.color}" transform="{place}">{"".join(used)}</g>\n'


def _outline(glyph: Glyph) -> str:
    parts, k = [], 0
    while k < len(glyph.codes):
        letter, count = _STEPS[int(glyph.codes[k])]
        points = [] if letter == "z" else glyph.vertices[k : k + count].ravel().tolist()
        parts.append(letter + " ".join(map(_f, points)))
        k += count
    return "".join(parts)


def _image(mark: Pixels, height: float, dots: int) -> str:
    from PIL import Image

    left, bottom, large = _enlarged(mark, dots)
    buffer = io.BytesIO()
    Image.fromarray(large).save(buffer, "PNG")
    high, wide, _ = large.shape
    point = 72 / dots
    place = (
        f'x="{_f(left * point)}" y="{_f(height * 72 - (bottom + high) * point)}" '
        f'width="{_f(wide * point)}" height="{_f(high * point)}"'
    )
    content = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<image {place} preserveAspectRatio="none" xlink:href="data:image/png;base64,{content}"/>\n'


def _f(value: float) -> str:
    """Return a number with at most four decimals, without -0."""
    return f"{round(value, 4) + 0.0:.4f}".rstrip("0").rstrip(".")
