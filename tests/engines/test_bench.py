"""`layerline engine bench`: both sides train the same epoch, and everything measured is reported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import small_data
from click.testing import CliRunner

import layerline
from layerline.cli import entry_point
from layerline.cli.engine_bench import lines
from layerline.cli.entry_point import layerline as command
from layerline.compiler.machine import host, named
from layerline.engines import peers
from layerline.engines.bench import Bench, EpochPair, bench, distance
from layerline.engines.peers import SETTINGS, Peer, Setting
from layerline.errors import DivergedError, UserError
from layerline.recipe import Recipe

TEXT = "Conv 5 3 1 1\nBatchNorm\nReLU\nPool 2\nFlat\nFC classes\n"
DATA = small_data.dataset(70, validation=None, test=None)
RECIPE = Recipe(batch_size=16, learning_rate=0.05, momentum=0.9)


@pytest.mark.parametrize("last", [False, True])
def test_both_sides_train_the_same_epoch(last: bool) -> None:
    """From the same weights, on the same images in the same order, with a smaller last batch, the losses agree within
    rounding, in every pair; a side that had begun with other weights, or gone on with the last, would be far away."""
    said: list[str] = []
    network, settings = layerline.parse(TEXT, DATA), (Setting(last, keep_memory=True),)
    more = {"pairs": 2, "against_torch": True, "settings": settings, "say": said.append}
    found = bench(network, DATA, RECIPE, 2, images=54, **more)
    (name,) = found.losses or {}
    assert name == ("channels_last + keep" if last else "default + keep")
    assert (found.losses or {})[name] == pytest.approx(found.loss, rel=1e-4)
    assert found.loss == bench(network, DATA, RECIPE, 1, images=54, pairs=1).loss
    assert (found.images, found.batch_size, found.threads, len(found.pairs)) == (54, 16, 2, 2)
    assert all(pair.ours > 0 and pair.pytorch[name] > 0 for pair in found.pairs)
    assert not found.differing
    assert not found.astray
    assert 0 < (found.distances or {})[name] < 1e-4
    assert len(said) == 3


def test_both_sides_are_held_to_another_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """With AVX2, the compiled engine has vectors of 8 floats, and the losses still agree."""
    settings = (Setting(channels_last=False, keep_memory=True),)
    narrow, environments = named("x86-64-v3"), []
    start = peers.subprocess.Popen
    monkeypatch.setattr(
        peers.subprocess, "Popen", lambda *words, **more: environments.append(more["env"]) or start(*words, **more)
    )
    how = {"pairs": 1, "against_torch": True, "settings": settings, "machine": narrow}
    found = bench(layerline.parse(TEXT, DATA), DATA, RECIPE, 1, **how)
    assert found.held == found.as_dict()["held_to"] == "x86-64-v3"
    assert environments[0].items() >= peers.INSTRUCTIONS[8].items()
    assert not found.differing
    assert "instructions: those of x86-64-v3" in "\n".join(lines(layerline.parse(TEXT, DATA), DATA, RECIPE, found))


@pytest.mark.parametrize(("lanes", "capability"), [(4, "DEFAULT"), (8, "AVX2")])
def test_pytorch_understands_what_holds_it(lanes: int, capability: str) -> None:
    """PyTorch reports the instructions that its kernels may use."""
    program = "import torch; print(torch.backends.cpu.get_cpu_capability())"
    environment = {**os.environ, **peers.INSTRUCTIONS[lanes]}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)  # noqa: S603 - ours
    assert done.stdout == f"{capability}\n"


def test_an_epoch_counts_its_kernels() -> None:
    """The multiply-adds are those of three passes over each image, less the gradient of the images."""
    network = layerline.parse("Conv 5 3 1 1\nReLU\nFlat\nFC classes\n", DATA)
    first, *_ = network.nodes
    found = bench(network, DATA, RECIPE, 1, images=50, pairs=1)
    assert found.multiply_adds == 50 * (3 * network.multiply_adds - first.multiply_adds)


def test_settings_have_names_of_their_own() -> None:
    """PyTorch runs in both layouts, with memory kept and not, and compiled."""
    names = [setting.name for setting in SETTINGS]
    assert len(set(names)) == len(names) == 6


def test_a_setting_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are measured, and it is listed."""
    before = Peer.ready
    settings = (Setting(False, keep_memory=True), Setting(True, keep_memory=True))
    monkeypatch.setattr(Peer, "ready", lambda self: None if self.setting.channels_last else before(self))
    found = bench(layerline.parse(TEXT, DATA), DATA, RECIPE, 1, pairs=1, against_torch=True, settings=settings)
    assert list(found.losses or {}) == ["default + keep"]
    assert found.failed == {"channels_last + keep": "without a message"}


