"""The data doctor: each kind of finding appears with data made for it, and not otherwise."""

from __future__ import annotations

import dataclasses
import fnmatch
import hashlib
import itertools
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from image_files import jpeg, png, tree
from places import DOCS
from scenes import drawn_mask, photos

from layerline.data import load_data
from layerline.data.checking import doctor, masks
from layerline.data.checking.doctor import KINDS, REFUSED, Finding, check, examine
from layerline.data.checking.equal_images import copies
from layerline.data.checking.survey import survey
from layerline.data.dataset import Dataset, ImageSet, Scaling, Split
from layerline.data.part import SPLITS
from layerline.data.scaling import scaling
from layerline.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

CLASSES = ("ant", "bee", "cow")


def dataset(train: Any, test: Any = None, validation: Any = None, names: Any = None, last: bool = True) -> Dataset:
    """Return a data set of images (n, H, W, C) and labels for each split, each with a source of its own."""

    def split(given: Any, names: Any) -> Split | None:
        if given is None:
            return None
        images, labels = given
        stack = np.asarray(images)
        stack = stack[:, None] if stack.ndim == 3 else stack.transpose(0, 3, 1, 2)
        stack = stack if last else np.ascontiguousarray(stack)
        source = ImageSet(stack, np.asarray(labels, np.int32), names=names)
        return Split(source, np.arange(len(stack), dtype=np.int64))

    named = names or {}
    return Dataset(
        "made",
        CLASSES,
        split(train, named.get("train")),
        split(validation, named.get("validation")),
        split(test, named.get("test")),
        Scaling((1 / 255,) * 3, (0.0,) * 3),
        "0" * 64,
    )


def labels(n: int) -> NDArray[np.int32]:
    return np.arange(n, dtype=np.int32) % 3


def found(data: Dataset) -> dict[str, Finding]:
    findings = examine(data)
    assert all(item.kind in KINDS for item in findings)
    return {item.kind: item for item in findings}


CLEAN = photos(360)


def test_nothing_is_said_of_clean_data():
    """Photos without any fault, in three splits, give no finding; neither do the digits in the package."""
    data = dataset((CLEAN[:240], labels(240)), (CLEAN[240:300], labels(60)), (CLEAN[300:], labels(60)))
    assert examine(data) == ()
    assert examine(load_data("digits")) == ()


def leaky(count: int, size: int = 100, **named: Any) -> Dataset:
    """Return data with so many images of the test set in training, too, each with one label."""
    train, test, of_test = CLEAN[:240].copy(), CLEAN[240 : 240 + size].copy(), labels(size)
    test[:count], of_test[:count] = train[100 : 100 + count], labels(240)[100 : 100 + count]
    return dataset((train, labels(240)), (test, of_test), **named)


@pytest.mark.parametrize("last", [True, False])
def test_copies_across_splits_are_a_leak(last):
    """Test images that are in training are counted and named; above 1 % of the test set they refuse."""
    items = found(leaky(3, last=last))
    assert set(items) == {"leak"}
    leak = items["leak"]
    assert leak.refuses
    assert leak.message == (
        "3 of 100 test images are also in training (such as train image 100 = test image 0): "
        "scores on them are too optimistic"
    )
    assert leak.images == tuple(place for k in range(3) for place in (("train", 100 + k), ("test", k)))
    assert leak.groups == (0, 0, 1, 1, 2, 2)


def test_a_few_leaks_are_told_and_not_refused():
    """Two images, or 1 % of a set, change a figure by less than chance does: so much is told, more is refused."""
    leak = found(leaky(2, 20))["leak"]
    assert not leak.refuses
    assert leak.message.startswith("2 of 20 test images are also in training")
    assert check([leak]) == (leak.message,)
    assert found(leaky(3, 20))["leak"].refuses
    large, rest = photos(700, (8, 8, 3), seed=5), photos(300, (8, 8, 3), seed=6)
    for count, refuses in ((3, False), (4, True)):
        test = rest.copy()
        test[:count] = large[:count]
        assert found(dataset((large, labels(700)), (test, labels(300))))["leak"].refuses == refuses


