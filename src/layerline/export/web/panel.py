"""The panel that runs a model in a page: HTML, CSS and JavaScript, with the module inside."""

from __future__ import annotations

import base64
import functools
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.errors import UserError
from layerline.export.web import templates
from layerline.numbers import display

if TYPE_CHECKING:
    from layerline.export.subject import Subject
    from layerline.export.web.module import WebModule
    from layerline.network import Network

LARGEST_DRAWN: Final = 64
"""Maximum side of the images for which there is a drawing pad."""
_PAD: Final = 280
"""The longer side of the pad in pixels."""
_MNIST: Final = (1, 28, 28)
_BRIGHT: Final = 0.5
"""Training images with a larger mean are drawn with dark ink."""
_SCRIPTS: Final = ("model.js", "image.js", "panel.js")


@dataclass(frozen=True)
class Pad:
    """The drawing pad."""

    width: int
    height: int
    ink: str
    """dark, on white; or light, on black."""
    centered: bool
    """Whether drawings can be centered and scaled like those of MNIST."""


def panel(subject: Subject, made: WebModule) -> str:
    """Return the HTML of the panel. Raises UserError if image files cannot be the network's input."""
    C = subject.network.input_shape[0]
    if C not in (1, 3):
        raise UserError(
            f"the model expects images with {C} channels, but image files have 1 or 3",
            "export it with --to wasm, for a page of your own",
        )
    return templates.template("panel.html").render(
        pad=_pad(subject),
        classes=[display.name(each) for each in subject.card.classes],
        input=input_of(subject.network),
        model=base64.b64encode(made.content).decode(),
    )


def input_of(network: Network) -> str:
    """Return the size and color of the network's images, as people read it."""
    C, H, W = network.input_shape
    return f"{display.picture(H, W)} pixels, {display.colors(C)}"


@functools.cache
def script() -> str:
    """Return the JavaScript of the panel: the same for all models."""
    return "\n".join(templates.text(name).strip() for name in _SCRIPTS)


def hash_of(script: str) -> str:
    """Return the hash by which a content security policy allows an inline script."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _pad(subject: Subject) -> Pad | None:
    """Return the drawing pad for small gray images."""
    C, H, W = subject.network.input_shape
    if C != 1 or max(H, W) > LARGEST_DRAWN:
        return None
    seen = subject.card.preprocessing.seen
    bright = seen is not None and seen.middle > _BRIGHT
    longer = max(H, W)
    return Pad(
        max(1, W * _PAD // longer),
        max(1, H * _PAD // longer),
        "dark" if bright else "light",
        subject.network.input_shape == _MNIST and not bright,
    )
