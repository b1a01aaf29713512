"""Near copies: what exposures of one image are found, what is left alone, what cuts and the doctor make of them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from layerline.data import load_data
from layerline.data.checking import doctor, near
from layerline.data.checking.sketches import sketches
from layerline.data.dataset import ImageSet
from layerline.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SIDE = 64


def scene(rng: np.random.Generator) -> Image.Image:
    """Return a photo of nothing in particular: clouds of noise at four sizes, with some shapes before them."""
    wide = SIDE * 3 // 2
    pixels = np.zeros((wide, wide, 3))
    for cells in (3, 6, 12, 24):
        noise = (rng.random((cells, cells, 3)) * 255).astype(np.uint8)
        pixels += np.asarray(Image.fromarray(noise).resize((wide, wide), Image.Resampling.BICUBIC), float) / 4
    y, x = np.mgrid[:wide, :wide]
    for _ in range(6):
        (cy, cx), radius = rng.uniform(0, wide, 2), rng.uniform(4, 20)
        pixels[np.hypot(y - cy, x - cx) < radius] = rng.integers(256, size=3)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def taken(photo: Image.Image, shift: tuple[float, float] = (0, 0), zoom: float = 1, turn: float = 0) -> Image.Image:
    """Return the middle of a photo as a camera has it that is moved, nearer, or turned (degrees)."""
    middle, c, s = (photo.width - 1) / 2, np.cos(np.deg2rad(turn)) / zoom, np.sin(np.deg2rad(turn)) / zoom
    x, y = middle + shift[0], middle + shift[1]
    half = (SIDE - 1) / 2
    affine = (c, s, x - (c + s) * half, -s, c, y - (c - s) * half)
    return photo.transform((SIDE, SIDE), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)


def lit(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    gain, gamma, offset = rng.uniform(0.7, 1.2), rng.uniform(0.75, 1.35), rng.uniform(0, 25)
    return image.point(lambda value: int(min(255, 255 * gain * (value / 255) ** gamma + offset)))


def saved(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def exposure(photo: Image.Image, kind: str, rng: np.random.Generator) -> Image.Image:
    every = kind == "all"
    shift = tuple(rng.uniform(-0.08, 0.08, 2) * SIDE) if every or kind == "shift" else (0.0, 0.0)
    zoom, turn = (rng.uniform(0.93, 1.07), rng.uniform(-5, 5)) if every or kind == "turned" else (1, 0)
    image = taken(photo, (shift[0], shift[1]), zoom, turn)
    if every or kind == "light":
        image = lit(image, rng)
    if kind == "mirror" or (every and rng.random() < 0.5):
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return saved(image, int(rng.integers(40, 90))) if every or kind == "jpeg" else image


KINDS = ("light", "jpeg", "shift", "mirror", "turned", "all")


def exposures(objects: int, kinds: tuple[str, ...], seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return a plain photo of each object and one of each kind, (N, 3, 64, 64), and which object each is of."""
    rng = np.random.default_rng(seed)
    photos = [scene(rng) for _ in range(objects)]
    images = [taken(photo) for photo in photos] + [exposure(photo, kind, rng) for kind in kinds for photo in photos]
    return np.stack([np.asarray(each).transpose(2, 0, 1) for each in images]), np.arange(len(images)) % objects


def groups(images: NDArray[Any], labels: Any = None) -> NDArray[np.int64]:
    """Return the number of each image's group, as it is found in one set."""
    given = np.zeros(len(images), np.int32) if labels is None else np.asarray(labels, np.int32)
    found = near.looked_at({"train": ImageSet(images, given)}, every=True)["train"].near
    assert found is not None
    return found.groups


def test_exposures_of_one_thing_are_found() -> None:
    """Of other light, JPEGs, shifts, mirrors and turns of 120 photos, 95 % at least are found, and no two join."""
    images, objects = exposures(120, KINDS)
    found = groups(images).reshape(len(KINDS) + 1, -1)
    with_plain = (found[1:] == found[0]) & (found[1:] >= 0)
    assert with_plain.mean() >= 0.95, dict(zip(KINDS, with_plain.mean(axis=1), strict=True))
    joined = sum(len(set(objects[found.ravel() == k].tolist())) > 1 for k in set(found[found >= 0].tolist()))
    assert joined <= 0.01 * 120