def test_a_leak_between_any_two_splits_is_found():
    """Validation against training, test against training, test against validation: each is counted on its own."""
    train, validation, test = CLEAN[:240].copy(), CLEAN[240:300].copy(), CLEAN[300:].copy()
    validation[[0, 3]] = train[[0, 3]]
    test[[6, 9, 12]] = train[[6, 9, 12]]
    test[15] = validation[15]
    leak = found(dataset((train, labels(240)), (test, labels(60)), (validation, labels(60))))["leak"]
    for told in (
        "3 of 60 test images are also in training",
        "1 of 60 test images is also in validation",
        "2 of 60 validation images are also in training",
    ):
        assert told in leak.message


def test_the_same_image_in_two_classes_is_a_conflict():
    """It is found in one split and across two, and says the classes."""
    train = CLEAN[:240].copy()
    train[[31, 35]] = train[[10, 10]]
    items = found(dataset((train, labels(240)), (CLEAN[240:300], labels(60))))
    assert set(items) == {"conflict"}
    assert "train image 10 as bee and train image 35 as cow" in items["conflict"].message
    test = CLEAN[240:300].copy()
    test[0] = train[100]
    items = found(dataset((CLEAN[:240], labels(240)), (test, labels(60))))
    assert items["conflict"].images == (("train", 100), ("test", 0))
    assert "leak" in items


def test_conflicts_refuse_above_1_percent():
    """Counted are images whose label most of their copies do not have: two of a set are told, three of 240 refuse."""
    for pairs, refuses in ((2, False), (3, True)):
        train = CLEAN[:240].copy()
        for k in range(pairs):
            train[6 * k + 1] = train[6 * k]
        assert found(dataset((train, labels(240))))["conflict"].refuses == refuses
    train = CLEAN[:240].copy()
    train[[3, 6, 9, 12, 13, 16]] = train[0]  # six copies as ant, two as bee
    assert not found(dataset((train, labels(240))))["conflict"].refuses
    train[[19, 22]] = train[0]
    assert found(dataset((train, labels(240))))["conflict"].refuses


def test_copies_in_one_split_and_class_are_told():
    """Copies inside training are told and never refused; the first of each is not counted."""
    train = CLEAN[:240].copy()
    train[[3, 6, 9]] = train[0]
    items = found(dataset((train, labels(240)), (CLEAN[240:300], labels(60))))
    assert set(items) == {"duplicates"}
    assert not items["duplicates"].refuses
    assert items["duplicates"].message.startswith("3 images are copies of others in the same split and class")
    assert items["duplicates"].images == tuple(("train", k) for k in (0, 3, 6, 9))


def test_images_of_one_color_are_told_and_are_no_copies():
    """Black images in all splits and classes are constant: neither leak, conflict nor duplicates."""
    train, test = CLEAN[:240].copy(), CLEAN[240:300].copy()
    train[[1, 2, 3]] = 0
    test[5] = 0
    train[7] = [10, 20, 30]
    items = found(dataset((train, labels(240)), (test, labels(60))))
    assert set(items) == {"constant"}
    assert not items["constant"].refuses
    assert items["constant"].images == (*(("train", k) for k in (1, 2, 3, 7)), ("test", 5))


def test_one_pixel_makes_an_image_another():
    """An image that differs from another in one pixel is no copy; one with a single pixel on black is not constant."""
    train = CLEAN[:240].copy()
    train[3] = train[0]
    train[3, 39, 47, 2] ^= 1
    train[5] = 0
    train[5, 17, 23, 1] = 1
    assert found(dataset((train, labels(240)))) == {}


