"""What is assumed where nothing is asked for: facts about the data and the network become a recipe, with reasons."""

from layerline.assume.choice import Choice
from layerline.assume.facts import Facts
from layerline.assume.fill import Assumed, as_given, fill
from layerline.assume.rules import choose

__all__ = ["Assumed", "Choice", "Facts", "as_given", "choose", "fill"]
