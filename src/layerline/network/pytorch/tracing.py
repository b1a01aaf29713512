"""Tracing of a PyTorch module with torch.fx: its operations in order, each with the shapes of its values.

The trace runs the module on a batch of random images, so that whatever depends on shapes alone (`x.size(0)`, `len(x)`,
`if x.shape[1] == 3`) is a plain number. What depends on the values of a tensor cannot be traced.
"""

from __future__ import annotations

import copy
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

import torch
from torch import fx, nn

from layerline.layers.grammar import times
from layerline.network.pytorch.misfit import required
from layerline.network.pytorch.places import place_of
from layerline.network.pytorch.torch_layers import Frozen, PaddedAvgPool2d, PaddedConv2d, PaddedMaxPool2d
from layerline.network.pytorch.unsupported import NotCarriedError, mixed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from layerline.layers import Shape

_LEAVES: Final = (Frozen, PaddedAvgPool2d, PaddedConv2d, PaddedMaxPool2d)
_LONGEST: Final = 200
_IMAGES_ALONE: Final = "let forward(x) take only the images, as one tensor (N, C, H, W), and return the logits"


@final
@dataclass(frozen=True)
class Trace:
    """The operations of a module in one mode, as a torch.fx graph, with the shapes for a batch of `images`."""

    module: nn.Module
    """The copy that was traced; its parameters are those that operations name."""
    graph: fx.Graph
    shapes: dict[fx.Node, Shape]
    """The shapes of the values that are tensors, with the batch dimension."""
    images: int


def trace(module: nn.Module, input_shape: Shape, images: int, *, training: bool) -> Trace:
    """Return the trace of a copy of `module`. Raises NotCarriedError if it cannot be traced, or PyTorch itself fails.

    torch.fx replaces `nn.Module.__call__` until it returns: no other thread may call a module meanwhile.
    """
    copied = copy.deepcopy(module)
    copied.train(training)  # not chained: a module's own train() may return nothing
    generator = torch.Generator().manual_seed(images)
    batch = torch.rand((images, *input_shape), generator=generator, dtype=torch.float32)  # whatever the default type is
    tracer = _Tracer(batch)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        try:
            graph = tracer.trace(copied)
        except Exception as error:
            failed = Trace(copied, tracer.graph, tracer.shapes, images)
            path, kind = next(reversed(tracer.module_stack.values()), ("", type(module)))
            place = (path, kind.__name__)
            if isinstance(error, NotCarriedError):
                raise NotCarriedError(error.reason, place, error.fix) from error
            if isinstance(error, fx.proxy.TraceError):
                first = _first_line(error)
                raise NotCarriedError(f"what it computes depends on the values of a tensor: {first}", place) from error
            raise _mixing(failed) or _failure(failed, error, place, input_shape) from error
    return Trace(copied, graph, tracer.shapes, images)


def _mixing(failed: Trace) -> NotCarriedError | None:
    """Return the first operation that mixes the images of the batch, which is why a later one failed, or None."""
    of_images: set[fx.Node] = set()
    for node in failed.graph.nodes:
        inputs = [value for value in node.all_input_nodes if value in of_images]
        shape = failed.shapes.get(node)
        if node.op == "placeholder" or inputs:
            of_images.add(node)
        if inputs and shape is not None and shape[:1] != (failed.images,):
            reason = mixed(shape, failed.images, failed.shapes.get(inputs[0], shape))
            return NotCarriedError(reason, place_of(failed, node), of_images=True)
    return None


def _failure(failed: Trace, error: Exception, place: tuple[str, str], input_shape: Shape) -> NotCarriedError:
    """Return that PyTorch itself, or forward(), fails with the images."""
    last = next(reversed(failed.graph.nodes))
    if last.op == "call_module" and last.all_input_nodes:
        layer, got = failed.module.get_submodule(str(last.target)), failed.shapes.get(last.all_input_nodes[0], ())
        reason = required(layer, got)
        if reason is not None:
            fix = "change the layer, or the size of the images"
            reason = f"the images do not fit: {reason} with images of {times(input_shape)}"
            return NotCarriedError(reason, place, fix, of_images=True)
    what = f"forward() fails with a batch of {failed.images} images of {times(input_shape)}"
    return NotCarriedError(f"{what}: {type(error).__name__}: {_first_line(error)}", place, of_images=True)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:_LONGEST]


@final
class _Value(fx.Proxy):
    """A value of the trace, together with the tensor that it is for the sample batch."""

    def __init__(self, node: fx.Node, tracer: _Tracer, value: Any) -> None:
        super().__init__(node, tracer)
        self.value = value

    def __getattr__(self, name: str) -> Any:
        """Return plain attributes, such as the shape, as they are; methods are recorded when they are called."""
        found = getattr(self.value, name)
        if isinstance(found, torch.Tensor) or callable(found):
            return super().__getattr__(name)
        return found

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Iterator[Any]:
        if self.node.op == "placeholder":
            raise NotCarriedError("forward() unpacks its input, like a pair or a list", fix=_IMAGES_ALONE)
        return iter([operator.getitem(self, position) for position in range(len(self.value))])


