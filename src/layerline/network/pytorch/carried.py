"""A PyTorch module carried over: the network, its weights, and their names in the module."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np
import torch

from layerline.errors import CallError, NetworkError
from layerline.layers import Softmax
from layerline.layers.grammar import times
from layerline.network.check import parse
from layerline.network.pytorch.blocks import Line, lines_of
from layerline.network.pytorch.frozen_part import freeze, frozen_paths, mode_notes, not_frozen, not_still
from layerline.network.pytorch.misfit import misfit
from layerline.network.pytorch.mode_differences import last_softmax
from layerline.network.pytorch.module_checks import check_modes, check_module, still, unwrapped
from layerline.network.pytorch.overwriting import check_overwriting
from layerline.network.pytorch.places import key_of
from layerline.network.pytorch.to_torch import with_weights
from layerline.network.pytorch.torch_operation import NO_PADS
from layerline.network.pytorch.torch_operations import SOFTMAXES, softmax_of
from layerline.network.pytorch.tracing import Trace, trace
from layerline.network.pytorch.unsupported import Findings, NotCarriedError
from layerline.network.pytorch.walk import Walk
from layerline.network_file import formatted
from layerline.numbers import display
from layerline.numbers.scalars import is_whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import nn

    from layerline.network.graph import Network

_IMAGES: Final = (3, 5)
"""The numbers of images of the traces: two, so that a number that is written in forward() shows."""
_CLOSE: Final = 1e-5
"""The largest difference of a logit, relative to the largest logit."""
_SOFTMAX: Final = "softmax"
_SIGMOID: Final = "sigmoid"

Output = Callable[[torch.Tensor], torch.Tensor]


@final
@dataclass(frozen=True, eq=False)
class Carried:
    """A module as a network with its weights."""

    network: Network
    weights: Mapping[str, NDArray[Any]]
    """Copies, with the names, layouts and order of `network.to_torch().state_dict()`; float32 (counts int64)."""
    names: Mapping[str, str]
    """The name of a weight in the network → that in the module's `state_dict()`."""
    notes: tuple[str, ...] = ()
    """What differs from a training in PyTorch: the loss, the mode of frozen layers; also in the network's notes."""
    not_frozen: tuple[str, ...] = ()
    """The module's parameters with requires_grad=False that the network would train."""


def carried(module: nn.Module, input_shape: tuple[int, int, int], *, of_data: bool = False) -> Carried:
    """Return the module as a network, for images of `input_shape` (C, H, W).

    Raises UnsupportedError with everything that a network file cannot express, also if the outputs of both differ by
    more than 1e-5 of the largest logit. The module is not changed. of_data: whether the shape is that of images which
    were passed, not an argument.
    """
    shape = _checked_shape(input_shape)
    inner, prefix = unwrapped(module)
    findings = Findings(type(inner).__name__)
    if not check_module(inner, findings):
        findings.raise_any(complete=False)
    held = copy.deepcopy(inner).cpu()
    traces = _traces(held, shape, findings, of_data=of_data)
    unmoved = still(held, traces[0].module)
    check_modes(traces[0].module, findings, training=True, frozen=unmoved)
    check_modes(traces[1].module, findings, training=False)
    findings.raise_any()
    softmax = last_softmax(traces[0], traces[1], findings)
    check_overwriting(traces[0], findings)
    lines, found = _lines(traces[0], traces[2], findings)
    lines = _frozen(held, lines, unmoved, findings)
    output: Output = found if softmax is None else SOFTMAXES[key_of(traces[1], softmax)]
    network = _network(lines, shape, findings)
    names = _names(traces[0].module, lines, network)
    state = held.state_dict()
    weights = _weights(network, state, names)
    _check_outputs(held, network, weights, output, findings)
    loss = _loss_notes(network, found)
    network = dataclasses.replace(network, notes=(*network.notes, *loss))
    others, notes = not_frozen(held, network, names), mode_notes(held, lines, unmoved)
    left = (_note(others),) if others else ()
    network = dataclasses.replace(network, notes=(*network.notes, *notes, *left))
    names = {ours: prefix + theirs for ours, theirs in names.items()}
    return Carried(network, weights, names, (*loss, *notes), tuple(prefix + name for name in others))


def _checked_shape(input_shape: Any) -> tuple[int, int, int]:
    try:
        sizes = tuple(input_shape)
    except TypeError:
        sizes = ()
    if len(sizes) != 3 or not all(is_whole(size) and size >= 1 for size in sizes):
        given = display.name(str(input_shape), 60)
        raise CallError(
            f"input_shape={given}: must be channels, height and width of an image, without the batch",
            "for example (1, 28, 28)",
        )
    return int(sizes[0]), int(sizes[1]), int(sizes[2])


def _traces(
    module: nn.Module, shape: tuple[int, int, int], findings: Findings, *, of_data: bool
) -> tuple[Trace, Trace, Trace]:
    """Return the traces in training, in evaluation, and in training with another number of images."""
    few, more = _IMAGES
    found: list[Trace] = []
    for images, training in ((few, True), (few, False), (more, True)):
        try:
            found.append(trace(module, shape, images, training=training))
        except NotCarriedError as error:
            other = misfit(module, shape, of_data=of_data) if error.of_images and not found else None
            many = f"with another number of images, {images} instead of {few}: " if images != few else ""
            if other is not None:
                findings.add("", findings.name, *other)
            else:
                findings.add(*error.place, many + error.reason, error.fix)
            findings.raise_any(complete=False)
    return found[0], found[1], found[2]


