"""A name is one thing: no two classes and no two modules of the package have the same."""

from __future__ import annotations

import ast
from collections import defaultdict

from places import PACKAGE

SOURCE = PACKAGE
FILES = sorted(SOURCE.rglob("*.py"))


def test_no_class_name_twice() -> None:
    """A class is found by its name alone."""
    places = defaultdict(list)
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(path.relative_to(SOURCE).as_posix())
    assert len(places) > 300
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


def test_no_module_name_twice() -> None:
    """A module is found by its name alone."""
    places = defaultdict(list)
    for path in FILES:
        if not path.name.startswith("__"):
            places[path.stem].append(path.relative_to(SOURCE).as_posix())
    assert {name: files for name, files in places.items() if len(files) > 1} == {}
