"""Augmentation: its words, the random numbers drawn for each image of an epoch, and their effect on it."""
