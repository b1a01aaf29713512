"""TRAIN: training a PyTorch module in place, with PyTorch's optimizers and schedulers. Import it lazily."""
