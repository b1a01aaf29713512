"""The names of the files in a run folder, and of the folder of all runs. docs/run-folder.md lists them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

RUNS: Final = Path("runs")
NETWORK, EXPERIMENT, HISTORY = "network.cnn", "experiment.toml", "history.jsonl"
RESULT, PREDICTIONS, MODEL, CHECKPOINTS = "result.json", "predictions.npz", "model.safetensors", "checkpoints"
REPORT = "report.html"
ENDING = "ending.json"
"""Only if a training run did not finish."""
GRAPHS: Final = ("loss", "accuracy", "macro_f1", "confusion", "filters")
"""Each is written as .png and .svg."""
SEEDS: Final = "seeds.json"
"""In the parent folder of the runs of one recipe with several seeds."""
FOLDS: Final = "folds.json"
"""In the parent folder of the runs of a cross-validation, next to the predictions of all folds."""
