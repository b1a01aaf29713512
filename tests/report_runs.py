"""Folders of runs for the tests of report.html: written by hand, and what can be missing left out on demand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import read_page
import tomli_w

from layerline.data.dataset import Scaling
from layerline.report import page
from layerline.runs import model_file
from layerline.runs.model_file import Card

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from read_page import Element

NETWORK = "Conv 4 3\nReLU\nPool 2 2\nFlat\nFC classes\n"


def predicted(K: int, M: int, seed: int = 0, wrong: float = 0.2) -> dict[str, NDArray[Any]]:
    """Return arrays as predictions.npz has them for one split; about a share of `wrong` is predicted wrong."""
    rng = np.random.default_rng(seed)
    truth = (np.arange(M) % K).astype(np.int32)
    score = rng.normal(size=(M, K))
    score[np.arange(M), truth] += np.where(rng.random(M) < wrong, -2.0, 6.0)
    probabilities = np.exp(score) / np.exp(score).sum(axis=1, keepdims=True)
    return {
        "truth": truth,
        "prediction": probabilities.argmax(axis=1).astype(np.int32),
        "probabilities": probabilities.astype(np.float32),
        "index": np.arange(M, dtype=np.int64) + 100 * seed,
    }


def epoch(number: int, best: bool, *, validation: bool = True) -> dict[str, Any]:
    """Return a line of history.jsonl."""
    loss, right = 2.0 / number, 1 - 0.5 / number
    row: dict[str, Any] = {"epoch": number, "train_loss": loss, "train_accuracy": right, "train_macro_f1": right - 0.01}
    held = {"validation_loss": loss * 1.2, "validation_accuracy": right - 0.02, "validation_macro_f1": right - 0.03}
    row.update(held if validation else dict.fromkeys(held))
    more = {"learning_rate": 0.05, "train_seconds": 1.0, "seconds": 1.5, "images_per_second": 5e4, "best": best}
    return row | more


def result(classes: Sequence[str], test: dict[str, NDArray[Any]] | None) -> dict[str, Any]:
    """Return result.json, counted here without the package's own code."""
    keys = ("test_loss", "test_accuracy", "test_macro_f1", "per_class", "confusion", "intervals", "baselines")
    if test is None:
        return {"classes": list(classes), "remarks": [], **dict.fromkeys(keys)}
    K = len(classes)
    counts = np.zeros((K, K), int)
    np.add.at(counts, (test["truth"], test["prediction"]), 1)
    right = counts.diagonal()
    f1 = 2 * right / np.maximum(counts.sum(0) + counts.sum(1), 1)
    accuracy = float(right.sum() / counts.sum())
    rows = [
        {"name": name, "precision": 0.5, "recall": 0.5, "f1": float(f1[k]), "support": int(counts[k].sum())}
        for k, name in enumerate(classes)
    ]
    return {
        "test_loss": 0.5,
        "test_accuracy": accuracy,
        "test_macro_f1": float(f1.mean()),
        "classes": list(classes),
        "per_class": rows,
        "confusion": counts.tolist(),
        "intervals": {"test_accuracy": [accuracy - 0.02, accuracy + 0.01], "test_macro_f1": [0.61, 0.69]},
        "baselines": {
            "largest_class": {"class": classes[0], "accuracy": 0.3125, "macro_f1": 0.04},
            "thumbnails": {"accuracy": 0.4375, "macro_f1": 0.41},
            "nearest": {"accuracy": 0.5625, "macro_f1": 0.52},
        },
        "remarks": ["The network never predicts “b”."],
    }


def make(
    path: Path,
    classes: Sequence[str] = ("a", "b", "c"),
    *,
    test: dict[str, NDArray[Any]] | None = None,
    validation: dict[str, NDArray[Any]] | None = None,
    epochs: int = 4,
    stopped: bool = False,
    shape: tuple[int, int, int] = (1, 8, 8),
    network: str = NETWORK,
    about: dict[str, Any] | None = None,
) -> Path:
    """Write the folder of a run and return it; `stopped` leaves out what a stopped run does not write."""
    path.mkdir()
    K = len(classes)
    sizes = {"train": 60} | {
        name: len(part["truth"]) for name, part in (("validation", validation), ("test", test)) if part
    }
    data = {"name": "bands", "fingerprint": "f" * 64, "classes": list(classes), "image": list(shape), "images": sizes}
    record = {
        "network": {"file": "network.cnn"},
        "data": {"data": "bands.npz", "validation": 0.1},
        "train": {"epochs": epochs, "batch_size": 32, "seed": 7, "engine": "compiled", "threads": 2},
        "about": {
            "network": {"name": "small", "parameters": 10},
            "data": data,
            "versions": {"layerline": "0.1.0", "numpy": "2.0.0"},
            "engine": {"cpu": "znver4", "lanes": 16},
            "assumed": {"epochs": "what fits into a minute", "batch_size": "what small networks train well with"},
            **(about or {}),
        },
    }
    (path / "experiment.toml").write_text("# Written by layerline: this folder is a run.\n\n" + tomli_w.dumps(record))
    (path / "network.cnn").write_text(network)
    rows = [epoch(k, k in (1, epochs - 1), validation=validation is not None) for k in range(1, epochs + 1)]
    (path / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    weights = {
        "0.weight": np.random.default_rng(0).normal(size=(4, shape[0], 3, 3)).astype(np.float32),
        "0.bias": np.zeros(4, np.float32),
    }
    card = Card("small", network, shape, tuple(name[:100] for name in classes), Scaling((1 / 255,), (0.0,)), {})
    model_file.write(path / "model.safetensors", weights, card)
    if not stopped:
        (path / "result.json").write_text(json.dumps(result(classes, test)))
        arrays = dict(test or {}) | {f"validation_{key}": array for key, array in (validation or {}).items()}
        if arrays:
            np.savez(path / "predictions.npz", **arrays)
    assert K >= 1
    return path


def pixels(split: str, index: int) -> NDArray[np.uint8]:
    """Return an 8×8 image whose first pixel is the image's number; the validation set is brighter."""
    image = np.full((8, 8), 100 if split == "test" else 200, np.uint8)
    image[0, 0] = index % 256
    return image


def noise(side: int) -> Callable[[str, int], NDArray[np.uint8]]:
    """Return images that no format makes small."""

    def of(split: str, index: int) -> NDArray[np.uint8]:
        return np.random.default_rng([len(split), index]).integers(0, 256, (side, side, 3), np.uint8)

    return of


def written(folder: Path, **options: Any) -> Element:
    return read_page.read(page.write(folder, pixels=options.pop("pixels", pixels), **options))
