"""Conversion of a network to a PyTorch nn.Sequential."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from layerline.network.pytorch import check_installed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import nn

    from layerline.network.graph import Network

_JOIN: Final = "add"
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

    Each module except a sum has its line as `module.line`, by which `from_torch` finds it again. Frozen layers require
    no gradient, and stay in evaluation mode.
    Raises UserError if PyTorch is not installed.
    """
    check_installed("to_torch()")
    from torch import nn

    from layerline.network.pytorch.torch_layers import FROZEN, MODULES, Residual

    blocks: dict[str, list[nn.Module]] = {"": []}  # the path of an nn.Sequential → its modules so far
    for node in network.nodes:
        if node.layer.kind == _SOFTMAX:
            continue
        if node.layer.kind == _JOIN:
            branches = (blocks.pop(f"{node.path}.{branch}", []) for branch in ("body", "shortcut"))
            module: nn.Module = Residual(*(nn.Sequential(*branch) for branch in branches))
        else:
            makers = FROZEN if node.frozen else MODULES
            module = makers[node.layer.kind](node.layer, *node.input_shapes).requires_grad_(not node.frozen)
            module.line = str(node.layer)  # type: ignore[assignment]  # a plain attribute, which nn.Module allows
        blocks.setdefault(node.path.rpartition(".")[0], []).append(module)
    if probabilities:
        blocks[""].append(nn.Softmax(dim=1))
    return nn.Sequential(*blocks[""])
