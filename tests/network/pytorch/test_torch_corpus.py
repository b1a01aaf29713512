"""Networks as other people write them are carried over exactly, or refused with the reason: none is silently wrong."""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn
from torch_corpus import CORPUS, Definition

import layerline
from layerline.network.pytorch.carried import carried

if TYPE_CHECKING:
    from collections.abc import Callable

IDS = [each.name for each in CORPUS]
CARRIED = [each for each in CORPUS if not each.refused]
REFUSED = [each for each in CORPUS if each.refused]


def made(definition: Definition) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        module = definition.make()
        if not definition.refused:  # lazy layers get their size
            module.eval()(torch.zeros(2, *definition.shape))
            module.train()
            for part in module.modules():
                if isinstance(part, nn.BatchNorm2d | nn.BatchNorm1d):  # not the ones that they start with
                    part.running_mean.normal_()
                    part.running_var.uniform_(0.5, 2.0)
    return module


def test_the_corpus_is_large():
    """At least 30 definitions, of both kinds."""
    assert len(CARRIED) >= 25
    assert len(REFUSED) >= 25
    assert len(set(IDS)) == len(IDS)


@pytest.mark.parametrize("definition", CARRIED, ids=lambda each: each.name)
def test_outputs_are_the_modules_in_both_modes(definition):
    """Logits within 1e-5 in evaluation, and in training without dropout, with BatchNorm's new running statistics."""
    module = made(definition)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    found = carried(module, definition.shape)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert module.training
    ours = found.network.to_torch()
    ours.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in found.weights.items()})
    ours = nn.Sequential(*ours, nn.LogSoftmax(dim=1))
    x = torch.randn(4, *definition.shape, generator=torch.Generator().manual_seed(2))
    for training in (False, True):
        for each in (*module.modules(), *ours.modules()):
            each.p = 0.0 if hasattr(each, "p") else None
        functional = pytest.MonkeyPatch()
        functional.setattr(torch.nn.functional, "dropout", lambda x, *_a, **_k: x)
        with torch.no_grad():
            expected, result = module.train(training)(x.clone()), ours.train(training)(x.clone())
        functional.undo()
        logits = bool((expected.exp().sum(1) - 1).abs().max() > 1e-4 and (expected.sum(1) - 1).abs().max() > 1e-4)
        if logits:
            expected = torch.log_softmax(expected, 1)
        elif bool((expected >= 0).all()):
            expected = expected.log()
        torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)
    state = ours.state_dict()
    for name, theirs in found.names.items():
        if not name.endswith("num_batches_tracked"):
            expected = module.state_dict()[theirs].reshape(state[name].shape)  # of a Linear that is a 1×1 Conv
            torch.testing.assert_close(state[name], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("definition", REFUSED, ids=lambda each: each.name)
def test_what_cannot_be_carried_over_is_refused_with_every_reason(definition):
    """Each expected reason is at the place where it belongs, in the list and in the error."""
    module = made(definition)
    parts = layerline.torch_support(module, definition.shape)
    for place, reason in definition.refused:
        assert any(place in str(part) and reason in str(part) for part in parts), [str(part) for part in parts]
    assert len(parts) <= len(definition.refused) + 1, [str(part) for part in parts]
    with pytest.raises(layerline.UnsupportedError) as caught:
        layerline.from_torch(module, definition.shape)
    assert caught.value.parts == parts
    assert all(part.path in str(caught.value) and part.reason in str(caught.value) for part in parts)


def refusal(function: Callable[[], object]) -> tuple[str, str]:
    """Return the message of a refusal and its help."""
    with pytest.raises(layerline.UnsupportedError) as caught:
        function()
    return str(caught.value).split("\n  help: ")[0], str(caught.value.help)


GRAY = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 26 * 26, 2))
COLOR = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 26 * 26, 2))


