"""Trainings with frozen layers, from their start to their files; and those that have nothing to train."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest
import small_data
from click.testing import CliRunner
from interrupted import Training, gone_on, traces, trained
from torch import nn

import layerline
from layerline.cli.entry_point import layerline as command
from layerline.engines.memory_check import Free, check_memory
from layerline.errors import NetworkError, RecipeError
from layerline.files import tensors
from layerline.network import initial_weights, parse
from layerline.network.start import Start, digest
from layerline.recipe import Recipe
from layerline.runs.checkpoint import Checkpoints
from layerline.training.automatic.facts import Facts
from layerline.training.prepared import prepare
from layerline.training.warm_start import started

if TYPE_CHECKING:
    from pathlib import Path

    from layerline.network import Network

DATA = small_data.dataset(70)
PART = "Conv 6 3\nBatchNorm\nReLU\nDropout 0.2\nConv 5 3 bias=no\nBatchNorm\n"
HEAD = "Flat\nFC 8\nBatchNorm\nReLU\nFC classes\n"
RECIPES = {
    "adamw": Recipe(epochs=3, batch_size=16, learning_rate=0.01, optimizer="adamw", ema=0.9, clip_norm=1.0),
    "sgd": Recipe(epochs=3, batch_size=16, learning_rate=0.01, momentum=0.9, weight_decay=0.1),
    "slow backbone": Recipe(epochs=3, batch_size=16, learning_rate=0.1, backbone_rate=0.1, weight_decay=0.1),
}


def network(text: str) -> Network:
    return parse(text, name="net", input_shape=DATA.shape, classes=len(DATA.classes))


def begun(text: str) -> Network:
    """Return a network that starts with the weights of another seed, as if they were of an earlier training."""
    made = network(text)
    weights = initial_weights(made, 99)
    return dataclasses.replace(made, start=Start(digest(weights), weights))


FROZEN = begun(f"Freeze\n{PART}End\n{HEAD}")
KEYS = [name for node in FROZEN.nodes if node.frozen for name in node.weights]


@pytest.fixture(scope="module")
def first() -> layerline.Run:
    """Return a run of the same layers, all trained."""
    return layerline.train(network(PART + HEAD), DATA, RECIPES["sgd"], threads=1)


@pytest.mark.parametrize("engine", ["compiled", "torch"])
@pytest.mark.parametrize("name", RECIPES)
def test_frozen_weights_stay_from_the_start_to_the_file(
    first: layerline.Run, name: str, engine: str, tmp_path: Path
) -> None:
    """Weights and statistics of a frozen part are those of the start, to the bit, in the state, the model, its file and
    the checkpoint, which has no optimizer tensors for them; the others change."""
    run = layerline.train(FROZEN, DATA, RECIPES[name], start_from=first, out=tmp_path / "run", threads=1, engine=engine)
    assert run.folder is not None
    found = Checkpoints(run.folder / "checkpoints").latest()
    assert found is not None
    state = found.snapshot.state
    saved = tensors.read(run.folder / "model.safetensors").arrays
    assert list(saved) == list(FROZEN.weights)
    for key, value in first.model.weights.items():
        for weights in (run.model.weights, saved, state.weights):
            same = weights[key].tobytes() == value.tobytes()
            assert same is (key in KEYS), key
    assert state.optimizer
    assert not {key.partition(".")[2] for key in state.optimizer}.intersection(KEYS)


def test_a_frozen_model_predicts_what_its_folder_and_its_modules_do(tmp_path: Path) -> None:
    """The model read back predicts the same bits; `to_torch` gives its probabilities, also after `train()`, as long as
    only the frozen part has layers that depend on the mode."""
    text = f"Freeze\n{PART}End\nFlat\nFC classes\n"
    run = layerline.train(begun(text), DATA, RECIPES["sgd"], out=tmp_path / "run", threads=1)
    images = DATA.train.source.images
    expected = run.model.predict_proba(images)
    assert layerline.load(tmp_path / "run").predict_proba(images).tobytes() == expected.tobytes()
    import torch

    module = run.model.to_torch()
    assert [p.requires_grad for p in module.parameters()] == [False] * 7 + [True] * 2
    module.train()
    with torch.no_grad():
        logits = module(torch.from_numpy(run.model.scaling.apply(images)))
    np.testing.assert_allclose(logits.softmax(1), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", RECIPES)
def test_a_cut_training_with_frozen_layers_goes_on_to_the_same_bits(name: str, tmp_path: Path) -> None:
    """Weights, optimizer, history, model and result are those of a training that was never cut."""
    case = Training(FROZEN, DATA, RECIPES[name])
    trained(case, tmp_path / "whole")
    trained(case, tmp_path / "cut", (2, 2))
    gone_on(case, tmp_path / "cut", threads=2)
    assert traces(tmp_path / "cut") == traces(tmp_path / "whole")


def test_layers_are_frozen_and_thawed_by_a_warm_start(first: layerline.Run) -> None:
    """A run with a frozen part starts one without, and the other way round: the names are the same."""
    frozen = layerline.train(FROZEN, DATA, RECIPES["sgd"], start_from=first, threads=1)
    start = started(frozen, network(PART + HEAD), DATA)
    thawed = prepare(network(PART + HEAD), DATA, RECIPES["sgd"], threads=1, start=start)
    assert thawed.engine.state().weights["0.weight"].tobytes() == first.model.weights["0.weight"].tobytes()


def test_a_network_that_is_frozen_to_its_end_cannot_be_trained() -> None:
    """It is refused at its last layer, with what to do; layers without weights are no reason to train."""
    whole = f"Freeze\n{PART}{HEAD}End\n"
    for call in (
        lambda: layerline.train(whole, DATA, epochs=1),
        lambda: layerline.train(whole, DATA, RECIPES["sgd"]),
        lambda: layerline.train_seeds(whole, DATA, epochs=1),
    ):
        with pytest.raises(NetworkError) as caught:
            call()
        assert str(caught.value) == (
            "network:12:1: this layer and all others with weights are frozen: there is nothing to train\n"
            "  12 | FC classes\n"
            "     | ^^^^^^^^^^\n"
            "  help: close the Freeze with `End` before the first layer to train, or remove\n"
            "        it"
        )
    module = nn.Sequential(nn.Flatten(), nn.Linear(36, 3)).requires_grad_(False)
    with pytest.raises(NetworkError, match=r"module\.requires_grad_\(True\)"):
        layerline.train(layerline.from_torch(module, DATA.shape), DATA, epochs=1)


def test_the_commands_count_frozen_weights_and_refuse_random_ones(tmp_path: Path) -> None:
    """`train` refuses frozen layers without a start; the engine commands refuse what has nothing to train."""
    (tmp_path / "plain.cnn").write_text("Conv 4 3\nFlat\nFC classes\n")
    (tmp_path / "net.cnn").write_text("Freeze\nConv 4 3\nEnd\nFlat\nFC classes\n")
    (tmp_path / "all.cnn").write_text("Freeze\nFlat\nFC classes\nEnd\n")
    common = ["--data", "digits", "--limit", "200", "--epochs", "1", "--lr", "0.01", "--threads", "1"]
    refused = CliRunner().invoke(command, ["train", str(tmp_path / "net.cnn"), *common])
    assert isinstance(refused.exception, NetworkError)
    assert "it would keep its random weights" in str(refused.exception)
    for file, run, more in (("plain", "a", []), ("net", "b", ["--start-from", str(tmp_path / "a")])):
        words = ["train", str(tmp_path / f"{file}.cnn"), *common, "--out", str(tmp_path / run), *more]
        done = CliRunner().invoke(command, words)
        assert done.exit_code == 0, done.output
        frozen = "1,450 trained and 40 frozen parameters" in " ".join(done.output.split())
        assert frozen is (run == "b")
    for word in ("check", "profile", "bench"):
        words = ["engine", word, str(tmp_path / "all.cnn"), "--data", "digits"]
        done = CliRunner().invoke(command, words, standalone_mode=False)
        assert isinstance(done.exception, NetworkError)
        assert "there is nothing to train" in str(done.exception)


def test_what_only_frozen_layers_have_counts_for_no_rule() -> None:
    """Muon needs filters that are trained; a frozen BatchNorm needs no second image in the last batch."""
    text = f"Freeze\n{PART}End\nFlat\nFC classes\n"
    facts = Facts.of(network(text), DATA)
    assert not facts.filters
    assert not facts.uses_batch
    with pytest.raises(RecipeError, match="trains no Conv"):
        layerline.train(begun(text), DATA, epochs=1, optimizer="muon")
    single = f"Freeze\nGlobalPool\n{PART.splitlines()[1]}\nEnd\nFlat\nFC classes\n"
    layerline.train(begun(single), DATA, epochs=1, lr=0.01, batch_size=69, threads=1)
    with pytest.raises(NetworkError, match="has only one image"):
        layerline.train(single.replace("Freeze\n", "").replace("End\n", ""), DATA, epochs=1, lr=0.01, batch_size=69)


def test_a_step_of_frozen_layers_counts_as_one_pass() -> None:
    """The work from which epochs are chosen: forward once, and twice that backward where layers are trained."""
    frozen, head = (sum(n.multiply_adds for n in FROZEN.nodes if n.frozen is kind) for kind in (True, False))
    assert FROZEN.step_multiply_adds == frozen + 3 * head
    assert network(PART + HEAD).step_multiply_adds == 3 * FROZEN.multiply_adds


def test_frozen_layers_need_less_memory() -> None:
    """A batch that does not fit if all layers are trained fits if the first ones are frozen."""
    recipe = Recipe(batch_size=64, epochs=1)
    parts = [prepare(each, DATA, recipe, given=None, threads=1) for each in (network(PART + HEAD), FROZEN)]
    needs = [each.engine.memory(DATA.train.source, 4096) for each in parts]
    assert needs[1] < needs[0] / 2
    check_memory(parts[1].engine, DATA, recipe, Free(10**12))


def test_frozen_layers_with_random_weights_are_refused() -> None:
    """A Freeze needs weights from somewhere: a run, a model, a pretrained network, or a PyTorch module."""
    with pytest.raises(NetworkError, match="this layer is frozen, so it would keep its random weights") as caught:
        layerline.train(f"Freeze\n{PART}End\n{HEAD}", DATA, RECIPES["sgd"])
    assert "add start_from= with a run" in str(caught.value)
