"""Several processes, as torchrun starts them."""
