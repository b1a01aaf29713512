"""Fuses what follows a BatchNorm into its kernels, which are bound by memory.

fuse_norm_gradient  relu_bwd(dy, y → g); norm_gradient_sums(x, g); norm_bwd(x, g → dx)
                    →  norm_relu_gradient_sums(x, dy); norm_relu_bwd(x, dy → dx), which compute y from x again
fuse_norm           norm(x → y); sum(y, z → u)  →  norm_sum(x, z → u);  norm(x → y); relu(y → u)  →  norm_relu(x → u)

The same for every activation that a convolution can apply. Results are bit-identical.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from layerline.compiler.def_use import DefUse, replace_ops
from layerline.compiler.kernels.activations import ActivationBackward, ActivationForward
from layerline.compiler.kernels.batch_norm import (
    LINEAR,
    BatchNormBackward,
    BatchNormForward,
    BatchNormGradientSums,
)
from layerline.compiler.kernels.piecewise_activations import ReLUFunction
from layerline.compiler.kernels.relu import ReLUBackward, ReLUForward
from layerline.compiler.kernels.sum import Sum
from layerline.compiler.program import Op

if TYPE_CHECKING:
    from layerline.compiler.kernels.activations import Activation
    from layerline.compiler.machine import Machine
    from layerline.compiler.plane import Plane
    from layerline.compiler.program import Buffer, Program


def fusable(op: Op) -> Activation | None:
    """Return the activation that an op applies, if it takes only a few instructions."""
    if isinstance(op.kernel, ReLUForward):
        return ReLUFunction()
    return op.kernel.function if isinstance(op.kernel, ActivationForward) and op.kernel.function.fuses else None


def fuse_norm_gradient(program: Program, _: Machine) -> Program:
    """Fuse the backward pass of an activation into that of the normalization before it."""
    uses, changes = DefUse(program), dict[Op, tuple[Op, ...]]()
    norms = {op["x"]: op for op in program.ops if isinstance(op.kernel, BatchNormForward)}
    for op in program.ops:
        activation, plane = _passing(op)
        readers = uses.readers(op["dx"]) if activation else []
        norm = norms.get(readers[0]["x"]) if readers and _is_norm(readers[0]) else None
        if activation is None or norm is None or not all(_is_norm(r) and r["x"] == norm["x"] for r in readers):
            continue
        if not _alike(plane, norm.kernel.y) or not _follows(uses, op, activation, norm):  # type: ignore[attr-defined]  # a BatchNormForward
            continue
        changes[op] = ()
        changes |= {reader: (_through(reader, activation, op, plane, norm),) for reader in readers}
    return replace_ops(program, changes)


def _passing(op: Op) -> tuple[Activation | None, Plane | None]:
    """Return the activation whose backward pass an op is, and the plane of its dy; None for other ops."""
    kernel = op.kernel
    if isinstance(kernel, ReLUBackward) and not kernel.add:
        return ReLUFunction(), kernel.y
    if isinstance(kernel, ActivationBackward) and not kernel.add and kernel.function.fuses:
        return kernel.function, kernel.dy
    return None, None


def _is_norm(op: Op) -> bool:
    return isinstance(op.kernel, BatchNormGradientSums | BatchNormBackward) and op.kernel.activation is None


def _alike(one: Plane | None, other: Plane) -> bool:
    """Whether two planes differ at most in their borders."""
    return one is not None and (one.channels, one.height, one.width) == (other.channels, other.height, other.width)


def _follows(uses: DefUse, back: Op, activation: Activation, norm: Op) -> bool:
    """Whether an activation's backward pass is that of the activation of a normalization's result."""
    known = back["y"] if isinstance(back.kernel, ReLUBackward) else back["known"]
    if not activation.from_result:
        return known == norm["y"]
    forward = uses.writer(known)
    return forward is not None and fusable(forward) == activation and forward["x"] == norm["y"]


def _through(reader: Op, activation: Activation, back: Op, plane: Plane | None, norm: Op) -> Op:
    """Return a normalization's backward op that also passes dy back through the activation."""
    kernel = replace(reader.kernel, dy=plane, activation=activation)  # type: ignore[type-var]  # a dataclass, see _is_norm
    new: dict[str, Buffer] = {name: norm[name] for name in (*LINEAR, "b")} | {"dy": back["dy"]}
    known = {name: reader[name] for name in reader.kernel.arguments} | new
    return Op(kernel, tuple(known[name] for name in kernel.arguments))


def fuse_norm(program: Program, _: Machine) -> Program:
    """Fuse a sum, and then an activation, into the normalization whose result nothing else reads."""
    return _with_activations(_with_sums(program))


def _with_sums(program: Program) -> Program:
    uses, changes = DefUse(program), dict[Op, tuple[Op, ...]]()
    for op in program.ops:
        if not isinstance(op.kernel, Sum):
            continue
        for y, other in (("a", "b"), ("b", "a")):
            norm = uses.writer(op[y])
            if norm is None or not isinstance(norm.kernel, BatchNormForward) or uses.readers(op[y]) != [op]:
                continue
            planes = {"a": op.kernel.a, "b": op.kernel.b}
            if not _alike(norm.kernel.y, planes[other]) or op["a"] == op["b"]:
                continue
            kernel = replace(norm.kernel, y=op.kernel.y, other=planes[other])
            changes |= {norm: (), op: (Op(kernel, (*norm.buffers[:-1], op[other], op["y"])),)}
            break
    return replace_ops(program, changes)


def _with_activations(program: Program) -> Program:
    uses, changes = DefUse(program), dict[Op, tuple[Op, ...]]()
    for op in program.ops:
        activation = fusable(op)
        norm = uses.writer(op["x"]) if activation else None
        if norm is None or not isinstance(norm.kernel, BatchNormForward) or uses.readers(op["x"]) != [op]:
            continue
        plane = op["y"].plane
        if _alike(plane, norm.kernel.y):
            kernel = replace(norm.kernel, y=plane, activation=activation)  # type: ignore[arg-type]  # alike, so not None
            changes |= {norm: (Op(kernel, (*norm.buffers[:-1], op["y"])),), op: ()}
    return replace_ops(program, changes)
