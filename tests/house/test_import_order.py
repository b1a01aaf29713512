"""The house's order: who may import whom, who may ask what a layer is, and what importing costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from places import PACKAGE, ROOT

import layerline
from layerline.layers import LAYERS
from layerline.network import preset

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = PACKAGE

FILES = sorted(SOURCE.rglob("*.py"))

ORDER = (
    "",  # the package itself: a version and late names
    "errors",
    "numbers",
    "system",
    "files",
    "layers",
    "network_file",
    "network",
    "data",
    "recipe",
    "compiler",
    "engines",
    "experiment",
    "runs",
    "measure",
    "export",
    "report",
    "comparison",
    "training",
    "sklearn",
    "cli",
    "__main__",
)
"""Every part of the package; a module imports from its own part and from those before it."""

LATE = {("", "system"), ("", "errors")}
"""The package's late names are doors to what comes after them, opened when they are asked for."""

HEAVY = (
    "torch",
    "jinja2",
    "matplotlib",
    "llvmlite",
    "onnxruntime",
    "PIL",
    "pooch",
    "pyarrow",
    "requests",
    "rich",
    "safetensors",
    "sklearn",
)
OWNERS = {
    "torch": ("network/pytorch/", "engines/torch_", "training/pytorch/torch_", "training/pytorch/module_fit"),
    "llvmlite": ("compiler/",),
    "sklearn": ("sklearn/",),
}
"""Files and folders that are imported late themselves, and may import these at their top."""


def part(path: Path) -> str:
    first = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def imports(tree: ast.AST, *, typing: bool = False) -> list[str]:
    """Return the names of all modules imported anywhere in a file; typing: also those for the type checker alone."""
    found: list[str] = []
    for node in ast.iter_child_nodes(tree):
        if not typing and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "layerline":
            found += [f"layerline.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(node.module or "")
        else:
            found += imports(node, typing=typing)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_imports_from_earlier_parts(path: Path) -> None:
    """No import, at the top, late or for the type checker alone, leads to a later part of the order."""
    here = part(path)
    assert here in ORDER, f"{here} has no place in the order: give it one"
    for name in imports(ast.parse(path.read_text(encoding="utf-8")), typing=here != ""):
        if not name.startswith("layerline."):
            continue
        there = name.split(".")[1]
        there = "" if there.startswith("__version") else there
        if (here, there) not in LATE:
            assert ORDER.index(there) <= ORDER.index(here), f"{here} imports {there}, which comes later"


def test_the_compiler_has_no_circle() -> None:
    """Its modules can be read one after the other, what is imported for the type checker alone included; only a machine
    asks LLVM, in a function, what it is."""
    files = {f"layerline.{'.'.join(path.relative_to(SOURCE).with_suffix('').parts)}": path for path in FILES}
    compiler = {name: path for name, path in files.items() if name.startswith("layerline.compiler.")}
    asks: dict[str, set[str]] = {}
    for name, path in compiler.items():
        found = [
            node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ImportFrom)
        ]
        named = {f"{node.module}.{alias.name}" for node in found for alias in node.names} | {
            node.module for node in found
        }
        asks[name] = named & compiler.keys() - {name}
    while ends := {name for name in asks if not asks[name] or not any(name in others for others in asks.values())}:
        asks = {name: others - ends for name, others in asks.items() if name not in ends}
    assert asks.keys() == {"layerline.compiler.jit", "layerline.compiler.machine"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_heavy_modules_are_imported_where_they_are_used(path: Path) -> None:
    """torch, matplotlib and the like stand in functions, so that who does not need them does not wait for them."""
    name = path.relative_to(SOURCE).as_posix()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        for module in imports(ast.Module([node], [])) if not isinstance(node, ast.FunctionDef | ast.ClassDef) else []:
            root = module.partition(".")[0]
            assert root not in HEAVY or name.startswith(OWNERS.get(root, ())), f"{name} imports {module} at its top"


@pytest.mark.parametrize(
    "path", [path for path in FILES if part(path) != "layers"], ids=lambda path: str(path.relative_to(SOURCE))
)
def test_only_layers_know_what_kind_of_layer_they_are(path: Path) -> None:
    """Outside `layers` there is no isinstance and no match on a layer class: tables are keyed by `kind`."""
    names = {layer.__name__ for layer in LAYERS} | {"Layer"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "issubclass"):
            asked = {name.id for name in ast.walk(node.args[1]) if isinstance(name, ast.Name)}
            asked |= {name.attr for name in ast.walk(node.args[1]) if isinstance(name, ast.Attribute)}
            assert not asked & names, f"line {node.lineno}: {ast.unparse(node)}"
        if isinstance(node, ast.MatchClass):
            assert ast.unparse(node.cls).rpartition(".")[2] not in names, f"line {node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_files_and_functions_stay_small(path: Path) -> None:
    """A file has at most 500 lines, a function at most 60."""
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 500
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= 60, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", [path for path in FILES if part(path) == "training"], ids=lambda path: path.name)
def test_training_reads_no_file_through_report_or_comparison(path: Path) -> None:
    """What draws a report is imported when it is drawn, and comparing runs is no part of training one."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not [name for name in imports(tree) if name.startswith("layerline.comparison")]
    at_the_top: list[ast.stmt] = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert not [name for name in imports(ast.Module(at_the_top, [])) if name.startswith("layerline.report")]


def modules(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    return set(ran.stdout.split())


def loaded(statement: str) -> set[str]:
    return {name.partition(".")[0] for name in modules(statement)}


def test_importing_layerline_imports_nothing_else() -> None:
    """`import layerline` loads neither NumPy nor anything heavier, and every public name can be had from it."""
    assert not loaded("import layerline") & {"numpy", "click", *HEAVY}
    assert not loaded("import layerline.cli") & {"numpy", *HEAVY}
    for name in layerline.__all__:
        assert getattr(layerline, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        layerline.trian  # noqa: B018


def test_predicting_imports_nothing_that_trains() -> None:
    """`layerline.load` imports neither the loop nor the automatic choices, and training neither seeds nor pictures."""
    predicts, trains = modules("import layerline; layerline.load"), modules("import layerline; layerline.train")
    training = {
        f"layerline.training.{name}" for name in ("session", "loop", "automatic", "prepared", "seeds", "resuming")
    }
    assert "layerline.training.model" in predicts
    assert not predicts & training
    assert {"layerline.training.session", "layerline.training.loop"} <= trains
    assert not trains & {"layerline.training.seeds", "layerline.report", "numpy.ma"}
    assert not {name.partition(".")[0] for name in trains | predicts} & set(HEAVY)


def test_names_survive_their_modules() -> None:
    """`layerline.train` stays the function whatever is imported: no module of the package has a public name."""
    modules = {path.stem for path in SOURCE.glob("*.py")} | {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert not modules & set(layerline.__all__)


def test_the_version_is_the_package_s() -> None:
    """`__version__` is what pyproject.toml says."""
    import tomllib

    with (ROOT / "pyproject.toml").open("rb") as file:
        assert tomllib.load(file)["project"]["version"] == layerline.__version__


def test_examples_are_the_presets() -> None:
    """Every preset lies in examples/ as a file with the same text, and examples/ has no other network."""
    examples = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "examples").glob("*.cnn")}
    assert examples == {name: preset(name) for name in layerline.presets()}
