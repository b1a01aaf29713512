"""LOAD: data sets, from a name or a path to images in memory, cut into training, validation and test."""

from __future__ import annotations

from layerline.data.dataset import Dataset, ImageSet, Resized, Scaling, Split
from layerline.data.loading import load_data

__all__ = ["Dataset", "ImageSet", "Resized", "Scaling", "Split", "load_data"]
