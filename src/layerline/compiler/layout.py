"""How parameters lie in memory, and the way from PyTorch's tensors and back."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Layout(abc.ABC):
    """A one-to-one map between a tensor in PyTorch's order and the elements of a buffer; the rest of the buffer is
    zero."""

    @property
    @abc.abstractmethod
    def size(self) -> int:
        """Return the buffer's elements."""

    @abc.abstractmethod
    def pack(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 (size,) from PyTorch's tensor."""

    @abc.abstractmethod
    def unpack(self, buffer: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return PyTorch's tensor from float32 (size,)."""


@dataclass(frozen=True)
class Vector(Layout):
    """A bias: O values."""

    length: int
    padded: int

    @property
    def size(self) -> int:
        """Return the buffer's elements."""
        return self.padded

    def pack(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 (size,)."""
        out = np.zeros(self.padded, np.float32)
        out[: self.length] = tensor
        return out

    def unpack(self, buffer: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 (O,)."""
        return buffer[: self.length].copy()


@dataclass(frozen=True)
class Rows(Layout):
    """Filters as rows of taps: [o][run][j], a run being the taps that lie side by side in an image: j runs over (s, c).

    `shape` is PyTorch's (O, C, R, S). With a dilated kernel a run is one tap's channels, and there are R·S of them.
    """

    shape: tuple[int, int, int, int]
    runs: int
    length: int
    padded: int

    @property
    def size(self) -> int:
        """Return the buffer's elements."""
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
        return np.ascontiguousarray(rows.reshape(O, R, S, C).transpose(0, 3, 1, 2))


@dataclass(frozen=True)
class Block:
    """`count` times `vectors` vectors of `lanes` filters, from filter `first` on."""

    first: int
    lanes: int
    vectors: int
    count: int

    @property
    def width(self) -> int:
        """Return the filters of one of the blocks."""
        return self.lanes * self.vectors


@dataclass(frozen=True)
class Columns(Layout):
    """Filters side by side: block after block, in each [run][j][o], so that a vector holds one tap of many filters."""

    rows: Rows
    blocks: tuple[Block, ...]

    @property
    def size(self) -> int:
        """Return the buffer's elements."""
        return sum(b.count * b.width for b in self.blocks) * self.taps

    @property
    def taps(self) -> int:
        """Return the taps of a filter."""
        return self.rows.runs * self.rows.length

    def pack(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 (size,)."""
        O = self.rows.shape[0]
        taps = tensor.reshape(self.rows.shape).transpose(0, 2, 3, 1).reshape(O, self.taps)
        pieces = []
        for block in self.blocks:
            for k in range(block.count):
                first = block.first + k * block.width
                piece = np.zeros((self.taps, block.width), np.float32)
                some = taps[first : first + block.width]
                piece[:, : len(some)] = some.T
                pieces.append(piece.reshape(-1))
        return np.concatenate(pieces)

    def unpack(self, buffer: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 (O, C, R, S)."""
        O, C, R, S = self.rows.shape
        taps, at = np.zeros((O, self.taps), np.float32), 0
        for block in self.blocks:
            for k in range(block.count):
                first, n = block.first + k * block.width, block.width * self.taps
                some = taps[first : first + block.width]
                some[:] = buffer[at : at + n].reshape(self.taps, block.width).T[: len(some)]
                at += n
        return np.ascontiguousarray(taps.reshape(O, R, S, C).transpose(0, 3, 1, 2))


@dataclass(frozen=True)
class Matrix(Layout):
    """Weights of FC: [o][i], where i runs over the input as it lies in memory: H, W, C behind Flat."""

    outputs: int
    image: tuple[int, int, int]
    """(C, H, W) of what Flat saw, or (I, 1, 1)."""
    padded: int

    @property
    def size(self) -> int:
        """Return the buffer's elements."""
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
        return np.ascontiguousarray(rows.reshape(self.outputs, H, W, C).transpose(0, 3, 1, 2).reshape(self.outputs, -1))
