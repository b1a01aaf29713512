"""The weights that the user added: a file per backbone in the user's data folder, complete and checked, or absent.

A file has the weights by our names, and as metadata where they are from, their license, how images are prepared, and
sums of the features of the test pattern, as they were when it was added. It is a file of `files/tensors.py`, so a
change of any byte shows.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.errors import UserError
from layerline.files import regular, tensors
from layerline.files.user_folder import shown, user_folder
from layerline.files.versions import versions
from layerline.network.pretrained.pretrained_weights import Pretrained
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from layerline.network.pretrained.adding import Candidate
    from layerline.network.pretrained.backbones import Backbone

FORMAT: Final = "layerline weights"
FORMAT_VERSION: Final = "1"
_SUFFIX: Final = ".safetensors"
_LONGEST: Final = 1_000
"""Characters of a text in the metadata that is displayed."""


def folder() -> Path | None:
    """Return the folder of the user's weights, which may not exist yet; None if this user has no home folder."""
    import platformdirs

    found = user_folder(platformdirs.user_data_dir)
    return None if found is None else found / "weights"


def place_of(name: str) -> Path | None:
    """Return the file of a backbone's weights; None if it does not exist."""
    where = folder()
    path = None if where is None else where / f"{name}{_SUFFIX}"
    try:
        return path if path is not None and path.exists() else None
    except OSError:  # a folder that this user must not enter
        return None


def write(candidate: Candidate, features: tuple[float, ...]) -> Path:
    """Store weights, completely or not at all; return the file. Raises UserError.

    features: those of the test pattern.
    """
    where, backbone = folder(), candidate.backbone
    if where is None:
        raise UserError("this user has no home folder, so there is no folder for weights", "set HOME or XDG_DATA_HOME")
    path = where / f"{backbone.name}{_SUFFIX}"
    metadata = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "backbone": backbone.name,
        "network": backbone.text,
        "license": candidate.license,
        "origin": candidate.origin,
        "source": display.name(candidate.source, _LONGEST),
        "source_sha256": candidate.digest,
        "scaling": json.dumps({"scale": backbone.scale, "shift": backbone.shift}),
        "features": json.dumps(features),
        "versions": json.dumps({"layerline": versions()["layerline"]}),
    }
    try:
        where.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{shown(where)}: cannot be created: {error.strerror or error}", "set XDG_DATA_HOME") from error
    tensors.write(path, candidate.weights, metadata, verify=True)
    return path


def read(backbone: Backbone) -> Pretrained | None:
    """Return a backbone with the weights that the user added; None if there are none.

    Raises UserError if the file was changed, or is for another network.
    """
    path = place_of(backbone.name)
    if path is None:
        return None
    try:
        return _checked(backbone, tensors.read(path), shown(path))
    except (tensors.FileError, ValueError, KeyError, TypeError) as error:
        reason = error.message if isinstance(error, UserError) else f"{shown(path)}: its metadata is not valid"
        raise UserError(
            f"{reason.replace(str(path), shown(path))}; its SHA-256 is {_digest(path)}",
            f"add it again: layerline weights remove {backbone.name}, then layerline weights add FILE",
        ) from error


def remove(name: str) -> Path | None:
    """Remove the weights that the user added for a backbone; return the file, None if there was none.

    Raises UserError if it cannot be removed.
    """
    path = place_of(name)
    if path is None:
        return None
    try:
        path.unlink()
    except OSError as error:
        raise UserError(f"{shown(path)}: cannot be removed: {error.strerror or error}", "remove it yourself") from error
    return path


def _checked(backbone: Backbone, found: tensors.Tensors, place: str) -> Pretrained:
    """Return what a file has. Raises ValueError, KeyError, TypeError or FileError if it is not for the backbone."""
    metadata = found.metadata
    if metadata["format"] != FORMAT or metadata["backbone"] != backbone.name:
        raise tensors.FileError(f"{place}: not a file that layerline weights add wrote for {backbone.name}")
    if metadata["format_version"] != FORMAT_VERSION or metadata["network"] != backbone.text:
        raise tensors.FileError(f"{place}: added by another version of Layerline, whose {backbone.name} differs")
    table = backbone.network().weights
    shapes = {name: (array.shape, array.dtype) for name, array in found.arrays.items()}
    if shapes != {name: (tuple(weight.shape), np.dtype(weight.dtype)) for name, weight in table.items()}:
        raise tensors.FileError(f"{place}: its weights are not those of {backbone.name}")
    scale, shift = _scaling(metadata)
    return Pretrained(
        backbone.name,
        backbone.text,
        found.arrays,
        scale,
        shift,
        backbone.size,
        backbone.features,
        metadata["license"][:_LONGEST],
        metadata["origin"][:_LONGEST],
        metadata["source_sha256"][:64],
        place,
    )


def _scaling(metadata: Mapping[str, str]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return scale and shift per channel. Raises ValueError, KeyError or TypeError."""
    found: Any = json.loads(metadata["scaling"])
    scale, shift = (tuple(float(value) for value in found[key]) for key in ("scale", "shift"))
    if not len(scale) == len(shift) == 3 or not np.isfinite((*scale, *shift)).all():
        raise ValueError("scaling")
    return scale, shift


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file, for a message."""
    try:
        with regular.opened(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return "unknown"
