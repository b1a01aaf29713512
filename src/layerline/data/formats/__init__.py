"""Readers of array files: IDX, npz, CIFAR's batches, archives; each with limits, whatever the file declares."""
