"""Remarks on a training run and its test, with their numbers, each only if it applies. Pure: reads no files.

Every rule is stated at its function and in docs/reading-the-results.md. The thresholds are our choice: a remark tells
you where to look, and no remark does not mean that all is well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from layerline.measure import losses
from layerline.measure.score_rows import NEAREST, THUMBNAILS
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from layerline.recipe import Recipe
    from layerline.runs.history import EpochRow
    from layerline.runs.result import Result

FEW: Final = 10
"""With fewer images of a class, one image changes its F1 by more than 0.1."""
_MOST_NAMES: Final = 3
_MOST, _LONGEST = 100, 500
"""Maximum number of remarks displayed, and characters of each: those in a file may come from anyone."""
_LONGEST_NAME: Final = 30


def of(
    history: Sequence[EpochRow], result: Result, counts: Mapping[str, NDArray[np.int64]], recipe: Recipe
) -> tuple[str, ...]:
    """Return the remarks that apply, most serious first.

    result: with intervals and baselines if known; counts: images of each class, int64 (K,), by split: train, and
    validation and test if there are any.
    """
    return (
        *_never_predicted(result, "test", counts["train"], recipe),
        *_against_baselines(result),
        *losses.of(history, counts, recipe, result.test_accuracy),
        *_no_errors(result, "test"),
        *_few_images(result.classes, counts),
    )


def of_evaluation(result: Result) -> tuple[str, ...]:
    """Return the remarks that apply to a result whose training is not known, most serious first."""
    few = [] if result.confusion is None else _few_images(result.classes, {"": result.confusion.sum(axis=1)})
    return (*_never_predicted(result, ""), *_against_baselines(result), *_no_errors(result, ""), *few)


def shown(remarks: Sequence[str]) -> list[str]:
    """Return remarks that are safe to display, wherever they come from."""
    return [display.name(text, _LONGEST) for text in remarks[:_MOST]]


def _never_predicted(
    result: Result, kind: str, train: NDArray[np.int64] | None = None, recipe: Recipe | None = None
) -> list[str]:
    """Remark on classes that occur in the test but are never predicted, or that only one class is predicted.

    kind: of the images, `test`; train: training images of each class.
    """
    if result.confusion is None:
        return []
    predicted, truth = result.confusion.sum(axis=0), result.confusion.sum(axis=1)
    if (predicted > 0).sum() == 1 and (truth > 0).sum() > 1:
        name, all_of_them = (
            _name(result.classes[int(predicted.argmax())]),
            display.counted(int(truth.sum()), _image(kind)),
        )
        nothing = "it has learned nothing that distinguishes the classes"
        return [f"The network predicts {name} for all {all_of_them}{f': {nothing}' if train is not None else ''}."]
    never = np.flatnonzero((predicted == 0) & (truth > 0))
    if not len(never):
        return []
    which = f"{len(never)} of the {len(truth)} classes ({_names(result.classes, never)})"
    count = int(truth[never].sum())
    text = (
        f"The network never predicts {_name(result.classes[int(never[0])]) if len(never) == 1 else which}, the true "
        f"{'class' if len(never) == 1 else 'classes'} of {display.counted(count, _image(kind))}"
    )
    if train is None or recipe is None:
        return [f"{text}."]
    text += f" and of {int(train[never].sum()):,d} of the {int(train.sum()):,d} training images."
    rare = bool((train[never] * 2 <= train.sum() / len(train)).any())
    advice = f" More images of {'it' if len(never) == 1 else 'them'}, or --class-weights balanced, may help."
    return [text + advice if rare and recipe.class_weights is None else text]


def _against_baselines(result: Result) -> list[str]:
    """Remark that a simpler method does as well.

    A baseline does as well if its accuracy is not below the network's, and better if it is above its interval; within
    the interval but below the network's accuracy, it is not significantly worse. At most
    one is reported: the majority class, else the nearest image, else the regression. The nearest image is reported only
    if its accuracy is a standard error above the network's, and above the regression's: on small sets of similar images
    it is often within the interval without any copies.
    """
    if not result.intervals or not result.baselines or result.test_accuracy is None:
        return []
    low, high = result.intervals["test_accuracy"]
    own = f"{_fraction(result.test_accuracy)} (95% confidence interval {_fraction(low)} to {_fraction(high)})"
    largest, thumbnails, nearest = map(result.baselines.get, ("largest_class", "thumbnails", "nearest"))
    if largest is not None and largest["accuracy"] >= low:
        always = f"always predicting {_name(str(largest['class']))}"
        return [
            f"The network is not significantly better than {always}: its accuracy is {own}, and {always} gives "
            f"{_fraction(largest['accuracy'])}."
        ]
    simple = 0.0 if thumbnails is None else thumbnails["accuracy"]
    clearly = result.test_accuracy + (high - low) / 4  # by a standard error
    if nearest is not None and nearest["accuracy"] > max(clearly, simple):
        how = "better" if nearest["accuracy"] > high else "just as well"
        return [
            f"Predicting the class of the {NEAREST} does {how}: its accuracy is {_fraction(nearest['accuracy'])} and "
            f"the network's is {own}. Either test images are near copies of training images (run layerline data check) "
            "or the task is easy."
        ]
    if thumbnails is not None and thumbnails["accuracy"] >= low:
        return [_of_regression(thumbnails["accuracy"], own, result.test_accuracy, high, result)]
    return []


def _of_regression(accuracy: float, own: str, network: float, high: float, result: Result) -> str:
    """Return the remark on the regression, whose accuracy is above the network's interval or in it, above or below."""
    numbers = f"its accuracy is {_fraction(accuracy)} and the network's is {own}"
    if accuracy >= network:
        how = "better" if accuracy > high else "just as well"
        why = "The task is easy." if network == 1 else "Either the task is easy or the network is undertrained."
        return f"{THUMBNAILS.capitalize()} does {how}: {numbers}. {why}"
    on = "" if result.confusion is None else f" on {display.counted(int(result.confusion.sum()), 'image')}"
    return (
        f"{THUMBNAILS.capitalize()} is not significantly worse{on}: {numbers}. Either the task is easy, or the network "
        "is undertrained, or there are too few test images to tell."
    )


