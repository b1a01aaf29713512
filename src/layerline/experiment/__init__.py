"""An experiment: a network, the data and a recipe, from options or from a file, and back into the run's record."""
