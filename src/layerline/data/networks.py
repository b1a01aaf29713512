"""Reading networks in Python: from a file, a preset or a text, checked against a data set if one is passed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerline import network

if TYPE_CHECKING:
    import os

    from layerline.data.dataset import Dataset
    from layerline.network import Network

Image = tuple[int, int, int]
"""(C, H, W)."""


def read(
    path_or_preset: str | os.PathLike[str],
    data: Dataset | None = None,
    *,
    input_shape: Image | None = None,
    classes: int | None = None,
) -> Network:
    """Return the network in a file, or the preset of that name, for the images and classes of `data`.

    Without data, pass `input_shape` and `classes`, or write them in the file. Raises NetworkError with every mistake
    in the file.
    """
    return network.read(path_or_preset, input_shape=_shape(data, input_shape), classes=_classes(data, classes))


def parse(
    text: str,
    data: Dataset | None = None,
    *,
    name: str = "network",
    input_shape: Image | None = None,
    classes: int | None = None,
) -> Network:
    """Return the network that `text` describes, for the images and classes of `data`; see `read`."""
    return network.parse(text, name=name, input_shape=_shape(data, input_shape), classes=_classes(data, classes))


def _shape(data: Dataset | None, given: Image | None) -> Image | None:
    return given if given is not None or data is None else data.shape


def _classes(data: Dataset | None, given: int | None) -> int | None:
    return given if given is not None or data is None else len(data.classes)
