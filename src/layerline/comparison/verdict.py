"""One sentence on two runs: which is better, or that it is not shown; and what that sentence leaves open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerline.numbers import display

if TYPE_CHECKING:
    from layerline.comparison.comparison import Comparison
    from layerline.comparison.paired import Paired


def sentence(found: Comparison) -> str:
    """Return the verdict: `B is better: …`, `not shown: …`, or that there is nothing to tell apart."""
    p = found.paired
    if found.a.folder.resolve() == found.b.folder.resolve():
        return "A and B are the same run: there is nothing to compare"
    if p.alike == p.images:
        return f"no difference: both say the same of {_all(p.images)}"
    by_accuracy, by_f1 = (each.better if each.shown else "" for each in (p.accuracy, p.macro_f1))
    if by_accuracy and by_f1 and by_accuracy != by_f1:
        return f"neither is better: {by_accuracy} is {_more(p)}, but {by_f1} has the higher macro F1, {_by(p)}"
    if by_accuracy:
        beside = f"its macro F1 is higher, {_by(p)}" if by_f1 else f"a difference of macro F1 is not shown, {_by(p)}"
        return f"{by_accuracy} is better: {_more(p)}; {beside}"
    if by_f1:
        return f"{by_f1} is better in macro F1, {_by(p)}; that it is right more often is not shown: {_balance(p)}"
    return f"not shown: {_balance(p)}{_needed(p)}"


def caveats(found: Comparison) -> list[str]:
    """Return sentences on what the verdict rests on, and what it does not say."""
    said = []
    if found.split == "validation":
        said.append(
            "Not both runs have a test set, so this is of the validation images. They chose the epoch of each model: "
            "both figures are a little too good."
        )
    if found.by_name:
        said.append(
            "The data of the two differ; images are taken for the same where their files have the same name and class."
        )
    if any(found.left_out):
        a, b = (display.count(number) for number in found.left_out)
        said.append(
            f"These are the images that are in the {found.split} sets of both; {a} of A's and {b} of B's are left out."
        )
    if found.paired.alike == found.paired.images:
        return said
    if not found.layers and [changed.key for changed in found.values] == ["seed"]:
        said.append("Only the seed differs: this is what chance does to one recipe.")
    else:
        said.append("This is about these two models; to compare their recipes, train both with --seeds 5.")
    return said


def _more(p: Paired) -> str:
    more = display.count(abs(p.only_b - p.only_a))
    return f"right on {more} more of {display.counted(p.images, 'image')} ({display.chance(p.accuracy.p)})"


def _balance(p: Paired) -> str:
    """Return what the accuracy's test says where it shows nothing."""
    if p.only_a == p.only_b:
        return f"A and B are right on equally many of {display.counted(p.images, 'image')}, though not on the same ones"
    return f"{p.accuracy.better} is {_more(p)}, which may be chance"


def _needed(p: Paired) -> str:
    if p.needed is None:
        return ""
    return f"; about {display.count(_upwards(p.needed))} such images would be needed to show this difference"


def _by(p: Paired) -> str:
    """Return the difference of the macro F1 with its interval, as that of the better one."""
    f1 = p.macro_f1
    value, low, high = (f1.value, f1.low, f1.high) if f1.better == "B" else (-f1.value, -f1.high, -f1.low)
    return f"by {display.fraction(value)} ({display.difference(low)} to {display.difference(high)})"


def _upwards(number: int) -> int:
    """Return a number rounded up to two digits."""
    step = int(10 ** max(0, len(str(number)) - 2))
    return -(-number // step) * step


def _all(number: int) -> str:
    return "the one image" if number == 1 else f"all {display.count(number)} images"