def test_classes_with_hardly_any_images_are_told():
    """Fewer than 5 training images, or fewer than 3 to test on, are told; a missing class is a note of loading."""
    of_train = np.array([0] * 100 + [1] * 100 + [2] * 4)
    of_test = np.array([0] * 30 + [1] * 2 + [2] * 3)
    items = examine(dataset((CLEAN[:204], of_train), (CLEAN[204:239], of_test)))
    assert [item.message for item in items] == [
        "1 class has fewer than 5 training images: cow (4)",
        "1 class has fewer than 3 test images: bee (2)",
    ]
    assert not any(item.refuses for item in items)
    enough = np.array([0] * 100 + [1] * 99 + [2] * 5)
    assert examine(dataset((CLEAN[:204], enough), (CLEAN[204:237], np.repeat([0, 1], [30, 3])))) == ()


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((1, 1), np.uint8), ((3, 5, 3), np.uint8), ((28, 28), np.uint8), ((9, 7, 2), np.float32), ((32, 32, 4), np.uint8)],
)
def test_copies_are_those_that_are_equal_byte_for_byte(shape, dtype):
    """Over random images of few values, of any shape and type, the groups are those of SHA-256 over each image."""
    rng = np.random.default_rng(3)
    base = rng.integers(0, 4, (60, *shape)).astype(dtype)
    images = base[rng.integers(0, 60, 200)]
    data = dataset((images, labels(200)))
    seen = survey(data)
    expected: dict[bytes, list[int]] = {}
    for k, image in enumerate(images):
        if len(np.unique(image.reshape(image.shape[0] * image.shape[1], -1), axis=0)) > 1:
            expected.setdefault(hashlib.sha256(image.tobytes()).digest(), []).append(k)
    assert copies(data, seen) == sorted(group for group in expected.values() if len(group) > 1)
    assert seen.constant.sum() == 200 - sum(map(len, expected.values()))


def test_equal_keys_do_not_make_a_copy(monkeypatch):
    """Where keys of different images collide, the images are compared."""
    from layerline.data.checking import survey as module

    monkeypatch.setattr(module, "_keys", lambda images, _: np.zeros(len(images), np.uint64))
    train = CLEAN[:240].copy()
    train[3] = train[0]
    items = found(dataset((train, labels(240))))
    assert set(items) == {"duplicates"}
    assert items["duplicates"].images == (("train", 0), ("train", 3))


def test_keys_differ_where_only_upper_bytes_do():
    """Among 65,536 images that differ in the last byte of two words alone, no two have one key."""
    images = np.zeros((2**16, 4, 4), np.uint8)
    high, low = np.divmod(np.arange(2**16), 256)
    images[:, 1, 3], images[:, 3, 3] = high, low
    keys = survey(dataset((images, labels(2**16)))).keys
    assert len(np.unique(keys)) == 2**16


def test_keys_differ_where_only_the_last_bytes_do():
    """What is left behind the last whole word counts: 256 images of 3 × 3 pixels that differ in the last one."""
    images = np.zeros((256, 3, 3), np.uint8)
    images[:, 2, 2] = np.arange(256)
    assert len(np.unique(survey(dataset((images, labels(256)))).keys)) == 256


def test_only_images_of_a_split_are_looked_at():
    """Images that were left out by --limit or --classes are no copies of those that are used."""
    images = CLEAN[:240].copy()
    images[200:] = images[:40]
    source = ImageSet(images.transpose(0, 3, 1, 2), labels(240))
    data = dataset((images, labels(240)))
    used = Dataset(
        "made",
        CLASSES,
        Split(source, np.r_[0:100, 150:200]),
        None,
        Split(source, np.arange(100, 150)),
        data.scaling,
        data.fingerprint,
    )
    assert examine(used) == ()


# masks


def named_files(n: int, ending: str = ".jpg", folder: str = "ant") -> list[str]:
    return [f"{folder}/{k:03}{ending}" for k in range(n)]


