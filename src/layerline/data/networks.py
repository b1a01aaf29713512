"""Reading networks in Python: from a file, a preset or a text, checked against a data set if one is passed."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from layerline import network
from layerline.data.dataset import Dataset
from layerline.errors import CallError
from layerline.errors.wrong_calls import answered
from layerline.network import pretrained
from layerline.network.pretrained.backbones import BACKBONES, names_backbone
from layerline.network.pretrained.transfer import check_images, start_of, transfer_text
from layerline.numbers import display

if TYPE_CHECKING:
    import os

    from layerline.network import Network

Image = tuple[int, int, int]
"""(C, H, W)."""


@answered('read("lenet5", data)')
def read(
    path_or_preset: str | os.PathLike[str],
    data: Dataset | None = None,
    *,
    input_shape: Image | None = None,
    classes: int | None = None,
) -> Network:
    """Return the network in a file, or the preset of that name, for the images and classes of `data`.

    The name of a pretrained network (lite0, resnet18, mobilenetv2) gives its frozen layers with a head to be trained;
    its images are RGB, best of 224×224 pixels: load_data(path, size=224, fit="crop", gray=False).
    Without data, pass `input_shape` and `classes`, or write them in the file. Raises NetworkError with every mistake
    in the file, UserError if the weights of a pretrained network are not on this machine.
    """
    _check(path_or_preset, data, "read")
    if isinstance(path_or_preset, str) and "\n" in path_or_preset.strip():
        raise CallError("read(): found the text of a network, expected its path or the name of a preset", "use parse()")
    shape, K = _shape(data, input_shape), _classes(data, classes)
    if names_backbone(path_or_preset):
        return _pretrained(str(path_or_preset), shape, K)
    return network.read(path_or_preset, input_shape=shape, classes=K)


@answered('parse("Conv 6 5\\nReLU\\nFlat\\nFC classes", data)')
def parse(
    text: str,
    data: Dataset | None = None,
    *,
    name: str = "network",
    input_shape: Image | None = None,
    classes: int | None = None,
) -> Network:
    """Return the network that `text` describes, for the images and classes of `data`; see `read`."""
    _check(text, data, "parse")
    if isinstance(text, str) and (text in network.presets() or text.endswith(".cnn")):
        reason = "parse(): found the name of a preset or file, expected the text of a network"
        raise CallError(reason, f'use read("{display.name(text, 100)}", data)')
    return network.parse(text, name=name, input_shape=_shape(data, input_shape), classes=_classes(data, classes))


def _pretrained(name: str, shape: Image | None, K: int | None) -> Network:
    """Return a pretrained network with a head for K classes. Raises UserError if its weights are not here."""
    if shape is not None:
        check_images(BACKBONES[name], shape)
    size = None if shape is None else shape[1:]
    found = network.parse(transfer_text(BACKBONES[name], size), name=name, input_shape=shape, classes=K)
    return dataclasses.replace(found, start=start_of(BACKBONES[name], pretrained.get(name).weights))


def _check(first: object, data: object, function: str) -> None:
    """Raise CallError if the arguments are swapped, or `data` is not loaded."""
    call = f'{function}("…", layerline.load_data(…))'
    if isinstance(first, Dataset):
        raise CallError(f"{function}(): found the data first", f"swap the arguments: {call}")
    if data is not None and not isinstance(data, Dataset):
        raise CallError(
            f"{function}(): found {type(data).__name__} as the data, expected a loaded data set", f"use {call}"
        )


def _shape(data: Dataset | None, given: Image | None) -> Image | None:
    return given if given is not None or data is None else data.shape


def _classes(data: Dataset | None, given: int | None) -> int | None:
    return given if given is not None or data is None else len(data.classes)
