"""Damaged model files: every bit of the header, random bits of the weights, every length. All must be refused.

    python benchmarks/model_file.py

A file is damaged in one place and read by `layerline.load`, and outcomes are counted by message. A file that is not
refused, or raises anything but a file error, aborts the benchmark. In a second pass the digest is fixed after each bit
flip in the header, as an attacker would do: the file must then either be refused, or be a model with only valid texts
and numbers; it may not raise anything else.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import numpy as np
from conditions import write

import layerline
from layerline.data.dataset import Scaling
from layerline.files import tensors
from layerline.files.tensors import FileError
from layerline.network import initial_weights
from layerline.training import Model

if TYPE_CHECKING:
    from collections.abc import Iterable

READ = "read"
WORDS = (
    "is empty",
    "written or changed by another program",
    "not a file written by Layerline",
    "does not match its SHA-256",
    "its header is not JSON text",
    "its first 8 bytes",
    "its header has a duplicate name",
    "tensor",
    "its metadata has no",
    "its metadata is not that of a model",
    "not a model",
    "of the format",
    "the network in it",
    "its weights are not those of its network",
)
"""The phrases that identify messages."""


def main() -> None:
    """Damage, read, count, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flips", type=int, default=10_000, help="random bits of the weights [10000]")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="layerline-model-") as scratch:
        path = Path(scratch) / "model.safetensors"
        whole = made(path)
        header = 8 + int.from_bytes(whole[:8], "little")
        found = cases(whole, header, options.flips, Random(options.seed))  # noqa: S311 - for random bits
        outcomes = {name: refused(name, files, path) for name, files in found.items()}
        signed = tried((tensors.signed(each) for each in flipped(whole, range(header * 8))), path)
    result = {
        "what": "damaged model files: all refused with an error message, no other exceptions",
        "bytes": {"header": header, "file": len(whole)},
        "seed": options.seed,
        "outcomes": outcomes,
        "header_bits_with_a_digest_that_fits": dict(signed.most_common()),
        "seconds": time.perf_counter() - begin,
    }
    print(json.dumps(result, indent=2))
    write("model-file", result)


def made(path: Path) -> bytes:
    """Return the bytes of a model file of the preset `digits`."""
    network = layerline.read("digits", input_shape=(1, 8, 8), classes=10)
    names = tuple(map(str, range(10)))
    Model(network, names, Scaling((1 / 16,), (0.0,)), initial_weights(network, 0)).save(path)
    layerline.load(path)
    return path.read_bytes()


def cases(whole: bytes, header: int, flips: int, rng: Random) -> dict[str, Iterable[bytes]]:
    """Return the damaged files, by kind of damage."""
    drawn = (rng.randrange(header * 8, len(whole) * 8) for _ in range(flips))
    lengths = sorted({*range(header + 1), *(rng.randrange(header, len(whole)) for _ in range(1000))})
    return {
        "a bit of the header flipped": flipped(whole, range(header * 8)),
        "a bit of the weights flipped": flipped(whole, drawn),
        "cut short": (whole[:length] for length in lengths),
        "bytes appended": (whole + rng.randbytes(count) for count in range(1, 101)),
        "written twice": iter([whole + whole]),
    }


def flipped(whole: bytes, bits: Iterable[int]) -> Iterable[bytes]:
    """Yield the file with each of these bits flipped, one at a time."""
    for bit in bits:
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


def refused(name: str, files: Iterable[bytes], path: Path) -> dict[str, int]:
    """Return the count of each message. A file that is read aborts the benchmark."""
    counts = tried(files, path)
    if counts[READ]:
        raise SystemExit(f"{name}: {counts[READ]} files were read")
    print(f"{name}: {counts.total():,d} refused", flush=True)
    return dict(counts.most_common())


def tried(files: Iterable[bytes], path: Path) -> Counter[str]:
    """Return the counts of outcomes: read, or the kind of message. Any other exception propagates."""
    counts: Counter[str] = Counter()
    for content in files:
        path.write_bytes(content)
        try:
            model = layerline.load(path)
        except FileError as error:
            counts[kind(error, path)] += 1
        else:
            if not all(np.isfinite(array).all() for array in model.weights.values()):
                raise SystemExit("a model with nonfinite weights was read")
            counts[READ] += 1
    return counts


def kind(error: FileError, path: Path) -> str:
    """Return the part of a message that does not depend on the position of the damage."""
    text = error.message.splitlines()[0].removeprefix(f"{path}: ")
    return next((f"refused: {words}" for words in WORDS if words in text), "refused: something else")


if __name__ == "__main__":
    main()
