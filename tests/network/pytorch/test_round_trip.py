"""to_torch and from_torch are each other's inverse, and what from_torch leaves behind is nothing."""

from __future__ import annotations

import copy
import math
import pickle
import random
import sys

import numpy as np
import pytest
import small_data
import torch
from random_networks import KINDS, draw
from torch import nn

import layerline
from layerline.network import Network, parse, preset, presets
from layerline.network.pytorch.carried import carried
from layerline.network.start import Start, digest
from layerline.recipe import Recipe
from layerline.training.prepared import prepare

NETWORKS = {
    **{name: parse(preset(name), name=name, input_shape=(3, 32, 32), classes=10) for name in presets()},
    **{f"random {number}": parse(draw(random.Random(f"torch {number}"), KINDS)) for number in range(200)},
}
GROUPS = [list(NETWORKS)[first : first + 26] for first in range(0, len(NETWORKS), 26)]


def described(network: Network) -> list[tuple[object, ...]]:
    """Everything of the nodes but their lines; a Softmax at the end is the same network as none, and so is one with
    layers in its Freeze that are the same in training and in evaluation."""
    nodes = [node for node in network.nodes if node.layer.kind != "softmax"]
    frozen = [node.frozen and (node.layer.only_in_training or bool(node.weights)) for node in nodes]
    described = [(node.index, node.layer, node.inputs, node.input_shapes, node.shape, node.path) for node in nodes]
    return list(zip(described, frozen, strict=True))


@pytest.mark.parametrize("names", GROUPS, ids=lambda names: names[0])
def test_from_torch_of_to_torch_is_the_same_network(names):
    """Nodes, weights (bit for bit) and names are the same, outputs within 1e-6, for every preset and random network."""
    for name in names:
        network = NETWORKS[name]
        module = network.to_torch()
        found = carried(module, network.input_shape)
        assert described(found.network) == described(network), network.text
        state = module.state_dict()
        assert list(found.weights) == list(state) == list(found.names) == list(found.names.values())
        for key, value in state.items():
            assert found.weights[key].dtype == value.numpy().dtype
            np.testing.assert_array_equal(found.weights[key], value.numpy())
        again = found.network.to_torch().eval()
        again.load_state_dict({key: torch.from_numpy(value) for key, value in found.weights.items()})
        x = torch.randn(2, *network.input_shape, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            torch.testing.assert_close(again(x), module.eval()(x), rtol=1e-6, atol=1e-6)


def test_the_text_is_what_fmt_writes():
    """The text is formatted, has the input and the class of the module, and reads as the same network."""
    from layerline.network_file import formatted

    module = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 5, 3))
    network = layerline.from_torch(module, (1, 6, 5))
    assert network.text == (
        "# from PyTorch: Sequential\nInput 1 6 5\nConv 4 kernel=3 padding=1\nReLU\nFlat\nFC 3\nSoftmax\n"
    )
    assert formatted(network.text) == network.text
    assert parse(network.text, name="Sequential") == network


def test_a_layer_that_was_changed_afterwards_is_not_the_line_that_it_came_from():
    """`module.line` only decides between lines that mean the same."""
    module = parse("Input 2 9 9\nConv 4 3 padding=same\nDepthwise 3 padding=same\nFlat\nFC 2").to_torch()
    module[0].padding = (2, 2)
    module[1].padding = (0, 0)
    network = layerline.from_torch(module, (2, 9, 9))
    assert [str(node.layer) for node in network.nodes[:2]] == ["Conv 4 kernel=3 padding=2", "Depthwise 3"]


def test_nothing_is_left_behind():
    """The module keeps its weights, modes and counts; torch's random numbers and modules are as before."""
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(64, 3))
    module.train()
    before, called = copy.deepcopy(module.state_dict()), nn.Module.__call__
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    layerline.from_torch(module, (1, 6, 6))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert all(each.training for each in module.modules())
    assert nn.Module.__call__ is called
    assert not layerline.torch_support(module.eval(), (1, 6, 6))
    assert not module.training


