"""Conversion of a PyTorch module to a network with its weights. PyTorch is imported when it is called."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from layerline.errors import CallError, UnsupportedError
from layerline.errors.wrong_calls import answered
from layerline.network.pytorch import check_installed

if TYPE_CHECKING:
    from torch import nn

    from layerline.network.graph import Network
    from layerline.network.pytorch.carried import Carried
    from layerline.network.pytorch.unsupported import Unsupported

_USAGE = "(module, (1, 28, 28))"


@answered(f"from_torch{_USAGE}")
def from_torch(module: nn.Module, input_shape: tuple[int, int, int]) -> Network:
    """Return a PyTorch module as a network, with its weights as the start of a training: `network.start`.

    module: an nn.Module, which is not changed. Everything that it computes must be a layer of a network file, a sum of
        two values, or a reshape that flattens an image; a softmax at the end is added or taken over.
    input_shape: channels, height and width of the images that it gets.
    `layerline.train(network, data)` trains it from its weights; to start from random ones, train `network.text`.
    Raises UnsupportedError with everything that cannot be carried over, each with its path in the module; also if the
    outputs of both differ. torch.fx traces the module: no other thread may call a module meanwhile.
    """
    from layerline.network.start import Start, digest

    found = _carried(module, input_shape, "from_torch()")
    start = Start(digest(found.weights), found.weights, module=type(module).__name__)
    return dataclasses.replace(found.network, start=start)


@answered(f"torch_support{_USAGE}")
def torch_support(module: nn.Module, input_shape: tuple[int, int, int]) -> tuple[Unsupported, ...]:
    """Return everything that keeps `from_torch` from carrying a module over: path, class and reason; often ()."""
    try:
        _carried(module, input_shape, "torch_support()")
    except UnsupportedError as error:
        return error.parts
    return ()


def _carried(module: object, input_shape: tuple[int, int, int], function: str) -> Carried:
    check_installed(function)
    from torch import nn

    from layerline.network.pytorch.carried import carried

    if isinstance(module, type) and issubclass(module, nn.Module):
        raise CallError(f"{function}: found the class {module.__name__}, expected a module", "call it: Net()")
    if not isinstance(module, nn.Module):
        raise CallError(
            f"{function}: found {type(module).__name__}, expected a torch.nn.Module",
            "for a state_dict or a file, make the module first and load the weights into it",
        )
    return carried(module, input_shape)
