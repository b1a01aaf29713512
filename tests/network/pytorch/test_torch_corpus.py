"""Networks as other people write them are carried over exactly, or refused with the reason: none is silently wrong."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_corpus import CORPUS, Definition

import layerline
from layerline.network.pytorch.carried import carried

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
            torch.testing.assert_close(state[name], module.state_dict()[theirs], rtol=1e-5, atol=1e-6)


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
    assert all(str(part) in str(caught.value) for part in parts)