def test_a_peer_with_a_wrong_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """One tensor that was never trained is found, although the losses after an epoch of three steps agree."""
    honest = Peer.weights
    start = layerline.network.initial_weights(layerline.parse(TEXT, DATA), RECIPE.seed)
    monkeypatch.setattr(Peer, "weights", lambda self: {**honest(self), "0.weight": start["0.weight"]})
    how = {"images": 48, "pairs": 1, "against_torch": True, "settings": SETTINGS[:1]}
    found = bench(layerline.parse(TEXT, DATA), DATA, RECIPE, 1, **how)
    assert found.astray == found.distances == {"default": pytest.approx(1.0)}
    assert found.as_dict()["weights_distance"] == found.distances


def test_the_distance_of_weights() -> None:
    """Per tensor, relative to how far it has moved; one that moves by rounding only does not count; NaN does."""
    start = {"w": np.zeros(4), "b": np.zeros(2), "count": np.array(0)}
    ours = {"w": np.full(4, 1.0), "b": np.full(2, 1e-7), "count": np.array(3)}
    assert distance(start, ours, ours) == 0
    assert distance(start, ours, {**ours, "b": np.full(2, -1e-7), "count": np.array(7)}) < 1e-4
    assert distance(start, ours, {**ours, "w": np.full(4, 1.1)}) == pytest.approx(0.1)
    assert distance(start, ours, {**ours, "b": np.full(2, 0.1)}) > 1
    assert np.isnan(distance(start, ours, {**ours, "b": np.full(2, np.nan)}))
    assert distance(start, start, start) == 0


def test_a_cpu_that_this_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code with instructions that the CPU does not have would end the process: it is refused before anything runs."""
    narrow = replace(host(), cpu="znver3", lanes=8, registers=16)
    monkeypatch.setattr("layerline.compiler.machine.host", lambda: narrow)
    with pytest.raises(UserError, match=r"--cpu x86-64-v4: .* does not have its instructions") as refused:
        bench(layerline.parse(TEXT, DATA), DATA, RECIPE, 1, machine=named("x86-64-v4"))
    assert refused.value.help == "it has those of: x86-64, haswell, x86-64-v3"


def test_dropout_is_not_compared() -> None:
    """Its masks differ, and so do weights."""
    network = layerline.parse("Flat\nDropout 0.5\nFC classes\n", DATA)
    how = {"images": 32, "pairs": 1, "against_torch": True, "settings": SETTINGS[:1]}
    assert bench(network, DATA, RECIPE, 1, **how).distances is None


def test_a_peer_that_exits(monkeypatch: pytest.MonkeyPatch) -> None:
    """If PyTorch exits with every setting, the last line that it wrote is in the message."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(UserError, match="--against torch: PyTorch exited: without a message"):
        bench(layerline.parse(TEXT, DATA), DATA, RECIPE, 1, pairs=1, against_torch=True)


