"""Operations in place that change a value which is used again: the text of a network file cannot express that."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Final

from torch import nn

from layerline.network.pytorch.places import key_of, place_of
from layerline.network.pytorch.torch_operations import DROPOUTS

if TYPE_CHECKING:
    from torch import fx

    from layerline.network.pytorch.tracing import Trace
    from layerline.network.pytorch.unsupported import Findings

_IN_PLACE: Final = frozenset({operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.setitem})
_SHARING: Final = frozenset(
    {nn.Flatten, nn.Unflatten, nn.Identity, "view", "reshape", "flatten", "squeeze", "unsqueeze", "contiguous", "float"}
    | {"permute", "transpose", "detach", "expand"}
)
"""Modules and methods whose output is, or may be, the memory of their input."""


def check_overwriting(trace: Trace, findings: Findings) -> None:
    """Add each operation that changes a value which a later operation reads."""
    nodes = list(trace.graph.nodes)
    position = {node: number for number, node in enumerate(nodes)}
    memory: dict[fx.Node, fx.Node] = {}  # a value → the one whose memory it may share
    for node in nodes:
        inputs = node.all_input_nodes
        in_place = _in_place(trace, node)
        shares = bool(inputs) and (in_place or _shares(trace, node))
        memory[node] = memory[inputs[0]] if shares else node
        if not in_place or not inputs:
            continue
        later = (reader for reader in nodes[position[node] + 1 :] if _reads(reader, node, memory, position))
        reader = next(later, None)
        if reader is not None:
            where, what = place_of(trace, reader)
            reason = (
                f"it changes its input in place, which {what} in {where or 'forward'} uses afterwards; not in place, "
                "that would get the unchanged input"
            )
            findings.add(*place_of(trace, node), reason)


def _reads(reader: fx.Node, changed: fx.Node, memory: dict[fx.Node, fx.Node], position: dict[fx.Node, int]) -> bool:
    """Whether an operation reads what `changed` changed, by a value that was computed before."""
    return any(
        position[value] < position[changed] and memory[value] is memory[changed] for value in reader.all_input_nodes
    )


def _in_place(trace: Trace, node: fx.Node) -> bool:
    if node.op == "call_module":
        return bool(getattr(trace.module.get_submodule(str(node.target)), "inplace", False))
    name: Any = node.target if node.op == "call_method" else getattr(node.target, "__name__", "")
    marked = name.endswith("_") and not name.endswith("__")
    return node.op.startswith("call") and bool(marked or node.target in _IN_PLACE or node.kwargs.get("inplace"))


def _shares(trace: Trace, node: fx.Node) -> bool:
    key = key_of(trace, node)
    return key in _SHARING or key in DROPOUTS or getattr(key, "__name__", "") in _SHARING
