"""Sums over the ranks in the torch engine: of gradients and losses, and within BatchNorm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast, final

import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerline.engines.ranks import Ranks
    from layerline.engines.torch_device import TorchDevice


def add_up(ranks: Ranks, tensor: torch.Tensor) -> None:
    """Replace a contiguous tensor by its sum over the ranks."""
    ranks.add_up([tensor.numpy() if tensor.device.type == "cpu" else tensor])


def add_up_gradients(ranks: Ranks, parameters: Iterable[nn.Parameter]) -> None:
    """Replace the gradient of every trained parameter by its sum over the ranks, in one exchange."""
    gradients = [cast("torch.Tensor", parameter.grad) for parameter in parameters if parameter.requires_grad]
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    add_up(ranks, flat)
    at = 0
    for gradient in gradients:
        gradient.copy_(flat[at : at + gradient.numel()].view_as(gradient))
        at += gradient.numel()


class _Summed(torch.autograd.Function):
    """The sum over the ranks; its gradient is the sum over the ranks of the gradients of each rank's loss."""

    @staticmethod
    def forward(ctx: Any, part: torch.Tensor, ranks: Ranks) -> torch.Tensor:
        ctx.ranks = ranks
        total = part.clone()
        add_up(ranks, total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        total = gradients[0].contiguous().clone()
        add_up(ctx.ranks, total)
        return total, None


@final
class RanksBatchNorm(_BatchNorm):
    """BatchNorm1d and BatchNorm2d over the images of all ranks: mean and variance from sums of x and x²."""

    def __init__(self, like: _BatchNorm, ranks: Ranks, double: torch.dtype) -> None:
        """Take the place of `like`. double: the type of the sums."""
        super().__init__(like.num_features, like.eps, like.momentum)
        self._ranks, self._double = ranks, double

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the normalized batch; in training, also move the running statistics."""
        if not self.training:
            return functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        C, along, exact = self.num_features, [0, *range(2, x.ndim)], x.to(self._double)
        count = exact.new_tensor([x.numel() // C])
        sums = cast(
            "torch.Tensor",
            _Summed.apply(torch.cat([exact.sum(along), exact.square().sum(along), count]), self._ranks),  # type: ignore[no-untyped-call]  # PyTorch leaves it untyped
        )
        M = sums[-1].detach()
        mean = sums[:C] / M
        variance = (sums[C : 2 * C] / M - mean.square()).clamp(min=0)
        with torch.no_grad():
            self._move(mean, variance * M / (M - 1))
        shape = (1, C, *[1] * (x.ndim - 2))
        a = (self.weight.to(self._double) / torch.sqrt(variance + self.eps)).view(shape)
        y = (exact - mean.view(shape)) * a + self.bias.to(self._double).view(shape)
        return y.to(x.dtype)

    def _move(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        momentum = cast("float", self.momentum)
        for buffer, new in ((self.running_mean, mean), (self.running_var, variance)):
            running = cast("torch.Tensor", buffer)
            running.lerp_(new.to(running.dtype), momentum)
        cast("torch.Tensor", self.num_batches_tracked).add_(1)

    def _check_input_dim(self, input: torch.Tensor) -> None:  # noqa: A002 - PyTorch's name
        """Accept images and vectors."""


def put_ranks_batch_norm(module: nn.Module, ranks: Ranks, place: TorchDevice) -> None:
    """Replace every BatchNorm of a module that is not frozen by one over all ranks."""
    for path, part in list(module.named_modules()):
        if type(part) in (nn.BatchNorm1d, nn.BatchNorm2d):
            parent, _, name = path.rpartition(".")
            setattr(module.get_submodule(parent), name, RanksBatchNorm(part, ranks, place.double))
