"""Where a network comes from: a file, or one of the presets in the package."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

from layerline.errors import NetworkError, spelling
from layerline.network.check import parse
from layerline.network.pretrained.backbones import BACKBONES
from layerline.network.pretrained.transfer import transfer_text
from layerline.network_file import read_text
from layerline.numbers import display

if TYPE_CHECKING:
    import os
    from importlib.resources.abc import Traversable

    from layerline.network.check import Image
    from layerline.network.graph import Network

_SUFFIX: Final = ".cnn"


def read(
    path_or_preset: str | os.PathLike[str], *, input_shape: Image | None = None, classes: int | None = None
) -> Network:
    """Return the network in a file, or, if there is no such file, the preset of that name; see `parse`.

    Raises NetworkError if there is neither, and for every mistake in the file.
    """
    name, text = find(path_or_preset)
    return parse(text, name=name, input_shape=input_shape, classes=classes)


def find(path_or_preset: str | os.PathLike[str]) -> tuple[str, str]:
    """Return the file's name in messages, and its text: of a file, a preset or a pretrained network.

    Raises NetworkError if there is none of them.
    """
    path, given = Path(path_or_preset), str(path_or_preset)
    try:
        exists = path.exists()
    except (OSError, ValueError):
        exists = False
    if exists:
        return given, read_text(path)
    if given in presets() or given in BACKBONES:
        return given, preset(given)
    raise NetworkError(f"{display.name(given, 200)}: no such file or preset", _near(path))


def presets() -> tuple[str, ...]:
    """Return the names of the presets, sorted."""
    names = (file.name for file in _folder().iterdir())
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)))


def preset(name: str) -> str:
    """Return the text of a preset, or of a pretrained network with a new head."""
    if name in BACKBONES:
        return transfer_text(BACKBONES[name])
    return _folder().joinpath(name + _SUFFIX).read_text(encoding="utf-8")


def _folder() -> Traversable:
    return resources.files("layerline").joinpath("presets")


def _near(path: Path) -> str:
    name = path.name[:100]
    try:
        here = [file.name for file in path.parent.iterdir() if file.suffix == _SUFFIX]
    except (OSError, ValueError):
        here = []
    near = spelling.nearest(name, here)
    if near is not None:
        return f"did you mean the file `{display.name(str(path.parent / near), 200)}`?"
    near = spelling.nearest(name.removesuffix(_SUFFIX), [*presets(), *BACKBONES])
    if near is None:
        return f"the presets are: {', '.join(presets())}; with pretrained weights: {', '.join(BACKBONES)}"
    return f"did you mean {'`--from ' if near in BACKBONES else 'the preset `'}{near}`?"
