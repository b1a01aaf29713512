"""A PyTorch optimizer as values of a recipe, and its state as that of an engine; both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

import torch
from torch import optim

from layerline.errors import CallError, RecipeError
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from layerline.layers import Shape

Tensors = dict[str, "NDArray[np.float32]"]

KNOWN: Final = "torch.optim.SGD, AdamW and Adam without weight decay"
_UNUSED: Final = {"maximize": False, "amsgrad": False, "differentiable": False, "capturable": False}
"""Settings of groups that are supported only with this value."""
_OWN: Final = {
    "Muon": 'use optimizer="muon" and omit scheduler=; it steps the filters of convolutions, PyTorch\'s only matrices'
}
_LISTED: Final = 3


def recipe_values(optimizer: optim.Optimizer, parameters: Mapping[str, nn.Parameter]) -> dict[str, Any]:
    """Return an optimizer as values of a recipe, without its learning rate. Raises RecipeError if it has no equivalent.

    parameters: those of the module, by name; the optimizer must have each that is trained, and may have frozen ones.
    """
    _check_kind(optimizer)
    _check_parameters(optimizer, parameters)
    first, *others = optimizer.param_groups
    for group in optimizer.param_groups:
        for name, value in _UNUSED.items():
            if group.get(name, value) != value:
                _refuse(optimizer, f"with {name}={group[name]}, which is not supported", f"create it without {name}")
    for group in others:
        different = [name for name in ("lr", *_names(optimizer)) if group[name] != first[name]]
        if different:
            name = different[0]
            _refuse(
                optimizer,
                f"whose groups differ in {name}: {_number(first[name])} and {_number(group[name])}",
                f"use the same {name} for all parameters; only weight_decay may be 0 for biases and norms",
            )
    return {**_hyperparameters(optimizer, first), **_decay(optimizer)}


def _names(optimizer: optim.Optimizer) -> tuple[str, ...]:
    return ("momentum", "dampening", "nesterov") if type(optimizer) is optim.SGD else ("betas", "eps")


def _hyperparameters(optimizer: optim.Optimizer, group: Mapping[str, Any]) -> dict[str, Any]:
    if type(optimizer) is not optim.SGD:
        beta1, beta2 = map(float, group["betas"])
        return {"optimizer": "adamw", "beta1": beta1, "beta2": beta2, "eps": float(group["eps"])}
    if group["dampening"]:
        _refuse(
            optimizer, f"with dampening={group['dampening']}, which is not supported", "create it without dampening"
        )
    return {"optimizer": "sgd", "momentum": float(group["momentum"]), "nesterov": bool(group["nesterov"])}


def _decay(optimizer: optim.Optimizer) -> dict[str, Any]:
    """Return the weight decay and which parameters it applies to: all, or those with more than one dimension."""
    trained = [(group, p) for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
    decays = {id(p): float(group["weight_decay"]) for group, p in trained}
    shapes = {id(p): p.ndim for _, p in trained}
    values = set(decays.values())
    if len(values) == 1:
        decay = values.pop()
        if decay and not _is_decoupled(optimizer):
            _refuse(
                optimizer,
                f"with weight_decay={decay}, which Adam adds to the gradients",
                f"use torch.optim.AdamW(…, weight_decay={decay}), which applies it to the weights",
            )
        return {"weight_decay": decay}
    decay = max(values)
    if values != {0.0, decay} or any((decays[key] > 0) != (ndim > 1) for key, ndim in shapes.items()):
        _refuse(
            optimizer,
            "whose groups differ in weight_decay",
            "use one weight_decay for all parameters, or 0 for all with one dimension (biases and norms) and one value "
            "for all others",
        )
    if not _is_decoupled(optimizer):
        _refuse(optimizer, "with a weight_decay, which Adam adds to the gradients", "use torch.optim.AdamW")
    return {"weight_decay": decay, "decay": "weights"}


def _is_decoupled(optimizer: optim.Optimizer) -> bool:
    """Return whether the weight decay is that of our optimizers: SGD's, or AdamW's."""
    if type(optimizer) is not optim.Adam:
        return True
    return all(group.get("decoupled_weight_decay", False) for group in optimizer.param_groups)


def _check_kind(optimizer: optim.Optimizer) -> None:
    kind = type(optimizer)
    if kind not in (optim.SGD, optim.Adam, optim.AdamW):
        advice = "torch.optim.AdamW(module.parameters(), lr=0.001) is the closest"
        raise RecipeError(
            f"optimizer: found {_name(optimizer)}, expected {KNOWN}",
            _OWN.get(kind.__name__, f'{advice}; or use optimizer="muon" and omit scheduler='),
        )
    if optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks:
        _refuse(optimizer, "with step hooks, which would not be called", "remove them; on_epoch= is called per epoch")


def _check_parameters(optimizer: optim.Optimizer, parameters: Mapping[str, nn.Parameter]) -> None:
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    known = {id(p): name for name, p in parameters.items()}
    more = len(held - known.keys())
    if more:
        _refuse(
            optimizer,
            f"with {display.counted(more, 'parameter')} of something else than the module",
            "create it with module.parameters(), after everything that replaces parameters",
        )
    missing = [name for name, p in parameters.items() if p.requires_grad and id(p) not in held]
    if missing:
        some = ", ".join(missing[:_LISTED]) + (f" and {len(missing) - _LISTED} more" if len(missing) > _LISTED else "")
        _refuse(
            optimizer,
            f"without {some}",
            "create it with all module.parameters(), or freeze the others: parameter.requires_grad_(False)",
        )


def _refuse(optimizer: optim.Optimizer, found: str, fix: str) -> NoReturn:
    raise RecipeError(f"optimizer: found {_name(optimizer)} {found}", fix)


def _name(optimizer: Any) -> str:
    return type(optimizer).__name__


def _number(value: Any) -> str:
    return f"{float(value):g}" if isinstance(value, int | float | torch.Tensor) else str(value)


def check_type(optimizer: Any) -> None:
    """Raise CallError for what is neither an optimizer nor a name, such as a class or a scheduler."""
    if optimizer is None or isinstance(optimizer, str | optim.Optimizer):
        return
    if isinstance(optimizer, type) and issubclass(optimizer, optim.Optimizer):
        found, fix = f"the class {optimizer.__name__}", f"create it: {optimizer.__name__}(module.parameters(), lr=…)"
    else:
        found, fix = type(optimizer).__name__, "for example torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9)"
    raise CallError(f'optimizer: found {found}, expected a PyTorch optimizer, "sgd", "adamw" or "muon"', fix)


def state_of(
    optimizer: optim.Optimizer, parameters: Mapping[str, nn.Parameter], shapes: Mapping[str, Shape]
) -> tuple[Tensors, int]:
    """Return the state of the optimizer as an engine's, and the number of steps that AdamW has taken.

    parameters, shapes: by our names; a shape may be another with the same values in the same order. Tensors that do not
    exist yet are zeros, from which the first step gives the same.
    Raises RecipeError if AdamW has taken different numbers of steps for two parameters.
    """
    found: Tensors = {}
    steps: set[int] = set()
    for name, parameter in parameters.items():
        state = optimizer.state.get(parameter, {})
        for ours, theirs in _slots(optimizer).items():
            held = state.get(theirs)
            tensor = torch.zeros_like(parameter) if held is None else held
            found[f"{ours}.{name}"] = tensor.detach().numpy().copy().reshape(shapes[name])
        steps.add(int(state.get("step", 0)))
    if len(steps) > 1:
        numbers = " and ".join(map(str, sorted(steps)[:2]))
        _refuse(optimizer, f"that has taken {numbers} steps for different parameters", "create a new one")
    return found, steps.pop() if steps else 0


def put_state(
    optimizer: optim.Optimizer, parameters: Mapping[str, nn.Parameter], state: Mapping[str, Any], steps: int
) -> None:
    """Fill the optimizer as if it had taken the steps itself. steps: those of AdamW from its start."""
    slots = _slots(optimizer)
    for name, parameter in parameters.items() if slots else ():
        held = optimizer.state[parameter]
        for ours, theirs in slots.items():
            tensor = torch.from_numpy(state[f"{ours}.{name}"]).reshape(parameter.shape)
            if isinstance(held.get(theirs), torch.Tensor):
                held[theirs].copy_(tensor)
            else:
                held[theirs] = tensor.clone(memory_format=torch.preserve_format)
        if "exp_avg" in held:
            held["step"] = torch.tensor(float(steps), dtype=torch.float32)


def _slots(optimizer: optim.Optimizer) -> dict[str, str]:
    """Return the name of each tensor of the state in an engine → in PyTorch."""
    if type(optimizer) is not optim.SGD:
        return {"exp_avg": "exp_avg", "exp_avg_sq": "exp_avg_sq"}
    return {"momentum": "momentum_buffer"} if optimizer.param_groups[0]["momentum"] else {}
