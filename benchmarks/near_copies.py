"""Near copies: how many synthetic variants are found, how many groups are false, and the cost of the search.

    python benchmarks/near_copies.py --data-dir DIR

Variants of a photo are relit, saved as JPEG again, shifted, mirrored, rotated and zoomed, and all combined. A group is
false if it joins variants of two originals. Published data sets are searched unchanged: MNIST has hardly any near
copies, CIFAR-10 has some. DIR contains mnist/, cifar10/ and clothing/.
"""

from __future__ import annotations

import argparse
import io
import resource
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from conditions import write
from PIL import Image, ImageEnhance

import layerline
from layerline.data.checking import near
from layerline.data.dataset import ImageSet

if TYPE_CHECKING:
    from numpy.typing import NDArray

KINDS = ("light", "jpeg", "shift", "mirror", "turn", "all")
EXPOSURES = 3
"""Variants of each original."""
MANY = 100_000


def main() -> None:
    """Search synthetic variants, the published data sets, and many images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    folder = parser.parse_args().data_dir
    clothing = images_of(str(folder / "clothing" / "clothing-30.tar"), folder)
    cifar = images_of(str(folder / "cifar10" / "cifar10-jpeg.tar.xz"), folder)
    mnist = images_of("mnist", folder)
    rows: dict[str, dict[str, Any]] = {}
    for name, (images, labels), shown, exposed in (
        ("clothing, 300 exposed", clothing, len(clothing[0]), 300),
        ("CIFAR-10, 400 of 8,000 exposed", cifar, 8_000, 400),
    ):
        rows[name] = recall(images[:shown], labels[:shown], exposed)
        print(name, rows[name], flush=True)
    for name, (images, labels) in (
        ("clothing", clothing),
        ("MNIST", mnist),
        ("CIFAR-10", cifar),
        (f"{MANY:,} images of 3×32×32", many(*cifar)),
    ):
        rows[name] = looked_at(images, labels)[1]
        print(name, rows[name], flush=True)
    write("near-copies", {"what": "near copies: found, false, seconds and memory", "rows": rows})


def images_of(source: str, folder: Path) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return all images of a data set, shuffled, and their labels."""
    data = layerline.load_data(source, data_dir=str(folder), group_by="none")
    sources = list({id(split.source): split.source for split in (data.train, data.test) if split is not None}.values())
    images = np.concatenate([each.images for each in sources])
    labels = np.concatenate([each.labels for each in sources])
    order = np.random.default_rng(0).permutation(len(images))
    return images[order], labels[order]


def many(images: NDArray[np.uint8], labels: NDArray[np.int32]) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return MANY images: the given ones, and some of them transposed, which makes them different images."""
    more = MANY - len(images)
    return np.concatenate([images, images[:more].swapaxes(2, 3)]), np.concatenate([labels, labels[:more]])


def looked_at(images: NDArray[np.uint8], labels: NDArray[np.int32]) -> tuple[NDArray[np.int64], dict[str, Any]]:
    """Return the group of each image, and the results."""
    before, wall, cpu = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter(), time.process_time()
    found = near.looked_at({"train": ImageSet(images, labels)}, every=True)["train"].near
    if found is None:
        raise ValueError("the images are too small to search")
    groups = found.groups
    return groups, {
        "images": len(images),
        "in_groups": int((groups >= 0).sum()),
        "groups": len(np.unique(groups[groups >= 0])),
        "largest": int(np.bincount(groups[groups >= 0]).max(initial=0)),
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "megabytes_more": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
    }


def recall(images: NDArray[np.uint8], labels: NDArray[np.int32], exposed: int) -> dict[str, Any]:
    """Return how many variants are found, by kind, and how many groups join two originals that were separate."""
    numbers = np.random.default_rng(1)
    kinds = [str(numbers.choice(KINDS)) for _ in range(exposed * EXPOSURES)]
    origin = np.repeat(np.arange(exposed), EXPOSURES)
    copies = np.stack([exposure(images[k], kind, numbers) for k, kind in zip(origin, kinds, strict=True)])
    alone, _ = looked_at(images, labels)
    groups, figures = looked_at(np.concatenate([images, copies]), np.concatenate([labels, labels[origin]]))
    own, original = groups[len(images) :], groups[origin]
    found = (own >= 0) & (own == original)
    members = defaultdict(set)
    for group, image in zip(groups, np.concatenate([np.arange(len(images)), origin]), strict=True):
        if group >= 0:
            members[int(group)].add(int(image))
    false = sum(
        len(each) > 1 and len({int(alone[k]) if alone[k] >= 0 else -1 - k for k in each}) > 1
        for each in members.values()
    )
    by_kind = {kind: float(found[np.array(kinds) == kind].mean()) for kind in KINDS}
    return {**figures, "recall": float(found.mean()), **by_kind, "false_groups": false}


def exposure(image: NDArray[np.uint8], kind: str, numbers: np.random.Generator) -> NDArray[np.uint8]:
    """Return a variant of a photo (C, H, W)."""
    photo = Image.fromarray(image.transpose(1, 2, 0).squeeze())
    every = kind == "all"
    if kind == "mirror" or (every and numbers.random() < 0.5):
        photo = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if every or kind in ("shift", "turn"):
        photo = moved(photo, numbers, shift=every or kind == "shift", turn=every or kind == "turn")
    if every or kind == "light":
        photo = ImageEnhance.Brightness(photo).enhance(numbers.uniform(0.7, 1.4))
        photo = ImageEnhance.Contrast(photo).enhance(numbers.uniform(0.7, 1.4))
        gamma = numbers.uniform(0.75, 1.35)
        photo = photo.point([round(255 * (v / 255) ** gamma) for v in range(256)] * len(photo.getbands()))
    if every or kind == "jpeg":
        saved = io.BytesIO()
        photo.save(saved, "JPEG", quality=int(numbers.integers(40, 90)))
        photo = Image.open(saved)
    return np.asarray(photo).reshape(*image.shape[1:], -1).transpose(2, 0, 1)


def moved(photo: Image.Image, numbers: np.random.Generator, *, shift: bool, turn: bool) -> Image.Image:
    """Return a photo shifted by up to 8% of its side, rotated by 5° and zoomed by 8%, with edge padding."""
    W, H = photo.size
    right, down = np.round(numbers.uniform(-0.08, 0.08, 2) * (W, H)) if shift else (0.0, 0.0)
    zoom, angle = (numbers.uniform(0.92, 1.08), np.deg2rad(numbers.uniform(-5, 5))) if turn else (1.0, 0.0)
    pad = W // 5 + 2
    pixels = np.asarray(photo)
    wide = Image.fromarray(np.pad(pixels, [(pad, pad), (pad, pad), (0, 0)][: pixels.ndim], mode="edge"))
    x, y, c, s = (W - 1) / 2 + pad, (H - 1) / 2 + pad, np.cos(angle) / zoom, np.sin(angle) / zoom
    affine = (c, s, x - c * x - s * y + right, -s, c, y + s * x - c * y + down)
    return wide.transform(wide.size, Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR).crop(
        (pad, pad, pad + W, pad + H)
    )


if __name__ == "__main__":
    main()
