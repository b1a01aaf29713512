"""Files of arrays: IDX, npz, CIFAR's batches, archives; each read within bounds, whatever it declares."""
