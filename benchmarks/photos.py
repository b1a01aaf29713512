"""Loading many photos: decoding speed, memory, and the time of later starts from the cache.

    python benchmarks/photos.py [--images 20000] [--width 600] [--height 400] [--format webp] [--store zip|tar]

The files are created in a temporary folder: a thousand images of colored clouds with noise, with the file size of
photos of this size at quality 85, each written many times; JPEGs with a different comment, so that all files differ.
Each measurement is a separate process that calls `load_data` and exits: the first start decodes and caches everything,
later ones use the cache. `images_per_cpu_second` does not depend on other load on the machine; the other numbers do.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import struct
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from conditions import spread, steal, write

PICTURES = 1000
CLASSES = 7
PROGRAM = """
import json, resource, sys, time
begin = time.perf_counter()
from layerline.data import load_data
usage = lambda: resource.getrusage(resource.RUSAGE_SELF)
before, cpu = usage().ru_maxrss * 1024, time.process_time()
start = time.perf_counter()
data = load_data(sys.argv[1], cache=sys.argv[2])
end = time.perf_counter()
print(json.dumps({
    "seconds": end - start, "with_imports": end - begin, "cpu_seconds": time.process_time() - cpu,
    "peak_bytes": usage().ru_maxrss * 1024, "before_bytes": before,
    "images": len(data.train.source.labels), "fingerprint": data.fingerprint,
}))
"""


def photo(seed: int, width: int, height: int, encoding: str) -> bytes:
    """Return an image as a JPEG or WebP file."""
    from PIL import Image

    numbers = np.random.default_rng(seed)
    small = numbers.integers(0, 256, (height // 16, width // 16, 3)).astype(np.uint8)
    clouds = np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)).astype(np.int16)
    noise = numbers.integers(-10, 11, (height, width, 1))
    file = io.BytesIO()
    Image.fromarray((clouds + noise).clip(0, 255).astype(np.uint8)).save(file, encoding, quality=85)
    return file.getvalue()


def make(job: tuple[Path, int, int, int, int, str]) -> int:
    """Write all copies of one image, and return their size in bytes."""
    folder, seed, images, width, height, encoding = job
    content = photo(seed, width, height, encoding)
    written = 0
    for number in range(seed, images, PICTURES):
        note = f"{number:06}".encode()
        whole = content
        if encoding == "jpeg":
            whole = content[:2] + b"\xff\xfe" + struct.pack(">H", len(note) + 2) + note + content[2:]
        (folder / f"class{number % CLASSES}" / f"{number:06}.{encoding}").write_bytes(whole)
        written += len(whole)
    return written


def started(folder: Path, cache: Path) -> dict[str, Any]:
    """Return the output of a process that loads the folder."""
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), str(cache)], capture_output=True, text=True, check=True
    )
    said: dict[str, Any] = json.loads(run.stdout)
    return said


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--width", type=int, default=600)
    parser.add_argument("--height", type=int, default=400)
    parser.add_argument("--format", choices=("jpeg", "webp"), default="jpeg")
    parser.add_argument("--store", choices=("folder", "zip", "tar"), default="folder")
    parser.add_argument("--later", type=int, default=5, help="number of later starts [5]")
    parser.add_argument("--write", action="store_true", help="write the result to benchmarks/results")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder, cache = Path(temporary) / "photos", Path(temporary) / "cache"
        for number in range(CLASSES):
            (folder / f"class{number}").mkdir(parents=True)
        jobs = [
            (folder, seed, arguments.images, arguments.width, arguments.height, arguments.format)
            for seed in range(min(PICTURES, arguments.images))
        ]
        with ProcessPoolExecutor() as pool:
            written = sum(pool.map(make, jobs, chunksize=10))
        source = folder
        if arguments.store != "folder":
            source = Path(shutil.make_archive(str(folder), arguments.store, folder))
        taken = steal()
        first = started(source, cache)
        taken = steal() - taken
        later = [started(source, cache) for _ in range(arguments.later)]
        kept = sum(path.stat().st_size for path in cache.iterdir())
    if {run["fingerprint"] for run in later} != {first["fingerprint"]}:
        raise RuntimeError("cached images differ from decoded images")
    result = {
        "images": first["images"],
        "size": [arguments.height, arguments.width],
        "format": arguments.format,
        "store": arguments.store,
        "file_bytes": written,
        "kept_bytes": kept,
        "first": {
            "seconds": first["seconds"],
            "images_per_second": first["images"] / first["seconds"],
            "images_per_cpu_second": first["images"] / first["cpu_seconds"],
            "peak_bytes": first["peak_bytes"],
            "before_bytes": first["before_bytes"],
            "stolen_seconds": taken,
        },
        "later": {
            "seconds": spread([run["seconds"] for run in later]),
            "with_imports": spread([run["with_imports"] for run in later]),
            "cpu_seconds": spread([run["cpu_seconds"] for run in later]),
            "peak_bytes": max(run["peak_bytes"] for run in later),
        },
    }
    print(json.dumps(result, indent=2))
    if arguments.write:
        plain = (arguments.format, arguments.store) == ("jpeg", "folder")
        write("photos" if plain else f"photos-{arguments.format}-{arguments.store}", result)


if __name__ == "__main__":
    main()
