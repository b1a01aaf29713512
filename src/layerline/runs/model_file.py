"""The model file: the weights, with everything else that prediction needs.

docs/model-file.md defines it; `files.tensors` writes and reads the bytes. A file is checked against the network that it
describes: it must have exactly its weights, by name, shape and type.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, get_args

import numpy as np

from layerline.data.checking.brightness import Brightness
from layerline.data.dataset import Fit, Scaling
from layerline.data.photos.sizing import Sizing
from layerline.errors import NetworkError, UserError
from layerline.files import tensors
from layerline.files.tensors import FileError
from layerline.files.versions import versions
from layerline.network import parse
from layerline.numbers import display
from layerline.runs import schema, texts
from layerline.runs.texts import AGAIN

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from layerline.network import Network

FORMAT: Final = "layerline"
FORMAT_VERSION: Final = 1
SEEN: Final = "training_images"
"""The metadata key of the brightness of the training images: the only optional one."""
BYTE: Final = 255.0
_DTYPES: Final = (np.dtype(np.float32), np.dtype(np.int64))
_LARGEST: Final = float(np.finfo(np.float32).max)
MOST_TENSORS: Final = 50_000
"""Five, as in BatchNorm, for each layer of the largest network allowed."""
LONGEST_NETWORK: Final = 2**20
"""Maximum characters of the network's text: as many as a network file may have bytes."""
LONGEST_NAME: Final = 10_000
"""Maximum characters of the name of a class, or of the network."""


@dataclass(frozen=True)
class Preprocessing:
    """How an image file is preprocessed for the network; its size and colors follow from the input shape."""

    fit: Fit = "crop"
    """How an image is resized to the input shape: see data.sizing."""
    maximum: float = 255.0
    """The largest possible pixel value of the training images: 255 in an image file becomes this."""
    seen: Brightness | None = None
    """Brightness statistics of the training images; None if the file does not have them."""
    deep: bool = False
    """Whether 16-bit grayscale image files keep all 16 bits, on the training scale; else only the upper 8."""

    def sizing(self, shape: tuple[int, int, int]) -> Sizing:
        """Return how image files are read for a network with input shape (C, H, W)."""
        C, H, W = shape
        gray = {1: True, 3: False}.get(C)
        return Sizing((H, W), self.fit, gray=gray, deep=self.deep, largest=self.maximum if self.deep else None)

    def scaled(self, pixels: NDArray[Any], maximum: float = BYTE) -> NDArray[Any]:
        """Return pixels whose largest possible value is `maximum` on the training scale.

        They are unchanged if the scale is the same; uint16 becomes float32 without scaling; anything else becomes
        float32, with `maximum` mapped to the training's maximum.
        """
        if pixels.dtype == np.uint16:
            return pixels.astype(np.float32)
        if self.maximum == maximum:
            return pixels
        scaled: NDArray[np.float32] = np.multiply(pixels, np.float32(self.maximum / maximum), dtype=np.float32)
        return scaled


@dataclass(frozen=True)
class Card:
    """The metadata of a model file: what is needed to rebuild the network and to prepare its input."""

    network_name: str
    network: str
    """The text of the network file."""
    input_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    scaling: Scaling
    versions: Mapping[str, str]
    """Package → version, `layerline` among them."""
    preprocessing: Preprocessing = Preprocessing()


@dataclass(frozen=True, eq=False)
class ModelFile:
    """A complete and checked model file."""

    network: Network
    card: Card
    weights: dict[str, NDArray[Any]]
    """With the names, layouts and order of `to_torch().state_dict()`; read-only."""
    digest: str


def write(path: Path, weights: Mapping[str, NDArray[Any]], card: Card) -> str:
    """Write the model file atomically, and return its SHA-256 (hex).

    weights: float32 (or int64) arrays with the names, layouts and order of `to_torch().state_dict()`.
    Raises UserError if the file cannot be written.
    """
    for name, array in weights.items():
        if array.dtype not in _DTYPES:
            raise ValueError(f"{name}: {array.dtype} is not allowed in a model file (only float32 and int64)")
    return tensors.write(path, weights, metadata_of(card))


