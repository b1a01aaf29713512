"""`layerline engine check` on the command line: its table, its verdicts and its exit codes."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING

import pytest

from layerline.cli import entry_point
from layerline.cli.engine_check import lines
from layerline.data import load_data
from layerline.engines import cross_check
from layerline.engines.cross_check import Deviation, EngineCheck, LayerCheck, ParameterCheck
from layerline.network import parse
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

NET = """Conv 16 kernel=3 padding=1 stride=2 bias=no
BatchNorm
Residual
  Residual
    Conv 16 kernel=3 padding=1
    BatchNorm
  End
End
GlobalPool
Flat
FC classes
"""


def test_the_table(golden: Callable[[str, str], None]) -> None:
    """Within 80 columns whatever the network: within tolerance, out by chance, and out of it."""
    data = load_data("digits")
    network = parse(NET, name="nested", input_shape=data.shape, classes=10)
    nodes = {name: node for node in network.nodes for name in node.weights}
    layers = tuple(
        LayerCheck(node, Deviation(1.2e-7 * (1 + node.index), 1.1e-7)) for node in network.nodes if "." not in node.path
    )
    parameters = tuple(
        ParameterCheck(
            *(name, node),
            Deviation(None, None) if "bias" in name else Deviation(3.4e-7, 2.9e-7),
            Deviation(4.5e-8, 4.4e-8),
        )
        for name, node in nodes.items()
        if "running" not in name and "num" not in name
    )
    facts = ({"lanes": 16, "cpu": "znver5"}, {"torch": "2.13.0"})
    fine = EngineCheck(64, layers, parameters, ((),), facts)
    names = tuple(each.name for each in parameters)
    chance = dataclasses.replace(fine, out=(names[:1], names[2:3], ()))
    bad = dataclasses.replace(fine, out=(names[:4], names[:2], names[1:]))
    text = "\n\n=====\n\n".join("\n".join(lines(network, data, Recipe(), found)) for found in (fine, chance, bad))
    assert max(map(len, text.splitlines())) <= 80
    golden("engine-check.txt", text)


def test_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """On the digits, with a network that comes along: exit 0."""
    code = entry_point.main(["engine", "check", "digits", "--data", "digits", "--batch-size", "32", "--threads", "1"])
    said = capsys.readouterr()
    assert (code, said.err) == (0, "")
    assert "verdict: the compiled engine is within tolerance for 6 parameters" in said.out
    assert "batch: 32 images of digits, seed 0" in said.out


def test_out_of_tolerance_is_exit_1(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """If the tolerance were zero, rounding would be a bug."""
    monkeypatch.setattr(cross_check, "FLOOR", 0.0)
    monkeypatch.setattr(cross_check, "FACTOR", 0.0)
    code = entry_point.main(["engine", "check", "digits", "--data", "digits", "--threads", "1"])
    assert code == 1
    assert "for 6 of 6 parameters in each of 3 batches: 0.weight, " in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("digits", "--data: missing"),
        ("digits --data digits --threads 0", "--threads 0: must be a whole number from 1 to 1,024"),
        ("digits --data digits --batch-size 0", "--batch-size 0: must be"),
        ("no-such-net --data digits", "no-such-net"),
    ],
)
def test_mistakes(capsys: pytest.CaptureFixture[str], words: str, message: str) -> None:
    """Each is exit 2 and one message."""
    assert entry_point.main(["engine", "check", *words.split()]) == 2
    assert message in capsys.readouterr().err


def test_without_pytorch(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It names what to install."""
    monkeypatch.setitem(sys.modules, "torch", None)
    assert entry_point.main(["engine", "check", "digits", "--data", "digits"]) == 2
    assert "PyTorch is not installed\n  help: " in capsys.readouterr().err
