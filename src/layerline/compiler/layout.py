"""Memory layouts of parameters, and their conversion from and to PyTorch's tensors."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


class Layout(abc.ABC):
    """A one-to-one mapping between a tensor in PyTorch's order and elements of a buffer; the rest of the buffer is
    zero."""

    @property
    @abc.abstractmethod
    def size(self) -> int:
        """Return the number of elements in the buffer."""

    @abc.abstractmethod
    def pack(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 (size,) from PyTorch's tensor."""

    @abc.abstractmethod
    def unpack(self, buffer: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a copy: PyTorch's tensor from float32 (size,)."""


@dataclass(frozen=True)
class Vector(Layout):
    """One number per channel, or after Flat one per value: then in the image's order, H, W, C."""

    length: int
    padded: int
    image: tuple[int, int, int] | None = None
    """(C, H, W) of Flat's input."""

    @property
    def size(self) -> int:
        """Return the number of elements in the buffer."""
        return self.padded

    def pack(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 (size,)."""
        out = np.zeros(self.padded, np.float32)
        out[: self.length] = tensor if self.image is None else tensor.reshape(self.image).transpose(1, 2, 0).reshape(-1)
        return out

    def unpack(self, buffer: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 (O,)."""
        if self.image is None:
            return buffer[: self.length].copy()
        C, H, W = self.image
        return buffer[: self.length].reshape(H, W, C).transpose(2, 0, 1).reshape(-1).copy()


@dataclass(frozen=True)
class Rows(Layout):
    """Filters as rows of taps, [o][run][j]. A run is a sequence of taps contiguous in an image: j runs over (s, c).

    `shape` is PyTorch's (O, C, R, S). With a dilated kernel a run is the channels of one tap, and there are R·S runs.
    """

    shape: tuple[int, int, int, int]
    runs: int
    length: int
    padded: int

    @property
    def size(self) -> int:
        """Return the number of elements in the buffer."""
        return self.shape[0] * self.runs * self.padded

    def pack(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 (size,)."""
        O = self.shape[0]
        out = np.zeros((O, self.runs, self.padded), np.float32)
        out[:, :, : self.length] = tensor.reshape(self.shape).transpose(0, 2, 3, 1).reshape(O, self.runs, self.length)
        return out.reshape(-1)

    def unpack(self, buffer: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 (O, C, R, S)."""
        O, C, R, S = self.shape
        rows = buffer[: self.size].reshape(O, self.runs, self.padded)[:, :, : self.length]
        return np.array(rows.reshape(O, R, S, C).transpose(0, 3, 1, 2), order="C")


@dataclass(frozen=True)
class BlockLayout:
    """`count` times `vectors` vectors of `lanes` filters, starting at filter `first`."""

    first: int
    lanes: int
    vectors: int
    count: int

    @property
    def width(self) -> int:
        """Return the number of filters per block."""
        return self.lanes * self.vectors


@dataclass(frozen=True)
class Columns(Layout):
    """Filters as columns, block by block, [run][j][o] within each, so that a vector holds one tap of many filters.

    Runs are those of Rows, without row padding. The blocks cover one group's filters; groups are contiguous.
    """

    shape: tuple[int, int, int, int]
    runs: int
    length: int
    blocks: tuple[BlockLayout, ...]
    groups: int = 1

    @property
    def size(self) -> int:
        """Return the number of elements in the buffer."""
        return self.groups * self.group_size

    @property
    def group_size(self) -> int:
        """Return the number of elements per group."""
        return sum(b.count * b.width for b in self.blocks) * self.taps

    @property
    def group_filters(self) -> int:
        """Return the number of filters per group."""
        return self.shape[0] // self.groups

    @property
    def taps(self) -> int:
        """Return the number of taps per filter."""
        return self.runs * self.length

    def pack(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 (size,)."""
        taps = tensor.reshape(self.shape).transpose(0, 2, 3, 1).reshape(self.groups, -1, self.taps)
        out = np.zeros(self.size, np.float32)
        for group in range(self.groups):
            for first, piece in self._pieces(out, group):
                some = taps[group, first : first + piece.shape[1]]
                piece[:, : len(some)] = some.T
        return out

    def _pieces(self, buffer: NDArray[np.float32], group: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield each block of a group: its first filter (within the group), and a view of it as (taps, filters)."""
        at = group * self.group_size
        for block in self.blocks:
            for k in range(block.count):
                n = block.width * self.taps
                yield block.first + k * block.width, buffer[at : at + n].reshape(self.taps, block.width)
                at += n

    def unpack(self, buffer: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 (O, C, R, S)."""
        O, C, R, S = self.shape
        taps = np.zeros((self.groups, self.group_filters, self.taps), np.float32)
        for group in range(self.groups):
            for first, piece in self._pieces(buffer, group):
                some = taps[group, first : first + piece.shape[1]]
                some[:] = piece.T[: len(some)]
        return np.array(taps.reshape(O, R, S, C).transpose(0, 3, 1, 2), order="C")


@dataclass(frozen=True)
class Taps(Layout):
    """Depthwise filters, [tap][c]: a vector holds one tap of many channels. `shape` is PyTorch's (C, 1, R, S)."""

    shape: tuple[int, int, int, int]
    padded: int

    @property
    def size(self) -> int:
        """Return the number of elements in the buffer."""
        return self.shape[2] * self.shape[3] * self.padded

    def pack(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 (size,)."""
        C, _, R, S = self.shape
        out = np.zeros((R * S, self.padded), np.float32)
        out[:, :C] = tensor.reshape(C, R * S).T
        return out.reshape(-1)

    def unpack(self, buffer: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 (C, 1, R, S)."""
        C, _, R, S = self.shape
        taps = buffer[: self.size].reshape(R * S, self.padded)[:, :C]
        return np.array(taps.T.reshape(self.shape), order="C")


@dataclass(frozen=True)
class Matrix(Layout):
    """Weights of FC, [o][i], where i runs over the input in memory order: H, W, C after Flat."""

    outputs: int
    image: tuple[int, int, int]
    """(C, H, W) of Flat's input, or (I, 1, 1)."""
    padded: int

    @property
    def size(self) -> int:
        """Return the number of elements in the buffer."""
        return self.outputs * self.padded

    def pack(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 (size,)."""
        C, H, W = self.image
        out = np.zeros((self.outputs, self.padded), np.float32)
        out[:, : C * H * W] = tensor.reshape(self.outputs, C, H, W).transpose(0, 2, 3, 1).reshape(self.outputs, -1)
        return out.reshape(-1)

    def unpack(self, buffer: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 (O, I) in PyTorch's order C, H, W."""
        C, H, W = self.image
        rows = buffer[: self.size].reshape(self.outputs, self.padded)[:, : C * H * W]
        return np.array(rows.reshape(self.outputs, H, W, C).transpose(0, 3, 1, 2).reshape(self.outputs, -1), order="C")
