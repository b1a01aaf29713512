"""The accuracy of a Program on 8-bit values: that of the code that is exported, run on this CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from layerline.compiler.machine import host
from layerline.compiler.schedule import schedule
from layerline.compiler.task import storage_of
from layerline.export.forward import Forward
from layerline.export.on_host import HostProgram
from layerline.system.cores import cores

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from layerline.compiler.int8.int8_builder import Int8Program
    from layerline.compiler.machine import Machine
    from layerline.data.dataset import Scaling, Split
    from layerline.network import Network


def probabilities(
    network: Network,
    scaling: Scaling,
    made: Callable[[Machine, bool], Int8Program],
    split: Split,
    machine: Machine | None = None,
) -> NDArray[np.float32]:
    """Return the probabilities of the images of a split, float32 (N, K).

    made: returns the Program for a machine and for images in H, W, C order or not. Its integers are the same for every
    machine; the last step, softmax in float32, may differ in its last bits.
    """
    machine = host() if machine is None else machine
    program = made(machine, storage_of(split.source.images, scaling)["channels_last"])
    planned = schedule(program.program)
    here = HostProgram(Forward(planned, program.arena(planned)), network, scaling, machine, cores())
    return here.probabilities(split)


def accuracy(found: NDArray[Any], split: Split) -> float:
    """Return the fraction of images whose most probable class is theirs."""
    return float((found.argmax(1) == split.labels).mean())
