"""SAVE, while a training runs: what it is at a step as a file, so that it can go on from there to the same bits."""

from __future__ import annotations

from layerline.runs.checkpoint.checkpoints import Checkpoints, Latest
from layerline.runs.checkpoint.identity import Identity
from layerline.runs.checkpoint.snapshot import Snapshot
from layerline.runs.checkpoint.writer import CheckpointWriter

__all__ = ["CheckpointWriter", "Checkpoints", "Identity", "Latest", "Snapshot"]
