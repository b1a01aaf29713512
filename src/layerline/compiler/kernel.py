"""A Kernel: one function of machine code, and the arguments that it declares."""

from __future__ import annotations

import abc
import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerline.compiler.dtype import DType

if TYPE_CHECKING:
    from layerline.compiler.layout import Columns
    from layerline.compiler.pen import Pen
    from layerline.compiler.plane import Places, Plane


class Access(enum.Enum):
    """What a kernel does with an argument."""

    READS = "reads"
    SETS = "sets"
    """Whatever was there is gone."""
    ADDS = "adds"
    """A sum grows: a gradient with several readers, what a shard or a run has gathered."""
    UPDATES = "updates"
    """A parameter, or what is kept beside it, moves."""


@dataclass(frozen=True)
class KernelArgument:
    """A pointer that a kernel takes: to what, what it does with it, and what an item must hold."""

    dtype: DType
    access: Access
    lies: Plane | Places | Columns | int | None
    """An image; where in one pooled values came from; filters; so many elements; or None: an array of the caller's, as
    it is."""


def reads(lies: Plane | Places | Columns | int, dtype: DType = DType.F32) -> KernelArgument:
    """Return an argument that is only read."""
    return KernelArgument(dtype, Access.READS, lies)


def given(dtype: DType = DType.F32) -> KernelArgument:
    """Return an argument that is read and is an array of the caller's, of any length."""
    return KernelArgument(dtype, Access.READS, None)


def sets(lies: Plane | Places | Columns | int, dtype: DType = DType.F32) -> KernelArgument:
    """Return an argument that is written and not read."""
    return KernelArgument(dtype, Access.SETS, lies)


def adds(lies: Plane | int, dtype: DType = DType.F32) -> KernelArgument:
    """Return an argument that is added to."""
    return KernelArgument(dtype, Access.ADDS, lies)


def updates(elements: int) -> KernelArgument:
    """Return an argument that is a parameter, or a slot beside one, and moves."""
    return KernelArgument(DType.F32, Access.UPDATES, elements)


class Over(enum.Enum):
    """What the items of a kernel, and of a phase, are; the value is the word for it."""

    IMAGES = "images"
    SLICES = "slices"


class Kernel(abc.ABC):
    """One function of machine code: what it computes and how (its tile), as a frozen dataclass. Equal kernels share
    code.

    The pointer arguments come first, then the scalars. A kernel over images does `images` neighboring images; one
    over slices does slice `item` of `slices`; it knows nothing of threads.
    """

    @property
    @abc.abstractmethod
    def arguments(self) -> dict[str, KernelArgument]:
        """Return the pointer arguments by name, in their order: the one declaration of what is read and written."""

    @property
    @abc.abstractmethod
    def symbol(self) -> str:
        """Return the name: formula, shape, how. It is the function's symbol, the profile's line and the cache's key."""

    @property
    def slices(self) -> int | None:
        """Return into how many independent items the work is cut, or None where its items are images."""
        return None

    @property
    def numbers(self) -> tuple[str, ...]:
        """Return what it is told beside its images or its item: `images` and `shards` of the step, its pace."""
        return ()

    @abc.abstractmethod
    def write(self, pen: Pen) -> None:
        """Write the function's body."""

    @property
    def pointers(self) -> dict[str, DType]:
        """Return the pointer arguments' types."""
        return {name: argument.dtype for name, argument in self.arguments.items()}

    @property
    def scalars(self) -> tuple[str, ...]:
        """Return the scalar arguments."""
        return ("images" if self.slices is None else "item", *self.numbers)
