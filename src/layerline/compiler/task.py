"""What a Program is built for, beside the network: everything that changes the code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from layerline.compiler.kernels.update import Sgd


@dataclass(frozen=True)
class Task:
    """Training or prediction, of what images, with which optimiser."""

    batch_size: int
    optimizer: Sgd
    source: str = "u8"
    """What a stored value is: u8 or f32."""
    channels_last: bool = False
    even_scaling: bool = True
    """Whether all channels are scaled alike."""
    training: bool = True
    fuse_updates: bool = True
    """Off: the whole gradient of every parameter stays readable after a step."""
