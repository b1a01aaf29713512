"""PyTorch's modules, functions and methods that a network file can express, each with the rule that says how."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's usual name

from layerline.layers import (
    ELU,
    FC,
    GELU,
    Add,
    BatchNorm,
    Concat,
    Dropout,
    Dropout2d,
    Flat,
    Gate,
    GlobalMaxPool,
    GlobalPool,
    HardSigmoid,
    HardSwish,
    LeakyReLU,
    Mish,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
)
from layerline.layers.grammar import times
from layerline.network.pytorch import windows_of_torch as windows
from layerline.network.pytorch.torch_layers import (
    FrozenBatchNorm1d,
    FrozenBatchNorm2d,
    FrozenDropout,
    FrozenDropout2d,
    PaddedAvgPool2d,
    PaddedConv2d,
    PaddedMaxPool2d,
)
from layerline.network.pytorch.torch_operation import (
    AsImage,
    At,
    Join,
    Part,
    Result,
    Rule,
    TracedValue,
    check_tensor,
    image,
    shape_of,
)
from layerline.network.pytorch.unsupported import NotCarriedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def _pointwise(layer: Callable[[], Any]) -> Rule:
    """Return the rule of an activation without arguments."""

    def rule(at: At, input: Any, inplace: bool = False) -> Result:
        shape_of(input)
        return (Part(layer()),)

    return rule


def _leaky_relu(at: At, input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Result:
    return (Part(LeakyReLU(float(negative_slope))),)


def _elu(at: At, input: Any, alpha: float = 1.0, inplace: bool = False) -> Result:
    return (Part(ELU(float(alpha))),)


def _gelu(at: At, input: Any, approximate: str = "none") -> Result:
    if approximate != "none":
        raise NotCarriedError(f'approximate="{approximate}"; only the exact GELU is available')
    return (Part(GELU()),)


def _hardtanh(at: At, input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Result:
    if (min_val, max_val) != (0, 6):
        raise NotCarriedError(f"limits {min_val:g} and {max_val:g}; only 0 and 6 are available, as ReLU6")
    return (Part(ReLU6()),)


def _dropout(at: At, input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Result:
    return (Part(Dropout(float(p))),) if training else ()


def _dropout2d(at: At, input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Result:
    layer = Dropout2d if len(shape_of(input)) == 3 else Dropout  # PyTorch's of a vector drops single values
    return (Part(layer(float(p))),) if training else ()


def _linear(at: At, input: Any, weight: Any, bias: Any = None) -> Result:
    check_tensor(weight)
    if len(shape_of(input)) != 1:
        raise NotCarriedError(f"it is applied to each row of a {times(input.shape)} image; flatten the image before it")
    weights = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    return (Part(FC(weight.shape[0], bias is not None), weights),)


def _batch_norm(
    at: At, input: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None,
    training: bool = False, momentum: float | None = 0.1, eps: float = 1e-5,
) -> Result:  # fmt: skip
    shape_of(input)
    if weight is None or bias is None:
        raise NotCarriedError("affine=False; only BatchNorm with a weight and a bias is available")
    if running_mean is None or running_var is None:
        raise NotCarriedError("track_running_stats=False; only BatchNorm with running statistics is available")
    if momentum is None:
        raise NotCarriedError("momentum=None, a cumulative average; only a fixed momentum is available")
    weights = {"weight": weight, "bias": bias, "running_mean": running_mean, "running_var": running_var}
    return (Part(BatchNorm(float(momentum), float(eps)), weights, still=not training),)


def _batch_norm_module(at: At, module: Any, input: Any) -> Result:
    tracked = module.track_running_stats
    mean, variance = module.running_mean if tracked else None, module.running_var if tracked else None
    return _batch_norm(at, input, mean, variance, module.weight, module.bias, True, module.momentum, module.eps)


def _reshape(at: At, input: Any, *sizes: Any, **named: Any) -> Result:
    """Return Flat, or nothing if the shape stays: the shapes of the trace have what the sizes come to."""
    del sizes, named
    before, after = shape_of(input), at.output
    if before == after:
        return ()
    if len(before) == 3 and after == (math.prod(before),):
        return (Part(Flat()),)
    if len(before) == 1 and after == (*before, 1, 1):
        return AsImage()
    raise NotCarriedError(f"it makes {times(after)} of {times(before)}; only a whole image can be flattened")


def _index(at: At, input: Any, index: Any) -> Result:
    """Return what x[:, :, None, None] becomes: a reshape, if it neither picks values nor changes their order."""
    parts = index if isinstance(index, tuple) else (index,)
    if any(part is not None and part != slice(None) for part in parts):
        raise NotCarriedError(
            "it picks some of the values; only dimensions of size 1 can be added, as in [:, :, None, None]"
        )
    return _reshape(at, input)


def _expand(at: At, input: Any, *sizes: Any, **named: Any) -> Result:
    """Return nothing for a C×1×1 image that is repeated over height and width: a product does so anyway."""
    del sizes, named
    before, after = shape_of(input), at.output
    if before == after or (len(after) == 3 and before == (after[0], 1, 1)):
        return ()
    raise NotCarriedError(f"it makes {times(after)} of {times(before)}; only C×1×1 can be expanded, for a product")


def _same(at: At, input: Any, *arguments: Any, **named: Any) -> Result:
    """Return nothing: the values stay."""
    del arguments, named
    shape_of(input)
    return ()


def _softmax(at: At, input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Result:
    if len(shape_of(input)) != 1 or dim not in (None, 1, -1) or dtype is not None:
        raise NotCarriedError("only a softmax over the classes is available, at the end")
    return (Part(Softmax()),)


def _mean(at: At, input: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Result:
    return _over_image(at, input, dim, "mean", GlobalPool())


def _amax(at: At, input: Any, dim: Any = (), keepdim: bool = False) -> Result:
    return _over_image(at, input, dim, "maximum", GlobalMaxPool())


def _over_image(at: At, input: Any, dim: Any, what: str, layer: GlobalPool | GlobalMaxPool) -> Result:
    image(input, f"the {what}")
    listed = dim if isinstance(dim, tuple | list) else (dim,)
    if None in listed or {axis % 4 for axis in listed} != {2, 3}:
        raise NotCarriedError(f"dim={dim}: only the {what} over height and width, dim=(2, 3), is available")
    return (Part(layer),) if len(at.output) == 3 else (Part(layer), Part(Flat()))


def _add(at: At, input: Any, other: Any, alpha: float = 1) -> Result:
    first, second = input, other
    if any(isinstance(each, int | float) and each == 0 for each in (first, second)):
        return ()  # sum([a, b]) starts with 0
    if not (isinstance(first, TracedValue) and isinstance(second, TracedValue)):
        raise NotCarriedError("it adds a number or a parameter; only two values that layers compute can be added")
    if alpha != 1:
        raise NotCarriedError(f"alpha={alpha}: only a plain sum is available")
    if first.shape != second.shape:
        raise NotCarriedError(f"it adds {times(first.shape)} and {times(second.shape)}; a sum needs equal shapes")
    return Join(Add(), (first, second))


def _multiply(at: At, input: Any, other: Any) -> Result:
    if not (isinstance(input, TracedValue) and isinstance(other, TracedValue)):
        raise NotCarriedError(
            "it multiplies by a number or a parameter; only two values that layers compute can be multiplied: x * g(x)"
        )
    shapes = (input.shape, other.shape)
    if at.output not in shapes or not all(shape in (at.output, (at.output[0], 1, 1)) for shape in shapes):
        sizes = " and ".join(map(times, shapes))
        raise NotCarriedError(f"it multiplies {sizes}; a product needs equal shapes, or C×H×W and C×1×1")
    return Join(Gate(), (input, other))


def _concatenate(at: At, tensors: Any, dim: int = 0) -> Result:
    if not all(isinstance(each, TracedValue) for each in tensors):
        raise NotCarriedError("it concatenates a parameter or a constant; only values that layers compute can be")
    axes = len(at.output) + 1
    if dim % axes != 1:
        raise NotCarriedError(f"dim={dim}: only channels, dim=1, can be concatenated")
    return () if len(tensors) == 1 else Join(Concat(), tuple(tensors))


def _with(rule: Rule, *attributes: str) -> Rule:
    """Return the rule of a module: its function's, with the module's attributes as arguments."""

    def of_module(at: At, module: Any, input: Any) -> Result:
        return rule(at, input, *(getattr(module, name) for name in attributes))

    return of_module


_POINTWISE: Final[dict[str, Rule]] = {
    "relu": _pointwise(ReLU),
    "relu6": _pointwise(ReLU6),
    "silu": _pointwise(SiLU),
    "hardswish": _pointwise(HardSwish),
    "hardsigmoid": _pointwise(HardSigmoid),
    "mish": _pointwise(Mish),
    "tanh": _pointwise(Tanh),
    "sigmoid": _pointwise(Sigmoid),
}

MODULES: Final[Mapping[type[nn.Module], Rule]] = {
    nn.Conv2d: windows.conv2d_module,
    PaddedConv2d: windows.conv2d_module,
    nn.Linear: _with(_linear, "weight", "bias"),
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, FrozenBatchNorm1d, FrozenBatchNorm2d), _batch_norm_module),
    nn.ReLU: _with(_POINTWISE["relu"]),
    nn.ReLU6: _with(_POINTWISE["relu6"]),
    nn.SiLU: _with(_POINTWISE["silu"]),
    nn.Hardswish: _with(_POINTWISE["hardswish"]),
    nn.Hardsigmoid: _with(_POINTWISE["hardsigmoid"]),
    nn.Mish: _with(_POINTWISE["mish"]),
    nn.Tanh: _with(_POINTWISE["tanh"]),
    nn.Sigmoid: _with(_POINTWISE["sigmoid"]),
    nn.LeakyReLU: _with(_leaky_relu, "negative_slope"),
    nn.ELU: _with(_elu, "alpha"),
    nn.GELU: _with(_gelu, "approximate"),
    nn.Hardtanh: _with(_hardtanh, "min_val", "max_val"),
    **dict.fromkeys((nn.Dropout, FrozenDropout), _with(_dropout, "p")),
    **dict.fromkeys((nn.Dropout2d, FrozenDropout2d), _with(_dropout2d, "p")),
    nn.MaxPool2d: windows.max_pool2d_module,
    PaddedMaxPool2d: windows.max_pool2d_module,
    nn.AvgPool2d: windows.avg_pool2d_module,
    PaddedAvgPool2d: windows.padded_avg_pool2d,
    nn.AdaptiveAvgPool2d: _with(windows.adaptive_avg_pool2d, "output_size"),
    nn.AdaptiveMaxPool2d: _with(windows.adaptive_max_pool2d, "output_size", "return_indices"),
    nn.ZeroPad2d: windows.pad_module,
    nn.ConstantPad2d: windows.pad_module,
    nn.Flatten: _with(_reshape),
    nn.Unflatten: _with(_reshape),
    nn.Identity: _with(_same),
    nn.Softmax: _with(_softmax, "dim"),
    nn.LogSoftmax: _with(_softmax, "dim"),
}
"""The class of a module, exactly → its rule: (At, module, input)."""

FUNCTIONS: Final[Mapping[Callable[..., Any], Rule]] = {
    F.conv2d: windows.conv2d,
    torch.conv2d: windows.conv2d,
    F.linear: _linear,
    F.batch_norm: _batch_norm,
    **{getattr(F, name): rule for name, rule in _POINTWISE.items()},
    **{getattr(torch, name): _POINTWISE[name] for name in ("relu", "relu_", "tanh", "sigmoid") if name in _POINTWISE},
    torch.relu_: _POINTWISE["relu"],
    torch.tanh_: _POINTWISE["tanh"],
    torch.sigmoid_: _POINTWISE["sigmoid"],
    F.relu_: _POINTWISE["relu"],
    F.leaky_relu: _leaky_relu,
    F.leaky_relu_: _leaky_relu,
    F.elu: _elu,
    F.elu_: _elu,
    F.gelu: _gelu,
    F.hardtanh: _hardtanh,
    F.hardtanh_: _hardtanh,
    F.dropout: _dropout,
    F.dropout2d: _dropout2d,
    torch.dropout: _dropout,
    F.max_pool2d: windows.max_pool2d,
    torch.max_pool2d: windows.max_pool2d,
    F.avg_pool2d: windows.avg_pool2d,
    F.adaptive_avg_pool2d: windows.adaptive_avg_pool2d,
    F.adaptive_max_pool2d: windows.adaptive_max_pool2d,
    F.pad: windows.pad,
    torch.flatten: _reshape,
    torch.reshape: _reshape,
    torch.squeeze: _reshape,
    operator.getitem: _index,
    torch.mean: _mean,
    torch.amax: _amax,
    torch.add: _add,
    operator.add: _add,
    operator.iadd: _add,
    **dict.fromkeys((torch.mul, torch.multiply, operator.mul, operator.imul), _multiply),
    **dict.fromkeys((torch.cat, torch.concat, torch.concatenate), _concatenate),
    F.softmax: _softmax,
    F.log_softmax: _softmax,
    torch.softmax: _softmax,
    torch.log_softmax: _softmax,
}
"""A function → its rule: (At, its arguments)."""

METHODS: Final[Mapping[str, Rule]] = {
    **{name: _POINTWISE[name.rstrip("_")] for name in ("relu", "relu_", "tanh", "tanh_", "sigmoid", "sigmoid_")},
    **dict.fromkeys(("view", "reshape", "flatten", "squeeze"), _reshape),
    **dict.fromkeys(("contiguous", "clone", "float"), _same),
    "mean": _mean,
    "amax": _amax,
    "add": _add,
    "add_": _add,
    **dict.fromkeys(("mul", "mul_", "multiply"), _multiply),
    **dict.fromkeys(("expand", "expand_as"), _expand),
    "softmax": _softmax,
    "log_softmax": _softmax,
}
"""A method of a tensor → its rule: (At, the tensor, its arguments)."""

DROPOUTS: Final = frozenset({nn.Dropout, nn.Dropout2d, F.dropout, F.dropout2d, torch.dropout})
"""Modules and functions that only do something in training."""


def softmax_of(logits: torch.Tensor) -> torch.Tensor:
    """Return what a module with a softmax at its end makes of the logits."""
    return torch.softmax(logits, 1)


SOFTMAXES: Final[Mapping[Any, Callable[[torch.Tensor], torch.Tensor]]] = {
    **dict.fromkeys((nn.Softmax, F.softmax, torch.softmax, "softmax"), softmax_of),
    **dict.fromkeys(
        (nn.LogSoftmax, F.log_softmax, torch.log_softmax, "log_softmax"), lambda x: torch.log_softmax(x, 1)
    ),
}
"""Modules, functions and methods that turn logits into (logarithms of) probabilities → what they do."""
