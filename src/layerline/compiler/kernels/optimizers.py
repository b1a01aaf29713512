"""The elementwise optimizers; Muon, which steps a matrix as a whole, is in kernels/muon.py.

    SGD     g += λ·w;  v = μ·v + g;  w −= η·v           Nesterov: w −= η·(g + μ·v)      without momentum: w −= η·g
    AdamW   w −= η·λ·w;  m += (1 − β₁)·(g − m);  s = β₂·s + (1 − β₂)·g²
            w −= η / (1 − β₁ᵗ) · m / (√s / √(1 − β₂ᵗ) + ε)
    EMA     e = d·e + (1 − d)·w after the step
As in PyTorch's SGD and AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2). λ may be omitted for a tensor,
and η multiplied by a constant.
Scalars that change per step (η, η / (1 − β₁ᵗ), 1 / √(1 − β₂ᵗ)) come from the epoch's step scalars, the rest from
`hyper`.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from layerline.compiler.kernel import given, reads, updates

if TYPE_CHECKING:
    from layerline.compiler.kernel import KernelArgument
    from layerline.compiler.pen import Pen
    from layerline.compiler.values import Index, Value

HYPER_NAMES: Final = (
    *("momentum", "weight_decay", "beta1", "beta2", "eps", "label_smoothing", "clip_norm", "ema"),
    *("one_minus_beta1", "one_minus_beta2"),
)
"""The recipe's hyperparameters that are constant during a run, in the order of `hyper`. 1 − β₁ and 1 − β₂ are stored
because computing them from a float32 β loses digits: a relative error of 1.3·10⁻⁵ for β₂ = 0.999."""


def hyper(pen: Pen, name: str, lanes: int) -> Value:
    """Return one of the recipe's hyperparameters in all lanes."""
    return pen.broadcast(pen.pointer("hyper"), HYPER_NAMES.index(name), lanes)


@dataclass(frozen=True)
class Optimizer(abc.ABC):
    """The update of one weight. Abstract."""

    decay: bool
    """Whether there is weight decay."""
    clip: bool = False
    """Whether the gradient is clipped by global norm (kernels/clip.py)."""
    ema: bool = False
    rate_factor: float = 1.0
    """What every rate is multiplied by."""

    name: ClassVar[str]
    scalars: ClassVar[tuple[str, ...]] = ("rate",)
    """The step scalars that a step reads."""

    @property
    @abc.abstractmethod
    def slots(self) -> dict[str, str]:
        """Return the state per weight: its name in the engine's state dict → the kernel argument."""

    @property
    def all_slots(self) -> dict[str, str]:
        """Return the slots and, if there is one, the moving average."""
        return {**self.slots, "ema": "e"} if self.ema else self.slots

    @property
    def label(self) -> str:
        """Return the step as it appears in symbols."""
        slower = "" if self.rate_factor == 1 else f"_f{self.rate_factor}"
        return self.name + "_d" * self.decay + "_c" * self.clip + "_e" * self.ema + slower

    def arguments(self, elements: int) -> dict[str, KernelArgument]:
        """Return the arguments that a kernel needs to step that many weights."""
        moved = dict.fromkeys(("w", *self.all_slots.values()), updates(elements))
        return {**moved, "hyper": given(), **({"factor": reads(1)} if self.clip else {})}

    def step(self, pen: Pen, g: Value, place: Index, lanes: int) -> Value:
        """Write the step of one vector with gradient g, and return the new weights."""
        if self.clip:
            g = pen.mul(g, pen.broadcast(pen.pointer("factor"), 0, lanes))
        w = self.updated(pen, g, place, lanes)
        self.store_weights(pen, w, place, lanes)
        return w

    def store_weights(self, pen: Pen, w: Value, place: Index, lanes: int) -> None:
        """Write the new weights, and update their moving average."""
        pen.store(w, pen.pointer("w"), place)
        if self.ema:
            share = hyper(pen, "ema", lanes)
            rest = pen.sub(pen.constant(1.0, lanes), share)
            average = pen.fma(share, pen.load(pen.pointer("e"), place, lanes), pen.mul(rest, w))
            pen.store(average, pen.pointer("e"), place)

    def decayed(self, pen: Pen, place: Index, lanes: int) -> Value:
        """Return w, or w − η·λ·w with decoupled weight decay."""
        w = pen.load(pen.pointer("w"), place, lanes)
        if not self.decay:
            return w
        share = pen.mul(self.rate(pen, "rate", lanes), hyper(pen, "weight_decay", lanes))
        return pen.fma(pen.negative(share), w, w)

    def rate(self, pen: Pen, scalar: str, lanes: int) -> Value:
        """Return a rate, one of the step scalars, times the factor in all lanes."""
        rate = pen.scalar(scalar)
        if self.rate_factor != 1:
            rate = pen.mul(rate, pen.constant(self.rate_factor))
        return pen.splat(rate, lanes)

    @abc.abstractmethod
    def updated(self, pen: Pen, g: Value, place: Index, lanes: int) -> Value:
        """Return one vector of the new weights, and update their slots."""


