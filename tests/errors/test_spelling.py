"""The one rule of "did you mean"."""

from __future__ import annotations

import ast

import pytest
from places import PACKAGE

from layerline.errors import spelling
from layerline.experiment.options import OPTIONS

FLAGS = [option.key.replace("_", "-") for option in OPTIONS] + ["lr", "out", "resume", "seeds", "force", "quiet"]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("Batch_Size", "batch-size"),
        ("epoch", "epochs"),
        ("epohcs", "epochs"),
        ("epcoh", "epochs"),
        ("leraning-rtae", "learning-rate"),
        ("learn", "learning-rate"),
        ("val", "validation"),
        ("eppchs", "epochs"),
        ("dta", "data"),
    ],
)
def test_a_slip_is_near(word: str, meant: str) -> None:
    """Case and signs, up to two letters, and a beginning are near."""
    assert spelling.nearest(word, FLAGS) == meant


@pytest.mark.parametrize("word", ["workers", "bs", "xyz", "name", "gpu", "save", "model", "", "e"])
def test_what_is_unlike_is_not_near(word: str) -> None:
    """Another word, or one too short to tell, is near nothing."""
    assert spelling.nearest(word, FLAGS) is None


def test_another_number_is_another_thing() -> None:
    """`9.png` is no slip for `3.png`; a number that is missing may be one."""
    assert spelling.nearest("cat/9.png", ["cat/3.png"]) is None
    assert spelling.nearest("lenet", ["resnet20", "lenet5"]) == "lenet5"


def test_the_nearest_of_several_is_taken() -> None:
    """Fewer letters come first, whatever the order; a beginning comes last."""
    assert spelling.nearest("cats", ["catstone", "coats", "Cats"]) == "Cats"
    assert spelling.nearest("cats", ["catstone", "coats"]) == "coats"
    assert spelling.nearest("cats", ["catstone"]) == "catstone"


def test_a_hint_lists_what_there_is_where_nothing_is_near() -> None:
    """One word where one is near, else all."""
    assert spelling.hint("cosin", ["linear", "cosine"]) == "did you mean cosine?"
    assert spelling.hint("xyz", ["linear", "cosine"]) == "one of: linear, cosine"
    assert spelling.hint("xyz", iter(["linear", "cosine"]), "known: ") == "known: linear, cosine"


def test_there_is_one_rule() -> None:
    """No other file looks for near words in its own way."""
    for path in PACKAGE.rglob("*.py"):
        names = {node.attr for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Attribute)}
        assert "get_close_matches" not in names, path
