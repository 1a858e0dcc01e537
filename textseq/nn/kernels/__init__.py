"""Fast paths of the layers, each tested against a reference implementation."""
