"""The presets, with the images that they are made for."""

from typing import Final

SHAPES: Final = {
    "digits": (1, 8, 8),
    "keras-mnist": (1, 28, 28),
    "lenet5": (1, 28, 28),
    "mobile-small": (3, 32, 32),
    "photo-small": (3, 128, 128),
    "resnet20": (3, 32, 32),
    "six-layer": (1, 28, 28),
    "vgg-small": (3, 32, 32),
}
"""Preset → (C, H, W)."""
