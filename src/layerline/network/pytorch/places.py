"""What an operation of a trace is, and where it is in the module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import fx

    from layerline.network.pytorch.tracing import Trace


def place_of(trace: Trace, node: fx.Node) -> tuple[str, str]:
    """Return the path of the module that an operation is in, and the operation's name: its class, or `relu`, `x.mean`.

    The path of a module's own operation is its own.
    """
    if node.op == "call_module":
        return str(node.target), type(trace.module.get_submodule(str(node.target))).__name__
    stack = list(node.meta.get("nn_module_stack", {}).values())
    path = stack[-1][0] if stack else ""
    if node.op == "call_method":
        return path, f"x.{node.target}"
    if node.op == "call_function":
        return path, getattr(node.target, "__name__", str(node.target)).removeprefix("boolean_dispatch.")
    return path, {"output": "its output", "placeholder": "its input"}.get(node.op, str(node.target))


def key_of(trace: Trace, node: fx.Node) -> Any:
    """Return what an operation is looked up by: the class of its module, its function, or the name of its method."""
    return type(trace.module.get_submodule(str(node.target))) if node.op == "call_module" else node.target
