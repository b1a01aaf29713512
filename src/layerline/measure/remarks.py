"""Sentences about a training and its test, each where it applies and with its numbers. Pure: nothing is read or drawn.

Every rule is stated at its function, and in docs/reading-the-results.md. They are thresholds of ours: a sentence says
where to look, and no sentence does not mean that all is well.
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
"""Images of a class below which one image moves its F1 by more than 0.1."""
_MOST_NAMES: Final = 3
_MOST, _LONGEST = 100, 500
"""Remarks that are shown, and letters of each: those of a file may be anybody's."""
_LONGEST_NAME: Final = 30


def of(
    history: Sequence[EpochRow], result: Result, counts: Mapping[str, NDArray[np.int64]], recipe: Recipe
) -> tuple[str, ...]:
    """Return the sentences that apply, the gravest first.

    result: with intervals and baselines as far as they are known; counts: images of each class, int64 (K,), by split:
    train, and validation and test where they are.
    """
    said = _said(result, "test", counts["train"], recipe)
    low = _beside_baselines(result)
    steps = losses.of(history, counts, recipe)
    return (*said, *low, *steps, *_none_wrong(result, "test"), *_few(result.classes, counts))


def of_evaluation(result: Result) -> tuple[str, ...]:
    """Return the sentences that apply to a result of which the training is not known, the gravest first."""
    few = [] if result.confusion is None else _few(result.classes, {"": result.confusion.sum(axis=1)})
    return (*_said(result, ""), *_beside_baselines(result), *_none_wrong(result, ""), *few)


def shown(remarks: Sequence[str]) -> list[str]:
    """Return remarks fit to be shown, wherever they come from."""
    return [display.name(text, _LONGEST) for text in remarks[:_MOST]]


def _said(result: Result, kind: str, train: NDArray[np.int64] | None = None, recipe: Recipe | None = None) -> list[str]:
    """Return what the columns of the confusion matrix say: classes that are never predicted.

    One class alone where all predictions are of it, and the truth has others; else the classes that occur in the test
    and are never predicted. kind: of the images, `test`; train: how many of each class were learned from.
    """
    if result.confusion is None:
        return []
    predicted, truth = result.confusion.sum(axis=0), result.confusion.sum(axis=1)
    if (predicted > 0).sum() == 1 and (truth > 0).sum() > 1:
        name, all_of_them = (
            _name(result.classes[int(predicted.argmax())]),
            display.counted(int(truth.sum()), _image(kind)),
        )
        nothing = "it has learned nothing that tells them apart"
        return [f"The network says {name} of all {all_of_them}{f': {nothing}' if train is not None else ''}."]
    never = np.flatnonzero((predicted == 0) & (truth > 0))
    if not len(never):
        return []
    which = f"{len(never)} of the {len(truth)} classes ({_names(result.classes, never)})"
    count = int(truth[never].sum())
    text = (
        f"The network never says {_name(result.classes[int(never[0])]) if len(never) == 1 else which}, which "
        f"{display.counted(count, _image(kind))} {'is' if count == 1 else 'are'}"
    )
    if train is None or recipe is None:
        return [f"{text}."]
    text += f"; it learned from {int(train[never].sum()):,d} of {int(train.sum()):,d} images."
    rare = bool((train[never] * 2 <= train.sum() / len(train)).any())
    advice = " More images of it help" if len(never) == 1 else " More images of them help"
    return [text + f"{advice}, or --class-weights balanced." if rare and recipe.class_weights is None else text]


def _beside_baselines(result: Result) -> list[str]:
    """Return whether something simpler does as well.

    A baseline does as well where its accuracy is not below the interval of the network's, and better where it is above
    it. Only one is told: that which always says a class, then the nearest image, then the regression. The nearest image
    is told only where its accuracy is a standard error above the network's, and above the regression's: on small sets
    of images that are alike it is often within the interval, and no copies are there.
    """
    if not result.intervals or not result.baselines or result.test_accuracy is None:
        return []
    low, high = result.intervals["test_accuracy"]
    own = f"{_share(result.test_accuracy)} (95 % interval {_share(low)} to {_share(high)})"
    largest, thumbnails, nearest = map(result.baselines.get, ("largest_class", "thumbnails", "nearest"))
    if largest is not None and largest["accuracy"] >= low:
        always = f"always saying {_name(str(largest['class']))}"
        return [
            f"The network is not shown to be better than {always}: its accuracy is {own}, and {always} gives "
            f"{_share(largest['accuracy'])}."
        ]
    simple = 0.0 if thumbnails is None else thumbnails["accuracy"]
    clearly = result.test_accuracy + (high - low) / 4  # by a standard error
    if nearest is not None and nearest["accuracy"] > max(clearly, simple):
        how = "better" if nearest["accuracy"] > high else "as well"
        return [
            f"The class of the {NEAREST} does {how}: {_share(nearest['accuracy'])}, "
            f"and the network's accuracy is {own}. Test images may be near copies of training images (layerline data "
            "check), or the images are easy."
        ]
    if thumbnails is not None and thumbnails["accuracy"] >= low:
        how = "better" if thumbnails["accuracy"] > high else "as well"
        text = f"{THUMBNAILS.capitalize()} does {how}: {_share(thumbnails['accuracy'])}, and the network's "
        why = "Either the images are easy, or the network is trained too little."
        return [f"{text}accuracy is {own}. {'The images are easy.' if result.test_accuracy == 1 else why}"]
    return []


def _none_wrong(result: Result, kind: str) -> list[str]:
    """Return what no mistake among N images shows, where the bootstrap's interval is one point: at most 1 − 0.05^(1/N).

    With a larger share of wrong images among all there are, N right ones would be drawn less than once in twenty times.
    """
    N = 0 if result.confusion is None else int(result.confusion.sum())
    if not N or result.test_accuracy != 1:
        return []
    most = display.percent(1 - 0.05 ** (1 / N), 1)
    return [
        f"None of the {display.counted(N, _image(kind))} is wrong, which is no certainty: up to {most} of all such "
        "images may still be, and the intervals do not show it."
    ]


def _few(classes: Sequence[str], counts: Mapping[str, NDArray[np.int64]]) -> list[str]:
    """Return which sets have so few images of a class that its figures are mostly chance: fewer than 10.

    A set without a name is the only one, and no larger share of anything can be taken for it.

    Where a class is predicted as often as it occurs, n times, F1 = TP / n: an image more or less moves it by 1 / n.
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
            text = f"{called} has {display.counted(n, 'image')} of {name}: its F1 there moves by {_move(n)} an image."
        else:
            text = f"{called} has no image of {name}: it says nothing of that class."
        if len(few) > 1 and len(few) == len(of_class):
            text += f" It has fewer than {FEW} of every class."
        elif len(few) > 1:
            text += f" Of {len(few)} of the {len(of_class)} classes it has fewer than {FEW}."
        more = f"More images, or a larger share by {flag}, make" if flag else "More images make"
        remarks.append(f"{text} {more} it surer.")
    return remarks


def _move(n: int) -> str:
    return f"{1 / n:.1f}" if n > 1 else "1"


def _image(kind: str) -> str:
    return f"{kind} image".lstrip()


def _name(text: str) -> str:
    return f"“{display.name(text, _LONGEST_NAME)}”"


def _names(classes: Sequence[str], which: NDArray[np.int64]) -> str:
    shown = ", ".join(_name(classes[k]) for k in which[:_MOST_NAMES].tolist())
    return shown + (", …" if len(which) > _MOST_NAMES else "")


def _share(value: float) -> str:
    return display.fraction(value, 3)
