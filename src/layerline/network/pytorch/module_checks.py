"""What rules out carrying a PyTorch module over before it is traced: hooks, parametrizations, types, mixed modes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from layerline.network.pytorch.torch_layers import Frozen

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from layerline.network.pytorch.unsupported import Findings

_WRAPPERS: Final = {"DataParallel": "module", "DistributedDataParallel": "module", "OptimizedModule": "_orig_mod"}
"""Classes that only run another module → the attribute that is it."""
_HOOKS: Final = {
    "_forward_hooks": "a forward hook",
    "_forward_pre_hooks": "a forward pre-hook",
    "_backward_hooks": "a backward hook",
    "_backward_pre_hooks": "a backward pre-hook",
}
_TENSOR_HOOKS: Final = {
    "_backward_hooks": "a tensor hook",
    "_post_accumulate_grad_hooks": "a hook after gradient accumulation",
}
_NORMS: Final = {"WeightNorm": "weight_norm", "SpectralNorm": "spectral_norm"}
MODAL: Final = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
"""Modules that do something else in training."""
_SAME: Final = "in a network file all layers are in the same mode"
_FROZEN: Final = "only frozen layers, with all layers before them, may be (requires_grad=False)"
_FINITE: Final = "initialize the module again, or load other weights: a training with them diverges"


def unwrapped(module: nn.Module) -> tuple[nn.Module, str]:
    """Return the module inside of DataParallel, DistributedDataParallel and torch.compile, and its path in there."""
    path = ""
    while type(module).__name__ in _WRAPPERS:
        attribute = _WRAPPERS[type(module).__name__]
        module, path = getattr(module, attribute), f"{path}{attribute}."
    return module, path


def check_module(module: nn.Module, findings: Findings) -> bool:
    """Add what cannot be carried over whatever the module computes; return whether it can be traced."""
    before = len(findings.parts)
    if isinstance(module, torch.jit.ScriptModule):
        findings.add("", type(module).__name__, "it is compiled by TorchScript; pass the module that it was made from")
        return False
    if isinstance(module, torch.optim.swa_utils.AveragedModel):
        findings.add("", type(module).__name__, "it averages the weights of another module; pass that: averaged.module")
        return False
    for path, part in module.named_modules():
        for reason in _reasons(part, module):
            findings.add(path, type(part).__name__, reason)
        for reason in _not_finite(part):
            findings.add(path, type(part).__name__, reason, _FINITE)
    return len(findings.parts) == before


def check_modes(module: nn.Module, findings: Findings, *, training: bool, frozen: Collection[str] = ()) -> None:
    """Add layers that the module's own train() leaves in the other mode; it was called on this copy.

    frozen: paths of layers that stay in evaluation mode.
    """
    call, mode, rule = ("train()", "evaluation", _FROZEN) if training else ("eval()", "training", _SAME)
    for path, part in module.named_modules():
        if isinstance(part, MODAL) and part.training != training and path not in frozen:
            reason = f"the module's {call} leaves it in {mode} mode; {rule}"
            findings.add(path, type(part).__name__, reason)


def still(module: nn.Module, training: nn.Module) -> set[str]:
    """Return the paths of layers that stay in evaluation mode in a training, if they may be in a frozen part.

    training: a copy, after `train()`.
    """
    found = set()
    for (path, part), (_, trained) in zip(module.named_modules(), training.named_modules(), strict=True):
        if isinstance(part, MODAL) and _may_freeze(part, module):
            found |= {path} if _stands_still(part, module) or not trained.training else set()
    return found


def _stands_still(part: nn.Module, root: nn.Module) -> bool:
    """Whether a layer was left in evaluation mode alone, and may be in a frozen part."""
    return root.training and not part.training and _may_freeze(part, root)


def _may_freeze(part: nn.Module, root: nn.Module) -> bool:
    if isinstance(part, Frozen):
        return True
    return not all(each.requires_grad for each in root.parameters()) and not any(
        each.requires_grad for each in part.parameters()
    )


def _reasons(part: nn.Module, root: nn.Module) -> Iterator[str]:
    tensors = [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]
    lazy = [name for name, tensor in tensors if isinstance(tensor, UninitializedParameter | UninitializedBuffer)]
    if lazy:
        yield f"{lazy[0]} has no size yet; run the module once on a batch of images"
        return
    if isinstance(parametrized := getattr(part, "parametrizations", None), nn.ModuleDict):
        what = ", ".join(parametrized)
        yield f"parametrized: {what} is computed; torch.nn.utils.parametrize.remove_parametrizations makes it plain"
    for attribute, what in _HOOKS.items():
        for hook in getattr(part, attribute).values():
            norm = _NORMS.get(type(hook).__name__)
            remove = f"{norm} computes its weight; torch.nn.utils.remove_{norm} makes it plain"
            yield remove if norm else f"{what} is registered, which cannot be carried over; remove it"
    for name, tensor in tensors:
        for attribute, what in _TENSOR_HOOKS.items():
            if getattr(tensor, attribute, None):
                yield f"{what} is registered on {name}, which cannot be carried over; remove it"
    others = {name: tensor.dtype for name, tensor in tensors if tensor.is_floating_point() or tensor.is_complex()}
    others = {name: dtype for name, dtype in others.items() if dtype != torch.float32}
    if others:
        names, types = ", ".join(others), ", ".join({str(dtype).removeprefix("torch.") for dtype in others.values()})
        yield f"{types} ({names}); only float32 is available: module.float()"
    if isinstance(part, MODAL) and part.training != root.training and not _stands_still(part, root):
        mode, rule = ("training", _SAME) if part.training else ("evaluation", _FROZEN)
        reason = f"it is in {mode} mode, the module around it is not; {rule}"
        own = any(type(each).train is not nn.Module.train for each in root.modules())
        yield reason if own else f"{reason}: module.train()"


def _not_finite(part: nn.Module) -> Iterator[str]:
    """Yield each weight with values that are no numbers."""
    for name, tensor in (*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)):
        known = not isinstance(tensor, UninitializedParameter | UninitializedBuffer) and tensor.device.type != "meta"
        if known and tensor.is_floating_point() and not tensor.isfinite().all():
            yield f"{name} has {'NaN' if tensor.isnan().any() else 'infinite values'}"
