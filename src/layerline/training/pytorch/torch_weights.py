"""The weights of a PyTorch module that is trained in place, under the names of its network; both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn, final

import numpy as np
import torch
from torch import nn

from layerline.errors import CallError, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from layerline.network import Network

_COUNTER: Final = "int64"
_LISTED: Final = 3


@final
class TorchWeights:
    """The tensors of a module by our names. Writing changes them in place, so whatever refers to them stays valid."""

    def __init__(self, module: nn.Module, network: Network, names: Mapping[str, str]) -> None:
        """Find the tensors. names: our name of a weight → the module's; only counters may be without one."""
        held = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        self._held = {
            ours: held[names[ours]]
            for ours, weight in network.weights.items()
            if ours in names or weight.dtype != _COUNTER
        }
        self._weights = network.weights

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """Return the trained tensors."""
        return {
            name: tensor
            for name, tensor in self._held.items()
            if isinstance(tensor, nn.Parameter) and tensor.requires_grad
        }

    def read(self) -> dict[str, NDArray[Any]]:
        """Return copies; a counter that the module does not have is 0."""
        found = {}
        for name, weight in self._weights.items():
            tensor = self._held.get(name)
            value = np.zeros(weight.shape, weight.dtype) if tensor is None else tensor.detach().numpy()
            found[name] = np.array(value, order="C").reshape(weight.shape)
        return found

    @torch.no_grad()
    def write(self, weights: Mapping[str, NDArray[Any]]) -> None:
        """Set the tensors."""
        for name, tensor in self._held.items():
            tensor.copy_(torch.from_numpy(weights[name]).reshape(tensor.shape))


def check_module(module: Any) -> None:
    """Raise UserError for a module that can be carried over but not trained in place; CallError for what is none."""
    if not isinstance(module, nn.Module):
        found = f"the class {module.__name__}" if isinstance(module, type) else type(module).__name__
        raise CallError(
            f"fit_torch(): found {found}, expected a torch.nn.Module",
            "for example fit_torch(model, (x, y), epochs=3); layerline.train trains a network file",
        )
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    for name, tensor in tensors.items():
        if tensor.device.type != "cpu":
            _refuse(
                f"{name} is on {tensor.device}, expected the CPU", "move it: module.cpu(); fit_torch trains on the CPU"
            )
    if not any(True for _ in module.parameters()):
        _refuse("found no parameters, so there is nothing to train", "pass the module that has the layers")
    if not any(parameter.requires_grad for parameter in module.parameters()):
        _refuse(
            "all parameters have requires_grad=False, so there is nothing to train",
            "module.requires_grad_(True), or only its last layer's",
        )


def check_frozen(frozen: Sequence[str]) -> None:
    """Raise UserError if parameters with requires_grad=False are not in the part from the input on that is frozen."""
    if not frozen:
        return
    more = f" and {len(frozen) - _LISTED} more" if len(frozen) > _LISTED else ""
    _refuse(
        f"{', '.join(frozen[:_LISTED])}{more} {'have' if len(frozen) > 1 else 'has'} requires_grad=False, but other "
        "parameters of the same layer or block, or of a layer before it, are trained",
        "freeze whole layers from the input on, or use module.requires_grad_(True), or train it with PyTorch",
    )


def check_outputs(module: nn.Module) -> None:
    """Raise UserError if the module's last matrix has a single output, as for BCELoss or a regression."""
    layers = [(name, part) for name, part in module.named_modules() if isinstance(part, nn.Linear)]
    if layers and layers[-1][1].out_features == 1:
        _refuse(
            f"{layers[-1][0] or 'it'} has one output; the cross-entropy needs one per class",
            "for two classes, use two outputs without a sigmoid, as with CrossEntropyLoss, and class numbers 0 and 1; "
            "regression is not supported",
        )


def _refuse(found: str, fix: str) -> NoReturn:
    raise UserError(f"module: {found}", fix)
