"""The optimizers that step each weight by itself; Muon, which steps a matrix as a whole, is in kernels/muon.py.

    SGD     g += λ·w;  v = μ·v + g;  w −= η·v           Nesterov: w −= η·(g + μ·v)      without momentum: w −= η·g
    AdamW   w −= η·λ·w;  m += (1 − β₁)·(g − m);  s = β₂·s + (1 − β₂)·g²
            w −= η / (1 − β₁ᵗ) · m / (√s / √(1 − β₂ᵗ) + ε)
    EMA     e = d·e + (1 − d)·w after the step
 As PyTorch's SGD and AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2). λ may be left out for a tensor.
What changes with the step (η, η / (1 − β₁ᵗ), 1 / √(1 − β₂ᵗ)) comes from the epoch's pace, the rest from `hyper`.
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
"""The recipe's numbers that stay the same through a run, in the order in which they lie in `hyper`; one_minus_beta1 and one_minus_beta2 are
1 − β₁ and 1 − β₂, which a float32 β would give with few digits: 1.3·10⁻⁵ off for β₂ = 0.999."""


def hyper(pen: Pen, name: str, lanes: int) -> Value:
    """Return one of the recipe's numbers in every lane."""
    return pen.broadcast(pen.pointer("hyper"), HYPER_NAMES.index(name), lanes)


@dataclass(frozen=True)
class Optimizer(abc.ABC):
    """What a step does to one weight. Abstract."""

    decay: bool
    """Whether the weight decays."""
    clip: bool = False
    """Whether the gradient is scaled down with all others (kernels/clip.py)."""
    ema: bool = False

    name: ClassVar[str]
    scalars: ClassVar[tuple[str, ...]] = ("rate",)
    """The numbers of the pace that a step takes."""

    @property
    @abc.abstractmethod
    def slots(self) -> dict[str, str]:
        """Return what is kept beside each weight: the name that the engine's state has it under → the argument."""

    @property
    def all_slots(self) -> dict[str, str]:
        """Return the slots and, where there is one, the average."""
        return {**self.slots, "ema": "e"} if self.ema else self.slots

    @property
    def label(self) -> str:
        """Return the step as it appears in symbols."""
        return self.name + "_d" * self.decay + "_c" * self.clip + "_e" * self.ema

    def arguments(self, elements: int) -> dict[str, KernelArgument]:
        """Return the arguments a kernel needs to step so many weights."""
        moved = dict.fromkeys(("w", *self.all_slots.values()), updates(elements))
        return {**moved, "hyper": given(), **({"factor": reads(1)} if self.clip else {})}

    def step(self, pen: Pen, g: Value, place: Index, lanes: int) -> Value:
        """Write one vector's step with gradient g; returns the new weights."""
        if self.clip:
            g = pen.mul(g, pen.broadcast(pen.pointer("factor"), 0, lanes))
        w = self.updated(pen, g, place, lanes)
        self.store_weights(pen, w, place, lanes)
        return w

    def store_weights(self, pen: Pen, w: Value, place: Index, lanes: int) -> None:
        """Write the new weights, and move their average."""
        pen.store(w, pen.pointer("w"), place)
        if self.ema:
            share = hyper(pen, "ema", lanes)
            rest = pen.sub(pen.constant(1.0, lanes), share)
            average = pen.fma(share, pen.load(pen.pointer("e"), place, lanes), pen.mul(rest, w))
            pen.store(average, pen.pointer("e"), place)

    def decayed(self, pen: Pen, place: Index, lanes: int) -> Value:
        """Return w, and where it decays apart from the gradient w − η·λ·w."""
        w = pen.load(pen.pointer("w"), place, lanes)
        if not self.decay:
            return w
        share = pen.mul(pen.splat(pen.scalar("rate"), lanes), hyper(pen, "weight_decay", lanes))
        return pen.fma(pen.negative(share), w, w)

    @abc.abstractmethod
    def updated(self, pen: Pen, g: Value, place: Index, lanes: int) -> Value:
        """Return one vector of the new weights; what is kept beside them moves."""


@dataclass(frozen=True)
class Sgd(Optimizer):
    """Stochastic gradient descent; μ and λ come at run time."""

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
        w, rate = pen.load(pen.pointer("w"), place, lanes), pen.splat(pen.scalar("rate"), lanes)
        if self.decay:
            g = pen.fma(hyper(pen, "weight_decay", lanes), w, g)
        if self.momentum:
            v = pen.fma(hyper(pen, "momentum", lanes), pen.load(pen.pointer("v"), place, lanes), g)
            pen.store(v, pen.pointer("v"), place)
            g = pen.fma(hyper(pen, "momentum", lanes), v, g) if self.nesterov else v
        return pen.fma(pen.negative(rate), g, w)


@dataclass(frozen=True)
class AdamW(Optimizer):
    """Adam with decay apart from the gradient; β₁, β₂, ε and λ come at run time."""

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
        rate, scale = (pen.splat(pen.scalar(name), lanes) for name in ("adam_rate", "adam_scale"))
        root = pen.fma(pen.sqrt(s), scale, hyper(pen, "eps", lanes))
        return pen.fma(pen.negative(rate), pen.div(m, root), self.decayed(pen, place, lanes))


@dataclass(frozen=True)
class Follow(Optimizer):
    """w −= η·λ·w; w −= η·length·g, where g is a direction that was worked out before (Muon's)."""

    length: float = 1.0

    name: ClassVar[str] = "follow"

    @property
    def slots(self) -> dict[str, str]:
        """Return nothing: what the direction needs it keeps."""
        return {}

    @property
    def label(self) -> str:
        """Return the step as it appears in symbols."""
        return f"{super().label}_l{self.length}"

    def updated(self, pen: Pen, g: Value, place: Index, lanes: int) -> Value:
        """Return one vector of the new weights."""
        rate = pen.mul(pen.splat(pen.scalar("rate"), lanes), pen.constant(self.length, lanes))
        return pen.fma(pen.negative(rate), g, self.decayed(pen, place, lanes))
