"""What people call training, validation and test sets: one table, for folders, archives and the column `split`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Collection

    from layerline.data.part import SplitName

Meaning = Literal["train", "validation", "test", "prediction"]
"""`prediction`: images without labels, to be classified by a model that is trained elsewhere."""

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
"""Words beside the one that says which split it is: `train_images`, `seg_train`, `test_set`."""
_ANY: Final = ("my", "the", "all", "new", "public", "private", "local", "set", "part", "final")
_MORE: Final = ("samples", "sample", "examples", "example", "extra", "labels", "label", "masks", "mask", "annotations")
"""Words that name no class, either, where a split stands beside them."""
_VEHICLES: Final = (
    *("airplane", "aeroplane", "plane", "aircraft", "bicycle", "bike", "boat", "bus", "car", "automobile", "metro"),
    *("motorbike", "motorcycle", "ship", "subway", "taxi", "tram", "truck", "van", "streetcar", "pickup"),
)
_COMPANY: Final = {
    "train": re.compile(rf"({'|'.join(_VEHICLES)})(e?s)?"),
    "valid": re.compile(r"(in|non|not)[\W_]*valid|expired|void|fake|unknown"),
    **dict.fromkeys(("tr", "te", "ts"), re.compile(r"[^\W\d_]{2}")),
}
"""Words that mean something else, too, and what then stands beside them: vehicles, invalid, other languages' codes."""
_PARTS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+x\d+|\d+|[^\W\d_]+")
_HELD_OUT: Final = re.compile(r"h[eo]ld[-_. ]?out", re.IGNORECASE)
_GLUED: Final = re.compile(rf"(seg|my)?({'|'.join(sorted(SPLIT_WORDS, key=len, reverse=True))})({'|'.join(_BESIDE)})?")


def meaning(name: str) -> Meaning | None:
    """Return which split a name means, None where it means none.

    A name is cut into words at signs, digits and capitals. One of them must be a split's, in any case, and all others
    numbers or words like images, set and data. So `Train-Set`, `seg_train` and `trainImages` are splits, and
    `test_tube` is none.
    """
    name = _HELD_OUT.sub("holdout", name)
    found = _of_words([name.lower()]) or _of_words([part.lower() for part in _PARTS.findall(name)])
    return found or _of_words([part for part in re.split(r"[\W_]+", name.lower()) if part])


def split_of(name: str) -> SplitName | None:
    """Return which split with labels a name means, None where it means none."""
    found = meaning(name)
    return None if found == "prediction" else found


def among(names: Collection[str]) -> dict[str, Meaning]:
    """Return those of the names of one level that mean splits; none where all of them are classes.

    A name that means a split is one. Only a lone one may be a class, where its bare word means something else, too, and
    another name says so: `train` beside bus, `valid` beside invalid, `tr` beside de.
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
    """Return whether a name says only that there are images, samples, labels or masks."""
    parts = [part.lower() for part in _PARTS.findall(name)]
    return bool(parts) and not parts[0].isdigit() and all(_is_beside(part) or part in _MORE for part in parts)


def _of_words(parts: list[str]) -> Meaning | None:
    """Return the split that exactly one of the words means, the others being beside it."""
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
