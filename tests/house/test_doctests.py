"""The examples in docstrings give what they show."""

from __future__ import annotations

import doctest

import pytest

from layerline.training import model

MODULES = (model,)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_examples_in_docstrings_give_what_they_show(module: object) -> None:
    """Every example runs, and there are some."""
    found = doctest.testmod(module)  # type: ignore[arg-type]
    assert found.attempted > 0
    assert found.failed == 0
