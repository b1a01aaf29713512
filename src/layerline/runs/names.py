"""The names of the files of a run, and of the folder that runs are in. docs/run-folder.md lists all."""

from __future__ import annotations

from pathlib import Path
from typing import Final

RUNS: Final = Path("runs")
NETWORK, EXPERIMENT, HISTORY = "network.cnn", "experiment.toml", "history.jsonl"
RESULT, PREDICTIONS, MODEL, CHECKPOINTS = "result.json", "predictions.npz", "model.safetensors", "checkpoints"
REPORT = "report.html"
ENDING = "ending.json"
"""Only where a training did not come to its end."""
GRAPHS: Final = ("loss", "accuracy", "macro_f1", "confusion", "filters")
"""Each is written as .png and .svg."""
SEEDS: Final = "seeds.json"
"""In the folder above the runs of one recipe with several seeds."""
