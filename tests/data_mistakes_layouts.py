"""What can be wrong with the folders and formats of images: the cases of data_mistakes_images.py go on."""

from __future__ import annotations

from data_mistakes import Loaded, case
from data_mistakes_images import CASES as CASES
from image_files import folder_of, jpeg, picture, png

RAW = b"II*\0\x10\0\0\0CR\2\0" + bytes(40)


def folders(*paths: str, **more: bytes) -> Loaded:
    """Write two images into each folder."""
    files = {f"{path}/{k}.png": png(picture(k)) for path in paths for k in range(2)}
    return folder_of(files | more)


@case
def layout_of_folds() -> Loaded:
    return folders(*(f"fold{k}/{name}" for k in range(3) for name in ("cat", "dog")))


@case
def layout_of_flat_folds() -> Loaded:
    return folders("fold_1", "fold_2", "fold_10")


@case
def layout_of_folds_with_splits() -> Loaded:
    paths = (f"{split}/{name}" for split in ("train", "test") for name in ("cat", "dog"))
    return folders(*(f"Fold {k}/{path}" for path in paths for k in range(2)))


@case
def layout_of_two_levels() -> Loaded:
    return folders("animals/cat", "animals/dog", "vehicles/car", "vehicles/bus")


@case
def layout_of_two_levels_in_splits() -> Loaded:
    paths = ("animals/cat", "animals/dog", "vehicles/car", "vehicles/bus")
    return folders(*(f"{split}/{split}/{path}" for split in ("train", "test") for path in paths))


@case
def layout_of_a_project() -> Loaded:
    return folders("photos/cat", "photos/dog", "docs")


@case
def layout_of_splits_inside_classes() -> Loaded:
    return folders(*(f"{name}/{split}" for split in ("train", "test") for name in ("cat", "dog")))


@case
def layout_of_masks_inside_classes() -> Loaded:
    return folders(*(f"{name}/{kind}" for kind in ("images", "masks") for name in ("COVID", "Normal")))


@case
def layout_of_masks_beside_images() -> Loaded:
    return folders(*(f"{kind}/{name}" for kind in ("images", "masks") for name in ("cat", "dog")))


@case
def images_raw_beside_jpeg() -> Loaded:
    files = {f"{name}/{k}.jpg": jpeg(picture(k)) for name in ("cat", "dog") for k in range(3)}
    return folder_of(files | {f"{name}/{k}.CR2": RAW for name in ("cat", "dog") for k in range(2)})


@case
def images_of_a_class_all_raw() -> Loaded:
    files = {f"{name}/{k}.jpg": jpeg(picture(k)) for name in ("cat", "dog") for k in range(3)}
    return folder_of(files | {f"fox/{k}.dng": RAW for k in range(2)})


@case
def folder_with_several_archives() -> Loaded:
    return folder_of({"test.zip": b"PK", "train.zip": b"PK", "sample_submission.csv": b"id,label"})


@case
def folder_without_images() -> Loaded:
    return folder_of({"cat/cat.txt": b"text", "dog/dog.txt": b"text"})