def read(path: Path, *, not_finite: bool = False) -> ModelFile:
    """Return the contents of a model file.

    not_finite: also accept weights that are NaN or infinite. Raises FileError if it is another kind of file, truncated,
    modified, of a newer format, or does not have the weights that its network needs.
    """
    held = tensors.read(path, MOST_TENSORS)
    _check_format(path, held.metadata)
    return checked(path, held.metadata, held.arrays, held.digest, not_finite=not_finite)


def checked(
    path: Path,
    metadata: Mapping[str, str],
    arrays: dict[str, NDArray[Any]],
    digest: str,
    *,
    not_finite: bool = False,
) -> ModelFile:
    """Return a model from a card as metadata and weights, both in the file `path`. Raises FileError like `read`."""
    try:
        card = card_in(metadata)
    except KeyError as error:
        raise FileError(f"{path}: its metadata has no {error.args[0]}", "train it again with this version") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise FileError(f"{path}: its metadata is not valid for a model: {error}") from error
    try:
        network = parse(card.network, name=card.network_name, input_shape=card.input_shape, classes=len(card.classes))
    except NetworkError as error:
        raise FileError(f"{path}: its network cannot be built:\n{error.message}", error.help) from error
    _check_weights(path, network, arrays, not_finite=not_finite)
    return ModelFile(network, card, arrays, digest)


@dataclass(frozen=True, eq=False)
class Unchecked:
    """A model file that was not checked against its network, for the report of a run."""

    weights: dict[str, NDArray[Any]]
    classes: tuple[str, ...]
    digest: str


def unchecked(path: Path) -> Unchecked:
    """Return a model file unchecked. Raises FileError if it is truncated or modified, UserError for its classes."""
    held = tensors.read(path, MOST_TENSORS)
    try:
        classes = texts.parsed(held.metadata.get("classes", "[]").encode("utf-8", "surrogatepass"))
    except ValueError as error:
        raise UserError(f"{path}: its classes are not JSON: {error}", AGAIN) from None
    schema.check(path, classes, [schema.TEXT], AGAIN, "classes")
    return Unchecked(held.arrays, tuple(classes or ()), held.digest)


def _check_format(path: Path, metadata: Mapping[str, str]) -> None:
    """Raise FileError if the file is not a model, or its format is newer than this program."""
    if metadata.get("format") != FORMAT:
        what = display.name(metadata.get("format", "something else"))
        raise FileError(f"{path} contains a {what}, not a model", "a run's model is its model.safetensors")
    version = metadata.get("format_version", "(none)")
    if version != str(FORMAT_VERSION):
        made = "unknown"
        with contextlib.suppress(KeyError, TypeError, ValueError):
            made = str(json.loads(metadata["versions"])["layerline"])
        raise FileError(
            f"{path}: written by layerline {display.name(made)} in format version {display.name(version)}, "
            f"this is layerline {versions()['layerline']} with format version {FORMAT_VERSION}",
            "update layerline",
        )


def _check_weights(path: Path, network: Network, arrays: Mapping[str, NDArray[Any]], *, not_finite: bool) -> None:
    """Raise FileError if the weights are not exactly those of the network, or not finite."""
    table = network.weights
    if list(arrays) != list(table):
        missing = [name for name in table if name not in arrays]
        more = [name for name in arrays if name not in table]
        what = f"{missing[0]} is missing" if missing else f"{more[0]} is unknown" if more else "their order differs"
        raise FileError(f"{path}: its weights do not match its network: {display.name(what, 80)}")
    for name, weight in table.items():
        array = arrays[name]
        if array.shape != tuple(weight.shape) or array.dtype != np.dtype(weight.dtype):
            raise FileError(
                f"{path}: {name} is {array.dtype} {array.shape}, its network needs {weight.dtype} {tuple(weight.shape)}"
            )
        if not not_finite and not np.isfinite(array).all():
            count = display.count(int((~np.isfinite(array)).sum()))
            raise FileError(
                f"{path}: {name} has {count} NaN or infinite values",
                "train again with a lower learning rate; to load it anyway: layerline.load(path, not_finite=True)",
            )