@pytest.mark.parametrize("called", ["{}_mask.png", "{}-seg.png", "mask_{}.png", "{}_Label.png", "{} gt.tif"])
def test_masks_by_name_refuse(called):
    """A file called like another with a word for masks is one, whatever its pixels."""
    names = named_files(100) + [f"ant/{called.format(f'{k:03}')}" for k in range(20)]
    mask = found(dataset((CLEAN[:120], [0] * 120), names={"train": names}))["mask"]
    assert mask.refuses
    assert mask.images == tuple(("train", k) for k in range(100, 120))
    assert "judging by their names" in mask.message
    few = found(dataset((CLEAN[:102], [0] * 102), names={"train": names[:102]}))["mask"]
    assert not few.refuses, "two of them are told"
    assert found(dataset((CLEAN[:103], [0] * 103), names={"train": names[:103]}))["mask"].refuses


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (["a/1_mask.png", "b/2_mask.png"], "*_mask.png"),
        (["a/1_mask.png", "b/mask_2.png", "b/2-seg.tif"], "*-seg.tif,*_mask.png,mask_*"),
        (["a/1_mask_7.png", "a/1_mask_8.png", "a/2_mask_1.png", "a/2_mask_2.png"], ""),
        (["masks/1.png"], ""),
        ([], ""),
    ],
)
def test_how_to_leave_masks_out_is_worked_out(files, told):
    """The pattern for --exclude stands in the message where three or fewer do, and it leaves out just these files."""
    assert masks.patterns(files) == told
    for file in files if told else ():
        assert any(fnmatch.fnmatchcase(file.rpartition("/")[2], pattern) for pattern in told.split(","))
    assert not any(fnmatch.fnmatchcase("1.png", pattern) for pattern in told.split(","))


def test_twins_of_another_ending_are_masks_or_copies():
    """`000.png` beside `000.jpg` for a fifth of all files refuses, also where half of the masks are black."""
    names = named_files(80) + named_files(80, ".png")
    masks_ = np.stack([drawn_mask(k) if k % 2 else np.zeros((40, 48), np.uint8) for k in range(80)])
    images = np.concatenate([CLEAN[:80], np.repeat(masks_[..., None], 3, axis=3)])
    mask = found(dataset((images, [0] * 160), names={"train": names}))["mask"]
    assert mask.refuses
    assert mask.images == tuple(("train", k) for k in range(80, 160))
    assert mask.message == (
        "80 of 160 images have the name of another except for the extension, such as ant/000.png and ant/000.jpg: "
        "masks or copies (exclude them with --exclude '*.png')"
    )
    for pairs, refuses in ((19, False), (20, True)):  # 2 · 20 of 200 files are a fifth
        names = named_files(180) + named_files(20, ".png")[:pairs] + [f"ant/x{k}.jpg" for k in range(20 - pairs)]
        assert ("mask" in found(dataset((CLEAN[:200], [0] * 200), names={"train": names}))) == refuses


def test_the_photos_of_twins_are_kept():
    """Photos in PNG with masks in another ending: the masks are left out, whichever ending they have, by colors."""
    names = named_files(40, ".png") + named_files(40, ".bmp")
    images = np.concatenate([CLEAN[:40], np.repeat(np.stack([drawn_mask(k) for k in range(40)])[..., None], 3, axis=3)])
    mask = found(dataset((images, [0] * 80), names={"train": names}))["mask"]
    assert mask.images == tuple(("train", k) for k in range(40, 80))
    assert "--exclude '*.bmp'" in mask.message


