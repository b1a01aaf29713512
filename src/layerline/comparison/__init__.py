"""COMPARE: runs side by side, two models on the same images, one recipe with several seeds."""
