"""A model on 8-bit values: the ranges of its values, its Program, and what that costs in accuracy."""
