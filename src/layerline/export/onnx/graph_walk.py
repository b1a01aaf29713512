"""From an ONNX graph to layers: each operation by its rule, everything unsupported with its node."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from layerline.export.onnx.constant_folding import Folding
from layerline.export.onnx.held import PADDED, Function, Held, PixelScaling
from layerline.export.onnx.onnx_rules import RULES
from layerline.export.onnx.scalar_functions import POINTS, is_tanh_gelu, linear, recognized
from layerline.export.onnx.weighted import of_numbers
from layerline.layers import Add, Flat, Gate
from layerline.network.pytorch.blocks import lines_of
from layerline.network.pytorch.linear_gates import as_images
from layerline.network.pytorch.torch_operation import NO_PADS, LayerStep, Part, TracedValue, check_parts
from layerline.network.pytorch.unsupported import NotCarriedError
from layerline.network_file import MOST_LAYERS
from layerline.network_file.unavailable import UNAVAILABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from layerline.export.onnx.onnx_graph import Graph, Operation
    from layerline.export.onnx.scalar_functions import Points
    from layerline.layers import BlockEnd, Shape
    from layerline.network.pytorch.blocks import Line
    from layerline.network.pytorch.unsupported import Findings

FREE_BATCH: Final = 1_000_003
"""The number of images while a graph is walked whose batch is free: a prime that no other size is."""
_QUANTIZED: Final = ("QLinear", "Quantize", "Dequantize", "ConvInteger", "MatMulInteger", "DynamicQuantize", "QGemm")
_JOINS: Final[dict[str, type[BlockEnd]]] = {"add": Add, "gate": Gate}
_DEEPEST: Final = 16
"""Operations that may compute one activation; GELU takes 8."""
_MOST_CANDIDATES: Final = 4
"""Values that one may be an activation of: the first, and the last ones."""
_TWICE: Final = {"add": "it adds a value to itself", "gate": "it multiplies a value by itself"}


@final
class GraphWalk:
    """Walks once through a graph; `steps` are complete if nothing was added to the findings."""

    def __init__(self, graph: Graph, shape: Shape, batch: int, findings: Findings) -> None:
        """Prepare; shape: (C, H, W) of the images; batch: how many the graph is walked with."""
        self.steps: dict[Any, LayerStep] = {}
        self.batch = batch
        self.opset = graph.opset
        self.scaling: PixelScaling | None = None
        """How the pixels are scaled for the first layers."""
        self._graph, self._findings, self._folding = graph, findings, Folding()
        self._values: dict[str, Held | NDArray[Any]] = dict(graph.constants)
        self._traced: dict[Any, TracedValue] = {}
        self._lost: set[str] = set()
        """Values after an operation that was refused."""
        self._settled: dict[Function, Held] = {}
        self._used: dict[Any, int] = {}
        """A value of the steps → how many of them use it."""
        self._uses: dict[str, int] = {}
        """A value of the graph → how many operations use it; the output is used, too."""
        for operation in graph.operations:
            for name in operation.inputs:
                self._uses[name] = self._uses.get(name, 0) + 1
        self._uses[graph.output] = self._uses.get(graph.output, 0) + 1
        self.images = Held(
            graph.input,
            TracedValue(graph.input, shape),
            last=False,
            prepared=PixelScaling(np.ones(shape[0]), np.zeros(shape[0])),
        )

    def lines(self, *, channels_last: bool) -> tuple[list[Line], Held] | None:
        """Return the lines of the network, and its output; None after a finding.

        channels_last: whether the images of the graph are (N, H, W, C).
        """
        self._keep(self._graph.input, dataclasses.replace(self.images, last=channels_last))
        for operation in self._graph.operations:
            self._step(operation)
        found = self._values.get(self._graph.output)
        if self._findings.parts:
            return None
        if not isinstance(found, Held):
            self._findings.add(self._graph.output, "output", "it does not depend on the images")
            return None
        try:
            output = self._vector(self.settled(found))
            self._source(output)
            return lines_of(self.steps, self._graph.input, output.traced.node), output
        except NotCarriedError as error:
            self._findings.add(*error.place, error.reason, error.fix)
            return None

    def _vector(self, held: Held) -> Held:
        """Return an output of C×1×1 as the vector of its numbers: SqueezeNet ends so."""
        step = self.steps.get(held.traced.node)
        if step is None or held.shape[1:] != (1, 1) or held.traced.pads != NO_PADS:
            return held
        name = (held.traced.node, "flat")
        self._put(name, LayerStep((self._source(held),), (Part(Flat()),), step.place))
        return Held(held.name, TracedValue(name, held.shape[:1]))

    def _keep(self, name: str, value: Held | NDArray[Any]) -> None:
        self._values[name] = value
        if isinstance(value, Held):
            self._traced.setdefault(value.traced.node, value.traced)

    def _step(self, operation: Operation) -> None:
        """Apply the rule of an operation; what comes after a refused one is checked no further."""
        place = (operation.name, operation.kind)
        if self._lost.intersection(operation.inputs):
            self._lost.update(operation.outputs)
            return
        try:
            inputs = tuple(self._input(name) for name in operation.inputs)
            self._keep(operation.output, self._found(operation, inputs))
        except NotCarriedError as error:
            where = error.place if error.place[0] else place
            self._findings.add(*where, error.reason, error.fix)
            self._lost.update(operation.outputs)

    def _input(self, name: str) -> Held | NDArray[Any] | None:
        if not name:
            return None
        if name not in self._values:
            raise NotCarriedError(f"its input {name[:60]} is not in the file")
        return self._values[name]

    def _found(self, operation: Operation, inputs: tuple[Any, ...]) -> Held | NDArray[Any]:
        """Return the output of an operation. Raises NotCarriedError."""
        if operation.kind.startswith(_QUANTIZED):
            fix = "export the model before it is quantized, in float32"
            raise NotCarriedError("it computes with quantized integers, which are not supported", fix=fix)
        if operation.foreign:
            reason = f"it is of {operation.foreign}, not one of ONNX's own operations"
            raise NotCarriedError(reason, fix="export the model without that program's optimizations")
        rule = RULES.get(operation.kind)
        if rule is None and not any(isinstance(each, Held) for each in inputs):
            return self._folding.computed(operation, inputs)
        if rule is None:
            help_ = UNAVAILABLE.get(operation.kind.lower())
            raise NotCarriedError("a network file has no equivalent" + (f": {help_}" if help_ else ""))
        if not any(isinstance(each, Held) for each in inputs):
            return self._folding.computed(operation, inputs)
        return rule(self, operation, inputs)

    def uses(self, name: str) -> int:
        """Return the number of operations that use a value, and one more for the output."""
        return self._uses.get(name, 0)

    def layers(self, operation: Operation, held: Held, parts: tuple[Part, ...], **changes: Any) -> Held:
        """Return what layers compute of a value; changes: of what else is known of the value."""
        held = self.settled(held)
        if held.traced.pads != NO_PADS:
            raise NotCarriedError(PADDED)
        name, shape = operation.output, check_parts(parts, held.shape)
        self._put(name, LayerStep((self._source(held),), parts, (operation.name, operation.kind)))
        changes = {"last": held.last, "order": held.order, **changes}
        return Held(name, TracedValue(name, shape), **changes)

    def _put(self, name: Any, step: LayerStep) -> None:
        if len(self.steps) >= MOST_LAYERS:
            raise NotCarriedError(f"it makes more than {MOST_LAYERS:,d} layers, the maximum for a network", step.place)
        self.steps[name] = step
        for node in step.inputs:
            self._used[node] = self._used.get(node, 0) + 1

    def join(self, operation: Operation, layer: BlockEnd, several: tuple[Held, ...]) -> Held:
        """Return what the end of a block makes of several values."""
        return self._joined(operation.output, (operation.name, operation.kind), layer, several)

    def _joined(self, name: str, place: tuple[str, str], layer: BlockEnd, several: tuple[Held, ...]) -> Held:
        settled = tuple(map(self.settled, several))
        if any(each.traced.pads != NO_PADS for each in settled):
            raise NotCarriedError(PADDED, place)
        if len({each.traced.node for each in settled}) == 1 and layer.kind in _TWICE:
            raise NotCarriedError(_TWICE[layer.kind], place)
        largest = max(settled, key=lambda each: int(np.prod(each.shape)))
        if len({each.last for each in settled if each.shape[1:] != (1, 1)}) > 1:
            raise NotCarriedError("its inputs have their dimensions in different orders", place)
        if len({each.order for each in settled}) > 1:
            raise NotCarriedError("its inputs were flattened in different orders", place)
        sources = tuple(map(self._source, settled))
        self._put(name, LayerStep(sources, (), place, layer))
        shape = layer.output_shape(*(each.shape for each in settled)) if layer.kind != "gate" else largest.shape
        return Held(name, TracedValue(name, shape), last=largest.last, order=largest.order)

    def _source(self, held: Held) -> Any:
        """Return the step of a value; of the images, check that they are always scaled equally."""
        if held.prepared is not None:
            first = self.scaling = self.scaling or held.prepared
            same = np.array_equal(first.scale, held.prepared.scale) and np.array_equal(first.shift, held.prepared.shift)
            if not same:
                raise NotCarriedError("the images are scaled in two ways; a network has one scaling")
        node = held.traced.node
        if self._traced.setdefault(node, held.traced).shape != held.shape:
            raise NotCarriedError("it uses a vector that another operation makes an image of")
        return node

    def replaced(self, held: Held, parts: tuple[Part, ...], operation: Operation) -> Held:
        """Return a value whose only step becomes other layers of the same shape."""
        self.steps[held.traced.node] = dataclasses.replace(self.steps[held.traced.node], parts=parts)
        return held.named(operation.output)

    def image_of(self, held: Held, operation: Operation, *, last: bool) -> Held:
        """Return a vector of C numbers as an image of C×1×1."""
        held = self.settled(held)
        if held.order is not None:
            raise NotCarriedError("it makes an image of a vector whose order is height, width, channel")
        node = self._source(held)
        for each in as_images(self.steps, self._traced, node, lambda each: self._used.get(each, 0) + (each == node)):
            self._traced[each] = TracedValue(each, (self._traced[each].shape[0], 1, 1))
        return Held(operation.output, self._traced[node], last=last)

    def settled(self, held: Held) -> Held:
        """Return a value as layers compute it: a function becomes a layer, if there is one with its values."""
        function = held.function
        if function is None:
            return held
        if function not in self._settled:
            self._settled[function] = self._layered(held, function)
        found = self._settled[function]
        return dataclasses.replace(held, function=None, raw=None, traced=found.traced, prepared=found.prepared)

    def _layered(self, held: Held, function: Function) -> Held:
        """Return a function as a layer of the latest value of which there is one, or as the end of a block."""
        for base, values in reversed(function.candidates):
            layers = recognized(values)
            if layers is not None:
                settled = self.settled(base)
                if not layers:
                    return settled
                self._put(held.name, LayerStep((self._source(settled),), tuple(map(Part, layers)), function.place))
                return dataclasses.replace(settled, traced=TracedValue(held.name, held.shape), prepared=None)
        if function.join is not None:
            kind, *several = function.join
            return self._joined(held.name, function.place, _JOINS[kind](), tuple(several))
        for base, values in reversed(function.candidates):
            numbers = linear(values)
            if numbers is not None:
                settled = self.settled(base)
                part = of_numbers(settled.shape, *numbers)
                self._put(held.name, LayerStep((self._source(settled),), (part,), function.place))
                return dataclasses.replace(settled, traced=TracedValue(held.name, held.shape), prepared=None)
        reason = "it computes a function that is none of the activations of a network file"
        if is_tanh_gelu(function.candidates[0][1]):
            reason = "it computes the approximation of GELU by tanh; only the exact GELU is available"
        raise NotCarriedError(reason, function.place)

    def function(
        self, operation: Operation, several: tuple[Held, ...], compute: Callable[..., Any], join: Any = None
    ) -> Held:
        """Return a value that is a function of other ones, which are functions of the same value."""
        if any(each.traced.pads != NO_PADS for each in several):
            raise NotCarriedError(PADDED)
        several = tuple(self.settled(each) if _depth(each) >= _DEEPEST else each for each in several)
        first, *others = ({each.key: (each, values) for each, values in _candidates(held)} for held in several)
        with np.errstate(all="ignore"):
            candidates = tuple(
                (base, np.asarray(compute(values, *(each[key][1] for each in others)), np.float64))
                for key, (base, values) in first.items()
                if all(key in each for each in others)
            )
        if not candidates:
            raise NotCarriedError("it computes a function that is none of the activations of a network file")
        known = join is not None or any(recognized(values) is not None for _, values in candidates)
        place, depth = (operation.name, operation.kind), 1 + max(map(_depth, several))
        function = Function(candidates, place, join, depth, known)
        return dataclasses.replace(several[0], name=operation.output, function=function)

    def alike(self, first: Held, second: Held) -> bool:
        """Return whether two values are functions of one value."""
        keys = {base.key for base, _ in _candidates(first)}
        return first.last == second.last and any(base.key in keys for base, _ in _candidates(second))


def _depth(held: Held) -> int:
    function = held.function or held.raw
    return 0 if function is None else function.depth


def _candidates(held: Held) -> tuple[tuple[Held, Points], ...]:
    """Return the values that a value is a function of, the last of them the value itself if layers can compute it."""
    function = held.function or held.raw
    before = () if function is None else function.candidates
    found = (*before, (held, POINTS)) if held.function is None or held.function.known else before
    return found if len(found) <= _MOST_CANDIDATES else (found[0], *found[1 - _MOST_CANDIDATES :])
