"""Every example of docs/network-file.md is what it says."""

from __future__ import annotations

import re

import pytest
from places import DOCS

from layerline.errors import NetworkError
from layerline.layers import LAYERS, SEPARABLE
from layerline.network import parse
from layerline.network_file import formatted
from layerline.network_file.tree import STRUCTURE

PAGE = (DOCS / "network-file.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(.*?)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
LANGUAGES = [language for language, _ in BLOCKS]


def check(text: str) -> None:
    parse(text, name="net.cnn", input_shape=(1, 28, 28), classes=10)


@pytest.mark.parametrize("number", [number for number, language in enumerate(LANGUAGES) if language == "cnn"])
def test_examples_are_networks(number):
    """A block marked `cnn` reads and fits; where a `cnn formatted` follows, that is what fmt writes."""
    check(BLOCKS[number][1])
    if LANGUAGES[number + 1 : number + 2] == ["cnn formatted"]:
        assert formatted(BLOCKS[number][1]) == BLOCKS[number + 1][1]


@pytest.mark.parametrize("number", [number for number, language in enumerate(LANGUAGES) if language == "cnn wrong"])
def test_wrong_examples_are_told_what_the_page_says(number):
    """A block marked `cnn wrong` gets the message in the block behind it."""
    with pytest.raises(NetworkError) as caught:
        check(BLOCKS[number][1])
    assert LANGUAGES[number + 1] == "text"
    assert str(caught.value) + "\n" == BLOCKS[number + 1][1]


def test_the_page_has_every_word_and_spelling():
    """Each word stands in the table with its usage, and each other spelling is named."""
    for layer in LAYERS:
        if layer.kind != "add":
            assert f"`{layer.word.usage()}`" in PAGE
        for spelling in layer.word.spellings:
            assert f"`{spelling.lower()}`" in PAGE.lower()
    for word in (SEPARABLE, *STRUCTURE):
        assert f"`{word.usage()}`" in PAGE
