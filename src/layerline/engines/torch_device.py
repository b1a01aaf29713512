"""What depends on the device in the torch engine. It has not been run on a GPU yet: see docs/engines.md."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, final

import numpy as np
import torch

from layerline.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from layerline.engines.placement import Placement

UNREAD: Final = 16
"""Steps that a GPU may be behind before its results are read: waiting for every step would leave it idle."""


@final
@dataclass(frozen=True)
class TorchDevice:
    """A device of PyTorch, and how to use it."""

    device: torch.device
    bf16: bool = False
    """Whether forward and backward passes run under autocast, in bfloat16 where PyTorch considers it safe."""
    channels_last: bool = False
    """Whether images are laid out as H, W, C between layers: the fast layout of convolutions on CUDA."""
    unread: int = 1
    """Steps between two readings of the loss: on the CPU every step is read, which costs nothing there."""

    @classmethod
    def of(cls, placement: Placement) -> Self:
        """Return the requested device. Raises UserError if it is not available, or does not support the precision."""
        device, bf16 = _found(placement.device), placement.precision == "bf16"
        cuda = device.type == "cuda"
        if cuda and bf16 and not torch.cuda.is_bf16_supported():
            raise UserError(f"--precision bf16: {_name(device)} does not support it", "omit it, to compute in float32")
        return cls(device, bf16, channels_last=cuda, unread=1 if device.type == "cpu" else UNREAD)

    @property
    def double(self) -> torch.dtype:
        """Return the type of sums and probabilities: float64; float32 on MPS, which has no float64."""
        return torch.float32 if self.device.type == "mps" else torch.float64

    @property
    def facts(self) -> dict[str, Any]:
        """Return what results depend on."""
        found: dict[str, Any] = {"device": str(self.device), "precision": "bf16" if self.bf16 else "float32"}
        if self.device.type == "cuda":
            return {**found, "gpu": _name(self.device), "cuda": torch.version.cuda}
        return {**found, "cpu": torch.backends.cpu.get_cpu_capability()}

    def put(self, array: NDArray[Any]) -> torch.Tensor:
        """Return an array on the device; on the CPU the tensor shares its memory, and must not be written to."""
        return torch.from_numpy(_writable(array)).to(self.device)

    def laid_out(self, x: torch.Tensor) -> torch.Tensor:
        """Return images (N, C, H, W) in the device's memory layout."""
        if self.channels_last:
            return x.contiguous(memory_format=torch.channels_last)
        # With one channel, images (N, H, W, C) are contiguous as they are, but their strides choose other kernels.
        return x.contiguous().view(-1).view(x.shape)

    def module(self, module: torch.nn.Module, dtype: torch.dtype) -> torch.nn.Module:
        """Move a module to the device, in its memory layout."""
        layout = torch.channels_last if self.channels_last else torch.preserve_format
        moved: torch.nn.Module = module.to(self.device, dtype).to(memory_format=layout)  # type: ignore[call-overload]  # not in its types
        return moved

    def autocast(self) -> torch.autocast:
        """Return the context of a forward pass."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    @contextlib.contextmanager
    def computing(self) -> Iterator[None]:
        """Compute in true float32: on CUDA without TF32, by deterministic convolutions, with all settings restored.

        Raises UserError if the device runs out of memory.
        """
        try:
            with contextlib.ExitStack() as stack:
                if self.device.type == "cuda":
                    stack.enter_context(_true_float32())
                yield
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"--device {self.device}: out of memory: {str(error).splitlines()[0][:200]}",
                "use a smaller --batch-size, fewer images (--limit), or --device cpu",
            ) from error


@contextlib.contextmanager
def _true_float32() -> Iterator[None]:
    matmul = torch.backends.cuda.matmul
    before = matmul.allow_tf32
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        matmul.allow_tf32 = False
        try:
            yield
        finally:
            matmul.allow_tf32 = before


def _found(word: str) -> torch.device:
    """Return the device that a checked word names. Raises UserError if this machine does not have it."""
    if word == "auto":
        word = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    device = torch.device(word)
    if device.type == "cuda":
        _check_cuda(word, device)
        if device.index is None and "LOCAL_RANK" in os.environ:  # torchrun: one GPU for each process of a machine
            device = torch.device("cuda", int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError("--device mps: PyTorch finds no Apple GPU here", "use --device cpu, or --device auto")
    return device


def _check_cuda(word: str, device: torch.device) -> None:
    if torch.version.cuda is None and not torch.cuda.is_available():
        raise UserError(
            f"--device {word}: this PyTorch ({torch.__version__}) was built without CUDA",
            "install PyTorch for CUDA (pytorch.org), or use --device cpu",
        )
    if not torch.cuda.is_available():
        raise UserError(
            f"--device {word}: PyTorch finds no CUDA device here",
            "check the driver with nvidia-smi, or use --device cpu",
        )
    count = torch.cuda.device_count()
    if device.index is not None and device.index >= count:
        raise UserError(f"--device {word}: this machine has {count}, the first is cuda:0", f"use cuda:{count - 1}")


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device)


@final
class _Described:
    """The memory of an array, described as writable."""

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array  # kept alive
        interface = array.__array_interface__
        self.__array_interface__ = {**interface, "data": (interface["data"][0], False)}


def _writable(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view described as writable: PyTorch warns about read-only arrays, such as memory-mapped images."""
    return array if array.flags.writeable else np.asarray(_Described(array))
