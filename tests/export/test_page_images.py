"""The exported page resizes images exactly as Pillow does, bit for bit."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL
from PIL import Image
from places import ROOT
from web_models import needs_node, node

from layerline.data.photos.image_file import decode_pillow
from layerline.export.web import templates
from layerline.runs.model_file import Preprocessing

if TYPE_CHECKING:
    from pathlib import Path

    from layerline.data.dataset import Fit

SAME_ORDER = int(PIL.__version__.partition(".")[0]) >= 13
"""Pillow 13 resizes tall images along columns first; before, nearly all along rows first."""
FITS: tuple[Fit, ...] = ("crop", "pad", "stretch")


@needs_node
def test_images_of_any_size_become_the_pixels_of_training(tmp_path: Path) -> None:
    """Random images of random sizes, gray or RGB, some transparent: the same bytes as Pillow, by every fit."""
    rng = random.Random(3)
    cases: list[dict[str, Any]] = []
    expected = {}
    sizes = [(112, 224), (1, 1), (28, 28), (3, 500), (1500, 900)]
    sizes += [(rng.randint(1, 300), rng.randint(1, 300)) for _ in range(60)]
    for number, (w, h) in enumerate(sizes):
        name, channels = f"image{number}", rng.choice((1, 3))
        W, H = (28, 28) if number < 5 else (rng.randint(1, 64), rng.randint(1, 64))
        fit = rng.choice(FITS)
        pixels = np.random.default_rng(number).integers(0, 256, (h, w, 4), dtype=np.uint8)
        if number % 3:
            pixels[..., 3] = 255
        image = Image.fromarray(pixels)
        found = decode_pillow(image, Preprocessing(fit).sizing((channels, H, W))).pixels
        expected[name] = found.reshape(H, W, channels)
        pixels.tofile(tmp_path / f"{name}.rgba")
        model = {"width": W, "height": H, "channels": channels}
        cases.append({"name": name, "width": w, "height": h, "model": model, "fit": fit})
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    script = tmp_path / "image.mjs"
    script.write_text(templates.text("image.js") + "export { plain, fitted, scaled };\n")
    node(str(ROOT / "tests" / "resize_images.mjs"), str(script), str(tmp_path))
    for case in cases:
        found = np.fromfile(tmp_path / f"{case['name']}.fitted", np.uint8).reshape(expected[case["name"]].shape)
        differences = np.abs(found.astype(int) - expected[case["name"]])
        assert differences.max() <= (0 if SAME_ORDER else 1), case
