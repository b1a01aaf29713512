"""Augmentation: what is written, what is drawn for each image of an epoch, and what that does to it."""
