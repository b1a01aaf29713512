"""onnxruntime itself, where it is installed: what our definitions of the operations say is what it computes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_models
import onnx_runtime
import pytest
from onnx_graphs import ACTIVATIONS, BASE, GRAPHS, RNG, W

import layerline
from layerline.export.onnx import runtime

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not runtime.installed(), reason="onnxruntime is not installed")


@pytest.mark.parametrize("seed", range(0, 200, 8))
def test_random_networks(seed: int, tmp_path: Path) -> None:
    """An export is within 1e-5, which the export itself checks, and so is a file of another program's."""
    content = onnx_models.exported(onnx_models.drawn(seed))
    model = layerline.from_onnx(onnx_models.written(tmp_path, content))
    images = onnx_models.images(model)
    np.testing.assert_allclose(
        runtime.outputs(content, images, "images"), onnx_runtime.run(content, images), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("name", [*ACTIVATIONS, *GRAPHS])
def test_our_definitions_are_its(name: str) -> None:
    """The graphs of the import's tests."""
    nodes = [*BASE, *ACTIVATIONS[name][1]] if name in ACTIVATIONS else GRAPHS[name][1]
    graph, constants = onnx_models.head(*nodes)
    constants = {**W, "v6": RNG.normal(0, 1, (4, 6, 1, 1)).astype(np.float32), **constants}
    used = {each for node in graph for each in node.input}
    opset = 20 if any(node.op_type == "Gelu" for node in graph) else 18
    content = onnx_models.file(graph, {key: value for key, value in constants.items() if key in used}, opset=opset)
    images = np.random.default_rng(0).normal(0, 1, (3, 2, 6, 6)).astype(np.float32)
    np.testing.assert_allclose(
        runtime.outputs(content, images, "x"), onnx_runtime.run(content, images), rtol=1e-4, atol=1e-4
    )