def test_other_photos_are_no_copies() -> None:
    """Of 600 photos of different things at most 1 % are taken for near copies."""
    images, _ = exposures(600, ())
    assert (groups(images) >= 0).mean() <= 0.01


def stripes(n: int, seed: int) -> NDArray[np.uint8]:
    """Return images of one kind: stripes of two widths, with noise of their own, (n, 1, 32, 32)."""
    rng = np.random.default_rng(seed)
    phase, width = rng.uniform(0, 6, (n, 1, 1)), rng.uniform(0.6, 0.9, (n, 1, 1))
    waves = np.sin(np.arange(32) * width + phase) * 80 + 128
    return (waves + rng.normal(0, 6, (n, 32, 32))).clip(0, 255).astype(np.uint8)[:, None]


def test_a_class_of_images_that_are_all_alike_is_no_group() -> None:
    """Stripes lie on each other wherever they come from: only what is nearly the same is a copy among them."""
    images = stripes(100, 0)
    assert (groups(images) >= 0).mean() <= 0.02
    copy = images[:10, :, :, ::-1]
    found = groups(np.concatenate([images, copy]))
    assert (found[100:] == found[:10]).all()
    assert (found[:10] >= 0).all()


def test_images_of_one_gray_and_what_is_not_finite_are_no_copies() -> None:
    """Constant images are left out, whatever their gray; values that are not finite count as black."""
    images = np.full((4, 1, 20, 20), 7, np.uint8)
    images[2:] = 200
    assert (groups(images) == -1).all()
    with np.errstate(invalid="ignore"):
        assert (groups(np.full((3, 1, 20, 20), np.nan, np.float32)) == -1).all()


def test_small_images_are_not_looked_at() -> None:
    """Below 16 rows or columns nothing is said."""
    sets = {"train": ImageSet(np.zeros((5, 1, 8, 40), np.uint8), np.zeros(5, np.int32))}
    assert near.looked_at(sets)["train"].near is None  # type: ignore[arg-type]


