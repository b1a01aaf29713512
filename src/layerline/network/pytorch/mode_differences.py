"""Comparison of a module's traces in training and in evaluation: only dropout, BatchNorm and a last softmax differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from torch import fx
from torch.nn import functional as F  # noqa: N812 - PyTorch's usual name

from layerline.network.pytorch.places import key_of, place_of
from layerline.network.pytorch.torch_operations import DROPOUTS, SOFTMAXES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from layerline.network.pytorch.tracing import Trace
    from layerline.network.pytorch.unsupported import Findings

_MODAL: Final = frozenset({F.batch_norm, *DROPOUTS})
"""Functions with an argument `training`, which may differ."""


def last_softmax(training: Trace, evaluation: Trace, findings: Findings) -> fx.Node | None:
    """Return the softmax at the end that the module only has in evaluation, or None.

    Any other difference is added to the findings.
    """
    others: list[fx.Node] = list(evaluation.graph.nodes)
    same: dict[fx.Node, fx.Node] = {}
    at = 0
    for node in training.graph.nodes:
        other = others[at]
        if _matches(node, other, same):
            _check_mode(evaluation, other, findings)
            same[node] = other
            at += 1
        elif key_of(training, node) in DROPOUTS and node.all_input_nodes[0] in same:
            same[node] = same[node.all_input_nodes[0]]
        elif node.op == "output" and _is_softmax_of(evaluation, other, node.args[0], same):
            return other
        else:
            place, difference = _difference((training, node), (evaluation, other))
            findings.add(*place, f"{difference}; only dropout, BatchNorm and a last softmax may depend on the mode")
            return None
    return None


def _difference(training: tuple[Trace, fx.Node], evaluation: tuple[Trace, fx.Node]) -> tuple[tuple[str, str], str]:
    """Return the place of the first operations that differ, and how they do."""
    here, there = place_of(*training), place_of(*evaluation)
    if here == there:
        return here, "its arguments differ between training mode and evaluation mode"
    more, fewer = _later(*training), _later(*evaluation)
    if there in more and here not in fewer:
        return here, "it is computed in training mode only"
    if here in fewer and there not in more:
        return there, "it is computed in evaluation mode only"
    return here, f"in training mode it is {here[1]}, in evaluation mode {there[1]}"


def _later(trace: Trace, node: fx.Node) -> list[tuple[str, str]]:
    """Return the places of an operation and of all after it."""
    nodes = list(trace.graph.nodes)
    return [place_of(trace, each) for each in nodes[nodes.index(node) :]]


def _matches(node: fx.Node, other: fx.Node, same: Mapping[fx.Node, fx.Node]) -> bool:
    """Whether two operations are the same, on the same values; an argument `training` may differ."""
    if node.op != other.op or node.target != other.target:
        return False
    mapped = fx.map_arg((node.args, dict(node.kwargs)), lambda value: same.get(value, value))
    (args, kwargs), (other_args, other_kwargs) = mapped, (other.args, dict(other.kwargs))
    if node.target in _MODAL:
        args, kwargs = _without_mode(node, args, kwargs)
        other_args, other_kwargs = _without_mode(other, other_args, other_kwargs)
    return bool(args == other_args and kwargs == other_kwargs)


def _without_mode(node: fx.Node, args: Any, kwargs: Any) -> tuple[Any, Any]:
    position = 5 if node.target is F.batch_norm else 2
    kept = {name: value for name, value in kwargs.items() if name not in ("training", "train")}
    return (*args[:position], *args[position + 1 :]), kept


def _check_mode(evaluation: Trace, node: fx.Node, findings: Findings) -> None:
    """Add a dropout or a batch norm that does in evaluation what it should only do in training."""
    if node.op != "call_function" or node.target not in _MODAL:
        return
    position = 5 if node.target is F.batch_norm else 2
    default = node.args[position] if len(node.args) > position else node.target is not F.batch_norm
    if node.kwargs.get("training", node.kwargs.get("train", default)):
        reason = "it uses the statistics of the batch in evaluation, too"
        if node.target is not F.batch_norm:
            reason = "it also drops values in evaluation; pass training=self.training"
        findings.add(*place_of(evaluation, node), reason)


def _is_softmax_of(evaluation: Trace, node: fx.Node, value: Any, same: Mapping[fx.Node, fx.Node]) -> bool:
    """Whether an operation is the softmax of a value, and the last one."""
    last = node.next.op == "output" and node.next.args == (node,)
    alone = isinstance(value, fx.Node) and node.all_input_nodes == [same.get(value)]
    return last and alone and key_of(evaluation, node) in SOFTMAXES
