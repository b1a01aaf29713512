"""Conversion of a network to a PyTorch nn.Sequential."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from layerline.network.pytorch import check_installed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import nn

    from layerline.network.graph import Network

_SOFTMAX: Final = "softmax"


def with_weights(network: Network, weights: Mapping[str, NDArray[Any]]) -> nn.Sequential:
    """Return the modules of `to_torch` with copies of `weights`, in evaluation mode, without drawing random numbers.

    Raises UserError if PyTorch is not installed.
    """
    check_installed("to_torch()")
    import torch

    with torch.device("meta"):  # without memory, and so without initial weights
        module = to_torch(network)
    copies = {name: torch.from_numpy(array.copy()) for name, array in weights.items()}
    module.load_state_dict(copies, assign=True)
    return module.eval()


def to_torch(network: Network, probabilities: bool = False) -> nn.Sequential:
    """Return the modules, float32 (N, C, H, W) → logits (N, classes), or their softmax with `probabilities`.

    Each module except those of blocks has its line as `module.line`, by which `from_torch` finds it again. Frozen
    layers require no gradient, and stay in evaluation mode.
    Raises UserError if PyTorch is not installed.
    """
    check_installed("to_torch()")
    from torch import nn

    from layerline.network.pytorch.torch_layers import BLOCKS, FROZEN, MODULES

    blocks: dict[str, list[nn.Module]] = {"": []}  # the path of an nn.Sequential → its modules so far
    for node in network.nodes:
        if node.layer.kind == _SOFTMAX:
            continue
        if node.layer.branches:
            names = node.layer.branches.modules(len(node.inputs))
            branches = (blocks.pop(f"{node.path}.{name}", []) for name in names)
            module: nn.Module = BLOCKS[node.layer.kind](*(nn.Sequential(*branch) for branch in branches))
        else:
            makers = FROZEN if node.frozen else MODULES
            module = makers[node.layer.kind](node.layer, *node.input_shapes).requires_grad_(not node.frozen)
            module.line = str(node.layer)  # type: ignore[assignment]  # a plain attribute, which nn.Module allows
        blocks.setdefault(node.path.rpartition(".")[0], []).append(module)
    if probabilities:
        blocks[""].append(nn.Softmax(dim=1))
    return nn.Sequential(*blocks[""])