@dataclass(frozen=True)
class Sgd(Optimizer):
    """Stochastic gradient descent; μ and λ are runtime values."""

    momentum: bool = True
    nesterov: bool = False

    name: ClassVar[str] = "sgd"

    @property
    def slots(self) -> dict[str, str]:
        """Return v."""
        return {"momentum": "v"} if self.momentum else {}

    @property
    def label(self) -> str:
        """Return the step as it appears in symbols."""
        return super().label + "_m" * self.momentum + "_n" * self.nesterov

    def updated(self, pen: Pen, g: Value, place: Index, lanes: int) -> Value:
        """Return one vector of the new weights."""
        w, rate = pen.load(pen.pointer("w"), place, lanes), self.rate(pen, "rate", lanes)
        if self.decay:
            g = pen.fma(hyper(pen, "weight_decay", lanes), w, g)
        if self.momentum:
            v = pen.fma(hyper(pen, "momentum", lanes), pen.load(pen.pointer("v"), place, lanes), g)
            pen.store(v, pen.pointer("v"), place)
            g = pen.fma(hyper(pen, "momentum", lanes), v, g) if self.nesterov else v
        return pen.fma(pen.negative(rate), g, w)


@dataclass(frozen=True)
class AdamW(Optimizer):
    """Adam with decoupled weight decay; β₁, β₂, ε and λ are runtime values."""

    name: ClassVar[str] = "adamw"
    scalars: ClassVar[tuple[str, ...]] = ("rate", "adam_rate", "adam_scale")

    @property
    def slots(self) -> dict[str, str]:
        """Return m and s, under PyTorch's names."""
        return {"exp_avg": "m", "exp_avg_sq": "s"}

    def updated(self, pen: Pen, g: Value, place: Index, lanes: int) -> Value:
        """Return one vector of the new weights."""
        m, s = (pen.load(pen.pointer(name), place, lanes) for name in "ms")
        m = pen.fma(hyper(pen, "one_minus_beta1", lanes), pen.sub(g, m), m)
        beta2 = hyper(pen, "beta2", lanes)
        s = pen.fma(beta2, s, pen.mul(hyper(pen, "one_minus_beta2", lanes), pen.mul(g, g)))
        for name, value in (("m", m), ("s", s)):
            pen.store(value, pen.pointer(name), place)
        rate, scale = self.rate(pen, "adam_rate", lanes), pen.splat(pen.scalar("adam_scale"), lanes)
        root = pen.fma(pen.sqrt(s), scale, hyper(pen, "eps", lanes))
        return pen.fma(pen.negative(rate), pen.div(m, root), self.decayed(pen, place, lanes))


@dataclass(frozen=True)
class Follow(Optimizer):
    """w −= η·λ·w; w −= η·length·g, where g is a direction computed beforehand (Muon's)."""

    length: float = 1.0

    name: ClassVar[str] = "follow"

    @property
    def slots(self) -> dict[str, str]:
        """Return no slots: the direction kernel has its own state."""
        return {}

    @property
    def label(self) -> str:
        """Return the step as it appears in symbols."""
        return f"{super().label}_l{self.length}"

    def updated(self, pen: Pen, g: Value, place: Index, lanes: int) -> Value:
        """Return one vector of the new weights."""
        rate = pen.mul(self.rate(pen, "rate", lanes), pen.constant(self.length, lanes))
        return pen.fma(pen.negative(rate), g, self.decayed(pen, place, lanes))
