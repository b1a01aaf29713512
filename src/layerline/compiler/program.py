"""The Program: which kernels run on which buffers, first as plainly as possible, then in phases.

A Buffer is memory with a name. `per` says what it is one of: an image of the batch, a shard of the batch, a thread, or
the whole network (`once`). Where an image's buffer lives (in a thread's scratch or for the whole batch) is derived by
`passes.schedule`, never written by a layer.
"""

from __future__ import annotations

import abc
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from layerline.compiler.layout import Layout
    from layerline.compiler.pen import Pen

ALIGN: Final = 16
"""Elements that every item of a buffer is aligned to (64 bytes of float32: a cache line)."""


def room(n: int) -> int:
    """Return the elements to reserve for n: a vector may be read or add zeros one whole vector past the end."""
    return -(-(n + ALIGN) // ALIGN) * ALIGN


@dataclass(frozen=True)
class Plane:
    """An image in memory: H rows of W pixels of C neighbouring floats, inside a border that stays zero."""

    channels: int
    height: int
    width: int
    top: int = 0
    left: int = 0
    bottom: int = 0
    right: int = 0

    @property
    def pitch(self) -> int:
        """Return the elements from a row to the next."""
        return (self.left + self.width + self.right) * self.channels

    @property
    def origin(self) -> int:
        """Return where pixel (0, 0) begins."""
        return self.top * self.pitch + self.left * self.channels

    @property
    def size(self) -> int:
        """Return the elements of the whole plane with its border."""
        return (self.top + self.height + self.bottom) * self.pitch

    @property
    def label(self) -> str:
        """Return the shape as symbols have it."""
        border = (self.top, self.left, self.bottom, self.right)
        text = f"c{self.channels}h{self.height}w{self.width}"
        return text if not any(border) else text + "b" + "_".join(map(str, border))


@dataclass(frozen=True)
class Buffer:
    """Memory: `size` elements for each item, in a place that the schedule finds."""

    name: str
    size: int
    per: str
    """image · shard · thread · once; of the caller's, `given` (images, labels) or `position` (order: one for each
    image)."""
    dtype: str = "f32"
    plane: Plane | None = None
    """For an image's values: how they lie."""

    def __hash__(self) -> int:
        """Return the name's: buffers are looked up often, and no two of a Program share a name."""
        return hash(self.name)


class Kernel(abc.ABC):
    """One function of machine code: what it computes and how (its tile), as a frozen dataclass. Equal kernels share
    code.

    The pointer arguments come first, then the scalars. A kernel of range `images` does `images` neighbouring images;
    one of range `slices` does slice `item` of `slices`; it knows nothing of threads.
    """

    pointers: ClassVar[dict[str, str]]
    """Argument → element type."""
    writes: ClassVar[frozenset[str]]
    scalars: ClassVar[tuple[str, ...]] = ("images",)

    @property
    @abc.abstractmethod
    def symbol(self) -> str:
        """Return the name: formula, shape, how. It is the function's symbol, the profile's line and the cache's key."""

    @property
    def slices(self) -> int | None:
        """Return into how many independent items the work is cut, or None where its items are images."""
        return None

    @abc.abstractmethod
    def write(self, pen: Pen) -> None:
        """Write the function's body."""


@dataclass(frozen=True)
class Op:
    """A kernel and the buffers it works on, in the order of the kernel's pointers."""

    kernel: Kernel
    buffers: tuple[Buffer, ...]

    def __post_init__(self) -> None:
        """Refuse a wrong number of buffers: a bug in a build function."""
        if len(self.buffers) != len(self.kernel.pointers):
            raise ValueError(f"{self.kernel.symbol} takes {len(self.kernel.pointers)} buffers, not {len(self.buffers)}")

    def __hash__(self) -> int:
        """Return the buffers': a kernel's would be worked out from all its sizes at every look."""
        return hash(self.buffers)

    def __getitem__(self, name: str) -> Buffer:
        """Return the buffer of a kernel's argument."""
        return dict(zip(self.kernel.pointers, self.buffers, strict=True))[name]

    @functools.cached_property
    def written(self) -> tuple[Buffer, ...]:
        """The buffers it changes."""
        writes = self.kernel.writes
        return tuple(b for a, b in zip(self.kernel.pointers, self.buffers, strict=True) if a in writes)

    @functools.cached_property
    def read(self) -> tuple[Buffer, ...]:
        """The buffers it only reads."""
        writes = self.kernel.writes
        return tuple(b for a, b in zip(self.kernel.pointers, self.buffers, strict=True) if a not in writes)


@dataclass(frozen=True)
class Tensor:
    """A parameter as the engine keeps it: PyTorch's name, the buffers that hold it, and how it lies in each."""

    name: str
    homes: tuple[tuple[Buffer, Layout], ...]
    """The first is the master; the others are copies in another order, written whenever the master is."""
    slots: tuple[tuple[str, Buffer], ...] = ()
    """What the optimiser keeps beside it, by the name the engine's state has it under; it lies as in the first home."""
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
    over: str
    """images · slices"""


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