def metadata_of(card: Card) -> dict[str, str]:
    """Return the card as the strings of `__metadata__`; values that are not strings are JSON."""
    scaling = {"scale": [float(x) for x in card.scaling.scale], "shift": [float(x) for x in card.scaling.shift]}
    preprocessing: dict[str, Any] = {"fit": card.preprocessing.fit, "maximum": float(card.preprocessing.maximum)}
    if card.preprocessing.deep:
        preprocessing["bits"] = 16
    seen = card.preprocessing.seen
    return {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "network_name": card.network_name,
        "network": card.network,
        "input_shape": json.dumps([int(size) for size in card.input_shape]),
        "classes": json.dumps(list(card.classes)),
        "scaling": json.dumps(scaling, allow_nan=False),
        "preprocessing": json.dumps(preprocessing, allow_nan=False),
        **({} if seen is None else {SEEN: json.dumps(asdict(seen), allow_nan=False)}),
        "versions": json.dumps(dict(sorted(card.versions.items()))),
    }


def card_in(metadata: Mapping[str, str]) -> Card:
    """Return the card from metadata. Raises KeyError, TypeError or ValueError if it is not valid."""
    name, text = metadata["network_name"], metadata["network"]
    classes, shape = _list(metadata["classes"]), _list(metadata["input_shape"])
    scaling, found, made = (_object(metadata[key]) for key in ("scaling", "preprocessing", "versions"))
    if len(classes) < 1 or not all(isinstance(each, str) for each in classes) or len(set(classes)) != len(classes):
        raise ValueError("classes must be distinct names")
    if len(text) > LONGEST_NETWORK or max(map(len, (name, *classes))) > LONGEST_NAME:
        raise ValueError("a name or the network text is too long")
    if not (len(shape) == 3 and all(type(size) is int and size > 0 for size in shape)):
        raise ValueError("input_shape must be three positive integers")
    scale, shift = tuple(map(_finite, scaling["scale"])), tuple(map(_finite, scaling["shift"]))
    if not len(scale) == len(shift) == shape[0]:
        raise ValueError(f"scaling must have {shape[0]} channels")
    if found["fit"] not in get_args(Fit) or _finite(found["maximum"]) <= 0:
        raise ValueError("preprocessing must have a valid fit and maximum")
    if found.get("bits", 8) not in (8, 16):
        raise ValueError("preprocessing must have 8 or 16 bits")
    C, H, W = shape
    preprocessing = Preprocessing(
        found["fit"], float(found["maximum"]), _seen(metadata.get(SEEN), C), deep=found.get("bits", 8) == 16
    )
    packages = {str(package): str(version) for package, version in made.items()}
    return Card(name, text, (C, H, W), tuple(classes), Scaling(scale, shift), packages, preprocessing)


def _seen(text: str | None, channels: int) -> Brightness | None:
    """Return the brightness of the training images, if given. Raises KeyError, TypeError or ValueError."""
    if text is None:
        return None
    found = _object(text)
    mean, deviation = tuple(map(_finite, found["mean"])), tuple(map(_finite, found["deviation"]))
    if not len(mean) == len(deviation) == channels:
        raise ValueError(f"{SEEN} must have {channels} channels")
    spread, low, high = (_finite(found[key]) for key in ("spread", "low", "high"))
    if min(*deviation, spread) < 0 or low > high:
        raise ValueError(f"{SEEN} has a negative deviation or an empty range")
    return Brightness(mean, deviation, spread, low, high)


def _list(text: str) -> list[Any]:
    found = json.loads(text)
    if not isinstance(found, list):
        raise TypeError(f"{display.name(text)} is not a list")
    return found


def _object(text: str) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise TypeError(f"{display.name(text)} is not an object")
    return found


def _finite(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LARGEST:
        raise ValueError("a number in it is not a finite float32")
    return float(value)
