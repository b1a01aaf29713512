"""From the trace of a PyTorch module to layers: each operation by its rule, everything unsupported with its place."""

from __future__ import annotations

import inspect
import operator
from typing import TYPE_CHECKING, Any, Final, final

from torch import fx

from layerline.layers.grammar import times
from layerline.network.pytorch.linear_gates import as_images
from layerline.network.pytorch.places import place_of
from layerline.network.pytorch.torch_operation import (
    NO_PADS,
    AsImage,
    At,
    Join,
    LayerStep,
    Padding,
    Part,
    Rule,
    TracedValue,
    check_parts,
)
from layerline.network.pytorch.torch_operations import FUNCTIONS, METHODS, MODULES
from layerline.network.pytorch.unsupported import NotCarriedError, mixed
from layerline.network_file.unavailable import UNAVAILABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from layerline.layers import Shape
    from layerline.network.pytorch.tracing import Trace
    from layerline.network.pytorch.unsupported import Findings

_NONE: Final = "a network file has no equivalent"
_WORDS: Final = {"sub": "subtract", "interpolate": "upsample"}
"""PyTorch's functions → the words under which a help for network files has them."""
_IN_PYTORCH: Final = {
    "prelu": "slopes are not learned; nn.LeakyReLU(0.25) has its initial slope",
    **dict.fromkeys(
        ("subtract", "maximum", "minimum"), "values can only be added (x + y), concatenated, or multiplied: x * g(x)"
    ),
    **dict.fromkeys(("groupnorm", "layernorm", "instancenorm2d"), "the only normalization layer is nn.BatchNorm2d"),
    **dict.fromkeys(
        ("stochasticdepth", "droppath"), "it drops whole branches in training; replace the module with nn.Identity()"
    ),
    "softmax2d": "only a softmax over the classes is available, at the end",
}
"""The same words → the help for a module, if the one for network files is about their text."""
_PREPARES: Final = frozenset(
    {
        *("add", "sub", "mul", "div", "truediv", "pow", "clamp", "clip", "neg", "rsub", "iadd", "isub", "imul"),
        *("itruediv", "permute", "transpose", "swapaxes", "flip", "interpolate", "normalize", "to", "type"),
        *("double", "half"),
    }
)
"""Functions and methods that prepare images, if nothing else was computed of them before."""
_PREPARATION: Final = "it prepares the images, which a network file does not"
_PREPARE: Final = "prepare the images in the data set, not in forward(), or let layerline.load_data scale them"
_TWICE: Final = {
    "add": "it adds a value to itself",
    "gate": "it multiplies a value by itself",
}
_CALLS: Final = ("call_module", "call_function", "call_method")