def _recorded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method that records an operation in place; torch.fx alone would record `x += y` as `x = x + y`."""

    def method(self: _Value, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", function, (self, other), {})

    return method


for _name in ("iadd", "isub", "imul", "itruediv"):
    setattr(_Value, f"__{_name}__", _recorded(getattr(operator, _name)))


@final
class _Tracer(fx.Tracer):
    """Records each operation, and computes it on the batch."""

    def __init__(self, batch: torch.Tensor) -> None:
        super().__init__()
        self.shapes: dict[fx.Node, Shape] = {}
        self._batch: torch.Tensor | None = batch
        self._running = False

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is one operation: PyTorch's own, and ours, frozen or with padding."""
        return isinstance(m, _LEAVES) or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Record the call of a module, except inside of an operation that is being computed."""
        return forward(*args, **kwargs) if self._running else super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: Any) -> Any:
        """Record the use of a parameter, except inside of an operation that is being computed."""
        return attr_val if self._running else super().getattr(attr, attr_val, parameter_proxy_cache)

    def to_bool(self, obj: fx.Proxy) -> bool:
        """Return the truth of a value that is not a tensor; that of a tensor is not known."""
        if isinstance(obj, _Value) and not isinstance(obj.value, torch.Tensor):
            return bool(obj.value)
        return super().to_bool(obj)

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any, *more: Any, **named: Any) -> Any:
        """Record an operation and compute it; a result without tensors is returned as it is."""
        if kind == "placeholder":
            return self._input(target, args)
        if target is operator.getitem and _picks_from_input(*args):
            raise NotCarriedError(f"forward() reads x[{args[1]!r}], one part of its input", fix=_IMAGES_ALONE)
        node = super().create_proxy(kind, target, args, kwargs, *more, **named).node
        if kind == "output":
            return fx.Proxy(node, self)
        value = self._computed(kind, target, args, kwargs)
        if isinstance(value, torch.Tensor):
            self.shapes[node] = tuple(value.shape)
        elif not _has_tensors(value):
            self.graph.erase_node(node)
            return value
        return _Value(node, self, value)

    def _input(self, target: str, args: tuple[Any, ...]) -> Any:
        """Return the batch for the first argument of forward, the default for each other."""
        batch, self._batch = self._batch, None
        if batch is None:
            if not args or target.startswith("*"):
                raise NotCarriedError(f"forward() has more than one argument: {target}")
            return args[0]
        if target.startswith("*"):
            raise NotCarriedError(f"forward({target}) has no fixed argument for the images")
        node = self.create_node("placeholder", target, args, {})
        self.shapes[node] = tuple(batch.shape)
        return _Value(node, self, batch)

    def _computed(self, kind: str, target: Any, args: Any, kwargs: Any) -> Any:
        self._running = True
        try:
            if kind == "get_attr":
                return operator.attrgetter(target)(self.root)
            args, kwargs = _plain(args), _plain(kwargs)
            if kind == "call_module":
                return self.root.get_submodule(target).forward(*args, **kwargs)
            if kind == "call_method":
                return getattr(args[0], target)(*args[1:], **kwargs)
            return target(*args, **kwargs)
        finally:
            self._running = False


def _picks_from_input(value: Any, key: Any) -> bool:
    """Whether forward() reads one part of its input, as of a dict or a pair."""
    return isinstance(value, _Value) and value.node.op == "placeholder" and isinstance(key, str | int)


def _plain(argument: Any) -> Any:
    """Return an argument with its values in place of the proxies, also inside of tuples, lists, dicts and slices."""
    if isinstance(argument, fx.Proxy):
        return argument.value if isinstance(argument, _Value) else _attribute(argument)
    if isinstance(argument, tuple | list):
        return type(argument)(_plain(each) for each in argument) if type(argument) in (tuple, list) else argument
    if isinstance(argument, dict):
        return {key: _plain(each) for key, each in argument.items()}
    if isinstance(argument, slice):
        return slice(_plain(argument.start), _plain(argument.stop), _plain(argument.step))
    return argument


def _attribute(proxy: fx.Proxy) -> Any:
    """Return the value of an attribute that is a tensor, such as `x.T`."""
    if isinstance(proxy, fx.proxy.Attribute):
        return getattr(_plain(proxy.root), proxy.attr)
    raise NotCarriedError("a value of the trace is not known")


def _has_tensors(value: Any) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, tuple | list):
        return any(map(_has_tensors, value))
    return isinstance(value, torch.Tensor)