@pytest.mark.parametrize(
    ("files", "others", "told"),
    [
        (["a/1.png", "b/2.png"], ["a/1.jpg", "b/2.jpg"], "*.png"),
        (["a/1.png"], ["a/1.jpg", "b/2.png"], "a/*.png"),
        (["a/1.png"], ["a/1.jpg", "a/2.png"], ""),
    ],
)
def test_twins_are_left_out_by_their_ending_where_no_other_has_it(files, others, told):
    """The pattern for --exclude matches all of the twins and no other file; where there is none, none is named."""
    assert masks.patterns(files, others) == told
    for pattern in filter(None, told.split(",")):
        assert all(fnmatch.fnmatchcase(file, pattern) for file in files)
        assert not any(fnmatch.fnmatchcase(file, pattern) for file in others)


def test_black_masks_count_among_masks():
    """Masks of which half are black are half of the images: refused by colors, with the black ones."""
    masks_ = np.stack([drawn_mask(k) if k % 2 else np.zeros((40, 48), np.uint8) for k in range(60)])
    images = np.concatenate([CLEAN[:120], np.repeat(masks_[..., None], 3, axis=3)])
    mask = found(dataset((images, labels(180))))["mask"]
    assert mask.refuses
    assert len(mask.images) == 60


@pytest.mark.parametrize(("constant", "refuses"), [(range(240), True), (range(0, 240, 3), True), (range(80), False)])
def test_a_set_or_a_class_of_one_color_refuses(constant, refuses):
    """All images, or all of one class, of one color: nothing to learn. A third of each class is told."""
    train = CLEAN[:240].copy()
    train[list(constant)] = 255
    item = found(dataset((train, labels(240))))["constant"]
    assert item.refuses == refuses
    assert ("hardly anything" in item.message) == refuses
    if refuses:
        with pytest.raises(DataError, match=r"constant: .* hardly anything"):
            check([item])
        assert check([item], ["constant"]) == (item.message,)


def test_what_is_not_looked_for_is_said():
    """Without file names, sets or size, some faults cannot be seen: `data check` has each."""
    whole = dataset((CLEAN[:240], labels(240)), (CLEAN[240:], labels(120)), names={s: named_files(240) for s in SPLITS})
    assert doctor.not_examined(whole) == ()
    told = doctor.not_examined(dataset((photos(30, (8, 8, 3)), labels(30))))
    assert [text.split(",")[0] for text in told] == ["near copies", "leaks", "masks by name", "masks by color"]


def test_a_word_for_masks_alone_is_none():
    """`label_7.jpg` without a `7.jpg` beside it, and faces in mask/ and no_mask/, are images like others."""
    names = [f"ant/label_{k}.jpg" for k in range(60)] + [f"bee/bottle_label {k}.jpg" for k in range(60)]
    assert found(dataset((CLEAN[:120], [0] * 60 + [1] * 60), names={"train": names})) == {}
    names = named_files(60, folder="mask") + named_files(60, folder="no_mask")
    assert found(dataset((CLEAN[:120], [0] * 60 + [1] * 60), names={"train": names})) == {}


def test_a_folder_of_masks_beside_one_of_images_refuses():
    """images/1.jpg and masks/1.png, read as two classes."""
    drawn = np.stack([np.repeat(drawn_mask(k)[..., None], 3, 2) for k in range(60)])
    names = named_files(60, folder="images") + named_files(60, ".png", folder="masks")
    data = dataset((np.concatenate([CLEAN[:60], drawn]), [0] * 60 + [1] * 60), names={"train": names})
    mask = found(data)["mask"]
    assert mask.refuses
    assert mask.images == tuple(("train", k) for k in range(60, 120))


def test_a_class_called_mask_may_be_one():
    """The name is not enough: its images must have few colors, the others many, and the files be called alike."""
    drawn = np.stack([np.repeat(drawn_mask(k)[..., None], 3, 2) for k in range(60)])
    more = np.stack([np.repeat(drawn_mask(k)[..., None], 3, 2) for k in range(60, 120)])
    alike = named_files(60, folder="faces") + named_files(60, folder="mask")
    other = named_files(60, folder="faces") + [f"mask/m{k}x.png" for k in range(60)]
    of_class = [0] * 60 + [1] * 60
    for images, names in (
        (CLEAN[:120], alike),  # faces with masks on
        (np.concatenate([more, drawn]), alike),  # all are drawings
        (np.concatenate([CLEAN[:60], drawn]), other),  # drawings that belong to no photo
    ):
        assert found(dataset((images, of_class), names={"train": names})) == {}