def test_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison says how to install it, before anything is compiled."""
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match=r"--against torch: PyTorch is not installed\n.*pip install"):
        bench(layerline.parse(TEXT, DATA), DATA, RECIPE, 1, against_torch=True)


def test_a_divergence_is_no_result() -> None:
    """An epoch that stopped early is reported instead of timed."""
    steep = Recipe(batch_size=16, learning_rate=1e6, momentum=0.0)
    with pytest.raises(DivergedError, match="diverged at step"):
        bench(layerline.parse("Flat\nFC 9\nFC 9\nFC classes\n", DATA), DATA, steep, 1)


def test_what_is_printed() -> None:
    """A line per side and setting, the ratio of the pairs' fastest, what failed, and a loss that differs."""
    pairs = (
        EpochPair(2.0, {"default": 8.0, "channels_last": 6.0}, (0.0, 0.0)),
        EpochPair(1.0, {"default": 5.0, "channels_last": 9.0}, (0.0, 0.5)),
    )
    losses, failed = {"default": 0.502, "channels_last": 0.6}, {"compiled default + keep": "no compiler"}
    more = {"distances": {"default": 0.3, "channels_last": 1e-5}, "failed": failed}
    found = Bench(1000, 50, 2, 0.25, pairs, 0.5, 3_000_000_000, 1e10, "2.13.0", losses, **more)
    text = "\n".join(lines(layerline.parse(TEXT, DATA), DATA, RECIPE, found))
    assert [line.split() for line in text.splitlines()[6:9]] == [
        ["layerline", "1.500", "1.000", "1,500.00", "4.0", "20%", "0.5000"],
        ["torch", "default", "6.500", "5.000", "6,500.00", "0.9", "5%", "0.5020"],
        ["torch", "channels_last", "7.500", "6.000", "7,500.00", "0.8", "4%", "0.6000"],
    ]
    assert "ratio: 4.0 times as fast as PyTorch 2.13.0 at its best in each pair (3.0 to 5.0)" in text
    assert "not measured: torch compiled default + keep: no compiler" in text
    assert "! The loss of torch channels_last is 0.6000, ours is 0.5000" in text
    assert "torch default is" not in text
    flat = " ".join(text.split())
    assert "! After the first step, weights of torch default differ from ours by 30% of how far ours have moved" in flat
    assert "weights of torch channels_last" not in flat
    assert "Weights after the first step: the sides differ by 3e-01 of how far they have moved, at most." in flat
    facts = found.as_dict()
    assert facts["ratio"] == {"min": 3.0, "median": 4.0, "max": 5.0}
    assert facts["microseconds_an_image"]["pytorch"]["median"] == 5500
    assert facts["pairs"][1] == {"ours": 1.0, "pytorch": pairs[1].pytorch, "steal": (0.0, 0.5), "ratio": 5.0}
    assert json.dumps(facts)


def test_a_loss_differs_beyond_rounding_only() -> None:
    """Up to a twentieth of the larger, and up to 0.02, they agree; NaN never does."""
    for ours, theirs, agree in ((2.0, 2.09, True), (2.0, 2.2, False), (0.001, 0.02, True), (1.0, np.nan, False)):
        found = Bench(1, 1, 1, 0.0, (), ours, 0, 1.0, "2", {"default": theirs})
        assert bool(found.differing) is not agree


def test_the_command() -> None:
    """It prints a line for our side, or all numbers as JSON; progress goes to standard error."""
    line = ["engine", "bench", "digits", "--data", "digits", "--threads", "1", "--pairs", "2", "--images", "100"]
    ended = CliRunner().invoke(command, line, catch_exceptions=False)
    assert ended.exit_code == 0
    assert "epoch: 100 images of digits, seed 0, 1 thread\n" in ended.stdout
    assert "step: batch size 64, SGD, learning rate 0.01, momentum 0\n" in ended.stdout
    assert "ratio" not in ended.stdout
    facts = json.loads(CliRunner().invoke(command, [*line, "--json"], catch_exceptions=False).stdout)
    assert facts["images"] == 100
    assert len(facts["pairs"]) == 2
    assert facts["loss"]["pytorch"] is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--against tensorflow", "--against tensorflow: unknown"),
        ("--pairs 0", "--pairs 0: must be a whole number of at least 1"),
        ("--images x", "--images x: must be a whole number of at least 1"),
        ("--optimizer muon", "--optimizer"),
    ],
)
def test_refusals(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be measured is refused before anything is measured."""
    assert entry_point.main(["engine", "bench", "digits", "--data", "digits", *words.split()]) == 2
    assert message in capsys.readouterr().err
