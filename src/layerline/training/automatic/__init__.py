"""Automatic choices: a recipe, with reasons, from facts about the data and the network."""

from layerline.training.automatic.choice import Choice
from layerline.training.automatic.completion import Completed, complete
from layerline.training.automatic.facts import Facts
from layerline.training.automatic.rules import choose

__all__ = ["Choice", "Completed", "Facts", "choose", "complete"]