def mixture(share: float, n: int = 300, value: int = 255) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return photos of which a share, spread over the classes, are masks."""
    images, of_class = CLEAN[:n].copy(), labels(n)
    for k in range(int(share * n)):
        images[k] = drawn_mask(k, value=value)[..., None]
    return images, of_class


def test_masks_by_colors_refuse_where_they_are_many():
    """A third of the images of every class has a few colors, and the others have many."""
    mask = found(dataset(mixture(0.33)))["mask"]
    assert mask.refuses
    assert len(mask.images) == 99
    assert "judging by their few colors" in mask.message


def test_few_images_with_few_colors_are_told():
    """Below a fifth of all images it may be their nature: told, not refused; below 0.5 % not even that."""
    items = found(dataset(mixture(0.1)))
    assert not items["mask"].refuses
    assert "mask" not in found(dataset(mixture(0.0034)))


def test_drawings_are_no_masks():
    """Where all images have few colors, or those of one class alone, nothing is said."""
    assert found(dataset(mixture(1.0))) == {}
    images, of_class = CLEAN[:300].copy(), labels(300)
    for k in np.flatnonzero(of_class == 2):
        images[k] = drawn_mask(k)[..., None]
    assert found(dataset((images, of_class))) == {}


def test_few_colors_are_nothing_special_among_product_shots():
    """Where most of every image is white, images of white and one color are not told, however many."""
    images, of_class = mixture(0.33)
    images[99:, :28] = 255
    assert found(dataset((images, of_class))) == {}


def test_masks_survive_jpeg_and_resizing(tmp_path: Path):
    """Masks that were saved as JPEG among photos are still seen, gray or in color."""
    for k, of_class in itertools.product(range(40), ("ant", "bee")):
        seed = 2 * k + (of_class == "bee")
        tree(tmp_path, {f"{of_class}/{k:03}.jpg": jpeg(photos(1, seed=seed)[0])})
        tree(tmp_path, {f"{of_class}/x{k:03}.jpg": jpeg(np.repeat(drawn_mask(seed)[..., None], 3, 2))})
    mask = found(load_data(tmp_path))["mask"]
    assert mask.refuses
    assert len(mask.images) == 80


@pytest.mark.parametrize("maximum", [1.0, 16.0, 65535.0])
def test_colors_are_counted_in_floats_too(maximum):
    """Images as float32 of any range give the finding of the same images as bytes."""
    images, of_class = mixture(0.33)
    stack = (images.astype(np.float32) * np.float32(maximum / 255)).transpose(0, 3, 1, 2)
    data = dataset((images, of_class))
    source = ImageSet(stack, of_class, maximum)
    floats = dataclasses.replace(data, train=Split(source, data.train.indices))
    assert found(floats)["mask"].images == found(data)["mask"].images


def test_small_images_are_not_judged_by_colors():
    """Below 32 pixels a side nothing is said: MNIST's digits have few colors, too."""
    images, of_class = mixture(0.33)
    assert found(dataset((images[:, :31, :31], of_class))) == {}
    assert set(found(dataset((images[:, :32, :32], of_class)))) == {"mask"}


def test_images_that_are_all_of_one_color_give_no_nan():
    """Where every image is constant, that is told, and scaling by the deviation gives finite numbers."""
    images = np.full((60, 8, 8), 7, np.uint8)
    data = dataset((images, labels(60)))
    assert len(found(data)["constant"].images) == 60
    for how in ("max", "standard"):
        assert np.isfinite(scaling(data.train, 255.0, how).apply(data.train.source.images)).all()


