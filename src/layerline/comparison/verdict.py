"""The verdict on two runs in one sentence: which is better, if significantly so; and its caveats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerline.numbers import display

if TYPE_CHECKING:
    from layerline.comparison.comparison import Comparison
    from layerline.comparison.paired import Paired


def sentence(found: Comparison) -> str:
    """Return the verdict: `B is better: …`, `no significant difference: …`, or that there is no difference at all."""
    p = found.paired
    if found.a.folder.resolve() == found.b.folder.resolve():
        return "A and B are the same run: nothing to compare"
    if p.alike == p.images:
        return f"no difference: both have the same predictions for {_all(p.images)}"
    by_accuracy, by_f1 = (each.better if each.significant else "" for each in (p.accuracy, p.macro_f1))
    if by_accuracy and by_f1 and by_accuracy != by_f1:
        return f"neither is better: {by_accuracy} is {_more(p)}, but {by_f1} has the higher macro F1, {_by(p)}"
    if by_accuracy:
        also = f"its macro F1 is higher {_by(p)}" if by_f1 else f"macro F1 differs {_by(p)}, which is not significant"
        return f"{by_accuracy} is better: {_more(p)}; {also}"
    if by_f1:
        return f"{by_f1} is better in macro F1, {_by(p)}; the difference in accuracy is not significant: {_balance(p)}"
    return f"no significant difference: {_balance(p)}{_needed(p)}"


def caveats(found: Comparison) -> list[str]:
    """Return sentences on what the verdict is based on, and what it does not cover."""
    text = []
    if found.split == "validation":
        text.append(
            "The runs do not both have a test set, so this uses the validation images. They selected each model's "
            "epoch, so both scores are slightly optimistic."
        )
    if found.by_name:
        text.append("The data of the two differ; images are matched if their files have the same name and class.")
    if any(found.left_out):
        a, b = (display.count(number) for number in found.left_out)
        text.append(
            f"This covers the images in the {found.split} sets of both; {a} of A's and {b} of B's are left out."
        )
    if found.paired.alike == found.paired.images:
        return text
    if not found.layers and [changed.key for changed in found.values] == ["seed"]:
        text.append("Only the seed differs: this shows the random variation of a single recipe.")
    elif found.a.folds is not None and found.b.folds is not None:
        text.append("This compares two recipes with one training per fold; other seeds may change the difference.")
    else:
        text.append("This compares these two models; to compare their recipes, train both with --seeds 5.")
    return text


def _more(p: Paired) -> str:
    more = display.count(abs(p.only_b - p.only_a))
    return f"correct on {more} more of {display.counted(p.images, 'image')} ({display.chance(p.accuracy.p)})"


def _balance(p: Paired) -> str:
    """Return the difference in accuracy in words, if it is not significant."""
    if p.only_a == p.only_b:
        return (
            f"A and B are correct on equally many of {display.counted(p.images, 'image')}, though not on the same ones"
        )
    return f"{p.accuracy.better} is {_more(p)}"


def _needed(p: Paired) -> str:
    if p.needed is None:
        return ""
    return f"; about {display.count(_upwards(p.needed))} such images would be needed to show this difference"


def _by(p: Paired) -> str:
    """Return the difference in macro F1 with its interval, in favor of the better one."""
    f1 = p.macro_f1
    value, low, high = (f1.value, f1.low, f1.high) if f1.better == "B" else (-f1.value, -f1.high, -f1.low)
    return f"by {display.fraction(value)} ({display.difference(low)} to {display.difference(high)})"


def _upwards(number: int) -> int:
    """Return a number rounded up to two significant digits."""
    step = int(10 ** max(0, len(str(number)) - 2))
    return -(-number // step) * step


def _all(number: int) -> str:
    return "the one image" if number == 1 else f"all {display.count(number)} images"