def test_outputs_that_differ_are_refused(monkeypatch):
    """If a rule is wrong, the comparison of the outputs finds it."""
    from layerline.layers import Tanh
    from layerline.network.pytorch import torch_operations
    from layerline.network.pytorch.torch_operation import Part

    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    rules = {**torch_operations.MODULES, nn.ReLU: lambda _at, _module, _input: (Part(Tanh()),)}
    monkeypatch.setattr("layerline.network.pytorch.walk.MODULES", rules)
    (part,) = layerline.torch_support(module, (1, 2, 2))
    assert part.reason.startswith("the same weights give other outputs: they differ by 0.")


def test_training_starts_from_the_weights():
    """train() starts from them, says so, records their digest, and the run's network does not hold them any more."""
    data = small_data.dataset(60)
    module = nn.Sequential(nn.Conv2d(*(data.shape[0], 3, 3)), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten())
    with torch.no_grad():
        width = module(torch.zeros(1, *data.shape)).shape[1]
    module = nn.Sequential(*module, nn.Linear(width, len(data.classes)))
    network = layerline.from_torch(module, data.shape)
    assert network.start.digest == digest(network.start.weights)
    assert network.start.text == "Sequential (PyTorch)"
    recipe = Recipe(epochs=1, batch_size=16, learning_rate=1e-12, schedule="constant", warmup=0.0)
    run = layerline.train(network, data, recipe, threads=1)
    np.testing.assert_allclose(run.model.weights["0.weight"], module[0].weight.detach().numpy(), rtol=1e-6)
    assert run.model.network.start is None
    assert len(pickle.dumps(run.model.network)) < 20_000
    random_start = layerline.train(parse(network.text, input_shape=data.shape), data, recipe, threads=1)
    assert not np.allclose(random_start.model.weights["0.weight"], module[0].weight.detach().numpy(), rtol=1e-2)


def test_the_note_and_the_record_name_the_module(tmp_path):
    """A watcher gets a note; experiment.toml has the digest, and no path to start from."""
    from layerline.runs.record import Record
    from layerline.training import Watcher
    from layerline.training.session import run

    data = small_data.dataset(40)
    module = nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(data.shape)), len(data.classes)))
    network = layerline.from_torch(module, data.shape)
    prepared = prepare(network, data, Recipe(epochs=1, batch_size=16, learning_rate=0.01), threads=1)
    notes = []

    class Noting(Watcher):
        def note(self, text):
            notes.append(text)

    run(prepared, None, Noting())
    assert "starting with the weights from Sequential (PyTorch), not with random ones" in notes
    record = prepared.record(tmp_path)
    record.write(tmp_path / "experiment.toml")
    assert Record.read(tmp_path / "experiment.toml").about.start.digest == network.start.digest
    assert "start_from" not in record.train


def test_a_model_to_torch_gives_its_probabilities():
    """model.to_torch() is in evaluation mode, has the count of batches, and its softmax is predict_proba."""
    data = small_data.dataset(60)
    text = "Conv 4 3\nBatchNorm\nReLU\nDropout 0.5\nFlat\nFC classes\n"
    model = layerline.train(text, data, Recipe(epochs=1, batch_size=16, learning_rate=0.01), threads=1).model
    module = model.to_torch()
    assert not module.training
    assert int(module.state_dict()["1.num_batches_tracked"]) == model.weights["1.num_batches_tracked"] > 0
    with torch.no_grad():
        logits = module(torch.from_numpy(model.scaling.apply(data.train.images)))
    np.testing.assert_allclose(logits.softmax(1), model.predict_proba(data.train.images), rtol=1e-4, atol=1e-6)
    with torch.no_grad():
        module[0].weight.zero_()
    assert model.weights["0.weight"].any()


