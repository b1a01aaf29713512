"""Common names of training, validation and test sets, for folders, archives and the column `split`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from layerline.data.part import SplitName

Meaning = Literal["train", "validation", "test", "prediction"]
"""`prediction`: images without labels, to be classified by a trained model."""

_WORDS: Final[dict[Meaning, tuple[str, ...]]] = {
    "train": ("train", "training", "trainval", "tr"),
    "validation": ("validation", "validate", "validating", "valid", "val", "vld", "dev", "devel", "eval", "evaluation"),
    "test": ("test", "testing", "tst", "ts", "te", "holdout", "heldout", "publictest", "privatetest"),
    "prediction": ("prediction", "predictions", "predict", "preds", "pred"),
}
SPLIT_WORDS: Final[dict[str, Meaning]] = {word: meaning for meaning, words in _WORDS.items() for word in words}

_BESIDE: Final = (
    *("images", "image", "imgs", "img", "pictures", "picture", "pics", "photos", "photo", "files", "jpegs"),
    *("dataset", "datasets", "data", "set", "sets", "split", "splits", "subset", "folder", "dir", "seg", "cls"),
    *("jpegimages", "class", "classification", "imagefolder", "jpg", "jpeg", "png", "tif", "tiff", "bmp"),
    *("resized", "cropped", "raw", "full"),
)
"""Words that may accompany the name of a split: `train_images`, `seg_train`, `test_set`."""
_ANY: Final = ("my", "the", "all", "new", "public", "private", "local", "set", "part", "final")
_MORE: Final = ("samples", "sample", "examples", "example", "extra", "labels", "label", "masks", "mask", "annotations")
"""Further words that do not name a class, if a split is next to them."""
_VEHICLES: Final = (
    *("airplane", "aeroplane", "plane", "aircraft", "bicycle", "bike", "boat", "bus", "car", "automobile", "metro"),
    *("motorbike", "motorcycle", "ship", "subway", "taxi", "tram", "truck", "van", "streetcar", "pickup"),
)
_COMPANY: Final = {
    "train": re.compile(rf"({'|'.join(_VEHICLES)})(e?s)?"),
    "valid": re.compile(r"(in|non|not)[\W_]*valid|expired|void|fake|unknown"),
    **dict.fromkeys(("tr", "te", "ts"), re.compile(r"[^\W\d_]{2}")),
}
"""Words with a second meaning, and the neighbors that indicate it: vehicles, invalid, language codes."""
_PARTS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+x\d+|\d+|[^\W\d_]+")
_HELD_OUT: Final = re.compile(r"h[eo]ld[-_. ]?out", re.IGNORECASE)
_PUBLIC: Final = re.compile(r"public[\W_]*test|test[\W_]*public", re.IGNORECASE)
_PRIVATE: Final = re.compile(r"private[\W_]*test|test[\W_]*private", re.IGNORECASE)
_GLUED: Final = re.compile(rf"(seg|my)?({'|'.join(sorted(SPLIT_WORDS, key=len, reverse=True))})({'|'.join(_BESIDE)})?")


def meaning(name: str) -> Meaning | None:
    """Return the split that a name means, None if it means none.

    A name is divided into words at punctuation, digits and capitals. One word must name a split, in any case, and all
    others must be numbers or words like images, set and data. So `Train-Set`, `seg_train` and `trainImages` are splits,
    and `test_tube` is not.
    """
    name = _HELD_OUT.sub("holdout", name)
    found = _of_words([name.lower()]) or _of_words([part.lower() for part in _PARTS.findall(name)])
    return found or _of_words([part for part in re.split(r"[\W_]+", name.lower()) if part])


def split_of(name: str) -> SplitName | None:
    """Return the labeled split that a name means, None if it means none."""
    found = meaning(name)
    return None if found == "prediction" else found


def splits_of(names: Collection[str]) -> dict[str, SplitName]:
    """Return the labeled splits that the names of one level mean, without those that mean none.

    Of a public and a private test set, as in FER2013, the public one is by convention the validation set, unless there
    is another.
    """
    found = {name: split for name in names if (split := split_of(name)) is not None}
    public = [name for name in found if _PUBLIC.search(name)]
    if public and "validation" not in found.values() and any(map(_PRIVATE.search, found)):
        found |= dict.fromkeys(public, "validation")
    return found


def public_note(splits: Mapping[str, SplitName]) -> tuple[str, ...]:
    """Return a note if a public test set is the validation set."""
    public = sorted(name for name, split in splits.items() if split == "validation" and _PUBLIC.search(name))
    private = sorted(filter(_PRIVATE.search, splits))
    return (f"{' and '.join(public)} is used as validation, {' and '.join(private)} as test",) if public else ()


def among(names: Collection[str]) -> dict[str, Meaning]:
    """Return the names of one level that mean splits; none if all of them are classes.

    Every name that means a split is one, with one exception: a single such name is a class if its word has a second
    meaning and another name indicates it: `train` next to bus, `valid` next to invalid, `tr` next to de.
    """
    found = {name: means for name in names if (means := meaning(name)) is not None}
    if len(found) != 1:
        return found
    (name,) = found
    company = _COMPANY.get(name.lower())
    if company is not None and any(company.fullmatch(other.lower()) for other in names if other != name):
        return {}
    return found


def names_no_class(name: str) -> bool:
    """Return whether a name means just images, samples, labels or masks."""
    parts = [part.lower() for part in _PARTS.findall(name)]
    return bool(parts) and not parts[0].isdigit() and all(_is_beside(part) or part in _MORE for part in parts)


def _of_words(parts: list[str]) -> Meaning | None:
    """Return the split that exactly one of the words means, if all others are accompanying words."""
    found: set[Meaning] = set()
    for part in parts:
        glued = _GLUED.fullmatch(part)
        if glued is not None:
            found.add(SPLIT_WORDS[glued[2]])
        elif not _is_beside(part) and part not in _ANY:
            return None
    return found.pop() if len(found) == 1 else None


def _is_beside(part: str) -> bool:
    return part in _BESIDE or part.isdigit() or bool(re.fullmatch(r"\d+x\d+|v\d*|x", part))