def _no_errors(result: Result, kind: str) -> list[str]:
    """Remark on the error rate that no error in N images still allows, 1 − 0.05^(1/N): the bootstrap's interval is 0.

    With a higher true error rate, N images without an error would occur less than once in twenty samples.
    """
    N = 0 if result.confusion is None else int(result.confusion.sum())
    if not N or result.test_accuracy != 1:
        return []
    most = display.percent(1 - 0.05 ** (1 / N), 1)
    return [
        f"No errors in {display.counted(N, _image(kind))}; the true error rate could still be up to {most}, which "
        "the intervals do not show."
    ]


def _few_images(classes: Sequence[str], counts: Mapping[str, NDArray[np.int64]]) -> list[str]:
    """Remark on splits with so few images of a class, fewer than 10, that its scores are mostly chance.

    A split without a name is the only one: there is no fraction to enlarge.

    If a class is predicted as often as it occurs, n times, then F1 = TP / n, and one image changes it by 1 / n.
    """
    remarks = []
    for split, flag in (("", ""), ("validation", "--validation"), ("test", "--test")):
        if split not in counts:
            continue
        of_class = counts[split]
        few = np.flatnonzero(of_class < FEW)
        if not len(few):
            continue
        rarest = int(few[of_class[few].argmin()])
        n, name = int(of_class[rarest]), _name(classes[rarest])
        called = f"The {split} set" if split else "The set"
        if n:
            text = f"{called} has {display.counted(n, 'image')} of {name}: one image changes its F1 by {_change(n)}."
        else:
            text = f"{called} has no images of {name}: it shows nothing about that class."
        if len(few) > 1 and len(few) == len(of_class):
            text += f" Every class has fewer than {FEW}."
        elif len(few) > 1:
            text += f" {len(few)} of the {len(of_class)} classes have fewer than {FEW}."
        more = f"More images, or a larger {flag}," if flag else "More images"
        remarks.append(f"{text} {more} would make the scores more reliable.")
    return remarks


def _change(n: int) -> str:
    return f"{1 / n:.1f}" if n > 1 else "1"


def _image(kind: str) -> str:
    return f"{kind} image".lstrip()


def _name(text: str) -> str:
    return f"“{display.name(text, _LONGEST_NAME)}”"


def _names(classes: Sequence[str], which: NDArray[np.int64]) -> str:
    listed = ", ".join(_name(classes[k]) for k in which[:_MOST_NAMES].tolist())
    return listed + (", …" if len(which) > _MOST_NAMES else "")


def _fraction(value: float) -> str:
    return display.fraction(value, 3)
