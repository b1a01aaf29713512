"""The Program: the kernels and the buffers they run on, unoptimized at first; and its Schedule in phases.

A Buffer is named memory. `per` is its multiplicity: one per image of the batch, per shard of the batch, per thread, or
one for the whole network (`once`). Whether an image's buffer lives in a thread's scratch or for the whole batch is
derived by `schedule.schedule`, never specified by a layer.
"""

from __future__ import annotations

import enum
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.compiler.dtype import DType
from layerline.compiler.kernel import Access, Over

if TYPE_CHECKING:
    from layerline.compiler.kernel import Kernel, KernelArgument
    from layerline.compiler.layout import Layout
    from layerline.compiler.plane import Plane


EXCHANGE: Final = "exchange"
"""The name of the buffer that stands for the engine's function."""


class Per(enum.Enum):
    """The multiplicity of a buffer; the value is its name."""

    IMAGE = "image"
    SHARD = "shard"
    THREAD = "thread"
    ONCE = "once"
    GIVEN = "given"
    """A whole array of the caller's: images, labels."""
    POSITION = "position"
    """The caller's, one item per image of the batch, in batch order: order, probabilities."""


@dataclass(frozen=True)
class Buffer:
    """Memory: `size` elements per item, at an offset that the schedule assigns."""

    name: str
    size: int
    per: Per
    dtype: DType = DType.F32
    plane: Plane | None = None
    """For an image's values: their layout."""

    def __hash__(self) -> int:
        """Return the hash of the name: buffers are looked up often, and names are unique in a Program."""
        return hash(self.name)


@dataclass(frozen=True)
class Op:
    """A kernel and its buffers, in the order of the kernel's pointer arguments."""

    kernel: Kernel
    buffers: tuple[Buffer, ...]

    def __post_init__(self) -> None:
        """Reject a wrong number of buffers, which is a bug in a lowering function."""
        if len(self.buffers) != len(self.kernel.arguments):
            raise ValueError(
                f"{self.kernel.symbol} takes {len(self.kernel.arguments)} buffers, not {len(self.buffers)}"
            )

    def __hash__(self) -> int:
        """Return the hash of the buffers: a kernel's would be computed from all its sizes on every lookup."""
        return hash(self.buffers)

    def __getitem__(self, name: str) -> Buffer:
        """Return the buffer bound to an argument of the kernel."""
        return self.buffers[list(self.kernel.arguments).index(name)]

    @functools.cached_property
    def over(self) -> Over:
        """What the kernel iterates over."""
        return Over.IMAGES if self.kernel.slices is None else Over.SLICES

    @functools.cached_property
    def uses(self) -> tuple[tuple[KernelArgument, Buffer], ...]:
        """Each argument with its buffer."""
        return tuple(zip(self.kernel.arguments.values(), self.buffers, strict=True))

    @functools.cached_property
    def written(self) -> tuple[Buffer, ...]:
        """The buffers it writes."""
        return tuple(buffer for argument, buffer in self.uses if argument.access is not Access.READS)

    @functools.cached_property
    def read(self) -> tuple[Buffer, ...]:
        """The buffers it only reads."""
        return tuple(buffer for argument, buffer in self.uses if argument.access is Access.READS)


class Kind(enum.Enum):
    """The kind of a parameter, as far as optimizers distinguish it."""

    FILTERS = "filters"
    """Of a convolution."""
    MATRIX = "matrix"
    """Of FC."""
    PLAIN = "plain"
    """A bias, or a parameter of a norm."""


@dataclass(frozen=True)
class Tensor:
    """A parameter in the engine: its PyTorch name, the buffers that hold it, and its layout in each."""

    name: str
    homes: tuple[tuple[Buffer, Layout], ...]
    """The first is the master; the others are copies in another layout, written whenever the master is."""
    slots: tuple[tuple[str, Buffer], ...] = ()
    """The optimizer's state for it, by its name in the engine's state dict; the layout is that of the first home."""
    gradient: Buffer | None = None
    """Where the whole gradient can be read after a step; only if updates are not fused."""


@dataclass(frozen=True)
class Program:
    """All ops in a valid sequential order, and the parameters they use."""

    ops: tuple[Op, ...]
    tensors: tuple[Tensor, ...]
    training: bool
    batch_size: int
    shard_size: int
    """Images per shard; the batch is split into ceil(batch_size / shard_size) shards."""
    group: int
    """Images that a thread processes together."""

    @property
    def buffers(self) -> tuple[Buffer, ...]:
        """Return each buffer once, in order of first use; parameters without a reader come last."""
        seen = dict.fromkeys(b for op in self.ops for b in op.buffers)
        seen.update(dict.fromkeys(b for t in self.tensors for b, _ in t.homes))
        seen.update(dict.fromkeys(b for t in self.tensors for _, b in t.slots))
        seen.update(dict.fromkeys(t.gradient for t in self.tensors if t.gradient is not None))
        return tuple(seen)

    @functools.cached_property
    def exchanges(self) -> bool:
        """Whether its sums are added up over several processes: see exchanging.py."""
        return any(buffer.name == EXCHANGE for op in self.ops for buffer in op.buffers)

    @property
    def shards(self) -> int:
        """Return the number of shards of a full batch."""
        return -(-self.batch_size // self.shard_size)


@dataclass(frozen=True)
class Phase:
    """Ops between two barriers: either all over the images of shards, or all over slices."""

    ops: tuple[Op, ...]
    over: Over


@dataclass(frozen=True, eq=False)
class Schedule:
    """A Program split into phases, with an offset for each buffer.

    Offsets are in bytes. Buffers that exist once or per shard, and per-image buffers that outlive their phase, are in
    the arena; the other per-image buffers and the per-thread ones are in the scratch memory of each thread.
    """

    program: Program
    phases: tuple[Phase, ...]
    in_arena: dict[Buffer, int]
    in_scratch: dict[Buffer, int]
    arena_bytes: int
    scratch_bytes: int
