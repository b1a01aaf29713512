"""A training that can begin: put together in one place, whoever asks for it."""

from __future__ import annotations

import ast

import numpy as np
import pytest
import small_data
from places import PACKAGE

from layerline.engines import memory_check
from layerline.errors import NetworkError, UserError
from layerline.network import parse
from layerline.recipe import Recipe
from layerline.training.prepared import prepare

DATA = small_data.dataset(200)
NETWORK = parse("Flat\nFC classes\n", input_shape=DATA.shape, classes=len(DATA.classes))
SOURCE = PACKAGE


def test_it_is_put_together_in_one_place() -> None:
    """In training, the estimator and the commands, only `prepared` chooses a recipe and looks at the memory."""
    found = set()
    for path in (path for part in ("training", "sklearn", "cli") for path in (SOURCE / part).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and {alias.name for alias in node.names} & {"complete", "check_memory"}:
                found.add(path.name)
    assert found == {"prepared.py"}


@pytest.mark.parametrize("given", [None, ()])
def test_nothing_that_cannot_be_trained_is_prepared(given: tuple[()] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe as it is and one that is filled alike: refused for another network, and where memory is short."""
    with pytest.raises(NetworkError, match="the network expects"):
        prepare(parse("Flat\nFC 3\n", input_shape=(1, 2, 2), classes=3), DATA, Recipe(), given=given)
    monkeypatch.setattr(memory_check, "free_bytes", lambda: 1)
    with pytest.raises(UserError, match="training needs"):
        prepare(NETWORK, DATA, Recipe(), given=given)


def test_another_seed_is_the_same_training() -> None:
    """With another seed the choices stay, and the weights are those that training begins with where that was asked for;
    with its own seed it is the one that there is."""
    chosen = prepare(NETWORK, DATA, Recipe(), given=(), threads=1)
    assert chosen.with_seed(0) is chosen
    other = chosen.with_seed(7)
    assert (other.recipe.seed, other.recipe.epochs, other.reasons) == (7, chosen.recipe.epochs, chosen.reasons)
    asked = prepare(NETWORK, DATA, other.recipe, threads=1)
    weights = other.engine.state().weights
    assert weights.keys() == asked.engine.state().weights.keys()
    for name, weight in asked.engine.state().weights.items():
        np.testing.assert_array_equal(weights[name], weight)
        assert not np.array_equal(weight, chosen.engine.state().weights[name])
