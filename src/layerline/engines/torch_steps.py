"""The weight updates of the torch engine: PyTorch's SGD and AdamW; Muon and weight averages, written out.

    Muon    v = μ·v + g;  u = g + μ·v;  X = orthogonal(u);  w −= η·λ·w;  w −= η · 0.2·√max(O, C·R·S) · X
    EMA     e = d·e + (1 − d)·w after the step
Muon steps the filters, seen as matrices (O, C·R·S) (Jordan 2024, "Muon: an optimizer for hidden layers in neural
networks"; the update scale: Liu et al. 2025, arXiv:2502.16982, eq. 4), AdamW everything else. First, the global norm of
all gradients is clipped by PyTorch's clip_grad_norm_.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from layerline.recipe import Recipe

COEFFICIENTS: Final = (3.4445, -4.7750, 2.0315)
ROUNDS: Final = 5
TINY: Final = 1e-7
MATCH_ADAM: Final = 0.2


@final
class TorchSteps:
    """The optimizer of a recipe for the trained parameters of a module, with its state."""

    def __init__(self, module: nn.Module, recipe: Recipe, factors: Mapping[str, float]) -> None:
        """Create the optimizer state: zeros, and copies of the parameters if the recipe has averages.

        factors: of each parameter's learning rate, by the parameter's name.
        """
        self._recipe, self._factors = recipe, factors
        self._parameters = {name: each for name, each in module.named_parameters() if each.requires_grad}
        muon = recipe.optimizer == "muon"
        self._filters = [name for name in _filters(module) if muon and name in self._parameters]
        others = [name for name in self._parameters if name not in self._filters]
        self._optimizer = self._made(others) if others else None
        self._state: dict[str, torch.Tensor] = {}
        for name, parameter in self._parameters.items():
            for slot in self._slots(name):
                self._state[f"{slot}.{name}"] = torch.zeros_like(parameter, requires_grad=False)
            if recipe.ema is not None:
                self._state[f"ema.{name}"] = parameter.detach().clone()
        if self._optimizer is not None:
            self._share(self._optimizer, others)

    @property
    def averages(self) -> dict[str, torch.Tensor]:
        """Return the average of each parameter by the parameter's name; empty if the recipe has no averages."""
        return {} if self._recipe.ema is None else {name: self._state[f"ema.{name}"] for name in self._parameters}

    def state(self) -> dict[str, NDArray[Any]]:
        """Return a copy of the optimizer state, by name in State.optimizer."""
        return {name: np.array(value.cpu().numpy(), order="C") for name, value in self._state.items()}

    def set_state(self, state: dict[str, NDArray[Any]]) -> None:
        """Restore what `state` returned. Raises ValueError for another network or optimizer: our bug."""
        shapes = {name: tuple(value.shape) for name, value in self._state.items()}
        if shapes != {name: value.shape for name, value in state.items()}:
            raise ValueError("the state does not match this network and optimizer")
        for name, value in state.items():
            self._state[name].copy_(torch.tensor(value))

    @torch.no_grad()
    def take(self, rate: float, t: int) -> None:
        """Update the parameters by their gradients; t: the number of the step in the run, from 1."""
        if self._recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(list(self._parameters.values()), self._recipe.clip_norm)
        if self._optimizer is not None:
            for group in self._optimizer.param_groups:
                group["lr"] = rate * group["factor"]
            for state in self._optimizer.state.values():
                if "step" in state:
                    state["step"].fill_(t - 1)
            self._optimizer.step()
        for name in self._filters:
            self._muon(name, rate * self._factors[name])
        d = self._recipe.ema
        if d is not None:
            for name, average in self.averages.items():
                average.mul_(d).add_(self._parameters[name], alpha=1 - d)

    def _made(self, names: list[str]) -> torch.optim.Optimizer:
        r = self._recipe
        groups = [
            {"params": [self._parameters[name]], "weight_decay": self._decay(name), "factor": self._factors[name]}
            for name in names
        ]
        if r.optimizer == "sgd":
            return torch.optim.SGD(groups, lr=0.0, momentum=r.momentum, nesterov=r.nesterov and r.momentum > 0)
        return torch.optim.AdamW(groups, lr=0.0, betas=(r.beta1, r.beta2), eps=r.eps)

    def _decay(self, name: str) -> float:
        exempt = self._recipe.decay == "weights" and self._parameters[name].ndim == 1
        return 0.0 if exempt else self._recipe.weight_decay

    def _slots(self, name: str) -> tuple[str, ...]:
        if self._recipe.optimizer == "sgd":
            return ("momentum",) if self._recipe.momentum else ()
        return ("momentum",) if name in self._filters else ("exp_avg", "exp_avg_sq")

    def _share(self, optimizer: torch.optim.Optimizer, names: list[str]) -> None:
        """Make PyTorch's optimizer use our state tensors, under its names: it changes them in place.

        SGD's buffer starts as zero instead of the first gradient: v = μ·0 + g is the same.
        """
        for name in names:
            shared = {slot: self._state[f"{slot}.{name}"] for slot in self._slots(name)}
            if "momentum" in shared:
                shared["momentum_buffer"] = shared.pop("momentum")
            elif shared:
                shared["step"] = torch.zeros(())
            if shared:
                optimizer.state[self._parameters[name]] = shared

    def _muon(self, name: str, rate: float) -> None:
        w, v, momentum = self._parameters[name], self._state[f"momentum.{name}"], self._recipe.momentum
        assert w.grad is not None  # noqa: S101 - a step follows backward()
        v.mul_(momentum).add_(w.grad)
        u = (w.grad + momentum * v).flatten(1)
        w.mul_(1 - rate * self._decay(name))
        w.sub_(rate * MATCH_ADAM * math.sqrt(max(u.shape)) * orthogonal(u).view_as(w))


def orthogonal(u: torch.Tensor) -> torch.Tensor:
    """Return a matrix of the same shape whose singular values are near 1, by five Newton–Schulz iterations.

    X = u / (‖u‖ + 10⁻⁷), transposed if it has more rows than columns; A = X·Xᵀ, B = b·A + c·A·A, X = a·X + B·X.
    """
    a, b, c = COEFFICIENTS
    high = u.shape[0] > u.shape[1]
    X: torch.Tensor = (u.T if high else u) / (torch.linalg.vector_norm(u) + TINY)
    for _ in range(ROUNDS):
        A = X @ X.T
        X = a * X + (b * A + c * A @ A) @ X
    return X.T if high else X


def _filters(module: nn.Module) -> list[str]:
    """Return the names of the convolution weights."""
    return [f"{path}.weight" for path, part in module.named_modules() if isinstance(part, nn.Conv2d)]
