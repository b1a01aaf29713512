"""ONNX operations with weights as layers: convolutions, matrix products, BatchNormalization, numbers per channel."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from layerline.export.onnx.held import Held, PixelScaling
from layerline.export.onnx.onnx_graph import shortest
from layerline.export.onnx.onnx_windows import layers_of_padded, padded, pads_of, window_of
from layerline.layers import FC, BatchNorm, Depthwise
from layerline.network.pytorch import windows_of_torch as windows
from layerline.network.pytorch.torch_operation import NO_PADS, At, Part
from layerline.network.pytorch.unsupported import NotCarriedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.export.onnx.graph_walk import GraphWalk
    from layerline.export.onnx.onnx_graph import Operation
    from layerline.layers import Shape

_TAKES_BIAS: Final = ("conv", "depthwise", "fc")


def _weight(inputs: tuple[Any, ...], place: int, what: str) -> NDArray[Any] | None:
    """Return weights, which must be constants; None if they are omitted."""
    found = inputs[place] if len(inputs) > place else None
    if isinstance(found, Held):
        raise NotCarriedError(f"its {what} is computed from the images")
    return found


def conv(walk: GraphWalk, operation: Operation, inputs: tuple[Any, ...]) -> Held:
    """Return a Conv or a Depthwise."""
    weight, bias = _weight(inputs, 1, "weight"), _weight(inputs, 2, "bias")
    if not isinstance(inputs[0], Held) or weight is None:
        raise NotCarriedError("it is applied to constants")
    if weight.ndim != 4:
        raise NotCarriedError(f"its weight has {weight.ndim} dimensions; images have two, and so 4")
    held, window = walk.settled(inputs[0]).planar("a convolution"), window_of(operation, weight.shape[2:])
    groups = operation.whole("group", 1)
    if window.extent != weight.shape[2:] or groups < 1 or weight.shape[1] * groups != held.shape[0]:
        raise NotCarriedError("its weight does not have the sizes of its kernel, groups and input")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise NotCarriedError("its bias does not have one number for each filter")
    pads = pads_of(operation, window, held.shape)
    symmetric = pads[:2] == pads[2:]
    traced = held.traced if symmetric else padded(held, pads, 0.0).traced
    sizes = (window.stride, pads[:2] if symmetric else 0, window.dilation, groups)
    return layers_of_padded(walk, operation, held, windows.conv2d(At(()), traced, weight, bias, *sizes))


def gemm(walk: GraphWalk, operation: Operation, inputs: tuple[Any, ...]) -> Held:
    """Return an FC."""
    weight, bias = _weight(inputs, 1, "weight"), _weight(inputs, 2, "bias")
    if operation.whole("transA", 0) or not isinstance(inputs[0], Held) or weight is None or weight.ndim != 2:
        raise NotCarriedError("it is not a product of a vector and a matrix of weights")
    weight = weight if operation.whole("transB", 0) else weight.T
    alpha, beta = (np.float32(operation.real(name, 1.0)) for name in ("alpha", "beta"))
    weight = weight if alpha == 1 else weight * alpha
    if bias is not None:
        bias = _vector(bias if beta == 1 else bias * beta, len(weight))
    return _fc(walk, operation, inputs[0], weight, bias)


def matmul(walk: GraphWalk, operation: Operation, inputs: tuple[Any, ...]) -> Held:
    """Return an FC without bias, which an Add after it has."""
    weight = _weight(inputs, 1, "weight")
    if not isinstance(inputs[0], Held) or weight is None or weight.ndim != 2:
        raise NotCarriedError("it is not a product of a vector and a matrix of weights")
    return _fc(walk, operation, inputs[0], weight.T, None)


def _vector(numbers: NDArray[Any], count: int) -> NDArray[Any]:
    if numbers.size not in (1, count):
        raise NotCarriedError(f"its bias has {numbers.size:,d} numbers; it has {count:,d} outputs")
    return np.broadcast_to(numbers.reshape(-1), (count,))


def _fc(walk: GraphWalk, operation: Operation, held: Held, weight: NDArray[Any], bias: NDArray[Any] | None) -> Held:
    held = walk.settled(held)
    if held.is_image:
        raise NotCarriedError("it is applied to each row of an image; flatten the image before it")
    if weight.shape[1] != held.shape[0]:
        raise NotCarriedError(f"its weight is for vectors of {weight.shape[1]:,d}, but gets {held.shape[0]:,d}")
    if held.order is not None:
        C, H, W = held.order
        weight = weight.reshape(-1, H, W, C).transpose(0, 3, 1, 2).reshape(len(weight), -1)
    weights = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    return walk.layers(operation, held, (Part(FC(len(weight), bias is not None), weights),), order=None)


def batch_norm(walk: GraphWalk, operation: Operation, inputs: tuple[Any, ...]) -> Held:
    """Return a BatchNorm."""
    names = ("weight", "bias", "running_mean", "running_var")
    arrays = [_weight(inputs, 1 + place, name) for place, name in enumerate(names)]
    held = walk.settled(inputs[0]) if isinstance(inputs[0], Held) else None
    if operation.whole("training_mode", 0) or not operation.whole("spatial", 1):
        raise NotCarriedError("it uses the mean of a batch; export the model in evaluation mode")
    if held is None or any(each is None or each.shape != held.shape[:1] for each in arrays):
        raise NotCarriedError("its weights do not have one number for each channel")
    if held.is_image:
        held = held.planar("BatchNormalization")
    weights = {name: _reordered(held, cast("Any", each)) for name, each in zip(names, arrays, strict=True)}
    eps = shortest(operation.real("epsilon", 1e-5))
    layer = BatchNorm(_momentum(operation.real("momentum", 0.9)), eps)
    return walk.layers(operation, held, (Part(layer, weights),))


def _momentum(old: float) -> float:
    """Return our momentum, the weight of the new batch; ONNX has that of the old mean."""
    found = float(1 - Decimal(str(shortest(old))))
    return found if 0 < found <= 1 else BatchNorm().momentum


def _reordered(held: Held, numbers: NDArray[Any]) -> NDArray[Any]:
    """Return numbers of a vector in the order channel, height, width."""
    if held.order is None:
        return numbers
    C, H, W = held.order
    return numbers.reshape(H, W, C).transpose(2, 0, 1).reshape(-1)


def affine(
    walk: GraphWalk, operation: Operation, held: Held, number: NDArray[Any], kind: str, *, swapped: bool
) -> Held:
    """Return a value plus, minus, times or divided by numbers per channel.

    Of the images it becomes their scaling; after a layer with weights, its bias; else see `of_numbers`.
    swapped: whether the value comes second.
    """
    scale, shift = _coefficients(kind, number.astype(np.float64), swapped=swapped)
    if held.prepared is not None and held.function is None and held.traced.pads == NO_PADS:
        C = held.shape[0]
        scales, shifts = (_per_channel(held, each, C) for each in (scale, shift))
        prepared = PixelScaling(held.prepared.scale * scales, held.prepared.shift * scales + shifts)
        return dataclasses.replace(held, name=operation.output, prepared=prepared)
    held = walk.settled(held)
    scales, shifts = (_per_channel(held, each, held.shape[0]) for each in (scale, shift))
    step = walk.steps.get(held.traced.node)
    alone = held.name == held.traced.node and walk.uses(held.name) == 1 and step is not None and len(step.parts) == 1
    if step is not None and alone and (scales == 1).all():
        part = step.parts[0]
        if part.layer.kind in _TAKES_BIAS and not part.layer.bias:  # type: ignore[attr-defined]  # the kinds that have one
            layer = dataclasses.replace(part.layer, bias=True)  # type: ignore[type-var]  # the same
            return walk.replaced(held, (Part(layer, {**part.weights, "bias": shifts}),), operation)
    return walk.layers(operation, held, (of_numbers(held.shape, scales, shifts),))


def of_numbers(shape: Shape, scale: NDArray[Any] | float, shift: NDArray[Any] | float) -> Part:
    """Return the layer for x · scale + shift: a Depthwise of one weight per channel; of a vector, a BatchNorm."""
    scales, shifts = (np.broadcast_to(np.asarray(each, np.float64), shape[:1]) for each in (scale, shift))
    if len(shape) == 1:
        layer, zeros = BatchNorm(), np.zeros(shape)
        moments = {"running_mean": zeros, "running_var": zeros + (1 - layer.eps)}  # a standard deviation of 1
        return Part(layer, {"weight": scales, "bias": shifts, **moments})
    weights: dict[str, Any] = {"weight": scales.reshape(-1, 1, 1, 1)}
    weights |= {"bias": shifts} if shifts.any() else {}
    return Part(Depthwise((1, 1), bias="bias" in weights), weights)


def _coefficients(kind: str, number: NDArray[Any], *, swapped: bool) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return scale and shift of x + n, x − n, n − x, x · n or x / n."""
    ones, zeros = np.ones_like(number), np.zeros_like(number)
    match kind:
        case "Add":
            return ones, number
        case "Sub":
            return (-ones, number) if swapped else (ones, -number)
        case "Mul":
            return number, zeros
        case "Div" if not swapped and (number != 0).all():
            return 1 / number, zeros
    raise NotCarriedError("a network file has no equivalent for this with constant numbers")


def _per_channel(held: Held, numbers: NDArray[Any], channels: int) -> NDArray[Any]:
    """Return one number for each channel, or each value of a vector. Raises NotCarriedError if they differ inside."""
    if numbers.size == 1:
        return np.full(channels, numbers.reshape(-1)[0])
    rank = len(held.shape) + 1
    sizes = (1,) * (rank - numbers.ndim) + numbers.shape
    axis = rank - 1 if held.last else 1
    if len(sizes) != rank or sizes != tuple(channels if k == axis else 1 for k in range(rank)):
        raise NotCarriedError("it computes with constants that are not one number for each channel")
    flat = numbers.reshape(-1)
    return _reordered(held, flat)
