"""The tensors of another library's state dict as the weights of a backbone, by our names.

Where the file's names are known, each tensor is found by its name. Otherwise its modules have to follow each other as
the layers of the network do, which only a file of PyTorch keeps: safetensors files are sorted by name. Either way every
tensor needs the shape of its weight, the statistics of BatchNorm included, and nothing but the classifier may be left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from layerline.errors import UserError
from layerline.layers.grammar import times
from layerline.network.pretrained.foreign_names import NAMINGS
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from layerline.files.state_dict import StateDict
    from layerline.layers import Weight
    from layerline.network.graph import Node
    from layerline.network.pretrained.backbones import Backbone
    from layerline.network.pretrained.foreign_names import Naming

_COUNT: Final = "num_batches_tracked"
"""A tensor that files written before PyTorch 0.4.1 do not have; it is not used."""


@final
@dataclass(frozen=True, eq=False)
class Match:
    """Weights by our names, and how they were found."""

    weights: dict[str, NDArray[Any]]
    """With the names, layouts and order of `to_torch().state_dict()`."""
    naming: Naming | None
    """Whose names the file has; None if its layers were matched by their order."""


class MatchError(UserError):
    """A state dict that is not a backbone's; `agreed` tensors matched before the first that does not."""

    def __init__(self, message: str, help: str | None = None, agreed: int = 0) -> None:  # noqa: A002 - as in UserError
        """Store the message, what to do, and the number of tensors that matched."""
        super().__init__(message, help)
        self.agreed = agreed


def match(backbone: Backbone, state: StateDict, place: str) -> Match:
    """Return the weights of a backbone from a file's tensors. Raises MatchError with the first that does not match.

    place: the file in messages.
    """
    nodes = [node for node in backbone.network().nodes if node.weights]
    for naming in NAMINGS[backbone.name]:
        prefix = _prefix(naming, state.arrays)
        if prefix is not None:
            modules = [prefix + module for module in naming.modules]
            weights, rest = _matched(backbone, nodes, modules, state.arrays, place)
            theirs = [name for name in rest if name.startswith(prefix)]  # others are of other networks in the file
            classifier = prefix + naming.classifier
            _check_rest(backbone, [name for name in theirs if not name.startswith(classifier)], len(weights), place)
            return Match(weights, naming)
    if not state.ordered:
        known = " or ".join(f"{naming.modules[0]}.weight, …" for naming in NAMINGS[backbone.name])
        raise MatchError(
            f"{place} is not {backbone.title}, or not under its usual names: found {_some(state.arrays)}; "
            f"expected {known}",
            "a safetensors file does not keep the order of the layers; instead, pass a file written with "
            'torch.save(model.state_dict(), "weights.pth")',
        )
    modules = list(dict.fromkeys(name.rpartition(".")[0] for name in state.arrays))
    weights, rest = _matched(backbone, nodes, modules, state.arrays, place)
    last = set(modules[len(nodes) :])
    _check_rest(backbone, [name for name in rest if not _classifies(name, state.arrays, last)], len(weights), place)
    return Match(weights, None)


def _prefix(naming: Naming, arrays: Mapping[str, Any]) -> str | None:
    """Return what precedes the names in a file (`module.` of DataParallel); None if it has other names."""
    first, last = naming.modules[0] + ".weight", naming.modules[-1] + ".weight"
    starts = [name.removesuffix(first) for name in arrays if name == first or name.endswith("." + first)]
    found = [start for start in starts if start + last in arrays and start + naming.modules[1] + ".weight" in arrays]
    return min(found, key=len, default=None)


def _matched(
    backbone: Backbone, nodes: list[Node], modules: list[str], arrays: Mapping[str, NDArray[Any]], place: str
) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Return the weights of all nodes, each from the module at its position; and the names of the file's rest."""
    found: dict[str, NDArray[Any]] = {}
    used: set[str] = set()
    for node, module in zip(nodes, modules, strict=False):
        for name, weight in node.weights.items():
            key = f"{module}.{weight.name}" if module else weight.name
            array = arrays.get(key)
            if array is None and weight.name == _COUNT:
                array = np.zeros((), np.int64)
            reason = _reason(weight, array)
            if array is None or reason is not None:
                raise _mismatch(backbone, place, f"{display.name(key, 80)} {reason}", len(found))
            found[name] = array
            used.add(key)
    if len(modules) < len(nodes):
        reason = f"it has {display.counted(len(modules), 'layer')} with weights, expected at least {len(nodes)}"
        raise _mismatch(backbone, place, reason, len(found))
    return found, [name for name in arrays if name not in used]


def _reason(weight: Weight, array: NDArray[Any] | None) -> str | None:
    """Return what is wrong with the tensor for a weight; None if nothing is."""
    if array is None:
        return f"is missing, expected {_shape(weight.shape)}"
    if array.shape != tuple(weight.shape):
        return f"is {_shape(array.shape)}, expected {_shape(weight.shape)}"
    if array.dtype != np.dtype(weight.dtype):
        return f"is {array.dtype}, expected {weight.dtype}"
    if not np.isfinite(array).all():
        return f"has {display.count(int((~np.isfinite(array)).sum()))} NaN or infinite values"
    return None


def _classifies(name: str, arrays: Mapping[str, NDArray[Any]], last: set[str]) -> bool:
    """Whether a tensor is a matrix or a bias of one of the last modules, which follow the backbone's layers."""
    module, _, kind = name.rpartition(".")
    return module in last and kind in ("weight", "bias") and arrays[name].ndim <= 2


def _check_rest(backbone: Backbone, rest: list[str], agreed: int, place: str) -> None:
    """Raise MatchError if the file has tensors besides the backbone's and its classifier's."""
    if rest:
        raise _mismatch(backbone, place, f"{display.name(rest[0], 80)} is not a part of it", agreed)


def _mismatch(backbone: Backbone, place: str, reason: str, agreed: int) -> MatchError:
    return MatchError(f"{place} is not {backbone.title}: {reason}", backbone.expected, agreed)


def _shape(shape: tuple[int, ...]) -> str:
    return times(shape) if shape else "a single number"


def _some(arrays: Mapping[str, Any]) -> str:
    names = [display.name(name, 40) for name in arrays]
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
