"""Small valid files for `fuzz_inputs.py`, and mutations that fix the checksums afterward."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import tarfile
import zipfile
import zlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from mutations import changed
from PIL import Image

import layerline
from layerline.data.dataset import Dataset, ImageSet, Scaling, Split

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from numpy.typing import NDArray

NETWORK: Final = "Conv 4 3 padding=1\nBatchNorm\nReLU\nPool 2\nFlat\nFC classes\n"
SIDE: Final = 8


def pictures(n: int, channels: int = 1, side: int = SIDE) -> NDArray[np.uint8]:
    """Return random images (n, channels, side, side)."""
    return np.random.default_rng(n).integers(0, 256, (n, channels, side, side)).astype(np.uint8)


def labels(n: int) -> NDArray[np.uint8]:
    """Return the labels 0, 1, 2, 0, …."""
    return (np.arange(n) % 3).astype(np.uint8)


def noise() -> Dataset:
    """Return a data set of random images, in three splits."""
    source = ImageSet(pictures(60), labels(60).astype(np.int32))
    train, held, test = (Split(source, np.arange(a, b)) for a, b in ((0, 40), (40, 50), (50, 60)))
    return Dataset("noise", ("a", "b", "ü"), train, held, test, Scaling((1 / 255,), (0.0,)), "0" * 64)


def run(folder: Path, data: Dataset | None = None) -> Path:
    """Train on noise for two epochs and return the folder of the run."""
    data = data or noise()
    network = layerline.parse(NETWORK, input_shape=data.shape, classes=3)
    recipe = layerline.Recipe(epochs=2, batch_size=20, learning_rate=0.01, momentum=0.9)
    layerline.train(network, data, recipe, out=folder, live=False, threads=1, allow=("conflict", "leak"))
    return folder


def png(seed: int) -> bytes:
    """Return a PNG file of random pixels."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (10, 12, 3)).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def idx(array: NDArray[Any]) -> bytes:
    """Return the IDX file of an array."""
    code = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}[array.dtype.str[1:]]
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, code, array.ndim]) + sizes + array.astype(array.dtype.newbyteorder(">")).tobytes()


def npz(arrays: dict[str, NDArray[Any]], save: object) -> bytes:
    """Return the archive that numpy.savez or numpy.savez_compressed writes."""
    file = io.BytesIO()
    save(file, **arrays)  # type: ignore[operator]
    return file.getvalue()


def packed(random: Random, content: bytes, others: tuple[bytes, ...], share: float = 1.0) -> bytes:
    """Return the content mutated and compressed in some way; with probability `share` it is mutated before that."""
    content = changed(random, content, others) if random.random() < share * 0.8 else content
    pack = random.choice((bytes, bytes, gzip.compress, lambda inside: lzma.compress(inside, preset=0)))
    packed = pack(content)
    return changed(random, packed) if random.random() < 0.2 else packed


def zipped(random: Random, content: bytes) -> bytes:
    """Return a zip archive with a member mutated or renamed, and all checksums fixed."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w") as new:
        names = old.namelist()
        wrong = random.choice(names)
        for info in old.infolist():
            inside = old.read(info)
            if info.filename == wrong:
                head = random.random() < 0.7
                inside = changed(random, inside[:128]) + inside[128:] if head else changed(random, inside)
                if random.random() < 0.1:
                    info.filename = random.choice((*names, "x.npy", "../x.npy", "y"))
            new.writestr(zipfile.ZipInfo(info.filename), inside, info.compress_type)
    return file.getvalue()


def tar_of(files: dict[str, bytes], form: int = tarfile.USTAR_FORMAT) -> bytes:
    """Return a tar archive of files."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            try:
                archive.addfile(info, io.BytesIO(content))
            except ValueError:  # name too long for this format
                continue
    return file.getvalue()


def header_changed(random: Random, content: bytes) -> bytes:
    """Return a tar with one header mutated and its checksum fixed."""
    starts = [at for at in range(0, len(content) - 511, 512) if content[at + 257 : at + 262] == b"ustar"]
    if not starts:
        return content
    at = random.choice(starts)
    header = bytearray((changed(random, content[at : at + 512]) + bytes(512))[:512])
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return content[:at] + bytes(header) + content[at + 512 :]


def chunks_right(content: bytes) -> bytes:
    """Return a PNG with the checksums of its chunks fixed, as far as the chunks can be parsed."""
    parts, at = [content[:8]], 8
    while at + 12 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        inside = content[at + 4 : at + 8 + length]
        if len(inside) < 4 + length:
            break
        parts += [content[at : at + 4], inside, zlib.crc32(inside).to_bytes(4, "big")]
        at += 12 + length
    return b"".join((*parts, content[at:]))


_ODD: Final[tuple[Any, ...]] = (
    0,
    -1,
    1,
    None,
    "",
    "x",
    "x" * 70000,
    [],
    [0],
    {},
    {"a": 1},
    True,
    2**31,
    2**63,
    10**400,
    0.5,
    -1e308,
    [[]] * 100,
)


def json_changed(random: Random, content: bytes) -> bytes:
    """Return JSON with one value replaced, possibly inside nested JSON text, or mutated as bytes."""
    try:
        value = json.loads(content if content.startswith(b"{") else b'{"x":"' + content)
    except ValueError:
        value = None
    if value is None or random.random() < 0.3:
        return changed(random, content)
    text = json.dumps(part_changed(random, value), separators=(",", ":")).encode()
    return text if content.startswith(b"{") else text.removeprefix(b'{"x":"')


def part_changed(random: Random, value: object) -> object:
    """Return a JSON value with one part replaced."""
    if isinstance(value, str) and value[:1] in ("{", "[") and random.random() < 0.9:
        try:
            return json.dumps(part_changed(random, json.loads(value)))
        except ValueError:
            return random.choice(_ODD)
    if not isinstance(value, dict | list) or not value or random.random() < 0.1:
        return random.choice(_ODD)
    if isinstance(value, dict):
        key = random.choice(sorted(value))
        if random.random() < 0.1:
            return {name: part for name, part in value.items() if name != key}
        return {**value, key: part_changed(random, value[key])}
    k = random.randrange(len(value))
    return [*value[:k], part_changed(random, value[k]), *value[k + 1 :]]