def test_a_mirror_changes_the_odd_numbers_sign() -> None:
    """The sketch of a mirrored image has the same even numbers, and the odd ones with the other sign."""
    images, _ = exposures(40, ())
    both = np.concatenate([images, images[..., ::-1]])
    small = sketches([(ImageSet(both, np.zeros(80, np.int32)), np.arange(80))])
    # A gray of a sketch may be rounded to the other side of a half in the mirror: a step of 255 in few pixels.
    np.testing.assert_allclose(small.even[:40], small.even[40:], atol=0.02)
    np.testing.assert_allclose(small.odd[:40], -small.odd[40:], atol=0.02)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compared in blocks of 37 images, the groups are the same."""
    images, _ = exposures(60, ("all", "light"))
    whole = groups(images)
    monkeypatch.setattr(near, "_BLOCK", 37)
    assert np.array_equal(groups(images), whole)


def written(path: Path, kinds: tuple[str, ...], **more: Any) -> Path:
    images, objects = exposures(40, kinds)
    np.savez(path, x_train=images, y_train=objects % 2, **more)
    return path


def test_cuts_keep_many_copies_together_unasked(tmp_path: Path) -> None:
    """Where more than a quarter have near copies, no object is on two sides of a cut; a note says so, with the flag."""
    path = written(tmp_path / "many.npz", ("light", "mirror"))
    data = load_data(path)
    assert data.test is not None
    assert data.validation is not None
    sides = [set((part.indices % 40).tolist()) for part in (data.train, data.validation, data.test)]
    assert not sides[0] & sides[1]
    assert not (sides[0] | sides[1]) & sides[2]
    (note,) = data.notes
    assert note == (
        "120 of 120 images have near copies, more than 25%: copies stay in the same split "
        "(--group-by none splits image by image)"
    )
    assert data.cuts["group_by"] == "near"
    again = load_data(path, group_by="near")
    assert again.notes == ()
    assert np.array_equal(again.train.indices, data.train.indices)


def test_group_by_none_draws_each_image_alone(tmp_path: Path) -> None:
    """With none the cuts are those of a set without copies, and the doctor says how many cross them."""
    path = written(tmp_path / "many.npz", ("light", "mirror"))
    data = load_data(path, group_by="none")
    assert data.notes == ()
    assert data.cuts["group_by"] == "none"
    (found,) = doctor.examine(data)
    assert found.kind == "near"
    assert not found.refuses
    assert "test images have a near copy in an earlier split" in found.message
    assert found.message.endswith("--group-by near keeps copies in the same split")


def test_few_copies_change_no_cut(tmp_path: Path) -> None:
    """Photos without copies are cut as with --group-by none, and nothing is said."""
    path = written(tmp_path / "few.npz", ())
    data, plain = load_data(path), load_data(path, group_by="none")
    assert data.notes == ()
    assert np.array_equal(data.train.indices, plain.train.indices)
    assert [item.kind for item in doctor.examine(data)] == ["few"]


def test_a_class_of_one_group_is_drawn_image_by_image_unasked(tmp_path: Path) -> None:
    """Copies that cannot be kept together stop nobody who did not ask for it; a note says so, the doctor finds them."""
    images, objects = exposures(40, ("light", "mirror"))
    path = tmp_path / "one.npz"
    np.savez(path, x_train=images, y_train=np.where(objects == 7, 1, 0))
    data = load_data(path)
    assert data.notes[-1] == (
        "120 of 120 images have near copies, more than 25%, but class 1 has too few groups to keep copies together: "
        "images are split singly"
    )
    assert data.cuts["group_by"] == "none"
    assert "near" in [item.kind for item in doctor.examine(data)]
    with pytest.raises(DataError, match=r"\(1 group\) selected"):
        load_data(path, group_by="near")


def test_copies_across_sets_that_the_data_brings_are_told(tmp_path: Path) -> None:
    """Test images of things that are in training are counted; those that are not, and equal ones, are not."""
    images, objects = exposures(40, ("light",))
    others, _ = exposures(20, (), seed=9)
    test = np.concatenate([images[60:80], others])
    path = tmp_path / "own.npz"
    np.savez(path, x_train=images[:40], y_train=objects[:40] % 2, x_test=test, y_test=np.arange(40) % 2)
    (found,) = doctor.examine(load_data(path, validation="none"))
    assert found.kind == "near"
    assert found.message.startswith(
        "20 of 40 test images have a near copy in an earlier split (such as train image 20 = "
    )
    assert "the splits are the data's own" in found.message
    test[:20] = images[20:40]
    np.savez(path, x_train=images[:40], y_train=objects[:40] % 2, x_test=test, y_test=np.arange(40) % 2)
    assert [item.kind for item in doctor.examine(load_data(path, validation="none"))] == ["leak"]


def test_of_a_large_set_some_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are more files than ALL_OF, some of each set are compared with all, evenly spread; of arrays none."""
    monkeypatch.setattr(near, "ALL_OF", 50)
    monkeypatch.setattr(near, "PROBES", 10)
    images, _ = exposures(60, ("light",))
    arrays = {"train": ImageSet(images, np.zeros(120, np.int32))}
    with monkeypatch.context() as patch:
        patch.setattr(near, "ALL_OF_ARRAYS", 100)
        assert near.looked_at(arrays)["train"].near is None  # type: ignore[arg-type]
    files = np.array([f"{k}.png" for k in range(120)])
    sets = {"train": ImageSet(images, np.zeros(120, np.int32), names=files)}  # type: ignore[arg-type]
    some = near.looked_at(sets)["train"].near  # type: ignore[arg-type]
    assert some is not None
    assert np.flatnonzero(some.looked).tolist() == list(range(0, 120, 12))
    assert (some.groups[some.looked] >= 0).all()
    assert (near.looked_at(sets, every=True)["train"].near.groups >= 0).all()  # type: ignore[arg-type, union-attr]


def test_near_and_a_column_group_are_refused(tmp_path: Path) -> None:
    """Groups that are named and groups that are found are one too many."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for k, image in enumerate(exposures(8, ())[0]):
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{k}.png")
    rows = "".join(f"{k}.png,{'ab'[k % 2]},g{k}\n" for k in range(8))
    (tmp_path / "f.csv").write_text(f"file,label,group\n{rows}")
    with pytest.raises(DataError, match="the labels file already has the column group"):
        load_data(folder, labels=tmp_path / "f.csv", group_by="near", test=2, validation=2)
