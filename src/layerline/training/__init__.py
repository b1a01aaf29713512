"""TRAIN: from a network, data and a recipe to a run with its history, result, model and folder."""

from __future__ import annotations

from layerline.training.interrupt import Interrupt
from layerline.training.model import Model
from layerline.training.resuming import resume
from layerline.training.run import Run
from layerline.training.seeds import Seeds, train_seeds
from layerline.training.session import train
from layerline.training.stored import load
from layerline.training.watch import Progress, Stage, Watcher

__all__ = [
    "Interrupt",
    "Model",
    "Progress",
    "Run",
    "Seeds",
    "Stage",
    "Watcher",
    "load",
    "resume",
    "train",
    "train_seeds",
]
