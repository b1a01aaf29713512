"""The kernels: for each layer its machine code, in a file of its own, and how the layer is lowered to it."""
