"""docs/map.md leads to files that are there, and its path for a reader is short."""

from __future__ import annotations

import re
from typing import Final

from places import DOCS, PACKAGE, ROOT

SOURCE: Final = PACKAGE
MAP: Final = (DOCS / "map.md").read_text(encoding="utf-8")
MOST_FILES: Final = 12
MOST_LINES: Final = 1_500


def test_the_reader_has_a_short_path() -> None:
    """At most 12 files and 1,500 lines lead from a layer's line to machine code and back to a score."""
    path = MAP.partition("## A reader's path")[2].partition("\n## ")[0]
    files = re.findall(r"^\d+\. `([^`]+)`", path, re.MULTILINE)
    assert 8 <= len(files) <= MOST_FILES
    assert sum(len((SOURCE / file).read_text(encoding="utf-8").splitlines()) for file in files) <= MOST_LINES


def test_every_module_that_the_map_names_is_there() -> None:
    """A path in backquotes that ends in .py is below the package or the root."""
    root = ROOT
    named = set(re.findall(r"`([\w/]+\.py)`", MAP))
    assert len(named) > 50
    assert sorted(name for name in named if not (SOURCE / name).exists() and not (root / name).exists()) == []
