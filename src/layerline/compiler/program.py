"""The Program: which kernels run on which buffers, first as plainly as possible, then in phases.

A Buffer is memory with a name. `per` says what it is one of: an image of the batch, a shard of the batch, a thread, or
the whole network (`once`). Where an image's buffer lives (in a thread's scratch or for the whole batch) is derived by
`schedule.schedule`, never written by a layer.
"""

from __future__ import annotations

import enum
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerline.compiler.dtype import DType
from layerline.compiler.kernel import Access, Over

if TYPE_CHECKING:
    from layerline.compiler.kernel import Kernel, KernelArgument
    from layerline.compiler.layout import Layout
    from layerline.compiler.plane import Plane


class Per(enum.Enum):
    """What a buffer is one of; the value is the word for it."""

    IMAGE = "image"
    SHARD = "shard"
    THREAD = "thread"
    ONCE = "once"
    GIVEN = "given"
    """The caller's, as a whole: images, labels."""
    POSITION = "position"
    """The caller's, an item for each image of the batch in its order: order, probabilities."""


@dataclass(frozen=True)
class Buffer:
    """Memory: `size` elements for each item, in a place that the schedule finds."""

    name: str
    size: int
    per: Per
    dtype: DType = DType.F32
    plane: Plane | None = None
    """For an image's values: how they lie."""

    def __hash__(self) -> int:
        """Return the name's: buffers are looked up often, and no two of a Program share a name."""
        return hash(self.name)


@dataclass(frozen=True)
class Op:
    """A kernel and the buffers it works on, in the order of the kernel's pointers."""

    kernel: Kernel
    buffers: tuple[Buffer, ...]

    def __post_init__(self) -> None:
        """Refuse a wrong number of buffers: a bug in a build function."""
        if len(self.buffers) != len(self.kernel.arguments):
            raise ValueError(
                f"{self.kernel.symbol} takes {len(self.kernel.arguments)} buffers, not {len(self.buffers)}"
            )

    def __hash__(self) -> int:
        """Return the buffers': a kernel's would be worked out from all its sizes at every look."""
        return hash(self.buffers)

    def __getitem__(self, name: str) -> Buffer:
        """Return the buffer of a kernel's argument."""
        return self.buffers[list(self.kernel.arguments).index(name)]

    @functools.cached_property
    def over(self) -> Over:
        """What the kernel's items are."""
        return Over.IMAGES if self.kernel.slices is None else Over.SLICES

    @functools.cached_property
    def uses(self) -> tuple[tuple[KernelArgument, Buffer], ...]:
        """Each argument with its buffer."""
        return tuple(zip(self.kernel.arguments.values(), self.buffers, strict=True))

    @functools.cached_property
    def written(self) -> tuple[Buffer, ...]:
        """The buffers it changes."""
        return tuple(buffer for argument, buffer in self.uses if argument.access is not Access.READS)

    @functools.cached_property
    def read(self) -> tuple[Buffer, ...]:
        """The buffers it only reads."""
        return tuple(buffer for argument, buffer in self.uses if argument.access is Access.READS)


class Kind(enum.Enum):
    """What a parameter is to an optimizer."""

    FILTERS = "filters"
    """Of a convolution."""
    MATRIX = "matrix"
    """Of FC."""
    PLAIN = "plain"
    """A bias, or of a norm."""


@dataclass(frozen=True)
class Tensor:
    """A parameter as the engine keeps it: PyTorch's name, the buffers that hold it, and how it lies in each."""

    name: str
    homes: tuple[tuple[Buffer, Layout], ...]
    """The first is the master; the others are copies in another order, written whenever the master is."""
    slots: tuple[tuple[str, Buffer], ...] = ()
    """What the optimizer keeps beside it, by the name the engine's state has it under; it lies as in the first home."""
    gradient: Buffer | None = None
    """Where the whole gradient can be read after a step: only in a plain Program."""


@dataclass(frozen=True)
class Program:
    """All ops in an order that is right when run one after the other, and the parameters they use."""

    ops: tuple[Op, ...]
    tensors: tuple[Tensor, ...]
    training: bool
    batch_size: int
    shard_size: int
    """Images a shard; the batch is cut into ceil(batch_size / shard_size) of them."""
    group: int
    """Images that a thread takes through the network together."""

    @property
    def buffers(self) -> tuple[Buffer, ...]:
        """Return every buffer once, in the order of first use; parameters without a reader come last."""
        seen = dict.fromkeys(b for op in self.ops for b in op.buffers)
        seen.update(dict.fromkeys(b for t in self.tensors for b, _ in t.homes))
        seen.update(dict.fromkeys(b for t in self.tensors for _, b in t.slots))
        seen.update(dict.fromkeys(t.gradient for t in self.tensors if t.gradient is not None))
        return tuple(seen)

    @property
    def shards(self) -> int:
        """Return the number of shards of a full batch."""
        return -(-self.batch_size // self.shard_size)


@dataclass(frozen=True)
class Phase:
    """Ops between two meetings of all threads: either all over the images of shards, or all over slices."""

    ops: tuple[Op, ...]
    over: Over


@dataclass(frozen=True, eq=False)
class Schedule:
    """A Program cut into phases, with a place for every buffer.

    Offsets are in bytes. What is there once, or once a shard, and those images' buffers that outlive their phase lie in
    the arena; other images' buffers, and what a thread has for itself, lie in a scratch that each thread has.
    """

    program: Program
    phases: tuple[Phase, ...]
    in_arena: dict[Buffer, int]
    in_scratch: dict[Buffer, int]
    arena_bytes: int
    scratch_bytes: int