def test_a_class_that_is_missing_from_a_set_is_told(tmp_path):
    """It is a note of loading, which says k of C; the doctor does not say it again."""
    for split, classes in (("train", CLASSES), ("val", CLASSES[:2]), ("test", CLASSES)):
        for of_class, k in itertools.product(classes, range(5)):
            seed = sum(map(ord, split + of_class)) * 10 + k
            tree(tmp_path, {f"{split}/{of_class}/{k}.png": png(photos(1, seed=seed)[0])})
    (tmp_path / "val" / "cow").mkdir()
    data = load_data(tmp_path)
    assert data.notes == ("validation has 2 of 3 classes: no images of cow",)
    assert examine(data) == ()


# what is done about it

LEAK = Finding("leak", "3 of 60 test images are also in training", True)
MASK = Finding("mask", "9 images look like masks", True)
FEW = Finding("few", "1 class has fewer than 5 training images: cow (4)", False)


def test_refusals_come_together_and_can_be_allowed():
    """All that refuse are in one error, each with its kind; what is allowed is told in place of that."""
    with pytest.raises(DataError) as caught:
        check([LEAK, MASK, FEW])
    assert caught.value.message.splitlines()[1:] == [f"    leak: {LEAK.message}", f"    mask: {MASK.message}"]
    assert caught.value.help.endswith("--allow leak,mask")
    with pytest.raises(DataError, match="mask: 9 images") as caught:
        check([LEAK, MASK, FEW], ["leak"])
    assert "leak:" not in caught.value.message
    assert check([LEAK, MASK, FEW], ("leak", "mask")) == (LEAK.message, MASK.message, FEW.message)
    assert check([FEW]) == (FEW.message,)
    assert check([]) == ()


def test_a_word_that_allows_nothing_is_refused():
    """--allow knows the kinds; the nearest is named, else all that refuse."""
    with pytest.raises(DataError) as caught:
        check([], ["leek"])
    assert str(caught.value) == "allow=['leek']: unknown kind of finding\n  help: did you mean leak?"
    with pytest.raises(DataError, match=r"allow=\['all'\]: unknown kind") as caught:
        check([], ["all"])
    assert caught.value.help == "one of: leak, conflict, mask, constant"


def test_the_documentation_has_every_kind_and_threshold():
    """docs/data-check.md lists the kinds in order, says which refuse, and has the numbers of the program."""
    text = (DOCS / "data-check.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| .* \| (refuses|reports)", text, re.MULTILINE)
    assert rows == [(kind, "refuses" if kind in REFUSED else "reports") for kind in KINDS]
    flat = " ".join(text.split())
    for said in (
        f"more than {doctor.ALWAYS} images and more than {100 * doctor.MOST:g}%",
        f"fewer than {doctor.FEWEST_TRAIN} training images, or with 1 or {doctor.FEWEST_HELD - 1} images to validate",
        f"cover {100 * masks.FLAT:.0f}% of about 144",
        f"at most {100 * masks.PHOTO:.0f}%",
        f"From {100 * masks.MANY:.0f}% of all files, they are treated as masks or copies",
        f"{100 * doctor.NOTHING_IN_THEM:.0f}% of all images, or of a class",
        f"From {100 * masks.MANY:.0f}% of all images, they are refused; from {100 * masks.SOME:g}%, they are reported",
        "at least 32 × 32",
        "between 5% and 95%",
    ):
        assert said in flat, said


def test_names_of_files_are_escaped():
    """A file's name cannot write to the terminal."""
    train = CLEAN[:240].copy()
    train[3] = train[0]
    names = ["a\x1b[31m.jpg" if k == 0 else f"{k}.jpg" for k in range(240)]
    message = found(dataset((train, labels(240)), names={"train": names}))["duplicates"].message
    assert "\x1b" not in message
    assert r"a\x1b[31m.jpg = 3.jpg" in message