def _lines(training: Trace, other: Trace, findings: Findings) -> tuple[list[Line], Output]:
    """Return the lines without a last softmax, and what the module does with the logits at the end."""
    walk = Walk(training, other, findings)
    ends = walk.run()
    findings.raise_any()
    assert ends is not None  # noqa: S101 - without a finding there is an output
    first, last = ends
    try:
        lines = lines_of(walk.steps, first.node, last.node)
    except NotCarriedError as error:
        findings.add(*error.place, error.reason)
        findings.raise_any()
    output: Output = _same
    if lines and _is_softmax(lines[-1]):
        lines, output = lines[:-1], SOFTMAXES[key_of(training, last.node)]
    for line in filter(_is_softmax, lines):
        findings.add(*line.place, "a softmax is only available at the end")
    if last.pads != NO_PADS:
        findings.add("", "its output", "it ends with padding")
    elif len(last.shape) == 3:
        findings.add("", "its output", f"it is a {times(last.shape)} image; flatten it to one number per class")
    elif last.shape == (1,):
        reason = "it is one number; a network has one output per class: two classes need two, without a sigmoid"
        findings.add("", "its output", reason)
    findings.raise_any()
    return lines, output


def _frozen(module: nn.Module, lines: list[Line], unmoved: set[str], findings: Findings) -> list[Line]:
    """Return the lines with the frozen part in a Freeze. All layers that stay in evaluation mode must be in it."""
    found = freeze(lines, unmoved)
    for path in sorted(unmoved.intersection(line.place[0] for line in lines) - frozen_paths(found)):
        reason = "it stays in evaluation mode, but comes after trained parameters: a frozen part starts at the input"
        findings.add(path, type(module.get_submodule(path)).__name__, reason)
    for line in not_still(found):
        reason = (
            "it uses the running statistics in training, too, but not all parameters up to it are frozen; "
            "pass training=self.training, or freeze them (requires_grad=False)"
        )
        findings.add(*line.place, reason)
    findings.raise_any()
    return found


def _same(logits: torch.Tensor) -> torch.Tensor:
    return logits


def _is_softmax(line: Line) -> bool:
    return line.part is not None and line.part.layer.kind == _SOFTMAX


def _network(lines: list[Line], shape: tuple[int, int, int], findings: Findings) -> Network:
    """Return the network of the lines, read by the parser, so that all of its checks apply."""
    head = f"# from PyTorch: {display.name(findings.name, 60)}\nInput {' '.join(map(str, shape))}\n"
    text = head + "\n".join([*(line.text for line in lines), Softmax.word.name]) + "\n"
    try:
        return parse(formatted(text), name=findings.name)
    except NetworkError as error:
        findings.add("", findings.name, error.with_flags)
        findings.raise_any()
        raise


def _names(module: nn.Module, lines: list[Line], network: Network) -> dict[str, str]:
    """Return the names of the network's weights in the module."""
    tensors = [*module.named_parameters(), *module.named_buffers()]
    theirs = {id(tensor): name for name, tensor in tensors}
    known = {name for name, _ in tensors}
    nodes = (node for node in network.nodes if not node.layer.branches)
    found: dict[str, str] = {}
    for part, node in zip((line.part for line in lines if line.part is not None), nodes, strict=False):
        for name in (weight.name for weight in part.layer.weights(*node.input_shapes)):
            if name in part.weights:
                found[f"{node.path}.{name}"] = theirs[id(part.weights[name])]
            else:  # num_batches_tracked is in no call
                beside = theirs[id(part.weights["running_mean"])].rpartition(".")[0]
                counted = f"{beside}.{name}" if beside else name
                found |= {f"{node.path}.{name}": counted} if counted in known else {}
    return found


def _weights(network: Network, state: Mapping[str, torch.Tensor], names: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """Return copies of the weights; a count that the module does not have is 0."""
    return {
        name: np.array(state[names[name]].numpy() if name in names else 0, weight.dtype).reshape(weight.shape)
        for name, weight in network.weights.items()
    }


def _check_outputs(
    module: nn.Module, network: Network, weights: Mapping[str, NDArray[Any]], output: Output, findings: Findings
) -> None:
    """Add a finding and raise it if the network's outputs are not the module's on random images, in evaluation."""
    ours = with_weights(network, weights)
    theirs = copy.deepcopy(module).eval()
    shape, generator = (_IMAGES[0], *network.input_shape), torch.Generator().manual_seed(0)
    batch = torch.randn(shape, generator=generator, dtype=torch.float32)  # whatever the default type is
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        found, expected = output(ours(batch.clone())), theirs(batch.clone())
    largest = float(expected.abs().max())
    difference = float((found - expected).abs().max())
    if not difference <= _CLOSE * largest:
        findings.add(
            "",
            findings.name,
            f"the same weights give other outputs: they differ by {difference:.3g}, the largest is {largest:.3g}",
        )
        findings.raise_any()


def _loss_notes(network: Network, output: Output) -> tuple[str, ...]:
    """Return what the loss of a training is, for a module that probably had another one."""
    if output is softmax_of:
        return ("the module ends with a softmax; the loss is the cross-entropy of the softmax's input, the logits",)
    if len(network.nodes) > 1 and network.nodes[-2].layer.kind == _SIGMOID:
        count = display.counted(network.classes, "output")
        return (
            f"the module ends with a sigmoid, as for BCELoss; the loss is the cross-entropy of its {count}, of which "
            "one is the class",
        )
    return ()


def _note(names: Sequence[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0]}{more}: requires_grad=False in PyTorch, but trained here: a frozen part starts at the input"
