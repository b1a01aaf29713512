"""A Kernel: one machine-code function and its declared arguments."""

from __future__ import annotations

import abc
import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerline.compiler.dtype import DType
from layerline.compiler.plane import Places

if TYPE_CHECKING:
    from layerline.compiler.layout import Layout
    from layerline.compiler.pen import Pen
    from layerline.compiler.plane import Plane


class Access(enum.Enum):
    """How a kernel accesses an argument."""

    READS = "reads"
    SETS = "sets"
    """Overwrites it."""
    ADDS = "adds"
    """Accumulates into it: a gradient with several readers, or the sums of a shard or a run."""
    UPDATES = "updates"
    """Updates a parameter or an optimizer slot in place."""
    OWNS = "owns"
    """Uses it as its workspace, whatever it held before; nothing reads what it leaves there."""


@dataclass(frozen=True)
class KernelArgument:
    """A pointer argument of a kernel: its element type, its access, and the layout of one item."""

    dtype: DType
    access: Access
    layout: Plane | Places | Layout | int | None
    """An image; the source positions of pooled values in one; filters; a number of elements; or None: an array of the
    caller's, of any length."""

    @property
    def elements(self) -> int:
        """Return the number of elements of one item; 0 for an array of the caller's."""
        if self.layout is None or isinstance(self.layout, int):
            return self.layout or 0
        return self.layout.count if isinstance(self.layout, Places) else self.layout.size


def reads(layout: Plane | Places | Layout | int, dtype: DType = DType.F32) -> KernelArgument:
    """Return a read-only argument."""
    return KernelArgument(dtype, Access.READS, layout)


def given(dtype: DType = DType.F32) -> KernelArgument:
    """Return a read-only argument that is an array of the caller's, of any length."""
    return KernelArgument(dtype, Access.READS, None)


def sets(layout: Plane | Places | Layout | int, dtype: DType = DType.F32) -> KernelArgument:
    """Return a write-only argument."""
    return KernelArgument(dtype, Access.SETS, layout)


def adds(layout: Plane | int, dtype: DType = DType.F32) -> KernelArgument:
    """Return an argument that is accumulated into."""
    return KernelArgument(dtype, Access.ADDS, layout)


def updates(elements: int) -> KernelArgument:
    """Return an argument that is a parameter or an optimizer slot, updated in place."""
    return KernelArgument(DType.F32, Access.UPDATES, elements)


def owns(elements: int) -> KernelArgument:
    """Return an argument that is a kernel's workspace."""
    return KernelArgument(DType.F32, Access.OWNS, elements)


class Over(enum.Enum):
    """What a kernel, or a phase, iterates over; the value is its name."""

    IMAGES = "images"
    SLICES = "slices"


class Kernel(abc.ABC):
    """One machine-code function: what it computes and how (its tile), as a frozen dataclass. Equal kernels share code.

    Pointer arguments come first, then scalars. A kernel over images processes `images` consecutive images; a kernel
    over slices processes slice `item` of `slices`. Kernels know nothing about threads.
    """

    @property
    @abc.abstractmethod
    def arguments(self) -> dict[str, KernelArgument]:
        """Return the pointer arguments by name, in order: the only declaration of what is read and written."""

    @property
    @abc.abstractmethod
    def symbol(self) -> str:
        """Return the name: formula, shape, tile. It is the function's symbol, its profile entry and its cache key."""

    @property
    def slices(self) -> int | None:
        """Return the number of independent items the work is split into, or None if its items are images."""
        return None

    @property
    def extra_scalars(self) -> tuple[str, ...]:
        """Return the scalars besides the images or the item: `images` and `shards` of the step, STEP_SCALARS."""
        return ()

    def multiply_adds(self, images: int) -> int:
        """Return the multiply-adds of its formula for `images` images; 0 if it is not a sum of products.

        An implementation that needs fewer, such as one that skips zeros, counts the same, so that rates compare.
        """
        del images
        return 0

    @abc.abstractmethod
    def write(self, pen: Pen) -> None:
        """Write the function's body."""

    @property
    def pointers(self) -> dict[str, DType]:
        """Return the types of the pointer arguments."""
        return {name: argument.dtype for name, argument in self.arguments.items()}

    @property
    def scalars(self) -> tuple[str, ...]:
        """Return the scalar arguments."""
        return ("images" if self.slices is None else "item", *self.extra_scalars)
