"""The compiled engine's gradients against float64, on random networks, at every vector width."""

from __future__ import annotations

from random import Random

import pytest
from oracle import DIRECT, TRANSFORMED, Verdicts, case_of, judge, random_case, wide_case

from layerline.compiler.kernels import conv_lower
from layerline.compiler.machine import host, named

NARROWER = {"8 lanes": ("haswell", None), "4 lanes": ("x86-64", None), "1 lane": ("x86-64", 1)}


@pytest.mark.parametrize("part", range(4))
def test_gradients_at_the_hosts_width(part: int) -> None:
    """Every tensor is within twice PyTorch's error of the truth, and on the whole no worse than 1.2 times: 200
    networks."""
    rng, verdicts = Random(1000 + part), Verdicts()
    for _ in range(50):
        judge(random_case(rng, verdicts), verdicts)
    assert verdicts.geometric_mean <= 1.2
    assert verdicts.drawn_again <= 100
    assert verdicts.ill <= 2


def test_gradients_where_items_own_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same where no partial gradients fit into memory and an item sums its filters over the batch: 30 networks."""
    monkeypatch.setattr(conv_lower, "MAX_PARTIAL_BYTES", 0)
    rng, verdicts = Random(77), Verdicts()
    for _ in range(30):
        judge(random_case(rng, verdicts), verdicts)
    assert verdicts.geometric_mean <= 1.2


BLOCKS = {
    "a sum of two orders": "Flat\nResidual\nFC 45\nEnd\n",
    "a sum of an order twice": "Flat\nResidual\nDropout 0.5\nEnd\n",
    "vectors of two orders": "Concat\nFlat\nBranch\nConv 4 2\nFlat\nFC 7\nBranch\nConv 4 1\nFlat\nDropout 0.2\nEnd\n",
    "an input with its own copy": "Conv 7 2\nConcat\nBranch\nBranch\nConv 17 3 padding=1\nTanh\nEnd\nFlat\n",
    "concatenations again": "Conv 7 2\nRepeat 3\nConcat\nBranch\nSiLU\nConv 3 3 padding=1\nEnd\nEnd\nFlat\n",
    "a factor for each channel": "Conv 19 2\nGate\nGlobalPool\nConv 4 1\nTanh\nConv 19 1\nSigmoid\nEnd\nFlat\n",
    "a factor for each value": "Conv 5 2\nGate\nConv 5 3 padding=1\nEnd\nFlat\n",
    "factors of another order": "Conv 5 2\nFlat\nGate\nFC 20\nEnd\n",
    "a gate in a sum": "Concat\nResidual\nConv 5 3 1 1\nGate\nGlobalPool\nEnd\nEnd\nBranch\nGELU\nEnd\nFlat\n",
}


@pytest.mark.parametrize("name", BLOCKS)
def test_gradients_of_blocks(name: str) -> None:
    """The same for blocks whose values lie in memory in different orders, or have several readers: 4 batches each."""
    rng, verdicts = Random(name), Verdicts()
    for _ in range(4):
        judge(case_of(rng, f"Input 5 3 3\n{BLOCKS[name]}FC 4\n", verdicts), verdicts)


RELU6 = {
    "direct": "Conv 6 3\nReLU6\nConv 7 2\nFlat\n",
    "before a pool": "Conv 6 3\nReLU6\nPool 2\nFlat\n",
    "after a pool": "Conv 6 3\nPool 2\nReLU6\nFlat\n",
    "depthwise": "Depthwise 3\nReLU6\nConv 4 1\nFlat\n",
    "depthwise before a pool": "Depthwise 3\nReLU6\nPool 2\nFlat\n",
    "transformed tiles": "Conv 32 3 padding=1\nReLU6\nConv 16 3\nReLU6\nPool 2\nFlat\n",
}


@pytest.mark.parametrize("name", RELU6)
def test_gradients_of_relu6_in_a_convolution(name: str) -> None:
    """The same with outputs on both sides of 0 and of 6, where ReLU6 is computed in the convolution's registers."""
    rng, verdicts = Random(name), Verdicts()
    for _ in range(4):
        case = case_of(rng, f"Input 5 6 6\n{RELU6[name]}FC 4\n", verdicts)
        case.weights["0.weight"] *= 12
        judge(case, verdicts, rule=TRANSFORMED if name == "transformed tiles" else DIRECT)


@pytest.mark.skipif(not host().triple.startswith("x86_64"), reason="asks for older x86-64 CPUs")
@pytest.mark.parametrize("width", NARROWER)
def test_gradients_at_narrower_widths(width: str) -> None:
    """The same holds for code written for a CPU with 8, 4 or no vector lanes: 40 networks each."""
    rng, verdicts, machine = Random(width), Verdicts(), named(*NARROWER[width])
    for _ in range(40):
        judge(random_case(rng, verdicts), verdicts, machine)
    assert verdicts.geometric_mean <= 1.2


@pytest.mark.parametrize("width", [None, *NARROWER][: 3 if host().triple.startswith("x86_64") else 1])
def test_gradients_by_transformed_tiles(width: str | None) -> None:
    """With Winograd's convolutions every tensor is within 20 times PyTorch's error, or 10⁻⁵ of the largest: 30 wide
    networks at each width."""
    rng, verdicts, machine = Random(f"wide {width}"), Verdicts(), named(*NARROWER[width]) if width else None
    for _ in range(30):
        judge(wide_case(rng, verdicts), verdicts, machine, TRANSFORMED)
    assert verdicts.geometric_mean <= 8
    assert verdicts.ill <= 2
