"""What is assumed where nothing is asked for: facts about the data and the network become a recipe, with reasons."""

from layerline.assume.choice import Choice
from layerline.assume.facts import Facts
from layerline.assume.fill import Assumed, fill
from layerline.assume.rules import choose

__all__ = ["Assumed", "Choice", "Facts", "choose", "fill"]
