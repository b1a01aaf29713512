"""Layers whose output has the shape of their input: activations, BatchNorm and Dropout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from layerline.layers.grammar import Argument, Misfit, Real, Word, times
from layerline.layers.layer import Layer, Shape, Weight


@dataclass(frozen=True)
class Pointwise(Layer):
    """A layer that preserves the shape of an image or a vector. Abstract."""

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the input's shape."""
        return inputs[0]


@final
@dataclass(frozen=True)
class ReLU(Pointwise):
    """y = x if x > 0, else 0; NaN stays NaN. Its derivative at 0 is 0."""

    kind: ClassVar[str] = "relu"
    word: ClassVar[Word] = Word("ReLU")


@final
@dataclass(frozen=True)
class LeakyReLU(Pointwise):
    """y = x if x > 0, else slope · x."""

    kind: ClassVar[str] = "leaky_relu"
    word: ClassVar[Word] = Word("LeakyReLU", (Argument("slope", Real(0, 1, example="0.01"), default=0.01, bare=True),))

    slope: float = 0.01


@final
@dataclass(frozen=True)
class GELU(Pointwise):
    """y = x · (1 + erf(x / √2)) / 2, not the tanh approximation."""

    kind: ClassVar[str] = "gelu"
    word: ClassVar[Word] = Word("GELU")


@final
@dataclass(frozen=True)
class SiLU(Pointwise):
    """y = x / (1 + e^−x)."""

    kind: ClassVar[str] = "silu"
    word: ClassVar[Word] = Word("SiLU", (), ("Swish",))


@final
@dataclass(frozen=True)
class Tanh(Pointwise):
    """y = tanh x."""

    kind: ClassVar[str] = "tanh"
    word: ClassVar[Word] = Word("Tanh")


@final
@dataclass(frozen=True)
class Sigmoid(Pointwise):
    """y = 1 / (1 + e^−x)."""

    kind: ClassVar[str] = "sigmoid"
    word: ClassVar[Word] = Word("Sigmoid")


@final
@dataclass(frozen=True)
class ReLU6(Pointwise):
    """y = min(max(x, 0), 6); NaN stays NaN. Its derivative at 0 and 6 is 0."""

    kind: ClassVar[str] = "relu6"
    word: ClassVar[Word] = Word("ReLU6")


@final
@dataclass(frozen=True)
class HardSwish(Pointwise):
    """y = x · min(max(x + 3, 0), 6) / 6."""

    kind: ClassVar[str] = "hard_swish"
    word: ClassVar[Word] = Word("HardSwish")


@final
@dataclass(frozen=True)
class HardSigmoid(Pointwise):
    """y = min(max(x + 3, 0), 6) / 6."""

    kind: ClassVar[str] = "hard_sigmoid"
    word: ClassVar[Word] = Word("HardSigmoid")


@final
@dataclass(frozen=True)
class ELU(Pointwise):
    """y = x where x > 0, else alpha · (e^x − 1)."""

    kind: ClassVar[str] = "elu"
    word: ClassVar[Word] = Word(
        "ELU", (Argument("alpha", Real(0, 100, open_low=True, example="1"), default=1.0, bare=True),)
    )

    alpha: float = 1.0


@final
@dataclass(frozen=True)
class Mish(Pointwise):
    """y = x · tanh(ln(1 + e^x))."""

    kind: ClassVar[str] = "mish"
    word: ClassVar[Word] = Word("Mish")


@final
@dataclass(frozen=True)
class BatchNorm(Pointwise):
    """y = w[c] · (x − mean[c]) / √(variance[c] + eps) + b[c], over batch, height and width of a channel.

    Training uses the batch's mean and (biased) variance, and moves running_mean and running_var (unbiased) towards
    them by `momentum` (PyTorch's convention); evaluation uses the running ones.
    """

    kind: ClassVar[str] = "batch_norm"
    uses_batch: ClassVar[bool] = True
    word: ClassVar[Word] = Word(
        "BatchNorm",
        (
            Argument("momentum", Real(0, 1, open_low=True, example="0.1"), default=0.1),
            Argument("eps", Real(0, 1, open_low=True, example="1e-5"), default=1e-5),
        ),
        ("BatchNorm2d", "BatchNorm1d"),
    )

    momentum: float = 0.1
    eps: float = 1e-5

    def advice(self) -> Misfit | None:
        """Return a note if momentum looks like Keras's, which is 1 − ours."""
        if self.momentum < 0.5:
            return None
        other = Real(0, 1).write(round(1 - self.momentum, 12))
        return Misfit(
            f"momentum={Real(0, 1).write(self.momentum)} is the weight of each new batch, as in PyTorch",
            f"if it comes from Keras or TensorFlow, write momentum={other}"
            if self.momentum < 1
            else "if it is meant as the number of channels, as in PyTorch, omit it: it follows from the lines before",
            "momentum",
        )

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        """Return weight and bias (C), and the buffers running_mean, running_var (C) and num_batches_tracked ()."""
        C = inputs[0][0]
        return (
            Weight("weight", (C,), start="ones"),
            Weight("bias", (C,), start="zeros"),
            Weight("running_mean", (C,), trained=False, start="zeros"),
            Weight("running_var", (C,), trained=False, start="ones"),
            Weight("num_batches_tracked", (), trained=False, start="zeros", dtype="int64"),
        )


@final
@dataclass(frozen=True)
class Dropout(Pointwise):
    """In training y = 0 with probability p, else x / (1 − p); in evaluation y = x."""

    kind: ClassVar[str] = "dropout"
    only_in_training: ClassVar[bool] = True
    word: ClassVar[Word] = Word("Dropout", (Argument("p", Real(0, 1, open_high=True, share=True), bare=True),))

    p: float


@final
@dataclass(frozen=True)
class Dropout2d(Layer):
    """In training a whole channel is 0 with probability p, else x / (1 − p); in evaluation y = x. (C, H, W)."""

    kind: ClassVar[str] = "dropout2d"
    only_in_training: ClassVar[bool] = True
    word: ClassVar[Word] = Word(
        "Dropout2d", (Argument("p", Real(0, 1, open_high=True, share=True), bare=True),), ("SpatialDropout2d",)
    )

    p: float

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the input's shape. Raises Misfit for a vector, which has no channels."""
        if len(inputs[0]) != 3:
            reason = (
                f"Dropout2d drops whole channels of an image, but its input is a vector of {times(inputs[0])} values"
            )
            raise Misfit(reason, f"write `Dropout {Real(0, 1).write(self.p)}`")
        return inputs[0]
