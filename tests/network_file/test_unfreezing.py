"""`--unfreeze N`: the End of a Freeze moves up by N convolutions or blocks."""

from __future__ import annotations

import pytest

from layerline.errors import NetworkError
from layerline.network import parse
from layerline.network_file.unfreezing import unfrozen

TEXT = """\
Freeze
    BatchNorm  # the preprocessing
    Conv 4 kernel=3
    ReLU

    Repeat 2
        Conv 4 kernel=1
        ReLU
    End
    Residual  # a block
        Conv 4 kernel=1
    End

    Conv 6 kernel=3
    BatchNorm
    ReLU
    GlobalPool
End

Flat
FC 3
"""


@pytest.mark.parametrize(("count", "frozen"), [(1, 9), (2, 7), (3, 3), (4, 0), (9, 0)])
def test_the_last_units_are_trained(count: int, frozen: int) -> None:
    """A Conv with the lines after it is one unit, so is a block; with all of them, nothing is frozen."""
    before = parse(TEXT, input_shape=(1, 9, 9))
    after = parse(unfrozen(TEXT, count, "net"), input_shape=(1, 9, 9))
    kinds = [node.layer.kind for node in after.nodes if node.frozen]
    whole = [node.layer.kind for node in before.nodes]
    assert kinds == whole[: len(kinds)]
    assert len(kinds) == frozen
    assert list(after.weights) == list(before.weights)


def test_comments_stay_and_the_form_is_readable() -> None:
    """The text keeps its comments and is in the form of `layerline fmt`."""
    found = unfrozen(TEXT, 2, "net")
    assert (
        found
        == """\
Freeze
    BatchNorm  # the preprocessing
    Conv 4 kernel=3
    ReLU

    Repeat 2
        Conv 4 kernel=1
        ReLU
    End
End

Residual  # a block
    Conv 4 kernel=1
End

Conv 6 kernel=3
BatchNorm
ReLU
GlobalPool

Flat
FC 3
"""
    )


def test_a_text_without_frozen_layers_is_refused() -> None:
    """There is nothing to unfreeze; mistakes of the text are reported as usual."""
    with pytest.raises(NetworkError, match="has no frozen layers"):
        unfrozen("Flat\nFC 3\n", 1, "net")
    with pytest.raises(NetworkError, match="is not a layer"):
        unfrozen("Freeze\nKonv 3\nEnd\nFC 3\n", 1, "net")
