"""The memory of a compiled Program: its arena and scratch memory; parameters are read and set in PyTorch's layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

import numpy as np

from layerline.compiler.folding import folded_weights
from layerline.engines.interface import State

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.compiler.compilation import Compiled
    from layerline.compiler.program import Buffer, Schedule, Tensor
    from layerline.network import Network

ALIGNED: Final = 64
"""Bytes of a cache line: no two threads write to the same line."""


def memory_of(schedule: Schedule, threads: int) -> int:
    """Return the bytes that a Program needs with this many threads: arena, scratch memory and alignment."""
    return schedule.arena_bytes + threads * schedule.scratch_bytes + (threads + 1) * ALIGNED


def aligned(size: int) -> NDArray[np.uint8]:
    """Return `size` zeroed bytes, aligned to a cache line."""
    held = np.zeros(size + ALIGNED, np.uint8)
    start = -held.ctypes.data % ALIGNED
    return held[start : start + size]


@final
class Memory:
    """The arena of a Program; parameters are read and set in PyTorch's layout."""

    def __init__(self, code: Compiled) -> None:
        """Allocate zeroed memory."""
        self.code = code
        self.arena = aligned(code.schedule.arena_bytes)

    def floats(self, buffer: Buffer) -> NDArray[np.float32]:
        """Return a view of a buffer in the arena."""
        at = self.code.schedule.in_arena[buffer]
        return self.arena[at : at + 4 * buffer.size].view(np.float32)

    def put(self, weights: dict[str, NDArray[np.float32]]) -> None:
        """Write parameters."""
        for tensor in self.tensors:
            for buffer, layout in tensor.homes:
                if buffer in self.code.schedule.in_arena:
                    self.floats(buffer)[: layout.size] = layout.pack(weights[tensor.name])

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Return the Program's parameters."""
        return self.code.schedule.program.tensors

    def put_state(self, network: Network, state: State) -> None:
        """Write the state of a training: frozen weights as the forward-only Program has them."""
        self.put(folded_weights(network, state.weights, training=True))
        for tensor in self.tensors:
            layout = tensor.homes[0][1]
            for slot, buffer in tensor.slots:
                self.floats(buffer)[: layout.size] = layout.pack(state.optimizer[f"{slot}.{tensor.name}"])

    def state(self) -> State:
        """Return a copy of everything that training changes."""
        weights, optimizer = {}, {}
        written = {buffer for op in self.code.schedule.program.ops for buffer in op.written}
        for tensor in self.tensors:
            if tensor.homes[0][0] not in written:
                continue
            buffer, layout = tensor.homes[0]
            weights[tensor.name] = layout.unpack(self.floats(buffer))
            for slot, of_slot in tensor.slots:
                optimizer[f"{slot}.{tensor.name}"] = layout.unpack(self.floats(of_slot))
        return State(weights, optimizer)

    def gradients(self) -> dict[str, NDArray[np.float32]]:
        """Return the whole gradients of the last step."""
        return {t.name: t.homes[0][1].unpack(self.floats(t.gradient)) for t in self.tensors if t.gradient is not None}
