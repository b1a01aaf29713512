"""The time to predict one image, compared with onnxruntime in the same process, one thread each.

    pip install onnx onnxruntime
    python benchmarks/one_image.py lenet5 --data mnist --data-dir DIR

Each round takes the median time per call of every way in turn, from an array to an array of probabilities. Ours get the
image as bytes, and as float32; onnxruntime, with weights and Softmax from the same model, gets it scaled to float32
already, in a plain call and with memory bound to the session in advance.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import torch
from conditions import spread, steal, write
from torch import nn

import layerline
from layerline.network import initial_weights
from layerline.training import Model
from layerline.training.model import preprocessing_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def session_of(model: Model, x: NDArray[np.float32]) -> Any:
    """Return an onnxruntime session with one thread that computes the model's probabilities."""
    module = nn.Sequential(*model.to_torch(), nn.Softmax(1)).eval()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the exporter that needs no more packages than onnx
        file = Path(folder) / "model.onnx"
        torch.onnx.export(module, (torch.from_numpy(x),), file, input_names=["x"], output_names=["p"], dynamo=False)
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def bound_call(session: Any, x: NDArray[np.float32], classes: int) -> Callable[[], Any]:
    """Return a call with input and output bound in advance."""
    binding, value = session.io_binding(), onnxruntime.OrtValue
    binding.bind_ortvalue_input("x", value.ortvalue_from_numpy(x))
    binding.bind_ortvalue_output("p", value.ortvalue_from_shape_and_type((1, classes), np.float32))
    return lambda: session.run_with_iobinding(binding)


def microseconds(call: Callable[[], Any], calls: int) -> float:
    """Return the median time of a call."""
    taken = []
    for _ in range(calls):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken) * 1e6


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", nargs="?", default="lenet5")
    parser.add_argument("--data", required=True)
    parser.add_argument("--data-dir")
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    data = layerline.load_data(options.data, data_dir=options.data_dir, validation="none")
    network = layerline.read(options.network, data)
    weights, preprocessing = initial_weights(network, 0), preprocessing_of(data)
    model = Model(network, data.classes, data.scaling, weights, threads=1, preprocessing=preprocessing)
    image = np.array(data.test.images[:1] if data.test else data.train.images[:1])
    floats, x, predictor = image.astype(np.float32), data.scaling.apply(image), model.predictor()
    session = session_of(model, x)
    deviation = float(np.abs(session.run(None, {"x": x})[0] - model.predict_proba(image)).max())
    ways: dict[str, Callable[[], Any]] = {
        "predict_proba, bytes": lambda: model.predict_proba(image),
        "predict_proba, float32": lambda: model.predict_proba(floats),
        "predictor, bytes": lambda: predictor.predict_proba(image),
        "predictor, float32": lambda: predictor.predict_proba(floats),
        "onnxruntime": lambda: session.run(None, {"x": x}),
        "onnxruntime, bound": bound_call(session, x, network.classes),
    }
    found: dict[str, list[float]] = {name: [microseconds(call, options.calls)] for name, call in ways.items()}
    before = steal()
    for _ in range(options.rounds):
        for name, call in ways.items():
            found[name].append(microseconds(call, options.calls))
    result = {
        "what": f"one image of {data.name} by {options.network}, one thread, microseconds per call",
        "multiply_adds": network.multiply_adds,
        "onnxruntime": onnxruntime.__version__,
        "largest_difference_of_probabilities": deviation,
        "microseconds": {name: spread(taken[1:]) for name, taken in found.items()},
        "steal": steal() - before,
    }
    for name, taken in found.items():
        print(f"{name:24} {statistics.median(taken[1:]):8.1f} µs")
    write(f"one-image-{Path(options.network).stem}-{data.name}", result)


if __name__ == "__main__":
    main()
