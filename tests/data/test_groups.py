"""--group-by: what is matched, in this process or in another, and that no expression hangs."""

from __future__ import annotations

import re

import numpy as np
import pytest

from layerline.data import groups
from layerline.errors import DataError

NAMES = [f"cat/p{k % 5}_{k}.png" for k in range(40)] + ["dog/p7_ü\udcff1.png", "dog/p7_\n.png"]


@pytest.mark.parametrize("written", [r"p(\d)_", r"p(\d+)_", r".*/p(\d+)_.*", r"[a-z]+/p\d+"])
def test_one_and_several_repetitions_give_what_re_gives(written):
    """Simple expressions are searched for here, others in another process, with the groups of Python's re."""
    wanted = re.compile(written)
    found = groups.of_names(NAMES, wanted)
    expected = [(m[1] if wanted.groups else m[0]) for name in NAMES if (m := wanted.search(name))]
    same = np.array(expected)[:, None] == np.array(expected)[None]
    np.testing.assert_array_equal(found[:, None] == found[None], same)


@pytest.mark.parametrize("written", ["(x+x+)+y", "(x|x)*y", "(x*)*y", ".*.*.*.*.*.*.*.*.*.*=(x+)", r"(?:x?){60}x{60}y"])
def test_an_expression_without_end_is_stopped(written, monkeypatch):
    """One that would take years ends after the limit, with a message, and leaves no process."""
    monkeypatch.setattr(groups, "LONGEST", 0.5)
    with pytest.raises(DataError, match=r"the search in 1 names did not finish within 0\.5 s"):
        groups.of_names(["x" * 2000], re.compile(written))


def test_one_repetition_over_huge_names_is_not_searched_for_here(monkeypatch):
    """Even the square of a length is much: names of very many letters go to the process that can be stopped."""
    monkeypatch.setattr(groups, "LONGEST", 0.5)
    monkeypatch.setattr(groups, "_MOST_SQUARES", 10**6)
    with pytest.raises(DataError, match="did not finish"):
        groups.of_names(["x" * 1_000_000], re.compile("x*y"))


def test_a_program_without_python_takes_simple_expressions_alone(monkeypatch):
    """Where no other Python can be started, several repetitions are refused, and one is searched for."""
    monkeypatch.setattr(groups.sys, "frozen", True, raising=False)
    assert len(groups.of_names(NAMES, re.compile(r"p(\d+)"))) == len(NAMES)
    with pytest.raises(DataError, match="several repetitions"):
        groups.of_names(NAMES, re.compile(r"(\w+)/p(\d+)"))
