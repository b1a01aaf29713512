"""SAVE, during training: checkpoints, from which a training run can be resumed bit-identically."""

from __future__ import annotations

from layerline.runs.checkpoint.checkpoints import Checkpoints, Latest
from layerline.runs.checkpoint.identity import Identity
from layerline.runs.checkpoint.snapshot import Snapshot
from layerline.runs.checkpoint.writer import CheckpointWriter

__all__ = ["CheckpointWriter", "Checkpoints", "Identity", "Latest", "Snapshot"]