@final
class Walk:
    """Walks once through a trace; `steps` are complete if nothing was added to the findings."""

    def __init__(self, trace: Trace, other: Trace, findings: Findings) -> None:
        """Prepare; `other` is the same trace with another number of images."""
        self.steps: dict[fx.Node, LayerStep] = {}
        self._trace, self._findings = trace, findings
        self._values: dict[fx.Node, TracedValue] = {}
        self._images_only: set[fx.Node] = set()
        """Operations that prepare the images."""
        self._used: dict[int, str] = {}
        """The tensors that are weights of a layer → the path of the first operation that uses them."""
        self._named = {id(tensor) for tensor in (*trace.module.parameters(), *trace.module.buffers())}
        pairs = zip(trace.graph.nodes, other.graph.nodes, strict=False)
        self._others = {node: other.shapes.get(same) for node, same in pairs}
        self._images = (trace.images, other.images)

    def run(self) -> tuple[TracedValue, TracedValue] | None:
        """Return the input and the output of the module; None if the output cannot be a network's."""
        *nodes, output = self._trace.graph.nodes
        needed = _needed(output)
        first = next(node for node in nodes if node.op == "placeholder")
        self._values[first] = TracedValue(first, self._trace.shapes[first][1:])
        for node in nodes:
            if node in needed and node.op in _CALLS:
                self._step(node)
        result = output.args[0]
        if not isinstance(result, fx.Node):
            count = f" of {len(result)} values" if isinstance(result, tuple | list | dict) else ""
            kind = type(result).__name__.replace("immutable_", "")
            self._findings.add("", "its output", f"it is a {kind}{count}; a network has one output, the logits")
            return None
        if result not in self._values:
            return None
        return self._values[first], self._values[result]

    def _step(self, node: fx.Node) -> None:
        """Apply the rule of an operation; continue after a finding with the shape that PyTorch computed."""
        rule, arguments = self._rule(node)
        place = place_of(self._trace, node)
        inputs = node.all_input_nodes
        shape = None
        prepares = self._prepares(node, place[1])
        if prepares:
            self._images_only.add(node)
        try:
            if rule is None:
                reason = (_PREPARATION, _PREPARE) if prepares else (_no_equivalent(place[1]),)
                self._findings.add(*place, *reason)
            elif any(value not in self._values and value.op != "get_attr" for value in inputs):
                return  # of a value that was refused
            shape = self._shape(node)
            if rule is not None:
                self._apply(node, rule, arguments, shape, place)
        except NotCarriedError as error:
            if rule is not None:
                self._findings.add(*place, *((_PREPARATION, _PREPARE) if prepares else (error.reason,)))
        if node not in self._values and shape is not None and any(value in self._values for value in inputs):
            self._values[node] = TracedValue(node, shape)

    def _prepares(self, node: fx.Node, name: str) -> bool:
        """Whether an operation is of the images alone, before any layer, and one that prepares them."""
        values = [value for value in node.all_input_nodes if value.op != "get_attr"]
        of_images = bool(values) and all(self._is_image(value) for value in values)
        return of_images and node.op != "call_module" and name.removeprefix("x.").rstrip("_") in _PREPARES

    def _is_image(self, value: fx.Node) -> bool:
        found = self._values.get(value)
        return found is not None and (found.node.op == "placeholder" or found.node in self._images_only)

    def _apply(self, node: fx.Node, rule: Rule, arguments: Any, shape: Shape, place: tuple[str, str]) -> None:
        line = None
        if node.op == "call_module":
            line = getattr(self._trace.module.get_submodule(str(node.target)), "line", None)
        args, kwargs = arguments
        found = _called(rule, At(shape, line), args, kwargs)
        inputs = list(_traced((*args, *kwargs.values())))
        if isinstance(found, Padding):
            self._values[node] = TracedValue(inputs[0].node, inputs[0].shape, found.pads, found.fill)
            return
        for value in inputs:
            if value.pads != NO_PADS and not (isinstance(found, tuple) and _slides(found)):
                raise NotCarriedError("its input is padded before; only a convolution or a pool can take padding")
        if isinstance(found, Join):
            values = tuple(value.node for value in found.values)
            if len(set(values)) == 1 and found.layer.kind in _TWICE:
                raise NotCarriedError(_TWICE[found.layer.kind])
            self.steps[node] = LayerStep(values, (), place, found.layer)
        elif isinstance(found, AsImage):
            as_images(self.steps, self._values, inputs[0].node, lambda node: len(node.users))
            self._values[node] = TracedValue(inputs[0].node, shape)
            return
        elif found:
            check_parts(found, inputs[0].shape, shape)
            self._check_weights(found, place[0])
            self.steps[node] = LayerStep((inputs[0].node,), found, place)
        else:  # an expanded value keeps its shape: only a product can take it for the larger one
            self._values[node] = TracedValue(inputs[0].node, inputs[0].shape)
            return
        self._values[node] = TracedValue(node, shape)

    def _rule(self, node: fx.Node) -> tuple[Rule | None, tuple[tuple[Any, ...], dict[str, Any]]]:
        """Return the rule of an operation, if there is one, and its arguments."""
        args, kwargs = fx.map_arg((tuple(node.args), dict(node.kwargs)), self._argument)
        if node.op == "call_module":
            module = self._trace.module.get_submodule(str(node.target))
            return MODULES.get(type(module)), ((module, *args), kwargs)
        table: Any = FUNCTIONS if node.op == "call_function" else METHODS
        return table.get(node.target), (args, kwargs)

    def _argument(self, node: fx.Node) -> Any:
        if node.op == "get_attr":
            return operator.attrgetter(str(node.target))(self._trace.module)
        return self._values.get(node)

    def _shape(self, node: fx.Node) -> Shape:
        """Return the shape of an operation's output per image. Raises NotCarriedError if it is neither."""
        shape, other = self._trace.shapes.get(node), self._others.get(node)
        if shape is None:
            raise NotCarriedError("it has several outputs; a network file has one value after the other")
        if not any(value in self._values for value in node.all_input_nodes):
            raise NotCarriedError("it computes with parameters; a layer only has parameters of its own")
        images, more = self._images
        before = next((self._trace.shapes[each] for each in node.all_input_nodes if each in self._values), shape)
        if shape[:1] != (images,) or other is None or other[:1] != (more,) or shape[1:] != other[1:]:
            raise NotCarriedError(mixed(shape, images, before))
        if len(shape) not in (2, 4):
            raise NotCarriedError(
                f"it makes {times(shape[1:]) or 'one number'} of {times(before[1:])}; a value is an image (channels × "
                "height × width) or a vector"
            )
        return shape[1:]

    def _check_weights(self, parts: tuple[Part, ...], path: str) -> None:
        for name, tensor in (item for part in parts for item in part.weights.items()):
            if id(tensor) not in self._named:
                raise NotCarriedError(f"its {name} is not a parameter of the module, but computed or constant")
            if id(tensor) in self._used:
                raise NotCarriedError(
                    f"its weights are used twice, first in {self._used[id(tensor)] or 'forward'}; each layer of a "
                    "network file has its own weights"
                )
            self._used[id(tensor)] = path


def _traced(arguments: Iterable[Any]) -> Iterator[TracedValue]:
    """Yield the values among arguments, also those in a list."""
    for each in arguments:
        if isinstance(each, TracedValue):
            yield each
        elif isinstance(each, tuple | list):
            yield from _traced(each)


def _called(rule: Rule, at: At, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        bound = inspect.signature(rule).bind(at, *args, **kwargs)
    except TypeError as error:
        raise NotCarriedError(f"it is called with something that is not supported: {error}") from error
    return rule(*bound.args, **bound.kwargs)


def _needed(output: fx.Node) -> set[fx.Node]:
    """Return the operations that the output depends on."""
    found: set[fx.Node] = set()
    open_ = [output]
    while open_:
        node = open_.pop()
        open_ += [value for value in node.all_input_nodes if value not in found]
        found.update(node.all_input_nodes)
    return found


def _slides(parts: tuple[Part, ...]) -> bool:
    return all(part.layer.slides() is not None for part in parts) and bool(parts)


def _no_equivalent(name: str) -> str:
    word = name.removeprefix("x.").lower().replace("_", "")
    word = _WORDS.get(word, word)
    helps = _IN_PYTORCH.get(word, UNAVAILABLE.get(word))
    return _NONE if helps is None else f"{_NONE}: {helps}"