WRONG = {
    "the class": (lambda: nn.Linear, (1, 2, 2), r"found the class Linear, expected a module\n  help: call it: Net\(\)"),
    "a state_dict": (dict, (1, 2, 2), r"found dict, expected a torch\.nn\.Module"),
    "a batch": (lambda: nn.Flatten(), (1, 1, 28, 28), r"must be channels, height and width of an image, without the"),
    "a number": (lambda: nn.Flatten(), 28, r"input_shape=28: must be channels"),
    "nothing inside": (lambda: nn.Sequential(), (3, 8, 8), r"it is a 3×8×8 image; flatten it"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(name):
    """Each is one message with what to do."""
    make, shape, message = WRONG[name]
    with pytest.raises(layerline.UserError, match=message):
        layerline.from_torch(make(), shape)


def test_without_pytorch_the_extra_is_named(monkeypatch):
    """from_torch, torch_support and to_torch name the same extra."""
    network = parse("Input 1 2 2\nFlat\nFC 2")
    monkeypatch.setitem(sys.modules, "torch", None)
    for call in (lambda: layerline.from_torch(object(), (1, 2, 2)), network.to_torch):
        with pytest.raises(layerline.UserError, match=r"PyTorch is not installed\n  help: pip install 'layer"):
            call()


def test_frozen_parameters_from_the_input_on_are_a_freeze():
    """Whole lines and blocks before the first trained parameter are in it, with all that has no weights after them."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    module[1].requires_grad_(False)
    network = layerline.from_torch(module, (1, 2, 2))
    assert "Freeze\n    Flat\n    FC 4\nEnd\nDropout 0.5\nFC 3\n" in network.text
    assert not network.notes
    module[3].requires_grad_(False)
    network = layerline.from_torch(module, (1, 2, 2))
    assert "Freeze\n    Flat\n    FC 4\n    Dropout 0.5\n    FC 3\n    ReLU\nEnd\nFC 2\n" in network.text
    assert network.notes == ("2: frozen, so as in evaluation mode; in PyTorch, only after 2.eval()",)


def test_other_frozen_parameters_are_noted():
    """requires_grad=False does not survive after trained layers, nor for a part of a layer; the notes say so."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    for part, names in ((module[3], "3.weight and 1 more"), (module[1].weight, "1.weight")):
        module.requires_grad_(True)
        part.requires_grad_(False)
        network = layerline.from_torch(module, (1, 2, 2))
        assert network.notes == (
            f"{names}: requires_grad=False in PyTorch, but trained here: a frozen part starts at the input",
        )
        assert "Freeze" not in network.text


def test_a_layer_left_in_evaluation_mode_must_be_in_the_frozen_part():
    """A frozen BatchNorm after a trained layer is refused, with the reason."""
    module = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2))
    module[1].requires_grad_(False).eval()
    (part,) = layerline.torch_support(module, (1, 2, 2))
    assert (part.path, part.module) == ("1", "BatchNorm2d")
    assert "it stays in evaluation mode, but comes after trained parameters" in part.reason
    module[0].requires_grad_(False)
    assert not layerline.torch_support(module, (1, 2, 2))


@pytest.mark.parametrize(
    ("shape", "outputs", "fix"),
    [
        ((1, 6, 6), 2, "give the module 3 outputs"),
        ((1, 8, 8), 3, "call from_torch(module, (1, 6, 6))"),
        ((1, 8, 8), 2, "give the module 3 outputs and call from_torch(module, (1, 6, 6))"),
    ],
)
def test_a_network_of_a_module_that_does_not_match_the_data_is_fixed_in_pytorch(shape, outputs, fix):
    """There is no file to read with the data."""
    data = layerline.load_data((np.zeros((30, 6, 6), np.uint8), np.arange(30) % 3))
    network = layerline.from_torch(nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), outputs)), shape)
    for start in (None, Start("", {})):
        with pytest.raises(layerline.NetworkError, match="but the data has 1×6×6 images of 3 classes") as caught:
            prepare(network, data, Recipe(), start=start, given=())
        assert caught.value.help == fix
    for train in (layerline.train, layerline.train_seeds):
        with pytest.raises(layerline.NetworkError) as caught:
            train(network, data, epochs=1)
        assert caught.value.help == fix
