"""Do exports compute what Layerline computes, by onnxruntime, and do they come back? Random networks, presets, files.

    python benchmarks/onnx_networks.py --random 200
    python benchmarks/onnx_networks.py --random 0 resnet18.onnx mobilenet_v2.onnx      files of other programs

Each network is exported with every kind of input in turn, run by onnxruntime (10⁻⁵, and the same class where the two
largest differ by more), imported again (the same text and bits), and imported once more without its metadata, from the
operations alone. Files are imported, which runs them by onnxruntime, too. Exits with 1 if anything differed.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

import numpy as np

import layerline
from layerline.errors import UserError
from layerline.export import formats
from layerline.export.export_options import ExportOptions
from layerline.export.onnx import runtime
from layerline.export.onnx.importing import ImportOptions, imported
from layerline.export.onnx.messages import ModelProto
from layerline.files import protobuf
from layerline.network import preset, presets

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import onnx_models  # type: ignore[import-not-found]  # in tests/
import random_networks  # type: ignore[import-not-found]  # in tests/

if TYPE_CHECKING:
    from layerline.training import Model

CLOSE: Final = 1e-5
_IMAGES: Final = 20
_SHAPES: Final = {"digits": (1, 8, 8), "keras-mnist": (1, 28, 28), "lenet5": (1, 28, 28), "photo-small": (3, 96, 96)}


def main() -> int:
    """Check all networks and files, and print the worst difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument("--random", type=int, default=200, metavar="N", help="number of random networks [200]")
    options = parser.parse_args()
    if not runtime.installed():
        sys.exit(f"onnxruntime is not installed: {runtime.INSTALL}")
    failed = sum(not _imports(path) for path in options.files)
    if options.random:
        failed += _random(options.random)
        failed += sum(not _preset(name) for name in presets())
    return int(failed > 0)


def _random(count: int) -> int:
    """Check random networks, and return how many failed."""
    worst, failed, refused = 0.0, 0, []
    for seed in range(count):
        network = layerline.parse(random_networks.draw(Random(seed)), name="drawn")  # noqa: S311
        model = onnx_models.model(network, seed)
        difference, same, alone = _checked(model, seed)
        worst = max(worst, difference)
        failed += not (difference <= CLOSE and same)
        refused += [] if alone else [seed]
    print(f"{count} random networks: worst difference {worst:.1e}, {failed} failed", flush=True)
    print(f"from the operations alone, {len(refused)} refused: seeds {refused}", flush=True)
    return failed


def _preset(name: str) -> bool:
    network = layerline.parse(preset(name), name=name, input_shape=_SHAPES.get(name, (3, 32, 32)), classes=10)
    difference, same, alone = _checked(onnx_models.model(network), 0)
    print(f"{name}: difference {difference:.1e}, comes back {same}, from the operations alone {alone}", flush=True)
    return difference <= CLOSE and same and alone


def _checked(model: Model, seed: int) -> tuple[float, bool, bool]:
    """Return the largest difference, and whether the model comes back, with its metadata and without."""
    options = ExportOptions(pixels=("uint8", "float32")[seed % 2], layout=("NCHW", "NHWC")[seed // 2 % 2])
    content = model.exported(formats.format_of("onnx"), options).files[".onnx"]
    images = onnx_models.images(model, _IMAGES)
    images = images.astype(np.promote_types(images.dtype, options.pixels))
    ours = runtime.probabilities(model.network, model.scaling, model.weights, images)
    theirs = runtime.outputs(content, images if options.layout == "NCHW" else images.transpose(0, 2, 3, 1), "images")
    first, second = np.sort(theirs, 1)[:, -1], np.sort(theirs, 1)[:, -2]
    same_class = (ours.argmax(1) == theirs.argmax(1))[first - second > CLOSE].all()
    message = protobuf.decoded(ModelProto, content)
    plain = protobuf.encoded(dataclasses.replace(message, metadata_props=()))
    with tempfile.TemporaryDirectory() as folder:
        path = onnx_models.written(Path(folder), content)
        back = layerline.from_onnx(path)
        same = back.network == model.network and back.scaling == model.scaling and back.classes == model.classes
        same &= all(back.weights[name].tobytes() == weight.tobytes() for name, weight in model.weights.items())
        try:
            layerline.from_onnx(onnx_models.written(Path(folder), plain, "plain.onnx"))
            alone = True
        except UserError:
            alone = False
    return float(np.abs(ours - theirs).max()) if same_class else np.inf, same, alone


def _imports(path: Path) -> bool:
    try:
        found = imported(path, ImportOptions())
    except UserError as error:
        print(f"{path.name}: {error}")
        return False
    print(f"{path.name}: {len(found.network.nodes)} layers, {found.notes[-1]}", flush=True)
    return "checked with" in found.notes[-1]


if __name__ == "__main__":
    sys.exit(main())
