"""A backbone with its pretrained weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


@final
@dataclass(frozen=True, eq=False)
class Pretrained:
    """A network without its classifier, its weights, and how its images are prepared."""

    name: str
    network: str
    """The text of the network file, which ends with GlobalPool."""
    weights: Mapping[str, NDArray[Any]]
    """By our names, as in `to_torch().state_dict()` of the network alone; read-only, float32 (counts int64)."""
    scale: tuple[float, ...]
    """Per channel (red, green, blue): the input is value · scale + shift, with values from 0 to 255."""
    shift: tuple[float, ...]
    size: int
    """Height and width of the images that it was trained on."""
    features: int
    license: str
    origin: str
    """Who trained and published the weights, as far as it is known."""
    digest: str
    """SHA-256 (hex) of the file from which the weights were read."""
    place: str
    """The file where the weights are, in messages."""
