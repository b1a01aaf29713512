"""A threaded web server with one model and single-image requests: bit-exactness, speed, and comparison with ONNX.

    python benchmarks/server.py --data-dir DIR

http.server.ThreadingHTTPServer has a thread per client; clients keep their connections alive, and all threads share one
Model (lenet5 on 28×28). A request is the raw bytes of an image; the response is JSON with the predicted class and all
probabilities. Each response is compared with the single-threaded prediction. If onnxruntime and onnx are installed, the
same weights are also served as an ONNX graph by the same code, with intra_op_num_threads=1, alternating, and compared
with its own predictions. Clients are threads of --processes separate processes, which share the cores with the server.
Results are medians of --rounds.
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from conditions import conditions, spread, steal

import layerline

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Answer = Callable[[NDArray[np.uint8]], NDArray[np.float32]]

CLASSES: Final = 10
SIZE: Final = 28


def main() -> None:
    """Serve, request, compare, and print the results; exits with 1 if a response is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="folder with MNIST [synthetic images]")
    parser.add_argument("--requests", type=int, default=10_000, help="requests per round [10000]")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--processes", type=int, default=2, help="processes that the clients run in [2]")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="JSON file for the result")
    parser.add_argument("--client", nargs=4, metavar=("PORT", "FILE", "FIRST", "END"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        port, file, first, end = options.client
        ask(int(port), Path(file), range(int(first), int(end)), options.clients)
        return
    result = measured(options)
    print(json.dumps(result, indent=2))
    if options.out:
        options.out.write_text(json.dumps({**conditions(), **result}, indent=2) + "\n")
    sys.exit(any(each["wrong"] for each in result["servers"].values()))


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Return the results of all servers, measured alternately."""
    with tempfile.TemporaryDirectory(prefix="layerline-server-") as name:
        folder = Path(name)
        data = (
            layerline.load_data("mnist", data_dir=options.data_dir, limit=6000) if options.data_dir else made_up(folder)
        )
        network = layerline.read("lenet5", data)
        run = layerline.train(network, data, epochs=2, learning_rate=0.05, optimizer="sgd", batch_size=32)
        source = data.train.source.images
        images = np.ascontiguousarray(source[np.arange(options.requests) % len(source)].reshape(-1, 1, SIZE, SIZE))
        servers: dict[str, Answer] = {"layerline": run.model.predict_proba}
        if find_spec("onnx") and find_spec("onnxruntime"):
            servers["onnxruntime"] = onnx_session(run.model)
        known = {name: np.concatenate([answer(image[None]) for image in images]) for name, answer in servers.items()}
        whole = layerline.Model(network, data.classes, data.scaling, run.model.weights, threads=1)
        if whole.predict_proba(images).tobytes() != known["layerline"].tobytes():
            raise SystemExit("single-image predictions differ from one batch on one thread")
        taken: dict[str, list[dict[str, Any]]] = {name: [] for name in servers}
        for number in range(options.rounds + 1):
            for name, answer in servers.items():
                file = folder / f"{name}.npz"
                np.savez(file, images=images, known=known[name])
                found = served(answer, file, options)
                if number:  # the first is a warm-up
                    taken[name].append(found)
                print(
                    f"{name}: {found['requests_a_second']:.0f} requests/s, p50 {found['p50_ms']:.2f} ms, "
                    f"p95 {found['p95_ms']:.2f}, p99 {found['p99_ms']:.2f}, {found['wrong']} wrong",
                    flush=True,
                )
        differ = [float(np.abs(k - known["layerline"]).max()) for k in known.values()]
    return {
        "what": f"lenet5, {options.requests} requests of one image, {options.clients} clients, keep-alive connections",
        "test_accuracy": run.result.test_accuracy,
        "rounds": options.rounds,
        "largest_difference": max(differ),
        "servers": {name: figures(rounds) for name, rounds in taken.items()},
        "onnxruntime": version("onnxruntime") if "onnxruntime" in servers else None,
    }


def figures(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return minimum, median and maximum of each metric, and the number of wrong responses."""
    names = [name for name in rounds[0] if name != "wrong"]
    return {
        "wrong": sum(each["wrong"] for each in rounds),
        **{name: spread([each[name] for each in rounds]) for name in names},
    }


def made_up(folder: Path) -> Any:
    """Return a data set of ten shapes, shifted and noisy."""
    rng = np.random.default_rng(0)
    coarse = rng.random((CLASSES, 7, 7)).repeat(4, axis=1).repeat(4, axis=2)
    labels = rng.integers(0, CLASSES, 6000)
    moved = [np.roll(coarse[label], tuple(rng.integers(-2, 3, 2)), (0, 1)) for label in labels]
    images = (np.stack(moved) * 200 + rng.random((len(labels), SIZE, SIZE)) * 55).astype(np.uint8)
    np.savez(folder / "made-up.npz", x=images, y=labels)
    return layerline.load_data(folder / "made-up.npz")


def onnx_session(model: layerline.Model) -> Answer:
    """Return a prediction function by ONNX Runtime, for a lenet5 graph with this model's weights."""
    onnx, onnxruntime = import_module("onnx"), import_module("onnxruntime")  # not our dependencies
    helper, TensorProto = onnx.helper, onnx.TensorProto
    nodes: list[Any] = []
    constants = [
        onnx.numpy_helper.from_array(np.asarray(values, np.float32), name)
        for name, values in (*model.weights.items(), ("scale", model.scaling.scale), ("shift", model.scaling.shift))
    ]
    at = "images"

    def then(kind: str, *others: str, **attributes: Any) -> None:
        nonlocal at
        nodes.append(helper.make_node(kind, [at, *others], [f"x{len(nodes)}"], **attributes))
        at = f"x{len(nodes) - 1}"

    then("Cast", to=TensorProto.FLOAT)
    then("Mul", "scale")
    then("Add", "shift")
    for layer, padding in (("0", 2), ("3", 0)):
        then("Conv", f"{layer}.weight", f"{layer}.bias", kernel_shape=[5, 5], pads=[padding] * 4)
        then("Relu")
        then("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    then("Flatten")
    for layer in ("7", "9", "11"):
        then("Gemm", f"{layer}.weight", f"{layer}.bias", transB=1)
        if layer != "11":
            then("Relu")
    then("Softmax", axis=1)
    inputs = [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", 1, SIZE, SIZE])]
    outputs = [helper.make_tensor_value_info(at, TensorProto.FLOAT, ["n", CLASSES])]
    graph = helper.make_graph(nodes, "lenet5", inputs, outputs, constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"images": images})[0]


def served(answer: Answer, file: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Return the results of one round: a server in this process, clients in others."""
    server = _Server(("127.0.0.1", 0), _handler(answer))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    n, P = options.requests, options.processes
    try:
        before = steal()
        clients = []
        for k in range(P):
            given = map(str, (server.server_port, file, n * k // P, n * (k + 1) // P))
            command = [sys.executable, __file__, "--clients", str(options.clients // P), "--client", *given]
            clients.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        for client in clients:
            assert client.stdout is not None  # noqa: S101 - it is a pipe
            client.stdout.readline()  # ready
        start = time.perf_counter()
        for client in clients:
            assert client.stdin is not None  # noqa: S101 - likewise
            client.stdin.write("\n")
            client.stdin.flush()
        told = [json.loads(client.communicate()[0]) for client in clients]
        ended = max(each["ended"] for each in told)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    latencies = np.concatenate([each["milliseconds"] for each in told])
    if len(latencies) != n:
        raise SystemExit(f"{n - len(latencies)} requests had no response: {[each['errors'] for each in told]}")
    p50, p95, p99 = (float(np.percentile(latencies, p)) for p in (50, 95, 99))
    return {
        "wrong": sum(each["wrong"] for each in told),
        "requests_a_second": n / (ended - start),
        "p50_ms": p50,
        "p95_ms": p95,
        "p99_ms": p99,
        "stolen_s": steal() - before,
    }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


def _handler(answer: Answer) -> type[BaseHTTPRequestHandler]:
    """Return the request handler class."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1  # a response is sent as one packet

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            probabilities = answer(np.frombuffer(content, np.uint8).reshape(1, 1, SIZE, SIZE))[0]
            told = {"class": int(probabilities.argmax()), "probabilities": probabilities.tolist()}
            body = json.dumps(told).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    return Handler


def ask(port: int, file: Path, numbers: range, clients: int) -> None:
    """Run clients: request these images in threads, and report the results on standard output."""
    with np.load(file) as held:
        images, known = held["images"], held["known"]
    waiting = iter(numbers)  # each number is handed out once
    milliseconds: list[float] = []
    wrong: list[int] = []
    errors: list[str] = []

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for k in waiting:
            content = images[k].tobytes()
            start = time.perf_counter()
            connection.request("POST", "/", content)
            told = json.loads(connection.getresponse().read())
            milliseconds.append((time.perf_counter() - start) * 1000)
            found = np.array(told["probabilities"], np.float32)
            if found.tobytes() != known[k].tobytes() or told["class"] != int(known[k].argmax()):
                wrong.append(k)
        connection.close()

    def kept() -> None:
        try:
            client()
        except Exception as error:  # reported to the parent process
            errors.append(repr(error))

    threads = [threading.Thread(target=kept) for _ in range(clients)]
    print("ready", flush=True)
    sys.stdin.readline()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(
        json.dumps({"milliseconds": milliseconds, "wrong": len(wrong), "errors": errors, "ended": time.perf_counter()})
    )


if __name__ == "__main__":
    main()