@pytest.mark.parametrize(
    ("module", "shape", "argument", "data"),
    [
        (
            GRAY,
            (28, 28, 1),
            "channels come first: input_shape=(1, 28, 28)",
            "channels come first: x.permute(0, 3, 1, 2)",
        ),
        (GRAY, (1, 32, 32), "input_shape=(1, 28, 28)", "resize the images to 28×28 (load_data has size=)"),
        (
            *(COLOR, (32, 32, 3), "channels come first: input_shape=(3, 28, 28)"),
            "channels come first: x.permute(0, 3, 1, 2), then resize the images to 28×28 (load_data has size=)",
        ),
        (
            *(COLOR, (1, 28, 28), "input_shape=(3, 28, 28)"),
            "repeat the channel: x.expand(-1, 3, -1, -1); or let the module take 1 channel",
        ),
        (
            *(GRAY, (3, 28, 28), "input_shape=(1, 28, 28)"),
            "make x gray: x.mean(1, keepdim=True); or let the module take 3 channels",
        ),
        (GRAY, (4, 28, 28), "input_shape=(1, 28, 28)", "let the module take 4 channels"),
    ],
)
def test_images_that_do_not_fit_are_named_with_both_shapes(module, shape, argument, data):
    """Not a layer is blamed, the batch of the trace is not in the message, and the fix is one for what was passed."""
    taken = "×".join(re.findall(r"\d+", argument))
    expected = "×".join(map(str, shape))
    message = f"Sequential: the images do not fit: found {expected}, but it takes {taken} (channels × height × width)"
    assert refusal(lambda: layerline.from_torch(module, shape)) == (message, argument)
    x, y = torch.rand(6, *shape), torch.arange(6) % 2
    assert refusal(lambda: layerline.fit_torch(module, (x, y), epochs=1)) == (message, data)


def test_channels_are_found_last_for_images_of_any_size():
    """Also for sizes that nobody would try."""
    module = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(4 * 29 * 35, 2))
    message, helps = refusal(lambda: layerline.from_torch(module, (31, 37, 2)))
    assert message.endswith("found 31×37×2, but it takes 2×31×37 (channels × height × width)")
    assert helps == "channels come first: input_shape=(2, 31, 37)"


def test_images_that_follow_the_advice_are_accepted():
    """What the help says makes the images fit."""
    x = torch.rand(6, 28, 28, 1)
    assert layerline.torch_support(GRAY, tuple(x.permute(0, 3, 1, 2).shape[1:])) == ()
    y = torch.arange(6) % 2
    gray = x.permute(0, 3, 1, 2)
    assert layerline.fit_torch(copy.deepcopy(COLOR), (gray.expand(-1, 3, -1, -1), y), epochs=1, lr=0.01).history
    color = gray.expand(-1, 3, -1, -1).mean(1, keepdim=True)
    assert layerline.fit_torch(copy.deepcopy(GRAY), (color, y), epochs=1, lr=0.01).history


def test_the_default_type_does_not_matter():
    """A float32 module is carried over while PyTorch's default type is float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        assert layerline.torch_support(GRAY, (1, 28, 28)) == ()
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize("name", ["lazy", "DataDependent", "hooked", "double_precision"])
def test_a_list_that_may_be_incomplete_says_so(name):
    """What stops the trace hides everything after it."""
    definition = next(each for each in CORPUS if each.name == name)
    _, helps = refusal(lambda: layerline.from_torch(made(definition), definition.shape))
    assert helps.endswith("; not everything was checked, so there may be more")


def test_a_complete_list_does_not_call_itself_incomplete():
    """After a layer without an equivalent, the rest is checked."""
    definition = next(each for each in CORPUS if each.name == "group_norm_and_prelu")
    _, helps = refusal(lambda: layerline.from_torch(made(definition), definition.shape))
    assert helps == "change what is listed; docs/network-file.md has the layers that are available"


def test_weights_without_a_value_are_named():
    """NaN is the reason, not the difference that it makes."""
    module = copy.deepcopy(GRAY)
    with torch.no_grad():
        module[3].weight[1, 5] = float("nan")
    message, helps = refusal(lambda: layerline.from_torch(module, (1, 28, 28)))
    assert message == "Sequential: 3 (Linear): weight has NaN"
    assert helps == "initialize the module again, or load other weights: a training with them diverges"


@pytest.mark.parametrize("name", ["StandardizesItself", "ScalesBytes"])
def test_preparing_images_belongs_to_the_data(name):
    """The help names the data set, not blocks of a network file."""
    definition = next(each for each in CORPUS if each.name == name)
    message, helps = refusal(lambda: layerline.from_torch(made(definition), definition.shape))
    assert "Residual" not in message
    assert helps == "prepare the images in the data set, not in forward(), or let layerline.load_data scale them"
