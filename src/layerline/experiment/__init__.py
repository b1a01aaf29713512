"""An experiment: a network, data and a recipe, read from options or a file and written to the run's record."""
