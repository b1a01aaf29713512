"""CHECK: networks with pretrained weights from other libraries, without their classifiers.

What reads weights is imported when it is first needed: names and network files of backbones need no NumPy.
"""

from __future__ import annotations

from typing import Final

from layerline.errors import UserError
from layerline.network.pretrained.backbones import BACKBONES, Backbone, backbone
from layerline.network.pretrained.pretrained_weights import Pretrained

__all__ = ["BACKBONES", "Backbone", "Pretrained", "backbone", "find", "get", "how_to_get"]

ADD: Final = "layerline weights add FILE"


def find(name: str) -> Pretrained | None:
    """Return a backbone with its weights; None if they are not on this machine.

    The user's folder is searched first, then the installed packages; nothing is downloaded, and no code of theirs runs.
    Raises UserError if the name is unknown, or the weights were changed.
    """
    from layerline.network.pretrained import installed, weights_folder

    known = backbone(name)
    return weights_folder.read(known) or installed.read(known)


def get(name: str) -> Pretrained:
    """Return a backbone with its weights. Raises UserError like `find`, or with how to get them."""
    found = find(name)
    if found is None:
        raise UserError(f"{name}: its weights are not on this machine", how_to_get(name))
    return found


def how_to_get(name: str) -> str:
    """Return the command that makes the weights of a backbone available. Raises UserError if it is unknown."""
    from layerline.network.pretrained import installed

    known = backbone(name)
    package = installed.PACKAGES.get(name)
    if package is not None:
        return f"run {package.command}"
    files = " or ".join(file.name for file in known.files)
    return f"download {files} (torchvision, or timm's {name}), then run {ADD}"
