"""Fast paths behind the layers, each with a reference implementation that it is tested against."""
