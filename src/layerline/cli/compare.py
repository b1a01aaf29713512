"""`layerline compare`."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import click

from layerline.cli.commands import Command
from layerline.cli.option import GroupedOption
from layerline.errors import UserError
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerline.comparison.comparison import Comparison
    from layerline.comparison.differences import Changed
    from layerline.comparison.paired import Difference
    from layerline.comparison.recipes import Recipes

_LONGEST_VALUE = 24
_CONTEXT = 3
"""Equal lines that are shown before and after a change."""


@click.command(cls=Command)
@click.argument("a")
@click.argument("b")
@click.option(*("--json", "as_json"), cls=GroupedOption, group="Output", is_flag=True, help="print all numbers as JSON")
def compare(a: str, b: str, as_json: bool) -> None:
    """Compare runs A and B on the images both were tested on.

    A and B are run folders. The test is paired: McNemar's exact test on the images that only one of the two classifies
    correctly, and a bootstrap for the macro F1. Two folders made with --seeds are compared by their means, those made
    with --folds by the out-of-fold predictions.
    """
    from layerline.comparison import compare as compared
    from layerline.comparison import recipes, verdict

    folders = Path(a), Path(b)
    several = [recipes.holds_seeds(folder) for folder in folders]
    if any(several) and not all(several):
        one, other = folders if several[0] else folders[::-1]
        if not other.is_dir():
            raise UserError(f"{other}: no such folder", f"compare {one} with another folder made with --seeds")
        raise UserError(
            f"{one} contains runs with several seeds, but {other} is a single run",
            f"compare like with like, such as {other} with a run in {one}",
        )
    if all(several):
        means = recipes.compare_recipes(*folders)
        plain, text = means.as_dict() | {"verdict": recipes.sentence(means)}, recipe_lines(means)
    else:
        found = compared(*folders)
        summary = {"verdict": verdict.sentence(found), "caveats": verdict.caveats(found)}
        plain, text = found.as_dict() | summary, lines(found)
    for line in [json.dumps(plain, indent=2, ensure_ascii=False)] if as_json else text:
        click.echo(line)


def lines(found: Comparison) -> list[str]:
    """Return the comparison as text: scores, verdict, caveats and differences."""
    from layerline.cli.columns import folded
    from layerline.comparison import verdict

    text = [f"{side}  {display.name(str(run.folder), 76)}" for side, run in (("A", found.a), ("B", found.b))]
    text += ["", *_scores(found), "", folded(verdict.sentence(found)), ""]
    text += [folded(caveat) for caveat in verdict.caveats(found)]
    text += ["", *_network(found.layers), *_values(found.values)]
    return [line for k, line in enumerate(text) if line or text[k - 1]]  # one empty line at a time


def recipe_lines(found: Recipes) -> list[str]:
    """Return the comparison of two folders of seeds as text."""
    from layerline.cli.columns import folded, table
    from layerline.comparison import recipes

    rows = []
    for key, (a, b) in found.means.items():
        format_ = display.loss if key == "validation_loss" else display.fraction
        _, _, *rest = _difference(a.mean, b.mean, found.differences[key])
        rows.append((key.replace("_f1", " F1").replace("_", " "), format_(a.mean), format_(b.mean), *rest))
    text = []
    for k, (side, folder) in enumerate((("A", found.a), ("B", found.b))):
        runs = max((len(pair[k].values) for pair in found.means.values()), default=0)
        text.append(f"{side}  {display.name(str(folder), 60)}: {runs} runs")
    text += ["", *table(("means", "A", "B", "B - A", "95% interval", "p-value"), rows)] if rows else []
    return [*text, "", folded(recipes.sentence(found)), "", *_network(found.layers), *_values(found.values)]


def _scores(found: Comparison) -> list[str]:
    from layerline.cli.columns import table

    p = found.paired
    rows = [
        ("accuracy", *_difference(p.a.accuracy, p.b.accuracy, p.accuracy)),
        ("macro F1", *_difference(p.a.macro_f1, p.b.macro_f1, p.macro_f1)),
        ("only this one correct", display.count(p.only_a), display.count(p.only_b), "", "", ""),
        ("parameters", *(_parameters(run.record.about.network.parameters) for run in (found.a, found.b)), "", "", ""),
    ]
    head = display.counted(p.images, f"{found.split} image")
    return table((head, "A", "B", "B - A", "95% interval", "p-value"), rows)


def _difference(a: float, b: float, difference: Difference) -> tuple[str, ...]:
    """Return the cells of a row: both scores, the difference, its interval and its p-value."""
    low, high = display.difference(difference.low), display.difference(difference.high)
    between = display.difference(difference.value), f"{low} to {high}", display.chance(difference.p)
    return display.fraction(a), display.fraction(b), *between


def _parameters(number: int | None) -> str:
    return display.NOTHING if number is None else display.count(number)


def _network(layers: Sequence[str]) -> list[str]:
    if not layers:
        return ["network: the same"]
    return ["network (- A, + B):", *(f"    {display.name(line, 76)}" for line in _near_changes(layers))]


def _near_changes(layers: Sequence[str]) -> list[str]:
    """Return the lines of a diff, longer stretches without a change replaced by the number of their lines.

    All lines of a pretrained network, more than a hundred, would push the few that differ out of sight.
    """
    changed = [k for k, line in enumerate(layers) if not line.startswith(" ")]
    shown = list[str]()
    for first, after in pairwise([-1, *changed, len(layers)]):
        equal = [*layers[first + 1 : after]]
        before, behind = _CONTEXT * (first >= 0), _CONTEXT * (after < len(layers))
        omitted = len(equal) - before - behind
        if omitted > 1:
            equal[before : len(equal) - behind] = [f"  … {display.count(omitted)} equal lines"]
        shown += [*equal, *layers[after : after + 1]]
    return shown


def _values(values: Sequence[Changed]) -> list[str]:
    from layerline.cli.columns import table

    if not values:
        return ["", "recipe, data and versions: the same"]
    rows = [(changed.key, _shown(changed.a), _shown(changed.b)) for changed in values]
    return ["", *table(("experiment.toml", "A", "B"), rows, left=(0, 1, 2))]


def _shown(value: object) -> str:
    if value is None:
        return display.NOTHING
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return display.name({"True": "yes", "False": "no"}.get(text, text), _LONGEST_VALUE)
