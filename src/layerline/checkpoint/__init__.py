"""SAVE, while a training runs: what it is at a step as a file, so that it can go on from there to the same bits."""

from __future__ import annotations

from layerline.checkpoint.folder import Checkpoints, Found
from layerline.checkpoint.identity import Identity
from layerline.checkpoint.keeper import Keeper
from layerline.checkpoint.snapshot import Snapshot

__all__ = ["Checkpoints", "Found", "Identity", "Keeper", "Snapshot"]
