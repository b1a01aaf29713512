"""Checks of a data set: copies, conflicts, masks, near copies, and images unlike the training images."""
