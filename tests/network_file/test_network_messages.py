"""Every mistake in a network file, and what the user is told."""

from __future__ import annotations

import pytest
from network_mistakes import CASES
from places import GOLDEN

from layerline.errors import NetworkError
from layerline.network import parse

MESSAGES = GOLDEN / "network"


def told(name: str) -> str:
    case = CASES[name]
    with pytest.raises(NetworkError) as caught:
        parse(case.text, name="net.cnn", input_shape=case.input_shape, classes=case.classes, memory=case.memory)
    return str(caught.value)


@pytest.mark.parametrize("name", CASES)
def test_message_is_the_golden_one(name, golden):
    """What the user is told is what was read and found good."""
    golden(f"network/{name}.txt", told(name))


@pytest.mark.parametrize("name", CASES)
def test_message_names_a_place_and_fits_a_terminal(name):
    """Every message begins with file:line:column, holds nothing a terminal obeys, and no line of it is over-long."""
    message = told(name)
    for part in message.split("\n\n"):
        assert part.startswith(("net.cnn:", "Only the first 10 mistakes"))
    assert all(letter == "\n" or letter.isprintable() for letter in message)
    assert max(map(len, message.split("\n"))) <= 120


def test_no_golden_message_is_left_over():
    """Each golden file belongs to a case."""
    assert {path.stem for path in MESSAGES.glob("*.txt")} == set(CASES)
