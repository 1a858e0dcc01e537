"""Training and evaluating with several processes, started by torchrun."""
